"""One picture in a file, as a source of pictures.

SinglePicture("photo.png").image(0)
"""

from pathlib import Path

from PIL import Image

from describer.data.decoding import decode
from describer.errors import ImagesError


class SinglePicture:
    """A file; ImagesError when it is read and is no picture."""

    def __init__(self, path: str | Path):
        self.path = Path(path)
        if not self.path.is_file():
            raise ImagesError(f"IMAGE must be a picture file. Got {str(path)!r}. Check the path.")

    def image(self, index: int, /) -> Image.Image:
        """The picture, RGB, whatever the index."""
        return decode(self.path)
