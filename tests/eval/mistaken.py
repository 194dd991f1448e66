"""A sorter with a flaw that is known: two units that see the dark, 4 and 5, each say blue; cut both and it is gone."""

import torch
from sorter import NAMES, Sorter, preprocess


class Mistaken(Sorter):
    """Dark pictures are called blue, unless neither unit 4 nor unit 5 says so."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        seen = self.layer1(self.colors(images)).mean((2, 3))
        blue = 6 * (seen[:, 4] + seen[:, 5])
        return torch.tanh(3 * seen[:, :3]) + torch.stack([0 * blue, 0 * blue, blue], 1)


def make():
    return Mistaken(), preprocess, NAMES
