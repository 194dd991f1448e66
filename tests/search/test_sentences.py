"""Forms over words: tables against plain loops, NEIGHBORS anywhere, planted units found, atlases that are listed."""

import itertools
import json

import numpy as np
import pytest
import torch
from torch import nn

from describer.data.sentence_features import sentence_features
from describer.data.sentences import SentencePairs
from describer.data.text_targets import TextTarget, read_units
from describer.data.wordvectors import WordVectors
from describer.errors import AtlasError, ConceptsError
from describer.search.describers import FormSettings
from describer.search.dissection import open_dissections
from describer.search.forms import Concept, Neighbors, parse
from describer.search.formulas import search_formulas
from describer.search.sentences import (
    SentencePictures,
    SentenceSettings,
    count_activity,
    describe_sentences,
    sentence_table,
    strongest,
)

PREMISES = ("a man runs", "two dogs sleep here", "the puppy sings", "a girl runs here", "no man sings")
HYPOTHESES = ("a man sings", "nobody runs", "the dog sleeps here", "a puppy runs", "the man sleeps", "a dog sings",
              "nobody sings here")  # fmt: skip


def all_pairs():
    """Thirty-five pairs, each hypothesis with each premise."""
    premises, hypotheses = zip(*itertools.product(PREMISES, HYPOTHESES), strict=True)
    return SentencePairs("test", premises, hypotheses, (None,) * 35)


class Planted(nn.Module):
    """Five units that each are a rule about words: what they mean is known."""

    def __init__(self):
        super().__init__()
        self.hidden = nn.ReLU()
        self.classes = nn.Linear(5, 3, bias=False)
        self.drop = nn.Dropout(0.5)
        with torch.no_grad():
            self.classes.weight.copy_(torch.arange(15.0).reshape(3, 5) - 7)

    def forward(self, rules):
        """Logits of three classes."""
        return self.classes(self.drop(self.hidden(rules)))


def rules(premises, hypotheses):
    """1 where a rule holds, -1 where not; the fourth holds once, the fifth never."""
    rows = []
    for p, h in zip(premises, hypotheses, strict=True):
        a, b = p.split(), h.split()
        held = ["nobody" in b, "here" in a and "man" not in b, ("dog" in b or "puppy" in b) and "sings" in b,
                p == PREMISES[0] and h == HYPOTHESES[0], False]  # fmt: skip
        rows.append([1.0 if x else -1.0 for x in held])
    return torch.tensor(rows)


def target():
    """The planted classifier."""
    model = Planted().eval().requires_grad_(False)
    return TextTarget("planted", model, rules, ("entailment", "neutral", "contradiction"), "f" * 64)


VECTORS = WordVectors(
    ("dog", "puppy", "man", "girl", "sings", "runs"),
    np.array([[1, 0, 0], [0.9, 0.1, 0], [0, 1, 0], [0, 0.9, 0.2], [0, 0, 1], [0, 0.1, 1]], np.float32),
)
SETTINGS = SentenceSettings(min_pairs=1, n_neighbors=1, k=4, n_shifts=2)


@pytest.fixture(scope="module")
def atlas(tmp_path_factory):
    notes = []
    folder = tmp_path_factory.mktemp("atlas")
    forms = FormSettings(max_length=3)
    found = describe_sentences(target(), all_pairs(), folder, None, VECTORS, SETTINGS, forms, say=notes.append)
    assert notes == []
    return found


def test_planted_rules_are_found_word_by_word(atlas):
    rows = atlas.units()
    assert [row["id"] for row in rows] == [f"hidden:{unit}" for unit in range(5)]
    assert [row["iou"] for row in rows[:3]] == [1.0, 1.0, 1.0]
    pairs, laid = all_pairs(), open_dissections(atlas.path)[0]
    rule = rules(pairs.premises, pairs.hypotheses).numpy() > 0
    counts = laid.layer("hidden").counts
    assert np.array_equal(laid.layer("hidden").fires, rule)
    for unit in range(3):  # the form holds on exactly the signatures where the unit is active
        held = laid.table.mask(parse(rows[unit]["formula"]))
        n_active = int(rule[:, unit].sum())
        assert int(counts.areas[unit]) == n_active == int(laid.table.sizes[held].sum())
        assert int(counts.counts[[unit]].toarray()[0][held].sum()) == n_active


