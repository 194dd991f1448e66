"""Errors that published tools make without a word: ours gives the right answer, and the mistake would be seen.

Each test computes what the described mistake gives, and checks that it differs from what we give.
"""

import csv
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from typer.testing import CliRunner

from describer.atlas import Atlas
from describer.cli import app
from describer.data.targets import load_target
from describer.errors import AtlasError, DescriberError, TargetError
from describer.eval.metrics import score
from describer.eval.metrics.generative import cosy
from describer.eval.metrics.texts import bleu, rouge, rouge_pair
from describer.eval.score.descriptions import read_descriptions
from describer.eval.score.evidence import embedded, foretold
from describer.eval.score.scoring import inputs_of
from describer.layout import LayerInfo, match_layers
from describer.manifest import LayerEntry, Manifest, Source
from describer.search.meanings import filled
from describer.search.tables import IndexTables, sets_schema, words_schema
from describer.statistics import pearson_table
from describer.wordlist import read_words

NET = """
import torch
from torch import nn

def preprocess(image):
    return torch.full((3, 11, 13), image.getpixel((image.width - 1, 0))[0] / {divisor})

def load():
    model = nn.Sequential(nn.Conv2d(3, 5, 3))
    nn.init.constant_(model[0].weight, {weight})
    nn.init.zeros_(model[0].bias)
    return model, preprocess, ["ant", "bee"]
"""

UNITS = DIMS = 5
"As many units as dimensions: where axes can be mixed up without an error."


class Ears:
    """A listener whose vector of a text follows from the text alone."""

    def __init__(self) -> None:
        self.name, self.key = "ears", {"listener": "ears"}

    def embed_texts(self, texts: list[str]) -> torch.Tensor:
        rows = [torch.randn(DIMS, generator=torch.Generator().manual_seed(sum(map(ord, text)))) for text in texts]
        return torch.nn.functional.normalize(torch.stack(rows), dim=1)

    embed_images = embed_texts

    def simulate(self, text_embeddings: torch.Tensor, image_embeddings: torch.Tensor) -> torch.Tensor:
        return torch.sigmoid(text_embeddings @ image_embeddings.T)


class Foretelling:
    """What these ears say of some pictures."""

    def __init__(self, ears: Ears, pictures: torch.Tensor) -> None:
        self.name, self.ears, self.pictures = "ears", ears, pictures

    def __call__(self, texts: list[str]) -> np.ndarray:
        return self.ears.simulate(self.ears.embed_texts(texts), self.pictures).numpy()


def test_1_as_many_units_as_dimensions_mix_no_axes() -> None:
    """SemanticLens multiplies without transposing where x.shape[1] == y.shape[0]."""
    dice = np.random.default_rng(0)
    texts, units = dice.normal(size=(3, DIMS)), dice.normal(size=(UNITS, DIMS))
    expected = [[np.corrcoef(text, unit)[0, 1] for unit in units] for text in texts]
    np.testing.assert_allclose(pearson_table(texts, units), expected)
    untransposed = pearson_table(texts, units.T)
    assert untransposed.shape == (3, UNITS) and not np.allclose(untransposed, expected)  # nothing else would tell
    square = pearson_table(units, units)  # as many queries as units: a table, not a vector
    assert square.shape == (UNITS, UNITS)
    np.testing.assert_allclose(np.diag(square), 1)


def test_1_a_listener_tells_texts_from_images_of_equal_number() -> None:
    ears, texts = Ears(), [f"text {i}" for i in range(DIMS)]
    pictures = ears.embed_texts([f"picture {i}" for i in range(DIMS)])
    found = foretold(Foretelling(ears, pictures), texts)
    for row, text in enumerate(texts):
        for column in range(DIMS):
            cosine = float(ears.embed_texts([text])[0] @ pictures[column])
            assert found[row, column] == pytest.approx(1 / (1 + np.exp(-cosine)), rel=1e-5)


