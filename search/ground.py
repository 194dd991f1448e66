"""A table made ready for searching: sums over any rows for all leaves at once, and fingerprints of masks.

    ground = SearchGround(table)
    unit = ground.unit(counts_of_one_unit)           # (signatures,) mask pixels
    unit.leaf_sums                                   # (leaves, 3): of every leaf its pixels, fingerprint, mask pixels
    unit.within(rows)                                # the same of every leaf's part within these rows

The fingerprint of a mask is the sum of random 64-bit numbers of its signatures, modulo 2**64: it follows the same laws
as areas (of A OR B: A + B - both), so that equal masks are found among candidates whose masks were never made. Two
different masks share one with a chance of 2**-64. All sums are of integers and exact.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Int64
from scipy.sparse import csr_array

from describer.search.signatures import SignatureTable

AREA, PRINT, OVERLAP = range(3)
"Columns of all sums: pixels, fingerprint, pixels under the unit's mask."


class SearchGround:
    """What the searches of all units share."""

    def __init__(self, table: SignatureTable):
        self.table, self.matrix = table, table.leaf_matrix
        self.n_signatures, self.n_leaves = self.matrix.shape
        dice = np.random.default_rng(0)
        prints = dice.integers(-(2**63), 2**63 - 1, self.n_signatures, np.int64)
        self._fixed = np.stack((table.sizes, prints), 1)  # (signatures, 2)
        self._fixed_leaves = self.matrix.T @ self._fixed  # (leaves, 2)

    def unit(self, counts: Int64[np.ndarray, " signatures"]) -> "UnitGround":
        """The ground with the mask pixels of one unit."""
        values = np.concatenate((self._fixed, counts[:, None]), 1)
        fired = np.flatnonzero(counts)
        overlaps = self.matrix[fired].T @ counts[fired]
        return UnitGround(self, values, np.concatenate((self._fixed_leaves, overlaps[:, None]), 1))

    def areas(self) -> Int64[np.ndarray, " leaves"]:
        """Pixels of every leaf."""
        return self._fixed_leaves[:, AREA]


@dataclass(frozen=True, eq=False)
class UnitGround:
    """The sums of one unit."""

    ground: SearchGround
    values: Int64[np.ndarray, "signatures 3"]
    "pixels, random number and mask pixels of every signature"
    leaf_sums: Int64[np.ndarray, "leaves 3"]
    "their sums over every leaf"

    @cached_property
    def total(self) -> Int64[np.ndarray, " 3"]:
        """Their sums over everything."""
        return self.values.sum(0)

    @property
    def area(self) -> int:
        """Pixels of the unit's mask."""
        return int(self.total[OVERLAP])

    def rows(self, leaf: int) -> Int64[np.ndarray, " rows"]:
        """The signatures that carry the leaf."""
        return self.ground.table.rows_with(leaf)

    def mask(self, leaf: int) -> Bool[np.ndarray, " signatures"]:
        """Where the leaf holds."""
        mask = np.zeros(len(self.values), bool)
        mask[self.rows(leaf)] = True
        return mask

    def within(self, rows: Int64[np.ndarray, " rows"]) -> Int64[np.ndarray, "leaves 3"]:
        """The sums over the part of every leaf that lies within the rows."""
        return leaf_sums(self.ground.matrix, rows, self.values)

    def ious(self, sums: Int64[np.ndarray, "*shape 3"], epsilon: float = 0.0) -> np.ndarray:
        """|M and L| / |M or L| of masks with these sums; 0 where both are empty."""
        overlap = sums[..., OVERLAP]
        union = self.area + sums[..., AREA] - overlap
        return np.asarray(overlap / (np.maximum(union, 1) + epsilon))


def leaf_sums(
    matrix: csr_array, rows: Int64[np.ndarray, " rows"], values: Int64[np.ndarray, "signatures k"]
) -> Int64[np.ndarray, "leaves k"]:
    """Sums of the values over each column's ones, within the rows."""
    return matrix[rows].T @ values[rows]
