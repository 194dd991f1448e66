"""What is known of one picture, and what every set of labelled pictures offers.

    labels = concepts.labels(7)
    labels.maps["object"]          # a tuple of (height, width) id maps, as one pixel may be labelled twice
    labels.scalars["scene"]        # a tuple of ids that hold for the whole picture
    labels.present()               # {("object", 3), ("scene", 1)}
    concepts.names["object"][3]    # "hat"; id 0 is "", unlabelled

A map covers the whole picture, whatever its resolution: Broden's are half as fine as its photographs.
"""

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from jaxtyping import Int

from describer.data.images import ImageSet
from describer.errors import ImagesError

Names = Mapping[str, tuple[str, ...]]
"category -> name by id"


@dataclass(frozen=True, eq=False)
class ImageLabels:
    """The labels of one picture."""

    maps: Mapping[str, tuple[Int[np.ndarray, "_ _"], ...]] = field(default_factory=dict)
    "category -> id maps, each over the whole picture; 0 = unlabelled"
    scalars: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    "category -> ids that hold for the whole picture"

    def present(self) -> set[tuple[str, int]]:
        """(category, id) of everything that is labelled anywhere in the picture."""
        found = {(category, number) for category, numbers in self.scalars.items() for number in numbers}
        for category, maps in self.maps.items():
            found |= {(category, int(number)) for layer in maps for number in np.unique(layer)}
        return {(category, number) for category, number in found if number}


class ConceptSet(ABC):
    """Pictures with labels, one picture at a time and never all in memory."""

    source: str
    "where it came from, as given"
    images: ImageSet
    "the labelled pictures"
    names: Names
    "names by category and id; id 0 is unlabelled"

    def __len__(self) -> int:
        return len(self.images)

    def labels(self, index: int) -> ImageLabels:
        """The labels of picture `index`; ImagesError where they cannot be read or an id has no name."""
        labels = self._read(index)
        for category, number in sorted(labels.present()):
            known = self.names.get(category, ())
            if not 0 < number < len(known) or not known[number]:
                message = f"Every label must have a name. Got {category} {number} in picture {index} of {self.source}"
                raise ImagesError(f"{message}, which has none. Add it to the names.")
        return labels

    @property
    def concepts(self) -> list[tuple[str, int]]:
        """(category, id) of every name, category by category."""
        return [(category, i) for category, names in self.names.items() for i, name in enumerate(names) if name]

    @cached_property
    def fingerprint(self) -> str:
        """Equal for equal labels of equal pictures under equal names."""
        told = json.dumps({category: list(names) for category, names in self.names.items()})
        return hashlib.sha256("\0".join((self.images.fingerprint, told, self._digest())).encode()).hexdigest()

    @abstractmethod
    def _read(self, index: int) -> ImageLabels:
        """The labels as they lie in the source."""

    @abstractmethod
    def _digest(self) -> str:
        """What decides the labels, beside pictures and names."""


def checked_names(source: str, names: Mapping[str, Sequence[str]]) -> dict[str, tuple[str, ...]]:
    """Names by category without empty categories; ImagesError where a category says one name twice, or all are empty.

    The same name in two categories is two concepts.
    """
    kept = {category: tuple(by_id) for category, by_id in names.items() if any(by_id[1:])}
    for category, by_id in kept.items():
        seen: dict[str, int] = {}
        for number, name in enumerate(by_id):
            if number and name in seen:
                message = f"Names of a category must differ. Got {name!r} for {category} {seen[name]} and {number}"
                raise ImagesError(f"{message} in {source}. Rename one.")
            if number and name:
                seen[name] = number
    if not kept:
        raise ImagesError(f"{source} must name at least one concept. Got none. Check its list of names.")
    return kept


def refuse_other_size(source: str, index: int, shape: tuple[int, ...], picture: tuple[int, int]) -> None:
    """ImagesError unless a label map (height, width) is as large as its picture (width, height)."""
    if shape != picture[::-1]:
        message = f"A mask must be as large as its picture, {picture[0]}x{picture[1]}. Got {shape[1]}x{shape[0]}"
        raise ImagesError(f"{message} for picture {index} of {source}. Resize it (nearest neighbour).")
