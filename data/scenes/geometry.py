"""Outlines by their corners: ovals and bars, in whatever unit the caller draws.

oval(0, 0, 2, 1)                  # 28 corners of an ellipse, 4 wide and 2 high
bar((0, 0), (3, 0), width=0.5)    # the four corners of a beam
"""

from collections.abc import Iterable
from functools import lru_cache
from math import cos, pi, sin

Number = int | float
"""A length: run-time type checks do not take an int for a float."""
Point = tuple[Number, Number]
Points = Iterable[Point]


@lru_cache(maxsize=8)
def circle(corners: int) -> tuple[tuple[Number, Number], ...]:
    """Return the corners of a regular polygon on the unit circle."""
    return tuple((cos(2 * pi * i / corners), sin(2 * pi * i / corners)) for i in range(corners))


def oval(x: Number, y: Number, rx: Number, ry: Number) -> list[tuple[Number, Number]]:
    """Return the corners of an ellipse."""
    return [(x + rx * u, y + ry * v) for u, v in circle(28)]


def bar(start: Point, end: Point, width: Number) -> list[Point]:
    """Return the corners of a straight bar of that width."""
    dx, dy = end[0] - start[0], end[1] - start[1]
    length = (dx * dx + dy * dy) ** 0.5 or 1
    nx, ny = -dy / length * width / 2, dx / length * width / 2
    return [
        (start[0] + nx, start[1] + ny),
        (end[0] + nx, end[1] + ny),
        (end[0] - nx, end[1] - ny),
        (start[0] - nx, start[1] - ny),
    ]
