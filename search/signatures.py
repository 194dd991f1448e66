"""Pixels that carry the same concepts, counted once: every form is constant on such a signature.

    table = SignatureTable.from_maps(maps={"object": ids}, scalars={"scene": kinds}, names={"object": [...], ...})
    table = SignatureTable.from_source(GridLabels(load_concepts("scenes:400:7"), size=(112, 112)))
    counts = table.count(masks)                      # (units, images, height, width) bool -> UnitCounts
    table.area(parse("sky AND NOT blue"))            # pixels, exact
    table.save("concepts.safetensors")

IoU needs no more than `sizes` and every unit's counts by signature (I = f·counts, A = f·sizes), so that memory grows
with the signatures and not with the pixels. Where there are more signatures than `max_signatures`, it is said, parts of
the table lie on disk, and everything stays exact: a signature then stands in several parts.
"""

import difflib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import pairwise
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Int64
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file
from scipy.sparse import csc_array, csr_array, hstack

from describer.errors import ConceptsError, FormulaError
from describer.files import renamed
from describer.search.counts import MaskCounter, UnitCounts
from describer.search.forms import Concept, Form, Neighbors
from describer.search.labels import ArrayLabels, ConceptNames, LabelSource, Maps, Names, Scalars
from describer.search.parts import MAX_SIGNATURES, Disk, Parts, warn
from describer.search.pixels import signatures_of

FORMAT = "describer-signatures-1"
_ARRAYS = ("indptr", "indices", "sizes", "image_starts", "row_starts")


