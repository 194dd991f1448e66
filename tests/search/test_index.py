"""Search against slow oracles: BM25 by hand, cosine and PMI unit by unit, and every way in which an index must hold."""

import math
import shutil
import threading
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch

from describer.atlas import Atlas
from describer.description import Description
from describer.errors import AtlasError
from describer.regions import EncodedImages, exemplar_features
from describer.search.atlasindex import FOLDER, Thumbnails, words_table
from describer.search.index import Index, Searcher, search
from describer.search.meanings import Meanings
from describer.search.query import reciprocal_ranks
from tests.describer.captioners import small_captioner
from tests.describer.worlds import LAYERS, Squares, make_exemplars, make_manifest
from tests.search.indexed import FORMS, LIVING, WORDS, write_atlas


def memory_of(atlas: Atlas, layer: str, unit: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Of one unit alone, straight from its thumbnails."""
    captioner = small_captioner()
    exemplars = atlas.exemplars(layer).subset([unit])
    with torch.inference_mode():
        features, present = exemplar_features(EncodedImages(captioner.encoder, Thumbnails(atlas)), exemplars)
        return captioner.encode(features, present), present


def vector_of(atlas: Atlas, layer: str, unit: int) -> np.ndarray:
    """Mean of the vectors of its exemplars one by one."""
    captioner = small_captioner()
    exemplars = atlas.exemplars(layer).subset([unit])
    with torch.inference_mode():
        features, present = exemplar_features(EncodedImages(captioner.encoder, Thumbnails(atlas)), exemplars)
        each = [captioner.exemplar_embedding(one) for one, there in zip(features[0], present[0], strict=True) if there]
    return (sum(each) / len(each)).double().numpy()


# Words, meaning, PMI: each against its definition


def bm25(query: list[str], documents: dict[str, list[str]]) -> dict[str, float]:
    """Robertson's formula with k1 = 1.2, b = .75 over words that are stems already."""
    mean = sum(map(len, documents.values())) / len(documents)
    scores = {}
    for name, words in documents.items():
        score = 0.0
        for word in query:
            n_with = sum(word in other for other in documents.values())
            idf = math.log(1 + (len(documents) - n_with + 0.5) / (n_with + 0.5))
            n = words.count(word)
            score += idf * n * 2.2 / (n + 1.2 * (0.25 + 0.75 * len(words) / mean))
        if score:
            scores[name] = score
    return scores


STEMS = {"cars": "car", "wheels": "wheel", "dogs": "dog", "objects": "object"}
STOPPED = {"of", "and", "on", "a"}


def stems(text: str) -> list[str]:
    return [STEMS.get(word, word) for word in text.lower().split() if word not in STOPPED]


@pytest.mark.parametrize("query", ["red dogs", "Grass and WATER", "red"])
def test_words_are_ordered_by_bm25(query: str, searcher: Searcher) -> None:
    texts = {f"{layer}:{u}": t for layer, words in WORDS.items() for u, t in enumerate(words) if t and t != "dead"}
    documents = {name: stems(text) for name, text in texts.items()}
    documents |= {f"body.0:{unit} form": stems(form) for unit, (form, _) in FORMS.items()}
    wanted: dict[str, float] = {}
    for name, score in bm25(stems(query), documents).items():
        unit = name.removesuffix(" form")
        wanted[unit] = max(score, wanted.get(unit, 0.0))
    hits = searcher.search(query, how="words", k=99)
    assert {hit.id: hit.score for hit in hits} == pytest.approx(wanted, abs=1e-4)
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
    assert len({hit.id for hit in hits}) == len(hits) and {hit.by for hit in hits} == {"words"}


def test_what_a_form_negates_is_not_found(tmp_path: Path) -> None:
    forms = {0: 'dog AND NOT red AND NOT "open sky"', 2: "red AND NOT (dog OR grass)", 4: "NOT red", 6: "striped"}
    with Atlas.create(tmp_path / "atlas", make_manifest(layers=("body.0",))) as atlas:
        atlas.write_exemplars(make_exemplars("body.0"), Squares())
        told = [Description("body.0", unit, forms.get(unit), "formula", formula=forms.get(unit)) for unit in range(7)]
        atlas.write_descriptions("body.0", "formula", told)
    searcher = Searcher(tmp_path / "atlas", small_captioner())
    for query, units in (("red", [2]), ("dog", [0]), ("sky", []), ("grass", []), ("not", []), ("striped", [6])):
        assert [hit.unit for hit in searcher.search(query, how="words")] == units, query
    assert searcher.search("dog", how="words")[0].description == forms[0], "shown whole"


def test_units_with_the_same_text_stay_apart(searcher: Searcher) -> None:
    hits = searcher.search("red cars", how="words", k=2)
    assert [(hit.id, hit.description) for hit in hits] == [("stem:0", "red cars"), ("stem:4", "red cars")]


def test_meaning_is_the_cosine_of_exemplars_and_text(path: Path, searcher: Searcher) -> None:
    captioner, atlas = small_captioner(), Atlas.open(path)
    wanted = {}
    with torch.inference_mode():
        text = captioner.text_embedding(captioner.tokens(["brown dogs"]))[0].double().numpy()
        for name in LIVING:
            layer, unit = atlas.locate(name)
            vector = vector_of(atlas, layer, unit)
            wanted[name] = float(vector @ text / np.linalg.norm(vector) / np.linalg.norm(text))
    hits = searcher.search("brown dogs", how="meaning", k=99)
    assert {hit.id: hit.score for hit in hits} == pytest.approx(wanted, abs=2e-3)
    assert [hit.id for hit in hits] == sorted(wanted, key=lambda name: -wanted[name])


def test_units_are_reranked_by_the_captioners_pmi_and_cosine(path: Path, searcher: Searcher) -> None:
    captioner, atlas = small_captioner(), Atlas.open(path)
    prior = float(captioner.log_prior(["grass"])[0])
    wanted = {}
    cosine = {hit.id: hit.score for hit in searcher.search("grass", how="meaning", k=99)}
    for name in LIVING:
        memory, present = memory_of(atlas, *atlas.locate(name))
        wanted[name] = float(captioner.log_prob(["grass"], memory, present)[0, 0]) - prior
    hits = searcher.search("grass", k=99)
    assert {hit.id: hit.parts["pmi"] for hit in hits} == pytest.approx(wanted, abs=0.02)
    assert {hit.id: hit.parts["cosine"] for hit in hits} == pytest.approx(cosine, abs=1e-5)
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
    for hit in hits:
        assert hit.score == pytest.approx(hit.parts["pmi"] + 30 * hit.parts["cosine"])
        assert hit.by == "reranked" and hit.parts["log_prior"] == pytest.approx(prior, abs=1e-4)
        assert hit.parts["pmi"] == pytest.approx(hit.parts["log_prob"] - hit.parts["log_prior"])


def test_vectors_come_in_the_order_in_which_they_are_asked_for(path: Path, searcher: Searcher) -> None:
    tables, atlas = searcher.indexes[0].tables, Atlas.open(path)
    names = ("head:2", "stem:0", "body.0:6", "stem:1")
    numbers = [tables.numbers([atlas.locate(name)])[0] for name in names]
    found = dict(zip(names, tables.vectors(numbers), strict=True))
    assert found.pop("stem:1").isnan().all()  # a dead unit has none
    for name, vector in found.items():
        wanted = vector_of(atlas, *atlas.locate(name))
        assert vector.numpy() == pytest.approx(wanted / np.linalg.norm(wanted), abs=1e-5)
    assert tables.vectors([]).shape == (0, tables.width)


def test_a_text_is_read_as_the_captioner_would_say_it(searcher: Searcher) -> None:
    meanings = searcher.indexes[0].meanings
    known = {word for phrase in meanings.captioner.inventory.phrases for word in phrase.split()}
    assert "dogs" in known and meanings.spoken("grey dog") == "gray dogs"
    assert "lakes" not in known and meanings.spoken("lake") == "lake"
    assert meanings.spoken("") == ""


def test_words_and_meaning_are_fused_by_reciprocal_ranks(searcher: Searcher) -> None:
    lists = [[hit.id for hit in searcher.search("red dogs", how=how, k=99)] for how in ("words", "meaning")]
    wanted = {name: sum(1 / (60 + each.index(name) + 1) for each in lists if name in each) for name in LIVING}
    hits = searcher.search("red dogs", how="fused", k=99)
    assert {hit.id: hit.score for hit in hits} == pytest.approx(wanted)
    assert reciprocal_ranks([[5, 3], [3]]) == {5: 1 / 61, 3: 1 / 62 + 1 / 61} and reciprocal_ranks([[], []]) == {}


# Axes: two queries, three templates, sizes that are primes


def test_no_axis_is_taken_for_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.describer.worlds.K", 5)
    meanings = Meanings(small_captioner(width=31, n_heads=1))
    queries, templates = ["brown dogs", "grass"], ("{}", "red {}", "sky above {}")
    memory, found, present = meanings.sets(make_exemplars("body.0"), Squares())
    assert memory.shape == (7, 5, 31) and present.shape == (7, 5) and found.shape == (7, 31)
    captioner = meanings.captioner
    log_probs = meanings.log_probs(queries, memory, present, templates)
    priors, vectors = meanings.log_priors(queries, templates), meanings.text_vectors(queries, templates)
    assert log_probs.shape == (7, 2) and priors.shape == (2,) and vectors.shape == (2, 31)
    for q, query in enumerate(queries):
        texts = [template.replace("{}", query) for template in templates]
        with torch.inference_mode():
            mean = sum(captioner.text_embedding(captioner.tokens([text]))[0] for text in texts)
        assert torch.allclose(vectors[q], mean / mean.norm(), atol=1e-5)
        alone = [math.exp(float(captioner.log_prior([text])[0])) for text in texts]
        assert float(priors[q]) == pytest.approx(math.log(sum(alone) / 3), abs=1e-4)
        for unit in (0, 2, 6):
            m, p = memory[unit : unit + 1].float(), present[unit : unit + 1]
            each = [math.exp(float(captioner.log_prob([text], m, p)[0, 0])) for text in texts]
            assert float(log_probs[unit, q]) == pytest.approx(math.log(sum(each) / 3), abs=1e-4)


def test_templates_reach_the_answer(path: Path, searcher: Searcher) -> None:
    templates = ("{}", "red {}", "sky above {}")
    hits = {hit.id: hit for hit in searcher.search("grass", templates=templates, k=99)}
    captioner, atlas = small_captioner(), Atlas.open(path)
    texts = [template.replace("{}", "grass") for template in templates]
    for name in ("stem:0", "body.0:6", "head:2"):
        each = captioner.log_prob(texts, *memory_of(atlas, *atlas.locate(name)))[0]
        wanted = each.logsumexp(0) - captioner.log_prior(texts).logsumexp(0)
        assert hits[name].parts["pmi"] == pytest.approx(float(wanted), abs=0.02)


# Filters, numbers, several atlases


def test_filters_are_met_in_every_pairing(searcher: Searcher) -> None:
    rows = searcher.atlases[0].units()
    formed = {row["id"] for row in rows if row["formula"]}
    for layers, methods, least, has in product(
        [(), ("stem",), ("body.*", "head")], [(), ("caption",), ("formula",)], [None, 0.25], [None, True, False]
    ):
        wanted = {
            row["id"]
            for row in rows
            if not row["dead"]
            and (not layers or row["layer"] == layers[0] or (len(layers) == 2 and row["layer"] != "stem"))
            and (not methods or row["method"] in methods)
            and (least is None or (row["score"] or row["pmi"] or -1.0) >= least)
            and (has is None or (row["id"] in formed) is has)
        }
        for how in ("reranked", "meaning"):
            hits = searcher.search(
                "dogs", k=99, how=how, layers=layers, methods=methods, min_score=least, has_formula=has
            )
            assert {hit.id for hit in hits} == wanted, (layers, methods, least, has, how)


@pytest.mark.parametrize("k", [1, 3, 1000])
def test_as_many_units_as_wanted(k: int, searcher: Searcher) -> None:
    assert len(searcher.search("dogs", k=k)) == min(k, len(LIVING))
    assert searcher.search("zebra", how="words") == []


def test_several_atlases_are_one_list(path: Path, tmp_path: Path) -> None:
    other = write_atlas(tmp_path / "other", ("body.0", "head"), seed=3)
    both = search([path, other], "dogs", k=99, captioner=small_captioner())
    alone = [hit for each in (path, other) for hit in search(each, "dogs", k=99, captioner=small_captioner())]
    assert both == sorted(alone, key=lambda hit: -hit.score) and {hit.atlas for hit in both} == {str(path), str(other)}
    turns = search([path, other], "dogs", how="words", captioner=small_captioner())
    assert [hit.atlas for hit in turns[:4]] == [str(path), str(other)] * 2
    only = search([path, other], "dogs", layers=["stem"], k=99, captioner=small_captioner())
    assert {hit.atlas for hit in only} == {str(path)}


def test_the_units_are_a_table_of_pandas(path: Path) -> None:
    frame = pytest.importorskip("pandas").DataFrame(Atlas.open(path).units("stem"))
    assert list(zip(frame["unit"], frame["withdrawn"].notna(), strict=True)) == [(unit, unit == 3) for unit in range(5)]


# Neighbours


def test_neighbours_by_meaning(searcher: Searcher) -> None:
    tables = searcher.indexes[0].tables
    own = tables.vectors(tables.numbers([("body.0", 2)])[:1])[0]
    hits = searcher.search(unit="body.0:2", k=99)
    assert sorted(hit.id for hit in hits) == sorted(name for name in LIVING if name != "body.0:2")
    for hit in hits:
        theirs = tables.vectors(tables.numbers([(hit.layer, hit.unit)])[:1])[0]
        assert hit.score == pytest.approx(float(own @ theirs), abs=1e-5)
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)


