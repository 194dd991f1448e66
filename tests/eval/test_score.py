"""`describer score`: what it reads, what it refuses, and that right descriptions beat wrong ones."""

import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from describer.atlas import Atlas
from describer.cli import app
from describer.data.concepts import load_concepts
from describer.data.images import load_images
from describer.errors import DescriberError
from describer.eval.grounding import Grounder, where_held
from describer.eval.score import scoring
from describer.eval.score.descriptions import Columns, read_descriptions, read_human
from describer.eval.score.evidence import atlas_evidence
from describer.eval.score.report import shuffled
from describer.manifest import LayerEntry, Manifest, Source
from describer.responses import Responses
from tests.describer.dualencoders import small_listener
from tests.describer.worlds import LAYERS, Namer, make_exemplars

SCENES = "scenes:46:5"
JUDGING = tuple(range(1, 46, 2))
THINGS = (
    "trees",
    "houses",
    "clouds",
    "boats",
    "dogs",
    "roads",
    "cars",
    "red things",
    "beaches",
    "water",
    "birds",
    "hills",
)


class World(NamedTuple):
    """An atlas whose units are planted on drawn scenes, and the words that are true of them."""

    atlas: Path
    good: Path
    words: dict[tuple[str, int], str]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """Five units of stem and three of head; each answers where its thing is in a picture, with some noise."""
    folder = tmp_path_factory.mktemp("score")
    images, concepts = load_images(SCENES), load_concepts(SCENES)
    grounder = Grounder(concepts.names)
    held = where_held([grounder.read(text) for text in THINGS], concepts, JUDGING)
    spread = np.argsort(-held.std(1), kind="stable")[:8]  # things that some pictures show and others do not
    noise = 0.1 * np.random.default_rng(0).random((8, len(JUDGING)))
    answers = torch.from_numpy(held[spread] + noise).float()
    entries = (LayerEntry(name, i, *LAYERS[name]) for i, name in enumerate(LAYERS))
    about = Source("nets.py:small", "model-1"), Source(images.source, images.fingerprint)
    manifest = Manifest(*about, len(images), {"k": 4, "quantile": 0.99}, tuple(entries), {"caption": {}})
    words = {}
    with Atlas.create(folder / "atlas", manifest) as atlas:
        for layer, rows in (("stem", range(5)), ("head", range(5, 8))):
            own, units = answers[list(rows)], torch.arange(len(rows))
            words |= {(layer, unit): THINGS[spread[row]] for unit, row in enumerate(rows)}
            blank = torch.zeros(0, len(JUDGING))
            exemplars = make_exemplars(layer)
            responses = Responses(layer, units, torch.tensor(JUDGING), own, own / 2, blank, blank)
            atlas.write_judging(responses, exemplars)
            atlas.write_layer(layer, exemplars, Namer().describe(exemplars, images), images)
    good = folder / "good.csv"
    rows = [f"{layer},{unit},{text}" for (layer, unit), text in words.items()]
    good.write_text("\n".join(["layer,unit,description", *reversed(rows), ""]))  # not in the order of the atlas
    return World(folder / "atlas", good, words)


def run(*arguments: object) -> Any:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def lines(*arguments: object) -> list[dict[str, Any]]:
    """What a verb prints as JSON."""
    done = run(*arguments, "--json")
    assert done.exit_code == 0, (done.stderr, done.exception)
    return [json.loads(line) for line in done.stdout.splitlines()]


def refused(*arguments: object) -> str:
    """The one line with which it refuses."""
    done = run(*arguments)
    assert (done.exit_code, done.stdout) == (2, ""), (done.stdout, done.stderr, done.exception)
    return str(done.stderr).splitlines()[-1].removeprefix("describer: ")


def wrong_of(world: World, folder: Path) -> Path:
    """A file whose descriptions are those of other units."""
    told = list(world.words.items())
    rows = [f"{layer};{unit};{told[(i + 1) % len(told)][1]}" for i, ((layer, unit), _) in enumerate(told)]
    path = folder / "wrong.csv"
    path.write_text("\n".join(["Module,Neuron ID,Best Label", *rows]).replace(";", ","))
    return path