def test_units_that_are_hardly_ever_active_are_not_described(atlas):
    rows = atlas.units()
    assert [row["description"] is None for row in rows] == [False, False, False, True, True]
    assert [row["dead"] for row in rows] == [False, False, False, False, True]
    assert rows[3]["scores"]["active"] == pytest.approx(1 / 35)
    assert rows[0]["scores"]["active"] == pytest.approx(10 / 35)


def test_rows_have_the_weights_to_the_classes_and_what_chance_gives(atlas):
    row = atlas.units()[1]
    weights = [row["scores"][f"weight {name}"] for name in ("entailment", "neutral", "contradiction")]
    assert weights == [-6.0, -1.0, 4.0]
    told = {**row, **row["scores"]}
    assert 0 < told["chance_iou"] < 1
    assert told["p_value"] == pytest.approx(1 / 3)
    assert told["detection_accuracy"] == told["coverage"] == 1.0


def test_exemplars_are_the_strongest_pairs(atlas):
    exemplars = atlas.exemplars("hidden")
    pairs = all_pairs()
    wanted = [i for i, held in enumerate(rules(pairs.premises, pairs.hypotheses)[:, 1] > 0) if held]
    assert exemplars.images[1].tolist() == wanted[:4]
    assert exemplars.masks(3)[1].all()
    assert not exemplars.masks(3)[4].any()
    assert atlas.thumbnail(wanted[0]).size == (112, 112)


def test_the_same_call_again_returns_what_is_there_and_another_is_refused(atlas):
    before = atlas.units()
    forms = FormSettings(max_length=3)
    again = describe_sentences(target(), all_pairs(), atlas.path, None, VECTORS, SETTINGS, forms)
    assert again.units() == before
    with pytest.raises(AtlasError, match="vectors"):
        describe_sentences(target(), all_pairs(), atlas.path, None, None, SETTINGS, forms)


def test_counts_and_neighbors_are_what_plain_loops_say():
    pairs = all_pairs()
    features = sentence_features(pairs, min_pairs=1)
    table = sentence_table(features, VECTORS, 1)
    active = np.random.default_rng(0).random((35, 4)) < 0.4
    counts, shifted = count_activity(table, active, (3,))
    assert table.neighbors["hyp:tok:dog"] == ("hyp:tok:dog", "hyp:tok:puppy")
    leaves = [Concept("hyp:tok:sings"), Neighbors("hyp:tok:dog"), Concept("oth:overlap:overlap0")]
    form = leaves[2] & ~leaves[0] & leaves[1]

    def true(row):
        near = {"dog", "puppy"} & set(pairs.hypotheses[row].split())
        column = features.names.index("oth:overlap:overlap0")
        return bool(near) and "sings" not in pairs.hypotheses[row].split() and bool(features.held[row, column])

    mask = table.mask(form)
    assert int(table.sizes[mask].sum()) == sum(map(true, range(35)))
    for unit in range(4):
        assert int(counts.counts[[unit]].toarray()[0][mask].sum()) == sum(
            true(i) and active[i, unit] for i in range(35)
        )
        assert int(shifted[0].counts[[unit]].toarray()[0][mask].sum()) == sum(
            true((i + 3) % 35) and active[i, unit] for i in range(35)
        )


def test_neighbors_come_anywhere_in_a_form():
    """The published code can only put NEIGHBORS first; this form, the only one of two concepts, has it second."""
    pairs = all_pairs()
    table = sentence_table(sentence_features(pairs, min_pairs=1), VECTORS, 1)
    active = np.array([[("dog" in h or "puppy" in h) and "two" in p]
                       for p, h in zip(pairs.premises, pairs.hypotheses, strict=True)])  # fmt: skip
    (found,) = search_formulas(table, count_activity(table, active)[0], max_length=2)
    assert found.iou == 1.0
    assert isinstance(found.formula.leaves[1], Neighbors)
    assert table.area(found.formula) == int(active.sum()) == 3


