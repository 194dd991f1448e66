"""The few units worth a person's time: greedy coverage against brute force, and what an atlas gives to cover."""

import itertools
import json
from math import e, sqrt
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from describer.cli import app
from describer.data.images import load_images
from describer.data.targets import load_target
from describer.errors import AtlasError, TargetError
from describer.eval.control.ablation import read_batches
from describer.eval.control.pick import Cover, PickPlan, answers, contributed, greedy, pick, scaled
from describer.exemplars import Exemplars
from describer.responses import Responses
from tests.eval.described import describe_colors


def slow_coverage(table, rows):
    return sum(max([table[u][j] for u in rows], default=0.0) for j in range(len(table[0])))


def slow_greedy(table, number):
    """Every row looked at in every step; the first of equal ones."""
    rows = []
    for _ in range(number):
        base = slow_coverage(table, rows)
        gains = [slow_coverage(table, [*rows, u]) - base if u not in rows else -1.0 for u in range(len(table))]
        if max(gains) <= 1e-12:
            break
        rows.append(gains.index(max(gains)))
    return rows


@pytest.mark.parametrize("seed", range(12))
def test_greedy_against_brute_force(seed):
    dice = np.random.default_rng(seed)
    table = dice.gamma(0.3, size=(11, 7)) * (dice.random((11, 7)) < 0.5)
    for number in (1, 2, 3, 5):
        found = greedy([table], number)
        assert list(found.rows) == slow_greedy(table, number)
        assert sum(found.gains) == pytest.approx(slow_coverage(table, found.rows))
        best = max(slow_coverage(table, rows) for rows in itertools.combinations(range(11), number))
        assert (1 - 1 / e) * best <= sum(found.gains) + 1e-12 and sum(found.gains) <= best + 1e-12
        assert best <= found.bound + 1e-12


def test_greedy_is_not_always_best_but_within_its_guarantee():
    table = np.array([[2.0, 2.0, 0, 0], [2.0, 0, 1.9, 0], [0, 2.0, 0, 1.9]])  # the first row is bait
    found = greedy([table], 2)
    assert found.rows[0] == 0 and sum(found.gains) == pytest.approx(5.9)
    assert found.bound >= 7.8 and 1 - 1 / e < 5.9 / 7.8


def test_coverage_is_submodular_and_never_falls():
    table = np.random.default_rng(3).random((5, 7))
    for small in itertools.chain.from_iterable(itertools.combinations(range(5), n) for n in range(4)):
        for more in set(range(5)) - set(small):
            large = [*small, more]
            for row in set(range(5)) - set(large):
                first, second = Cover([table]), Cover([table])
                for u in small:
                    first.add(u)
                for u in large:
                    second.add(u)
                assert first.added(row).sum() >= second.added(row).sum() >= 0


def test_equal_rows_rows_of_nothing_and_more_than_there_are():
    table = np.array([[0.0, 0.0, 0.0], [1.0, 0.5, 0.0], [1.0, 0.5, 0.0], [0.0, 0.0, 0.25]])
    found = greedy([table], 9)
    assert found.rows == (1, 3) and found.gains == pytest.approx((1.5, 0.25)) and found.bound == pytest.approx(1.75)
    assert greedy([np.zeros((0, 3))], 2).rows == () and greedy([np.zeros((3, 0))], 2).rows == ()
    assert greedy([table], 2, able=[2, 3]).rows == (2, 3)


def test_layers_have_images_of_their_own():
    one, other = np.array([[1.0, 0.2], [0.9, 0.3]]), np.array([[0.5, 0.0, 0.8]])
    found = greedy([one, other], 3)
    assert found.rows == (2, 0, 1) and found.gains == pytest.approx((1.3, 1.2, 0.1))


# What there is to cover


def exemplars(images, activations, dead):
    images = torch.tensor(images)
    maps = torch.zeros(*images.shape, 1, 1)
    parts = torch.tensor(activations), maps, torch.zeros(len(images)), torch.tensor(dead)
    return Exemplars("layer1", torch.tensor([4, 2, 7]), images, *parts)


