"""An atlas too large to be read whole gives the same pages as one that is read whole."""

from collections.abc import Callable
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from describer.atlas import Atlas
from describer.errors import AtlasError
from describer.rownumbers import RowNumbers
from describer.search.index import Searcher
from describer.search.site import library
from describer.search.site.app import make_app
from describer.search.site.cards import SHOWN
from describer.search.site.library import Library
from describer.search.site.neighbours import Alike
from describer.unittable import UnitTable
from tests.describer.worlds import Squares, make_exemplars, make_manifest
from tests.search.site.sites import WordFinder, write_atlas, write_judged_atlas

LAYERS = ("stem", "body.0")
ADDRESSES = [f"/{layer}{rest}" for layer in LAYERS for rest in ("", "?sort=score", "?q=green&min=1", "/0", "/3", "/4")]


@pytest.fixture(scope="module", params=[write_atlas, write_judged_atlas])
def atlas(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    write: Callable[[Path], Path] = request.param
    return write(tmp_path_factory.mktemp("large") / "atlas")


def pages(atlas: Path, addresses: list[str]) -> list[tuple[int, str]]:
    client = TestClient(make_app(atlas, finder=WordFinder), base_url="http://127.0.0.1")
    return [((answer := client.get(address)).status_code, answer.text) for address in addresses]


def test_pages_are_the_same(atlas: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    api = [f"/api/{layer}/{unit}" for layer in LAYERS for unit in (0, 3, 99)]
    small = pages(atlas, ADDRESSES + api)
    read: list[str | None] = []
    whole = UnitTable.rows
    monkeypatch.setattr(
        UnitTable,
        "rows",
        lambda table, layer=None, columns=None: read.append(layer) or whole(table, layer, columns),  # type: ignore[func-returns-value]
    )
    monkeypatch.setattr(library, "LARGE", 0)
    assert pages(atlas, ADDRESSES + api) == small
    assert [status for status, _ in small].count(404) == len(LAYERS)
    assert read == list(LAYERS), "only a grid with a filter needs all units of a layer, once"


@pytest.mark.parametrize("large", [0, 10_000])
def test_what_is_not_described_yet_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, large: int) -> None:
    with Atlas.create(tmp_path / "atlas", make_manifest({"seed": 0}, LAYERS)) as made:
        for layer in LAYERS:
            made.write_exemplars(make_exemplars(layer, 0), Squares())
    monkeypatch.setattr(library, "LARGE", large)
    for status, text in pages(tmp_path / "atlas", ["/stem", "/stem?sort=score", "/stem/2", "/api/stem/2"]):
        assert status == 200
        assert "not described yet" in text or '"descriptions":[]' in text


def test_the_first_page_of_a_large_atlas_reads_no_units(atlas: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ((_, small),) = pages(atlas, ["/"])
    monkeypatch.setattr(library, "AT_A_GLANCE", 0)
    monkeypatch.delattr(UnitTable, "rows")
    ((status, large),) = pages(atlas, ["/"])
    assert status == 200
    for layer in LAYERS:
        assert f"/{layer}" in large
    assert "<svg viewBox" in small and "<svg viewBox" not in large
    assert "told by caption" in large and "told by" not in small


def test_rows_of_some_units(atlas: Path) -> None:
    table = UnitTable(atlas)
    wanted = [("stem", 4), ("body.0", 5), ("stem", 0), ("stem", 4), ("stem", 4711), ("no", 1)]
    found = table.rows_of(wanted)
    alike = [row for row in table.rows() if (row["layer"], row["unit"]) in wanted]
    key = lambda row: (row["layer"], row["unit"], row["method"])  # noqa: E731
    assert sorted(found, key=key) == sorted(alike, key=key)
    assert len(found) >= 3 and table.rows_of([]) == table.rows_of([("stem", 4711)]) == []
    brief = sorted(table.rows_of(wanted, SHOWN), key=key)
    shown = [{name: row[name] for name in SHOWN} for row in sorted(alike, key=key)]
    assert [{name: row[name] for name in SHOWN} for row in brief] == shown
    assert not any(row["n_best"] for row in brief) and any(row["n_best"] or row["meanings"] for row in found)


def test_rows_of_what_is_written_meanwhile(tmp_path: Path) -> None:
    write_atlas(tmp_path / "atlas")
    table = UnitTable(tmp_path / "atlas")
    before = table.rows_of([("stem", 1)])
    table.replace("stem", "formula", [])
    assert [row["method"] for row in before] != [row["method"] for row in table.rows_of([("stem", 1)])] == ["caption"]


def test_numbers_of_rows_take_those_rows(atlas: Path) -> None:
    import lancedb

    table = lancedb.connect(atlas).open_table("units")
    numbers = RowNumbers(table)
    for layer in LAYERS:
        for unit in range(5):
            rows = table.take_row_ids(numbers.of([(layer, unit)])).to_list()
            assert rows and {(row["layer"], row["unit"]) for row in rows} == {(layer, unit)}


def test_exemplars_of_many_units_are_those_of_each(atlas: Path) -> None:
    opened = Library(atlas)
    units = [("body.0", 3), ("stem", 4), ("stem", 0), ("body.0", 0)]
    assert opened.shown_of(units, 3, 20) == [opened.shown(*unit, 3, 20) for unit in units]
    assert opened.shown_of([]) == []
    with pytest.raises(AtlasError, match="Nearest"):
        opened.cards_of([("stem", 0), ("stem", 4711)])


def test_vectors_in_memory_find_what_the_index_finds(searcher: Searcher, path: Path) -> None:
    alike = Alike(searcher.indexes[0].tables)
    for layer, unit in (("stem", 0), ("body.0", 6), ("head", 2)):
        hits = searcher.search(unit=f"{layer}:{unit}", k=5, neighbours="meaning")
        found = alike.of(layer, unit, 5)
        assert [each.likeness for each in found] == pytest.approx([hit.score for hit in hits], abs=1e-5)
        assert {(each.layer, each.unit) for each in found} == {(hit.layer, hit.unit) for hit in hits}
    exemplars = Atlas.open(path).exemplars("stem")
    dead = exemplars.unit_ids[exemplars.dead].tolist()
    assert dead and alike.of("stem", dead[0], 5) == []
