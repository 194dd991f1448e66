"""Tiny Parquet files with drawn pictures, in the layouts that the sources read."""

import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image


def picture(
    height: int, width: int, *patches: tuple[str, tuple[int, int, int, int]], ground: str = "white"
) -> Image.Image:
    """A picture of rectangles: (colour, (left, top, right, bottom))."""
    image = Image.new("RGB", (width, height), ground)
    for colour, box in patches:
        image.paste(colour, box)
    return image


def struct(image: Image.Image, path: str | None) -> dict[str, Any]:
    """The image struct of a Parquet row (PNG: exact)."""
    written = io.BytesIO()
    image.save(written, "PNG")
    return {"bytes": written.getvalue(), "path": path}


def labels(ids: np.ndarray, path: str | None = None) -> dict[str, Any]:
    """The struct of a mask of label ids."""
    return struct(Image.fromarray(ids.astype(np.uint8)), path)


def write(path: Path, rows: Sequence[dict[str, Any]]) -> Path:
    """One Parquet file of the rows."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(list(rows)), path)
    return path


def write_labels(path: Path, names: Sequence[str]) -> Path:
    """labels.json."""
    path.write_text(json.dumps({str(i): name for i, name in enumerate(names)}))
    return path


def names_in(folds: Sequence[int], n: int) -> list[str]:
    """The first n file names whose fold is one of `folds`."""
    from hashlib import md5

    found: list[str] = []
    number = 0
    while len(found) < n:
        name = f"photo_{number}.jpg"
        if int(md5(name.encode()).hexdigest(), 16) % 10 in folds:
            found.append(name)
        number += 1
    return found