def test_neighbours_by_coactivation(path: Path, searcher: Searcher) -> None:
    atlas = Atlas.open(path)
    images = {name: set(atlas.exemplars(name.split(":")[0]).images[int(name[-1])].tolist()) for name in LIVING}
    shared = {name: len(images[name] & images["stem:2"]) / 4 for name in LIVING if name != "stem:2"}
    hits = searcher.search(unit="stem:2", neighbours="coactivation", k=99)
    assert {hit.id: hit.score for hit in hits} == {name: share for name, share in shared.items() if share}
    few = searcher.search(unit="stem:2", neighbours="coactivation", k=99, layers=["head"])
    assert [hit.id for hit in few] == [hit.id for hit in hits if hit.layer == "head"]


def test_a_text_and_a_unit_are_fused(searcher: Searcher) -> None:
    lists = [searcher.search("dogs", k=99), searcher.search(unit="head:0", k=99)]
    wanted = {
        name: sum(1 / (61 + [h.id for h in each].index(name)) for each in lists if name != "head:0") for name in LIVING
    }
    wanted["head:0"] = 1 / (61 + [hit.id for hit in lists[0]].index("head:0"))
    hits = searcher.search("dogs", unit="head:0", k=99)
    assert {hit.id: hit.score for hit in hits} == pytest.approx(wanted)
    assert {"pmi", "cosine"} <= set(hits[0].parts) and hits[0].by == "fused"


