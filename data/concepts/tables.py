"""Parquet files with masks, or with a word for every picture.

    TableConcepts("clothing/", files).labels(7).maps["object"]      # columns image and mask, labels.json beside
    TableConcepts("textures/", files).labels(7).scalars["texture"]  # columns image and texture
    NamedMasks("segments/", files, photographs)                     # columns path and mask: joined by file name

labels.json tells the name of every id, {"0": "background", "1": "hat"}; 0 is unlabelled. A word's category is the name
of its column.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from describer.data.concepts.labelmap import read_map
from describer.data.concepts.labels import ConceptSet, ImageLabels, checked_names, refuse_other_size
from describer.data.folder import FolderImages, digest_files
from describer.data.images import ImageSet
from describer.data.tables import ParquetRows, TableImages, from_parquet
from describer.errors import ImagesError

MASK, PATH = "mask", "path"
"Columns of label maps, and of the names of the pictures that these belong to."
WORDS = ("object", "part", "scene", "material", "texture", "color", "class", "label")
"Columns whose text holds for the whole picture."


class TableConcepts(ConceptSet):
    """Pictures and their labels in the same rows."""

    def __init__(self, source: str, files: list[Path]):
        self.source, self.files = source, files
        self.images = from_parquet(source, files)
        columns = pq.read_schema(files[0])
        self._masks = mask_rows(files) if MASK in columns.names else None
        self._words = {name: _column(files, name) for name in WORDS if _is_text(columns, name)}
        names: dict[str, Sequence[str]] = {
            category: ("", *sorted({word for word in words if word})) for category, words in self._words.items()
        }
        if self._masks is not None:
            names["object"] = read_names(source, files[0].parent)
        if not names:
            message = f"{source} must have a column mask, or one of {', '.join(WORDS)}. Got {', '.join(columns.names)}"
            raise ImagesError(f"{message}. Add the labels.")
        self.names = checked_names(source, names)
        self._ids = {c: {name: i for i, name in enumerate(self.names.get(c, ()))} for c in self._words}

    def _read(self, index: int) -> ImageLabels:
        words = {c: (self._ids[c].get(told[index] or "", 0),) for c, told in self._words.items()}
        if self._masks is None:
            return ImageLabels({}, words)
        ids = read_map(cell_bytes(self.source, self._masks, index))
        refuse_other_size(self.source, index, ids.shape, self.images.image(index).size)
        return ImageLabels({"object": (ids,)}, words)

    def _digest(self) -> str:
        return str(sorted(self._words))  # the files are in the fingerprint of the pictures


class NamedMasks(ConceptSet):
    """Label maps that lie apart from their pictures and name them; pictures without a map have no labels."""

    def __init__(self, source: str, files: list[Path], images: ImageSet):
        self.source, self.files, self.images = source, files, images
        self._masks = mask_rows(files)
        rows = {Path(name).name: row for row, name in enumerate(_column(files, PATH)) if name}
        self._rows = [rows.get(name) for name in picture_names(images)]
        if not any(row is not None for row in self._rows):
            message = f"{source} must name pictures of {images.source}. Got no name in common"
            raise ImagesError(f"{message}. Give the pictures that it labels: {source}@PICTURES.")
        self.names = checked_names(source, {"object": read_names(source, files[0].parent)})

    def _read(self, index: int) -> ImageLabels:
        row = self._rows[index]
        if row is None:
            return ImageLabels()
        ids = read_map(cell_bytes(self.source, self._masks, row))
        refuse_other_size(self.source, index, ids.shape, self.images.image(index).size)
        return ImageLabels({"object": (ids,)})

    def _digest(self) -> str:
        return digest_files(self.files, [path.name for path in self.files])


def holds_names_only(file: Path) -> bool:
    """Whether a Parquet file has masks and names of pictures, but no pictures."""
    columns = pq.read_schema(file).names
    return MASK in columns and PATH in columns and not {"image", "img", "picture", "photo"} & set(columns)


def mask_rows(files: list[Path]) -> ParquetRows:
    """The cells of the column mask."""
    rows = ParquetRows(files)
    rows.column = MASK
    return rows


def cell_bytes(source: str, rows: ParquetRows, index: int) -> bytes | Path:
    """The encoded mask of a row, or the file that it names."""
    cell: Any = rows.cell(index)
    content, path = (cell.get("bytes"), cell.get("path")) if isinstance(cell, dict) else (cell, None)
    if not content and not path:
        raise ImagesError(f"Row {index} of {source} must hold a mask. Got an empty cell. Remove the row.")
    return content or rows.folder / str(path)


def read_names(source: str, folder: Path) -> list[str]:
    """Names by id of a folder's labels.json; 0 is "", whatever it is called there."""
    path = folder / "labels.json"
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        named = {int(number): str(name) for number, name in told.items()}
        if min(named, default=0) < 0:
            raise ValueError(f"id {min(named)}")
    except (OSError, ValueError, AttributeError) as fault:
        message = f"{source} must have its names in labels.json, id -> name. Got {type(fault).__name__}: {fault}"
        raise ImagesError(f"{message}. Write {path}.") from fault
    return ["", *(named.get(number, "") for number in range(1, max(named, default=0) + 1))]


def picture_names(images: ImageSet) -> list[str]:
    """The file name of every picture, "" where it has none; ImagesError where pictures of this kind have no names."""
    if isinstance(images, FolderImages):
        return [path.name for path in images.files]
    if isinstance(images, TableImages) and isinstance(images.rows, ParquetRows):
        return [Path(name or "").name for name in _column(images.rows.files, f"{images.rows.column}.path")]
    message = "Masks that name their pictures must be joined to a folder or Parquet files"
    raise ImagesError(f"{message}. Got {images.source}. Give the pictures: MASKS@PICTURES.")


def _column(files: list[Path], name: str) -> list[str | None]:
    """One column of text of all files; `image.path` is a field within a column."""
    found: list[str | None] = []
    for path in files:
        column = pq.read_table(path, columns=[name]).column(0)
        for cell in column.to_pylist():
            found.append(next(iter(cell.values())) if isinstance(cell, dict) else cell)
    return found


def _is_text(columns: pa.Schema, name: str) -> bool:
    if name not in columns.names:
        return False
    kind = columns.field(name).type
    return pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_dictionary(kind)
