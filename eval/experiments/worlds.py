"""Labelled pictures in four parts that share none: to teach, to describe by, to choose by and to test by.

world = scenes_world(Sizes(6000, 1000, 600, 1000), "runs/spurious")        # the drawn world, kept there once drawn
world = photo_world("cifar10/*.parquet", Sizes(22000, 1000, 1000, 2000))   # labelled pictures in Parquet files
world.test.images.image(7), world.class_names[world.test.labels[7]]
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from jaxtyping import Int64, UInt8
from PIL import Image

from describer.data.classes import COLUMNS, class_labels
from describer.data.concepts.drawn import DrawnConcepts
from describer.data.concepts.labels import ConceptSet
from describer.data.drawn import DrawnImages
from describer.data.images import ImageSet, load_images
from describer.data.tables import ParquetRows, TableImages
from describer.errors import ImagesError
from describer.eval.control.segmenter import HeldPictures

Progress = Callable[[str, int, int], None]
PARTS = ("train", "probe", "validation", "test")
FIRST_SEED = 700
"Of the scenes of the first part; no other pictures of the project have these seeds."


@dataclass(frozen=True)
class Sizes:
    """Pictures of each part."""

    train: int
    probe: int
    validation: int
    test: int


@dataclass(frozen=True, eq=False)
class Part:
    """Pictures of one part with their classes."""

    images: ImageSet
    labels: Int64[np.ndarray, " pictures"]
    concepts: ConceptSet | None = None
    "what else is known of their pixels"


@dataclass(frozen=True, eq=False)
class World:
    """Pictures of one kind."""

    name: str
    class_names: list[str]
    train: Part
    probe: Part
    validation: Part
    test: Part


def scenes_world(
    sizes: Sizes, folder: str | Path, seed: int = 0, grain: int | None = None, progress: Progress | None = None
) -> World:
    """Drawn scenes by kind, every pixel labelled; the pictures are kept in `folder`.

    With `grain` they are out of focus, as if of grain x grain pixels: their kinds are harder to tell.
    """
    from describer.data.scenes import NAMES

    Path(folder).mkdir(parents=True, exist_ok=True)
    parts = {}
    for place, name in enumerate(PARTS):
        n, own = getattr(sizes, name), FIRST_SEED + len(PARTS) * seed + place
        scenes = DrawnImages(f"scenes:{n}:{own}", n, own)
        pixels, labels = _drawn(scenes, Path(folder) / f"scenes-{n}-{own}.npz", progress)
        pixels = pixels if grain is None else np.stack([blurred(picture, grain) for picture in pixels])
        parts[name] = Part(HeldPictures(pixels), labels, DrawnConcepts(scenes))
    return World("scenes", list(NAMES["scene"][1:]), **parts)


def blurred(picture: UInt8[np.ndarray, "height width 3"], grain: int) -> UInt8[np.ndarray, "height width 3"]:
    """The picture reduced to grain x grain means and enlarged again, smoothly."""
    small = Image.fromarray(picture).resize((grain, grain), Image.Resampling.BOX)
    return np.asarray(small.resize(picture.shape[1::-1], Image.Resampling.BICUBIC))


def _drawn(scenes: DrawnImages, file: Path, progress: Progress | None) -> tuple[np.ndarray, np.ndarray]:
    """Pixels and kinds of all scenes."""
    if file.exists():
        with np.load(file) as kept:
            return kept["pixels"], kept["labels"]
    pixels, labels = np.zeros((len(scenes), 128, 128, 3), np.uint8), np.zeros(len(scenes), np.int64)
    for index in range(len(scenes)):
        scene = scenes.scenes.scene(index)
        pixels[index], labels[index] = scene.image, scene.scene_kind - 1
        if progress:
            progress(f"drawing {scenes.source}", index + 1, len(scenes))
    partial = file.with_suffix(".part.npz")
    np.savez(partial, allow_pickle=False, pixels=pixels, labels=labels)
    partial.rename(file)
    return pixels, labels


def photo_world(source: str, sizes: Sizes, seed: int = 0) -> World:
    """Labelled pictures of Parquet files, dealt to the parts at random; ImagesError where they are too few."""
    images = load_images(source)
    names = _names(images)
    labels = class_labels(images, names)
    wanted = [getattr(sizes, name) for name in PARTS]
    if sum(wanted) > len(images):
        message = f"{source} must hold {sum(wanted)} pictures for all parts. Got {len(images)}"
        raise ImagesError(f"{message}. Give more, or ask for fewer.")
    dealt = np.split(np.random.default_rng(seed).permutation(len(images)), np.cumsum(wanted))
    parts = {
        name: Part(_held(images, rows), labels[rows]) for name, rows in zip(PARTS, dealt, strict=False)
    }  # the rest is left over
    return World("photographs", names, **parts)


def _held(images: ImageSet, rows: np.ndarray) -> HeldPictures:
    """These pictures in memory, read in the order in which they lie."""
    order = np.argsort(rows, kind="stable")
    read = {int(rows[place]): np.asarray(images.image(int(rows[place])).convert("RGB")) for place in order}
    shapes = {picture.shape for picture in read.values()}
    if len(shapes) > 1:
        message = f"{images.source} must hold pictures of one size. Got {len(shapes)} sizes"
        raise ImagesError(f"{message}. Resize them.")
    return HeldPictures(np.stack([read[int(row)] for row in rows]))


def _names(images: ImageSet) -> list[str]:
    """The classes that a column names, in alphabetical order."""
    if isinstance(images, TableImages) and isinstance(images.rows, ParquetRows):
        there = pq.read_schema(images.rows.files[0]).names
        column = next((name for name in COLUMNS if name in there), None)
        if column is not None:
            values = {str(value) for file in images.rows.files for value in pq.read_table(file)[column].to_pylist()}
            return sorted(values)
    message = f"Pictures must be Parquet files with a column of class names. Got {images.source}"
    raise ImagesError(f"{message}. Name such files.")
