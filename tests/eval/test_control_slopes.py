"""What a concept rests on: slopes against differences by loops; the units that are taken by them, and by trial."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from describer.data.scenes.palette import COLOR_TERMS, name_colors
from describer.errors import AtlasError, ConceptsError, DescriberError
from describer.eval.control.ace import drawn
from describer.eval.control.choice import choose_units, named_units
from describer.eval.control.drawing import Samples
from describer.eval.control.edit import EditPlan, edit
from describer.eval.control.likeness import Likeness
from describer.eval.control.segmenter import Segmenter
from describer.eval.control.slopes import evidence, slopes
from describer.eval.control.table import Bench, TablePlan, row
from describer.eval.control.trial import Trials
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


# Units taken by trial


def slow_worth(samples, before, units):
    """Of brown gone, and of the other pixels relabelled, by loops; then what the one is worth without the other."""
    after = samples.draw([Edit("layer1", tuple(units), "ablate")])
    had = gone = 0
    relabelled = []
    for was, now in zip(map(name_colors, before), map(name_colors, after), strict=True):
        pairs = list(zip(was.flatten().tolist(), now.flatten().tolist(), strict=True))
        had += sum(a == BROWN[1] for a, _ in pairs)
        gone += sum(a == BROWN[1] for a, _ in pairs) - sum(b == BROWN[1] for _, b in pairs)
        rest = [a != b for a, b in pairs if BROWN[1] not in (a, b)]
        relabelled.append(sum(rest) / max(len(rest), 1))
    return gone / had - 3 * np.mean(relabelled), gone / had


def test_each_unit_is_the_best_of_those_tried(target, atlas):
    samples, segmenter = Samples(target, 4, 23), Segmenter("colors")
    candidates = named_units(atlas, "layer1:7,layer1:2,layer1:0,layer1:1,layer1:9")
    before, likeness = samples.draw(), Likeness("colors", BROWN)
    chosen, rest = [], list(candidates)
    for _ in range(3):
        falls = slopes(target, samples.latents, likeness, rest, chosen)
        first = [rest[i] for i in np.argsort(-falls, kind="stable")][:2]
        best = max(first, key=lambda each: slow_worth(samples, before, [c.unit for c in [*chosen, each]])[0])
        chosen.append(best)
        rest.remove(best)
    trials = Trials(samples, segmenter)
    assert trials.fewest(candidates, BROWN, 3, goal=2.0, width=2, harm=1.0) == chosen
    with pytest.raises(AtlasError, match="must relabel at most -1 of the rest"):
        trials.fewest(candidates, BROWN, 3, goal=2.0, width=2, harm=-1.0)
    removed, relabelled = trials.cut(chosen, BROWN)
    assert (removed - 3 * relabelled, removed) == pytest.approx(slow_worth(samples, before, [c.unit for c in chosen]))


def test_no_more_units_than_remove_the_goal(target, atlas):
    trials = Trials(Samples(target, 4, 23), Segmenter("colors"))
    found = named_units(atlas, "layer1:7,layer1:5,layer1:9,layer1:8,layer1:0")
    assert [[c.unit for c in trials.fewest(found, BROWN, 3, width=width)] for width in (1, 2)] == [[0], [0]]
    assert len(trials.fewest(found, BROWN, 3)) == 3  # in their own order, brown is the last
    assert len(trials.fewest(found[:4], BROWN, 3, width=2)) == 3 and trials.fewest([], BROWN, 3, width=2) == []
    purple = ("color", COLOR_TERMS.index("purple"))
    assert len(trials.fewest(found, purple, 2, width=2)) == 2  # which is nowhere, so that nothing removes it


def test_a_row_of_units_by_trial(target, atlas):
    told = row(
        Bench(target, atlas, TablePlan(("brown",), "colors", top=3, samples=23, draws=2, seed=4, width=2)), "brown"
    )
    n_found = len(choose_units(atlas, "brown", 11))
    assert told["words"]["found_units"] == n_found >= told["iou"]["found_units"]
    assert told["words"]["removed"]["value"] > 0.9 and told["words"]["units"] == ["layer1:0"]


def test_an_edit_takes_the_units_of_the_table(target, atlas):
    plan = EditPlan(query="brown", how="trial", samples=23, draws=2, seed=4)
    stages = []
    made = edit(target, atlas, plan, progress=lambda stage, done, most: stages.append(stage))
    wanted = row(Bench(target, atlas, TablePlan(("brown",), "colors", samples=96, draws=1, seed=4, width=6)), "brown")
    assert [unit["id"] for unit in made.report["units"]] == wanted["words"]["units"] == ["layer1:0"]
    assert "trying" in stages
    for options, fault, told in (
        ({"query": "things that are 8"}, ConceptsError, "--how trial must be for a concept"),
        ({"query": None, "units": "layer1:0"}, DescriberError, "Got --units"),
        ({"optimize": True}, DescriberError, "Got --optimize"),
    ):
        with pytest.raises(fault, match=told):
            edit(target, atlas, replace(plan, **options))
