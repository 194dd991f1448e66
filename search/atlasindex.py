"""The index of one atlas: its exemplar sets and descriptions in the tables that are searched.

    index = Index.open(Atlas.open("atlas"), Meanings.of(None))         # made first where there is none that fits
    index.tables.by_words("dogs", filters.where(index.layers), 100)

It lies in the atlas, under a key of everything that changes an answer: what the atlas says, the captioner, the
format. Making it goes on where it was killed; it becomes visible by renaming, and indexes of other keys are dropped.
"""

import hashlib
import os
import shutil
import tempfile
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyarrow as pa
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor

from describer.atlas import Atlas
from describer.errors import AtlasError
from describer.exemplars import Exemplars
from describer.files import PART, disk_faults, renamed
from describer.lock import FolderLock
from describer.search.forms import affirmed
from describer.search.meanings import Meanings
from describer.search.query import Hit
from describer.search.tables import IndexTables, sets_schema, words_schema
from describer.unittable import Row

FORMAT = 5
"Raised whenever the tables of an index become others."
FOLDER = "index"
Progress = Callable[[str, int, int], None]


class Thumbnails:
    """An atlas's exemplar pictures as an image source."""

    def __init__(self, atlas: Atlas) -> None:
        self.atlas = atlas

    def image(self, index: int, /) -> Image.Image:
        """Exemplar image `index`."""
        return self.atlas.thumbnail(index)


class Index:
    """The index of one atlas."""

    def __init__(self, atlas: Atlas, name: str, meanings: Meanings, tables: IndexTables) -> None:
        self.atlas, self.name, self.meanings, self.tables = atlas, name, meanings, tables
        self.methods = sorted({method for entry in atlas.meta.layers for method in entry.methods})
        tables.n_methods = max(1, len(self.methods))

    @classmethod
    def open(cls, atlas: Atlas, meanings: Meanings, progress: Progress | None = None, name: str = "") -> "Index":
        """The index in the atlas, made where there is none that fits; on a read-only disk for this process only."""
        folder = cls.folder(atlas, meanings)
        if not folder.is_dir():
            if not any(entry.probed for entry in atlas.meta.layers):
                raise AtlasError(f"{atlas.path} must have a finished layer. Got none. Repeat the describe command.")
            folder = _made(atlas, meanings, folder, progress or _silent)
        return cls(atlas, name or str(atlas.path), meanings, IndexTables(folder))

    @staticmethod
    def folder(atlas: Atlas, meanings: Meanings) -> Path:
        """Where the index of an atlas lies, made or not."""
        key = hashlib.sha256(f"{FORMAT} {atlas.stamp()} {meanings.key}".encode()).hexdigest()[:16]
        return atlas.path / FOLDER / key

    @property
    def layers(self) -> list[str]:
        """Names of the layers that were probed."""
        return [entry.name for entry in self.atlas.meta.layers if entry.probed]

    def hit(self, row: Row, score: float, by: str, parts: dict[str, float]) -> Hit:
        """A unit of this atlas that was found."""
        words = (row["method"], row["description"], row["formula"])
        return Hit(self.name, row["layer"], row["unit"], *words, score, by, parts, row["withdrawn"])


def _made(atlas: Atlas, meanings: Meanings, folder: Path, progress: Progress) -> Path:
    """Make the index at `folder` and drop those of other keys; where that cannot be written, in a temporary folder."""
    try:
        folder.parent.mkdir(exist_ok=True)
        lock = FolderLock(folder.parent)
    except AtlasError:
        message = f"{folder.parent} must have one writer. Got a second: another process makes the index"
        raise AtlasError(f"{message}. Search again when it is done.") from None
    except OSError:
        passing = Path(tempfile.mkdtemp(prefix="describer-index-"))
        weakref.finalize(atlas, shutil.rmtree, passing, ignore_errors=True)
        return _built(atlas, meanings, passing / folder.name, progress)
    try:
        if not folder.is_dir():  # else made while this process waited for nothing
            with disk_faults(folder.parent):
                _built(atlas, meanings, folder, progress)
    finally:
        lock.release()
    return folder


