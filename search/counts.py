"""How many pixels of every unit's mask lie on every signature: all that a search needs to know about units.

    counter = table.counter(n_units=512, shifts=(17, 291))
    counter.add(image, masks, units)                 # while probing: the masks of one image, for any of the units
    counts = counter.result()                        # UnitCounts; counts.counts is (units, signatures)
    by_chance = counter.shifted()                    # one UnitCounts a shift: masks on the labels of other images

A mask costs the pixels that it has; memory grows with the signatures that units meet, never with pixels.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Int, Int64
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file
from scipy.sparse import coo_array, csr_array

from describer.errors import ConceptsError
from describer.files import renamed

PENDING = 1 << 21
"entries that are gathered before those of the same unit and signature are added up"


@dataclass(frozen=True, eq=False)
class UnitCounts:
    """Mask pixels of every unit by signature; `a + b` adds the counts of different images."""

    counts: csr_array
    "(units, signatures) int64"
    category_areas: Int64[np.ndarray, "units categories"]
    "mask pixels in those images only where the mask meets a label of the category (Bau et al. 2017)"

    @property
    def shape(self) -> tuple[int, int]:
        """(units, signatures)"""
        return self.counts.shape[0], self.counts.shape[1]

    @property
    def areas(self) -> Int64[np.ndarray, " units"]:
        """Mask pixels of every unit."""
        return np.asarray(self.counts.sum(1)).reshape(-1)

    def __add__(self, other: "UnitCounts") -> "UnitCounts":
        if self.shape != other.shape:
            raise ConceptsError(f"counts to add must be of one shape. Got {self.shape} and {other.shape}. Lift them.")
        return UnitCounts(csr_array(self.counts + other.counts), self.category_areas + other.category_areas)

    def subset(self, units: Sequence[int] | Int[np.ndarray, " some"]) -> "UnitCounts":
        """The rows of these units, in this order."""
        rows = np.asarray(units, np.int64)
        return UnitCounts(self.counts[rows], self.category_areas[rows])

    def save(self, path: str | Path) -> None:
        """Writes one safetensors file, whole or not at all."""
        names = ("indptr", "indices", "data")
        arrays = {name: np.ascontiguousarray(getattr(self.counts, name), np.int64) for name in names}
        arrays |= {"shape": np.array(self.shape), "category_areas": np.ascontiguousarray(self.category_areas)}
        with renamed(Path(path)) as part:
            save_file(arrays, part)

    @classmethod
    def load(cls, path: str | Path) -> "UnitCounts":
        """Reads what `save` wrote; ConceptsError for any other file."""
        try:
            found = load_file(path)
            data, shape = tuple(found[name] for name in ("data", "indices", "indptr")), found["shape"].tolist()
            return cls(csr_array(data, shape=(shape[0], shape[1])), found["category_areas"])
        except (OSError, SafetensorError, KeyError, ValueError) as fault:
            raise ConceptsError(f"{path} must hold counts of masks. Got: {fault}. Count the masks again.") from fault


@runtime_checkable
class Ground(Protocol):
    """What masks are counted on: the signatures of images by index."""

    @property
    def n_images(self) -> int:
        """Images that can be counted on."""

    def __len__(self) -> int:
        """Signatures in all."""

    def rows_of(self, image: int, /) -> tuple[Int64[np.ndarray, "height width"], Int64[np.ndarray, " signatures"]]:
        """Every pixel's position among the signatures of the image, and their rows in the table."""

    def categories_of(self, rows: Int64[np.ndarray, " signatures"], /) -> Bool[np.ndarray, "signatures categories"]:
        """Which categories have a label in these rows."""


