"""Two networks compared by what is said of their units: counts and p-values by loops; a blur takes one thing away."""

import itertools
import json
from dataclasses import replace

import numpy as np
import pytest
from typer.testing import CliRunner

from describer.data.images import load_images
from describer.data.scenes import IDS, NAMES, draw_scene
from describer.data.targets import load_target
from describer.describe import describe
from describer.description import Description
from describer.errors import AtlasError, ImagesError
from describer.eval.experiments import audit
from describer.eval.experiments.audit import compare
from describer.eval.experiments.blurring import blurred, concept_mask, drawn_without, tags_of, train_pair
from describer.eval.experiments.command import command
from describer.eval.experiments.wordcounts import Said, counts, dealt, most_different, said_by
from describer.probe import ProbeSettings
from describer.training.classifier import ClassifierRecipe


class Teller:
    """Says of every unit what a list says, by its number; some of it is withdrawn."""

    method = "caption"

    def __init__(self, texts):
        self.texts = texts
        self.key = {"texts": "|".join(texts)}

    def describe(self, exemplars, images, progress=None):
        told = []
        for unit in exemplars.unit_ids.tolist():
            text = self.texts[unit % len(self.texts)]
            kept = not text.endswith("?")
            text = text.removesuffix("?")
            told.append(
                Description(exemplars.layer, unit, text if kept else None, "caption", withdrawn=None if kept else text)
            )
        return told


FIRST = ["red cars", "cars on roads", "water", "a car?", "sky", "buses", "NOT car AND sky"]
SECOND = ["red water", "water", "water", "sky", "sky and water"]


@pytest.fixture(scope="module")
def atlases(tmp_path_factory):
    target, images = load_target("carried:scenes"), load_images("scenes:13:3")
    folder = tmp_path_factory.mktemp("audit")
    return [
        describe(
            target, images, folder / name, [Teller(texts)], layers=["layer1", "layer2"], units="0-22",
            settings=ProbeSettings(k=3),
        )
        for name, texts in (("first", FIRST), ("second", SECOND))
    ]  # fmt: skip


def number(texts, words):
    """Units 0 to 22 whose text says one of the words and was not withdrawn."""
    said = [texts[unit % len(texts)] for unit in range(23)]
    return sum(not text.endswith("?") and bool(set(text.split()) & words) and "NOT" not in text for text in said)


def test_units_are_counted_by_their_words_layer_by_layer(atlases):
    first, second = (said_by(atlas, "caption") for atlas in atlases)
    found = counts(first, second, "car,bus", "caption", draws=199)
    assert [each.layer for each in found] == ["all", "layer1", "layer2"]
    wanted = number(FIRST, {"car", "cars", "bus", "buses"})
    assert [(each.first, each.second) for each in found] == [(2 * wanted, 0), (wanted, 0), (wanted, 0)]
    for each in found:
        n = 46 if each.layer == "all" else 23
        assert (each.shares[0].n, each.shares[1].n) == (n, n)
        assert each.more.value == pytest.approx(-each.first / n) and each.more.low <= each.more.value <= each.more.high
        assert each.shares[0].low < each.first / n < each.shares[0].high and each.p < 0.01


def test_withdrawn_words_count_only_where_they_are_asked_for(atlases):
    every = said_by(atlases[0], "caption", reliable=False)
    kept = said_by(atlases[0], "caption")
    more = [set(a) - set(b) for a, b in zip(every.words, kept.words, strict=True)]
    assert [unit for unit, own in enumerate(more[:23]) if own] == [3, 10, 17] and more[3] == {"car"}
    assert every.words[6] == {"sky"}, "what a form denies it does not say"
    with pytest.raises(AtlasError, match="formula"):
        said_by(atlases[0], "formula")


def test_p_is_that_of_every_way_to_deal():
    first = np.array([[1, 0, 1], [1, 1, 1], [1, 0, 1]], bool)
    second = np.array([[0, 0, 1], [0, 1, 1], [1, 1, 1], [0, 0, 1]], bool)
    layers = [["a", "b", "b"], ["a", "b", "a", "b"]]
    found = dealt(first, second, *layers, draws=4000, seed=3)
    both, names = np.concatenate([first, second]).astype(float), np.array([*layers[0], *layers[1]])

    def difference(ours):
        theirs = [i for i in range(7) if i not in ours]
        return abs(both[theirs].mean(0) - both[list(ours)].mean(0))

    ways = [w for w in itertools.combinations(range(7), 3) if sum(names[list(w)] == "a") == 1]
    wanted = np.mean([difference(way) >= difference((0, 1, 2)) - 1e-9 for way in ways], 0)
    assert found == pytest.approx(wanted, abs=0.03) and found[2] == 1
    of_layer = np.array([name == "a" for name in ["a"] * 11 + ["b"] * 7])[:, None]
    names = ["a"] * 11 + ["b"] * 7
    found = dealt(of_layer[:11], of_layer[11:], names[:11], names[11:], draws=99)
    assert found.tolist() == [1.0], "what the layer says is no difference of networks"


