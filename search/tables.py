"""The LanceDB tables of an index: `sets`, one row a unit, and `words`, one row a unit and method.

    IndexTables.write(folder, width, k, batches)           # batches of (sets, words), in the order of the atlas
    tables = IndexTables(folder)
    found = tables.by_words("dogs", "layer IN ('layer4')", 100)    # [Found(place=7, score=3.1, number=12), …]
    found = tables.by_vector(vector, None, 100)            # the same by cosine
    tables.taken([each.number for each in found[:10]])     # number -> layer, unit, method, description, …
    memory, present = tables.sets([7, 3])                  # what the captioner's decoder looks at

`place` is a unit's number in the index. Up to EXACT rows every distance is computed; above that an IVF_SQ index finds
neighbours, and their distances are computed from the whole vectors. (With HNSW within the partitions, a query took as
long and the index thirty times the processor time or more.)
"""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from jaxtyping import Bool, Float
from scipy import sparse
from torch import Tensor

from describer.rownumbers import RowNumbers
from describer.search.query import quoted
from describer.unittable import Row

EXACT = 50_000
"Rows up to which vectors are compared one by one: 5 ms at 256 numbers."
SHOWN = ("place", "layer", "unit", "method", "description", "withdrawn", "formula")


def sets_schema(width: int, k: int) -> pa.Schema:
    """One row a unit."""
    return pa.schema(
        [
            pa.field("place", pa.int32()),
            pa.field("memory", pa.list_(pa.float16(), k * width)),
            pa.field("present", pa.list_(pa.bool_(), k)),
            pa.field("images", pa.list_(pa.int32(), k)),
        ]
    )


def words_schema(width: int) -> pa.Schema:
    """One row a unit and method; `strength` is the score of a description that stands, else its PMI, else its IoU.

    `searched` is what words are looked up in: the description, or of a form the concepts that it does not negate.
    """
    return pa.schema(
        [
            pa.field("place", pa.int32()),
            pa.field("layer", pa.string()),
            pa.field("unit", pa.int32()),
            pa.field("method", pa.string()),
            pa.field("description", pa.string()),
            pa.field("withdrawn", pa.string()),
            pa.field("formula", pa.string()),
            pa.field("searched", pa.string()),
            pa.field("strength", pa.float64()),
            pa.field("has_formula", pa.bool_()),
            pa.field("vector", pa.list_(pa.float32(), width)),
        ]
    )


@dataclass(frozen=True)
class Found:
    """A unit in one of the lists."""

    place: int
    score: float
    "BM25 or cosine, the highest first"
    number: int
    "of the row whose description matched, or of the first one"


