"""The verbs search, push, pull and the table of units: what they print, and how they refuse."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from describer.search.hitsheet import hit_cards
from describer.search.index import Searcher
from tests.describer.captioners import small_captioner
from tests.describer.test_cli import refused, run
from tests.search.hub import Hub, running_hub
from tests.search.indexed import write_atlas


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An atlas, another one, and a captioner, under these names."""
    path = tmp_path_factory.mktemp("verbs")
    write_atlas(path / "atlas")
    write_atlas(path / "other", ("head",), seed=1)
    small_captioner().save_pretrained(path / "captioner")
    return path


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    monkeypatch.setenv("HF_TOKEN", "hf_of_a_test")
    with running_hub() as running:
        files = f"{running.address}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", running.address)
        monkeypatch.setattr("huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", files)
        yield running


def test_a_table_and_objects(folder: Path) -> None:
    done = run("search", folder / "atlas", "brown dogs", "--describer", folder / "captioner", "-k", 3, "--how", "words")
    lines = done.stdout.splitlines()
    assert done.exit_code == 0, (done.stderr, done.exception)
    assert lines[0].split() == ["unit", "description", "BM25"] and lines[1].startswith("body.0:0") and len(lines) == 4
    done = run("search", folder / "atlas", "brown dogs", "--describer", folder / "captioner", "-k", 4)
    heading, *lines = done.stdout.splitlines()
    assert heading.split()[:4] == ["unit", "description", "score", "PMI"] and len(lines) == 4
    done = run("search", folder / "atlas", "brown dogs", "--describer", folder / "captioner", "--json")
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(rows) == 10 and {"id", "layer", "unit", "description", "score", "by", "pmi", "cosine"} <= set(rows[0])
    weighed = [row["pmi"] + 30 * row["cosine"] for row in rows]
    assert [row["score"] for row in rows] == pytest.approx(weighed) and weighed == sorted(weighed, reverse=True)
    for line, row in zip(lines, rows, strict=False):
        assert f" {row['score']:.2f} " in line[: line.index(f" {row['pmi']:.2f} ") + 1], "the order first"


def test_words_that_were_withdrawn_are_told_as_such(folder: Path) -> None:
    ways = ("--describer", folder / "captioner", "-k", 99)
    lines = run("search", folder / "atlas", "brown dogs", *ways).stdout.splitlines()
    assert [line[line.index("(") : line.index(")") + 1] for line in lines if "(" in line] == ["(not reliable: roofs)"]
    rows = [json.loads(line) for line in run("search", folder / "atlas", "dogs", *ways, "--json").stdout.splitlines()]
    assert {row["id"]: row["withdrawn"] for row in rows if row["withdrawn"]} == {"stem:3": "roofs"}
    assert run("search", folder / "atlas", "roofs", *ways, "--how", "words").stdout == "", "they do not hold"


def test_the_picture_tells_what_hits_are_ordered_by(folder: Path) -> None:
    searcher = Searcher(folder / "atlas", folder / "captioner")
    hits = searcher.search("brown dogs", k=99)
    cards = hit_cards(hits, searcher)
    assert [card.id for card in cards] == [hit.id for hit in hits]
    assert [card.notes[0] for card in cards] == [f"score {hit.score:.3g}" for hit in hits]
    assert {card.id: card.text for card in cards}["stem:3"] == "not reliable: roofs"


def test_the_index_is_made_beforehand(folder: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_atlas(tmp_path / name, ("head",))
    done = run("index", tmp_path / "a", tmp_path / "b", "--describer", folder / "captioner")
    assert done.exit_code == 0, (done.stderr, done.exception)
    assert done.stdout.splitlines() == [f"{tmp_path / name}: 3 units indexed" for name in ("a", "b")]
    (made,) = (tmp_path / "a" / "index").glob("[0-9a-f]*")
    before = made.stat().st_mtime_ns
    run("search", tmp_path / "a", "water", "--describer", folder / "captioner")
    assert [path for path in (tmp_path / "a" / "index").glob("[0-9a-f]*")] == [made]
    assert made.stat().st_mtime_ns == before


def test_several_atlases_filters_and_a_picture(folder: Path, tmp_path: Path) -> None:
    both = (folder / "atlas", folder / "other", "water", "--describer", folder / "captioner")
    done = run("search", *both, "--layer", "head,st*", "--method", "caption", "--out", tmp_path / "grid.png")
    lines = done.stdout.splitlines()
    assert done.exit_code == 0, (done.stderr, done.exception)
    assert lines[0].split()[:3] == ["atlas", "unit", "description"] and len(lines) == 1 + 4 + 2 + 2
    with Image.open(tmp_path / "grid.png") as picture:
        assert picture.width > 600 and picture.height > 8 * 88
    only = run("search", *both, "--formula", "--json")
    assert {json.loads(line)["layer"] for line in only.stdout.splitlines()} == {"body.0"}
    near = run("search", folder / "atlas", "--unit", "head:0", "--describer", folder / "captioner", "--json")
    assert near.exit_code == 0 and "cosine" in json.loads(near.stdout.splitlines()[0])


def test_nothing_found_is_said(folder: Path) -> None:
    done = run("search", folder / "atlas", "zebra", "--how", "words", "--describer", folder / "captioner")
    assert (done.exit_code, done.stdout) == (0, "") and done.stderr.startswith("No unit fits.")


def test_faults_are_one_line(folder: Path, tmp_path: Path) -> None:
    captioner = ("--describer", folder / "captioner")
    assert "a search must have an atlas" in refused("search", "dogs")
    assert "must be an atlas. Got no such folder" in refused("search", tmp_path / "no", "dogs", *captioner)
    assert "a query must have words" in refused("search", folder / "atlas", " ", *captioner)
    assert "Nearest: stem" in refused("search", folder / "atlas", "dogs", "--layer", "sten", *captioner)
    assert "a search must have a text" in refused("search", folder / "atlas", *captioner)
    assert "An image must be readable" in refused("search", folder / "atlas", "--image", tmp_path / "x.png", *captioner)
    assert "hf:OWNER/NAME" in refused("push", folder / "atlas", "me/atlas")
    assert "must be an atlas" in refused("push", tmp_path, "hf:me/atlas")
    assert "must be new or empty" in refused("pull", "hf:me/atlas", folder / "atlas")
    assert "must be named .csv or .parquet" in refused("units", folder / "atlas", "--out", tmp_path / "x.txt")


def test_an_atlas_goes_to_the_hub_and_comes_back(folder: Path, hub: Hub, tmp_path: Path) -> None:
    done = run("push", folder / "other", "hf:me/heads", "--private")
    assert (done.exit_code, done.stdout) == (0, f"{hub.address}/datasets/me/heads\n"), (done.stderr, done.exception)
    done = run("pull", "hf:me/heads", tmp_path / "heads")
    assert done.exit_code == 0 and "3 units: 2 described, 1 dead" in done.stdout
    assert run("units", tmp_path / "heads").stdout == run("units", folder / "other").stdout
    assert run("units", tmp_path / "heads", "--out", tmp_path / "x.csv").exit_code == 0
    assert (tmp_path / "x.csv").read_text().count("\n") == 4
