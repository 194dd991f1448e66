"""The true classes of labelled pictures, numbered as a classifier's outputs.

    truth = class_labels(load_images("photos/"), target.class_names)      # (images,) int64, -1 = unknown

Read from the kinds of drawn scenes, from the folder of each picture (`photos/dog/1.jpg`), or from a column of Parquet
files or of a dataset of the hub: names that the classifier knows, or numbers.
"""

from collections.abc import Sequence

import numpy as np
import pyarrow.parquet as pq
from jaxtyping import Int64

from describer.data.drawn import DrawnImages
from describer.data.folder import FolderImages
from describer.data.images import ImageSet
from describer.data.tables import ParquetRows, TableImages
from describer.errors import ImagesError

COLUMNS = ("label", "labels", "class", "target", "fine_label")
"Names of columns that hold classes, the first that is there."


def class_labels(images: ImageSet, class_names: Sequence[str] | None) -> Int64[np.ndarray, " images"]:
    """The class of every picture, -1 where it is none of the classifier's; ImagesError where nothing tells classes."""
    values = _values(images)
    if all(isinstance(value, int) for value in values):
        return np.array(values, np.int64)
    if class_names is None:
        message = f"Classes told by name must go with a classifier that has class names. Got names in {images.source}"
        raise ImagesError(f"{message}. Return class_names from the factory.")
    numbers = {name.lower(): number for number, name in enumerate(class_names)}
    found = np.array([numbers.get(str(value).lower(), -1) for value in values], np.int64)
    if (found < 0).all():
        message = f"Classes of {images.source} must be among the classifier's {len(numbers)}"
        raise ImagesError(f"{message}. Got {values[0]!r}. Rename them as {class_names[0]!r}.")
    return found


def _values(images: ImageSet) -> list[int | str]:
    """The class of every picture as it is told."""
    if isinstance(images, DrawnImages):
        from describer.data.scenes import NAMES

        return [NAMES["scene"][images.scenes.scene(index).scene_kind] for index in range(len(images))]
    if isinstance(images, FolderImages) and any(file.parent != images.root for file in images.files):
        return [file.relative_to(images.root).parts[0] if file.parent != images.root else "" for file in images.files]
    if isinstance(images, TableImages) and isinstance(images.rows, ParquetRows):
        names = pq.read_schema(images.rows.files[0]).names
        column = next((name for name in COLUMNS if name in names), None)
        if column is not None:
            parts = [pq.read_table(file, columns=[column]).column(0).to_pylist() for file in images.rows.files]
            return [value for part in parts for value in part]
    message = "Labelled pictures must be scenes:N, a folder for each class, or Parquet files with a column label"
    raise ImagesError(f"{message}. Got {images.source}. Add the labels.")
