"""The judges of the scene generator: one of pixels, one of the maps of the carried classifier.

maps = SceneMaps()(pictures)                       # three maps of the frozen classifier
PixelCritic(8)(pictures, kinds)                    # (batch, places): above 0 looks drawn, below generated
MapCritic(8)(maps, kinds)                          # (batch, places)
"""

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torch.nn.utils.parametrizations import spectral_norm

from describer.scenenet import carried_classifier

SHARPNESS = 4.0
"""Slope that a judge may have where its layers have slope 1: with less, the hinge never opens."""


def conv(inside: int, outside: int, side: int = 3, stride: int = 1) -> nn.Module:
    """A convolution of spectral norm 1."""
    return spectral_norm(nn.Conv2d(inside, outside, side, stride, (side - 1) // 2))


class Verdict(nn.Module):
    """What each place looks like, and whether it suits the kind: logit + ⟨embedding of the kind, features⟩."""

    def __init__(self, channels: int, n_kinds: int) -> None:
        super().__init__()
        self.logit = conv(channels, 1)
        self.kind = spectral_norm(nn.Embedding(n_kinds, channels))

    def forward(
        self, x: Float[Tensor, "batch channels h w"], kinds: Int[Tensor, " batch"]
    ) -> Float[Tensor, "batch h w"]:
        """One number a place."""
        suits = (self.kind(kinds)[:, :, None, None].to(x.dtype) * x).sum(1)
        return SHARPNESS * (self.logit(x)[:, 0] + suits).float()


def spread(x: Float[Tensor, "batch channels h w"]) -> Float[Tensor, "batch 1 h w"]:
    """How far two neighbours of a batch, which are of one kind, lie apart at each place, averaged over the channels.

    So a judge sees that generated pictures are too much alike (Karras et al. 2018, within a kind and by place).
    """
    first, second = x.float().unflatten(0, (-1, 2)).unbind(1)  # (batch / 2, channels, h, w)
    return ((first - second).square() + 1e-6).sqrt().mean(1, keepdim=True).repeat_interleave(2, 0).to(x.dtype)


class PixelCritic(nn.Module):
    """Strided convolutions from 64 x 64 pixels to 4 x 4 places, where the spread is one more map."""

    def __init__(self, n_kinds: int, channels: Sequence[int] = (48, 96, 192, 256)) -> None:
        super().__init__()
        layers: list[nn.Module] = [conv(3, channels[0], 4, 2), nn.LeakyReLU(0.2)]
        for inside, outside in pairwise(channels):
            layers += [conv(inside, outside, 4, 2), nn.LeakyReLU(0.2)]
        self.body = nn.Sequential(*layers)
        self.mix = nn.Sequential(conv(channels[-1] + 1, channels[-1]), nn.LeakyReLU(0.2))
        self.verdict = Verdict(channels[-1], n_kinds)

    def forward(
        self, images: Float[Tensor, "batch 3 h w"], kinds: Int[Tensor, " batch"]
    ) -> Float[Tensor, "batch places"]:
        """One number a place: above 0 looks drawn, below generated; pictures come in twos of one kind."""
        x = self.body(images)
        x = self.mix(torch.cat([x, spread(x)], 1))
        return self.verdict(x, kinds).flatten(1)


class MapCritic(nn.Module):
    """One small head on each of the classifier's maps and its spread."""

    def __init__(self, n_kinds: int, channels: Sequence[int] = (48, 96, 128), width: int = 64) -> None:
        super().__init__()
        strides = (2, 2, 1)
        self.heads = nn.ModuleList(
            nn.Sequential(
                conv(inside + 1, width, 1), nn.LeakyReLU(0.2), conv(width, width, 4 if stride == 2 else 3, stride),
                nn.LeakyReLU(0.2), conv(width, width), nn.LeakyReLU(0.2),
            ) for inside, stride in zip(channels, strides, strict=True)
        )  # fmt: skip
        self.verdicts = nn.ModuleList(Verdict(width, n_kinds) for _ in channels)

    def forward(self, maps: list[Tensor], kinds: Int[Tensor, " batch"]) -> Float[Tensor, "batch places"]:
        """One number a place of each map, 64 a map; pictures come in twos of one kind."""
        wide = [torch.cat([x, spread(x)], 1) for x in maps]
        told = [verdict(head(x), kinds) for head, verdict, x in zip(self.heads, self.verdicts, wide, strict=True)]
        return torch.cat([F.adaptive_avg_pool2d(each, 8).flatten(1) for each in told], 1)


class SceneMaps(nn.Module):
    """The carried classifier's last three stages, frozen; pictures in -1..1 are doubled to its 128 pixels."""

    def __init__(self) -> None:
        super().__init__()
        model, _, _ = carried_classifier()
        stages = []
        for stage in (model.layer1, model.layer2, model.layer3, model.layer4):
            first, norm1, relu1, second, norm2, relu2 = stage.children()
            stages.append(
                nn.Sequential(fuse_conv_bn_eval(first, norm1), relu1, fuse_conv_bn_eval(second, norm2), relu2)
            )
        self.stages = nn.ModuleList(stages).requires_grad_(False)

    def forward(self, images: Float[Tensor, "batch 3 h w"]) -> list[Tensor]:
        """Three maps, from fine to coarse."""
        x, maps = F.interpolate(images, scale_factor=2.0, mode="bilinear"), []
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        return maps[1:]