# The index itself


def test_an_index_is_made_once_for_one_key(tmp_path: Path) -> None:
    path, told = write_atlas(tmp_path / "atlas"), []
    first = search(path, "dogs", captioner=small_captioner(), progress=lambda *news: told.append(news))
    assert told[0] == ("encoding exemplars", 0, 3) and told[-1] == ("writing the index", 1, 1)
    folders = [folder.name for folder in (path / FOLDER).iterdir() if folder.is_dir()]
    assert len(folders) == 1
    told.clear()
    shutil.copytree(path, tmp_path / "moved")
    assert search(path, "dogs", captioner=small_captioner(), progress=lambda *news: told.append(news)) == first
    moved = search(tmp_path / "moved", "dogs", captioner=small_captioner(), progress=lambda *news: told.append(news))
    assert [hit.id for hit in moved] == [hit.id for hit in first] and told == []
    other = search(path, "dogs", captioner=small_captioner(seed=1))
    assert [hit.score for hit in other] != [hit.score for hit in first]
    assert [folder.name for folder in (path / FOLDER).iterdir() if folder.is_dir()] != folders


def test_an_index_follows_the_atlas(tmp_path: Path) -> None:
    path = write_atlas(tmp_path / "atlas", ("stem",), forms=False)
    searcher = Searcher(path, small_captioner())
    assert {hit.layer for hit in searcher.search("dogs", k=99)} == {"stem"}
    write_atlas(path, ("stem", "body.0"))
    hits = Searcher(path, small_captioner()).search("dogs", how="words", k=99)
    assert [hit.layer for hit in hits] == ["body.0"] * 3


