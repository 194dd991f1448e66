"""Our own image backbone: a small residual network that answers with a pyramid of maps.

    backbone = PyramidBackbone()
    maps = backbone(images)                    # images (batch, 3, 128, 128) in 0..1
    [m.shape for m in maps]                    # perceptual, stage 2, stage 3, stage 4, semantic

The first level is computed, not learnt: colour and oriented edges at two scales, in the manner of colour naming and
of histograms of oriented gradients (Dalal & Triggs 2005), because low layers of networks respond to just that. The
last is a top-down sum of the stages (Lin et al. 2017, feature pyramid networks), trained to carry meaning at stride 8.
"""

from collections.abc import Sequence
from typing import Any, cast

import torch
import torch.nn.functional as F
from jaxtyping import Float
from timm.models.resnet import BasicBlock, ResNet
from torch import Tensor, nn

MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)
LUMA = (0.299, 0.587, 0.114)  # Rec. 601

# The eleven basic colour terms of Berlin & Kay at their foci, sRGB 0..1; several foci where a term is wide.
COLOUR_FOCI = (
    ("black", ((0.04, 0.04, 0.04), (0.14, 0.14, 0.15))),
    ("white", ((0.97, 0.97, 0.97), (0.88, 0.88, 0.89))),
    ("gray", ((0.50, 0.50, 0.50), (0.68, 0.68, 0.68), (0.32, 0.32, 0.32))),
    ("red", ((0.80, 0.08, 0.10), (0.58, 0.08, 0.10), (0.90, 0.25, 0.22))),
    ("orange", ((0.95, 0.52, 0.10), (0.88, 0.43, 0.15))),
    ("yellow", ((0.95, 0.88, 0.20), (0.93, 0.86, 0.52), (0.80, 0.72, 0.15))),
    ("green", ((0.15, 0.55, 0.20), (0.35, 0.50, 0.18), (0.10, 0.30, 0.12), (0.50, 0.75, 0.35), (0.15, 0.55, 0.45))),
    ("blue", ((0.12, 0.28, 0.75), (0.10, 0.15, 0.40), (0.40, 0.62, 0.88), (0.15, 0.50, 0.70), (0.62, 0.78, 0.92))),
    ("purple", ((0.45, 0.18, 0.60), (0.60, 0.40, 0.75), (0.35, 0.12, 0.35))),
    ("pink", ((0.95, 0.55, 0.70), (0.95, 0.75, 0.80), (0.88, 0.25, 0.55))),
    ("brown", ((0.40, 0.24, 0.12), (0.55, 0.38, 0.22), (0.25, 0.15, 0.08), (0.72, 0.56, 0.38))),
)  # fmt: skip


def lab(rgb: Float[Tensor, "batch 3 h w"]) -> Float[Tensor, "batch 3 h w"]:
    """CIELAB (L 0..100) of sRGB colours in 0..1, white point D65 (CIE 15:2004)."""
    linear = torch.where(rgb > 0.04045, ((rgb.clamp_min(0) + 0.055) / 1.055) ** 2.4, rgb / 12.92)
    to_xyz = rgb.new_tensor(
        [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
    )
    white = rgb.new_tensor([0.95047, 1.0, 1.08883])[:, None, None]
    xyz = torch.einsum("ij,bjhw->bihw", to_xyz, linear) / white
    f = torch.where(xyz > 216 / 24389, xyz.clamp_min(1e-8) ** (1 / 3), (24389 / 27 * xyz + 16) / 116)
    x, y, z = f.unbind(1)
    return torch.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], 1)


