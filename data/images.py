"""The pictures that are run through a network, one at a time and never all in memory.

    images = load_images("photos/")                          # a folder, with the folders in it
    images = load_images("a.parquet,b-*.parquet")            # files with an image column
    images = load_images("hf:cifar10:test")                  # a dataset of the Hugging Face hub
    images = load_images("scenes:1000:0")                    # the drawn world, by number and seed
    images = load_images("latents:1000:0", target)           # what a generator draws
    images.image(7)                                          # PIL, RGB
    images.inputs(target.preprocess)                         # a torch dataset of (index, tensor or None)

Order and number are fixed: an index means the same picture as long as `fingerprint` is the same.
"""

import glob
from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import cached_property
from pathlib import Path

from PIL.Image import Image
from torch import Tensor
from torch.utils.data import Dataset

from describer.data.targets import Target
from describer.errors import ImagesError

Preprocess = Callable[[Image], Tensor]


class ImageSet(ABC):
    """A fixed, ordered set of pictures that are read when asked for."""

    source: str
    "where it came from, as given"

    @abstractmethod
    def __len__(self) -> int:
        """Number of pictures, unreadable ones included."""

    @abstractmethod
    def image(self, index: int) -> Image:
        """The picture as RGB; ImagesError where it cannot be read."""

    @abstractmethod
    def _digest(self) -> str:
        """sha256 over what decides the pictures."""

    @cached_property
    def fingerprint(self) -> str:
        """Equal for equal pictures in equal order; read from names, sizes and contents."""
        return self._digest()

    def inputs(self, preprocess: Preprocess | None) -> Dataset[tuple[int, Tensor | None]]:
        """(index, preprocessed picture), or (index, None) where it cannot be read or preprocess does not take it."""
        if preprocess is None:
            raise ImagesError("Pictures must go to a model with a preprocess. Got a generator. Use latents:N.")
        return PreprocessedImages(self, preprocess)


class PreprocessedImages(Dataset[tuple[int, Tensor | None]]):
    """The pictures of a set as a network's inputs."""

    def __init__(self, images: ImageSet, preprocess: Preprocess):
        self.images, self.preprocess = images, preprocess

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[int, Tensor | None]:
        try:
            return index, self.preprocess(self.images.image(index))
        except Exception:  # one odd picture among thousands must not end the run; the index is reported
            return index, None


def load_images(source: str, target: Target | None = None) -> ImageSet:
    """The set behind `source`; latents need the generator that draws them. ImagesError where nothing can be read."""
    images = _found(source, target)
    if len(images) == 0:
        raise ImagesError(f"{source} must hold at least one image. Got none. Check the path.")
    for index in range(min(len(images), 100)):
        try:
            images.image(index)
        except ImagesError as fault:
            last = fault
        else:
            return images
    raise ImagesError(f"{source} must hold readable images. Got {min(len(images), 100)} that are not; {last}")


def _found(source: str, target: Target | None) -> ImageSet:
    prefix, _, rest = source.partition(":")
    if prefix == "scenes":
        from describer.data.drawn import DrawnImages

        return DrawnImages(source, *_number_and_seed(source, rest))
    if prefix == "latents":
        from describer.data.latents import LatentSet

        number, seed = _number_and_seed(source, rest)
        if target is None:
            raise ImagesError(f"Latents must be drawn by a generator. Got {source!r} without one. Pass the target.")
        return LatentSet(source, number, seed, target)
    if prefix == "hf":
        from describer.data.tables import from_hub

        return from_hub(source)
    from describer.data.folder import FolderImages
    from describer.data.tables import from_parquet

    files = _parquet_files(source)
    folder = None if files else FolderImages(source)
    if folder is not None and len(folder) == 0:
        files = sorted(Path(source).glob("*.parquet"))
    return from_parquet(source, files) if files or folder is None else folder


def _parquet_files(source: str) -> list[Path]:
    """The Parquet files that a path, a pattern or several of them with commas between stand for."""
    whole = Path(source)
    if whole.suffix == ".parquet" and whole.is_file():
        return [whole]
    if whole.is_dir() or not source.endswith(".parquet"):
        return []
    files = [Path(path) for part in source.split(",") for path in sorted(glob.glob(part.strip(), recursive=True))]
    if not files:
        raise ImagesError(f"Parquet files must exist. Got {source!r}, which matches none. Correct the path.")
    return files


def _number_and_seed(source: str, rest: str) -> tuple[int, int]:
    """The N and the seed of scenes:N[:seed] and latents:N[:seed]."""
    number, _, seed = rest.partition(":")
    if not number.isdecimal() or int(number) < 1 or not (seed or "0").isdecimal():
        kind = source.partition(":")[0]
        raise ImagesError(f"{kind} must be {kind}:N or {kind}:N:SEED with N at least 1. Got {source!r}. Write numbers.")
    return int(number), int(seed or 0)
