"""What IoU a form reaches by chance: the best form for the same masks upon other images.

    shifts = draw_shifts(table.n_images, n=19, seed=0)
    counter = table.counter(n_units, shifts)         # while probing
    null = chance(table, counter.shifted(), explanations, max_length=3)
    null[3].mean, null[3].p_value                    # the mean IoU of what is found in shifted labels, and a p-value

A search over many forms always finds some overlap, and a small mask can have no large IoU, so that .04 may be much or
little. Shifting keeps what masks and labels look like, where in the image they lie and how often they occur; it only
breaks which image has which. Every shift is searched like the real counts, with the same length and beam.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from describer.errors import ConceptsError
from describer.search.counts import UnitCounts
from describer.search.formulas import Explanation, search_formulas
from describer.search.signatures import SignatureTable


@dataclass(frozen=True)
class Chance:
    """What one unit's masks score on the labels of other images."""

    ious: tuple[float, ...]
    "IoU of the best form of every shift"
    p_value: float
    "share of shifts, the real one included, that score at least as much as the real one; at least 1 / (shifts + 1)"

    @property
    def mean(self) -> float:
        """Mean IoU by chance."""
        return sum(self.ious) / len(self.ious)

    @property
    def highest(self) -> float:
        """Highest IoU by chance."""
        return max(self.ious)


def draw_shifts(n_images: int, n: int = 19, seed: int = 0) -> tuple[int, ...]:
    """Different numbers of images to shift by, none of them 0; fewer where there are not as many."""
    if n_images < 2:
        raise ConceptsError(f"chance must have at least 2 images. Got {n_images}. Label more.")
    drawn = np.random.default_rng(seed).permutation(n_images - 1)[:n] + 1
    return tuple(map(int, drawn))


def chance(
    table: SignatureTable,
    shifted: Sequence[UnitCounts],
    explanations: Sequence[Explanation],
    max_length: int = 3,
    beam_size: int = 10,
    length_penalty: float = 1.0,
    progress: Callable[[int, int], None] | None = None,
) -> list[Chance]:
    """Per explanation the chance of its unit; the units are rows of the shifted counts, which count the same masks."""
    if not shifted:
        raise ConceptsError("chance must have at least one shift. Got none. Count with shifts.")
    units = [explanation.unit for explanation in explanations]
    if units and max(units) >= min(counts.shape[0] for counts in shifted):
        raise ConceptsError(f"shifted counts must have unit {max(units)}. Got {shifted[0].shape[0]}. Count all units.")
    found = []
    for done, counts in enumerate(shifted, 1):
        drawn = search_formulas(table, counts.subset(units), max_length, beam_size, length_penalty=length_penalty)
        found.append([explanation.iou for explanation in drawn])
        if progress is not None:
            progress(done, len(shifted))
    by_unit = list(zip(*found, strict=True)) if units else []
    return [
        Chance(ious, (1 + sum(iou >= real.iou for iou in ious)) / (1 + len(ious)))
        for ious, real in zip(by_unit, explanations, strict=True)
    ]
