"""Random directions of a layer: what units would be if its axes meant nothing. They help to tell what chance gives.

    directions = random_directions("layer4", layout, mean, deviation, n=100, seed=0)
    directions(output)                       # (batch, 100, height, width): like the maps of units

A direction is a unit vector drawn uniformly over the layer's standardised units. It fires on something, as the layer
does, but no training has made it mean anything: a description that is no better than theirs is not to be relied on.
"""

import hashlib
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from describer.layout import UnitLayout


@dataclass(frozen=True, eq=False)
class Directions:
    """Weighted sums of a layer's units, laid out as its units are."""

    layout: UnitLayout
    "of the layer"
    weights: Float[Tensor, "directions units"]
    "on the activations as they are, the units' deviations divided out"
    offset: Float[Tensor, " directions"]
    "of a direction at the units' means, which is taken off"

    @property
    def units(self) -> int:
        """Number of directions."""
        return len(self.weights)

    @property
    def height(self) -> int:
        """Rows of a map."""
        return self.layout.height

    @property
    def width(self) -> int:
        """Columns of a map."""
        return self.layout.width

    def __call__(self, output: Any) -> Float[Tensor, "batch directions height width"]:
        """The directions' maps for a module's output, float32."""
        maps = self.layout(output).float()
        weights, offset = self.weights.to(maps.device), self.offset.to(maps.device)
        with torch.autocast(maps.device.type, enabled=False):  # of a large offset bfloat16 leaves nothing
            return F.conv2d(maps, weights[:, :, None, None], -offset)

    def __eq__(self, other: object) -> bool:
        same = isinstance(other, Directions) and self.layout == other.layout
        return same and torch.equal(self.weights, other.weights)  # type: ignore[attr-defined]

    def __hash__(self) -> int:
        return hash(self.layout)


def random_directions(
    layer: str,
    layout: UnitLayout,
    mean: Float[Tensor, " units"],
    deviation: Float[Tensor, " units"],
    n: int,
    seed: int = 0,
) -> Directions:
    """`n` directions of the layer, the same ones for the same name, moments and seed; constant units take no part."""
    digest = hashlib.sha256(f"{seed}:{layer}".encode()).digest()
    chance = torch.Generator().manual_seed(int.from_bytes(digest[:7], "big"))
    drawn = torch.randn(n, layout.units, generator=chance)
    drawn = torch.where(deviation > 0, drawn, 0.0)
    drawn = drawn / drawn.norm(dim=1, keepdim=True).clamp(min=1e-12)
    weights = drawn / torch.where(deviation > 0, deviation, 1.0)
    return Directions(layout, weights, weights @ mean)


class Moments:
    """Mean and deviation of every unit over images and places, batch by batch."""

    def __init__(self) -> None:
        self._n, self._sum, self._squares = 0, torch.zeros(0), torch.zeros(0)

    def add(self, maps: Float[Tensor, "batch units height width"]) -> None:
        """Takes the maps of more images."""
        flat = maps.double().transpose(0, 1).flatten(1)  # (units, batch * height * width)
        if not self._n:
            self._sum, self._squares = (torch.zeros(len(flat), dtype=torch.float64, device=flat.device),) * 2
        self._n += flat.shape[1]
        self._sum = self._sum + flat.sum(1)
        self._squares = self._squares + flat.square().sum(1)

    def result(self) -> tuple[Float[Tensor, " units"], Float[Tensor, " units"]]:
        """(mean, deviation), float32, in main memory; a deviation within rounding of the mean is 0."""
        mean = self._sum / self._n
        variance = (self._squares / self._n - mean.square()).clamp(min=0)
        variance[variance <= 1e-12 * mean.square()] = 0
        return mean.float().cpu(), variance.sqrt().float().cpu()
