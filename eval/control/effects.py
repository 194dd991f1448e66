"""What an edit has done to drawn pictures, sample by sample, with intervals.

    effect = measure(before, after, segmenter, concept)     # per sample: pixels of the concept, side effects
    report = compare(effect, rivals, seed=0)                # against random units; 95 % bootstrap intervals

`removed` is the share of the concept's pixels that is gone, 1 − after/before over all samples (negative: there are
more). It is not told (None) where there was next to nothing to remove: below LEAST of all pixels, or in fewer than FEW
samples, of which one alone would often be drawn again and again, so that its interval would say nothing.

Side effects are read where the concept neither was nor is: pixels whose label is another, and the mean change of colour
in levels of 0..255.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, UInt8

from describer.eval.control.interval import Interval, interval
from describer.eval.control.segmenter import Concept, Labels, Segmenter

DRAWS = 1000
LEAST = 0.001
"Share of all pixels of which something can be removed: four of a picture of 64 x 64."
FEW = 4
"Samples that must show what is removed: of three, draws of one alone are more than the 2.5 % at an interval's end."


@dataclass(frozen=True, eq=False)
class Effect:
    """One edit, one row a sample."""

    before: Float[np.ndarray, " samples"]
    "share of pixels of the concept before"
    after: Float[np.ndarray, " samples"]
    "and after"
    relabelled: Float[np.ndarray, " samples"]
    "of the pixels elsewhere, the share whose label is another"
    moved: Float[np.ndarray, " samples"]
    "mean change of colour of the pixels elsewhere, levels 0..255"


def measure(
    before: UInt8[np.ndarray, "samples height width 3"],
    after: UInt8[np.ndarray, "samples height width 3"],
    segmenter: Segmenter,
    concept: Concept | None,
    was: Labels | None = None,
    now: Labels | None = None,
) -> Effect:
    """The effect on each sample; without a concept, everything is elsewhere. `was`, `now`: labels, where known."""
    was = was or segmenter.labels(before)
    category = concept[0] if concept else next(iter(was))
    now = now or segmenter.labels(after, category)
    shape = was[category].shape
    had = segmenter.present(was, concept) if concept else np.zeros(shape, bool)
    has = segmenter.present(now, concept) if concept else np.zeros(shape, bool)
    elsewhere = ~had & ~has
    changed = np.abs(after.astype(np.float64) - before).mean(-1)  # (samples, height, width)
    return Effect(
        had.mean((1, 2)),
        has.mean((1, 2)),
        _mean_where(was[category] != now[category], elsewhere),
        _mean_where(changed, elsewhere),
    )


def _mean_where(values: np.ndarray, where: Bool[np.ndarray, "n h w"]) -> Float[np.ndarray, " n"]:
    return np.where(where, values, 0.0).sum((1, 2)) / np.maximum(where.sum((1, 2)), 1)


def shares(labels: Labels, names: dict[str, tuple[str, ...]]) -> dict[str, float]:
    """Share of all pixels by concept, those that occur."""
    found: dict[str, float] = {}
    for category, by_id in names.items():
        counts = np.bincount(labels[category].ravel(), minlength=len(by_id)) / labels[category].size
        found |= {by_id[i]: float(counts[i]) for i in range(1, len(by_id)) if counts[i] > 0}
    return found


def compare(effect: Effect, rivals: Sequence[Effect], seed: int = 0) -> dict[str, Interval]:
    """Each measure of the chosen units, of the rivals on average, and their difference; means with 95 % intervals.

    Intervals draw samples, the same for all, and the rivals. All values of `removed` are None where `too_little` is so.
    """
    dice, n = np.random.default_rng(seed), len(effect.before)
    drawn = dice.integers(0, n, (DRAWS, n))
    rows = dice.integers(0, max(len(rivals), 1), (DRAWS, max(len(rivals), 1)))
    everything = np.arange(n)[None]
    told: dict[str, Interval] = {}
    for name, function in MEASURES.items():
        own, spread = function(effect, everything)[0], function(effect, drawn)
        told[name] = interval(own, spread)
        if rivals:
            others = np.array([function(rival, everything)[0] for rival in rivals]).mean()
            each = np.stack([function(rival, drawn) for rival in rivals])  # (rivals, draws)
            mixed = np.take_along_axis(each.T, rows, 1).mean(1)
            told[f"random_{name}"] = interval(others, mixed)
            told[f"{name}_beyond_random"] = interval(own - others, spread - mixed)
    if too_little(effect):
        nothing: Interval = {"value": None, "low": None, "high": None}
        told |= {name: nothing for name in told if "removed" in name}
    return told


def takes_away(scale: str) -> bool:
    """Whether an edit of this scale is meant to remove: 0 or a factor below 1."""
    return scale != "insert" and 0 <= float(scale) < 1


def too_little(effect: Effect) -> bool:
    """Whether there was next to nothing of the concept before."""
    return bool(effect.before.mean() < LEAST or np.count_nonzero(effect.before) < FEW)


def _removed(effect: Effect, drawn: np.ndarray) -> np.ndarray:
    before, after = effect.before[drawn].sum(1), effect.after[drawn].sum(1)
    return np.where(before > 0, 1 - after / np.where(before > 0, before, 1), np.nan)  # nothing was there to remove


MEASURES = {
    "removed": _removed,
    "change": lambda effect, drawn: (effect.after - effect.before)[drawn].mean(1),
    "relabelled": lambda effect, drawn: effect.relabelled[drawn].mean(1),
    "moved": lambda effect, drawn: effect.moved[drawn].mean(1),
}
"""removed: of the concept's pixels; change: of the concept's share of all pixels; relabelled, moved: elsewhere."""
