"""The table of units as files for other programs."""

import csv
import json
from pathlib import Path

import pyarrow.parquet
import pytest

from describer.atlas import Atlas
from describer.errors import AtlasError
from describer.unittable import save_table
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
