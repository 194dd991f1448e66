"""Masks as outlines: where a map is above a level, as the path of an SVG picture of SIDE units a side.

    outline(fine_map, threshold)         # "M12 30L14 28…Z", "" where nothing is above

A path is a few hundred bytes, sharp at every size, and takes its colours from the page's style.
"""

import numpy as np
from contourpy import contour_generator
from jaxtyping import Bool, Float

SIDE = 224
"Width and height of the pictures that paths lie on."


def outline(values: Float[np.ndarray, "height width"], level: float) -> str:
    """The rim of the places strictly above `level`; closed loops, to be filled by the even-odd rule.

    Values stand at the centres of equal cells, and the outermost ones reach to the border.
    """
    if not values.size or not np.isfinite(values).all() or not (values > level).any():
        return ""
    low = level - (float(values.max()) - level) - 1.0
    framed = np.pad(np.pad(values.astype(np.float64), 1, mode="edge"), 1, constant_values=low)
    y, x = (_places(n) for n in values.shape)
    loops = contour_generator(x, y, framed).lines(level)
    return "".join(_path(np.asarray(loop)) for loop in loops)


def mask_outline(mask: Bool[np.ndarray, "height width"]) -> str:
    """The rim of a mask."""
    return outline(mask.astype(np.float32), 0.5)


def _places(n: int) -> np.ndarray:
    """Where values stand: beyond the border, at it, at the centres of n cells, at it, beyond."""
    centres = (np.arange(n) + 0.5) * SIDE / n
    return np.concatenate(([-0.01, 0.0], centres, [SIDE, SIDE + 0.01]))


def _path(loop: np.ndarray) -> str:
    """A closed loop in whole units, points on a straight line left out."""
    points = np.clip(np.rint(loop), 0, SIDE).astype(int)
    points = points[:-1] if (points[0] == points[-1]).all() else points
    step = points - np.roll(points, 1, axis=0)
    points = points[(step != 0).any(1)]
    if len(points) < 3:
        return ""
    before, after = points - np.roll(points, 1, axis=0), np.roll(points, -1, axis=0) - points
    points = points[before[:, 0] * after[:, 1] != before[:, 1] * after[:, 0]]
    if len(points) < 3:
        return ""
    return "M" + "L".join(f"{x} {y}" for x, y in points.tolist()) + "Z"