@dataclass(frozen=True, eq=False)
class SignatureTable:
    """Signatures as rows, concepts as columns; `==` of two tables is `table.same(other)`."""

    label_names: Mapping[str, Mapping[int, str]]
    "names of the labels by category and id"
    matrix: csr_array
    "(signatures, concepts) int8, 1 where the signature has the concept"
    sizes: Int64[np.ndarray, " signatures"]
    "pixels that carry exactly these concepts"
    image_starts: tuple[int, ...] = (0, 0)
    "the first image of every part of the table, and the number of images"
    row_starts: tuple[int, ...] = (0, 0)
    "the first row of every part, and the number of rows; rows of one part differ and ascend"
    neighbors: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    "concept -> the concepts that NEIGHBORS(concept) joins, itself included"
    source: LabelSource | None = None
    "the labelled images, where masks are to be counted"
    disk: Disk | None = None
    "the folder of a table that is larger than memory is meant to hold; deleted with the table"

    @classmethod
    def from_maps(
        cls,
        maps: Mapping[str, np.ndarray],
        scalars: Mapping[str, np.ndarray] | None = None,
        names: Names | None = None,
        *,
        size: tuple[int, int] | None = None,
        max_signatures: int = MAX_SIGNATURES,
        say: Callable[[str], None] = warn,
    ) -> "SignatureTable":
        """The table of labels in arrays, (images, height, width) and (images,); ConceptsError where they do not fit."""
        source = ArrayLabels(maps, scalars, names, size)
        return cls.from_source(source, max_signatures=max_signatures, say=say)

    @classmethod
    def from_source(
        cls,
        source: LabelSource,
        *,
        max_signatures: int = MAX_SIGNATURES,
        say: Callable[[str], None] = warn,
        progress: Callable[[int, int], None] | None = None,
    ) -> "SignatureTable":
        """The table of labelled images, read one by one; `say` is told where it gets larger than `max_signatures`."""
        builder = TableBuilder(source.names, source.size, max_signatures, say)
        for index in range(len(source)):
            builder.add(*source.labels(index))
            if progress is not None:
                progress(index + 1, len(source))
        return builder.table(source)

    @cached_property
    def concepts(self) -> ConceptNames:
        """The numbering of the concepts."""
        return ConceptNames(self.label_names)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the concepts."""
        return self.concepts.names

    @property
    def categories(self) -> tuple[str, ...]:
        """The category of every concept."""
        return self.concepts.categories

    @property
    def category_names(self) -> tuple[str, ...]:
        """The categories themselves, in their order."""
        return tuple(self.label_names)

    @property
    def n_images(self) -> int:
        return self.image_starts[-1]

    @cached_property
    def n_pixels(self) -> int:
        return int(self.sizes.sum())

    def __len__(self) -> int:
        return len(self.sizes)

    @cached_property
    def areas(self) -> Int64[np.ndarray, " concepts"]:
        """Pixels of every concept; 0 for one that nothing carries."""
        return self.matrix.T @ self.sizes

    def same(self, other: "SignatureTable") -> bool:
        """True where both have the same concepts, signatures and sizes in the same order."""
        mine, theirs = self.matrix, other.matrix
        equal = self.names == other.names and self.categories == other.categories and mine.shape == theirs.shape
        return equal and all(
            np.array_equal(a, b)
            for a, b in ((self.sizes, other.sizes), (mine.indptr, theirs.indptr), (mine.indices, theirs.indices))
        )

    # Leaves and masks of forms

    @cached_property
    def leaves(self) -> tuple[Form, ...]:
        """What a form can be made of: all concepts, then all NEIGHBORS."""
        return (*map(Concept, self.names), *map(Neighbors, self.neighbors))

    @cached_property
    def leaf_matrix(self) -> csr_array:
        """(signatures, leaves) int8, 1 where the leaf holds."""
        if not self.neighbors:
            return self.matrix
        place = {name: number for number, name in enumerate(self.names)}
        rows = [place[word] for words in self.neighbors.values() for word in words]
        columns = [column for column, words in enumerate(self.neighbors.values()) for _ in words]
        shape = (len(self.names), len(self.neighbors))
        words = csr_array((np.ones(len(rows), np.int32), (rows, columns)), shape=shape)
        joined = (self.matrix.astype(np.int32) @ words) > 0
        return csr_array(hstack((self.matrix, joined), format="csr", dtype=np.int8))

    @cached_property
    def postings(self) -> csc_array:
        """`leaf_matrix` by columns: the rows of every leaf, ascending."""
        return csc_array(self.leaf_matrix)

    def with_neighbors(self, neighbors: Mapping[str, Sequence[str]]) -> "SignatureTable":
        """A table whose forms may say NEIGHBORS(name): name or any of its neighbors; ConceptsError for unknown ones."""
        joined = {name: tuple(dict.fromkeys((name, *words))) for name, words in neighbors.items()}
        known = set(self.names)
        if strange := sorted({word for words in joined.values() for word in words} - known):
            raise ConceptsError(f"neighbors must be concepts. Got {strange[0]!r}. Leave it out.")
        return replace(self, neighbors=joined)

    def with_source(self, source: LabelSource | None) -> "SignatureTable":
        """The same table on labelled images, for counting; ConceptsError where these are others by name or number."""
        if source is not None and (len(source) != self.n_images or ConceptNames(source.names).names != self.names):
            raise ConceptsError(
                f"labels must be those of the table, {self.n_images} images. Got {len(source)}, of other names or "
                f"number. Build the table again."
            )
        return replace(self, source=source)

    def leaf(self, leaf: Form) -> int:
        """The column of a leaf; FormulaError with the nearest names for one the table does not have."""
        column = self._columns.get(leaf)
        if column is None:
            near = difflib.get_close_matches(str(leaf), list(map(str, self._columns)), 3)
            raise FormulaError(
                f"a form must name concepts of the table. Got {leaf}. Try {', '.join(near) or 'another'}."
            )
        return column

    @cached_property
    def _columns(self) -> dict[Form, int]:
        return {leaf: column for column, leaf in enumerate(self.leaves)}

    def rows_with(self, leaf: int) -> Int64[np.ndarray, " rows"]:
        """The rows where the leaf of this column holds, ascending."""
        held = self.postings
        return held.indices[held.indptr[leaf] : held.indptr[leaf + 1]].astype(np.int64, copy=False)

    def mask(self, form: Form) -> Bool[np.ndarray, " signatures"]:
        """Where the form holds among the signatures."""
        return form.evaluate(lambda leaf: self._column(self.leaf(leaf)))

    def _column(self, leaf: int) -> Bool[np.ndarray, " signatures"]:
        mask = np.zeros(len(self), bool)
        mask[self.rows_with(leaf)] = True
        return mask

    def area(self, form: Form) -> int:
        """Pixels where the form holds."""
        return int(self.sizes[self.mask(form)].sum())

    def image_mask(self, form: Form, image: int) -> Bool[np.ndarray, "height width"]:
        """Where the form holds in one image; needs the labelled images."""
        index, rows = self.rows_of(image)
        there = np.zeros((len(rows), self.postings.shape[1]), bool)
        some = self.leaf_matrix[rows]
        there[np.repeat(np.arange(len(rows)), np.diff(some.indptr)), some.indices] = True
        return form.evaluate(lambda leaf: there[:, self.leaf(leaf)])[index]

    # Counting

    def rows_of(self, image: int) -> tuple[Int64[np.ndarray, "height width"], Int64[np.ndarray, " signatures"]]:
        """Every pixel's position among the signatures of the image, and their rows in the table."""
        if self.source is None:
            raise ConceptsError("masks must be counted on labels. Got a table without. Give it its source again.")
        found = signatures_of(self.concepts, *self.source.labels(image), self.source.size, f" in image {image}")
        part = int(np.searchsorted(self.image_starts, image, side="right")) - 1
        if self._opened.get("part") != part:
            self._opened.update(part=part, rows=self._keyed(part))
        rows = self._opened["rows"]
        if any(key not in rows for key in found.keys):
            raise ConceptsError(
                f"labels must be those of the table. Got others in image {image}. Build the table again."
            )
        return found.index, np.array([rows[key] for key in found.keys], np.int64)

    @cached_property
    def _opened(self) -> dict:
        """The part whose rows can be looked up at the moment."""
        return {}

    def _keyed(self, part: int) -> dict[bytes, int]:
        """The row of every signature of one part."""
        start, end = self.row_starts[part], self.row_starts[part + 1]
        ends = self.matrix.indptr[start : end + 1].tolist()
        held = np.ascontiguousarray(self.matrix.indices[ends[0] : ends[-1]], np.int32).tobytes()
        shifted = [4 * (at - ends[0]) for at in ends]
        return {held[a:b]: start + row for row, (a, b) in enumerate(pairwise(shifted))}

    def categories_of(self, rows: Int64[np.ndarray, " rows"]) -> Bool[np.ndarray, "rows categories"]:
        """Which categories have a label in these rows."""
        met = np.zeros((len(rows), len(self.category_names)), bool)
        some = self.matrix[rows]
        met[np.repeat(np.arange(len(rows)), np.diff(some.indptr)), self._category_of[some.indices]] = True
        return met

    @cached_property
    def _category_of(self) -> Int64[np.ndarray, " concepts"]:
        return np.array([self.category_names.index(category) for category in self.categories])

    def counter(self, n_units: int, shifts: Sequence[int] = ()) -> MaskCounter:
        """Counts masks image by image, as they come; see MaskCounter."""
        return MaskCounter(self, n_units, shifts)

    def count(self, masks: np.ndarray) -> UnitCounts:
        """The pixels by signature of masks, bool (units, images, height, width); these may lie on disk."""
        if masks.ndim != 4 or masks.shape[1] != self.n_images:
            raise ConceptsError(
                f"masks must be (units, {self.n_images} images, height, width). Got {masks.shape}. "
                f"Give one mask for every labelled image."
            )
        counter = self.counter(len(masks))
        for image in range(self.n_images):
            counter.add(image, masks[:, image])
        return counter.result()

    # Merging and keeping

    def merge(
        self, other: "SignatureTable", max_signatures: int = MAX_SIGNATURES, say: Callable[[str], None] = warn
    ) -> "SignatureTable":
        """The table of this one's images followed by the other's; ConceptsError where the concepts differ."""
        if self.names != other.names or self.categories != other.categories:
            raise ConceptsError("tables to merge must have the same concepts. Got others. Name the labels alike.")
        parts = Parts(max_signatures, say)
        for table in (self, other):
            for part, (start, end) in enumerate(pairwise(table.image_starts)):
                rows = table._keyed(part)
                parts.extend(rows, table.sizes[list(rows.values())].tolist(), end - start)
        return _finished(self.label_names, parts, None)

    def lift(self, half: "SignatureTable", counts: UnitCounts) -> UnitCounts:
        """Counts on a table that was merged into this one, in this one's rows; two halves' then add up."""
        if len(self.row_starts) > 2 or len(half.row_starts) > 2:
            raise ConceptsError("counts can be lifted between tables of one part. Got several. Count the masks again.")
        mine, theirs = self._keyed(0), half._keyed(0)
        if any(key not in mine for key in theirs):
            raise ConceptsError("counts must be of a table that was merged into this. Got another. Merge it first.")
        place = np.array([mine[key] for key in theirs], np.int64)
        found = counts.counts.tocoo()
        lifted = csr_array((found.data, (found.row, place[found.col])), shape=(counts.shape[0], len(self)))
        return UnitCounts(lifted, counts.category_areas)

    def save(self, path: str | Path) -> None:
        """Writes one safetensors file, whole or not at all."""
        label_names = {category: list(pairs.items()) for category, pairs in self.label_names.items()}
        about = {"format": FORMAT, "names": json.dumps(label_names), "neighbors": json.dumps(dict(self.neighbors))}
        starts = {name: np.array(getattr(self, name), np.int64) for name in ("image_starts", "row_starts")}
        arrays = {"indptr": self.matrix.indptr, "indices": self.matrix.indices, "sizes": self.sizes}
        with renamed(Path(path)) as part:
            save_file({name: np.ascontiguousarray(array) for name, array in (arrays | starts).items()}, part, about)

    @classmethod
    def load(cls, path: str | Path, source: LabelSource | None = None) -> "SignatureTable":
        """Reads what `save` wrote; ConceptsError for any other file."""
        try:
            with safe_open(path, "np") as file:
                about = file.metadata() or {}
                found = {name: file.get_tensor(name) for name in _ARRAYS if about.get("format") == FORMAT}
        except (OSError, SafetensorError) as fault:
            raise ConceptsError(f"{path} must hold signatures. Got: {fault}. Build the table again.") from fault
        if about.get("format") != FORMAT:
            raise ConceptsError(f"{path} must be of format {FORMAT}. Got {about.get('format')}. Build the table again.")
        names = {category: dict(pairs) for category, pairs in json.loads(about["names"]).items()}
        neighbors = {name: tuple(words) for name, words in json.loads(about["neighbors"]).items()}
        table = cls(
            names,
            binary(found["indices"], found["indptr"], sum(map(len, names.values()))),
            found["sizes"],
            tuple(found["image_starts"].tolist()),
            tuple(found["row_starts"].tolist()),
            neighbors,
        )
        return table if source is None else table.with_source(source)


