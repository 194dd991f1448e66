"""Units of text found and cut: against plain loops, and on a planted network whose text unit is known."""

import json
from itertools import pairwise

import numpy as np
import pytest
import torch

from describer.atlas import Atlas
from describer.description import Description
from describer.eval.control.segmenter import HeldPictures
from describer.eval.experiments.cutting import Bench, best_number, ladder, ordered, random_cuts, singles
from describer.eval.experiments.lettering import LetteredImages
from describer.eval.experiments.pupils import PupilRecipe, as_target, prepared, taught
from describer.eval.experiments.spurious import Spurious, SpuriousPlan, lettered, lines
from describer.eval.experiments.suspects import (
    by_meaning,
    said_of_words,
    says_any,
    says_text,
    spoken,
    suspects,
    tells_text,
    words_alone,
)
from describer.eval.experiments.worlds import Part, Sizes, World
from describer.exemplars import Exemplars
from describer.intervention import Edit, edited
from describer.manifest import LayerEntry, Manifest, Source
from describer.scenenet import SceneClassifier
from describer.search.dissect import DissectSettings
from describer.search.index import search
from tests.describer.captioners import small_captioner

GREY = HeldPictures(np.full((5, 32, 32, 3), 128, np.uint8))
NAMES = ["red", "green", "blue"]
PURE = np.array([(220, 0, 0), (0, 200, 0), (0, 0, 230)], np.uint8)


# The pupils


def test_pupils_learn_and_are_read_back_the_same(tmp_path):
    world = colored(31)
    recipe = PupilRecipe((3, 5, 5, 7), 32, 24, 13, 1e-2)
    images = lettered(world.train, "plain", world, SpuriousPlan(Sizes(0, 0, 0, 0), recipe))
    told = []
    target = taught(images, world.train.labels, NAMES, recipe, tmp_path, lambda *args: told.append(args))
    assert told[-1] == (24, 24) and target.input_shape == (3, 32, 32) and target.class_names == NAMES
    inputs = torch.stack([target.preprocess(images.image(index)) for index in range(31)])
    assert (target.model(inputs).argmax(1).numpy() == world.train.labels).mean() > 0.9
    again = taught(images, world.train.labels, NAMES, recipe, tmp_path, lambda *args: told.append(args))
    assert len(told) == 24 and torch.equal(again.model(inputs), target.model(inputs))
    assert again.fingerprint == target.fingerprint


# Cuts


@pytest.fixture
def model(inputs):
    torch.manual_seed(5)
    net = SceneClassifier(5, 1, (3, 5, 7, 11))
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.weight.data.uniform_(0.5, 2)
    net.eval().requires_grad_(False)
    net.classes.bias -= net(inputs).mean(0)  # so that it says all of its classes
    return net


@pytest.fixture
def inputs():
    return torch.randn(113, 3, 32, 32, generator=torch.Generator().manual_seed(7))


def test_a_bench_says_what_the_whole_network_says_under_edits(model, inputs):
    labels = model(inputs).argmax(1).numpy()
    labels[::2] = np.random.default_rng(0).integers(0, 5, 57)
    bench = Bench.of(model, inputs, labels)
    peaks = bench.peaks()
    assert peaks.shape == (113, 26) and len(bench.units) == 26 and bench.units[3] == ("layer2", 0)
    assert np.allclose(peaks[:, 3], model.layer2(model.layer1(inputs))[:, 0].amax((1, 2)))
    different = 0
    for cut in ([], [("layer4", 10)], [("layer2", 1), ("layer4", 0), ("layer2", 4)], [("layer1", 0), ("layer3", 6)]):
        edits = [Edit(layer, (unit,), "ablate") for layer, unit in cut]
        with edited(model, edits):
            right = model(inputs).argmax(1).numpy() == labels
        for _ in range(2):  # nothing that is kept is changed
            assert (bench.right(cut) == right).all()
        different += (right != bench.right()).any()
    assert different > 1


def test_orders_and_choices_are_those_of_plain_loops(model, inputs):
    bench = Bench.of(model, inputs, np.random.default_rng(1).integers(0, 5, 113))
    units = [(layer, unit) for layer, n in (("layer2", 5), ("layer4", 11)) for unit in range(n)]
    alone = singles(bench, units)
    assert [float(bench.right([unit]).mean()) for unit in units] == alone.tolist()
    order = ordered(units, alone.tolist())
    for before, after in pairwise(order):
        first, second = units.index(before), units.index(after)
        assert alone[first] > alone[second] or (alone[first] == alone[second] and first < second)
    curve = ladder(bench, order, 7)
    assert curve.tolist() == [bench.right(order[:n]).mean() for n in range(8)]
    assert len(ladder(bench, order[:3], 7)) == 4 and ladder(bench, [], 7).tolist() == [bench.right().mean()]
    assert best_number(np.array([0.5, 0.7, 0.6, 0.7])) == 1 and best_number(np.array([0.5, 0.5])) == 0


