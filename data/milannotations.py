"""The MILANNOTATIONS layout: exemplars of a layer as arrays on disk, and what people wrote of its units.

    layer = read_annotated_exemplars("resnet152/imagenet", "layer3")
    layer.lookup(226)                       # the row of unit 226, whatever units.npy holds
    layer.images[0], layer.annotations[0]   # (k, 3, H, W) uint8 memmap, the sentences of unit layer.unit_ids[0]
    write_annotated_exemplars("elsewhere", layer)

    root/annotations.csv            layer,unit,summary (usually three rows a unit)
    root/<layer>/images.npy         (units, k, 3, H, W) uint8; published without where the pictures may not be passed on
    root/<layer>/masks.npy          (units, k, 1, H, W) uint8, 0 or 1
    root/<layer>/ids.csv            (units, k) indices into the image set          } optional
    root/<layer>/activations.csv    (units, k)                                     }
    root/<layer>/units.npy          (units,) unit ids, where not all units are here }

Layers are words, also "0" and "4": the published reader takes them for numbers and then finds no annotation, and it
takes a unit's id for its row. Nothing is loaded until it is looked at.
"""

import csv
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float32, Int64, UInt8
from PIL import Image

from describer.description import ImageSource
from describer.errors import ImagesError
from describer.exemplars import Exemplars

COLUMNS = ("layer", "unit", "summary")


@dataclass(frozen=True, eq=False)
class AnnotatedExemplars:
    """The exemplars of one layer with what people wrote; rows are units."""

    layer: str
    "module path, a word even when it is made of digits"
    unit_ids: Int64[np.ndarray, " units"]
    "the unit of each row"
    images: UInt8[np.ndarray, "units k 3 height width"] | None
    "memory-mapped; None where the layer was published without pictures"
    masks: UInt8[np.ndarray, "units k 1 height width"]
    "memory-mapped; 1 inside"
    ids: Int64[np.ndarray, "units k"] | None
    "indices into the image set"
    activations: Float32[np.ndarray, "units k"] | None
    annotations: list[list[str]]
    "the sentences on each row's unit, in the order of the file; empty where nobody wrote"

    def __len__(self) -> int:
        return len(self.unit_ids)

    @property
    def k(self) -> int:
        """Exemplars of one unit."""
        return self.masks.shape[1]

    def lookup(self, unit: int) -> int:
        """The row of a unit; ImagesError where it is not here."""
        rows = np.flatnonzero(self.unit_ids == unit)
        if not len(rows):
            raise ImagesError(
                f"unit must be one of the {len(self)} units of {self.layer}. Got {unit}. Do read another layer."
            )
        return int(rows[0])

    def annotated(self, n_annotations: int = 3) -> list[int]:
        """The rows whose units have at least `n_annotations` sentences."""
        return [row for row, texts in enumerate(self.annotations) if len(texts) >= n_annotations]


def list_annotated_layers(root: str | Path) -> list[str]:
    """The layers in a folder, by name; ImagesError where there is none."""
    folder = Path(root)
    layers = sorted(path.parent.name for path in folder.glob("*/masks.npy"))
    if not layers:
        raise ImagesError(f"{root} must hold folders of layers with masks.npy. Got none. Do name a dataset's root.")
    return layers


def read_annotated_exemplars(
    root: str | Path, layer: str, columns: Sequence[str] = COLUMNS, n_annotations: int | None = None
) -> AnnotatedExemplars:
    """One layer with its annotations (columns: layer, unit, sentence), at most `n_annotations` a unit.

    ImagesError where a file is missing or of another shape. Annotations of units that are not here are left out.
    """
    folder = Path(root) / layer
    masks = _load(folder / "masks.npy")
    images = _load(folder / "images.npy") if (folder / "images.npy").exists() else None
    _check(folder, "masks.npy", masks, 1)
    if images is not None:
        _check(folder, "images.npy", images, 3)
        if images.shape[:2] + images.shape[3:] != masks.shape[:2] + masks.shape[3:]:
            raise ImagesError(f"masks of {folder} must fit images {images.shape}. Got {masks.shape}. Do export again.")
    n_units, k = masks.shape[:2]
    units = _unit_ids(folder, n_units)
    ids, activations = (_table(folder / name, (n_units, k)) for name in ("ids.csv", "activations.csv"))
    said = read_annotations_file(Path(root) / "annotations.csv", columns).get(layer, {})
    return AnnotatedExemplars(
        layer,
        units,
        images,
        masks,
        None if ids is None else ids.astype(np.int64),
        None if activations is None else activations.astype(np.float32),
        [said.get(int(unit), [])[:n_annotations] for unit in units],
    )


def read_annotations_file(path: str | Path, columns: Sequence[str] = COLUMNS) -> dict[str, dict[int, list[str]]]:
    """Layer → unit → sentences of an annotations file; nothing where there is no such file."""
    if not Path(path).exists():
        return {}
    said: dict[str, dict[int, list[str]]] = {}
    with open(path, newline="", encoding="utf-8") as file:
        rows = csv.DictReader(file)
        if set(columns) - set(rows.fieldnames or ()):
            raise ImagesError(
                f"{path} must have the columns {', '.join(columns)}. Got {rows.fieldnames}. Do name them."
            )
        for row in rows:
            layer, unit, text = (row[column] for column in columns)
            said.setdefault(layer, {}).setdefault(int(unit), []).append(text)
    return said