class IndexTables:
    """The two tables, to be searched."""

    def __init__(self, folder: Path) -> None:
        database = _connect(folder)
        self._sets, self._words = database.open_table("sets"), database.open_table("words")
        self.width = int(self._words.schema.field("vector").type.list_size)
        self.k = int(self._sets.schema.field("present").type.list_size)
        self._n_rows = len(self._words)
        self.n_methods = 1
        "How many rows of one unit there may be; set by who knows."

    @staticmethod
    def write(folder: Path, width: int, k: int, batches: Iterable[tuple[pa.Table, pa.Table]]) -> None:
        """Write both tables anew and make their indexes."""
        database = _connect(folder)
        sets = database.create_table("sets", schema=sets_schema(width, k), mode="overwrite")
        words = database.create_table("words", schema=words_schema(width), mode="overwrite")
        for some_sets, some_words in batches:
            sets.add(some_sets)
            words.add(some_words)
        _make_indexes(words)

    def __len__(self) -> int:
        return int(self._sets.count_rows())

    def by_words(self, text: str, where: str | None, limit: int) -> list[Found]:
        """Units by BM25 of their words (k1 = 1.2, b = .75, stems), the best row of each; equal ones by place."""
        from lancedb import query as lance

        match: Any = lance.MatchQuery  # a text as it stands would be a phrase where it has quotation marks
        query = self._words.search(match(text, "searched"), query_type="fts").select(["place", "method", "_score"])
        rows = _limited(query.with_row_id(True), where, limit * self.n_methods)
        return _of_units(((row["_score"], row) for row in rows), limit)

    def by_vector(self, vector: Float[Tensor, " width"], where: str | None, limit: int) -> list[Found]:
        """Units by the cosine of their exemplars' vector and this unit vector; equal ones by place."""
        wanted, approximate = limit * self.n_methods, self._n_rows > EXACT
        query = self._words.search(vector.numpy(), vector_column_name="vector", query_type="vector")
        query = query.distance_type("dot").select(["place", "method", "_distance"]).with_row_id(True)
        if approximate:
            query = query.nprobes(PROBES).refine_factor(2)
        rows = _limited(query, where, wanted)
        if where is not None and len(rows) < wanted and approximate:  # a narrow filter: look everywhere
            rows = query.nprobes(self._n_rows).to_list()
        return _of_units(((1 - row["_distance"], row) for row in rows), limit)

    def taken(self, numbers: Sequence[int]) -> dict[int, Row]:
        """Number -> row; to take a row of a million costs as much as to find it, so that only those shown are taken."""
        if not numbers:
            return {}
        rows = self._words.take_row_ids(sorted({*numbers})).select([*SHOWN]).with_row_id().to_arrow().to_pylist()
        return {row["_rowid"]: row for row in rows}

    def sets(self, places: Sequence[int]) -> tuple[Float[Tensor, "units k width"], Bool[Tensor, "units k"]]:
        """Memory (float16) and presence of these units, in this order."""
        order = sorted(set(places))
        found = self._sets.take_offsets(order).select(["place", "memory", "present"]).to_arrow().combine_chunks()
        row_of = {place: row for row, place in enumerate(found["place"].to_pylist())}
        assert sorted(row_of) == order, "rows must lie in the order of their places"
        rows = [row_of[place] for place in places]
        memory = _flat(found["memory"]).reshape(len(order), self.k, self.width)
        present = _flat(found["present"]).reshape(len(order), self.k)
        return torch.from_numpy(memory[rows].copy()), torch.from_numpy(present[rows].copy())

    def vectors(self, numbers: Sequence[int]) -> Float[Tensor, "rows width"]:
        """The vectors of the rows of these numbers, in this order; NaN where a unit has no exemplars."""
        found = torch.full((len(numbers), self.width), torch.nan)
        if numbers:
            taken = self._words.take_row_ids(sorted({*numbers})).select(["vector"]).with_row_id().to_arrow().to_pylist()
            known = {row["_rowid"]: row["vector"] for row in taken if row["vector"] is not None}
            for row, number in enumerate(numbers):
                found[row] = torch.tensor(known[number]) if number in known else torch.nan
        return found

    def all_vectors(self) -> tuple[list[tuple[str, int]], Float[Tensor, "units width"]]:
        """(layer, unit) and vector of every unit that has exemplars, in the order of their places."""
        columns = ["place", "layer", "unit", "vector"]
        found = self._words.search().where("vector IS NOT NULL").select(columns).limit(None).to_arrow()
        _, first = np.unique(found["place"].to_numpy(), return_index=True)
        found = found.take(first)
        units = list(zip(found["layer"].to_pylist(), found["unit"].to_pylist(), strict=True))
        return units, torch.from_numpy(_flat(found["vector"]).reshape(len(units), self.width).copy())

    def rows(self, units: Sequence[tuple[str, int]], where: str | None) -> dict[tuple[str, int], Row]:
        """(layer, unit) -> the first row of those of these units that pass `where`, captions before others."""
        layers = sorted({layer for layer, _ in units})
        own = {layer: ", ".join(str(int(unit)) for name, unit in units if name == layer) for layer in layers}
        condition = " OR ".join(f"(layer = {quoted([layer])} AND unit IN ({own[layer]}))" for layer in layers)
        return {(row["layer"], row["unit"]): row for row in self._first_rows(condition, where).values()}

    def rows_at(self, places: Sequence[int], where: str | None) -> dict[int, Row]:
        """Place -> the first row of those of these units that pass `where`, captions before others."""
        return self._first_rows(f"place IN ({', '.join(str(int(place)) for place in places)})" if places else "", where)

    def _first_rows(self, condition: str, where: str | None) -> dict[int, Row]:
        if not condition:
            return {}
        condition = f"({condition})" if where is None else f"({condition}) AND {where}"
        rows = self._words.search().where(condition).select([*SHOWN]).with_row_id(True).limit(None).to_list()
        of_number = {row["_rowid"]: row for row in rows}
        return {found.place: of_number[found.number] for found in _of_units(((0.0, row) for row in rows), len(rows))}

    def passing(self, where: str | None) -> set[int] | None:
        """Places of the units that pass `where`; None: all."""
        if where is None:
            return None
        return set(self._words.search().where(where).select(["place"]).limit(None).to_arrow()["place"].to_pylist())

    def located(self, layer: str, unit: int) -> tuple[int, Float[Tensor, " width"] | None] | None:
        """The number of a unit in the index and its vector, None where it has no exemplars; None: not in the index."""
        numbers = self.numbers([(layer, unit)])[:1]
        if not numbers:
            return None
        (row,) = self._words.take_row_ids(numbers).select(["place", "vector"]).to_arrow().to_pylist()
        return int(row["place"]), None if row["vector"] is None else torch.tensor(row["vector"])

    def numbers(self, units: Sequence[tuple[str, int]]) -> list[int]:
        """Of all rows of these units, each (layer, unit)."""
        return self._numbers.of(units)

    @cached_property
    def _numbers(self) -> RowNumbers:
        return RowNumbers(self._words)

    @cached_property
    def exemplar_images(self) -> sparse.csr_array:
        """(units, images) 1 where an image is among a unit's exemplars; 60 bytes a unit, read when first wanted."""
        images = _flat(self._sets.search().select(["images"]).limit(None).to_arrow().combine_chunks()["images"])
        rows = np.repeat(np.arange(len(images) // self.k), self.k)
        seen = images >= 0
        shape = (len(images) // self.k, int(images.max(initial=-1)) + 1)
        return sparse.csr_array((np.ones(int(seen.sum()), np.float32), (rows[seen], images[seen])), shape=shape)


PER_PARTITION = 1_000
"Rows of a partition of the vector index."
PROBES = 60
"Partitions of the vector index that are looked through; all, where a filter leaves too few units in them."


def _connect(folder: Path) -> Any:  # lancedb.DBConnection
    os.environ.setdefault("LANCEDB_LOG", "error")  # else it warns on stderr that a new table is new
    import lancedb

    return lancedb.connect(folder)


def _make_indexes(words: Any) -> None:
    from lancedb.index import FTS, Bitmap, BTree, IvfSq

    words.create_index("searched", config=FTS())
    words.create_index("place", config=BTree())
    if len(words) > EXACT:
        words.create_index("unit", config=BTree())
        words.create_index("layer", config=Bitmap())
        words.create_index("method", config=Bitmap())
        words.create_index("has_formula", config=Bitmap())
        words.create_index("strength", config=BTree())
        n = len(words) // PER_PARTITION
        words.create_index("vector", config=IvfSq("dot", num_partitions=n, sample_rate=64, max_iterations=15))


def _limited(query: Any, where: str | None, limit: int) -> list[Row]:
    query = query.limit(limit) if where is None else query.where(where, prefilter=True).limit(limit)
    return query.to_list()  # type: ignore[no-any-return]


def _of_units(scored: Iterable[tuple[float, Row]], limit: int) -> list[Found]:
    """The best row of every unit, captions first among equals, best units first."""
    best: dict[int, tuple[tuple[float, bool, str], Row]] = {}
    for score, row in scored:
        rank = (-float(score), row["method"] != "caption", row["method"])
        if row["place"] not in best or rank < best[row["place"]][0]:
            best[row["place"]] = (rank, row)
    ordered = sorted(best.items(), key=lambda item: (item[1][0][0], item[0]))
    return [Found(place, -rank[0], row["_rowid"]) for place, (rank, row) in ordered[:limit]]


def _flat(column: Any) -> np.ndarray:
    """The numbers of a column of lists of one length, row after row."""
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    return array.flatten().to_numpy(zero_copy_only=False)  # type: ignore[no-any-return]