def _built(atlas: Atlas, meanings: Meanings, folder: Path, progress: Progress) -> Path:
    """Encode layer by layer into parts that outlive a kill, then write the tables and rename the whole."""
    part = folder.with_name(PART + folder.name)
    (part / "sets").mkdir(parents=True, exist_ok=True)
    names = [entry.name for entry in atlas.meta.layers if entry.probed]
    pictures = Thumbnails(atlas)
    for number, name in enumerate(names):
        progress("encoding exemplars", number, len(names))
        file = part / "sets" / f"{number}.safetensors"
        if not file.exists():
            memory, vectors, present = meanings.sets(atlas.exemplars(name), pictures)
            with renamed(file) as unfinished:
                save_file({"memory": memory, "vectors": vectors, "present": present}, unfinished)
    progress("encoding exemplars", len(names), len(names))
    progress("writing the index", 0, 1)
    k = max(atlas.exemplars(name).k for name in names)
    IndexTables.write(part, meanings.width, k, _batches(atlas, part / "sets", names, k))
    shutil.rmtree(part / "sets")
    os.replace(part, folder)
    for other in folder.parent.iterdir():
        if other.is_dir() and other != folder:
            with suppress(OSError):
                shutil.rmtree(other)
    progress("writing the index", 1, 1)
    return folder


def _batches(atlas: Atlas, sets: Path, names: Sequence[str], k: int) -> Iterator[tuple[pa.Table, pa.Table]]:
    first = 0
    for number, name in enumerate(names):
        exemplars, encoded = atlas.exemplars(name), load_file(sets / f"{number}.safetensors")
        rows_of: dict[int, list[Row]] = {unit: [] for unit in exemplars.unit_ids.tolist()}
        for row in atlas.units(name):
            rows_of[row["unit"]].append(row)
        yield (
            sets_table(exemplars, encoded["memory"], encoded["present"], first, k),
            words_table(name, rows_of, encoded["vectors"], first),
        )
        first += len(exemplars)


def sets_table(exemplars: Exemplars, memory: Tensor, present: Tensor, first: int, k: int) -> pa.Table:
    """Rows of the table `sets`, padded to k exemplars; the first unit has the place `first`."""
    missing = (0, k - exemplars.k)
    images = torch.nn.functional.pad(exemplars.images.masked_fill(exemplars.dead[:, None], -1), missing, value=-1)
    columns = [
        torch.arange(first, first + len(exemplars), dtype=torch.int32).numpy(),
        torch.nn.functional.pad(memory, (0, 0, *missing)).numpy(),
        torch.nn.functional.pad(present, missing).numpy(),
        images.int().numpy(),
    ]
    schema = sets_schema(memory.shape[2], k)
    arrays = [
        pa.array(column) if field.name == "place" else _lists(column, field.type)
        for column, field in zip(columns, schema, strict=True)
    ]
    return pa.Table.from_arrays(arrays, schema=schema)


def words_table(layer: str, rows_of: dict[int, list[Row]], vectors: Tensor, first: int) -> pa.Table:
    """Rows of the table `words`: those of every unit, or one without words where a unit has none.

    A form that was withdrawn is none, as a description that was withdrawn is none and has no strength.
    """
    told = []
    for position, (unit, rows) in enumerate(rows_of.items()):
        forms = [None if row.get("reliable") is False else row.get("formula") for row in rows]
        has_formula = any(forms)
        vector = None if bool(vectors[position].isnan().any()) else vectors[position].numpy()
        for row, form in zip(rows or [{"method": ""}], forms or [None], strict=True):
            words, scores = row.get("description"), [row.get(name) for name in ("score", "pmi", "iou")]
            strength = next((score for score in scores if score is not None and words is not None), None)
            about = {"place": first + position, "layer": layer, "unit": unit, "method": row["method"]}
            # of a form only what it says is there: "NOT red" must not be found as red
            searched = affirmed(words) if words and row.get("formula") and "NOT" in words.upper() else words
            about |= {"description": words, "withdrawn": row.get("withdrawn"), "formula": form, "searched": searched}
            told.append({**about, "strength": strength, "has_formula": has_formula, "vector": vector})
    return pa.Table.from_pylist(told, schema=words_schema(vectors.shape[1]))


def _lists(rows: Any, kind: pa.FixedSizeListType) -> pa.FixedSizeListArray:
    return pa.FixedSizeListArray.from_arrays(pa.array(rows.reshape(-1), kind.value_type), kind.list_size)


def _silent(stage: str, done: int, total: int) -> None:
    """Progress for nobody."""