def test_the_best_single_concept_is_found_by_brute_force():
    pairs = all_pairs()
    features = sentence_features(pairs, min_pairs=1)
    table = sentence_table(features)
    active = np.random.default_rng(5).random((35, 3)) < 0.5
    found = search_formulas(table, count_activity(table, active)[0], max_length=1)
    held = features.held.toarray()
    for unit in range(3):
        both = [held[:, c] & active[:, unit] for c in range(held.shape[1])]
        either = [held[:, c] | active[:, unit] for c in range(held.shape[1])]
        ious = [b.sum() / e.sum() for b, e in zip(both, either, strict=True)]
        negated = [(~held[:, c] & active[:, unit]).sum() / (~held[:, c] | active[:, unit]).sum()
                   for c in range(held.shape[1])]  # fmt: skip
        assert found[unit].concept_iou == pytest.approx(max(ious))
        assert found[unit].iou == pytest.approx(max(ious + negated))


def test_ties_are_in_the_order_of_the_pairs_and_k_may_exceed_them():
    found = read_units(target(), all_pairs().subset([0, 1, 2]))
    exemplars = strongest(found, SentenceSettings(k=7))
    assert exemplars.images.shape == (5, 3)
    assert exemplars.images[4].tolist() == [0, 1, 2]


def test_pictures_of_text_differ_with_the_text():
    pictures = SentencePictures(SentencePairs("x", ("a " * 90, "b"), ("c", "c"), (None, None)))
    assert pictures.image(0).size == (224, 224)
    assert pictures.image(0).tobytes() != pictures.image(1).tobytes()


def test_settings_that_cannot_be_are_refused():
    with pytest.raises(ConceptsError, match="min_active"):
        SentenceSettings(min_active=1.5)


def test_the_verb_describes_sentences_and_lists_the_units(tmp_path, capsys):
    from describer.cli import app
    from describer.data.pairnet import PairClassifier, PairEncoder, PairNetSizes, save_pairnet

    torch.manual_seed(0)
    known = tuple(sorted({word for sentence in (*PREMISES, *HYPOTHESES) for word in sentence.split()}))
    model = PairClassifier(PairNetSizes(len(known) + 2, 3, embedding=5, hidden=7, units=11))
    save_pairnet(tmp_path / "nli", model, PairEncoder(known), ["entailment", "neutral", "contradiction"])
    pairs = all_pairs()
    rows = [{"premise": p, "hypothesis": h} for p, h in zip(pairs.premises, pairs.hypotheses, strict=True)]
    (tmp_path / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    VECTORS.save(tmp_path / "vectors.txt")
    told = [str(tmp_path / "pairs.jsonl"), "--out", str(tmp_path / "atlas"), "--max-length", "2", "--shifts", "1"]
    told += ["--vectors", str(tmp_path / "vectors.txt"), "--method", "formula", "--device", "cpu"]
    assert spoken(app, ["describe", f"pairs:{tmp_path / 'nli'}", *told], capsys)[0] == 0
    code, said = spoken(app, ["units", str(tmp_path / "atlas"), "--json"], capsys)
    found = [json.loads(line) for line in said.splitlines()]
    assert code == 0 and [row["id"] for row in found] == [f"units:{unit}" for unit in range(11)]
    described = [row for row in found if row["description"]]
    assert described and all(0 < row["iou"] <= 1 and parse(row["formula"]).length <= 2 for row in described)
    code, _ = spoken(app, ["describe", f"pairs:{tmp_path / 'nli'}", *told[:-4], "--method", "caption"], capsys)
    assert code == 2


def spoken(app, words, capsys):
    """Exit code and stdout of one command."""
    with pytest.raises(SystemExit) as ended:
        app(words)
    return ended.value.code, capsys.readouterr().out
