"""Metrics of simulated activations beside their definitions in plain loops."""

import math
from collections.abc import Callable

import numpy as np
import pytest
from scipy import stats

from describer.errors import ActivationError, DescriberError
from describer.eval.metrics import METRICS, SOUND, score, scoring
from describer.eval.metrics.pairs import Pairs, average_ranks, top

ALPHA = 0.15
Row = list[float]


@pytest.fixture
def values() -> tuple[np.ndarray, np.ndarray]:
    """Seven units on 23 images, both with many ties."""
    dice = np.random.default_rng(5)
    return np.round(dice.gamma(1.0, size=(7, 23)), 1), np.round(dice.random((7, 23)), 1)


def fires(a: Row) -> list[bool]:
    least = sorted(a, reverse=True)[math.ceil(ALPHA * len(a)) - 1]
    return [x >= least for x in a]


def holds(a: Row, c: Row) -> list[bool]:
    """Every value but the lowest as a cut, from the highest; the first of those with the best F1."""
    if len(set(c)) == 1:
        return [x >= 0.5 for x in c]
    b, best, cut = fires(a), -1.0, 0.0
    for threshold in sorted(set(c), reverse=True)[:-1]:
        held = [x >= threshold for x in c]
        f1 = 2 * sum(x and y for x, y in zip(b, held, strict=True)) / (sum(b) + sum(held))
        best, cut = (f1, threshold) if f1 > best else (best, cut)
    return [x >= cut for x in c]


def overlap(a: Row, c: Row) -> tuple[float, float, float]:
    b, h = fires(a), holds(a, c)
    return sum(x and y for x, y in zip(b, h, strict=True)), sum(b), sum(h)


def slow_iou(a: Row, c: Row) -> float:
    both, b, h = overlap(a, c)
    return both / (b + h - both)


def slow_f1(a: Row, c: Row) -> float:
    both, b, h = overlap(a, c)
    return 2 * both / (b + h)


def slow_cosine(a: Row, c: Row) -> float:
    return sum(x * y for x, y in zip(a, c, strict=True)) / (sum(x * x for x in a) * sum(y * y for y in c)) ** 0.5


def slow_pearson(a: Row, c: Row) -> float:
    return slow_cosine([x - sum(a) / len(a) for x in a], [y - sum(c) / len(c) for y in c])


def slow_precision_area(scores: Row, labels: list[bool]) -> float:
    """Every different score as a threshold, from the highest."""
    area, seen = 0.0, 0.0
    for threshold in sorted(set(scores), reverse=True):
        said = [x >= threshold for x in scores]
        hits = sum(s and b for s, b in zip(said, labels, strict=True))
        area += (hits / sum(labels) - seen) * hits / sum(said)
        seen = hits / sum(labels)
    return area


def slow_chance(scores: Row, labels: list[bool]) -> float:
    """Every pair of one labelled and one not."""
    wins = [
        1.0 if x > y else 0.5 if x == y else 0.0
        for x, is_x in zip(scores, labels, strict=True)
        for y, is_y in zip(scores, labels, strict=True)
        if is_x and not is_y
    ]
    return sum(wins) / len(wins)


def slow_mad(a: Row, c: Row) -> float:
    inside = [x for x, y in zip(a, holds(a, c), strict=True) if y]
    outside = [x for x, y in zip(a, holds(a, c), strict=True) if not y]
    mean = sum(a) / len(a)
    spread = (sum((x - mean) ** 2 for x in a) / len(a)) ** 0.5
    return (sum(inside) / len(inside) - sum(outside) / len(outside)) / spread


def slow_wpmi(a: Row, c: Row) -> float:
    inside = [y for y, b in zip(c, fires(a), strict=True) if b]
    return math.log(sum(inside) / len(inside)) - math.log(sum(c) / len(c))


def slow_balanced(a: Row, c: Row) -> float:
    both, b, h = overlap(a, c)
    return (both / b + (len(a) - b - h + both) / (len(a) - b)) / 2


ORACLES: dict[str, Callable[[Row, Row], float]] = {
    "pearson": slow_pearson,
    "cosine": slow_cosine,
    "auprc": lambda a, c: slow_precision_area(c, fires(a)),
    "f1": slow_f1,
    "iou": slow_iou,
    "recall": lambda a, c: overlap(a, c)[0] / overlap(a, c)[1],
    "precision": lambda a, c: overlap(a, c)[0] / overlap(a, c)[2],
    "accuracy": lambda a, c: sum(b == h for b, h in zip(fires(a), holds(a, c), strict=True)) / len(a),
    "balanced_accuracy": slow_balanced,
    "auc": lambda a, c: slow_chance(c, fires(a)),
    "inverse_auc": lambda a, c: slow_chance(a, holds(a, c)),
    "inverse_auprc": lambda a, c: slow_precision_area(a, holds(a, c)),
    "mad": slow_mad,
    "wpmi": slow_wpmi,
    "spearman": lambda a, c: float(stats.spearmanr(a, c).statistic),
    "top_and_random": slow_pearson,  # of fewer images than it samples: of all
}