class TableBuilder:
    """Makes a table image by image, where images come once; memory holds at most `max_signatures` of them."""

    def __init__(
        self,
        names: Names,
        size: tuple[int, int] = (1, 1),
        max_signatures: int = MAX_SIGNATURES,
        say: Callable[[str], None] = warn,
    ):
        self.names, self.size, self.concepts = names, size, ConceptNames(names)
        self._parts = Parts(max_signatures, say)

    def add(self, maps: Maps, scalars: Scalars) -> None:
        """Takes the labels of the next image; ConceptsError where they do not fit."""
        where = f" in image {self._parts.n_images}"
        found = signatures_of(self.concepts, maps, scalars, self.size, where)
        self._parts.extend(found.keys, found.sizes.tolist(), 1)

    def table(self, source: LabelSource | None = None) -> SignatureTable:
        """The table of all images so far; the builder must not be used any more."""
        return _finished(self.concepts.label_names, self._parts, source)


def _finished(label_names: Mapping[str, Mapping[int, str]], parts: Parts, source: LabelSource | None) -> SignatureTable:
    indices, indptr, sizes, row_starts = parts.finish()
    matrix = binary(indices, indptr, sum(map(len, label_names.values())))
    return SignatureTable(label_names, matrix, sizes, parts.image_starts, row_starts, {}, source, parts.disk)


def binary(indices: np.ndarray, indptr: np.ndarray, n_columns: int) -> csr_array:
    """A matrix of ones where `indices` say, without a copy of these."""
    data = np.ones(len(indices), np.int8)
    return csr_array((data, indices, indptr), shape=(len(indptr) - 1, n_columns), copy=False)
