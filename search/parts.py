"""Signatures gathered in memory up to a limit; beyond it, parts of the table are put on disk.

    parts = Parts(max_signatures=4_000_000)
    parts.extend(keys, sizes, n_images=1)            # the signatures of the next image
    indices, indptr, sizes, row_starts = parts.finish()

A part holds the signatures of consecutive images once each, in the order of their bytes: it depends on the images and
not on their order. A part ends when it is full, so that one that was never full is the whole table.
"""

import shutil
import tempfile
import warnings
import weakref
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
from jaxtyping import Int64, Integer

MAX_SIGNATURES = 4_000_000
"signatures that lie in memory while a table is made: about 1 GB"


def warn(line: str) -> None:
    """Says it as a warning."""
    warnings.warn(line, ResourceWarning, stacklevel=3)


class Disk:
    """A folder that is deleted when nobody holds it any more."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="describer-signatures-"))
        weakref.finalize(self, shutil.rmtree, self.folder, ignore_errors=True)

    def array(self, name: str, n: int, dtype: type[np.generic]) -> np.ndarray:
        """A new array that lies in a file."""
        return np.lib.format.open_memmap(self.folder / f"{name}.npy", "w+", dtype, (n,))


class Parts:
    """Signatures of images that come in order; `say` is told once when they do not fit into one part."""

    def __init__(self, max_signatures: int = MAX_SIGNATURES, say: Callable[[str], None] = warn):
        assert max_signatures >= 1, max_signatures
        self.max_signatures, self.say = max_signatures, say
        self.disk: Disk | None = None
        self.image_starts: tuple[int, ...] = (0,)
        self.n_images = 0
        self._rows: dict[bytes, int] = {}
        self._sizes: list[int] = []
        self._full: list[int] = []

    def extend(self, keys: Iterable[bytes], sizes: Iterable[int], n_images: int) -> None:
        """Takes the signatures of the next images, and how many pixels each has."""
        if len(self._rows) >= self.max_signatures:
            self._spill()
        known, total = self._rows, self._sizes
        for key, size in zip(keys, sizes, strict=True):
            row = known.setdefault(key, len(total))
            if row == len(total):
                total.append(size)
            else:
                total[row] += size
        self.n_images += n_images

    def _spill(self) -> None:
        """Puts the part in memory on disk."""
        if self.disk is None:
            self.disk = Disk()
            self.say(
                f"signatures must be at most {self.max_signatures:,} to lie in memory. Got more after "
                f"{self.n_images:,} images. The rest goes to {self.disk.folder}: slower, and as exact; "
                f"fewer concepts make fewer signatures."
            )
        for name, array in zip(("indices", "lengths", "sizes"), self._arrays(), strict=True):
            np.save(self.disk.folder / f"{name}-{len(self._full)}.npy", array)
        self._full.append(len(self._rows))
        self.image_starts += (self.n_images,)
        self._rows, self._sizes = {}, []

    def _arrays(self) -> tuple[Integer[np.ndarray, " held"], Int64[np.ndarray, " rows"], Int64[np.ndarray, " rows"]]:
        """The concepts of the part in memory, how many a row has, and its pixels."""
        order = sorted(self._rows)
        sizes = np.array(self._sizes, np.int64)[[self._rows[key] for key in order]] if order else np.zeros(0, np.int64)
        lengths = np.array([len(key) // 4 for key in order], np.int64)
        return np.frombuffer(b"".join(order), np.int32), lengths, sizes

    def finish(self) -> tuple[np.ndarray, np.ndarray, Int64[np.ndarray, " rows"], tuple[int, ...]]:
        """Concepts, where each row's begin (as in a sparse matrix), pixels of each, and the first row of each part."""
        last = self._arrays()
        self.image_starts += (self.n_images,)
        rows = (0, *np.cumsum([*self._full, len(last[1])]).tolist())
        if self.disk is None:
            indptr = np.concatenate(([0], np.cumsum(last[1])))
            return last[0], indptr.astype(np.int32 if len(last[0]) < 2**31 else np.int64), last[2], rows
        names = ("indices", "lengths", "sizes")
        folder = self.disk.folder
        found = [
            [*(np.load(folder / f"{name}-{i}.npy", mmap_mode="r") for i in range(len(self._full))), array]
            for name, array in zip(names, last, strict=True)
        ]
        held = sum(map(len, found[0]))
        wide = np.int32 if held < 2**31 else np.int64
        joined = [self.disk.array("indices", held, wide), *(self.disk.array(n, rows[-1], np.int64) for n in names[1:])]
        for whole, some in zip(joined, found, strict=True):
            np.concatenate(some, out=whole)
        indptr = self.disk.array("indptr", rows[-1] + 1, wide)
        np.cumsum(joined[1], out=indptr[1:])
        for path in folder.glob("*-*.npy"):
            path.unlink()
        return joined[0], indptr, joined[2], rows
