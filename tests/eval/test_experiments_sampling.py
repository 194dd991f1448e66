"""Shares and correlations by their definitions, and intervals that know their groups."""

import math

import numpy as np
import pytest

from describer.eval.experiments.sampling import correlation, share


def test_a_share_is_the_mean_and_its_interval_holds_it():
    found = share([1.0, 0.0, 1.0, 1.0, 0.0], [0, 1, 2, 3, 4])
    assert found.value == pytest.approx(0.6)
    assert found.low < 0.6 < found.high
    assert found.n == 5
    assert str(found).startswith("0.600 (")


def test_values_of_one_group_are_not_taken_for_independent():
    values = [1.0] * 50 + [0.0] * 50
    alone, grouped = share(values, range(100)), share(values, [0] * 50 + [1] * 50)
    assert (grouped.low, grouped.high) == (0.0, 1.0)
    assert alone.high - alone.low < 0.25


def test_nothing_has_no_share():
    assert math.isnan(share([], []).value)


def test_correlations_are_those_of_plain_loops():
    rng = np.random.default_rng(3)
    x = rng.normal(size=13)
    y = x + rng.normal(size=13)
    found = correlation(x, y)
    mx, my = sum(x) / 13, sum(y) / 13
    top = sum((a - mx) * (b - my) for a, b in zip(x, y, strict=True))
    r = top / math.sqrt(sum((a - mx) ** 2 for a in x) * sum((b - my) ** 2 for b in y))
    assert found.pearson.value == pytest.approx(r)
    assert found.pearson.low < r < found.pearson.high
    rx, ry = ([sorted(v).index(one) for one in v] for v in (list(x), list(y)))
    spearman = 1 - 6 * sum((a - b) ** 2 for a, b in zip(rx, ry, strict=True)) / (13 * (13**2 - 1))
    assert found.spearman == pytest.approx(spearman)


@pytest.mark.parametrize(
    ("x", "y"), [([], []), ([1.0, 2.0], [1.0, 2.0]), ([1.0] * 3, [1.0, 2.0, 3.0]), ([1.0, 2.0, 3.0], [0.0] * 3)]
)
def test_what_never_changes_has_no_correlation(x, y):
    assert correlation(x, y) is None
