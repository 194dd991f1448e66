"""The probe set's images as the model saw them: cropped and resized by its preprocessing, in ordinary colours.

    seen = SeenImages(images, target.preprocess)
    seen.image(7)                      # RGB picture of the model's input; masks of its maps lie on it exactly

Masks live on the model's input. A centre crop or a squash moves that against the picture on the disk, and masks drawn
on the latter are misplaced; so the input itself is turned back into a picture. What the preprocessing does to colours
is measured on pictures of one colour, so that no list of means and standard deviations is needed.
"""

from collections.abc import Callable

import numpy as np
from PIL import Image
from torch import Tensor

from describer.description import ImageSource

Preprocess = Callable[[Image.Image], Tensor]

PRIMARIES = ((0, 0, 0), (255, 0, 0), (0, 255, 0), (0, 0, 255))
CHECKED = ((90, 140, 200), (210, 60, 25))
KEPT_BYTES = 1 << 28
"Pictures up to this much are kept, since thumbnails and descriptions want the same ones."
TOLERANCE = 4.0
"Largest error, in levels of 255, at which colours count as measured."


class SeenImages:
    """`images` through the eyes of `preprocess`; the images themselves where that cannot be turned back."""

    def __init__(self, images: ImageSource, preprocess: Preprocess | None) -> None:
        self._images = images
        self._preprocess = preprocess
        self._colors = None if preprocess is None else _measure_colors(preprocess)
        self._kept: dict[int, Image.Image] = {}
        self._room = KEPT_BYTES

    def image(self, index: int, /) -> Image.Image:
        """Image `index` as an RGB picture of the model's input size; not to be changed."""
        if index in self._kept:
            return self._kept[index]
        picture = self._look(index)
        size = picture.width * picture.height * 3
        if size <= self._room:  # full, it keeps what it has: to drop the oldest helps nobody who goes in a circle
            self._room -= size
            self._kept[index] = picture
        return picture

    def _look(self, index: int) -> Image.Image:
        picture = self._images.image(index)
        if self._preprocess is None or self._colors is None:
            return picture
        black, inverse = self._colors
        pixels = self._preprocess(picture).double().cpu().numpy()  # (channels, height, width)
        levels = np.einsum("rc,chw->hwr", inverse, pixels - black[:, None, None])
        return Image.fromarray(levels.round().clip(0, 255).astype(np.uint8))


def _measure_colors(preprocess: Preprocess) -> tuple[np.ndarray, np.ndarray] | None:
    """(value of black (channels,), matrix (3, channels) from values above it to RGB levels), or None.

    Holds for any scaling, mean and deviation, order of channels, or mixing of them into one grey.
    """
    values = [_value(preprocess, color) for color in PRIMARIES]
    black = values[0]
    if len(black) not in (1, 3):
        return None
    forward = np.stack([value - black for value in values[1:]], 1) / 255.0  # (channels, 3)
    if len(black) == 1:
        inverse = np.full((3, 1), 1 / forward.sum()) if forward.sum() else None
    else:
        inverse = np.linalg.pinv(forward) if np.linalg.matrix_rank(forward) == 3 else None
    if inverse is None:
        return None
    for color in CHECKED:
        levels = inverse @ (_value(preprocess, color) - black)
        wanted = np.array(color, np.float64)
        if len(black) == 1:
            wanted = np.full(3, float(forward[0] @ wanted) / forward.sum())
        if np.abs(levels - wanted).max() > TOLERANCE:
            return None
    return black, inverse


def _value(preprocess: Preprocess, color: tuple[int, int, int]) -> np.ndarray:
    """What the middle of a picture of one colour becomes: (channels,); (0,) where no picture comes out."""
    pixels = preprocess(Image.new("RGB", (96, 96), color))
    if pixels.ndim != 3:
        return np.zeros(0)
    return pixels[:, pixels.shape[1] // 2, pixels.shape[2] // 2].double().cpu().numpy()
