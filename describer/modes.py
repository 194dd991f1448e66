"""Several meanings of one unit: what it fires on falls into modes, each with words and a share of its own.

    meanings = describe_modes(describer, wide, images)        # unit -> its meanings, only where there are several
    meanings[483]                                             # (Meaning("dogs", 0.7, 2.1), Meaning("cars", 0.3, 1.8))

A unit's many exemplars, more than are shown, are clustered by what the describer sees in them. How many clusters there
are is chosen on exemplars that they were not made from. That is not yet a meaning, for all that has one name falls into
kinds too: each cluster is described as a unit of its own, and texts that share a word are one meaning.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from describer.description import Describer, Description, ImageSource, Meaning
from describer.exemplars import Exemplars

ROUNDS, STARTS = 25, 4
"Of k-means: rounds until nothing moves, and starts of which the best is kept."
JOINING = frozenset(
    {"a", "an", "the", "of", "in", "on", "at", "with", "without", "and", "or", "to", "by", "that", "are", "is", "it"}
    | {"thing", "object", "area", "color"}
)
FEWEST = 4
"Exemplars a mode, of which each half must tell two from one."


@dataclass(frozen=True)
class ModeSettings:
    """When a unit has several meanings."""

    wide: int = 45
    "exemplars a unit in which modes are sought"
    most: int = 3
    "modes of one unit"
    gain: float = 0.15
    "share of what one mode fewer leaves unexplained, on exemplars left out, that a further mode must explain"
    least: float = 0.1
    "share of the unit's activation (its peaks) that a mode must have"
    seed: int = 0
    "of the starts"


@runtime_checkable
class SeeingDescriber(Describer, Protocol):
    """A describer that can tell what it sees in each exemplar."""

    def features(
        self, exemplars: Exemplars, images: ImageSource
    ) -> tuple[Float[Tensor, "units k features"], Bool[Tensor, "units k"]]:
        """What it sees in every exemplar, and which exemplars there are."""
        ...


def describe_modes(
    describer: SeeingDescriber, wide: Exemplars, images: ImageSource, settings: ModeSettings | None = None
) -> dict[int, tuple[Meaning, ...]]:
    """The meanings of the units that have several, the largest share first; modes that share a word are one."""
    settings = settings or ModeSettings()
    features, present = describer.features(wide, images)
    features = _scaled(features.float().cpu(), present.cpu())
    masses, found, rows = activation_mass(wide), {}, []
    for row, unit in enumerate(wide.unit_ids.tolist()):
        there = present[row].cpu() & ~wide.dead[row]
        mode = modes_of(features[row][there].numpy(), settings)
        labels = torch.full((wide.k,), -1)
        labels[there] = torch.from_numpy(mode)
        shares = _shares(labels, masses[row])
        if len(shares) > 1 and min(shares) >= settings.least:
            found[unit] = shares
            rows += [(row, labels == number) for number in range(len(shares))]
    if not rows:
        return {}
    told = iter(describer.describe(_apart(wide, rows), images))
    meant = {unit: _merged([next(told) for _ in shares], shares) for unit, shares in found.items()}
    return {unit: meanings for unit, meanings in meant.items() if len(meanings) > 1}


def modes_of(
    features: Float[np.ndarray, "exemplars features"], settings: ModeSettings
) -> Int64[np.ndarray, " exemplars"]:
    """The mode of every exemplar, 0 … n - 1, n as large as pays on exemplars that were left out."""
    if len(features) < 2 * FEWEST:
        return np.zeros(len(features), np.int64)
    left, count = _left_out(features, 1, settings), 1
    while count < min(settings.most, len(features) // FEWEST):
        remaining = _left_out(features, count + 1, settings)
        if remaining > (1 - settings.gain) * left:
            break
        left, count = remaining, count + 1
    return _nearest(features, _centres(features, count, settings.seed))


def activation_mass(exemplars: Exemplars) -> Float[Tensor, "units k"]:
    """The unit's peak on every exemplar, as far as it is positive; 1 each where it never is.

    Peaks and not sums over places, by which what is large in a picture would be more of a meaning than what is small.
    """
    masses = torch.where(exemplars.images >= 0, exemplars.activations.clamp(min=0), 0.0)
    return torch.where(masses.sum(1, keepdim=True) > 0, masses, 1.0)


def _left_out(features: np.ndarray, count: int, settings: ModeSettings) -> float:
    """Squared distance of exemplars to the nearest centre of others: each half in turn, every other rank."""
    left = 0.0
    for turn in (0, 1):
        centres = _centres(features[turn::2], count, settings.seed)
        others = features[1 - turn :: 2]
        left += float(((others[:, None] - centres[None]) ** 2).sum(2).min(1).sum())
    return left


def _centres(features: np.ndarray, count: int, seed: int) -> Float[np.ndarray, "count features"]:
    """k-means (Lloyd 1982) from k-means++ starts (Arthur & Vassilvitskii 2007), the best of STARTS."""
    best, least = features[:count], np.inf
    for start in range(STARTS if count > 1 else 1):
        rng = np.random.default_rng((seed, start))
        centres = features[[int(rng.integers(len(features)))]]
        while len(centres) < count:
            far = ((features[:, None] - centres[None]) ** 2).sum(2).min(1)
            chance = far / far.sum() if far.sum() > 0 else None
            centres = np.concatenate((centres, features[[int(rng.choice(len(features), p=chance))]]))
        for _ in range(ROUNDS):
            mode = _nearest(features, centres)
            moved = np.stack([features[mode == c].mean(0) if (mode == c).any() else centres[c] for c in range(count)])
            if np.array_equal(moved, centres):
                break
            centres = moved
        left = float(((features - centres[_nearest(features, centres)]) ** 2).sum())
        if left < least:
            best, least = centres, left
    return best


def _nearest(features: np.ndarray, centres: np.ndarray) -> Int64[np.ndarray, " exemplars"]:
    return ((features[:, None] - centres[None]) ** 2).sum(2).argmin(1)


def _scaled(features: Float[Tensor, "units k features"], present: Bool[Tensor, "units k"]) -> Tensor:
    """Unit vectors of the features less the layer's mean, each axis at the layer's deviation."""
    known = features[present]
    if not len(known):
        return features
    deviation = known.std(0, correction=0)
    scaled = (features - known.mean(0)) / torch.where(deviation > 1e-6, deviation, 1.0)
    return scaled / scaled.norm(dim=2, keepdim=True).clamp(min=1e-6)


def _shares(labels: Int64[Tensor, " k"], masses: Float[Tensor, " k"]) -> list[float]:
    every = float(masses[labels >= 0].sum())
    return [float(masses[labels == mode].sum()) / max(every, 1e-12) for mode in range(int(labels.max()) + 1)]


def _apart(wide: Exemplars, rows: Sequence[tuple[int, Bool[Tensor, " k"]]]) -> Exemplars:
    """Every mode as if it were a unit: its exemplars first, numbered in the order given."""
    order = [torch.argsort((~own).long(), stable=True) for _, own in rows]
    n_most = max(int(own.sum()) for _, own in rows)
    place, column = torch.tensor([row for row, _ in rows])[:, None], torch.stack(order)[:, :n_most]
    inside = torch.stack([own for _, own in rows]).gather(1, column)
    return Exemplars(
        wide.layer,
        torch.arange(len(rows)),
        torch.where(inside, wide.images[place, column], -1),
        torch.where(inside, wide.activations[place, column], -torch.inf),
        wide.maps[place, column],
        wide.threshold[place[:, 0]],
        wide.dead[place[:, 0]],
        wide.compat,
    )


def _merged(told: Sequence[Description], shares: Sequence[float]) -> tuple[Meaning, ...]:
    """The largest share first; modes without words are left out, those that share a word go to the larger."""
    meanings: list[Meaning] = []
    for description, share in sorted(zip(told, shares, strict=True), key=lambda each: -each[1]):
        if description.text is None:
            continue
        words = _words(description.text)
        place = next((n for n, other in enumerate(meanings) if _words(other.text) & words), None)
        if place is None:
            meanings.append(Meaning(description.text, share, description.score("pmi")))
        else:
            meanings[place] = replace(meanings[place], share=meanings[place].share + share)
    return tuple(sorted(meanings, key=lambda meaning: -meaning.share))


def _words(text: str) -> frozenset[str]:
    """The words of a text without what only joins them, and without their plural."""
    return frozenset(re.sub(r"(?<=..)(s|es)$", "", word) for word in re.findall(r"[a-z]+", text.lower())) - JOINING
