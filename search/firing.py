"""Which units fire on a picture, and how strong that is among all that they have seen.

    fired = firing(atlas, Image.open("x.png"))             # one Fired a unit, in the order of the atlas
    fired[3].rank                                          # 1.0: stronger than on every image of the probe set

Among a unit's exemplars the rank is exact; below them it is read off the levels the atlas keeps (quantiles of the
unit's peaks over at most 1,024 images), between two of them linearly. Needs the target model that the atlas names.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from describer.atlas import Atlas
from describer.data.decoding import decode, rgb
from describer.data.targets import Target, load_target
from describer.data.zoo import runs_code
from describer.errors import AtlasError, ImagesError
from describer.exemplars import Exemplars
from describer.hooks import observed
from describer.layout import run, unit_layout

Picture = Image.Image | Path | str | bytes


@dataclass(frozen=True, eq=False)
class Fired:
    """One unit on one picture."""

    layer: str
    unit: int
    activation: float
    "spatial maximum of the unit on the picture"
    threshold: float
    "the quantile of the unit's activations above which its masks lie"
    rank: float | None
    "place among the probe set's images, 1: above them all; None: below the exemplars, in an atlas without levels"
    n_images: int
    "images of the probe set that could be read"
    map: Float[Tensor, "height width"]
    "the unit's activations on the picture"

    @property
    def fires(self) -> bool:
        """Whether the picture has a place above the unit's threshold."""
        return self.activation > self.threshold


def target_of(atlas: Atlas, target: Target | None = None, device: str = "cpu") -> Target:
    """The model that the atlas is of, loaded by its name unless given; raises AtlasError for another one.

    A model that brings code of its own must be given: an atlas may come from anywhere, and must not run it.
    """
    if target is None and runs_code(atlas.meta.model.name):
        got = f"Got {atlas.meta.model.name}, which the atlas names"
        raise AtlasError(f"A model that brings code must be named by you. {got}. Use --model.")
    target = target or load_target(atlas.meta.model.name, device=device)
    if target.fingerprint != atlas.meta.model.fingerprint:
        raise AtlasError(
            f"the model must be the one that {atlas.path} was made of, {atlas.meta.model.name}. "
            f"Got {target.name} with other weights or preprocessing. Describe it anew, or give the model as it was."
        )
    if target.is_generator or target.preprocess is None:
        raise ImagesError(
            f"a picture must go to a model that takes pictures. Got {target.name}, which does not. "
            "Search its units by words or by another unit."
        )
    return target


def picture_of(source: Picture) -> Image.Image:
    """An RGB picture from a file, bytes or a picture; ImagesError where there is none in it."""
    if isinstance(source, Image.Image):
        return rgb(source)
    return decode(source if isinstance(source, bytes) else Path(source))


def firing(
    atlas: Atlas, picture: Picture, target: Target | None = None, layers: Sequence[str] | None = None
) -> list[Fired]:
    """Every unit of the probed layers (default: all) on the picture, in the order of the atlas; dead units left out."""
    target = target_of(atlas, target)
    names = [e.name for e in atlas.meta.layers if e.probed and (layers is None or e.name in layers)]
    assert target.preprocess is not None
    inputs = target.preprocess(picture_of(picture))[None]
    device = next((parameter.device for parameter in target.model.parameters()), torch.device("cpu"))
    maps: dict[str, Tensor] = {}

    def see(name: str, output: Any) -> None:
        seen = unit_layout(target.model, name, output, tuple(inputs.shape[1:]))(output)[0]
        maps[name] = seen.float().cpu().clone()  # what follows may work in place

    with observed(target.model, names, see):
        run(target.model, inputs.to(device))
    n_images = atlas.meta.n_images - len(atlas.meta.skipped)
    return [fired for name in names for fired in _of_layer(atlas.exemplars(name), maps[name].clone(), n_images)]


def _of_layer(exemplars: Exemplars, maps: Float[Tensor, "units height width"], n_images: int) -> list[Fired]:
    maps = maps[exemplars.unit_ids]
    peaks = maps.flatten(1).amax(1)
    ranks = peak_ranks(exemplars, peaks, n_images)
    told = zip(exemplars.unit_ids.tolist(), peaks.tolist(), exemplars.threshold.tolist(), ranks, maps, strict=True)
    return [
        Fired(exemplars.layer, unit, peak, threshold, rank, n_images, own)
        for dead, (unit, peak, threshold, rank, own) in zip(exemplars.dead.tolist(), told, strict=True)
        if not dead
    ]


def peak_ranks(exemplars: Exemplars, peaks: Float[Tensor, " units"], n_images: int) -> list[float | None]:
    """The place that an image with this peak would take among the probe set's images, for every unit; 1 is the top."""
    seen = exemplars.images >= 0
    above = ((exemplars.activations > peaks[:, None]) & seen).sum(1).tolist()  # (units,)
    n_kept = seen.sum(1).tolist()
    shares = [None] * len(peaks) if exemplars.levels is None else _shares_above(exemplars.levels, peaks)
    ranks: list[float | None] = []
    for higher, kept, share in zip(above, n_kept, shares, strict=True):
        if higher < kept or kept == n_images:
            ranks.append(1.0 + higher)
        else:
            ranks.append(None if share is None else max(1.0 + kept, 1.0 + share * n_images))
    return ranks


def _shares_above(levels: Float[Tensor, "units levels"], peaks: Float[Tensor, " units"]) -> list[float]:
    """Which share of the images, 0–1, has a higher peak, by linear interpolation between the levels."""
    steps = levels.shape[1] - 1
    place = torch.searchsorted(levels.contiguous(), peaks[:, None].contiguous(), right=True)[:, 0]
    shares = []
    for row, upper in enumerate(place.tolist()):
        if upper == 0 or upper > steps:
            shares.append(1.0 if upper == 0 else 0.0)
            continue
        low, high = float(levels[row, upper - 1]), float(levels[row, upper])
        part = (float(peaks[row]) - low) / (high - low) if math.isfinite(high - low) and high > low else 0.0
        shares.append(1 - (upper - 1 + part) / steps)
    return shares
