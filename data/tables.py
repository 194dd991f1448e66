"""Pictures in a column of a table: Parquet files, or a dataset of the Hugging Face hub.

    images = from_parquet("a.parquet", [Path("a.parquet")])
    images = from_hub("hf:cifar10:test")

A cell holds {"bytes", "path"} as `datasets` writes it, or the bytes of a file.
"""

import hashlib
from bisect import bisect_right
from functools import lru_cache
from itertools import accumulate
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import pyarrow as pa
import pyarrow.parquet as pq
from PIL.Image import Image

from describer.data.decoding import decode
from describer.data.folder import digest_files
from describer.data.images import ImageSet
from describer.errors import ImagesError

LIKELY = ("image", "img", "picture", "photo", "pixel_values", "jpg", "png")
"Names looked for first; else the first column that can hold pictures."


@runtime_checkable
class Rows(Protocol):
    """Cells of one column that holds pictures."""

    folder: Path

    def __len__(self) -> int: ...

    def cell(self, index: int) -> Any:
        """The content of one cell as Python objects."""

    def digest(self) -> str:
        """sha256 over what decides the pictures."""


class TableImages(ImageSet):
    """The pictures of one column, in the order of the rows."""

    def __init__(self, source: str, rows: Rows):
        self.source, self.rows = source, rows

    def __len__(self) -> int:
        return len(self.rows)

    def image(self, index: int) -> Image:
        """The picture in row `index`; a path without bytes is looked up beside the table."""
        if not 0 <= index < len(self):
            raise IndexError(index)
        cell = self.rows.cell(index)
        content, path = (cell.get("bytes"), cell.get("path")) if isinstance(cell, dict) else (cell, None)
        if content:
            return decode(content)
        if path:
            return decode(self.rows.folder / path)
        raise ImagesError(f"Row {index} of {self.source} must hold an image. Got an empty cell. Remove the row.")

    def _digest(self) -> str:
        return self.rows.digest()


def from_parquet(source: str, files: list[Path]) -> TableImages:
    """The image column of these files, one after another; ImagesError where they have none."""
    return TableImages(source, ParquetRows(files))


class ParquetRows:
    """Cells of the image column, read by row groups of which the last few are kept."""

    def __init__(self, files: list[Path]):
        self.files, self.folder = files, files[0].parent
        try:
            metas = [pq.read_metadata(path) for path in files]
            self.column = _image_column(pq.read_schema(files[0]), str(files[0]))
        except (OSError, pa.ArrowException) as fault:
            message = f"Parquet files must be readable. Got {str(fault).splitlines()[0]}"
            raise ImagesError(f"{message}. Check {', '.join(str(path) for path in files[:3])}.") from fault
        groups = [(i, group) for i, meta in enumerate(metas) for group in range(meta.num_row_groups)]
        self._groups = groups
        self._ends = list(accumulate(metas[i].row_group(group).num_rows for i, group in groups))
        self._group = lru_cache(maxsize=4)(self._read)

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    def cell(self, index: int) -> Any:
        """The content of one cell as Python objects."""
        place = bisect_right(self._ends, index)
        start = self._ends[place - 1] if place else 0
        return self._group(place)[index - start].as_py()

    def digest(self) -> str:
        """sha256 over the files."""
        return digest_files(self.files, [path.name for path in self.files])

    def _read(self, place: int) -> pa.ChunkedArray:
        i, group = self._groups[place]
        with pq.ParquetFile(self.files[i], memory_map=True) as file:
            return file.read_row_group(group, columns=[self.column]).column(0)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "_group"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._group = lru_cache(maxsize=4)(self._read)


def from_hub(source: str) -> TableImages:
    """The pictures of hf:NAME:SPLIT, downloaded once by `datasets`."""
    import datasets

    name, _, split = source.removeprefix("hf:").rpartition(":")
    if not name or not split:
        raise ImagesError(f"A dataset of the hub must be hf:NAME:SPLIT. Got {source!r}. Add the split, such as test.")
    try:
        table = datasets.load_dataset(name, split=split)
    except Exception as fault:
        first = str(fault).splitlines()[0] if str(fault) else ""
        message = f"{source} must load. Got {type(fault).__name__}: {first}"
        raise ImagesError(f"{message}. Check name and split, and that this machine can download it.") from fault
    column = _image_column(table.features.arrow_schema, source)
    return TableImages(
        source, HubRows(table.select_columns([column]).cast_column(column, datasets.Image(decode=False)))
    )


class HubRows:
    """Cells of a table of `datasets`, which maps it into memory."""

    def __init__(self, table: Any):
        self.table, self.folder = table, Path()

    def __len__(self) -> int:
        return len(self.table)

    def cell(self, index: int) -> Any:
        """The content of one cell as Python objects."""
        return next(iter(self.table[index].values()))

    def digest(self) -> str:
        """sha256 over the number of rows and the bytes of up to 256 of them, evenly spread."""
        digest = hashlib.sha256(f"{len(self)}".encode())
        for index in range(0, len(self), max(1, len(self) // 256)):
            cell = self.cell(index)
            digest.update(cell["bytes"] or str(cell["path"]).encode())
        return digest.hexdigest()


def _image_column(schema: pa.Schema, where: str) -> str:
    """The column that holds pictures."""
    fitting = [field.name for field in schema if _holds_pictures(field.type)]
    for name in LIKELY:
        if name in fitting:
            return name
    if not fitting:
        raise ImagesError(f"{where} must have an image column. Got {', '.join(schema.names)}. Store files as bytes.")
    return fitting[0]


def _holds_pictures(kind: pa.DataType) -> bool:
    if pa.types.is_struct(kind):
        return kind.get_field_index("bytes") >= 0
    return pa.types.is_binary(kind) or pa.types.is_large_binary(kind)
