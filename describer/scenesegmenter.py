"""The segmenter the package carries: what every pixel of a drawn scene shows; it measures what an edit has done.

segmenter = carried_segmenter()
segmenter.names["object"][2]                          # "water"; id 0 is "", nothing that has a name
segmenter.labels(pictures)["object"]                  # (pictures, height, width) ids
"""

import json
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int, UInt8
from safetensors.torch import load_file
from torch import Tensor, nn

from describer.errors import WeightsError

CARRIED = Path(__file__).parent / "weights" / "segmenter"
BLOCK = 16
"Pictures labelled at once: few stay in a CPU's cache."


class SceneSegmenter(nn.Module):
    """A small U-Net (Ronneberger et al. 2015) with one head a category; it sees pictures at 64 pixels a side."""

    size = 64

    def __init__(self, names: Mapping[str, Sequence[str]], channels: tuple[int, ...] = (24, 48, 96, 96)) -> None:
        super().__init__()
        self.names = {category: tuple(by_id) for category, by_id in names.items()}
        self.channels = tuple(channels)
        self.down = nn.ModuleList(_two(a, b) for a, b in zip((3, *channels), channels, strict=False))
        backwards = tuple(reversed(channels))
        self.up = nn.ModuleList(_two(a + b, b) for a, b in pairwise(backwards))
        self.heads = nn.ModuleDict({name: nn.Conv2d(channels[0], len(ids), 1) for name, ids in self.names.items()})

    def forward(self, images: Float[Tensor, "batch 3 h w"]) -> dict[str, Float[Tensor, "batch names h w"]]:
        """Logits of every category's names; images in -1..1."""
        x, passed = images, list[Tensor]()
        for stage in self.down:
            x = stage(x if not passed else F.max_pool2d(x, 2))
            passed.append(x)
        for stage, side in zip(self.up, reversed(passed[:-1]), strict=True):
            x = stage(torch.cat([F.interpolate(x, scale_factor=2.0, mode="nearest"), side], 1))
        return {name: head(x) for name, head in self.heads.items()}

    @torch.inference_mode()
    def labels(
        self, pictures: UInt8[np.ndarray, "pictures height width 3"]
    ) -> dict[str, Int[np.ndarray, "pictures height width"]]:
        """The most likely name of every pixel, by category."""
        height, width = pictures.shape[1:3]
        found: dict[str, list[np.ndarray]] = {category: [] for category in self.names}
        place = next(self.parameters()).device
        for start in range(0, len(pictures), BLOCK):
            block = torch.from_numpy(np.array(pictures[start : start + BLOCK])).permute(0, 3, 1, 2).to(place)
            images = block.float() / 127.5 - 1  # (pictures, 3, height, width), channels last
            if (height, width) != (self.size, self.size):
                images = F.interpolate(images, (self.size,) * 2, mode="bilinear", antialias=True)
            for category, logits in self(images).items():
                ids = logits.argmax(1, keepdim=True)
                fine = F.interpolate(ids.float(), (height, width), mode="nearest-exact")[:, 0]
                found[category].append(fine.to(torch.int32).cpu().numpy())
        empty = np.zeros((0, height, width), np.int32)
        return {category: np.concatenate([empty, *parts]) for category, parts in found.items()}


def _two(inside: int, outside: int) -> nn.Sequential:
    def conv(a: int) -> list[nn.Module]:
        return [nn.Conv2d(a, outside, 3, padding=1, bias=False), nn.BatchNorm2d(outside), nn.ReLU()]

    return nn.Sequential(*conv(inside), *conv(outside))


def carried_segmenter(folder: str | Path = CARRIED) -> SceneSegmenter:
    """The segmenter in eval mode from the package's weights; WeightsError where they are missing."""
    folder = Path(folder)
    if not (folder / "model.safetensors").is_file():
        raise WeightsError(
            f"the scene segmenter must lie in {folder}. Got no model.safetensors there. Install the package again."
        )
    about = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    model = SceneSegmenter(about["names"], tuple(about["channels"]))
    model.load_state_dict({name: value.float() for name, value in load_file(folder / "model.safetensors").items()})
    model.to(memory_format=torch.channels_last)  # twice as fast on CPUs
    return model.eval().requires_grad_(False)
