"""The classifier the package carries: a small network that tells kinds of drawn scenes apart; the target of the demo.

model, preprocess, class_names = carried_classifier()
logits = model(preprocess(image)[None])          # (1, scene kinds)
"""

import json
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor, nn

from describer.errors import WeightsError

CARRIED = Path(__file__).parent / "weights" / "scenes"


class SceneClassifier(nn.Module):
    """Four stages of two convolutions, each ``layerN`` at half the resolution of the last; units are after ReLU.

    ``tags`` names what is in the picture, beside what kind of scene it is: the second lesson of its training.
    """

    size = 128
    layer1: nn.Module
    layer2: nn.Module
    layer3: nn.Module
    layer4: nn.Module
    tags: nn.Linear

    def __init__(self, n_classes: int, n_tags: int, channels: tuple[int, ...] = (24, 48, 96, 128)) -> None:
        super().__init__()
        previous = 3
        for number, width in enumerate(channels, 1):
            self.add_module(f"layer{number}", _stage(previous, width))
            previous = width
        self.drop = nn.Dropout(0.2)
        self.classes = nn.Linear(previous, n_classes)
        self.tags = nn.Linear(previous, n_tags)

    def features(self, images: Float[Tensor, "batch 3 h w"]) -> Float[Tensor, "batch channels"]:
        """Spatial mean and maximum, halved, of the last stage."""
        x = self.layer4(self.layer3(self.layer2(self.layer1(images))))
        return self.drop((x.mean((2, 3)) + x.amax((2, 3))) / 2)

    def forward(self, images: Float[Tensor, "batch 3 h w"]) -> Float[Tensor, "batch classes"]:
        """Logits of the scene kinds; images in -1..1."""
        return self.classes(self.features(images))


def _stage(inside: int, outside: int) -> nn.Sequential:
    def conv(a: int, stride: int) -> list[nn.Module]:
        return [nn.Conv2d(a, outside, 3, stride, 1, bias=False), nn.BatchNorm2d(outside), nn.ReLU()]

    return nn.Sequential(*conv(inside, 2), *conv(outside, 1))


def preprocess(image: Image.Image) -> Float[Tensor, "3 128 128"]:
    """An RGB picture, squashed to 128 pixels a side, in -1..1."""
    small = image.convert("RGB").resize((SceneClassifier.size,) * 2, Image.Resampling.BICUBIC)
    return torch.from_numpy(np.asarray(small, dtype=np.float32).transpose(2, 0, 1) / 127.5 - 1)


def carried_classifier(folder: str | Path = CARRIED):
    """(model in eval mode, preprocess, class names) from the package's weights."""
    folder = Path(folder)
    if not (folder / "model.safetensors").is_file():
        raise WeightsError(
            f"the scene classifier must lie in {folder}. Got no model.safetensors there. Install the package again."
        )
    about = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    model = SceneClassifier(len(about["classes"]), len(about["tags"]), tuple(about["channels"]))
    model.load_state_dict({name: weight.float() for name, weight in load_file(folder / "model.safetensors").items()})
    return model.eval(), preprocess, list(about["classes"])
