"""Units that fire on the same pictures, and units that mean the same.

    neighbours = Neighbours(atlas)
    neighbours.of("layer4", 483, 8)      # [Neighbour("layer3", 12, 0.36), …] nearest first, over all layers
    Alike(index.tables).of("layer4", 483, 8)

Two units are as near as their sets of exemplar images are alike: images of both, as a fraction of images of either; or,
by meaning, as the cosine of their exemplars' vectors.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Int64
from scipy import sparse

from describer.atlas import Atlas
from describer.search.tables import IndexTables


@dataclass(frozen=True)
class Neighbour:
    """A unit beside another one."""

    layer: str
    unit: int
    likeness: float
    "images of both as a fraction of the images of either, above 0 and at most 1; or a cosine"


class Neighbours:
    """All units of the finished layers of an atlas by their exemplar images."""

    def __init__(self, atlas: Atlas) -> None:
        found = [(entry.name, atlas.exemplars(entry.name)) for entry in atlas.meta.layers if entry.probed]
        self._layers = [name for name, _ in found]
        self._units = [exemplars.unit_ids.numpy() for _, exemplars in found]
        self._first = np.cumsum([0, *map(len, self._units)])
        n_images = max(atlas.meta.n_images, 1)
        blocks = [_incidence(exemplars.images.numpy(), n_images) for _, exemplars in found]
        self._fires = sparse.vstack(blocks, format="csr") if blocks else sparse.csr_array((0, n_images), dtype=np.int8)
        self._by_image = self._fires.T.tocsr()
        self._sizes = np.diff(self._fires.indptr)

    def of(self, layer: str, unit: int, n_wanted: int) -> list[Neighbour]:
        """The nearest units, ties in the order of the atlas; none that shares no image."""
        number = self._layers.index(layer) if layer in self._layers else None
        rows = np.flatnonzero(self._units[number] == unit) if number is not None else np.array([])
        if number is None or not len(rows):
            return []
        row = int(self._first[number] + rows[0])
        images = _columns(self._fires, row).tolist()
        firing = [_columns(self._by_image, image) for image in images]  # a product would look at every unit there is
        others, counts = np.unique(np.concatenate([np.array([row]), *firing]), return_counts=True)
        keep = others != row
        others, counts = others[keep], counts[keep]
        likeness = counts / (self._sizes[row] + self._sizes[others] - counts)
        order = np.lexsort((others, -likeness))[:n_wanted]
        return [Neighbour(*self._unit(int(others[i])), float(likeness[i])) for i in order]

    def _unit(self, row: int) -> tuple[str, int]:
        number = int(np.searchsorted(self._first, row, "right")) - 1
        return self._layers[number], int(self._units[number][row - self._first[number]])


class Alike:
    """All units of an index by their vectors, in memory, as a page must not wait for a query: 1 kB a unit."""

    def __init__(self, tables: IndexTables) -> None:
        self._units, self._vectors = tables.all_vectors()
        self._row = {unit: row for row, unit in enumerate(self._units)}

    def of(self, layer: str, unit: int, n_wanted: int) -> list[Neighbour]:
        """The nearest units, ties in the order of the atlas; none for a unit without exemplars."""
        row = self._row.get((layer, unit))
        if row is None:
            return []
        cosines = (self._vectors @ self._vectors[row]).numpy()
        cosines[row] = -np.inf
        near = np.lexsort((np.arange(len(cosines)), -cosines))[: min(n_wanted, len(cosines) - 1)]
        found = [(*self._units[other], float(cosines[other])) for other in near.tolist()]
        return [Neighbour(*each) for each in found]


def _incidence(images: Int64[np.ndarray, "units k"], n_images: int) -> sparse.csr_array:
    """(units, images) 1 where the image is among the unit's exemplars."""
    rows, ranks = np.nonzero((images >= 0) & (images < n_images))
    ones = np.ones(len(rows), np.int8)
    return sparse.csr_array((ones, (rows, images[rows, ranks])), shape=(len(images), n_images))


def _columns(matrix: sparse.csr_array, row: int) -> np.ndarray:
    """Where a row is not 0."""
    return matrix.indices[matrix.indptr[row] : matrix.indptr[row + 1]]  # type: ignore[no-any-return]
