"""Photographs as they lie in parquet files, for a teacher to look at.

photos = read_photographs(["flickr8k/train-*.parquet"], folds=range(6))
photos[0].name, photos[0].image()
"""

import io
from collections.abc import Collection
from dataclasses import dataclass

from PIL import Image

from describer.training.sources.parquet import Paths, fold_of, read_rows


@dataclass(frozen=True)
class Photograph:
    """One encoded picture."""

    name: str
    "file name, may be empty"
    encoded: bytes
    "the file's bytes"

    def image(self) -> Image.Image:
        """The decoded RGB picture."""
        return Image.open(io.BytesIO(self.encoded)).convert("RGB")


def read_photographs(paths: Paths, folds: Collection[int]) -> list[Photograph]:
    """Every photograph of the files whose fold (`corpus.split_of`) is in ``folds``, in file and row order."""
    cells = (row["image"] for row in read_rows(paths, ["image"]))
    return [Photograph(cell.get("path") or "", cell["bytes"]) for cell in cells if fold_of(cell) in folds]
