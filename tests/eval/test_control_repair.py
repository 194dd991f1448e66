"""The smallest set of units that mends a named mistake: known culprits, brute force, the half that was not searched."""

import itertools
import json

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from describer.cli import app
from describer.data.classes import class_labels
from describer.data.images import load_images
from describer.data.targets import load_target
from describer.errors import DescriberError, TargetError
from describer.eval.control.choice import Chosen
from describer.eval.control.repair import Failure, Part, RepairPlan, Search, repair, split, worths
from describer.intervention import Edit, edited
from tests.eval.described import MISTAKEN, PAINTER, describe_colors, write_photos

NAMES = ["red", "green", "blue"]
UNITS = [Chosen("layer1", unit, None, "", None) for unit in range(7)]


def darkened(name, i, pixels):
    """12 of the green ones are dark by half or more, and called blue."""
    if name == "green" and i >= 7:
        pixels[:, : 8 + 2 * (i % 2)] = 0


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    return write_photos(tmp_path_factory.mktemp("photos"), {"red": 5, "green": 19, "blue": 3}, darkened)


@pytest.fixture(scope="module")
def target():
    return load_target(MISTAKEN)


@pytest.fixture(scope="module")
def atlas(target, photos, tmp_path_factory):
    return describe_colors(target, load_images(str(photos)), tmp_path_factory.mktemp("mistaken") / "atlas", 0.995)


@pytest.fixture(scope="module")
def truth(photos):
    return class_labels(load_images(str(photos)), NAMES)


# Mistakes and halves


def test_mistakes_that_a_person_names():
    assert Failure.of("green", NAMES) == Failure(1, None) and Failure.of("Green as blue", NAMES) == Failure(1, 2)
    assert Failure.of("as as as", ["as", "as as as"]) == Failure(1, None)
    truth, predicted = np.array([1, 1, 1, 0, 2]), np.array([[1, 2, 0, 2, 1], [2, 2, 2, 2, 2]])
    assert Failure(1, None).made(truth, predicted).tolist() == [[0, 1, 1, 0, 0], [1, 1, 1, 0, 0]]
    assert Failure(1, 2).made(truth, predicted).tolist() == [[0, 1, 0, 0, 0], [1, 1, 1, 0, 0]]
    for told, message in (
        ("grene", "nearest: green"),
        ("green as bleu", "nearest: blue"),
        ("red as red", "two classes"),
    ):
        with pytest.raises(DescriberError, match=message):
            Failure.of(told, NAMES)


def test_halves_share_classes_and_mistakes():
    truth = np.array([0] * 7 + [1] * 11 + [2] * 2)
    made = np.zeros(20, bool)
    made[7:12] = True
    test = split(truth, made, 3)
    assert [int(test[truth == label].sum()) for label in range(3)] == [3, 5, 1] and test[made].sum() == 2
    assert (split(truth, made, 3) == test).all() and (split(truth, made, 4) != test).any()


def test_a_part_keeps_the_numbers_of_the_whole(photos, target):
    part = Part(load_images(str(photos)), [7, 2])
    assert [index for index, _ in (part.inputs(target.preprocess)[i] for i in range(2))] == [7, 2] and len(part) == 2
    assert part.image(1).tobytes() == load_images(str(photos)).image(2).tobytes()
    assert part.fingerprint != Part(part.images, [2, 7]).fingerprint


# Which units, and which sets


def test_worths_are_slopes_by_differences(target, photos, truth):
    images, failure = load_images(str(photos)), Failure(1, None)
    chosen = [UNITS[unit] for unit in (5, 2, 1, 3)]
    found = worths(target, images, truth, failure, chosen, batch_size=5)
    x = torch.stack([target.preprocess(images.image(i)) for i in range(len(images))])
    made = failure.made(truth, target.model(x).argmax(1).numpy())
    assert made.sum() == 12

    def mean(unit, factor):
        with edited(target.model, [Edit("layer1", (unit,), "scale", factor)]):
            logits = target.model(x).double()
        true = [float(logits[i].log_softmax(0)[truth[i]]) for i in range(len(x))]
        return sum(t for t, m in zip(true, made, strict=True) if m) / 12 + sum(
            t for t, m in zip(true, made, strict=True) if not m
        ) / (len(x) - 12)

    wanted = [-(mean(each.unit, 1.01) - mean(each.unit, 0.99)) / 0.02 for each in chosen]
    assert found.tolist() == pytest.approx(wanted, abs=2e-3) and found[0] > 0.1 and abs(found[3]) < 0.01


def slow_judged(target, images, truth, failure, units):
    """Share repaired and accuracy lost elsewhere, picture by picture."""
    before, after, lost, others = 0, 0, 0, 0
    for i in range(len(images)):
        x = target.preprocess(images.image(i))[None]
        was = int(target.model(x).argmax())
        with edited(target.model, [Edit("layer1", units, "ablate")]):
            now = int(target.model(x).argmax())
        failed = truth[i] == failure.wanted and was != truth[i]
        before, after = before + failed, after + (truth[i] == failure.wanted and now != truth[i])
        others, lost = others + (not failed), lost + (not failed) * (int(was == truth[i]) - int(now == truth[i]))
    return 1 - after / before, lost / others


