"""Fitted ablation scores, choosing among concepts, and what ratings tell, each beside plain loops."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from describer.errors import DescriberError
from describer.eval.metrics import METRICS, Metric
from describer.eval.metrics.ablation import TEMPERATURE, ablation_score, fitted, matched, replaced_losses
from describer.eval.metrics.fade import faithfulness, gini, mis, purity, responsiveness
from describer.eval.metrics.meta import meta_auprc, ranked, score_table

N_IMAGES = 29


@pytest.fixture
def dice() -> np.random.Generator:
    return np.random.default_rng(11)


@pytest.fixture
def classifier() -> nn.Sequential:
    torch.manual_seed(2)
    model = nn.Sequential(nn.Conv2d(3, 5, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(5, 7))
    for parameter in model.parameters():
        parameter.data *= 3
    return model.eval().requires_grad_(False)


def loss(model: nn.Module, inputs: torch.Tensor, classes: torch.Tensor, values: np.ndarray | None) -> list[float]:
    """One image after the other, the unit set by hand."""
    found = []
    for i, (image, wanted) in enumerate(zip(inputs, classes, strict=True)):
        maps = model[1](model[0](image[None]))
        if values is not None:
            maps[:, 3] = float(values[i])
        logits = model[4](maps.mean((2, 3)))[0] / TEMPERATURE
        found.append(float(torch.logsumexp(logits, 0) - logits[wanted]))
    return found


def test_a_fit_by_gradient_is_better_than_the_matched_one_and_near_the_best(
    classifier: nn.Sequential, dice: np.random.Generator
) -> None:
    inputs, classes = torch.randn(N_IMAGES, 3, 11, 13), torch.randint(7, (N_IMAGES,))
    real = classifier[1](classifier[0](inputs))[:, 3].mean((1, 2)).numpy().astype(np.float64)
    simulated = 40 * (real + 0.3 * real.std() * dice.normal(size=N_IMAGES)) - 3  # on another scale
    fit = fitted(classifier, "1", 3, inputs, classes, simulated, real, batch_size=7)
    true, middle = loss(classifier, inputs, classes, None), np.full(N_IMAGES, real.mean())

    def off(values: np.ndarray) -> float:
        return float(np.abs(np.array(loss(classifier, inputs, classes, values)) - true).sum())

    assert off(fit(simulated)) <= off(matched(simulated, real)) + 1e-6 < off(middle)
    slope = fit.scale
    tried = [off(s * (simulated - simulated.mean()) + real.mean() + o) for s in np.linspace(0.5, 1.5, 11) * slope
             for o in np.linspace(-0.5, 0.5, 11) * real.std()]  # fmt: skip
    assert off(fit(simulated)) <= 1.1 * min(tried)  # oracle: a grid
    losses = [replaced_losses(classifier, "1", 3, inputs, classes, v).numpy() for v in (None, fit(simulated), middle)]
    np.testing.assert_allclose(losses[1], loss(classifier, inputs, classes, fit(simulated)), rtol=1e-4)
    assert ablation_score(*losses) == pytest.approx(1 - off(fit(simulated)) / off(middle), abs=1e-3)


def test_a_fit_of_what_never_changes_is_a_number(classifier: nn.Sequential) -> None:
    inputs, classes = torch.randn(5, 3, 11, 13), torch.randint(7, (5,))
    fit = fitted(classifier, "1", 3, inputs, classes, np.zeros(5), np.arange(5.0))
    assert math.isfinite(fit.scale) and math.isfinite(fit.offset)


def test_choosing_is_average_precision_of_all_scores(dice: np.random.Generator) -> None:
    concepts = (dice.random((7, 43)) < 0.3).astype(float)
    own = np.array([2, 0, 6, 5, 2])
    activations = concepts[own] + 0.8 * dice.normal(size=(5, 43))
    table = score_table(METRICS["pearson"], activations, concepts, 0.1)
    pairs = []
    for unit in range(5):
        for concept in range(7):  # oracle
            r = np.corrcoef(activations[unit], concepts[concept])[0, 1]
            assert table[unit, concept] == pytest.approx(r)
            pairs.append((r, concept == own[unit]))
    pairs.sort(key=lambda pair: -pair[0])
    hits = [
        sum(right for _, right in pairs[: place + 1]) / (place + 1) for place, (_, right) in enumerate(pairs) if right
    ]
    assert ranked(table, own) == pytest.approx(np.mean(hits))


def test_sound_metrics_choose_better_than_one_that_knows_nothing(dice: np.random.Generator) -> None:
    concepts = dice.random((23, 401)) < dice.uniform(0.03, 0.2, (23, 1))
    own = dice.integers(23, size=31)
    activations = concepts[own] + 0.3 * dice.normal(size=(31, 401))
    value = {name: meta_auprc(name, activations, concepts.astype(float), own).value for name in METRICS}
    assert min(value["pearson"], value["cosine"], value["auprc"], value["f1"]) > 0.9
    blind = Metric("blind", lambda pairs: np.zeros(len(pairs.activations)), "the same for all")
    choice = meta_auprc(blind, activations, concepts.astype(float), own)
    assert choice.value == pytest.approx(1 / 23) == choice.by_chance
    with pytest.raises(DescriberError, match=r"among 2 concepts or more, for 3 units or more\. Got 1 and 31"):
        meta_auprc("pearson", activations, concepts[:1].astype(float), own)


def test_the_top_is_chosen_on_units_that_do_not_count(dice: np.random.Generator) -> None:
    concepts = (dice.random((5, 101)) < 0.2).astype(float)
    own = np.arange(41) % 5
    activations = concepts[own] + 0.1 * dice.normal(size=(41, 101))
    spoilt = activations.copy()
    spoilt[::20] = 0.0
    assert (
        meta_auprc("iou", activations, concepts, own, [0.2]).value
        == meta_auprc("iou", spoilt, concepts, own, [0.2]).value
    )
    tables = {alpha: score_table(METRICS["iou"], activations[::20], concepts, alpha) for alpha in (0.01, 0.2, 0.5)}
    best = max(tables, key=lambda alpha: ranked(tables[alpha], own[::20]))
    assert meta_auprc("iou", activations, concepts, own, list(tables)).alpha == best


def test_gini_is_that_of_all_pairs(dice: np.random.Generator) -> None:
    made, natural = np.round(dice.normal(1, 1, 13), 1), np.round(dice.normal(0, 1, 17), 1)
    wins = np.mean([1.0 if a > b else 0.5 if a == b else 0.0 for a in made for b in natural])
    assert gini(made, natural) == pytest.approx(abs(2 * wins - 1))
    assert gini(-made, -natural) == pytest.approx(gini(made, natural))  # it does not see the sign
    assert gini(np.zeros(3), np.zeros(5)) == 0
    with pytest.raises(DescriberError, match=r"of both kinds of inputs\. Got 0 and 17"):
        gini(made[:0], natural)


def test_ratings_of_one_do_not_count(dice: np.random.Generator) -> None:
    ratings = np.array([2, 0, 1, 2, 0, 0, 1, 2, 0, 0, 2])
    activations = np.round(ratings + dice.normal(size=11), 1)
    yes, no = activations[ratings == 2], activations[ratings == 0]
    assert responsiveness(activations, ratings) == pytest.approx(gini(yes, no))
    order = sorted([(x, True) for x in yes] + [(x, False) for x in no], key=lambda pair: -pair[0])
    thresholds, area, seen = sorted({x for x, _ in order}, reverse=True), 0.0, 0.0
    for threshold in thresholds:  # oracle
        said = [right for x, right in order if x >= threshold]
        area += (sum(said) / len(yes) - seen) * sum(said) / len(said)
        seen = sum(said) / len(yes)
    assert purity(activations, ratings) == pytest.approx(area)
    with pytest.raises(DescriberError, match="ratings must hold 2 and 0"):
        purity(activations[:3], np.array([1, 2, 2]))


def test_faithfulness_is_what_pushing_adds() -> None:
    shares = {-50.0: 0.1, -1.0: 0.2, 0.0: 0.15, 10.0: 0.6, 50.0: 0.5}
    assert faithfulness(shares, 0.2) == pytest.approx((0.6 - 0.2) / 0.8)
    assert faithfulness(shares, 0.7) == 0 and faithfulness({1.0: 1.0}, 1.0) == 0
    with pytest.raises(DescriberError, match=r"shares must lie in 0\.\.1, at least one"):
        faithfulness({}, 0.2)


def test_interpretability_is_the_chance_of_choosing_right(dice: np.random.Generator) -> None:
    tasks, k, dims = 7, 3, 11
    vectors = [dice.normal(size=shape) for shape in ((tasks, dims), (tasks, dims), (tasks, k, dims), (tasks, k, dims))]
    strong, weak, shown, other = (each / np.linalg.norm(each, axis=-1, keepdims=True) for each in vectors)
    chances = []
    for t in range(tasks):  # oracle
        leans = [np.mean([q[t] @ e for e in shown[t]]) - np.mean([q[t] @ e for e in other[t]]) for q in (strong, weak)]
        chances.append(1 / (1 + math.exp(-4 * (leans[0] - leans[1]))))
    assert mis(strong, weak, shown, other, scale=4.0) == pytest.approx(np.mean(chances))
    assert mis(strong, weak, shown, shown) == 0.5
    assert mis(strong, strong, shown, other) == 0.5
    clear = np.tile(strong[:, None], (1, k, 1)), np.tile(weak[:, None], (1, k, 1))
    assert mis(strong, weak, *clear) > 0.95