def test_a_killed_index_goes_on_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, encoded = write_atlas(tmp_path / "atlas"), []
    sets = Meanings.sets

    def stopping(self, exemplars, pictures):  # type: ignore[no-untyped-def]
        encoded.append(exemplars.layer)
        if len(encoded) == 2:
            raise KeyboardInterrupt
        return sets(self, exemplars, pictures)

    monkeypatch.setattr(Meanings, "sets", stopping)
    with pytest.raises(KeyboardInterrupt):
        search(path, "dogs", captioner=small_captioner())
    assert not [folder for folder in (path / FOLDER).iterdir() if folder.is_dir() and folder.name[0] != "."]
    hits = search(path, "dogs", captioner=small_captioner(), k=99)
    assert encoded == ["stem", "body.0", "body.0", "head"] and len(hits) == len(LIVING)


def test_one_process_makes_the_index_at_a_time(tmp_path: Path) -> None:
    path = write_atlas(tmp_path / "atlas")
    started, go_on = threading.Event(), threading.Event()

    def progress(stage: str, done: int, total: int) -> None:
        started.set()
        go_on.wait(60)

    found: list[object] = []
    first = threading.Thread(
        target=lambda: found.append(search(path, "dogs", captioner=small_captioner(), progress=progress))
    )
    first.start()
    started.wait(60)
    with pytest.raises(AtlasError, match="another process makes the index"):
        search(path, "dogs", captioner=small_captioner())
    go_on.set()
    first.join()
    assert len(found) == 1


