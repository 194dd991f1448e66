"""A sorter in which the dark speaks against every class: units 4 and 5 lower what a colour raises."""

import torch
from sorter import NAMES, Sorter, preprocess
from torch import nn


class Opposed(Sorter):
    """As a sorter, less the dark; `aside` is read by nobody."""

    def __init__(self) -> None:
        super().__init__()
        self.aside = nn.ReLU()

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        seen = self.layer1(self.colors(images)).mean((2, 3))
        self.aside(self.colors(images))
        return 3 * seen[:, :3] - 30 * seen[:, 4:6].sum(1, keepdim=True)


def make():
    return Opposed(), preprocess, NAMES