def test_the_smallest_set_against_brute_force(target, photos, truth):
    images, failure, plan = load_images(str(photos)), Failure(1, None), RepairPlan("green")
    search = Search(target, images, truth, failure, plan)
    sets = [s for n in (1, 2) for s in itertools.combinations(range(7), n)]
    told = [tuple(UNITS[unit] for unit in each) for each in sets]
    repaired, loss = search.repaired(told), search.lost(told)
    for place in (0, 3, 5, 11, 22, len(sets) - 1):
        assert (repaired[place], loss[place]) == pytest.approx(slow_judged(target, images, truth, failure, sets[place]))
    enough = [s for s, r, cost in zip(sets, repaired, loss, strict=True) if r >= plan.goal and cost <= plan.cost]
    assert enough == [(4, 5)]
    order = np.lexsort((np.clip(loss, 0, None), -repaired))  # stable
    wanted = [told[i] for i in order if loss[i] <= plan.cost]
    assert [each for _, _, each in search._ranked(told)][: plan.beam] == wanted[: plan.beam]
    search.n_sets = 0
    found = search.grow(UNITS)
    assert sorted(each.unit for each in found) == [4, 5] and [len(step["units"]) for step in search.steps] == [1, 2]


def test_what_was_tried_in_vain_is_counted(target, photos, truth):
    search = Search(target, load_images(str(photos)), truth, Failure(1, None), RepairPlan("green"))
    with pytest.raises(DescriberError, match="Got none of 6 sets of at most 2 of 3 units"):
        search.grow([UNITS[unit] for unit in (0, 3, 6)])
    with pytest.raises(DescriberError, match="Got no unit whose slope speaks for a cut"):
        search.grow([])


def test_a_mistake_is_mended_on_pictures_that_were_not_searched(target, atlas, photos):
    report = repair(target, atlas, load_images(str(photos)), RepairPlan("green as blue", draws=5))
    assert sorted(unit["id"] for unit in report["units"]) == ["layer1:4", "layer1:5"] and report["repaired"]
    test = report["test"]
    assert test["failure"]["n"] == 9 and test["n"] + report["validation"]["n"] == 27
    assert test["failure"]["before"]["value"] == pytest.approx(6 / 9) and test["failure"]["after"]["value"] == 0
    assert test["failure"]["change_beyond_random"]["high"] < 0 <= test["classes"]["red"]["change"]["value"]
    assert test["accuracy"]["after"]["value"] == 1 and test["failure"]["random"]["value"] > 0.3
    assert json.loads(json.dumps(report, allow_nan=False))["edits"][0]["units"] in ([4, 5], [5, 4])


def test_refusals(target, atlas, photos):
    images = load_images(str(photos))
    for plan, told in (
        (RepairPlan("red"), "mistaken. Got 0 of 27 pictures"),
        (RepairPlan("green", units="layer1:0,layer1:4"), "Raise --cost"),
        (RepairPlan("dogs"), "The nearest"),
        (RepairPlan("green", layers=("layer9",)), "Correct --layers"),
    ):
        with pytest.raises(DescriberError, match=told):
            repair(target, atlas, images, plan)
    for options in ({"goal": 0.0}, {"cost": 2.0}, {"query": "dark", "units": "layer1:1"}, {"how": "luck"}):
        with pytest.raises(DescriberError):
            RepairPlan("green", **options)
    with pytest.raises(TargetError, match="Got a generator"):
        repair(load_target(PAINTER), atlas, images, RepairPlan("green"))


def test_the_verb(atlas, photos, tmp_path):
    words = ["ablate", MISTAKEN, "--atlas", str(atlas.path), "--data", str(photos), "--repair", "green"]
    done = CliRunner().invoke(app, [*words, "--export", str(tmp_path / "mended")])
    assert done.exit_code == 0 and "100% repaired there, as wanted" in done.stdout, done.stderr
    cut = json.loads((tmp_path / "mended" / "patch.json").read_text())["cuts"]
    assert [(each["layer"], sorted(each["units"])) for each in cut] == [("layer1", [4, 5])]
    plan, told = RepairPlan("green"), json.loads(CliRunner().invoke(app, [*words, "--json"]).stdout)
    assert told["repaired"] and told["test"]["random_units"] == 2
    assert (told["plan"]["draws"], told["plan"]["top"]) == (plan.draws, plan.top)
    told = json.loads(CliRunner().invoke(app, [*words, "--json", "--draws", "2", "--top", "3", "--goal", "0.3"]).stdout)
    assert [told["plan"][name] for name in ("draws", "top", "goal", "cost")] == [2, 3, 0.3, plan.cost]
