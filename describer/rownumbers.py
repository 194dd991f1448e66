"""By what numbers a LanceDB table takes the rows of units: a few of a million are had in milliseconds.

    numbers = RowNumbers(table)
    table.take_row_ids(numbers.of([("layer4", 17), ("layer4", 3)]))     # all rows of both, in no order

The table must have the columns `layer` and `unit`, which are read once, with the first question: 16 bytes a row.
"""

from collections.abc import Sequence
from threading import Lock
from typing import Any

import numpy as np

Numbers = dict[str, tuple[np.ndarray, np.ndarray]]


class RowNumbers:
    """Of one version of a table."""

    def __init__(self, table: Any) -> None:  # lancedb.table.Table
        self._table = table
        self._looking = Lock()
        self._found: Numbers | None = None

    def of(self, units: Sequence[tuple[str, int]]) -> list[int]:
        """The numbers of all rows of these units, each (layer, unit); none of those that the table has not."""
        numbers: list[int] = []
        for layer in dict.fromkeys(layer for layer, _ in units):
            if layer in self._numbers():
                known, ids = self._numbers()[layer]
                own = np.unique([unit for name, unit in units if name == layer])
                first, end = (np.searchsorted(known, own, side) for side in ("left", "right"))
                numbers += np.concatenate([ids[a:b] for a, b in zip(first, end, strict=True)]).tolist()
        return numbers

    def _numbers(self) -> Numbers:
        """Layer -> units of its rows, ascending, and the number of each."""
        with self._looking:
            if self._found is None:
                rows = self._table.search().select(["layer", "unit"]).with_row_id(True).limit(None).to_arrow()
                layers = rows["layer"].combine_chunks().dictionary_encode()
                codes, units, ids = layers.indices.to_numpy(), rows["unit"].to_numpy(), rows["_rowid"].to_numpy()
                order = np.lexsort((units, codes))
                ends = np.searchsorted(codes[order], np.arange(len(layers.dictionary)), "right")
                parts = zip(layers.dictionary.to_pylist(), np.split(order, ends[:-1]), strict=True)
                self._found = {layer: (units[part], ids[part]) for layer, part in parts}
            return self._found