def write_annotated_exemplars(root: str | Path, exemplars: AnnotatedExemplars) -> Path:
    """Write one layer, and its sentences into annotations.csv beside those of other layers; the layer's folder."""
    folder = Path(root) / exemplars.layer
    folder.mkdir(parents=True, exist_ok=True)
    if exemplars.images is not None:
        _copy(folder / "images.npy", exemplars.images)
    _copy(folder / "masks.npy", exemplars.masks)
    _write_tables(folder, exemplars.unit_ids, exemplars.ids, exemplars.activations)
    said = dict(zip(exemplars.unit_ids.tolist(), exemplars.annotations, strict=True))
    _write_annotations(Path(root) / "annotations.csv", exemplars.layer, said)
    return folder


def write_exemplars(
    root: str | Path,
    exemplars: Exemplars,
    images: ImageSource,
    size: int = 224,
    annotations: Mapping[int, Sequence[str]] | None = None,
) -> Path:
    """Write probed exemplars in the layout, unit by unit: pictures squashed to `size`, masks at `size`, unit ids.

    An exemplar that does not exist (k larger than the data) is a black picture with an empty mask and id -1.
    """
    folder = Path(root) / exemplars.layer
    folder.mkdir(parents=True, exist_ok=True)
    shape = (len(exemplars), exemplars.k)
    pictures = _open(folder / "images.npy", (*shape, 3, size, size))
    masks = _open(folder / "masks.npy", (*shape, 1, size, size))
    for row in range(len(exemplars)):
        masks[row, :, 0] = exemplars.masks(size, positions=[row])[0].numpy()
        for rank, index in enumerate(exemplars.images[row].tolist()):
            if index >= 0:
                picture = images.image(index).convert("RGB").resize((size, size), Image.Resampling.BILINEAR)
                pictures[row, rank] = np.asarray(picture).transpose(2, 0, 1)
    for array, name in ((pictures, "images.npy"), (masks, "masks.npy")):
        _finish(array, folder / name)
    units = exemplars.unit_ids.numpy().astype(np.int64)
    _write_tables(folder, units, exemplars.images.numpy(), exemplars.activations.numpy())
    said = {int(unit): list((annotations or {}).get(int(unit), [])) for unit in units}
    _write_annotations(Path(root) / "annotations.csv", exemplars.layer, said)
    return folder


def _load(path: Path) -> np.ndarray:
    """A memory map (read only) of an array without pickled objects."""
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError) as fault:
        raise ImagesError(f"{path} must be an array. Got: {fault}. Do export the layer again.") from fault


def _check(folder: Path, name: str, array: np.ndarray, channels: int) -> None:
    if array.ndim != 5 or array.shape[2] != channels or array.dtype != np.uint8:
        raise ImagesError(
            f"{folder / name} must be uint8 of shape (units, k, {channels}, height, width). "
            f"Got {array.dtype} {array.shape}. Do export the layer again."
        )


def _unit_ids(folder: Path, n_units: int) -> np.ndarray:
    if not (folder / "units.npy").exists():
        return np.arange(n_units, dtype=np.int64)
    units = np.load(folder / "units.npy", allow_pickle=False)
    if units.shape != (n_units,):
        raise ImagesError(f"{folder / 'units.npy'} must have shape ({n_units},). Got {units.shape}. Do export again.")
    return units.astype(np.int64)


def _table(path: Path, shape: tuple[int, int]) -> np.ndarray | None:
    if not path.exists():
        return None
    table = np.loadtxt(path, delimiter=",", ndmin=2, dtype=np.float64)
    if table.shape != shape:
        raise ImagesError(f"{path} must have {shape[0]} rows of {shape[1]}. Got {table.shape}. Do export again.")
    return table


def _open(path: Path, shape: tuple[int, ...]) -> np.memmap:
    """A new uint8 array on disk, under a name that says that it is not whole yet."""
    return np.lib.format.open_memmap(path.with_suffix(".part"), mode="w+", dtype=np.uint8, shape=shape)


def _finish(array: np.memmap, path: Path) -> None:
    array.flush()
    os.replace(path.with_suffix(".part"), path)


def _copy(path: Path, array: np.ndarray) -> None:
    written = _open(path, array.shape)
    for row in range(len(array)):
        written[row] = array[row]
    _finish(written, path)


def _write_tables(folder: Path, units: np.ndarray, ids: np.ndarray | None, activations: np.ndarray | None) -> None:
    np.save(folder / "units.npy", units)
    if ids is not None:
        np.savetxt(folder / "ids.csv", ids, delimiter=",", fmt="%d")
    if activations is not None:
        np.savetxt(folder / "activations.csv", activations, delimiter=",", fmt="%.5e")


def _write_annotations(path: Path, layer: str, said: Mapping[int, Sequence[str]]) -> None:
    """Replace the rows of one layer; those of other layers stay."""
    everything = read_annotations_file(path) | {layer: {unit: list(texts) for unit, texts in said.items()}}
    part = path.with_suffix(".part")
    with open(part, "w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(COLUMNS)
        for name, units in everything.items():
            rows.writerows((name, unit, text) for unit, texts in units.items() for text in texts)
    os.replace(part, path)
