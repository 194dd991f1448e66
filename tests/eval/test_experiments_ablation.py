"""Units cut by what is said of them: every accuracy by loops over networks whose weights are zeroed by hand."""

import json
import math
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from describer.atlas import Atlas
from describer.data.classes import class_labels
from describer.data.concepts import load_concepts
from describer.data.images import load_images
from describer.data.tagging import tagger
from describer.data.targets import load_target
from describer.data.wordvectors import WordVectors
from describer.describe import describe
from describer.errors import AtlasError, DescriberError
from describer.eval.experiments import ablation
from describer.eval.experiments.ablation import measure, worded_units
from describer.eval.experiments.command import command
from describer.eval.experiments.cuts import Steps, Worded, curves, estimate
from describer.eval.experiments.orders import differences, matched, meaning_by, ordered, properties
from describer.probe import ProbeSettings
from describer.search.describers import form_describers
from describer.search.dissect import DissectSettings

SOURCE = f"{Path(__file__).with_name('sorter.py')}:make"
PURE = {"red": (220, 10, 20), "green": (10, 150, 30), "blue": (20, 30, 210)}
UNITS = [Worded("layer1", unit, text) for unit, text in enumerate(["red", "green", "blue", "a", "b", "c", "d"])]


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """A folder a class: 5 red, 7 green and 3 blue noisy pictures."""
    root, dice = tmp_path_factory.mktemp("photos"), np.random.default_rng(0)
    for (name, color), number in zip(PURE.items(), (5, 7, 3), strict=True):
        (root / name).mkdir()
        for i in range(number):
            pixels = np.clip(dice.normal(color, 40, (16, 16, 3)), 0, 255)
            Image.fromarray(pixels.astype(np.uint8)).save(root / name / f"{i}.png")
    return root


@pytest.fixture(scope="module")
def target():
    return load_target(SOURCE)


@pytest.fixture(scope="module")
def atlas(target, photos, tmp_path_factory):
    images = load_images(str(photos))
    describers = form_describers(
        load_concepts("colors", images), ["concept"], dissection=DissectSettings(quantile=0.7, n_shifts=0)
    )
    settings = ProbeSettings(k=3, quantile=0.7)
    return describe(
        target, images, tmp_path_factory.mktemp("sorter") / "atlas", describers, layers=["layer1"], settings=settings
    )


def letters(texts):
    """A meaning that computes: counts of the letters a to e, at unit norm."""
    counts = np.array([[text.count(letter) for letter in "abcde"] for text in texts], float).reshape(len(texts), 5)
    return counts / np.maximum(np.linalg.norm(counts, axis=1, keepdims=True), 1e-12)


# Orders


def test_orders_put_the_highest_first_and_deal_ties_anew():
    scores = np.array([0.0, 3.0, 1.0, 3.0, -2.0, 1.0, 1.0])
    orders = [ordered(scores, seed).tolist() for seed in range(23)]
    for order in orders:
        assert [scores[place] for place in order] == sorted(scores, reverse=True) and sorted(order) == list(range(7))
    assert {tuple(order[:2]) for order in orders} == {(1, 3), (3, 1)}
    assert ordered(scores, 5).tolist() == orders[5] and ordered(np.zeros(0), 0).tolist() == []


def test_matched_orders_meet_the_layers_in_the_same_turn():
    layers = ["one", "two", "two", "one", "three", "two", "one"]
    order = np.array([6, 1, 4, 0, 5, 2, 3])
    drawn = [matched(order, layers, seed).tolist() for seed in range(19)]
    assert all([layers[place] for place in each] == [layers[place] for place in order] for each in drawn)
    assert all(sorted(each) == list(range(7)) for each in drawn) and len({tuple(each) for each in drawn}) > 5


