"""Masks as outlines: where a map is above a level, as the path of an SVG picture of SIDE units a side.

    outlines(fine_maps, threshold)       # ["M12 30L14 28…Z", …], "" where nothing is above

A path is a few hundred bytes, sharp at every size, and takes its colours from the page's style. The maps of a unit lie
one below the other while their rims are followed and rounded, as all of them together take hardly longer than one.
"""

from typing import Any

import numpy as np
from contourpy import LineType, contour_generator
from jaxtyping import Bool, Float, Int64

SIDE = 224
"Width and height of the pictures that paths lie on."
_APART = 1000.0
"From the top of one map to that of the next one while rims are followed."


def outlines(values: Float[np.ndarray, "maps height width"], level: float) -> list[str]:
    """The rims of the places strictly above `level`; closed loops, to be filled by the even-odd rule.

    Values stand at the centres of equal cells, and the outermost ones reach to the border.
    """
    n, height, width = values.shape
    usable = np.isfinite(values).all((1, 2)) if values.size else np.zeros(n, bool)
    found = np.flatnonzero(usable & (values > level).any((1, 2)))
    paths = [""] * n
    if len(found):
        shown = values[found].astype(np.float64)
        low = level - (shown.max() - level) - 1.0
        framed = np.full((len(found), height + 4, width + 4), low)
        framed[:, 1:-1, 1:-1] = np.pad(shown, ((0, 0), (1, 1), (1, 1)), mode="edge")
        y = (_APART * np.arange(len(found))[:, None] + _places(height)).reshape(-1)
        rows = framed.reshape(len(y), width + 4)
        rims = contour_generator(_places(width), y, rows, name="serial", line_type=LineType.ChunkCombinedOffset)
        lines: Any = rims.lines(level)  # (points of each chunk, where loops end in each), of one chunk
        for number, path in _paths(lines[0][0], lines[1][0].astype(np.int64)):
            paths[found[number]] += path
    return paths


def outline(values: Float[np.ndarray, "height width"], level: float) -> str:
    """The rim of one map."""
    return outlines(values[None], level)[0]


def mask_outlines(masks: Bool[np.ndarray, "masks height width"]) -> list[str]:
    """The rims of masks."""
    return outlines(masks.astype(np.float32), 0.5)


def _places(n: int) -> np.ndarray:
    """Where values stand: beyond the border, at it, at the centres of n cells, at it, beyond."""
    centres = (np.arange(n) + 0.5) * SIDE / n
    return np.concatenate(([-0.01, 0.0], centres, [SIDE, SIDE + 0.01]))


def _paths(points: Float[np.ndarray, "points 2"], ends: Int64[np.ndarray, " loops_and_one"]) -> list[tuple[int, str]]:
    """(map, path) of every loop in whole units, points on a straight line left out; its last point is its first."""
    maps = np.floor((points[ends[:-1], 1] + 1) / _APART).astype(np.int64)
    loops = np.repeat(np.arange(len(maps)), np.diff(ends))
    inner = np.ones(len(points), bool)
    inner[ends[1:] - 1] = False
    loops, points = loops[inner], points[inner]
    whole = np.clip(np.rint(points - np.stack([np.zeros(len(points)), _APART * maps[loops]], 1)), 0, SIDE).astype(int)
    before, _ = _around(loops)
    moved = (whole != whole[before]).any(1)
    loops, whole = loops[moved], whole[moved]
    before, after = _around(loops)
    come, go = whole - whole[before], whole[after] - whole
    turns = come[:, 0] * go[:, 1] != come[:, 1] * go[:, 0]
    loops, whole = loops[turns], whole[turns]
    words = [f"{x} {y}" for x, y in whole.tolist()]
    starts = np.searchsorted(loops, np.arange(len(maps) + 1)).tolist()
    spans = zip(maps.tolist(), starts[:-1], starts[1:], strict=True)
    return [(number, f"M{'L'.join(words[first:last])}Z") for number, first, last in spans if last - first > 2]


def _around(loops: Int64[np.ndarray, " points"]) -> tuple[np.ndarray, np.ndarray]:
    """The point before and the one after each point of its loop; points lie loop after loop."""
    places = np.arange(len(loops))
    starts = np.searchsorted(loops, loops, "left")
    ends = np.searchsorted(loops, loops, "right")
    return np.where(places == starts, ends - 1, places - 1), np.where(places == ends - 1, starts, places + 1)
