"""Outlines enclose exactly what is above the level: compared point by point with the map itself."""

import re

import numpy as np
import pytest

from describer.search.site.outlines import SIDE, mask_outlines, outline, outlines


def inside(path: str, x: float, y: float) -> bool:
    """Whether a point is inside the loops of a path, even-odd: crossings of a ray to the right, one by one."""
    crossed = False
    for loop in filter(None, path.split("M")):
        numbers = [float(n) for n in re.findall(r"-?[\d.]+", loop)]
        corners = list(zip(numbers[::2], numbers[1::2], strict=True))
        for (x0, y0), (x1, y1) in zip(corners, [*corners[1:], corners[0]], strict=True):
            if (y0 > y) != (y1 > y) and x < x0 + (y - y0) * (x1 - x0) / (y1 - y0):
                crossed = not crossed
    return crossed


@pytest.mark.parametrize("shape", [(1, 1), (5, 7), (13, 11)])
@pytest.mark.parametrize("seed", range(3))
def test_cells_are_inside_where_they_are_above(shape: tuple[int, int], seed: int) -> None:
    values = np.random.default_rng(seed).normal(size=shape).astype(np.float32)
    path = outline(values, 0.1)
    for row in range(shape[0]):
        for column in range(shape[1]):
            if abs(values[row, column] - 0.1) > 0.3:  # nearer ones may be moved by the rounding to whole units
                x, y = (column + 0.5) * SIDE / shape[1], (row + 0.5) * SIDE / shape[0]
                assert inside(path, x, y + 0.013) == (values[row, column] > 0.1), (row, column)


def test_a_full_mask_is_the_whole_picture() -> None:
    (path,) = mask_outlines(np.ones((1, 5, 7), bool))
    assert all(inside(path, x, y) for x, y in ((1, 1.5), (SIDE - 1, 1.5), (1, SIDE - 1.5), (SIDE - 1, SIDE - 1.5)))


@pytest.mark.parametrize("values", [np.zeros((5, 7)), np.full((5, 7), 0.5), np.full((3, 3), np.nan), np.zeros((0, 3))])
def test_nothing_above_has_no_outline(values: np.ndarray) -> None:
    assert outline(values.astype(np.float32), 0.5) == ""


def test_outlines_stay_small() -> None:
    values = np.random.default_rng(0).normal(size=(40, 40)).astype(np.float32)
    path = outline(values, 0.0)
    assert len(path) < 15_000
    assert re.fullmatch(r"(M[\d L]+Z)+", path)


def test_maps_do_not_touch_each_other() -> None:
    values = np.random.default_rng(1).normal(size=(5, 7, 11)).astype(np.float32)
    values[1] = -9  # nothing above
    values[3, 2, 2] = np.nan
    values[4] += 100 * (np.arange(11) > 5)  # far higher ones move nothing elsewhere
    paths = outlines(values, 0.1)
    assert paths == [outline(each, 0.1) for each in values]
    assert [bool(path) for path in paths] == [True, False, True, False, True]