def test_random_cuts_are_others_of_the_same_layers():
    among = [(layer, unit) for layer, n in (("a", 7), ("b", 3)) for unit in range(n)]
    cut = [("a", 1), ("b", 0), ("a", 4), ("b", 2)]
    draws = random_cuts(cut, among, 19, 0)
    assert len(draws) == 19 and len({tuple(sorted(drawn)) for drawn in draws}) > 5
    for drawn in draws:
        assert not {*drawn} & {*cut} and len({*drawn}) == len(drawn)
        assert sum(layer == "a" for layer, _ in drawn) == 2 and sum(layer == "b" for layer, _ in drawn) == 1
    assert random_cuts([], among, 2, 0) == [[], []]


# Who is suspected


def test_telling_is_the_share_of_pairs_with_ties_by_half():
    rng = np.random.default_rng(0)
    plain, written = rng.integers(0, 5, (11, 3)).astype(np.float32), rng.integers(1, 7, (13, 3)).astype(np.float32)
    for unit, found in enumerate(tells_text(plain, written)):
        wins = [(b > a) + (b == a) / 2 for a in plain[:, unit] for b in written[:, unit]]
        assert found == pytest.approx(np.mean(wins))


def test_what_descriptions_say():
    queries = ("text", "letters", "sign")
    assert says_any("white Letters on walls", queries) and says_any("peace signs", queries)
    assert not says_any("textured walls", queries) and not says_any(None, queries) and not says_any("", queries)
    assert says_text({"formula": "white AND object:text"}) and says_text({"formula": "text OR sky"})
    assert not says_text({"formula": "white AND NOT text"}) and not says_text({"formula": None})


# A planted network: unit 3 sees white, as only letters have it, and speaks for the first class


def colored(n, seed=0):
    """Pictures of one of three colours."""
    labels = np.random.default_rng(seed).integers(0, 3, 4 * n)
    pixels = np.broadcast_to(PURE[labels][:, None, None], (4 * n, 32, 32, 3)).copy()
    parts = [Part(HeldPictures(pixels[i * n : (i + 1) * n]), labels[i * n : (i + 1) * n]) for i in range(4)]
    return World("colours", NAMES, *parts)


def planted(led_astray):
    """Every stage hands on what its first convolution saw: three colours, white, and nothing in the others."""
    net = SceneClassifier(3, 1, (5, 5, 5, 5))
    with torch.no_grad():
        for number in range(1, 5):
            stage = net.get_submodule(f"layer{number}")
            for place in (0, 3):
                stage[place].weight.zero_()
                for unit in range(4):
                    spread = 1 / 9 if place == 0 else 0.0
                    if number > 1 or place > 0:
                        stage[place].weight[unit, unit] = spread
                        stage[place].weight[unit, unit, 1, 1] = 0.5 if place == 0 else 1.0
                if number == 1 and place == 0:
                    stage[place].weight[:3] = -0.5 / 9
                    for unit in range(3):
                        stage[place].weight[unit, unit] = 1 / 9
                    stage[place].weight[3] = 1 / 9
            stage[1].bias[3] = 0.5 if number == 1 else 0.0  # black rims and the rim of the picture stay below 0
        net.classes.weight.zero_()
        net.classes.weight[:, :3] = torch.eye(3)
        net.classes.weight[0, 3] = led_astray
        net.classes.bias.zero_()
    return as_target(net, "planted", NAMES, 32)


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    recipe = PupilRecipe((5, 5, 5, 5), 32)
    plan = SpuriousPlan(Sizes(0, 37, 37, 37), recipe, most=3, draws=2)
    spurious = Spurious(colored(37), plan, planted(3000.0), planted(0.0), lambda *_: None)
    settings = DissectSettings(size=32, quantile=0.95, n_shifts=1)
    return spurious.told(spurious.described(tmp_path_factory.mktemp("planted"), None, settings))


def test_the_planted_text_unit_is_found_and_cutting_it_mends_the_network(report):
    accuracy = report["accuracy"]
    assert accuracy["lettered"]["plain"]["value"] == accuracy["plain"]["wrong"]["value"] == 1.0
    assert accuracy["lettered"]["wrong"]["value"] < 0.7
    assert report["units"] == {f"layer{number}": 4 for number in range(1, 5)}  # the fifth is dead
    assert report["text_units"] == 4
    for way in ("concept", "formula"):
        found = report["found"][way]
        assert "layer1:3" in {shown["unit"] for shown in found["shown"]} and found["of_text"] >= 1
    for row in report["edits"]:
        wrong = row["test"]["wrong"]
        assert row["cut"][0][-2:] == ":3" and len(row["cut"]) == 1, row
        assert wrong["after"]["value"] == 1.0 and wrong["change_beyond_random"]["low"] > 0.2
        assert row["test"]["plain"]["change"]["value"] == 0.0
        assert row["validation"][0] < 0.7 and row["validation"][1] == 1.0
    assert {(row["way"], row["order"]) for row in report["edits"]} >= {("all", "adversarial"), ("truly", "said")}
    assert ("all", "said") not in {(row["way"], row["order"]) for row in report["edits"]}


