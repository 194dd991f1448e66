"""What a generator draws, as an image set whose inputs are latents: `latents:N[:seed]`.

    images = LatentSet("latents:1000:0", 1000, 0, target)
    images.latent(7)               # standard normal, of the generator's latent_shape
    images.image(7)                # what the generator draws from it
    images.inputs(None)            # a torch dataset of (index, latent)

Latent i depends on the seed and on i alone. Generators that normalise with the statistics of the batch draw a sample
together with its batch mates; therefore samples are drawn in blocks of BLOCK, the batch in which they are probed.
"""

import hashlib
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from describer.data.images import ImageSet, Preprocess
from describer.data.targets import Target
from describer.errors import ImagesError
from describer.layout import run

BLOCK = 64


class LatentSet(ImageSet):
    """N samples of one seed, drawn when asked for."""

    def __init__(self, source: str, number: int, seed: int, target: Target):
        if not target.is_generator:
            raise ImagesError(
                f"{source} must go to a generator. Got {target.name}, which takes images. Give it images."
            )
        self.source, self.number, self.seed, self.target = source, number, seed, target
        self._block = lru_cache(maxsize=4)(self._draw)

    def __len__(self) -> int:
        return self.number

    def latent(self, index: int) -> Float[Tensor, "*latent"]:
        """Input `index`."""
        return draw_latent(self.seed, index, self.target.input_shape)

    def image(self, index: int) -> Image.Image:
        """The sample that the generator draws from latent `index`."""
        if not 0 <= index < self.number:
            raise IndexError(index)
        return Image.fromarray(self._block(index // BLOCK)[index % BLOCK].numpy())

    def inputs(self, preprocess: Preprocess | None) -> Dataset[tuple[int, Tensor | None]]:
        """(index, latent); a generator has no preprocess."""
        assert preprocess is None
        return Latents(self.number, self.seed, self.target.input_shape)

    def _draw(self, block: int) -> UInt8[Tensor, "batch height width 3"]:
        first = block * BLOCK
        latents = torch.stack([self.latent(i) for i in range(first, min(first + BLOCK, self.number))])
        weight = next(self.target.model.parameters(), torch.zeros(()))
        pixel_range: Any = self.target.model.output_range
        low, high = (float(end) for end in pixel_range)
        with torch.inference_mode():
            return pixels(run(self.target.model, latents.to(weight.device)), low, high)

    def _digest(self) -> str:
        digest = hashlib.sha256(f"latents {self.number} {self.seed} {self.target.input_shape}".encode())
        digest.update(self.target.fingerprint.encode())
        return digest.hexdigest()


class Latents(Dataset[tuple[int, Tensor | None]]):
    """The latents of a set as a generator's inputs."""

    def __init__(self, number: int, seed: int, shape: tuple[int, ...]):
        self.number, self.seed, self.shape = number, seed, shape

    def __len__(self) -> int:
        return self.number

    def __getitem__(self, index: int) -> tuple[int, Tensor | None]:
        return index, draw_latent(self.seed, index, self.shape)


def draw_latent(seed: int, index: int, shape: tuple[int, ...]) -> Float[Tensor, "*latent"]:
    """Latent `index` of a seed, standard normal."""
    dice = np.random.default_rng((seed, index))
    return torch.from_numpy(dice.standard_normal(shape, dtype=np.float32))


def pixels(drawn: Tensor, low: float, high: float) -> UInt8[Tensor, "batch height width 3"]:
    """A generator's output, between low and high, as RGB bytes; ImagesError for an output that is no picture."""
    if not isinstance(drawn, Tensor) or drawn.ndim != 4 or drawn.shape[1] not in (1, 3):
        got = tuple(drawn.shape) if isinstance(drawn, Tensor) else type(drawn).__name__
        raise ImagesError(f"A generator must draw (batch, 3, height, width). Got {got}. Wrap it so that it does.")
    scaled = ((drawn.float() - low) / (high - low) * 255).clamp(0, 255).round().byte()
    return scaled.expand(-1, 3, -1, -1).permute(0, 2, 3, 1).contiguous().cpu()
