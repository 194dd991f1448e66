"""Pictures in a folder and the folders in it, ordered by their paths.

    images = FolderImages("photos")
    images.files[7]                # the file behind image 7

Opened by `describer.data.images.load_images`.
"""

import hashlib
import os
from pathlib import Path

from PIL.Image import Image

from describer.data.decoding import decode
from describer.data.images import ImageSet
from describer.errors import ImagesError

SUFFIXES = (
    *(".avif", ".bmp", ".gif", ".jfif", ".jp2", ".jpe", ".jpeg", ".jpg", ".pbm"),
    *(".pgm", ".png", ".pnm", ".ppm", ".tga", ".tif", ".tiff", ".webp"),
)
WHOLE = 256 * 2**20
"Bytes in all up to which every byte counts for the fingerprint; above, both ends of every file."
END = 2**16
"Bytes at either end of a file."


class FolderImages(ImageSet):
    """Every file with the suffix of a picture, hidden ones left out, links followed."""

    def __init__(self, source: str):
        self.source = source
        self.root = Path(source)
        if not self.root.is_dir():
            raise ImagesError(f"Images must be a folder, Parquet files or PREFIX:… . Got {source!r}. Check the path.")
        self.files = _listed(self.root)

    def __len__(self) -> int:
        return len(self.files)

    def image(self, index: int) -> Image:
        """The picture in file `index`."""
        return decode(self.files[index])

    def _digest(self) -> str:
        return digest_files(self.files, [str(path.relative_to(self.root).as_posix()) for path in self.files])


def digest_files(files: list[Path], names: list[str]) -> str:
    """sha256 over names, sizes and bytes."""
    sizes = [path.stat().st_size for path in files]
    whole = sum(sizes) <= WHOLE
    digest = hashlib.sha256()
    for path, name, size in zip(files, names, sizes, strict=True):
        digest.update(f"{name}\0{size}\0".encode())
        with open(path, "rb") as file:
            if whole or size <= 2 * END:
                digest.update(file.read())
            else:
                digest.update(file.read(END))
                file.seek(-END, os.SEEK_END)
                digest.update(file.read())
    return digest.hexdigest()


def _listed(root: Path) -> list[Path]:
    """The files in the order of their paths; each real folder once, so that a link to a parent does not loop."""
    found: list[Path] = []
    seen: set[str] = set()
    for folder, folders, files in os.walk(root, followlinks=True, onerror=_refuse):
        real = os.path.realpath(folder)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        found += [Path(folder, name) for name in files if not name.startswith(".") and _is_picture(name)]
    return sorted(found, key=lambda path: path.relative_to(root).as_posix())


def _is_picture(name: str) -> bool:
    return name.lower().endswith(SUFFIXES)


def _refuse(fault: OSError) -> None:
    raise ImagesError(f"A folder of images must be readable. Got {fault}. Permit reading it.") from fault
