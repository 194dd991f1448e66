"""How high units stand: what an edit sets, raises or caps them to.

top = quantile_levels(model, batches, "layer2", [3, 5], 0.995)        # of all places of all inputs
mean = present_means(maps, present)                                   # where a concept is, as in GAN Dissection
Edit("layer2", (3, 5), "raise", tuple(top.tolist()))
"""

import math
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from describer.area import laid
from describer.errors import ActivationError
from describer.hooks import observed
from describer.layout import run, unit_layout


def activations(model: nn.Module, batches: Iterable[Tensor], layer: str) -> Iterable[Float[Tensor, "batch units h w"]]:
    """The layer's maps of every batch, float32, one after the other; the model is left as it was."""
    for batch in batches:
        seen = _Seen(model, tuple(batch.shape[1:]))
        with observed(model, [layer], seen.see):
            run(model, batch)
        yield seen.maps[-1]


class _Seen:
    """What one layer gave."""

    def __init__(self, model: nn.Module, input_shape: tuple[int, ...]) -> None:
        self.model, self.input_shape = model, input_shape
        self.maps: list[Tensor] = []

    def see(self, name: str, output: Any) -> None:
        """Keeps the layer's maps, copied: what follows may work in place."""
        self.maps.append(unit_layout(self.model, name, output, self.input_shape)(output).float().clone())


def quantile_levels(
    model: nn.Module, batches: Iterable[Tensor], layer: str, units: Sequence[int], quantile: float
) -> Float[Tensor, " units"]:
    """The quantile (0..1) of each unit over all places of all inputs: the least value with that share at or below it.

    Keeps all values of the units. Raises ActivationError where there are none.
    """
    if not 0 <= quantile <= 1:
        raise ActivationError(f"quantile must lie in 0..1. Got {quantile}. Try 0.99.")
    parts = [maps[:, list(units)].transpose(0, 1).flatten(1) for maps in activations(model, batches, layer)]
    if not parts:
        raise ActivationError("A quantile must be of some inputs. Got none. Give at least one batch.")
    values = torch.cat(parts, 1)  # (units, values)
    return values.kthvalue(max(math.ceil(quantile * values.shape[1]), 1), 1).values


def present_means(
    maps: Float[Tensor, "batch units h w"], present: Float[Tensor, "batch height width"]
) -> Float[Tensor, " units"]:
    """Mean of each unit weighted by the share (0..1) of its cell on which something is present; 0 where it never is."""
    weight = laid(present.double(), (maps.shape[2], maps.shape[3])).to(maps.device)
    total = torch.einsum("buhw,bhw->u", maps.double(), weight)
    return (total / weight.sum().clamp_min(1e-12)).float()