@pytest.mark.skipif(tagger() is None, reason="HanTa is not installed")
def test_parts_of_speech_are_counted():
    found = properties(["green hills under the sky", "dogs running", "striped things, red", "", "on"])
    assert found["words"].tolist() == [5, 2, 3, 0, 1]
    assert found["nouns"].tolist() == [2, 1, 1, 0, 0]
    assert found["verbs"].tolist() == [0, 1, 0, 0, 0]
    assert found["adjectives"].tolist() == [1, 0, 2, 0, 0]
    assert found["adpositions"].tolist() == [1, 0, 0, 0, 1]
    assert set(found) == {"words", "nouns", "verbs", "adjectives", "adpositions"}


def test_likeness_and_difference_by_loops():
    texts = ["abba cab, dead", "bead", "", "ace ace"]
    found = properties(texts, letters, ["cab", "dd"])
    for row, text in enumerate(texts):
        words = text.replace(",", "").split()
        pairs = [(x, y) for x in words for y in words if x != y]
        wanted = max((1 - float(letters([x])[0] @ letters([y])[0]) for x, y in pairs), default=0.0)
        assert found["difference"][row] == pytest.approx(wanted)
        for word in ("cab", "dd"):
            assert found[f"like {word}"][row] == pytest.approx(float(letters([text])[0] @ letters([word])[0]))
    assert differences(["", "one"], letters).tolist() == [0, 0]


def test_vectors_mean_by_their_words():
    vectors = WordVectors(("cat", "dog"), np.array([[3, 0], [0, 0.5]], np.float32))
    assert meaning_by(vectors)(["Cat dog", "cats", "cat"]).round(3).tolist() == [[0.707, 0.707], [0, 0], [1, 0]]


# Cuts


def zeroed(target, units):
    """The network with the weights of some units put to 0."""
    model = deepcopy(target.model)
    with torch.no_grad():
        for unit in units:
            model.colors.weight[unit], model.colors.bias[unit] = 0, 0
    return model


def right_by_loops(target, images, truth, units):
    model, found = zeroed(target, units), []
    for i in range(len(images)):
        with torch.inference_mode():
            found.append(int(model(target.preprocess(images.image(i))[None]).argmax()) == truth[i])
    return found


def test_accuracies_are_those_of_networks_zeroed_by_hand(target, photos):
    images = load_images(str(photos))
    truth = class_labels(images, target.class_names)
    scores = {"up": np.arange(7.0), "down": -np.arange(7.0)}
    steps = Steps(most=0.6, step=0.2, randoms=3, draws=2, batch_size=4)
    before, found = curves(target, images, truth, UNITS, scores, steps, {"down": 1})
    assert before.value == np.mean(right_by_loops(target, images, truth, [])) and before.n == 15
    assert [curve.order for curve in found] == ["random", "up", "down"]
    for curve, order in zip(found[1:], ([6, 5, 4, 3], [0, 1, 2, 3]), strict=True):
        wanted = [right_by_loops(target, images, truth, order[: round(share * 7)]) for share in (0.2, 0.4, 0.6)]
        assert curve.accuracy == pytest.approx([np.mean(each) for each in wanted])
        assert curve.mean.value == pytest.approx(np.mean(wanted)) and curve.layers == {"layer1": 1.0}
        assert curve.less_random.value == pytest.approx(curve.mean.value - found[0].mean.value)
        assert curve.less_random.low <= curve.less_random.value <= curve.less_random.high
    assert found[2].less_random.value < -0.1 < 0.1 < found[1].less_random.value
    assert found[0].less_layers is None and found[1].class_less_layers is None
    assert found[2].class_less_layers.value < 0 and found[2].class_less_layers.n == 7, "green rests on unit 1"
    again = curves(target, images, truth, UNITS, scores, steps, {"down": 1})
    assert (before, found) == again, "seeded"
    half = curves(target, images, truth, UNITS, scores, replace(steps, bf16=True), {"down": 1})
    assert half[1][1].accuracy == pytest.approx(found[1].accuracy, abs=0.1)
    assert next(target.model.parameters()).dtype == torch.float32 and target.model.colors.weight.is_contiguous()


