"""Activation maps of planted units, with as much of them wrong as is asked.

    planted = fire(world, units, wrong=0.2, seed=0)
    planted.exemplars                                      # as a probe gives them: what describers are shown
    planted.counts                                         # pixels of the masks by signature: what forms are found in

Noise is told by what it does: of the area on which a unit should fire, the share `wrong` is lost, in patches, and as
much is added elsewhere, so that precision and recall of its masks are 1 - wrong. A picture drives a unit the more, the
more of it the unit fires on. Noise units fire on patches of nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float32
from torch import Tensor

from describer.eval.planted.units import PlantedForm, World
from describer.exemplars import Exemplars
from describer.search.chance import draw_shifts
from describer.search.counts import MaskCounter, UnitCounts
from describer.upsample import upsample

NOISE = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5)
"The levels: shares of the firing area that are wrong. IoU of masks and truth is (1 - wrong) / (1 + wrong)."
PATCHES = 7
"Cells of the coarse grid from which patches of noise come."
THRESHOLD, WEAK = 0.25, 0.6
"Above which activation a unit fires; how much the weaker of two meanings drives it. Peaks lie in .5 to 1."
NOISE_SHARE = 0.02
"Of all pixels, what a noise unit fires on."


@dataclass(frozen=True)
class Planted:
    """Planted units at one level of noise."""

    units: tuple[PlantedForm, ...]
    wrong: float
    exemplars: Exemplars
    counts: UnitCounts
    shifted: tuple[UnitCounts, ...]
    "counts of the same masks on the labels of other pictures"


def fire(
    world: World, units: Sequence[PlantedForm], wrong: float, k: int = 15, seed: int = 0, n_shifts: int = 0
) -> Planted:
    """The units at one level of noise; the same seed draws the same noise at every level, only more of it."""
    table = world.table
    counter = MaskCounter(world.ground, len(units), draw_shifts(table.n_images, n_shifts, seed) if n_shifts else ())
    shown = [_unit(world, unit, wrong, np.random.default_rng((seed, place))) for place, unit in enumerate(units)]
    masks = np.stack([maps > THRESHOLD for maps in shown])
    for image in range(table.n_images):
        counter.add(image, masks[:, image])
    return Planted(tuple(units), wrong, _exemplars(shown, k, wrong), counter.result(), tuple(counter.shifted()))


def _unit(
    world: World, unit: PlantedForm, wrong: float, rng: np.random.Generator
) -> Float32[np.ndarray, "images side side"]:
    """One unit's activation on every picture."""
    n, side = world.table.n_images, world.side
    lost, added = _patches(n, side, rng), _patches(n, side, rng)
    if unit.truth is None:
        mask = added >= np.quantile(added, 1 - NOISE_SHARE)
        weak = np.zeros_like(mask)
    else:
        truth = world.masks(unit.truth)
        mask = spoilt(truth, lost, added, wrong)
        weak = np.zeros_like(mask) if unit.weak is None else mask & ~(truth & ~world.masks(unit.weak))
    filled = np.sqrt(mask.mean((1, 2)))
    peaks = 0.5 + 0.35 * filled / max(float(filled.max()), 1e-9) + 0.15 * rng.random(n)
    return (mask * np.where(weak, WEAK, 1.0) * peaks[:, None, None]).astype(np.float32)


def spoilt(
    truth: Bool[np.ndarray, "images side side"],
    lost: Float32[np.ndarray, "images side side"],
    added: Float32[np.ndarray, "images side side"],
    wrong: float,
) -> Bool[np.ndarray, "images side side"]:
    """The truth without the share `wrong` of it where `lost` is highest, and with as much where `added` is highest."""
    mask = truth.copy()
    n = min(round(wrong * int(truth.sum())), int((~truth).sum()))
    inside, outside = np.flatnonzero(truth), np.flatnonzero(~truth)
    if n:
        mask.flat[inside[np.argsort(-lost.flat[inside], kind="stable")[:n]]] = False
        mask.flat[outside[np.argsort(-added.flat[outside], kind="stable")[:n]]] = True
    return mask


def _patches(n: int, side: int, rng: np.random.Generator) -> Float32[np.ndarray, "n side side"]:
    """Smooth fields of random numbers."""
    coarse = torch.from_numpy(rng.standard_normal((n, PATCHES, PATCHES), dtype=np.float32))
    return np.asarray(upsample(coarse, side).numpy(), np.float32)


def _exemplars(shown: Sequence[np.ndarray], k: int, wrong: float) -> Exemplars:
    """The k pictures that drive every unit most, with its maps on them."""
    images, maps = [], []
    for own in shown:
        peaks = torch.from_numpy(own).flatten(1).amax(1)
        best = torch.sort(peaks, descending=True, stable=True).indices[: min(k, len(peaks))]
        images.append(torch.where(peaks[best] > THRESHOLD, best, -1))
        maps.append(torch.from_numpy(own)[best].half())
    chosen, drawn = torch.stack(images), torch.stack(maps)
    activations = drawn.flatten(2).amax(2).float()
    threshold = torch.full((len(shown),), THRESHOLD)
    return Exemplars(
        f"planted.{wrong:g}", torch.arange(len(shown)), chosen, activations, drawn, threshold, dead_of(chosen)
    )


def dead_of(images: Tensor) -> Tensor:
    """Units that fire on no picture."""
    return (images < 0).all(1)
