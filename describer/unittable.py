"""The LanceDB table `units` of an atlas: one row a unit and method.

    table = UnitTable(folder)
    table.replace("layer4", "caption", rows)       # one commit: all of the layer's rows of that method, or none
    table.rows("layer4")                           # [{"layer": "layer4", "unit": 0, "id": "layer4:0", …}, …]

Rows of another program that opens `units.lance` by itself are the same rows.
"""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from describer.description import Description
from describer.errors import AtlasError
from describer.rownumbers import RowNumbers

Row = dict[str, Any]

GROUNDED_SCORES = ("upper_bound", "detection_accuracy", "coverage", "category_iou", "chance_iou", "p_value")
"Of concepts and formulas, all fractions; a bound only where the search was to certify."
JUDGED_SCORES = ("low", "high", "p", "q")
"Of the score on images that no exemplar is from: its interval, p-value, and p adjusted for all units of the layer."
NAMED_SCORES = ("pmi", "log_prob", "log_prior", "iou", "score", *JUDGED_SCORES, *GROUNDED_SCORES)
"Scores with a column of their own; what else a method measures is kept in the column `scores`."

NESTED = ("scores", "n_best", "meanings")
"Columns that hold more than one value a row."

_CANDIDATE = pa.struct(
    [
        pa.field("text", pa.string()),
        pa.field("log_prob", pa.float64()),
        pa.field("log_prior", pa.float64()),
        pa.field("pmi", pa.float64()),
        pa.field("origin", pa.string()),
        pa.field("evidence", pa.float64()),
    ]
)
_MEANING = pa.struct(
    [
        pa.field("text", pa.string()),
        *(pa.field(name, pa.float64()) for name in ("share", "pmi", "score", *JUDGED_SCORES)),
        pa.field("reliable", pa.bool_()),
        pa.field("withdrawn", pa.string()),
    ]
)
SCHEMA = pa.schema(
    [
        pa.field("layer", pa.string(), nullable=False),
        pa.field("unit", pa.int32(), nullable=False),
        pa.field("id", pa.string(), nullable=False),
        pa.field("method", pa.string(), nullable=False),
        pa.field("description", pa.string()),
        pa.field("pmi", pa.float64()),
        pa.field("log_prob", pa.float64()),
        pa.field("log_prior", pa.float64()),
        pa.field("iou", pa.float64()),
        pa.field("formula", pa.string()),
        pa.field("score", pa.float64()),
        *(pa.field(name, pa.float64()) for name in JUDGED_SCORES),
        pa.field("reliable", pa.bool_()),
        pa.field("withdrawn", pa.string()),
        *(pa.field(name, pa.float64()) for name in GROUNDED_SCORES),
        pa.field("activation", pa.float32()),
        pa.field("threshold", pa.float32()),
        pa.field("dead", pa.bool_(), nullable=False),
        pa.field("scores", pa.list_(pa.struct([pa.field("name", pa.string()), pa.field("value", pa.float64())]))),
        pa.field("n_best", pa.list_(_CANDIDATE)),
        pa.field("meanings", pa.list_(_MEANING)),
    ]
)


def make_row(description: Description, activation: float | None, threshold: float | None, dead: bool) -> Row:
    """The row of one description; activation is the unit's highest over the probe set."""
    others = {name: description.score(name) for name in description.scores if name not in NAMED_SCORES}
    return {
        "layer": description.layer,
        "unit": description.unit,
        "id": description.id,
        "method": description.method,
        "description": description.text,
        **{name: description.score(name) for name in NAMED_SCORES},
        "formula": description.formula,
        "reliable": description.reliable,
        "withdrawn": description.withdrawn,
        "activation": activation,
        "threshold": threshold,
        "dead": dead,
        "scores": [{"name": name, "value": value} for name, value in others.items()],
        "n_best": [vars(candidate) for candidate in description.n_best],
        "meanings": [vars(meaning) for meaning in description.meanings],
    }


