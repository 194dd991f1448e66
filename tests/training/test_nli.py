"""The classifier of sentence pairs learns what a tiny set teaches, and says what guessing would have had."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from describer.data.pairnet import PairEncoder, load_pairnet
from describer.data.sentences import load_sentences
from describer.data.text_targets import load_text_target, read_units
from describer.errors import RecipeError
from describer.training.nli import PairLessons, accuracy, blinded, labelled
from describer.training.recipe import make_recipe

WHO, DOES = ("man", "dog", "girl", "cat"), ("runs", "sleeps", "eats", "sings")


def written(path, flip=False):
    """Every premise with the same, another and the denied deed; the hypothesis alone says nothing of the first two."""
    rows = ["premise,hypothesis,label"]
    for i, who in enumerate(WHO):
        for j, does in enumerate(DOES):
            other = DOES[(j + 1 + i % 3) % len(DOES)]
            for _ in range(2):
                rows.append(f"a {who} {does},a {who} {does},entailment")
                rows.append(f"a {who} {does},a {who} {other},neutral")
                rows.append(f"a {who} {does},no {who} {does},contradiction")
    rows.append("a man runs,a man,-")
    path.write_text("\n".join(rows) + "\n")
    return path


@pytest.fixture
def recipe(tmp_path):
    written(tmp_path / "train.csv")
    said = [[f"a {who} {does}", f"the {who} {does} here", f"the {who} now {does}"] for who in WHO for does in DOES]
    pq.write_table(pa.table({"captions": said}), tmp_path / "captions.parquet")
    fields = {
        "kind": "nli", "out": str(tmp_path / "out"), "data": str(tmp_path), "train_on": ["train.csv"],
        "held_out": "train.csv", "tests": ["train.csv"], "captions": ["*.parquet"], "embedding": 8, "hidden": 12,
        "units": 23, "dropout": 0.0, "word_dropout": 0.0, "batch": 16, "warm_up": 4, "steps": 90,
        "hypothesis_steps": 30, "learning_rate": 0.01, "every": 30,
    }  # fmt: skip
    return fields


def test_it_learns_and_beats_the_majority_and_the_hypothesis(recipe, tmp_path):
    folder = make_recipe(recipe).train(resume=False)
    (found,) = json.loads((folder / "accuracy.json").read_text()).values()
    assert found["majority"] == pytest.approx(1 / 3)
    assert found["pairs"] == 96
    assert found["model"] > 0.95
    assert 0.3 < found["hypothesis_only"] < 0.75, "denial is seen, the rest is not"
    pairs = labelled(load_sentences(tmp_path / "train.csv"))
    model, encode, names = load_pairnet(folder)
    right = sum(
        names[int(model(**encode([p], [h])).argmax())] == label
        for p, h, label in zip(pairs.premises, pairs.hypotheses, pairs.labels, strict=True)
    )
    assert right / len(pairs) == pytest.approx(found["model"], abs=0.02)
    units = read_units(load_text_target(f"pairs:{folder}"), pairs)
    assert units.values.shape == (96, 23)
    assert json.loads((folder / "config.json").read_text())["recipe"]["steps"] == 90


def test_sentences_of_a_test_are_no_captions(recipe, tmp_path):
    albums = make_recipe(recipe)._albums([load_sentences(tmp_path / "train.csv")])
    assert len(albums) == 16
    assert {caption.split()[0] for album in albums for caption in album} == {"the"}


def test_a_batch_follows_from_its_number(recipe, tmp_path):
    pairs = labelled(load_sentences(tmp_path / "train.csv"))
    encoder = PairEncoder(("a", "man", "dog", "runs"))
    lessons = PairLessons(pairs, encoder, make_recipe(recipe))
    one, same, other = lessons([5]), lessons([5]), lessons([6])
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert not torch.equal(one["labels"], other["labels"])
    assert set(blinded(pairs).premises) == {"\0"}


def test_a_wrong_recipe_is_told(recipe, tmp_path):
    with pytest.raises(RecipeError, match="train_on"):
        make_recipe(recipe | {"train_on": []})
    (tmp_path / "odd.csv").write_text("premise,hypothesis,label\na,b,maybe\n")
    with pytest.raises(RecipeError, match="maybe"):
        make_recipe(recipe | {"train_on": ["odd.csv"]}).train()


def test_accuracy_leaves_the_mode_alone(recipe, tmp_path):
    model, encode, _ = load_pairnet(make_recipe(recipe | {"steps": 2, "hypothesis_steps": 0}).train())
    model.train()
    accuracy(model, encode, labelled(load_sentences(tmp_path / "train.csv")))
    assert model.training
