"""What a concept rests on: slopes against differences by loops; the units that are taken first by them."""

import numpy as np
import pytest
import torch

from describer.data.scenes.palette import COLOR_TERMS
from describer.eval.control.ace import drawn
from describer.eval.control.choice import choose_units, named_units
from describer.eval.control.drawing import Samples
from describer.eval.control.likeness import Likeness
from describer.eval.control.slopes import evidence, slopes
from describer.eval.control.table import Bench, TablePlan, row
from describer.intervention import Edit

BROWN = ("color", COLOR_TERMS.index("brown"))


def slow_evidence(likeness, shown):
    total = 0.0
    for p, there in zip(likeness.double().flatten().tolist(), shown.flatten().tolist(), strict=True):
        if there > 0.3:
            total += np.log(min(p, 1 - 1e-6) / (1 - min(p, 1 - 1e-6)))
    return total


def test_evidence_is_the_log_odds_where_the_concept_is():
    likeness = torch.tensor([[[0.9, 0.2, 0.31], [0.0, 0.5, 1.0]]])
    assert float(evidence(likeness)) == pytest.approx(slow_evidence(likeness, likeness), rel=1e-3)


@pytest.mark.parametrize("is_confined", [False, True])
def test_slopes_are_differences_by_a_factor_on_one_unit(target, atlas, is_confined):
    latents, likeness = Samples(target, 4, 67).latents, Likeness("colors", BROWN)  # more than a block
    candidates, cut = named_units(atlas, "layer1:0,layer1:2,layer1:5"), named_units(atlas, "layer1:1")
    where = torch.zeros(67, 20, 20)
    where[:, :10] = 1
    region = where if is_confined else None
    with torch.no_grad():
        shown = likeness(drawn(target, latents, [Edit("layer1", (1,), "ablate", 0.0, region)]))
    found, small = slopes(target, latents, likeness, candidates, cut, region), 5e-3
    for each, slope in zip(candidates, found, strict=True):
        ends = []
        for factor in (1 + small, 1 - small):
            edits = [Edit("layer1", (each.unit,), "scale", factor, region), Edit("layer1", (1,), "ablate", 0.0, region)]
            with torch.no_grad():
                ends.append(slow_evidence(likeness(drawn(target, latents, edits)), shown))
        assert slope == pytest.approx((ends[0] - ends[1]) / (2 * small), rel=0.05, abs=1)
    assert found.argmax() == 0 and found[2] == pytest.approx(0, abs=1e-6)  # brown; what paints nothing


def test_units_are_taken_by_what_the_concept_rests_on(target, atlas):
    bench = Bench(target, atlas, TablePlan(("brown",), "colors", top=3, samples=23, draws=2, seed=4, slopes=True))
    concept = bench.segmenter.concept("brown")
    found = named_units(atlas, "layer1:7,layer1:5,layer1:9,layer1:8,layer1:0")
    chosen = bench.fewest(found, concept)
    assert chosen[0].unit == 0 and len(chosen) == 2  # enough to remove the goal
    assert bench.fewest([], concept) == [] and len(bench.fewest(found[:4], concept)) == 3
    told = row(bench, "brown")
    n_found = len(choose_units(atlas, "brown", 11))
    assert told["words"]["found_units"] == n_found >= told["iou"]["found_units"]
    assert told["words"]["removed"]["value"] > 0.9
