"""The table of units as files for other programs."""

import csv
import json
from pathlib import Path

import pyarrow.parquet
import pytest

from describer.atlas import Atlas
from describer.description import Description, Meaning
from describer.errors import AtlasError
from describer.unittable import JUDGED_SCORES, UnitTable, make_row, save_table
from tests.describer.test_atlas import write_all


def test_the_table_is_written_for_other_programs(tmp_path: Path) -> None:
    write_all(tmp_path / "atlas")
    rows = Atlas.open(tmp_path / "atlas").units()
    save_table(rows, tmp_path / "units.parquet")
    again = pyarrow.parquet.read_table(tmp_path / "units.parquet").to_pylist()
    assert [row["id"] for row in again] == [row["id"] for row in rows]
    assert [row["n_best"] for row in again] == [row["n_best"] for row in rows]
    save_table(rows, tmp_path / "units.csv")
    with (tmp_path / "units.csv").open(newline="") as file:
        flat = list(csv.DictReader(file))
    assert [row["description"] or None for row in flat] == [row["description"] for row in rows]
    assert [json.loads(row["scores"]) for row in flat] == [row["scores"] for row in rows]
    with pytest.raises(AtlasError, match=r"must be named \.csv or \.parquet"):
        save_table(rows, tmp_path / "units.xls")
    with pytest.raises(AtlasError, match="must be a place to write"):
        save_table(rows, tmp_path / "no" / "units.csv")


def test_a_table_from_before_there_were_judges_is_read_and_gone_on_with(tmp_path: Path) -> None:
    import lancedb

    write_all(tmp_path / "atlas")
    wanted = Atlas.open(tmp_path / "atlas").units()
    table = lancedb.connect(tmp_path / "atlas").open_table("units")
    table.drop_columns([*JUDGED_SCORES, "reliable", "withdrawn", "meanings"])
    assert Atlas.open(tmp_path / "atlas").units() == wanted
    judged = Description("stem", 0, None, "caption", {"score": 0.5, "q": 0.2}, reliable=False, withdrawn="dogs")
    verdict = {"score": 0.1, "low": 0.0, "high": 0.2, "p": 0.3, "q": 0.4}
    cars = Meaning(None, 0.25, None, **verdict, reliable=False, withdrawn="cars")
    meant = Description("stem", 1, "dogs", "caption", meanings=(Meaning("dogs", 0.75, 1.0), cars))
    own = [make_row(each, 1.0, 0.5, False) for each in (judged, meant)]
    UnitTable(tmp_path / "atlas").replace("stem", "caption", own)
    first, second = Atlas.open(tmp_path / "atlas").units("stem")
    assert (first["q"], first["reliable"], first["withdrawn"], first["p"]) == (0.2, False, "dogs", None)
    assert second["meanings"] == [
        {"text": "dogs", "share": 0.75, "pmi": 1.0, **dict.fromkeys([*verdict, "reliable", "withdrawn"])},
        {"text": None, "share": 0.25, "pmi": None, **verdict, "reliable": False, "withdrawn": "cars"},
    ]
