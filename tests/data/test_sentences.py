"""Pairs of sentences, their words and features: files, columns, overlap by plain loops, neighbours by brute force."""

import itertools
import json
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from describer.data import tagging
from describer.data.sentence_features import OVERLAPS, category_of, sentence_features
from describer.data.sentences import SentencePairs, load_sentences
from describer.data.tagging import NO_TAGGER, tagged, words
from describer.data.wordvectors import WordVectors, learn_vectors, load_vectors
from describer.errors import ImagesError

ROWS = [
    ("A man runs.", "A person moves.", "entailment"),
    ('He said "two" dogs.', "Two dogs, he said", "neutral"),
    ("A dog sleeps .", "No cat sleeps .", None),
]


def written(path, rows=ROWS, names=("premise", "hypothesis", "label")):
    """A file of pairs in the form that its name asks for."""
    rows = [(premise, hypothesis, label or "-") for premise, hypothesis, label in rows]
    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(dict(zip(names, row, strict=True))) + "\n" for row in rows))
    elif path.suffix == ".parquet":
        pq.write_table(pa.table({name: [row[i] for row in rows] for i, name in enumerate(names)}), path)
    elif path.suffix == ".tok":
        path.write_text("".join(f"{row[0]}\n{row[1]}\n" for row in rows))
        path.with_name(f"6_{path.stem}.csv").write_text("gt,pred\n" + "".join(f"{r[2]},x\n" for r in rows))
    else:
        mark = "," if path.suffix == ".csv" else "\t"
        cells = [[*names], *([f'"{cell.replace(chr(34), chr(34) * 2)}"' for cell in row] for row in rows)]
        path.write_text("".join(mark.join(line) + "\n" for line in cells))
    return path


@pytest.mark.parametrize("suffix", [".jsonl", ".csv", ".tsv", ".txt", ".parquet", ".tok"])
def test_every_form_of_file_gives_the_same_pairs(tmp_path, suffix):
    pairs = load_sentences(written(tmp_path / f"pairs{suffix}"))
    found = list(zip(pairs.premises, pairs.hypotheses, pairs.labels, strict=True))
    assert found == ROWS
    assert len(pairs) == 3


@pytest.mark.parametrize("names", [("sentence1", "sentence2", "gold_label"), ("sentence_A", "sentence_B", "gt")])
def test_columns_are_found_by_their_usual_names(tmp_path, names):
    assert load_sentences(written(tmp_path / "a.tsv", names=names)).labels == ("entailment", "neutral", None)


def test_files_stand_one_after_another_and_the_content_is_the_fingerprint(tmp_path):
    one, two = written(tmp_path / "a.csv"), written(tmp_path / "b.jsonl", ROWS[:2])
    both = load_sentences(f"{one},{two}")
    assert len(both) == 5
    assert both.subset([4, 0]).premises == (ROWS[1][0], ROWS[0][0])
    assert both.subset([3, 4]).fingerprint == load_sentences(two).fingerprint != both.fingerprint


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.csv", "x,y\n1,2\n", "premise"),
        ("a.csv", "premise,hypothesis\n", "at least one pair"),
        ("a.csv", "premise,hypothesis\na,b\n ,b\n", "row 1"),
        ("a.tok", "one\ntwo\nthree\n", "two lines a pair"),
        ("a.jsonl", "{", "readable .jsonl"),
        ("a.docx", "", "one of"),
    ],
)
def test_a_bad_file_is_told_in_one_sentence(tmp_path, name, content, said):
    (tmp_path / name).write_text(content)
    with pytest.raises(ImagesError, match=said):
        load_sentences(tmp_path / name)


def test_a_missing_file_is_told(tmp_path):
    with pytest.raises(ImagesError, match="does not exist"):
        load_sentences(tmp_path / "no.csv")


def test_words_are_lower_case_and_marks_stand_alone():
    assert words("Two men’s dogs, 3.5 T-shirts!") == ["two", "men's", "dogs", ",", "3.5", "t-shirts", "!"]
    assert words("") == []


def test_words_get_lemma_and_tag():
    found = {word.text: word for word in tagged("Two men are running .")}
    assert (found["men"].lemma, found["men"].tag) == ("man", "NN2")
    assert (found["running"].lemma, found["running"].tag) == ("run", "VVG")


@pytest.fixture
def no_tagger(monkeypatch):
    """HanTa as on a machine that has it not."""
    monkeypatch.setitem(sys.modules, "HanTa.HanoverTagger", None)
    tagging.tagger.cache_clear()
    yield
    tagging.tagger.cache_clear()


def test_without_a_tagger_there_are_words_alone_and_a_note(no_tagger):
    features = sentence_features(some_pairs(), min_pairs=1)
    assert features.notes == (NO_TAGGER,)
    assert {name.split(":")[1] for name in features.names} == {"tok", "overlap"}
    assert "pre:tok:running" in features.names


def some_pairs():
    """All pairs of seven sentences: 49."""
    said = ("Two dogs are running .", "A dog runs .", "The man sleeps .", "Men sleep in a park .", "Two men run",
            "A cat sleeps in the park .", "No dog sleeps .")  # fmt: skip
    premises, hypotheses = zip(*itertools.product(said, said), strict=True)
    return SentencePairs("test", premises, hypotheses, (None,) * len(premises))