def test_a_cut_that_comes_twice_runs_once(target, photos, monkeypatch):
    from describer.eval.experiments import cuts

    ran = []

    def counted(target, images, ways, *rest):
        ran.append(len(ways))
        return real(target, images, ways, *rest)

    real = cuts.predictions
    monkeypatch.setattr(cuts, "predictions", counted)
    images = load_images(str(photos))
    curves(target, images, class_labels(images, target.class_names), UNITS, {"up": np.arange(7.0)},
           Steps(most=1.0, step=1.0, randoms=3, draws=5))  # fmt: skip
    assert ran == [2], "none, and all"


def test_estimates_draw_pictures_and_orders():
    own, rival = np.random.default_rng(1).random((3, 41)), np.zeros((5, 41))
    found = estimate(own, None, 0)
    assert found.value == pytest.approx(own.mean()) and found.low < found.value < found.high
    assert estimate(own, rival, 0).value == pytest.approx(found.value)
    alone = estimate(np.tile(own[:1], (3, 1)), None, 0)
    wanted = np.sort(own[0][np.random.default_rng(2).integers(0, 41, (4000, 41))].mean(1))
    assert (alone.low, alone.high) == pytest.approx((wanted[100], wanted[3900]), abs=0.02), "Efron's percentiles"
    spread = np.stack([np.zeros(41), np.ones(41)])
    both = estimate(spread, None, 0)
    assert (both.low, both.high) == pytest.approx((0, 1)), "orders are drawn too"
    assert math.isnan(estimate(own[:, :0], None, 0).value)


def test_steps_are_refused_where_they_make_no_sense():
    assert Steps(most=0.2, step=0.02).shares == pytest.approx([0.02 * i for i in range(1, 11)])
    for wrong in ({"step": 0.0}, {"most": 1.2}, {"step": 0.3}, {"draws": 0}, {"randoms": 0}):
        with pytest.raises(DescriberError, match="Mend it"):
            Steps(**wrong)


# The whole


def test_the_whole_experiment(target, atlas, photos):
    units = worded_units(atlas, "concept")
    assert [(each.layer, each.text) for each in units[:3]] == [("layer1", name) for name in PURE]
    steps = Steps(most=0.3, step=0.15, randoms=3, draws=2)
    report = measure(target, atlas, load_images(str(photos)), units, letters, steps, 2, pictures=11)
    assert report["images"].startswith("11 of ") and report["n_units"] == len(units) >= 3
    assert sum(row["order"].startswith("like ") for row in report["orders"]) == 2
    assert all(row["mean"]["n"] == 11 for row in report["orders"])
    assert report["units with any"]["words"] == len(units)
    assert {"verbs", "adpositions"} <= set(report["no order"]), "colours have neither"
    assert not set(report["no order"]) & {row["order"] for row in report["orders"]}
    assert json.loads(json.dumps(report)) is not None


def test_the_command_line_tells_a_table_and_faults_in_one_line(atlas, photos, tmp_path, capsys, monkeypatch):
    app, out = command(main=ablation.main), tmp_path / "x.json"
    vectors = tmp_path / "v.txt"
    vectors.write_text("red 1 0\ngreen 0 1\nblue 1 1\n")
    options = ["--method", "concept", "--step", "0.2", "--draws", "1", "--vectors", str(vectors), "--device", "cpu"]
    found = CliRunner().invoke(app, [SOURCE, str(atlas.path), str(photos), *options, "--out", str(out)])
    assert found.exit_code == 0, found.output
    assert "less same layers" in found.output and "random" in found.output and "20% cut" in found.output
    assert len(json.loads(out.read_text())["orders"]) >= 4
    from describer.eval.experiments.command import run

    monkeypatch.setattr("sys.argv", ["ablation", SOURCE, str(tmp_path / "none"), str(photos)])
    with pytest.raises(SystemExit) as stopped:
        run(ablation.main)
    said = capsys.readouterr().err
    assert stopped.value.code == 2 and said.count("\n") == 1 and said.startswith("describer: ")


def test_units_without_words_are_refused(atlas):
    with pytest.raises(AtlasError, match="caption"):
        worded_units(Atlas.open(atlas.path), "caption")
