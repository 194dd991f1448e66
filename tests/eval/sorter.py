"""A classifier whose units are known: unit 0 sees red, 1 green, 2 blue; each class rests on the unit of its number."""

import numpy as np
import torch
from torch import nn

NAMES = ["red", "green", "blue"]


class Sorter(nn.Module):
    """RGB in 0..1, 8x8 -> layer1: 7 units of 8x8 -> three classes; units 3 to 6 see the dark, and hardly count."""

    def __init__(self) -> None:
        super().__init__()
        self.colors = nn.Conv2d(3, 7, 1)
        with torch.no_grad():
            self.colors.weight.fill_(-1 / 3)
            self.colors.weight[:3] = (1.5 * torch.eye(3) - 0.5)[:, :, None, None]
            self.colors.bias.copy_(torch.tensor([0.0] * 3 + [0.245, 0.246, 0.247, 0.248]))
        self.layer1 = nn.ReLU()

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        seen = self.layer1(self.colors(images)).mean((2, 3))
        return torch.tanh(3 * seen[:, :3]) + 0.01 * seen[:, 3:4]


def preprocess(picture):
    pixels = np.asarray(picture.convert("RGB").resize((8, 8)), np.float32) / 255
    return torch.from_numpy(pixels.transpose(2, 0, 1).copy())


def make():
    return Sorter(), preprocess, NAMES