def test_1_text_search_over_as_many_units_as_dimensions_finds_the_nearest(tmp_path: Path) -> None:
    dice = np.random.default_rng(2)
    units = dice.normal(size=(UNITS, DIMS)).astype(np.float32)
    units /= np.linalg.norm(units, axis=1, keepdims=True)
    columns = {
        "place": np.arange(UNITS),
        "unit": np.arange(UNITS),
        "vector": units.tolist(),
        "strength": np.ones(UNITS),
    }
    columns |= {
        "layer": ["a"] * UNITS,
        "method": ["caption"] * UNITS,
        "description": [f"thing {i}" for i in range(UNITS)],
    }
    columns |= {name: [None] * UNITS for name in ("withdrawn", "formula")}
    columns |= {"searched": columns["description"], "has_formula": [False] * UNITS}
    words = pa.Table.from_pydict({f.name: columns[f.name] for f in words_schema(DIMS)}, schema=words_schema(DIMS))
    IndexTables.write(tmp_path, DIMS, 3, [(sets_schema(DIMS, 3).empty_table(), words)])
    query = torch.from_numpy(units[3] + 0.1 * units[1])
    query = torch.nn.functional.normalize(query, dim=0)
    found = {each.place: each.score for each in IndexTables(tmp_path).by_vector(query, None, UNITS)}
    for unit in range(UNITS):
        assert found[unit] == pytest.approx(sum(float(query[d]) * float(units[unit, d]) for d in range(DIMS)), abs=1e-5)
    assert max(found, key=lambda unit: found[unit]) == 3
    untransposed = query.numpy() @ units  # nothing tells it from the right product: it has the same shape
    assert untransposed.shape == (UNITS,) and not np.allclose(
        untransposed, [found[unit] for unit in range(UNITS)], atol=1e-3
    )


def test_2_templates_of_different_texts_are_not_mixed() -> None:
    """SemanticLens makes its list template by template, and cuts it query by query."""
    ears, texts, templates = Ears(), ["dogs", "cars"], ["a photo of {}", "{}", "a drawing of {}"]
    found = embedded(ears, texts, templates)
    for row, text in enumerate(texts):
        mean = sum(ears.embed_texts([template.replace("{}", text)])[0] for template in templates)
        torch.testing.assert_close(found[row], torch.nn.functional.normalize(mean, dim=0))
        torch.testing.assert_close(embedded(ears, [text], templates)[0], found[row])  # whatever else is asked
    mixed = [template.replace("{}", text) for template in templates for text in texts]
    wrong = torch.nn.functional.normalize(ears.embed_texts(mixed).unflatten(0, (2, 3)).mean(1), dim=1)
    assert not torch.allclose(wrong, found)


def test_2_search_fills_templates_query_by_query() -> None:
    queries, templates = ["dogs", "cars"], ("a photo of {}", "{}", "many {}")
    said = filled(queries, templates)
    for row, query in enumerate(queries):
        assert said[3 * row : 3 * row + 3] == [template.replace("{}", query) for template in templates]
    mistaken = [template.replace("{}", query) for template in templates for query in queries]
    assert mistaken[:3] != said[:3]


@pytest.mark.parametrize("similarity", [bleu, rouge])
def test_3_a_sentence_is_not_compared_by_its_characters(similarity) -> None:
    """DnD hands a string where a list is meant: the mean over its letters is what it reports."""
    text, reference = "a red car", "red cars"
    with pytest.raises(DescriberError, match="references must be a list"):
        similarity([text], [reference])
    by_letters = np.mean([rouge_pair(text, letter) for letter in reference])
    assert rouge([text], [[reference]])[0] != pytest.approx(by_letters)


def test_4_blank_lines_shift_no_label(tmp_path: Path) -> None:
    """CLIP-Dissect leaves blank lines out where it embeds concepts, and not where it names them."""
    words = tmp_path / "words.txt"
    words.write_text("dogs\n\ncars\n  \nsky\n")
    kept = read_words(words)
    assert kept == ["dogs", "cars", "sky"]
    shifted = [words.read_text().split("\n")[i] for i in range(3)]
    assert shifted != kept
    path = tmp_path / "mine.csv"
    path.write_text("layer,unit,description\na,0,dogs\n\na,1,\na,2,cars\n\na,3,sky\n")
    assert read_descriptions(str(path)).texts == {("a", 0): "dogs", ("a", 1): None, ("a", 2): "cars", ("a", 3): "sky"}


def test_4_what_is_kept_of_a_network_is_not_given_for_another(tmp_path: Path) -> None:
    """CLIP-Dissect's saved activations are named after the network alone: other weights get the old ones."""
    targets = []
    for folder, weight, divisor in (("one", 1.0, 255), ("other weights", 2.0, 255), ("other preprocessing", 1.0, 128)):
        path = tmp_path / folder / "net.py"
        path.parent.mkdir()
        path.write_text(NET.format(weight=weight, divisor=divisor))
        targets.append(load_target(f"{path}:load"))
    name_alone = {Path(target.name).name for target in targets}
    assert len(name_alone) == 1  # what the mistake goes by
    assert len({target.fingerprint for target in targets}) == 3
    probe_set, entry = Source("photos", "photos-1"), LayerEntry("0", 0, 5, 3, 3, probed=True)
    manifests = [Manifest(Source("net.py", t.fingerprint), probe_set, 7, {"k": 3}, (entry,)) for t in targets]
    Atlas.create(tmp_path / "atlas", manifests[0]).close()
    Atlas.create(tmp_path / "atlas", manifests[0]).close()  # the same is gone on with
    for other in manifests[1:]:
        with pytest.raises(AtlasError, match="must be continued with what it was begun with"):
            Atlas.create(tmp_path / "atlas", other)


