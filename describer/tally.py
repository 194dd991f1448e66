"""What a probe gathers about one layer, batch by batch: ranking, threshold, and which units never change.

    tally = Tally("layer4", layout, unit_ids, settings, n_images=1000, device=device)
    for images, output in batches:
        tally.add(images, output)
    tally.exemplars()

Tallies of shares of the images are joined with `merge`.
"""

from dataclasses import dataclass
from typing import Any, Literal

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from describer.directions import Directions
from describer.errors import ActivationError
from describer.exemplars import LEVELS, Exemplars
from describer.layout import UnitLayout
from describer.quantile import StreamingQuantile
from describer.ranking import Ranking

HALF_RANGE = (1e-4, 65504.0)
"A layer's maps are kept in float16 where every unit that fires peaks between these; else in float32."

ROUNDING = 1e-6
"Share of the layer's median peak by which a constant unit may change: batches of other sizes round differently."

SAMPLE = 1024
"Images, evenly spaced over the set, whose peaks tell how a unit's peaks are spread; 4 kB a unit while probing."


@dataclass(frozen=True)
class ProbeSettings:
    """How a model is probed."""

    k: int = 15
    "exemplar images a unit (MILAN: 15)"
    quantile: float = 0.99
    "share of a unit's activations at or below its threshold (MILAN: .99, dissection: .995)"
    batch_size: int | None = None
    "images a forward pass; None chooses: 64 latents, 64 images on an accelerator, 16 on the CPU"
    workers: int = 0
    "processes that read and preprocess images"
    compat: Literal["milan"] | None = None
    "milan: masks that blend with 0 beyond the map, as in MILANNOTATIONS"
    bf16: bool = True
    "autocast to bfloat16 on CUDA"

    def __post_init__(self) -> None:
        if self.k < 1:
            raise ActivationError(f"k must be at least 1. Got {self.k}. Ask for one exemplar or more.")
        if not 0 < self.quantile < 1:
            raise ActivationError(f"quantile must lie between 0 and 1. Got {self.quantile}. Give a share such as 0.99.")
        if self.batch_size is not None and self.batch_size < 1:
            raise ActivationError(f"batch_size must be at least 1. Got {self.batch_size}. Give a larger one.")


class Tally:
    """The running state of one layer."""

    def __init__(
        self,
        layer: str,
        layout: UnitLayout | Directions,
        unit_ids: Int64[Tensor, " units"],
        settings: ProbeSettings,
        n_images: int,
        device: torch.device | str = "cpu",
    ):
        self.layer, self.layout, self.unit_ids, self.settings = layer, layout, unit_ids, settings
        self.whole = len(unit_ids) == layout.units
        units, places = len(unit_ids), layout.height * layout.width
        self.ranking = Ranking(units, settings.k, layout.height, layout.width, device)
        self.levels = StreamingQuantile(units, n_images * places, settings.quantile, device)
        self.first: Float[Tensor, " units"] | None = None
        self.rounding = torch.zeros((), device=device)
        self.sampled = torch.linspace(0, n_images - 1, min(n_images, SAMPLE), dtype=torch.float64).round().long()
        self.peaks: list[Float[Tensor, "some units"]] = []
        self.changes = torch.zeros(units, dtype=torch.bool, device=device)

    def add(self, images: Int64[Tensor, " batch"], output: Any) -> None:
        """Takes a module's output for these images; ActivationError for NaN and infinite activations."""
        maps = self.layout(output)
        if not self.whole:
            maps = maps[:, self.unit_ids.to(maps.device)]
        flat = maps.flatten(2)  # (batch, units, height * width)
        peaks = flat.amax(2).float()
        if not bool(torch.isfinite(peaks).all()):
            self._refuse(images, peaks)
        self._watch(flat, peaks)
        self.ranking.add(images.to(peaks.device), peaks, maps)
        self.levels.add_maps(flat, peaks)
        self.peaks.append(peaks[torch.isin(images.cpu(), self.sampled.cpu()).to(peaks.device)].cpu())

    def _watch(self, flat: Float[Tensor, "batch units n"], peaks: Float[Tensor, "batch units"]) -> None:
        """Notes units with two different activations; looks only at those where it is still open."""
        if self.first is None:
            self.first = flat[0, :, 0].float().clone()  # the model may go on to change its output in place
            self.rounding = ROUNDING * peaks.abs().median()
        self.changes |= ((peaks - self.first).abs() > self.rounding).any(0)
        still = (~self.changes).nonzero()[:, 0]
        if len(still):
            steps = (flat[:, still].float() - self.first[still, None]).abs()
            self.changes[still] = (steps > self.rounding).any(2).any(0)

    def _refuse(self, images: Int64[Tensor, " batch"], peaks: Float[Tensor, "batch units"]) -> None:
        image, unit = (~torch.isfinite(peaks)).nonzero()[0].tolist()
        value, where = peaks[image, unit].item(), f"unit {self.unit_ids[unit]}, image {images[image]}"
        message = f"Layer {self.layer!r} must give finite activations. Got {value} ({where})"
        raise ActivationError(f"{message}. Check the weights and preprocess.")

    def to_cpu(self) -> "Tally":
        """The same state in main memory."""
        for part in (self, self.ranking, self.levels):
            for name, value in vars(part).items():
                if isinstance(value, Tensor):
                    setattr(part, name, value.cpu())
        return self

    def merge(self, other: "Tally") -> None:
        """Takes over another share of the images."""
        assert self.layout == other.layout and self.first is not None and other.first is not None
        self.ranking.merge(other.ranking)
        self.levels.merge(other.levels)
        self.peaks += other.peaks
        self.changes |= other.changes | ((self.first - other.first).abs() > self.rounding)

    def exemplars(self) -> Exemplars:
        """What the images so far have shown."""
        threshold = self.levels.result(self.settings.quantile)
        return Exemplars(
            layer=self.layer,
            unit_ids=self.unit_ids.clone(),
            images=self.ranking.images.cpu().clone(),
            activations=self.ranking.activations.cpu().clone(),
            maps=_compact(self.ranking.ordered_maps()).cpu().clone(),
            threshold=threshold.cpu().clone(),
            dead=~self.changes.cpu(),
            compat=self.settings.compat,
            levels=_levels(torch.cat(self.peaks)) if self.peaks else None,
        )


def _levels(peaks: Float[Tensor, "images units"]) -> Float[Tensor, "units levels"] | None:
    """Quantiles 0/LEVELS … LEVELS/LEVELS of every unit's peaks, between neighbours linearly."""
    if not len(peaks):
        return None
    ordered = peaks.sort(0).values  # (images, units)
    place = torch.linspace(0, len(peaks) - 1, LEVELS + 1, dtype=torch.float64)
    low = place.floor().long()
    part = (place - low).float()[:, None]
    return torch.lerp(ordered[low], ordered[(low + 1).clamp(max=len(peaks) - 1)], part).T.contiguous()


def _compact(maps: Float[Tensor, "units k height width"]) -> Float[Tensor, "units k height width"]:
    """The maps in float16 unless that would lose a unit: overflow, or all of its values too small to tell apart."""
    size = maps.abs().flatten(1).amax(1)
    fits = (size == 0) | ((size >= HALF_RANGE[0]) & (size <= HALF_RANGE[1]))
    return maps.half() if bool(fits.all()) else maps