def test_features_are_what_plain_loops_say():
    pairs = some_pairs()
    features = sentence_features(pairs, n_words=11, min_pairs=2)
    table = features.held.toarray()
    for row, (premise, hypothesis) in enumerate(zip(pairs.premises, pairs.hypotheses, strict=True)):
        sides = {"pre": tagged(premise), "hyp": tagged(hypothesis)}
        lemmas = [{word.lemma for word in side if word.text != "."} for side in sides.values()]
        shared = len(lemmas[0] & lemmas[1]) / len(lemmas[0] | lemmas[1])
        for column, name in enumerate(features.names):
            side, kind, value = name.split(":")
            if side == "oth":
                wanted = shared > int(value.removeprefix("overlap")) / 100
            else:
                index = {"tok": 0, "lem": 1, "tag": 2}[kind]
                wanted = any(word[index] == value for word in sides[side])
            assert table[row, column] == wanted, (premise, hypothesis, name)


def test_features_have_an_order_a_group_and_no_needless_twins():
    features = sentence_features(some_pairs(), min_pairs=1)
    assert len(set(features.names)) == len(features.names) == features.held.shape[1]
    assert [f"oth:overlap:overlap{n}" for n in OVERLAPS] == list(features.names[-4:])
    assert "pre:lem:two" not in features.names, "says what pre:tok:two says"
    assert "pre:lem:dog" in features.names
    assert "pre:tok:a" not in features.names
    groups = [key for key, _ in itertools.groupby(features.categories)]
    assert groups == ["premise word", "premise lemma", "premise part of speech",
                      "hypothesis word", "hypothesis lemma", "hypothesis part of speech", "overlap"]  # fmt: skip
    assert category_of("hyp:tok:a:b") == "hypothesis word"


def test_rare_features_are_left_out_and_none_at_all_is_a_fault():
    pairs = SentencePairs("x", ("one", "two"), ("three", "four"), (None, None))
    with pytest.raises(ImagesError, match="min_pairs"):
        sentence_features(pairs, min_pairs=3)


def drawn_vectors(seed=0):
    """Eleven words in seven dimensions."""
    numbers = np.random.default_rng(seed).normal(size=(11, 7)).astype(np.float32).round(3)
    return WordVectors(tuple(f"w{i}" for i in range(11)), numbers)


def test_neighbors_are_the_nearest_by_cosine():
    table = drawn_vectors()
    for word in table.words:
        x = table.vectors[table.rows[word]].astype(np.float64)
        cosines = {}
        for other in table.words[:8]:
            y = table.vectors[table.rows[other]].astype(np.float64)
            cosines[other] = sum(a * b for a, b in zip(x, y, strict=True)) / np.sqrt((x @ x) * (y @ y))
        wanted = sorted((other for other in cosines if other != word), key=lambda other: -cosines[other])[:3]
        assert table.neighbors(word, 3, table.words[:8]) == wanted
    assert table.neighbors("absent", 3, table.words) == []


def test_vectors_are_written_and_read(tmp_path):
    table = drawn_vectors()
    table.save(tmp_path / "v.txt")
    again = load_vectors(tmp_path / "v.txt")
    assert again.words == table.words
    np.testing.assert_allclose(again.vectors, table.vectors, atol=1e-4)
    (tmp_path / "w2v.txt").write_text("11 7\n" + (tmp_path / "v.txt").read_text())
    assert load_vectors(tmp_path / "w2v.txt").fingerprint == again.fingerprint


@pytest.mark.parametrize("content", ["", "a 1 2\nb 1\n", "a x y\n"])
def test_what_is_no_table_of_vectors_is_told(tmp_path, content):
    (tmp_path / "v.txt").write_text(content)
    with pytest.raises(ImagesError, match="on each line"):
        load_vectors(tmp_path / "v.txt")


def test_learnt_vectors_put_words_of_like_company_together():
    rng = np.random.default_rng(0)
    said = [[str(rng.choice(["dog", "puppy"])), "barks", "loud"] for _ in range(40)]
    said += [[str(rng.choice(["car", "truck"])), "drives", "fast"] for _ in range(40)]
    table = learn_vectors(said, dimensions=3, min_count=2)
    animals = ["puppy", "car", "truck"]
    assert table.neighbors("dog", 1, animals) == ["puppy"]
    assert table.neighbors("car", 1, ["dog", "puppy", "truck"]) == ["truck"]


def test_neighbors_of_features_stay_on_their_side():
    features = sentence_features(some_pairs(), min_pairs=1)
    known = sorted({name.split(":")[2] for name in features.names if ":tok:" in name})
    table = WordVectors(tuple(known), np.random.default_rng(1).normal(size=(len(known), 5)).astype(np.float32))
    near = features.neighbors(table, 2)
    for name, group in near.items():
        assert group[0] == name and len(group) == 3
        assert {":".join(other.split(":")[:2]) for other in group} == {":".join(name.split(":")[:2])}
    assert not any(":tag:" in name for name in near)
