"""The signatures of one image: which sets of concepts its pixels carry, and which pixel carries which.

    found = signatures_of(concepts, maps, scalars, size=(1, 1))
    found.keys[found.index[row, column]]             # the sorted concepts of that pixel, as bytes of int32
    concepts_of(found.keys[0])                       # the same as an array

No pixel is sorted: every map is counted over its few distinct labels, so an image costs microseconds a map.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int32, Int64, Integer

from describer.errors import ConceptsError
from describer.search.labels import ConceptNames, Maps, Scalars

FEW_IDS = 1 << 16
"label ids below this are counted in a table, larger ones are sorted"


@dataclass(frozen=True)
class ImageSignatures:
    """The signatures of one image in the order in which they are stored, and where they are."""

    index: Int64[np.ndarray, "height width"]
    "position of the signature of every pixel"
    sizes: Int64[np.ndarray, " signatures"]
    "pixels of every signature; at least 1"
    keys: list[bytes]
    "the concepts of every signature, ascending int32; two positions may have the same"


def concepts_of(key: bytes) -> Int32[np.ndarray, " concepts"]:
    """The concepts of a signature, ascending."""
    return np.frombuffer(key, np.int32)


def signatures_of(
    concepts: ConceptNames, maps: Maps, scalars: Scalars, size: tuple[int, int], where: str = ""
) -> ImageSignatures:
    """The signatures of an image; `size` holds where it has no map. ConceptsError where labels do not fit."""
    layers = [(category, layer) for category, given in maps.items() for layer in _layers(category, given, where)]
    shapes = {layer.shape for _, layer in layers} or {size}
    if len(shapes) > 1:
        raise ConceptsError(f"maps of an image must be of one size. Got {sorted(shapes)}{where}. Resize the labels.")
    shape = next(iter(shapes))
    code, rows = np.zeros(shape[0] * shape[1], np.int64), np.empty((1, 0), np.int32)
    for category, layer in layers:
        ids, local = _distinct(layer.reshape(-1))
        pairs = code * len(ids) + local
        there = np.bincount(pairs, minlength=len(rows) * len(ids)) > 0
        kept = np.flatnonzero(there)
        code = (np.cumsum(there) - 1)[pairs]
        numbers = concepts.numbers(category, ids, where)
        rows = np.concatenate((rows[kept // len(ids)], numbers[kept % len(ids), None]), 1)
    whole = [
        concepts.numbers(category, np.atleast_1d(np.asarray(ids, np.int64)), where) for category, ids in scalars.items()
    ]
    constant = np.concatenate([np.empty(0, np.int32), *whole])
    rows = np.concatenate((rows, np.broadcast_to(constant, (len(rows), len(constant)))), 1)
    sizes = np.bincount(code, minlength=len(rows)) if len(code) else np.zeros(0, np.int64)
    return ImageSignatures(code.reshape(shape), sizes, _keys(rows[: len(sizes)]))


def _layers(
    category: str, given: np.ndarray | Sequence[np.ndarray], where: str
) -> Iterator[Integer[np.ndarray, "height width"]]:
    """The maps of one category, one by one."""
    for layer in [given] if isinstance(given, np.ndarray) and given.ndim == 2 else given:
        if layer.ndim != 2 or layer.dtype.kind not in "iub":
            raise ConceptsError(
                f"a map must be (height, width) of integers, or several. "
                f"Got {category} {layer.shape} of {layer.dtype}{where}. Give label ids."
            )
        yield layer.astype(np.uint8) if layer.dtype == bool else layer


def _distinct(labels: Integer[np.ndarray, " pixels"]) -> tuple[Int64[np.ndarray, " ids"], Int64[np.ndarray, " pixels"]]:
    """The ids that occur, ascending, and the position of each pixel's among them."""
    if labels.size == 0 or int(labels.min()) < 0 or int(labels.max()) >= FEW_IDS:
        ids, local = np.unique(labels.astype(np.int64), return_inverse=True)
        return ids, local
    there = np.bincount(labels) > 0
    return np.flatnonzero(there), (np.cumsum(there) - 1)[labels]


def _keys(rows: Int32[np.ndarray, "signatures width"]) -> list[bytes]:
    """Every row's concepts once, ascending, as bytes; -1 is no concept."""
    rows = np.sort(rows, axis=1)
    doubled = rows[:, 1:] == rows[:, :-1]
    if doubled.any():
        rows[:, 1:][doubled] = -1
        rows.sort(axis=1)
    starts = 4 * (rows < 0).sum(1)
    width, held = 4 * rows.shape[1], np.ascontiguousarray(rows).tobytes()
    return [held[i * width + start : (i + 1) * width] for i, start in enumerate(starts.tolist())]
