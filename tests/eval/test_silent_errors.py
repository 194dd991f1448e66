"""Errors that published tools make without a word: ours gives the right answer, and the mistake would be seen.

Each test computes what the described mistake gives, and checks that it differs from what we give.
"""

import csv
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from describer.cli import app
from describer.errors import DescriberError
from describer.eval.metrics.generative import cosy
from describer.eval.metrics.texts import bleu, rouge, rouge_pair
from describer.eval.score.descriptions import read_descriptions
from describer.eval.score.evidence import embedded, foretold
from describer.eval.score.scoring import inputs_of
from describer.statistics import pearson_table
from describer.wordlist import read_words

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
