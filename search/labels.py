"""What a set of labelled images offers to the signature table, and how its labels become numbered concepts.

    concepts = ConceptNames({"object": ["", "sky", "dog"], "color": {1: "red", 4: "blue"}})
    concepts.names                                   # ("sky", "dog", "red", "blue")
    concepts.numbers("color", np.array([0, 4]))      # [-1, 3]; -1 is unlabelled

A concept is one label of one category. The same name in two categories is told apart as "category:name".
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Integer

from describer.errors import ConceptsError

Maps = Mapping[str, np.ndarray | Sequence[np.ndarray]]
"category -> label ids of the pixels, (height, width), or several of these where a pixel has several labels"
Scalars = Mapping[str, int | Sequence[int]]
"category -> label id or ids of the whole image"
Names = Mapping[str, Sequence[str] | Mapping[int, str]]
"category -> names by label id; id 0 and empty names are no concepts"


@runtime_checkable
class LabelSource(Protocol):
    """Labelled images by index; what a table is made from and what its masks are counted on."""

    @property
    def names(self) -> Names:
        """Names of the labels of every category."""

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of an image that has no map; (1, 1) where every input is one pixel."""

    def __len__(self) -> int: ...

    def labels(self, index: int, /) -> tuple[Maps, Scalars]:
        """The labels of one image."""


class ArrayLabels:
    """Labels in arrays: maps (images, height, width) or (images, maps, height, width), scalars (images, ...)."""

    def __init__(
        self,
        maps: Mapping[str, np.ndarray],
        scalars: Mapping[str, np.ndarray] | None = None,
        names: Names | None = None,
        size: tuple[int, int] | None = None,
    ):
        self.maps = {category: np.asarray(values) for category, values in maps.items()}
        self.scalars = {category: np.asarray(values) for category, values in (scalars or {}).items()}
        lengths = {category: len(values) for category, values in (self.maps | self.scalars).items()}
        if len(set(lengths.values())) > 1:
            raise ConceptsError(f"labels must be of the same images. Got {lengths} images. Give as many of each.")
        self.n_images = next(iter(lengths.values()), 0)
        first = next(iter(self.maps.values()), None)
        self.size = size or ((1, 1) if first is None else (first.shape[-2], first.shape[-1]))
        self.names: Names = numbered(self.maps, self.scalars) if names is None else names

    def __len__(self) -> int:
        return self.n_images

    def labels(self, index: int, /) -> tuple[Maps, Scalars]:
        """The labels of one image, not copied."""
        maps = {category: values[index] for category, values in self.maps.items()}
        scalars = {category: np.atleast_1d(values[index]).tolist() for category, values in self.scalars.items()}
        return maps, scalars


@runtime_checkable
class Labelled(Protocol):
    """What is known of one picture, whatever the resolution of its maps."""

    @property
    def maps(self) -> Mapping[str, Sequence[np.ndarray]]: ...

    @property
    def scalars(self) -> Mapping[str, Sequence[int]]: ...


@runtime_checkable
class Pictures(Protocol):
    """Labelled pictures, as `describer.data.concepts` loads them."""

    @property
    def names(self) -> Names: ...

    def __len__(self) -> int: ...

    def labels(self, index: int, /) -> Labelled: ...


class GridLabels:
    """The labels of pictures of any size on one grid of (height, width): each cell has the label at its centre."""

    def __init__(self, pictures: Pictures, size: tuple[int, int]):
        self.pictures, self.size, self.names = pictures, size, pictures.names

    def __len__(self) -> int:
        return len(self.pictures)

    def labels(self, index: int, /) -> tuple[Maps, Scalars]:
        """The labels of one picture on the grid."""
        found = self.pictures.labels(index)
        return {category: [self._laid(m) for m in maps] for category, maps in found.maps.items()}, found.scalars

    def _laid(self, labels: Integer[np.ndarray, "_ _"]) -> Integer[np.ndarray, "height width"]:
        if labels.shape == self.size:
            return labels
        rows, columns = (
            ((np.arange(n) + 0.5) * m / n).astype(np.int64) for n, m in zip(self.size, labels.shape, strict=True)
        )
        return labels[rows[:, None], columns]


def numbered(*labels: Mapping[str, np.ndarray]) -> dict[str, dict[int, str]]:
    """Names for labels that have none: "category-id" of every id that occurs."""
    found: dict[str, set[int]] = {}
    for part in labels:
        for category, values in part.items():
            found.setdefault(category, set()).update(np.unique(values).tolist())
    return {category: {i: f"{category}-{i}" for i in sorted(ids) if i > 0} for category, ids in found.items()}


class ConceptNames:
    """Concepts in the order of the categories and their ids; raises ConceptsError for what cannot be told apart."""

    def __init__(self, names: Names):
        rows = [(category, i, name) for category, given in names.items() for i, name in _pairs(given)]
        for category, given in names.items():
            twice = [name for name, n in Counter(name for _, name in _pairs(given)).items() if n > 1]
            if not [name for _, name in _pairs(given)]:
                raise ConceptsError(f"category {category} must have labels. Got none. Name them or leave it out.")
            if twice:
                raise ConceptsError(
                    f"names within a category must differ. Got {twice[0]!r} more than once in {category}. Rename one."
                )
        if negative := [(category, i) for category, i, _ in rows if i < 0]:
            raise ConceptsError(f"label ids must be at least 0. Got {negative[0]}. Number labels from 1.")
        shared = {name for name, n in Counter(name for _, _, name in rows).items() if n > 1}
        self.names = tuple(f"{category}:{name}" if name in shared else name for category, _, name in rows)
        if len(set(self.names)) < len(self.names):
            twice = [name for name, n in Counter(self.names).items() if n > 1]
            raise ConceptsError(f"names of concepts must differ. Got {twice[0]!r} more than once. Rename one.")
        self.categories = tuple(category for category, _, _ in rows)
        self.label_names = {category: dict(_pairs(given)) for category, given in names.items()}
        self._tables = {category: _lookup(rows, category) for category in names}

    def numbers(
        self, category: str, labels: Integer[np.ndarray, "*shape"], where: str = ""
    ) -> Integer[np.ndarray, "*shape"]:
        """The concept of every label, -1 where unlabelled; ConceptsError for ids without a name."""
        table = self._tables.get(category)
        if table is None:
            raise ConceptsError(
                f"category {category!r} must have names. Got {list(self._tables)}{where}. Name its labels."
            )
        low, high = (int(labels.min()), int(labels.max())) if labels.size else (0, 0)
        found = table[labels] if low >= 0 and high < len(table) else None
        if found is None or int(found.min(initial=0)) < -1:
            known = {*np.flatnonzero(table > -2).tolist()}
            strange = sorted({*np.unique(labels).tolist()} - known)
            raise ConceptsError(
                f"every label of {category} must have a name. Got id {strange[0]}{where}. Name it or label it 0."
            )
        return found


def _pairs(given: Sequence[str] | Mapping[int, str]) -> list[tuple[int, str]]:
    items = sorted(given.items()) if isinstance(given, Mapping) else list(enumerate(given))
    return [(int(i), name) for i, name in items if i != 0 and name.strip()]


def _lookup(rows: Sequence[tuple[str, int, str]], category: str) -> Integer[np.ndarray, " ids"]:
    """Concept by label id: -1 for 0, -2 where there is no name."""
    ids = {i: number for number, (owner, i, _) in enumerate(rows) if owner == category}
    table = np.full(max(ids) + 1, -2, np.int32)
    table[0] = -1
    table[list(ids)] = list(ids.values())
    return table
