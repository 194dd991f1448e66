"""The generator the package carries: it draws landscapes from standard normal latents; the target of `edit`.

generator = carried_generator()
pictures = generator(torch.randn(5, *generator.latent_shape))     # (5, 3, 64, 64) in generator.output_range
"""

import json
from itertools import pairwise
from pathlib import Path

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from safetensors.torch import load_file
from torch import Tensor, nn

from describer.errors import WeightsError

CARRIED = Path(__file__).parent / "weights" / "gan"


class SceneGenerator(nn.Module):
    """Four stages of two convolutions, each `stageN` at twice the resolution of the last; units are after ReLU.

    The first `n_kinds` latents choose the kind of scene: the largest wins, so that all latents are standard normal.
    Kind and latents tell every convolution a gain and a bias for each unit (Brock et al. 2019, BigGAN).
    """

    output_range = (-1.0, 1.0)
    stage1: nn.Module
    stage2: nn.Module
    stage3: nn.Module
    stage4: nn.Module

    def __init__(self, n_kinds: int, channels: tuple[int, ...] = (192, 192, 96, 64, 32), latents: int = 96) -> None:
        super().__init__()
        self.n_kinds, self.latent_shape, self.channels = n_kinds, (latents,), tuple(channels)
        self.style = nn.Sequential(nn.Linear(latents + n_kinds, 128), nn.SiLU(), nn.Linear(128, 128), nn.SiLU())
        self.start = nn.Linear(128, channels[0] * 16)
        for number, (inside, outside) in enumerate(pairwise(channels), 1):
            self.add_module(f"stage{number}", Stage(inside, outside, 4 * 2**number, number > 2))
        self.colors = nn.Conv2d(channels[-1], 3, 3, padding=1)

    def kinds(self, latents: Float[Tensor, "batch latents"]) -> Int[Tensor, " batch"]:
        """The kind of scene that each latent asks for."""
        return latents[:, : self.n_kinds].argmax(1)

    def forward(self, latents: Float[Tensor, "batch latents"]) -> Float[Tensor, "batch 3 size size"]:
        """Pictures in -1..1."""
        kinds = F.one_hot(self.kinds(latents), self.n_kinds).to(latents.dtype)
        style = self.style(torch.cat([latents, kinds], 1))
        x = self.start(style).unflatten(1, (-1, 4, 4))  # (batch, channels, 4, 4)
        x = x.contiguous(memory_format=torch.channels_last)
        for number in range(1, len(self.channels)):
            x = getattr(self, f"stage{number}")(x, style)
        return torch.tanh(self.colors(x))


class Stage(nn.Module):
    """Twice as large, then two convolutions, each normalised, styled and rectified; fixed noise gives fine grain."""

    noise: Tensor

    def __init__(self, inside: int, outside: int, size: int, grained: bool) -> None:
        super().__init__()
        self.first, self.second = Styled(inside, outside), Styled(outside, outside)
        self.grain: nn.Parameter | None = nn.Parameter(torch.zeros(outside, 1, 1)) if grained else None
        fixed = torch.randn(1, 1, size, size, generator=torch.Generator().manual_seed(size))
        self.register_buffer("noise", fixed if grained else None)

    def forward(
        self, x: Float[Tensor, "batch inside h w"], style: Float[Tensor, "batch width"]
    ) -> Float[Tensor, "batch outside h2 w2"]:
        """Units after ReLU."""
        x = self.first(F.interpolate(x, scale_factor=2.0, mode="nearest"), style)
        return self.second(x, style, None if self.grain is None else self.noise * self.grain)


class Styled(nn.Module):
    """A convolution whose units are normalised over the batch, then get a gain and a bias from the style, then ReLU."""

    def __init__(self, inside: int, outside: int, width: int = 128) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inside, outside, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(outside)
        self.gain_and_bias = nn.Linear(width, 2 * outside)

    def forward(
        self, x: Float[Tensor, "batch inside h w"], style: Float[Tensor, "batch width"], grain: Tensor | None = None
    ) -> Float[Tensor, "batch outside h w"]:
        """Units after ReLU."""
        x = self.conv(x) if grain is None else self.conv(x) + grain.to(x.dtype)
        gain, bias = self.gain_and_bias(style)[:, :, None, None].chunk(2, 1)
        return F.relu(torch.addcmul(bias, self.norm(x), 1 + gain))


def carried_generator(folder: str | Path = CARRIED) -> SceneGenerator:
    """The generator in eval mode from the package's weights; WeightsError where they are missing."""
    folder = Path(folder)
    if not (folder / "model.safetensors").is_file():
        raise WeightsError(
            f"the scene generator must lie in {folder}. Got no model.safetensors there. Install the package again."
        )
    about = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    model = SceneGenerator(len(about["kinds"]), tuple(about["channels"]), about["latents"])
    model.load_state_dict({name: value.float() for name, value in load_file(folder / "model.safetensors").items()})
    return model.eval()
