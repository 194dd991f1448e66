"""What a concept in drawn pictures rests on: how its evidence falls as each of some units is turned down.

    found = slopes(target, latents, Likeness("colors", ("color", 11)), candidates, cut=[], where=None)
    candidates[int(found.argmax())]         # the unit to cut next

Evidence is log p / (1 - p), summed over the pixels that still show the concept: p itself is flat where it is sure. The
slope by a factor on a unit, at 1, is the first-order effect of cutting it (Molchanov et al., CVPR 2019), given what is
cut already.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from describer.data.latents import BLOCK
from describer.data.targets import Target
from describer.eval.control.ace import Scores, drawn
from describer.eval.control.choice import Chosen, by_layer
from describer.intervention import Edit

SHOWN = 0.3
"Likeness above which a pixel still shows the concept."
NEAREST = 1e-6
"Evidence is counted up to this likeness from 0 and 1."
Region = Float[Tensor, "samples height width"] | None


def slopes(
    target: Target,
    latents: Float[Tensor, "samples *latent"],
    likeness: Scores,
    candidates: Sequence[Chosen],
    cut: Sequence[Chosen],
    where: Region = None,
) -> Float[np.ndarray, " candidates"]:
    """Evidence in all samples that each candidate adds, others being cut; both act where `where` says."""
    device = next((p.device for p in target.model.parameters()), torch.device("cpu"))
    layers, gone = by_layer(candidates), by_layer(cut)
    sums = {layer: torch.zeros(len(units), device=device) for layer, units in layers.items()}
    for start in range(0, len(latents), BLOCK):
        factors = {layer: torch.ones(len(units), device=device, requires_grad=True) for layer, units in layers.items()}
        edits = [Edit(layer, units, "scale", factors[layer]) for layer, units in layers.items()]
        edits += [Edit(layer, units, "ablate") for layer, units in gone.items()]
        mask = None if where is None else where[start : start + BLOCK]
        with torch.enable_grad():
            part = [replace(edit, where=mask) for edit in edits]
            seen = likeness(drawn(target, latents[start : start + BLOCK].to(device), part))  # (samples, h, w)
            total = evidence(seen)
            found = torch.autograd.grad(total, [*factors.values()], allow_unused=True)
        for layer, slope in zip(layers, found, strict=True):
            sums[layer] += 0 if slope is None else slope
    place = {(layer, unit): float(sums[layer][i]) for layer, units in layers.items() for i, unit in enumerate(units)}
    return np.array([place[each.layer, each.unit] for each in candidates])


def evidence(likeness: Float[Tensor, "samples h w"]) -> Float[Tensor, ""]:
    """Log odds, summed over the pixels that show the concept."""
    return (torch.logit(likeness, NEAREST) * (likeness.detach() > SHOWN)).sum()
