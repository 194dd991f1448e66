"""Arrays that are made once and wanted often, compressed in a temporary file that goes with the shelf.

shelf = Shelf()
shelf.put(7, {"ids": ids, "rows": rows})
shelf.get(7)["ids"]                    # None where nothing was put
"""

import tempfile
import weakref
import zlib
from collections.abc import Mapping

import numpy as np


class Shelf:
    """Named arrays by number."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile(prefix="describer-")  # noqa: SIM115, it lives as long as the shelf
        weakref.finalize(self, self._file.close)
        self._places: dict[int, list[tuple[str, int, int, str, tuple[int, ...]]]] = {}

    def put(self, number: int, arrays: Mapping[str, np.ndarray]) -> None:
        """Keeps the arrays under this number."""
        places, start = [], self._file.seek(0, 2)
        for name, array in arrays.items():
            content = zlib.compress(np.ascontiguousarray(array).tobytes(), 1)
            self._file.write(content)
            places.append((name, start, len(content), array.dtype.str, array.shape))
            start += len(content)
        self._places[number] = places

    def get(self, number: int) -> dict[str, np.ndarray] | None:
        """The arrays under this number, as copies."""
        if number not in self._places:
            return None
        found = {}
        for name, start, n_bytes, kind, shape in self._places[number]:
            self._file.seek(start)
            content = zlib.decompress(self._file.read(n_bytes))
            found[name] = np.frombuffer(content, np.dtype(kind)).reshape(shape).copy()
        return found
