"""Where on a picture the model's input lies: label maps are cropped and resized as preprocessing does with pictures.

    frame = InputFrame(target.preprocess)
    seen = frame.sampled(ids, (320, 212), 112)      # (112, 112) ids at the places that the input's pixels come from

What the preprocessing does is measured on two pictures of each size, one that brightens to the right and one that
brightens downwards, so that any resize, crop, squash, padding or mirroring is followed and nothing need be told.
Sampling takes the nearest label; what the input adds around the picture is 0, unlabelled.
"""

from collections.abc import Callable
from functools import lru_cache

import numpy as np
from jaxtyping import Float, Int
from PIL import Image
from torch import Tensor

Preprocess = Callable[[Image.Image], Tensor]
Line = tuple[float, float]
"(place of the input's rim, its length) as fractions of the picture: (0, 1) is the whole of it"

WHOLE: tuple[Line, Line] = ((0.0, 1.0), (0.0, 1.0))
"The input shows the whole picture; what is assumed where nothing can be measured."
TOLERANCE = 0.02
"Largest error of a straight line, as a fraction of the picture, at which places count as measured."
SNAP = 0.002
"What lies so near to the whole picture is the whole: a level of grey is 1/255."


class InputFrame:
    """The part of every picture that a model sees."""

    def __init__(self, preprocess: Preprocess | None) -> None:
        self._preprocess = preprocess
        self._measured = lru_cache(maxsize=4096)(self._measure)

    def part(self, size: tuple[int, int]) -> tuple[Line, Line]:
        """The lines down and across of pictures of a size (width, height)."""
        return self._measured(*size)

    def sampled(
        self, ids: Int[np.ndarray, "_ _"], picture: tuple[int, int], size: int | tuple[int, int]
    ) -> Int[np.ndarray, "height width"]:
        """Labels over the whole of a picture (width, height) at the cells of a grid over the model's input."""
        height, width = (size, size) if isinstance(size, int) else size
        down, across = self.part(picture)
        rows, columns = _cells(down, height, ids.shape[0]), _cells(across, width, ids.shape[1])
        seen = ids[np.maximum(rows, 0)[:, None], np.maximum(columns, 0)]
        return np.where((rows >= 0)[:, None] & (columns >= 0), seen, 0).astype(ids.dtype)

    def _measure(self, width: int, height: int) -> tuple[Line, Line]:
        if self._preprocess is None or min(width, height) < 2:
            return WHOLE
        across = np.broadcast_to(np.linspace(0, 255, width), (height, width))
        down = np.broadcast_to(np.linspace(0, 255, height)[:, None], (height, width))
        black, white, right, below = (
            self._channel(shown) for shown in (np.zeros((height, width)), np.full((height, width), 255), across, down)
        )
        span = white - black
        shown = np.abs(span) > 0.9 * np.abs(span).max()  # elsewhere is padding
        if not shown.any() or np.abs(span).max() == 0:
            return WHOLE
        with np.errstate(all="ignore"):
            lines = (
                _line((below - black) / span, shown, height, axis=0),
                _line((right - black) / span, shown, width, axis=1),
            )
        return WHOLE if lines[0] is None or lines[1] is None else (lines[0], lines[1])

    def _channel(self, levels: Float[np.ndarray, "_ _"] | Int[np.ndarray, "_ _"]) -> Float[np.ndarray, "_ _"]:
        assert self._preprocess is not None
        grey = Image.fromarray(np.round(levels).astype(np.uint8)).convert("RGB")
        return self._preprocess(grey)[0].double().cpu().numpy()


def _line(value: Float[np.ndarray, "_ _"], shown: np.ndarray, n_pixels: int, axis: int) -> Line | None:
    """The straight line through what the input's pixels say of their place in the picture; None where there is none."""
    value = np.where(shown, value, np.nan)
    value, known = (value, shown) if axis else (value.T, shown.T)  # (across, along)
    n_along = known.shape[1]
    along = np.flatnonzero(known.any(0))
    inner = along[1:-1] if len(along) > 4 else along  # the outermost pixels blend with the rim
    if len(inner) < 2:
        return None
    told = np.array([np.median(value[known[:, i], i]) for i in inner])
    places = (told * (n_pixels - 1) + 0.5) / n_pixels
    slope, start = np.polyfit((inner + 0.5) / n_along, places, 1)
    off = np.abs(slope * (inner + 0.5) / n_along + start - places).max()
    if off > TOLERANCE + 1.0 / n_pixels:
        return None
    whole = abs(start) < SNAP and abs(start + slope - 1) < SNAP
    return (0.0, 1.0) if whole else (float(start), float(slope))


def _cells(line: Line, n_cells: int, n_labels: int) -> Int[np.ndarray, " cells"]:
    """Index of the label at the middle of every cell; -1 beyond the picture."""
    start, length = line
    places = (start + length * (np.arange(n_cells) + 0.5) / n_cells) * n_labels
    found = np.floor(places + 1e-3).astype(np.int64)  # measured to about a thousandth: a rim falls to its own cell
    found[(found == n_labels) & (places <= n_labels + 0.5)] = n_labels - 1
    found[(found == -1) & (places >= -0.5)] = 0
    return np.where((found >= 0) & (found < n_labels), found, -1)
