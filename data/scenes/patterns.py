"""Patterns as one period of a binary tile: `pattern_mask("striped", period, width, height)`.

Where the mask is 255 the second colour of a paint shows. The first six are labelled textures; the others are the look
of a material (bricks, planks, tiles, stones, ribs) and carry no texture label.
"""

from collections.abc import Callable
from functools import lru_cache

import numpy as np
from jaxtyping import UInt8
from PIL import Image

Grid = np.ndarray


def _dotted(x: Grid, y: Grid) -> Grid:
    return ((x - 0.5) ** 2 + (y - 0.5) ** 2) < 0.085


def _zigzag(x: Grid, y: Grid) -> Grid:
    return (y + np.abs(x - 0.5)) % 1 < 0.45


def _wavy(x: Grid, y: Grid) -> Grid:
    return (y + 0.16 * np.sin(2 * np.pi * x)) % 1 < 0.45


def _bricks(x: Grid, y: Grid) -> Grid:
    joint = (y * 2) % 1 < 0.2
    upright = np.where(y < 0.5, x % 1, (x + 0.5) % 1) < 0.1
    return joint | upright


def _tiles(x: Grid, y: Grid) -> Grid:
    row = (y * 2) % 1
    column = np.where(y < 0.5, x * 2, x * 2 + 0.5) % 1
    return row > 0.72 + 0.28 * np.sin(np.pi * column)


def _stones(x: Grid, y: Grid) -> Grid:
    joint = np.where(y < 0.55, y, (y - 0.55) * 1.25) < 0.1
    upright = np.where(y < 0.55, (x - 0.1) % 1, (x - 0.6) % 1) < 0.1
    small = (y >= 0.55) & (np.abs(x - 0.15) < 0.05)
    return joint | upright | small


CELLS: dict[str, Callable[[Grid, Grid], Grid]] = {
    "striped": lambda x, y: x < 0.5,
    "striped-flat": lambda x, y: y < 0.5,
    "striped-slant": lambda x, y: (x + y) % 1 < 0.5,
    "dotted": _dotted,
    "checkered": lambda x, y: (x < 0.5) ^ (y < 0.5),
    "zigzag": _zigzag,
    "grid": lambda x, y: (x < 0.22) | (y < 0.22),
    "wavy": _wavy,
    "bricks": _bricks,
    "planks": lambda x, y: (y * 2) % 1 < 0.14,
    "boards": lambda x, y: (x * 2) % 1 < 0.14,
    "tiles": _tiles,
    "stones": _stones,
}
LABELLED = ("striped", "dotted", "checkered", "zigzag", "grid", "wavy")


@lru_cache(maxsize=256)
def pattern_cell(name: str, period: int) -> UInt8[np.ndarray, "period period"]:
    """Return one period of the pattern, 255 where the second colour shows."""
    axis = (np.arange(period) + 0.5) / period
    x, y = np.meshgrid(axis, axis)
    return (CELLS[name](x, y) * np.uint8(255)).astype(np.uint8)


def pattern_mask(name: str, period: int, width: int, height: int) -> Image.Image:
    """Return the pattern repeated over a (width, height) mask of mode L."""
    cell = pattern_cell(name, period)
    tiled = np.tile(cell, (-(-height // period), -(-width // period)))[:height, :width]
    return Image.fromarray(np.ascontiguousarray(tiled))