class UnitTable:
    """The table in `folder`/units.lance; it is made with the first row and opened with the first use."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._opened: Any = None
        self._known: frozenset[str] = frozenset()
        self._numbers: RowNumbers | None = None

    @property
    def _exists(self) -> bool:
        return (self._folder / "units.lance").is_dir()

    def replace(self, layer: str, method: str, rows: list[Row]) -> None:
        """Make `rows` all there is of the layer and method, in one commit."""
        theirs = f"layer = {_quoted(layer)} AND method = {_quoted(method)}"
        table = self._table(create=True)
        lacking = [name for name in SCHEMA.names if name not in table.schema.names]
        if lacking:  # a table from before there were formulas, or judges
            table.add_columns([SCHEMA.field(name) for name in lacking])
            self._known = frozenset()
        merge = table.merge_insert(["layer", "unit", "method"])
        merge = merge.when_matched_update_all().when_not_matched_insert_all()
        kept = pa.schema([table.schema.field(name) for name in SCHEMA.names])  # what candidates held when it was made
        merge.when_not_matched_by_source_delete(theirs).execute(pa.Table.from_pylist(rows, schema=kept))
        self._numbers = None

    def rows(self, layer: str | None = None, columns: Sequence[str] | None = None) -> list[Row]:
        """The rows of one layer, or of all, in no order; numbers that are not known are None, as is what is not among
        `columns`, where these are named, which is faster."""
        query = self._table(create=False).search()
        if layer is not None:
            query = query.where(f"layer = {_quoted(layer)}")
        return self._read(query.limit(None), columns)

    def rows_of(self, units: Sequence[tuple[str, int]], columns: Sequence[str] | None = None) -> list[Row]:
        """The rows of some units, each (layer, unit), in no order; only these are read. Without a table none."""
        if not units or not self._exists:
            return []
        table = self._table(create=False)
        self._numbers = self._numbers or RowNumbers(table)
        numbers = self._numbers.of(units)
        return self._read(table.take_row_ids(numbers), columns) if numbers else []

    def _read(self, query: Any, columns: Sequence[str] | None) -> list[Row]:
        if columns is not None:
            self._known = self._known or frozenset(self._table(create=False).schema.names)  # asking takes as long
            query = query.select([name for name in columns if name in self._known])  # as reading a column
        return [_as_read(row) for row in query.to_arrow().to_pylist()]

    def columns(self, names: Sequence[str]) -> pa.Table:
        """Some columns of all rows, in no order, as they are kept; of no rows where there is no table."""
        if not self._exists:
            return SCHEMA.empty_table().select([*names])
        return self._table(create=False).search().select([*names]).limit(None).to_arrow()

    def version(self) -> int:
        """A number that grows with every change; 0 where there is no table yet."""
        return int(self._table(create=False).version) if self._exists else 0

    def _table(self, create: bool) -> Any:  # lancedb.table.Table
        if self._opened is None:
            os.environ.setdefault("LANCEDB_LOG", "error")  # else it warns on stderr that a new table is new
            import lancedb

            database = lancedb.connect(self._folder)
            try:
                self._opened = database.open_table("units")
            except (ValueError, FileNotFoundError):
                if not create:
                    raise AtlasError(
                        f"{self._folder} must hold its table units.lance. Got none. Describe the model anew."
                    ) from None
                self._opened = database.create_table("units", schema=SCHEMA)
        return self._opened


def save_table(rows: Sequence[Row], path: Path) -> None:
    """Write rows as they are read to a .parquet or .csv file, in CSV what is nested as JSON.

    Raises AtlasError for another kind of file, or where it cannot be written.
    """
    import pyarrow.csv
    import pyarrow.parquet

    told = [{**row, "scores": [{"name": name, "value": row["scores"][name]} for name in row["scores"]]} for row in rows]
    try:
        if path.suffix == ".parquet":
            pyarrow.parquet.write_table(pa.Table.from_pylist(told, schema=SCHEMA), path)
        elif path.suffix == ".csv":
            flat = [{**row, **{name: json.dumps(row[name]) for name in NESTED}} for row in rows]
            kinds = [pa.field(f.name, pa.string() if pa.types.is_list(f.type) else f.type) for f in SCHEMA]
            pyarrow.csv.write_csv(pa.Table.from_pylist(flat, schema=pa.schema(kinds)), path)
        else:
            raise AtlasError(f"a table must be named .csv or .parquet. Got {path}. Name one of these.")
    except OSError as fault:
        raise AtlasError(f"{path} must be a place to write a table. Got: {fault}. Name another.") from None


def _as_read(row: Row) -> Row:
    row = {name: row.get(name) for name in SCHEMA.names}  # a table may be from before there were formulas, or judges
    row["scores"] = {score["name"]: score["value"] for score in row["scores"] or ()}
    row["n_best"] = row["n_best"] or []
    row["meanings"] = [dict.fromkeys(_MEANING.names) | meaning for meaning in row["meanings"] or []]
    return row


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
