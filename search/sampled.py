"""A concept set on the grid of a model's input: the labels that a signature table is built from and counted on.

    labels = SampledLabels(concepts, InputFrame(target.preprocess), (112, 112))
    labels.labels(7)                       # ({"object": (maps, 112, 112)}, {"scene": (3,)})
    ground = KeptGround(SignatureTable.from_source(labels))
    MaskCounter(ground, n_units=512)

Every picture's labels are read and cropped once, and its signatures are told once: masks of many layers are counted on
them, and chance lays masks on the labels of other pictures.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Bool, Int32, Int64

from describer.data.concepts import ConceptSet
from describer.frame import InputFrame
from describer.search.shelf import Shelf
from describer.search.signatures import SignatureTable

Maps = dict[str, Int32[np.ndarray, "_ _ _"]]
Scalars = dict[str, tuple[int, ...]]


class SampledLabels:
    """Labels of some pictures of a concept set as the model sees them; `kept` are their indices in the set."""

    def __init__(
        self, concepts: ConceptSet, frame: InputFrame, size: tuple[int, int], kept: Sequence[int] | None = None
    ) -> None:
        self.concepts, self.frame, self.size = concepts, frame, size
        self.kept = list(range(len(concepts)) if kept is None else kept)
        self.names: Mapping[str, Sequence[str]] = concepts.names
        self._maps, self._scalars = Shelf(), dict[int, Scalars]()

    def __len__(self) -> int:
        return len(self.kept)

    def labels(self, index: int, /) -> tuple[Maps, Scalars]:
        """Maps by category and labels of the whole picture, of picture `kept[index]`; ImagesError as the set's own."""
        maps = self._maps.get(index)
        if maps is None:
            maps, self._scalars[index] = self._sampled(self.kept[index])
            self._maps.put(index, maps)
        return maps, self._scalars[index]

    def _sampled(self, index: int) -> tuple[Maps, Scalars]:
        picture, labels = self.concepts.images.image(index).size, self.concepts.labels(index)
        maps = {
            category: np.stack([self.frame.sampled(ids, picture, self.size) for ids in layers]).astype(np.int32)
            for category, layers in labels.maps.items()
            if layers
        }
        return maps, dict(labels.scalars)


class KeptGround:
    """A table with labels whose signatures are looked up once for each picture."""

    def __init__(self, table: SignatureTable) -> None:
        self.table, self.n_images = table, table.n_images
        self._rows = Shelf()

    def __len__(self) -> int:
        return len(self.table)

    def rows_of(self, image: int, /) -> tuple[Int64[np.ndarray, "height width"], Int64[np.ndarray, " signatures"]]:
        """Every pixel's position among the signatures of the picture, and their rows in the table."""
        found = self._rows.get(image)
        if found is None:
            index, rows = self.table.rows_of(image)
            found = {"index": index.astype(np.int32), "rows": rows}
            self._rows.put(image, found)
        return found["index"].astype(np.int64), found["rows"]

    def categories_of(self, rows: Int64[np.ndarray, " signatures"], /) -> Bool[np.ndarray, "signatures categories"]:
        """Which categories have a label in these rows."""
        return self.table.categories_of(rows)