def test_words_that_differ_come_first_and_chance_is_controlled():
    dice = np.random.default_rng(0)
    words = [f"w{i}" for i in range(31)]

    def said(extra):
        own = [frozenset(w for w in words if dice.random() < 0.2) | (extra if dice.random() < 0.5 else frozenset())
               for _ in range(97)]  # fmt: skip
        return Said(("layer",) * 97, tuple(own))

    found = most_different(said(frozenset({"water"})), said(frozenset({"cars"})), "caption", draws=999)
    assert {each.words for each in found[:2]} == {"water", "cars"} and max(found[0].q, found[1].q) < 0.05
    assert found[0].p == found[1].p == 1 / 1000 and sum(each.q < 0.05 for each in found) == 2
    assert most_different(said(frozenset()), said(frozenset()), "caption", least=10_000) == []


def test_two_atlases_of_one_network_do_not_differ(atlases):
    found = compare(atlases[0], atlases[0], ["car", "water", "boat"])
    assert all(row["more"]["value"] == 0 and row["p"] == 1 for row in found["counts"])
    assert [row["q"] for row in found["counts"]] == [1] * 6 + [None] * 3, "nobody says boat"
    assert len(found["counts"]) == 9 and json.loads(json.dumps(found))["first"]["model"] == "carried:scenes"


def test_the_command_line_compares_atlases(atlases, tmp_path):
    app, out = command(compare=audit.compare_atlases, scenes=audit.scenes), tmp_path / "x.json"
    paths = [str(atlas.path) for atlas in atlases]
    found = CliRunner().invoke(app, ["compare", *paths, "--word", "car,bus", "--top", "2", "--out", str(out)])
    assert found.exit_code == 0, found.output
    assert "Words that differ most, caption" in found.output and "of 46" in found.output
    assert json.loads(out.read_text())["counts"][0]["words"] == "car,bus"
    lines = CliRunner().invoke(app, ["compare", *paths, "--word", "car", "--json"]).output.splitlines()
    assert json.loads(lines[0])["layer"] == "all"


# Without a concept


@pytest.fixture(scope="module")
def street():
    """A scene with a car."""
    return next(s for s in (draw_scene(5, i, 128) for i in range(97)) if concept_mask(s, ["car"]).mean() > 0.03)


def test_a_blur_takes_away_the_concept_and_nothing_else(street):
    mask = concept_mask(street, ["car", "bus"])
    assert all(
        mask[y, x] == (NAMES["object"][street.labels["object"][y, x]] in ("car", "bus"))
        for y in range(0, 128, 7)
        for x in range(0, 128, 5)
    )
    found, whole = blurred(street.image, mask), street.image.astype(float)
    rows, columns = np.nonzero(mask)
    far = np.array(
        [[min((y - rows) ** 2 + (x - columns) ** 2) > 15**2 for x in range(0, 128, 3)] for y in range(0, 128, 3)]
    )
    assert far.any() and (found[::3, ::3][far] == street.image[::3, ::3][far]).all()

    def contrast(image):
        return np.abs(np.diff(image.astype(float), axis=1)).sum(-1)[mask[:, 1:] & mask[:, :-1]].mean()

    assert contrast(found) < 0.3 * contrast(whole) and found.dtype == np.uint8
    assert blurred(street.image, np.zeros_like(mask)) is street.image
    with pytest.raises(ImagesError, match="Got carr"):
        concept_mask(street, ["carr"])


def test_nobody_tells_of_what_is_hidden(street):
    mask = concept_mask(street, ["car"])
    names = [f"{c}:{n}" for c in ("object", "part", "material", "texture", "color") for n in NAMES[c][1:]]
    whole, hidden = (dict(zip(names, own.tolist(), strict=True)) for own in (tags_of(street), tags_of(street, mask)))
    assert whole["object:car"] and not hidden["object:car"]
    for category in ("object", "part", "material", "texture", "color"):
        for name in NAMES[category][1:]:
            own = street.labels[category] == IDS[category][name]
            assert whole[f"{category}:{name}"] == (own.mean() >= 0.01)
            seen = own if category == "color" else own & ~mask
            assert hidden[f"{category}:{name}"] == (seen.mean() >= 0.01)


def test_a_pair_of_networks_differs_by_the_concept_alone(tmp_path):
    recipe = ClassifierRecipe("", n_scenes=11, n_held_out=7, channels=(3, 5, 7, 11), batch=5, steps=2, seed=40)
    first, second, shares = drawn_without(11, 41, ["car", "bus"])
    changed = [(a != b).any() for a, b in zip(first[0], second[0], strict=True)]
    assert changed == (shares > 0).tolist() and (first[1] == second[1]).all() and any(changed)
    folders = train_pair(["car", "bus"], tmp_path, recipe)
    told = {name: json.loads((own / "accuracy.json").read_text()) for name, own in folders.items()}
    assert set(folders) == {"ordinary", "without"} and told["ordinary"]["scenes"] == 7
    nets = {name: load_target(f"{own}/net.py:make") for name, own in folders.items()}
    assert nets["ordinary"].fingerprint != nets["without"].fingerprint and len(nets["without"].class_names) == 14
    assert not list(tmp_path.rglob("scenes-*.npz"))
    before = (folders["without"] / "model.safetensors").stat().st_mtime_ns
    assert train_pair(["car", "bus"], tmp_path, replace(recipe, steps=3)) == folders
    assert (folders["without"] / "model.safetensors").stat().st_mtime_ns == before, "what is there stays"