def test_5_files_lie_in_their_folder(tmp_path: Path) -> None:
    """CoSy joins folder and file without a separator: what it writes lies beside the folder."""
    human, mine, folder = tmp_path / "human.csv", tmp_path / "mine.csv", tmp_path / "results"
    human.write_text("layer,unit,summary\na,0,red cars\na,0,cars\n")
    mine.write_text("layer,unit,description\na,0,cars\n")
    done = CliRunner().invoke(app, ["score", str(mine), "--human", str(human), "--out", str(folder / "units.jsonl")])
    assert done.exit_code == 0, done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["human.csv", "mine.csv", "results"]
    assert [path.name for path in folder.iterdir()] == ["units.jsonl"]


def test_6_ties_count_half() -> None:
    """NeuroLens counts P(A1 > A0) alone: a unit that never fires then has 0, as if it hated the text."""
    dead = np.zeros(7)
    assert cosy(dead, dead[:5], "any").auc == 0.5
    strictly = float(np.mean(dead[:5][:, None] > dead))
    assert strictly == 0
    some = cosy(np.array([0.0, 0, 1]), np.array([0.0, 2]), "any")
    assert some.auc == pytest.approx((0.5 + 0.5 + 0 + 1 + 1 + 1) / 6)


def test_7_what_is_scored_is_not_overwritten(tmp_path: Path) -> None:
    """The evaluation of Linear Explanations writes its scores into the CSV that it reads."""
    human, mine = tmp_path / "human.csv", tmp_path / "mine.csv"
    human.write_text("layer,unit,summary\na,0,red cars\na,0,cars\n")
    mine.write_text("layer,unit,description\na,0,cars\n")
    before = mine.read_bytes(), human.read_bytes()
    command = ["score", str(mine), "--human", str(human)]
    assert CliRunner().invoke(app, command).exit_code == 0
    for target in (mine, human, tmp_path / "." / "mine.csv"):
        done = CliRunner().invoke(app, [*command, "--out", str(target)])
        assert done.exit_code == 2 and "--out must be another file" in done.stderr
    assert (mine.read_bytes(), human.read_bytes()) == before


def test_8_a_layer_is_a_name_and_never_run(tmp_path: Path) -> None:
    """CLIP-Dissect and three others hand layer names to eval."""
    trace = tmp_path / "ran"
    layer = f"__import__('pathlib').Path({str(trace)!r}).touch()"
    path = tmp_path / "mine.csv"
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([("layer", "unit", "description"), (layer, 0, "cars")])
    assert list(inputs_of([str(path)], None, []).said[0].texts) == [(layer, 0)]
    done = CliRunner().invoke(app, ["score", str(path), "--human", str(path)])
    assert done.exit_code == 2 and not trace.exists()
    eval(layer)  # what the mistake does
    assert trace.exists()


def test_8_layers_to_describe_are_names_too(tmp_path: Path) -> None:
    trace = tmp_path / "ran"
    layer = f"__import__('pathlib').Path({str(trace)!r}).touch()"
    layers = [LayerInfo("stem", "maps", 5, 3, 3), LayerInfo("head", "vector", 7, 1, 1)]
    with pytest.raises(TargetError):
        match_layers([layer], layers)
    assert match_layers(["st*"], layers) == ["stem"] and not trace.exists()


def test_pearsons_r_of_a_row_with_itself_is_one() -> None:
    """NeuronEval divides by n what the unbiased deviation has divided by n - 1: with 5 images r is a fifth lower."""
    row = np.random.default_rng(4).normal(size=5)
    z = (row - row.mean()) / row.std(ddof=1)
    assert (z * z).mean() == pytest.approx(0.8)
    assert score(row[None], row[None], ["pearson"])["pearson"][0] == pytest.approx(1)


def test_a_unit_without_a_text_keeps_its_place(tmp_path: Path) -> None:
    """A row is known by layer and unit: files that leave units out, or list them otherwise, shift nothing."""
    one, other = tmp_path / "one.csv", tmp_path / "other.csv"
    one.write_text("layer,unit,description\na,2,sky\na,0,dogs\n")
    other.write_text("layer,unit,description\na,0,dogs\na,1,cars\na,2,sky\n")
    by_place = [line.split(",")[2] for line in one.read_text().splitlines()[1:]]
    texts = [read_descriptions(str(path)).texts for path in (one, other)]
    assert all(texts[0][unit] == texts[1][unit] for unit in texts[0]) and by_place != ["dogs", "sky"]