def test_answers_of_responses_by_loops():
    means = torch.randn(3, 5, generator=torch.Generator().manual_seed(1))
    means[0] = 2.0  # silent: it never changes
    responses = Responses("layer1", torch.tensor([2, 4, 7]), torch.tensor([3, 5, 6, 8, 9]), means, means, means, means)
    known = exemplars([[0, 1]] * 3, [[1.0, 0.5]] * 3, [False, False, True])
    weights, seen = answers(known, responses)
    assert seen.tolist() == [3, 5, 6, 8, 9] and (weights[1:] == 0).all()  # unit 2 is silent, unit 7 dead
    row = means[1].tolist()
    mean = sum(row) / 5
    spread = sqrt(sum((x - mean) ** 2 for x in row) / 5)
    assert weights[0].tolist() == pytest.approx([max((x - mean) / spread, 0) for x in row], rel=1e-5)


def test_answers_of_exemplars():
    known = exemplars([[9, 3], [3, -1], [5, 3]], [[4.0, 1.0], [2.0, -torch.inf], [-1.0, -2.0]], [False, False, False])
    weights, seen = answers(known, None)
    assert seen.tolist() == [3, 5, 9] and weights.tolist() == [[0.25, 0, 1], [1, 0, 0], [0, 0, 0]]


def test_what_an_image_counts_by_loops():
    weights = np.random.default_rng(0).gamma(0.5, size=(3, 5))
    weights[:, 2] = 0
    importance = [sqrt(sum(weights[u][j] for u in range(3))) for j in range(5)]
    for j in range(5):
        for u in range(3):
            most = max(weights[v][j] for v in range(3))
            wanted = importance[j] * weights[u][j] / most / sum(importance) if most else 0.0
            assert scaled(weights)[u, j] == pytest.approx(wanted)
    assert scaled(weights).max(0).sum() == pytest.approx(1) and scaled(np.zeros((2, 3))).sum() == 0


# An atlas


@pytest.fixture(scope="module")
def atlas(target, tmp_path_factory):
    path = tmp_path_factory.mktemp("painter") / "atlas"
    return describe_colors(target, load_images("latents:97:5", target), path, 0.9, layers=("fc", "layer1"))


def test_units_of_an_atlas(atlas):
    report = pick(atlas, PickPlan(5, ("layer1",), draws=53))
    assert len({unit["id"] for unit in report["units"]}) == 5 and report["read"] == {"layer1": "exemplars"}
    gains = [unit["gain"] for unit in report["units"]]
    assert gains == sorted(gains, reverse=True) and sum(gains) == pytest.approx(report["coverage"])
    assert report["units"][-1]["coverage"] == pytest.approx(report["coverage"]) == report["layers"]["layer1"]
    assert report["random"]["value"] < report["coverage"] <= 1 and report["of_the_best"]["at_least"] > 1 - 1 / e
    weights, seen = answers(atlas.exemplars("layer1"), None)
    assert [unit["unit"] for unit in report["units"]] == slow_greedy(scaled(weights).tolist(), 5)
    assert set(report["units"][0]["images"]) <= set(seen.tolist())
    json.dumps(report, allow_nan=False)
    everything = pick(atlas, PickPlan(99, ("layer*",), draws=1))
    assert everything["coverage"] == pytest.approx(1) and everything["of_the_best"]["at_least"] == pytest.approx(1)


@pytest.fixture(scope="module")
def sorter():
    return load_target(str(Path(__file__).parent / "sorter.py") + ":make")