def test_an_atlas_that_cannot_be_written_is_searched(tmp_path: Path) -> None:
    path = write_atlas(tmp_path / "atlas")
    (path / FOLDER).write_text("a file where the index should be")  # fails for root too, as a read-only disk does
    assert len(search(path, "dogs", captioner=small_captioner(), k=99)) == len(LIVING)


def test_an_index_holds_every_unit_in_the_order_of_the_atlas(searcher: Searcher) -> None:
    index: Index = searcher.indexes[0]
    assert len(index.tables) == sum(units for units, _, _ in LAYERS.values())
    place = 0
    for layer, (units, _, _) in LAYERS.items():
        for unit in range(units):
            assert (index.tables.located(layer, unit) or (None,))[0] == place
            place += 1
    memory, present = index.tables.sets([9, 2, 9])
    again, _ = index.tables.sets([2, 9])
    assert torch.equal(memory, again[[1, 0, 1]]) and present.all()
    assert not index.tables.sets([1])[1].any()


def test_a_form_that_was_withdrawn_is_none() -> None:
    judged = {
        "description": None,
        "withdrawn": "dog AND red",
        "formula": "dog AND red",
        "reliable": False,
        "score": 0.4,
    }
    rows_of = {
        3: [{"method": "caption", "description": "dogs", "formula": None, "reliable": True, "pmi": 1.5}],
        5: [{"method": "formula", **judged}, {"method": "caption", "description": "dogs", "formula": None, "pmi": 0.5}],
        7: [{"method": "formula", **judged}, {"method": "concept", **judged, "formula": "dog", "reliable": True}],
        11: [{"method": "formula", **judged, "reliable": None}],  # nothing was judged
    }
    found = words_table("stem", rows_of, torch.ones(4, 2), 0).to_pylist()
    assert {row["unit"]: row["has_formula"] for row in found} == {3: False, 5: False, 7: True, 11: True}
    assert [row["formula"] for row in found] == [None, None, None, None, "dog", "dog AND red"]
    assert [row["strength"] for row in found] == [1.5, None, 0.5, None, None, None], "only what stands has a score"
