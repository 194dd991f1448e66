"""Small charts as shapes of SVG pictures: how high a unit goes, and a layer's units as a map of cells.

chart = peaks_chart(sheet)           # bars of its images' peaks, or of its exemplars; where its threshold lies
layer_map([.2, None, 1.4])           # paths by shade, a cell a unit
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from describer.search.site.sheet import UnitSheet

WIDTH, HEIGHT = 480, 96
N_BARS = 32
SHADES = 6
"Steps of a layer's map; cells without words have one of their own."
CELL, GAP = 9, 2
COLUMNS = 32
MOST_CELLS = 1024
"A layer with more units has cells that stand for several."


@dataclass(frozen=True)
class Chart:
    """Bars over an axis of activations."""

    bars: str
    "path of all bars"
    threshold: float | None
    "where on the axis the threshold lies, None: beyond it"
    low: float
    high: float
    "activations at the left and right end"
    of_exemplars: bool
    "the bars are the exemplars one by one, not how often the probe images reach a level"
    told: str
    "the same in words"


def peaks_chart(sheet: UnitSheet) -> Chart | None:
    """The chart of a unit; None where nothing is known."""
    peaks = [shown.activation for shown in sheet.exemplars if shown.activation is not None]
    if len(sheet.levels) > 2 and sheet.levels[-1] > sheet.levels[0]:
        return _histogram(np.array(sheet.levels, np.float64), sheet.threshold)
    if not peaks or not np.isfinite(peaks).all():
        return None
    high, low = max(*peaks, 0.0), min(0.0, *peaks)
    span = (high - low) or 1.0
    step = WIDTH / len(peaks)
    tall = [max((peak - low) / span * (HEIGHT - 4), 1) for peak in peaks]
    bars = "".join(_bar(rank * step, t, step - 2) for rank, t in enumerate(tall))
    line = None if sheet.threshold is None else (sheet.threshold - low) / span
    place = None if line is None or not 0 <= line <= 1 else HEIGHT - line * (HEIGHT - 4)
    told = f"activations of the {len(peaks)} exemplars, from {max(peaks):.3g} down to {min(peaks):.3g}"
    return Chart(bars, place, low, high, True, told)


def _histogram(levels: np.ndarray, threshold: float | None) -> Chart:
    """How many probe images peak in each of N_BARS equal ranges, from evenly spaced quantiles."""
    low, high = float(levels[0]), float(levels[-1])
    ends = np.linspace(low, high, N_BARS + 1)
    parts = np.linspace(0, 1, len(levels))
    below = np.array([0.0, *(_fraction_below(levels, parts, end) for end in ends[1:-1]), 1.0])
    shares = np.diff(below)
    step = WIDTH / N_BARS
    tall = np.sqrt(shares / shares.max()) * (HEIGHT - 4)  # else one bar of silence hides all others
    bars = "".join(_bar(i * step, float(t), step - 1.5) for i, t in enumerate(tall) if t > 0.3)
    line = None if threshold is None else (threshold - low) / (high - low)
    place = None if line is None or not 0 <= line <= 1 else line * WIDTH
    told = f"half of the probe images peak below {float(np.median(levels)):.3g}, the highest at {high:.3g}"
    return Chart(bars, place, low, high, False, told)


def _fraction_below(levels: np.ndarray, parts: np.ndarray, end: float) -> float:
    """Of the images, those that peak at or below `end`: linear between quantiles, ties counted."""
    place = int(np.searchsorted(levels, end, side="right"))
    if place >= len(levels):
        return 1.0
    before, after = levels[place - 1], levels[place]
    within = (end - before) / (after - before)
    return float(parts[place - 1] + within * (parts[place] - parts[place - 1]))


def _bar(left: float, tall: float, wide: float) -> str:
    return f"M{left:.1f} {HEIGHT}v-{tall:.1f}h{wide:.1f}v{tall:.1f}z"


@dataclass(frozen=True)
class LayerMap:
    """The cells of a layer by shade."""

    width: int
    height: int
    paths: tuple[str, ...]
    "cells without a score, then those of SHADES steps from the least score to the highest"


def layer_map(scores: Sequence[float | None], bounds: tuple[float, float] = (0.0, 1.0)) -> LayerMap:
    """One cell a unit, row by row; `bounds` are the scores of the palest and of the strongest shade."""
    per_cell = -(-len(scores) // MOST_CELLS) or 1
    columns = min(COLUMNS, max(len(scores), 1))
    paths = [""] * (SHADES + 1)
    n_cells = -(-len(scores) // per_cell)
    low, high = bounds
    for cell in range(n_cells):
        known = [s for s in scores[cell * per_cell : (cell + 1) * per_cell] if s is not None]
        shade = 0
        if known:
            part = (sum(known) / len(known) - low) / ((high - low) or 1.0)
            shade = 1 + min(max(int(part * SHADES), 0), SHADES - 1)
        row, column = divmod(cell, columns)
        paths[shade] += f"M{column * (CELL + GAP)} {row * (CELL + GAP)}h{CELL}v{CELL}h-{CELL}z"
    n_rows = -(-n_cells // columns)
    return LayerMap(columns * (CELL + GAP) - GAP, max(n_rows * (CELL + GAP) - GAP, 0), tuple(paths))
