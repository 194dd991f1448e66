"""GANs of torch.hub repositories as generators like any other.

    target = load_target("torchhub:facebookresearch/pytorch_GAN_zoo:main#PGAN?model_name=DTD&useGPU=false")
    target = load_target("torchhub:folder#tiny")                  # a folder with a hubconf.py
    target.model(latents)                                         # (batch, 3, height, width)

The entry after # is called with `pretrained` and with what follows "?". It gives a generator, or what trained one and
holds it (as pytorch_GAN_zoo and lightweight GANs do: see HELD). Loading runs the repository's code, as torch.hub
always does, which therefore asks the person before a repository's first time; weights are read as plain tensors only.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import torch
from jaxtyping import Float
from torch import Tensor, nn

from describer.data.zoo import reason
from describer.errors import TargetError

HELD = ("avgG", "G_ema", "g_ema", "netG", "generator", "GE", "G")
"Names under which a generator is held, the averaged one before the one that was trained."
LATENT = ("latent_dim", "z_dim", "dim_z", "z_space_dim", "nz", "noise_dim", "noiseVectorDim")
"Names under which the length of a latent is told, by the generator, by its holder, or by either's config."


class HubGenerator(nn.Module):
    """A generator of a repository, which takes vectors (batch, latents) or maps of one place (batch, latents, 1, 1)."""

    def __init__(self, generator: nn.Module, latents: int) -> None:
        super().__init__()
        self.generator = generator.eval()
        drawn = torch.randn(8, latents, generator=torch.Generator().manual_seed(0))
        self.latent_shape, pictures = self._tried(drawn)
        signed = float(pictures.min()) < -0.05  # nothing tells the range of the pixels but the pictures
        self.output_range = (-1.0, 1.0) if signed else (0.0, 1.0)

    def forward(self, latents: Float[Tensor, "batch *latent"]) -> Float[Tensor, "batch channels height width"]:
        """The pictures; of several outputs the first that is pictures."""
        gave = self.generator(latents)
        found: list[Tensor] = [each for each in _flat(gave) if each.ndim == 4]
        if not found:
            raise TargetError("The generator must draw pictures. Got other outputs. Wrap it in a factory of yours.")
        return found[0]

    @torch.inference_mode()
    def _tried(self, drawn: Float[Tensor, "batch latents"]) -> tuple[tuple[int, ...], Tensor]:
        faults = []
        for latents in (drawn, drawn[..., None, None]):
            try:
                return tuple(latents.shape[1:]), self(latents)
            except (RuntimeError, TypeError, ValueError, IndexError) as fault:
                faults.append(reason(fault))
        raise TargetError(
            f"The generator must draw from latents of length {drawn.shape[1]} alone. Got {faults[0]}. "
            "Wrap it in a factory of yours that gives what it asks for."
        )


def load_hub_generator(name: str, pretrained: bool) -> nn.Module:
    """The generator of "REPOSITORY#ENTRY?OPTION=VALUE"; TargetError where none is found."""
    repository, _, asked = name.partition("#")
    entry, _, options = asked.partition("?")
    if not entry:
        raise TargetError(f"torchhub: must name an entry, as in REPOSITORY#ENTRY. Got {name!r}. Add it.")
    place = "local" if Path(repository).is_dir() else "github"
    given = {key: _value(text) for key, text in parse_qsl(options)}
    gave = torch.hub.load(repository, entry, source=place, trust_repo="check", pretrained=pretrained, **given)
    if isinstance(gave, nn.Module) and getattr(gave, "latent_shape", None) is not None:
        return gave
    generator = next((held for each in HELD if isinstance(held := getattr(gave, each, None), nn.Module)), gave)
    if not isinstance(generator, nn.Module):
        wanted = f"{entry} must give a generator, or hold one as {', '.join(HELD)}"
        raise TargetError(f"{wanted}. Got {type(gave).__name__}. Wrap it in a factory of yours.")
    length = next(_lengths(generator, gave), None)
    if length is None:
        wanted = f"{entry} must tell the length of its latents as {', '.join(LATENT)}"
        raise TargetError(f"{wanted}. Got none of these. Wrap it in a factory of yours.")
    return HubGenerator(generator, length)


def _lengths(*owners: Any) -> Iterator[int]:
    for owner in (each for held in owners for each in (held, getattr(held, "config", None))):
        for name in LATENT:
            if isinstance(length := getattr(owner, name, None), int) and length > 0:
                yield length + (getattr(owner, "categoryVectorDim", 0) or 0)  # pytorch_GAN_zoo has them in one


def _value(text: str) -> Any:
    try:
        return json.loads(text)  # true, 64, .5
    except ValueError:
        return text


def _flat(gave: Any) -> Iterator[Tensor]:
    if isinstance(gave, Tensor):
        yield gave
    elif isinstance(gave, list | tuple):
        for each in gave:
            yield from _flat(each)
