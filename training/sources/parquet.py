"""Rows of Parquet files, one at a time, pictures decoded on demand.

for row in read_rows(["train-0.parquet"], ["image", "captions"]):
    picture = decode(row["image"])
"""

import io
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from PIL import Image

from describer.errors import ImagesError
from describer.training.corpus import split_of

Paths = str | Path | Sequence[str | Path]


def list_files(paths: Paths) -> list[Path]:
    """The files named by paths, folders (their *.parquet) or globs, in order; ImagesError where none is."""
    files: list[Path] = []
    for entry in [paths] if isinstance(paths, str | Path) else paths:
        path = Path(entry)
        if path.is_dir():
            files += sorted(path.glob("*.parquet"))
        elif path.exists():
            files.append(path)
        else:
            root = Path(path.anchor) if path.is_absolute() else Path()
            files += sorted(root.glob(str(path.relative_to(path.anchor) if path.is_absolute() else path)))
    if not files:
        raise ImagesError(f"A source must name Parquet files, a folder or a glob. Got {paths}. Do check the path.")
    return files


def read_rows(paths: Paths, columns: Sequence[str]) -> Iterator[dict[str, Any]]:
    """The rows of all files as dictionaries of the named columns; ImagesError where a column is missing."""
    for path in list_files(paths):
        with pq.ParquetFile(path) as table:
            missing = set(columns) - set(table.schema_arrow.names)
            if missing:
                raise ImagesError(
                    f"{path.name} must have the columns {', '.join(columns)}. Got {table.schema_arrow.names}. "
                    "Do name a file of this layout."
                )
            for batch in table.iter_batches(batch_size=64, columns=list(columns)):
                yield from batch.to_pylist()


def decode(cell: Mapping[str, Any]) -> Image.Image:
    """The picture of an image struct {bytes, path}."""
    image = Image.open(io.BytesIO(cell["bytes"]))
    image.load()
    return image


def fold_of(cell: Mapping[str, Any]) -> int:
    """The fold of an image struct: by its file name, by its bytes where it has none."""
    return split_of(Path(cell["path"]).name if cell.get("path") else cell["bytes"])
