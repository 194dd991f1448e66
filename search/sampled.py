"""A concept set on the grid of a model's input: the labels that a signature table is built from.

    labels = SampledLabels(concepts, InputFrame(target.preprocess), (112, 112))
    labels.labels(7)                       # ({"object": (maps, 112, 112)}, {"scene": (3,)})

Every picture's labels are read and cropped once and lie compressed in a temporary file, about 5 kB a picture, since a
table is built, masks are counted and chance is drawn from the same labels.
"""

import tempfile
import zlib
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Int32

from describer.data.concepts import ConceptSet
from describer.frame import InputFrame

Maps = dict[str, Int32[np.ndarray, "maps height width"]]
Scalars = dict[str, tuple[int, ...]]


class SampledLabels:
    """Labels of some pictures of a concept set as the model sees them; `kept` are their indices in the set."""

    def __init__(
        self, concepts: ConceptSet, frame: InputFrame, size: tuple[int, int], kept: Sequence[int] | None = None
    ) -> None:
        self.concepts, self.frame, self.size = concepts, frame, size
        self.kept = list(range(len(concepts)) if kept is None else kept)
        self.names: Mapping[str, Sequence[str]] = concepts.names
        self._file = tempfile.TemporaryFile(prefix="describer-labels-")
        self._places: dict[int, tuple[int, int, list[tuple[str, int]], Scalars]] = {}

    def __len__(self) -> int:
        return len(self.kept)

    def labels(self, index: int, /) -> tuple[Maps, Scalars]:
        """Maps by category and labels of the whole picture, of picture `kept[index]`; ImagesError as the set's own."""
        if index not in self._places:
            self._keep(index, *self._sampled(self.kept[index]))
        start, n_bytes, shapes, scalars = self._places[index]
        self._file.seek(start)
        pixels = np.frombuffer(zlib.decompress(self._file.read(n_bytes)), np.int32).reshape(-1, *self.size)
        maps, first = {}, 0
        for category, n_maps in shapes:
            maps[category] = pixels[first : first + n_maps]
            first += n_maps
        return maps, scalars

    def _sampled(self, index: int) -> tuple[Maps, Scalars]:
        picture, labels = self.concepts.images.image(index).size, self.concepts.labels(index)
        maps = {
            category: np.stack([self.frame.sampled(ids, picture, self.size) for ids in layers]).astype(np.int32)
            for category, layers in labels.maps.items()
            if layers
        }
        return maps, dict(labels.scalars)

    def _keep(self, index: int, maps: Maps, scalars: Scalars) -> None:
        pixels = np.concatenate([np.zeros((0, *self.size), np.int32), *maps.values()])
        content = zlib.compress(pixels.tobytes(), 1)
        start = self._file.seek(0, 2)
        self._file.write(content)
        self._places[index] = (start, len(content), [(category, len(ids)) for category, ids in maps.items()], scalars)
