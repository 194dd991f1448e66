"""Several concept sets as one: of other pictures one after another, of the same pictures one upon another.

    JoinedConcepts([clothing, textures])         # the pictures of both; what only one labels is unlabelled in the other
    LayeredConcepts([joined, colors])            # the same pictures under both kinds of labels

A category and name that several sets have is one concept.
"""

import hashlib
from collections.abc import Sequence
from itertools import accumulate

import numpy as np
from PIL.Image import Image

from describer.data.concepts.labels import ConceptSet, ImageLabels, Names
from describer.data.images import ImageSet

Ids = dict[str, np.ndarray]
"category -> id in the joined set, by id in the part"


class JoinedImages(ImageSet):
    """The pictures of several sets, one set after another."""

    def __init__(self, parts: Sequence[ImageSet]):
        self.parts, self.source = tuple(parts), ",".join(part.source for part in parts)
        self._ends = list(accumulate(len(part) for part in parts))

    def __len__(self) -> int:
        return self._ends[-1]

    def place(self, index: int) -> tuple[int, int]:
        """(part, index in the part) of a picture."""
        if not 0 <= index < len(self):
            raise IndexError(index)
        part = next(i for i, end in enumerate(self._ends) if index < end)
        return part, index - (self._ends[part - 1] if part else 0)

    def image(self, index: int) -> Image:
        """The picture as its own set shows it."""
        part, inner = self.place(index)
        return self.parts[part].image(inner)

    def _digest(self) -> str:
        return hashlib.sha256("\0".join(part.fingerprint for part in self.parts).encode()).hexdigest()


class JoinedConcepts(ConceptSet):
    """Concept sets of different pictures."""

    def __init__(self, parts: Sequence[ConceptSet]):
        self.parts, self.source = tuple(parts), ",".join(part.source for part in parts)
        self.images: JoinedImages = JoinedImages([part.images for part in parts])
        self.names, self._ids = _united(parts)

    def _read(self, index: int) -> ImageLabels:
        part, inner = self.images.place(index)
        return _renumbered(self.parts[part].labels(inner), self._ids[part])

    def _digest(self) -> str:
        return "\0".join(part.fingerprint for part in self.parts)


class LayeredConcepts(ConceptSet):
    """Concept sets of the same pictures."""

    def __init__(self, parts: Sequence[ConceptSet]):
        assert len({len(part) for part in parts}) == 1
        self.parts, self.source = tuple(parts), ",".join(part.source for part in parts)
        self.images = parts[0].images
        self.names, self._ids = _united(parts)

    def _read(self, index: int) -> ImageLabels:
        maps: dict[str, tuple[np.ndarray, ...]] = {}
        scalars: dict[str, tuple[int, ...]] = {}
        for part, ids in zip(self.parts, self._ids, strict=True):
            found = _renumbered(part.labels(index), ids)
            maps |= {category: (*maps.get(category, ()), *new) for category, new in found.maps.items()}
            scalars |= {category: (*scalars.get(category, ()), *new) for category, new in found.scalars.items()}
        return ImageLabels(maps, scalars)

    def _digest(self) -> str:
        return "\0".join(part.fingerprint for part in self.parts)


def _united(parts: Sequence[ConceptSet]) -> tuple[Names, list[Ids]]:
    """All names, in the order of the parts, and each part's ids among them."""
    names: dict[str, list[str]] = {}
    for part in parts:
        for category, by_id in part.names.items():
            known = names.setdefault(category, [""])
            known += [name for name in dict.fromkeys(by_id) if name and name not in known]
    places = {category: {name: i for i, name in enumerate(by_id)} for category, by_id in names.items()}
    ids = [{c: np.array([places[c][name] for name in by_id]) for c, by_id in part.names.items()} for part in parts]
    return {category: tuple(by_id) for category, by_id in names.items()}, ids


def _renumbered(labels: ImageLabels, ids: Ids) -> ImageLabels:
    maps = {c: tuple(ids[c][layer].astype(np.int32) for layer in layers) for c, layers in labels.maps.items()}
    scalars = {c: tuple(int(ids[c][number]) for number in numbers) for c, numbers in labels.scalars.items()}
    return ImageLabels(maps, scalars)