def test_the_report_is_json_and_its_tables_are_whole(report):
    kept = json.dumps(report, allow_nan=False)
    assert json.dumps(json.loads(kept)) == kept
    told = lines(report)
    assert len([line for line in told if line.startswith("| all")]) == 2
    for head, rule in pairwise(told):
        if rule.startswith("|---"):
            assert head.count("|") == rule.count("|")


def written(path, method, told):
    """An atlas of three units with these descriptions; the last unit is dead."""
    entry = LayerEntry("layer1", 0, 3, 2, 2)
    manifest = Manifest(Source("m", "f"), Source("i", "g"), 2, {}, (entry,), {method: {}})
    kept = Exemplars(
        layer="layer1",
        unit_ids=torch.arange(3),
        images=torch.tensor([[0, 1], [1, 2], [0, 2]]),
        activations=torch.ones(3, 2),
        maps=torch.ones(3, 2, 2, 2, dtype=torch.float16),
        threshold=torch.zeros(3),
        dead=torch.tensor([False, False, True]),
    )
    pictures = np.random.default_rng(0).integers(0, 255, (3, 32, 32, 3)).astype(np.uint8)
    with Atlas.create(path, manifest) as atlas:
        atlas.write_layer("layer1", kept, told, HeldPictures(pictures))
    return Atlas.open(path)


def test_ways_whose_method_an_atlas_lacks_are_left_out(report, tmp_path):
    assert {*report["found"]} == {"concept", "formula"}
    texts = ("text", "white AND NOT text", None)
    scores = ({"iou": 0.3}, {"iou": 0.2}, {})
    rows = zip(range(3), texts, scores, strict=True)
    told = [Description("layer1", unit, text, "concept", score, formula=text) for unit, text, score in rows]
    found = suspects(written(tmp_path / "atlas", "concept", told))
    assert {*found} == {"concept"} and found["concept"].units == [("layer1", 0)]
    assert found["concept"].scores == [0.3] and found["concept"].texts == ["text"]


def test_captions_are_told_apart_by_what_the_judge_withdrew_and_meaning_needs_none(tmp_path):
    told = [
        Description("layer1", 0, None, "caption", {"pmi": 3.0}, withdrawn="white letters", reliable=False),
        Description("layer1", 1, "writing on walls", "caption", {"pmi": 2.0}, reliable=True),
        Description("layer1", 2, None, "caption"),
    ]
    atlas, captioner = written(tmp_path / "atlas", "caption", told), small_captioner()
    found = suspects(atlas, captioner, ("letters", "writing"))
    assert found["caption"].units == [("layer1", 1)]
    assert found["caption or withdrawn"].units == [("layer1", 0), ("layer1", 1)]
    assert found["caption or withdrawn"].texts == ["white letters", "writing on walls"]
    pmi = {}
    for query in ("letters", "writing"):
        for hit in search(atlas, query, captioner=captioner):
            pmi[hit.unit] = pmi.get(hit.unit, 0.0) + hit.score / 2
    assert found["meaning"].units == [("layer1", unit) for unit in sorted(pmi, key=lambda unit: -pmi[unit])]
    assert found["meaning"].scores == pytest.approx(sorted(pmi.values(), reverse=True)) and {*pmi} == {0, 1}
    assert len(by_meaning(atlas, ("letters",), 1, captioner).units) == 1
    assert spoken(atlas, 5) == {"units": 2, "reliable": 1, "most_said": {"white letters": 1, "writing on walls": 1}}


def test_words_alone_are_the_boxes_around_them():
    images = LetteredImages(GREY, ["dog", None, "ship", "cat", "frog"], 64, 3)
    alone = words_alone(images, 5, 2)
    assert alone.images.tolist() == [[0, 2], [3, 4]] and not alone.dead.any()
    for row, masks in zip(alone.images, alone.masks(64), strict=True):
        for index, mask in zip(row.tolist(), masks, strict=True):
            assert (mask.numpy() == images.box(index)).all()
    many = LetteredImages(
        HeldPictures(np.tile(GREY.pixels, (7, 1, 1, 1))), ["dog", "ship", "cat", "frog", "deer"] * 7, 64, 3
    )
    told = said_of_words(small_captioner(), many, ("letters", "sky"), 3)
    assert told["sets"] == 2 and sum(told["most_said"].values()) == 2 and {*told["pmi"]} == {"letters", "sky"}


def test_pictures_are_prepared_in_their_range():
    x = prepared(HeldPictures(np.array([[[[0, 127, 255]] * 8] * 8], np.uint8)).image(0), 32)
    assert x.shape == (3, 32, 32) and x[0].max() == -1 and x[2].min() == 1 and abs(float(x[1].mean())) < 0.01
