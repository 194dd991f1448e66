"""Units that fire on the same pictures.

    neighbours = Neighbours(atlas)
    neighbours.of("layer4", 483, 8)      # [Neighbour("layer3", 12, 0.36), …] nearest first, over all layers

Two units are as near as their sets of exemplar images are alike: images of both, as a fraction of images of either.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Int64
from scipy import sparse

from describer.atlas import Atlas


@dataclass(frozen=True)
class Neighbour:
    """A unit beside another one."""

    layer: str
    unit: int
    likeness: float
    "images of both as a fraction of the images of either, above 0 and at most 1"


class Neighbours:
    """All units of the finished layers of an atlas by their exemplar images."""

    def __init__(self, atlas: Atlas) -> None:
        found = [(entry.name, atlas.exemplars(entry.name)) for entry in atlas.meta.layers if entry.probed]
        self._units = [(name, int(unit)) for name, exemplars in found for unit in exemplars.unit_ids]
        self._place = {unit: row for row, unit in enumerate(self._units)}
        n_images = max(atlas.meta.n_images, 1)
        blocks = [_incidence(exemplars.images.numpy(), n_images) for _, exemplars in found]
        self._fires = sparse.vstack(blocks, format="csr") if blocks else sparse.csr_array((0, n_images), dtype=np.int64)
        self._by_image = self._fires.T.tocsr()
        self._sizes = np.asarray(self._fires.sum(1)).ravel()

    def of(self, layer: str, unit: int, n_wanted: int) -> list[Neighbour]:
        """The nearest units, ties in the order of the atlas; none that shares no image."""
        row = self._place.get((layer, unit))
        if row is None:
            return []
        shared = (self._fires[[row]] @ self._by_image).tocoo()
        others, counts = shared.coords[1], shared.data
        keep = others != row
        others, counts = others[keep], counts[keep]
        likeness = counts / (self._sizes[row] + self._sizes[others] - counts)
        order = np.lexsort((others, -likeness))[:n_wanted]
        return [Neighbour(*self._units[int(others[i])], float(likeness[i])) for i in order]


def _incidence(images: Int64[np.ndarray, "units k"], n_images: int) -> sparse.csr_array:
    """(units, images) 1 where the image is among the unit's exemplars."""
    rows, ranks = np.nonzero((images >= 0) & (images < n_images))
    ones = np.ones(len(rows), np.int64)
    return sparse.csr_array((ones, (rows, images[rows, ranks])), shape=(len(images), n_images))
