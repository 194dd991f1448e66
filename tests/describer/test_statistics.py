"""Statistics beside their definitions in plain loops."""

import numpy as np
import pytest
import torch

from describer import statistics
from describer.statistics import (
    benjamini_hochberg,
    bootstrap_interval,
    middle,
    pearson,
    pearson_table,
    permutation_p,
)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(3)


def slow_pearson(x: list[float], y: list[float]) -> float:
    """The definition, number by number."""
    mean_x, mean_y = sum(x) / len(x), sum(y) / len(y)
    both = sum((a - mean_x) * (b - mean_y) for a, b in zip(x, y, strict=True))
    spread = sum((a - mean_x) ** 2 for a in x) * sum((b - mean_y) ** 2 for b in y)
    return both / spread**0.5 if spread > 0 else 0.0


def test_pearson_is_that_of_the_definition(rng: np.random.Generator) -> None:
    x, y = rng.normal(size=(3, 7)), rng.normal(size=(3, 7))
    expected = [slow_pearson(a, b) for a, b in zip(x.tolist(), y.tolist(), strict=True)]
    np.testing.assert_allclose(pearson(x, y), expected, rtol=1e-12)
    np.testing.assert_allclose(pearson(torch.from_numpy(x).float(), torch.from_numpy(y)), expected, rtol=1e-5)


def test_a_table_holds_every_row_with_every_column(rng: np.random.Generator) -> None:
    x, y = rng.normal(size=(3, 7)), rng.normal(size=(5, 7))
    expected = [[slow_pearson(a, b) for b in y.tolist()] for a in x.tolist()]
    np.testing.assert_allclose(pearson_table(x, y), expected, rtol=1e-12)
    square = rng.normal(size=(7, 7))  # as many rows as numbers: no axis may be taken for the other
    expected = [[slow_pearson(a, b) for b in square.tolist()] for a in x.tolist()]
    np.testing.assert_allclose(pearson_table(x, square), expected, rtol=1e-12)


def test_a_constant_row_has_no_correlation() -> None:
    x = np.array([[0.1] * 7, [1e-200, 0, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0, 1.0]])
    y = np.array([[1.0, 2, 3, 4, 5, 6, 7]] * 3)
    assert pearson(x, y).tolist()[:2] == [0, 0] and pearson(x, y)[2] > 0.5
    assert pearson_table(x, y[:1])[:2].tolist() == [[0], [0]]
    assert pearson(np.zeros((2, 0)), np.zeros((2, 0))).tolist() == [0, 0]
    assert pearson(np.ones((2, 1)), np.ones((2, 1))).tolist() == [0, 0]


def test_correlation_is_at_most_one_after_rounding() -> None:
    x = np.random.default_rng(0).normal(size=(200, 3))
    assert pearson(x, 3 * x).max() <= 1 and pearson_table(x, -x).min() >= -1


def test_the_interval_of_a_mean_is_that_of_loops(rng: np.random.Generator) -> None:
    values = rng.normal(size=11)
    dice = np.random.default_rng(5).integers(0, 11, (200, 11))
    means = sorted(sum(values[i] for i in row) / 11 for row in dice)
    expected = np.quantile(means, [0.05, 0.95])
    np.testing.assert_allclose(bootstrap_interval(values, level=0.9, draws=200, seed=5), expected)


def test_an_interval_of_a_long_sample_is_drawn_in_parts(monkeypatch: pytest.MonkeyPatch, rng) -> None:
    values = rng.normal(size=31)
    whole = bootstrap_interval(values, "median")
    monkeypatch.setattr(statistics, "MAX_DRAWN", 100)
    np.testing.assert_allclose(bootstrap_interval(values, "median"), whole, atol=0.1)


def test_any_statistic_of_whole_rows_can_be_drawn(rng: np.random.Generator) -> None:
    x = rng.normal(size=97)
    pairs = np.stack((x, x + rng.normal(size=97)), 1)
    low, high = bootstrap_interval(pairs, lambda drawn: pearson(drawn[..., 0], drawn[..., 1]))
    assert 0.5 < low < slow_pearson(*pairs.T.tolist()) < high < 0.9


def test_whole_groups_are_drawn() -> None:
    values, groups = np.array([0.0, 0, 0, 1, 1, 1]), np.array([7, 7, 7, 2, 2, 2])
    assert bootstrap_interval(values, groups=groups) == (0, 1)
    low, high = bootstrap_interval(values)
    assert 0 < low < high < 1


@pytest.mark.parametrize("values", [[], [3.0], [3.0, 3.0]])
def test_an_interval_of_next_to_nothing(values: list[float]) -> None:
    low, high = bootstrap_interval(np.array(values))
    assert (low, high) == (3, 3) if values else np.isnan([low, high]).all()


def test_what_is_not_finite_is_left_out() -> None:
    assert middle(np.array([1.0, np.nan, 1, np.inf])) == (1, 1)
    assert np.isnan(middle(np.array([np.nan]))).all()


def test_a_p_value_counts_ties_and_is_never_zero() -> None:
    assert permutation_p(3.0, np.array([1.0, 2, 3, 4])) == pytest.approx(3 / 5)
    assert permutation_p(9.0, np.array([1.0, 2, 3, 4])) == pytest.approx(1 / 5)
    assert permutation_p(9.0, np.zeros(0)) == 1
    rows = permutation_p(np.array([3.0, 9.0]), np.array([[1.0, 2, 3], [9.0, 10, 2]]))
    np.testing.assert_allclose(rows, [2 / 4, 3 / 4])
    shared = permutation_p(np.array([3.0, 9.0]), np.array([1.0, 2, 3]))
    np.testing.assert_allclose(shared, [2 / 4, 1 / 4])


def test_false_discoveries_are_those_of_the_definition(rng: np.random.Generator) -> None:
    p = np.append(rng.random(11), [0.001, 0.001, 1.0])
    ordered = sorted(p.tolist())
    expected = []
    for value in p.tolist():  # the least level at which the step-up procedure rejects it
        rank = ordered.index(value)
        expected.append(min(1.0, *(ordered[j] * len(p) / (j + 1) for j in range(rank, len(p)))))
    np.testing.assert_allclose(benjamini_hochberg(p), expected)
    assert benjamini_hochberg(np.zeros(0)).tolist() == []
    assert benjamini_hochberg(np.array([0.3])).tolist() == [0.3]