class MaskCounter:
    """Adds up masks image by image; images that are never added count as empty."""

    def __init__(self, ground: Ground, n_units: int, shifts: Sequence[int] = ()):
        self.ground, self.n_units = ground, n_units
        self.shifts = (0, *shifts)
        self._tallies = [_Tally(n_units, len(ground)) for _ in self.shifts]

    def add(self, image: int, masks: np.ndarray, units: Sequence[int] | Int[np.ndarray, " n"] | None = None) -> None:
        """Takes the masks of one image, bool (n, height, width), of these n units or of all.

        ConceptsError where they are of another size or kind.
        """
        masks = np.asarray(masks)
        units = np.arange(self.n_units) if units is None else np.asarray(units, np.int64)
        self._check(image, masks, units)
        n_pixels = masks.shape[1] * masks.shape[2]
        flat = np.flatnonzero(masks)
        unit, pixel = np.divmod(flat, n_pixels)
        for shift, tally in zip(self.shifts, self._tallies, strict=True):
            index, rows = self.ground.rows_of((image + shift) % self.ground.n_images)
            if index.shape != masks.shape[1:]:
                raise ConceptsError(
                    f"masks must be {index.shape}, as the labels of image {image} are. Got {masks.shape[1:]}. "
                    f"Make the masks of that size."
                )
            if len(flat):
                found = np.bincount(unit * len(rows) + index.reshape(-1)[pixel], minlength=len(units) * len(rows))
                tally.add(found.reshape(len(units), len(rows)), units, rows, self.ground.categories_of(rows))

    def _check(self, image: int, masks: np.ndarray, units: Int64[np.ndarray, " n"]) -> None:
        if masks.ndim != 3 or masks.dtype != bool or len(masks) != len(units):
            raise ConceptsError(
                f"masks must be (units, height, width)=({len(units)}, …) of bool. Got {masks.shape} of {masks.dtype}. "
                f"Compare the activations with their threshold."
            )
        if not 0 <= image < self.ground.n_images:
            raise ConceptsError(f"image must be below {self.ground.n_images}. Got {image}. Label all probed images.")
        if len(units) and not (int(units.min()) >= 0 and int(units.max()) < self.n_units):
            raise ConceptsError(f"units must be below {self.n_units}. Got {int(units.max())}. Make a wider counter.")

    def add_batch(self, images: Int[np.ndarray, " batch"], masks: Bool[np.ndarray, "batch units height width"]) -> None:
        """Takes the masks of several images, of all units."""
        for image, part in zip(np.asarray(images).tolist(), masks, strict=True):
            self.add(image, part)

    def result(self) -> UnitCounts:
        """The counts so far."""
        return self._tallies[0].result()

    def shifted(self) -> list[UnitCounts]:
        """For every shift the counts of image i's masks on the labels of image i + shift, around the end."""
        return [tally.result() for tally in self._tallies[1:]]


class _Tally:
    """One (units, signatures) sum of small blocks, and the areas by category."""

    def __init__(self, n_units: int, n_signatures: int):
        self.shape, self.n_pending = (n_units, n_signatures), 0
        self.pending: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
        self.total = csr_array(self.shape, dtype=np.int64)
        self.category_areas: np.ndarray | None = None

    def add(
        self,
        found: Int64[np.ndarray, "n signatures"],
        units: Int64[np.ndarray, " n"],
        rows: Int64[np.ndarray, " signatures"],
        categories: Bool[np.ndarray, "signatures categories"],
    ) -> None:
        unit, local = np.nonzero(found)
        self.pending.append((units[unit].astype(np.int32), rows[local].astype(np.int32), found[unit, local]))
        self.n_pending += len(unit)
        if self.category_areas is None:
            self.category_areas = np.zeros((self.shape[0], categories.shape[1]), np.int64)
        met = (found > 0) @ categories
        np.add.at(self.category_areas, units, met * found.sum(1, keepdims=True))
        if self.n_pending > PENDING:
            self._settle()

    def _settle(self) -> None:
        if self.pending:
            unit, row, count = (np.concatenate(column) for column in zip(*self.pending, strict=True))
            self.total = csr_array(self.total + coo_array((count, (unit, row)), shape=self.shape).tocsr())
            self.pending, self.n_pending = [], 0

    def result(self) -> UnitCounts:
        self._settle()
        areas = np.zeros((self.shape[0], 0), np.int64) if self.category_areas is None else self.category_areas
        return UnitCounts(self.total.copy(), areas.copy())