def test_right_descriptions_beat_wrong_shuffled_and_constant_ones(world: World, tmp_path: Path) -> None:
    wrong, before = wrong_of(world, tmp_path), world.good.read_bytes()
    out = tmp_path / "deep" / "units.jsonl"
    sources = f"right={world.good}", wrong, "--atlas", world.atlas, "--concepts", SCENES, "--alpha", "0.3"
    rows = {row["method"]: row for row in lines("score", *sources, "--out", out)}
    assert [row["baseline"] for row in rows.values()] == [False, False, True, True, True]
    right, other = rows["right"], rows["wrong"]
    assert right["units"] == 8 and right["described"] == 1
    for metric in ("pearson", "cosine", "auprc", "f1", "iou"):
        value, low, high = (right["scores"][metric][key] for key in ("value", "low", "high"))
        assert low <= value <= high and value > 0.6, (metric, value)
        assert low > other["scores"][metric]["value"]
        assert value > max(row["scores"][metric]["value"] for row in rows.values() if row["baseline"])
    assert right["p"] < 0.05 < other["p"]
    units = [json.loads(line) for line in out.read_text().splitlines()]
    assert len(units) == 16 and units[0]["id"] == "head:0" and units[0]["method"] == "right"
    for row in units[::2]:  # every score is that of its own unit, whatever the order of the file
        assert row["description"] == world.words[row["layer"], row["unit"]]
        assert row["scores"]["pearson"] > 0.9
    assert world.good.read_bytes() == before


def test_an_atlas_is_scored_by_a_listener(world: World, tmp_path: Path) -> None:
    small_listener().save_pretrained(tmp_path / "listener")
    done = run("score", world.atlas, world.good, "--listener", tmp_path / "listener", "--metrics", "pearson,auc")
    assert done.exit_code == 0, (done.stderr, done.exception)
    assert "caption" in done.stdout and "auc [diagnostic]" in done.stdout and "listener" in done.stdout
    assert "good.csv: 'layer' as layer, 'unit' as unit, 'description' as description" in done.stderr
    assert "caption, shuffled" in done.stdout and "constant: " in done.stdout


def test_units_without_description_score_nothing(world: World, tmp_path: Path) -> None:
    silent = tmp_path / "silent.csv"
    silent.write_text("layer,unit,description\nstem,0,\nstem,2,  \nstem,3,\n")
    rows = lines("score", silent, "--atlas", world.atlas, "--concepts", SCENES)
    assert rows[0]["described"] == 0 and rows[0]["scores"]["pearson"]["value"] == 0 and rows[0]["p"] == 1


def test_means_of_places_can_be_judged(world: World) -> None:
    peaks, means = (atlas_evidence(Atlas.open(world.atlas), pooling) for pooling in ("peaks", "means"))
    units = [("head", 2), ("stem", 0)]
    np.testing.assert_allclose(means.activations(units) * 2, peaks.activations(units))
    assert peaks.images == JUDGING


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "must have a heading and a row a unit. Got an empty file."),
        ("layer,unit,description\n", "must have a row a unit. Got none."),
        ("layer,unit\nstem,0\n", "must have a column for the description. Got 'layer', 'unit'. Name it with --columns"),
        ("a,b,c\n1,2,3\n", "must have a column for the unit. Got 'a', 'b', 'c'."),
        ("layer,unit,description\nstem,0,x\nstem,0,y\n", "must describe a unit once. Got stem:0 again in line 3."),
        ("layer,unit,description\nstem,one,x\n", "must have whole numbers as units. Got 'one' in line 2."),
        ("layer,unit,description\nstum,0,x\n", "Got 'stum'. Nearest: stem"),
        ("layer,unit,description\nstem,512,x\n", "Got stem:512, of 5. Give the atlas of the same model."),
    ],
)
def test_files_that_cannot_be_used_are_refused(world: World, tmp_path: Path, content: str, said: str) -> None:
    path = tmp_path / "mine.csv"
    path.write_text(content)
    assert said in refused("score", path, "--atlas", world.atlas, "--concepts", SCENES)


def test_options_that_cannot_be_used_are_refused(world: World, tmp_path: Path) -> None:
    good = world.good
    assert refused("score").startswith("score must have something to score.")
    assert "descriptions must be in a readable CSV file" in refused("score", tmp_path / "none.csv")
    assert "must have units that answered. Got CSV files alone." in refused("score", good)
    assert "Got 'good' twice. Write NAME=FILE." in refused("score", good, good, "--atlas", world.atlas)
    assert "metrics must be of pearson," in refused("score", good, "--metrics", "bleu")
    assert "columns must be layer=HEADING" in refused("score", good, "--columns", "text=x")
    assert "must have the column 'x'." in refused("score", good, "--columns", "unit=x")
    assert "pooling must be peaks or means." in refused("score", world.atlas, "--pooling", "max")
    assert "Got both." in refused("score", world.atlas, "--concepts", SCENES, "--listener", "x")
    assert "which differ. Name them with --images." in refused("score", world.atlas, "--images", "scenes:9:1")
    assert "of others." in refused("score", world.atlas, "--concepts", "scenes:9:1")


