"""What a layer's units fire on: per unit its k images, where in them, and above which level.

    exemplars = Exemplars.load("exemplars/layer4.safetensors")
    exemplars.images[3]                  # (k,) indices into the image set, strongest first; -1 = no further image
    exemplars.masks(112, positions=[3])  # (1, k, 112, 112) True where the unit is above its threshold
    few = exemplars.subset([3, 5, 8])
    few.save("few.safetensors")

A position is a row here; `unit_ids` says which unit of the layer that row is.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int64
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from describer.errors import AtlasError
from describer.upsample import upsample

FORMAT = "describer-exemplars-1"
LEVELS = 64
"Steps between the levels that tell how a unit's peaks are spread over the images."
Compat = Literal["milan"] | None


@dataclass(frozen=True, eq=False)
class Exemplars:
    """The exemplars of the units of one layer; rows are units, columns images from the strongest down."""

    layer: str
    "dotted name of the module"
    unit_ids: Int64[Tensor, " units"]
    "index of each row's unit within the layer"
    images: Int64[Tensor, "units k"]
    "indices into the image set; equal activations are in the order of the set"
    activations: Float[Tensor, "units k"]
    "spatial maximum of the unit on that image"
    maps: Float[Tensor, "units k h w"]
    "activation map on that image, float16 (float32 where the layer leaves its range)"
    threshold: Float[Tensor, " units"]
    "quantile of all activations of the unit; the mask is what lies strictly above"
    dead: Bool[Tensor, " units"]
    "units that never changed over the whole set; their masks are empty"
    compat: Compat = None
    "milan: masks blend with 0 beyond the map as the published ones do"
    levels: Float[Tensor, "units levels"] | None = None
    "quantiles 0/64 … 64/64 of the peaks (spatial maxima) over at most 1,024 images of the set; None: not kept"

    @property
    def k(self) -> int:
        """Exemplars of one unit."""
        return self.images.shape[1]

    def __len__(self) -> int:
        return len(self.unit_ids)

    def subset(self, positions: Sequence[int] | Tensor) -> "Exemplars":
        """The rows at these positions, in this order."""
        rows = torch.as_tensor(positions, dtype=torch.int64).reshape(-1)
        parts = {name: getattr(self, name)[rows] for name in _TENSORS}
        return Exemplars(
            self.layer, **parts, compat=self.compat, levels=None if self.levels is None else self.levels[rows]
        )

    def first(self, k: int) -> "Exemplars":
        """The k strongest of every unit."""
        cut = {name: getattr(self, name)[:, :k] for name in ("images", "activations", "maps")}
        return replace(self, **cut)

    def masks(self, size: int, positions: Sequence[int] | Tensor | None = None) -> Bool[Tensor, "rows k size size"]:
        """True where the map, `size` pixels a side, is above the threshold; 50 kB an exemplar at 224: ask in parts."""
        part = self if positions is None else self.subset(positions)
        fine = upsample(part.maps, size, "zeros" if part.compat == "milan" else "border")
        above = fine > part.threshold[:, None, None, None]
        seen = (part.images >= 0) & ~part.dead[:, None]
        return above & seen[:, :, None, None]

    def save(self, path: str | Path) -> None:
        """Writes one safetensors file; the old one stays until the new one is whole. AtlasError where that fails."""
        path = Path(path)
        part = path.with_name(path.name + ".part")
        about = {"format": FORMAT, "layer": self.layer, "compat": self.compat or ""}
        try:
            kept = [name for name in (*_TENSORS, "levels") if getattr(self, name) is not None]
            save_file({name: getattr(self, name).contiguous().cpu() for name in kept}, part, about)
            os.replace(part, path)
        except (OSError, SafetensorError) as fault:
            part.unlink(missing_ok=True)
            raise AtlasError(f"Exemplars must be written to {path}. Got: {fault}. Free space or permit it.") from fault

    @classmethod
    def load(cls, path: str | Path) -> "Exemplars":
        """Reads what `save` wrote; AtlasError for any other file."""
        try:
            with safe_open(path, "pt") as file:
                about = file.metadata() or {}
                sound = about.get("format") == FORMAT
                tensors = {name: file.get_tensor(name) for name in _TENSORS if sound}
                levels = file.get_tensor("levels") if sound and "levels" in file.keys() else None  # noqa: SIM118
        except (OSError, SafetensorError) as fault:
            raise AtlasError(f"{path} must hold exemplars. Got: {fault}. Probe the layer again.") from fault
        if about.get("format") != FORMAT:
            raise AtlasError(f"{path} must be of format {FORMAT}. Got {about.get('format')}. Probe the layer again.")
        return cls(about["layer"], **tensors, compat="milan" if about["compat"] == "milan" else None, levels=levels)


_TENSORS = ("unit_ids", "images", "activations", "maps", "threshold", "dead")