@pytest.fixture(scope="module")
def sorted_colors(sorter, tmp_path_factory):
    folder = tmp_path_factory.mktemp("sorter")
    dice = np.random.default_rng(0)
    for n in range(19):
        place = dice.permutation(3)
        color = np.zeros(3) + dice.uniform(20, 60)
        color[place[0]], color[place[1]] = dice.uniform(120, 250), dice.uniform(60, 110)
        color *= dice.uniform(0.3, 1)
        (folder / "pictures").mkdir(exist_ok=True)
        Image.fromarray(np.full((8, 8, 3), color, np.uint8)).save(folder / "pictures" / f"{n:02}.png")
    (folder / "pictures" / "broken.png").write_bytes(b"no picture")
    images = load_images(str(folder / "pictures"), sorter)
    return describe_colors(sorter, images, folder / "atlas", 0.9, layers=("layer1",)), images


def test_what_units_add_to_predictions(sorter, sorted_colors):
    atlas, images = sorted_colors
    told = contributed(sorter, atlas, ["layer1"], images)
    assert told.weights["layer1"].shape == (7, 19) and 19 not in told.images
    assert told.told["missing"]["layer1"] < 1e-4 and told.told["n"] == 19
    for row, index in enumerate(told.images.tolist()):
        x = sorter.preprocess(images.image(index))[None]
        with torch.no_grad():
            seen = sorter.model.layer1(sorter.model.colors(x)).mean((2, 3))[0]
            best = int(sorter.model(x)[0].argmax())
        # the tanh of one unit's mean and a hundredth of unit 3: all that a class rests on
        wanted = [0.0] * 7
        wanted[best] += float(torch.tanh(3 * seen[best]))
        wanted[3] += 0.01 * float(seen[3])
        assert told.weights["layer1"][:, row].tolist() == pytest.approx(wanted, abs=1e-4)


def test_batches_without_a_readable_picture_are_passed_over(sorter, sorted_colors):
    images, told = sorted_colors[1], []
    read = list(read_batches(sorter, images, 1, "reading", lambda *each: told.append(each)))
    assert [index for index, _ in read] == [[n] for n in range(19)] and told[-1] == ("reading", 20, 20)
    assert torch.equal(read[7][1][0], sorter.preprocess(images.image(7)))


def test_picked_by_what_they_add(sorter, sorted_colors):
    atlas, images = sorted_colors
    report = pick(atlas, PickPlan(3, draws=29), sorter, images)
    # the dark moves units 4 to 6 and no class at all
    assert {unit["unit"] for unit in report["units"]} == {0, 1, 2} and report["read"] == {"layer1": "contributions"}
    assert report["coverage"] > 0.95 > report["random"]["value"] and report["images"]["n"] == 19
    json.dumps(report, allow_nan=False)


def test_predictions_must_be_of_the_same_network(atlas, target, sorter, sorted_colors):
    with pytest.raises(AtlasError, match="other weights"):
        pick(atlas, PickPlan(), sorter, sorted_colors[1])
    with pytest.raises(TargetError, match="must be a classifier"):
        pick(atlas, PickPlan(), target, sorted_colors[1])


def test_refusals(atlas):
    with pytest.raises(AtlasError, match="It has fc, layer1"):
        pick(atlas, PickPlan(layers=("layer9",)))
    with pytest.raises(AtlasError, match="1 or more"):
        PickPlan(0)


def test_the_verb(atlas):
    done = CliRunner().invoke(app, ["pick", str(atlas.path), "-n", "3", "--layers", "layer1"])
    assert done.exit_code == 0 and done.stdout.count("layer1:") == 3 and "random ones" in done.stdout, done.stderr
    told = CliRunner().invoke(app, ["pick", str(atlas.path), "-n", "2", "--described", "--json"])
    report = json.loads(told.stdout)
    assert len(report["units"]) == 2 and all(unit["text"] for unit in report["units"]), told.stderr
    assert CliRunner().invoke(app, ["pick", "nowhere"]).exit_code == 2
    half = CliRunner().invoke(app, ["pick", str(atlas.path), "--data", "scenes:3"])
    assert half.exit_code == 2 and "must come together" in half.stderr