def test_atlases_of_two_models_are_refused(world: World, tmp_path: Path) -> None:
    other = Manifest(Source("nets.py:other", "model-2"), Source("x", "y"), 3, {"k": 4})
    Atlas.create(tmp_path / "other", other).close()
    said = refused("score", world.atlas, tmp_path / "other")
    assert said.startswith("atlases must be of the same model, nets.py:small. Got") and "of nets.py:other" in said


def test_dnd_files_tell_the_layer_by_their_name(tmp_path: Path) -> None:
    for layer, text in (("layer1", "3,waves,water, \n0,,,\n"), ("layer10", "3, dogs ,cats,\n")):
        (tmp_path / f"dnd_resnet_{layer}.csv").write_text(f"Neuron ID,Label 1,Label 2,Label 3\n{text}")
    said = read_descriptions(f"DnD={tmp_path}/dnd_resnet_layer1.csv,{tmp_path}/dnd_resnet_layer10.csv")
    assert said.texts == {("layer1", 3): "waves", ("layer1", 0): None, ("layer10", 3): "dogs"}
    assert said.method == "DnD" and "layer layer1 by the file's name, 'Neuron ID' as unit" in said.told


def test_columns_can_be_named(tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    path.write_text('layer,unit,description,best\n4,07,wrong,"dogs, cats"\n')
    said = read_descriptions(str(path), Columns(description="best"))
    assert said.texts == {("4", 7): "dogs, cats"} and said.method == "mine"


def test_texts_are_scored_beside_their_baselines(tmp_path: Path) -> None:
    human, mine = tmp_path / "human.csv", tmp_path / "mine.csv"
    rows = ["a,0,red cars", "a,0,cars", "a,1,brown dogs", "a,1,dogs", "a,2,sky", "a,2,blue sky", "b,0,dogs", "b,0,dogs"]
    human.write_text("\n".join(["layer,unit,summary", *rows]))
    mine.write_text("layer,unit,description\na,0,red cars\na,1,brown dogs\na,2,blue sky\na,3,nobody wrote of it\n")
    found = {row["method"]: row for row in lines("score", mine, "--human", human)}
    assert list(found) == ["mine", "human–human", "constant: dogs", "mine, shuffled"]
    assert found["mine"]["units"] == 3 and set(found["mine"]["scores"]) == {"BLEU", "ROUGE-L"}
    assert found["mine"]["scores"]["ROUGE-L"]["value"] > found["constant: dogs"]["scores"]["ROUGE-L"]["value"]
    done = run("score", mine, "--human", human)
    assert "BERTScore: absent" in done.stdout and "human–human" in done.stdout
    assert "Check that layers are named alike." in refused("score", mine, "--human", mine)
    assert read_human(human)["a", 2] == ["sky", "blue sky"]


def test_the_sanity_checks_are_a_table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scoring, "SCENES", "scenes:46:5")
    monkeypatch.setattr(scoring, "FREQUENCIES", (0.1,))
    monkeypatch.setattr("describer.eval.sanity.COMMON", 0.6)
    done = run("score", "--sanity", "--metrics", "pearson,recall")
    assert done.exit_code == 0, (done.stderr, done.exception)
    pearson, recall = (line.split() for line in done.stdout.splitlines()[1:3])
    assert pearson[:2] == ["pearson", "pass"] and pearson[-1] == "sound"
    assert recall[:2] == ["recall", "FAIL"] and recall[-1] == "fails"
    rows = lines("score", "--sanity", "--metrics", "recall")
    assert {row["check"] for row in rows if not row["passed"]} >= {"extra", "constant"}


def test_every_text_goes_to_another_unit_of_its_layer() -> None:
    groups = [[0, 3, 4], [1, 2], [5]]
    for seed in range(7):
        order = shuffled(groups, 6, seed)
        assert sorted(order) == list(range(6)) and order[5] == 5
        for rows in groups[:2]:
            assert all(order[row] != row and order[row] in rows for row in rows)


def test_a_file_that_is_scored_is_no_output(world: World) -> None:
    before = world.good.read_bytes()
    assert "--out must be another file" in refused("score", world.good, "--atlas", world.atlas, "--out", world.good)
    assert world.good.read_bytes() == before
    with pytest.raises(DescriberError):
        read_descriptions(str(world.good.parent))
