"""What a generator draws from seeded latents, with and without edits.

    samples = Samples(target, seed=0, n_samples=64)
    before = samples.draw()
    after = samples.draw([Edit("layer2", (3, 5), "ablate")])
    after = samples.draw(edits, where=masks)         # one mask a sample, in image coordinates

Drawn in blocks of BLOCK as the atlas's latents are, since generators may normalise with the statistics of a batch.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from describer.data.latents import BLOCK, draw_latent, pixels
from describer.data.targets import Target
from describer.errors import ImagesError, TargetError
from describer.intervention import Edit, edited
from describer.layout import run


class Samples:
    """The first samples of a seed; the same as those of `latents:N:SEED`. ImagesError for what is no generator."""

    def __init__(self, target: Target, seed: int, n_samples: int):
        if not target.is_generator:
            message = f"{target.name} must be a generator (latent_shape, output_range). Got a network that takes images"
            raise ImagesError(f"{message}. For a classifier use describer ablate.")
        self.target, self.seed, self.n_samples = target, seed, n_samples
        self.latents = torch.stack([draw_latent(seed, i, target.input_shape) for i in range(n_samples)])

    def draw(
        self, edits: Sequence[Edit] = (), where: Float[Tensor, "*samples height width"] | None = None
    ) -> UInt8[np.ndarray, "samples height width 3"]:
        """The pictures; `where` is the region of all edits, one for all samples or one each.

        TargetError where a picture is not finite.
        """
        model, found = self.target.model, []
        device = next((p.device for p in model.parameters()), torch.device("cpu"))
        low, high = pixel_range(model)
        for start in range(0, self.n_samples, BLOCK):
            mask = where if where is None or where.ndim == 2 else where[start : start + BLOCK]
            part = [edit if mask is None else replace(edit, where=mask) for edit in edits]
            latents = self.latents[start : start + BLOCK].to(device)
            with torch.inference_mode(), edited(model, part, self.target.input_shape):
                drawn = run(model, latents)
            if isinstance(drawn, Tensor) and not bool(drawn.isfinite().all()):
                message = f"{self.target.name} must draw finite pixels. Got others after {len(edits)} edits"
                raise TargetError(f"{message}. Choose a smaller scale or other units.")
            found.append(pixels(drawn, low, high).numpy())
        return np.concatenate(found)


def pixel_range(model: torch.nn.Module) -> tuple[float, float]:
    """Least and greatest value of a generator's pixels."""
    low, high = model.output_range  # type: ignore[misc,union-attr]
    return float(low), float(high)