class PerceptualLevel(nn.Module):
    """Colour names, colour and oriented edge energy on a grid of 4-pixel cells; no parameters."""

    foci: Tensor
    owner: Tensor
    luma: Tensor
    n_orientations = 8
    n_channels = len(COLOUR_FOCI) + 4 + 2 * (n_orientations + 1)

    def __init__(self) -> None:
        super().__init__()
        foci = torch.tensor([focus for _, group in COLOUR_FOCI for focus in group])
        self.register_buffer("foci", lab(foci[:, :, None, None])[:, :, 0, 0])
        owner = torch.tensor([term for term, (_, group) in enumerate(COLOUR_FOCI) for _ in group])
        self.register_buffer("luma", torch.tensor(LUMA))
        self.register_buffer("owner", F.one_hot(owner, len(COLOUR_FOCI)).float())

    @torch.autocast("cpu", enabled=False)
    def forward(self, images: Float[Tensor, "batch 3 h w"]) -> Float[Tensor, "batch channels cells_h cells_w"]:
        """Per 4-pixel cell: share of each colour name, L, a, b, spread of L, and edge energy by orientation."""
        images = images.float()
        colour = lab(F.avg_pool2d(images, 2))
        # softmax of minus squared distances / 150, without the term that all foci share
        near = F.conv2d(colour, self.foci[..., None, None] / 75, -self.foci.square().sum(1) / 150)
        names = F.conv2d(torch.softmax(near, 1), self.owner.T[..., None, None])
        scaled = colour / 100
        spread = (F.avg_pool2d(scaled[:, :1] ** 2, 2) - F.avg_pool2d(scaled[:, :1], 2) ** 2).clamp_min(0).sqrt()
        grey = torch.einsum("bchw,c->bhw", images, self.luma)[:, None]
        edges = [self._edges(grey, 4), self._edges(F.avg_pool2d(grey, 2), 2)]
        return torch.cat([F.avg_pool2d(torch.cat([names, scaled], 1), 2), spread, *edges], 1)

    def _edges(self, grey: Tensor, cell: int) -> Tensor:
        padded = F.pad(grey, (1, 1, 1, 1), mode="replicate")
        dx = padded[..., 1:-1, 2:] - padded[..., 1:-1, :-2]
        dy = padded[..., 2:, 1:-1] - padded[..., :-2, 1:-1]
        squared = dx.square() + dy.square() + 1e-8
        # twice the angle: orientation, not direction
        double = torch.cat([dx.square() - dy.square(), 2 * dx * dy], 1) / squared
        centre = torch.arange(self.n_orientations, device=grey.device) * (2 * torch.pi / self.n_orientations)
        tuning = torch.stack([centre.cos(), centre.sin()], 1)[..., None, None]
        share = F.conv2d(double, tuning).relu_().square_().square_()
        laplacian = (F.avg_pool2d(padded, 3, 1) - grey).abs()
        return F.avg_pool2d(torch.cat([share * squared.sqrt(), laplacian], 1), cell)


class PyramidBackbone(nn.Module):
    """A residual network of four stages with a top-down semantic level.

    ``levels`` are the channels of the maps in order: perceptual (stride 4), stages 2 (8), 3 (16), 4 (32), semantic (8).
    ``size`` is the side of the pictures it is used on, pixels; it takes any.
    """

    mean: Tensor
    std: Tensor
    trunk: Any

    def __init__(self, channels: Sequence[int] = (64, 128, 256, 384), semantic: int = 256, size: int = 128) -> None:
        super().__init__()
        self.size = size
        self.perceptual = PerceptualLevel()
        self.trunk = ResNet(
            cast(Any, BasicBlock), (2, 2, 2, 2), num_classes=0, channels=tuple(channels), zero_init_last=False
        )
        self.lateral = nn.ModuleList(nn.Conv2d(c, semantic, 1) for c in channels[1:])
        self.smooth = nn.Sequential(
            nn.Conv2d(semantic, semantic, 3, padding=1, bias=False), nn.BatchNorm2d(semantic), nn.ReLU()
        )
        self.levels = (PerceptualLevel.n_channels, *channels[1:], semantic)
        self.register_buffer("mean", torch.tensor(MEAN)[:, None, None])
        self.register_buffer("std", torch.tensor(STD)[:, None, None])

    def forward(self, images: Float[Tensor, "batch 3 h w"]) -> list[Tensor]:
        """Maps of the images (in 0..1), one (batch, channels, h, w) a level."""
        return [self.perceptual(images), *self.learnt(images)]

    def learnt(self, images: Float[Tensor, "batch 3 h w"]) -> list[Tensor]:
        """The maps that are learnt: all levels but the first."""
        trunk = self.trunk
        x = ((images - self.mean) / self.std).contiguous(memory_format=torch.channels_last)
        x = trunk.layer1(trunk.maxpool(trunk.act1(trunk.bn1(trunk.conv1(x)))))
        stages = [x := layer(x) for layer in (trunk.layer2, trunk.layer3, trunk.layer4)]
        top = self.lateral[2](stages[2])
        for stage, lateral in ((stages[1], self.lateral[1]), (stages[0], self.lateral[0])):
            top = lateral(stage) + F.interpolate(top, stage.shape[-2:], mode="bilinear")
        return [*stages, self.smooth(top)]
