"""Several meanings of one unit: what it fires on falls into modes, each with words and a share of its own.

    meanings = describe_modes(describer, wide, images)        # unit -> its meanings, only where there are several
    meanings[483]                                             # (Meaning("dogs", 0.7, 2.1), Meaning("cars", 0.3, 1.8))

A unit's many exemplars, more than are shown, are clustered by what the describer sees in them. A further cluster must
gain more on exemplars left out than it does by chance (see `clusters`). That is not yet a meaning, for all that has one
name falls into kinds too: each cluster is described as a unit of its own, and texts that share a word are one meaning.
A judge then tries every meaning as it tries descriptions (see `trust`).
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from describer.clusters import FEWEST, ClusterSettings, clusters_of
from describer.description import Describer, Description, ImageSource, Meaning
from describer.discriminant import told_apart
from describer.exemplars import Exemplars

JOINING = frozenset(
    {"a", "an", "the", "of", "in", "on", "at", "with", "without", "and", "or", "to", "by", "that", "are", "is", "it"}
    | {"thing", "object", "area", "color"}
)


@dataclass(frozen=True)
class ModeSettings:
    """When a unit has several meanings."""

    wide: int = 45
    "exemplars a unit in which modes are sought"
    most: int = 3
    "modes of one unit"
    margin: float = 1.1
    "deviations of the gains of chance by which the gain of a further mode must exceed their mean"
    least: float = 0.1
    "share of the unit's activation (its peaks) that a mode must have, else it is passed over"
    seed: int = 0
    "of the starts and of chance"


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
    modes = modes_of(wide, *describer.features(wide, images), settings or ModeSettings())
    rows = [(row, own) for row, each in modes.items() for own, _ in each]
    if not rows:
        return {}
    told = iter(describer.describe(_apart(wide, rows), images))
    units = wide.unit_ids.tolist()
    meant = {units[row]: _merged([next(told) for _ in each], [s for _, s in each]) for row, each in modes.items()}
    return {unit: meanings for unit, meanings in meant.items() if len(meanings) > 1}


def modes_of(
    wide: Exemplars,
    features: Float[Tensor, "units k features"],
    present: Bool[Tensor, "units k"],
    settings: ModeSettings,
) -> dict[int, list[tuple[Bool[Tensor, " k"], float]]]:
    """Row -> the exemplars of every mode and its share of the activation, of the units that have several modes."""
    present = present.cpu()
    features, masses = told_apart(features.float().cpu(), present), activation_mass(wide)
    sought = ClusterSettings(settings.most, settings.margin, seed=settings.seed)
    found = {}
    for row in range(len(wide)):
        fires = wide.activations[row] > wide.threshold[row]  # else there is nothing under its mask
        there = present[row] & fires & ~wide.dead[row]
        labels = torch.full((wide.k,), -1)
        labels[there] = clusters_of(features[row][there], sought)
        shares = {mode: share for mode, share in _shares(labels, masses[row]).items() if share >= settings.least}
        if len(shares) > 1:
            found[row] = [(labels == mode, share) for mode, share in shares.items()]
    return found


def activation_mass(exemplars: Exemplars) -> Float[Tensor, "units k"]:
    """The unit's peak on every exemplar, as far as it is positive; 1 each where it never is.

    Peaks and not sums over places, by which what is large in a picture would be more of a meaning than what is small.
    """
    masses = torch.where(exemplars.images >= 0, exemplars.activations.clamp(min=0), 0.0)
    return torch.where(masses.sum(1, keepdim=True) > 0, masses, 1.0)


def _shares(labels: Int64[Tensor, " k"], masses: Float[Tensor, " k"]) -> dict[int, float]:
    """The share of every mode that has exemplars enough."""
    every = max(float(masses[labels >= 0].sum()), 1e-12)
    sizes = torch.bincount(labels[labels >= 0]).tolist()
    return {mode: float(masses[labels == mode].sum()) / every for mode, n in enumerate(sizes) if n >= FEWEST}


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
        place = next((n for n, other in enumerate(meanings) if _words(other.text or "") & words), None)
        if place is None:
            meanings.append(Meaning(description.text, share, description.score("pmi")))
        else:
            meanings[place] = replace(meanings[place], share=meanings[place].share + share)
    return tuple(sorted(meanings, key=lambda meaning: -meaning.share))


def _words(text: str) -> frozenset[str]:
    """The words of a text without what only joins them, and without their plural."""
    return frozenset(re.sub(r"(?<=..)(s|es)$", "", word) for word in re.findall(r"[a-z]+", text.lower())) - JOINING