@pytest.mark.parametrize("name", METRICS)
def test_a_metric_is_that_of_its_definition(name: str, values: tuple[np.ndarray, np.ndarray]) -> None:
    a, c = values
    expected = [ORACLES[name](x, y) for x, y in zip(a.tolist(), c.tolist(), strict=True)]
    np.testing.assert_allclose(score(a, c, [name], ALPHA)[name], expected, rtol=1e-9, atol=1e-12)


def test_units_are_scored_alike_in_parts(
    values: tuple[np.ndarray, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = score(*values, list(METRICS), ALPHA)
    monkeypatch.setattr(scoring, "MAX_NUMBERS", 2 * 23 + 1)
    parts = score(*values, list(METRICS), ALPHA)
    for name in METRICS:
        np.testing.assert_array_equal(whole[name], parts[name])


def test_the_order_of_images_does_not_matter(values: tuple[np.ndarray, np.ndarray]) -> None:
    a, c = values
    order = np.random.default_rng(0).permutation(23)
    for name, scores in score(a, c, SOUND, ALPHA).items():
        np.testing.assert_allclose(scores, score(a[:, order], c[:, order], [name], ALPHA)[name], atol=1e-12)


@pytest.mark.parametrize("name", METRICS)
def test_a_dead_unit_scores_nothing(name: str) -> None:
    c = np.tile(np.linspace(0, 1, 23), (3, 1))
    for level in (0.0, 0.1, -2.0):
        assert score(np.full((3, 23), level), c, [name])[name].tolist() == [0, 0, 0]


@pytest.mark.parametrize("name", METRICS)
@pytest.mark.parametrize("level", [0.0, 1.0])
def test_a_description_that_says_nothing_gives_a_number(name: str, level: float) -> None:
    a = np.random.default_rng(0).random((2, 23))
    found = score(a, np.full((2, 23), level), [name])[name]
    assert np.isfinite(found).all()
    if name in ("pearson", "spearman", "top_and_random"):
        assert found.tolist() == [0, 0]


def test_of_labels_those_that_are_there_hold() -> None:
    """Whatever the unit does: the best cut changes nothing where the published one can be used."""
    dice = np.random.default_rng(8)
    a = dice.random((13, 47))
    c = (dice.random((13, 47)) < np.linspace(0.02, 0.98, 13)[:, None]).astype(float)
    c[5], c[6] = 0.0, 1.0
    for alpha in (0.01, 0.2, 0.9):
        np.testing.assert_array_equal(Pairs(a, c, alpha).holds, c >= 0.5)


def test_faint_simulations_hold_where_they_are_highest() -> None:
    """Probabilities that never reach .5: cut there, every description holds nowhere and F1 and IoU are 0."""
    dice = np.random.default_rng(9)
    true = dice.random((7, 101)) < 0.2
    faint = 0.01 + 0.1 * true + 0.02 * dice.random((7, 101))
    found = score(true + 0.1 * dice.random((7, 101)), faint, ["f1", "iou"], alpha=true.mean())
    assert (faint >= 0.5).sum() == 0 and min(found["f1"].min(), found["iou"].min()) > 0.6
    steps = np.round(faint, 1)  # many equal ones
    assert (Pairs(true.astype(float), steps, 0.01).holds == true).all()


def test_the_top_takes_all_that_tie() -> None:
    assert top(np.array([[1.0, 3, 2, 3, 0], [5, 4, 3, 2, 1]]), 0.2).sum(1).tolist() == [2, 1]
    assert top(np.zeros((1, 30)), 0.1).sum() == 30
    assert top(np.arange(30.0)[None], 0.1).sum() == 3  # 0.1 * 30 is more than 3 in binary
    assert top(np.arange(3.0)[None], 0.0001).sum() == 1


def test_ranks_are_those_of_scipy(values: tuple[np.ndarray, np.ndarray]) -> None:
    np.testing.assert_allclose(average_ranks(values[1]), stats.rankdata(values[1], axis=1))


def test_no_units_are_no_scores() -> None:
    assert score(np.zeros((0, 5)), np.zeros((0, 5)))["pearson"].shape == (0,)


def test_what_cannot_be_scored_is_refused() -> None:
    a, c = np.random.default_rng(0).random((2, 3, 7))
    with pytest.raises(DescriberError, match=r"^simulated must have the shape \(3, 7\)"):
        score(a, c[:, :5])
    with pytest.raises(DescriberError, match=r"^metric must be one of pearson, .* Got 'bleu'\. Correct it\.$"):
        score(a, c, ["bleu"])
    with pytest.raises(DescriberError, match=r"^alpha must lie between 0 and 1\. Got 1\.0\."):
        score(a, c, alpha=1.0)
    with pytest.raises(DescriberError, match="at least 2 images"):
        score(a[:, :1], c[:, :1])
    a[2, 4] = np.nan
    with pytest.raises(ActivationError, match=r"^values to be scored must be finite\. Got others in row 2\."):
        score(a, c)
