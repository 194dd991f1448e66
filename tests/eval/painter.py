"""A generator whose units are known: each paints one colour; what none paints is white."""

import torch
from torch import nn

COLORS = ((0.48, 0.29, 0.13), (0.8, 0.05, 0.08), (0.1, 0.5, 0.15))
"brown, red, green: units 0, 1, 2; the others paint nothing"


class Painter(nn.Module):
    """Latent (5) -> layer1: 11 units of 4x4 -> 20x20 RGB."""

    latent_shape = (5,)
    output_range = (0.0, 1.0)

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(5, 11 * 4 * 4)
        with torch.no_grad():
            self.fc.weight.copy_(torch.randn(11 * 16, 5, generator=torch.Generator().manual_seed(3)))
            self.fc.bias.fill_(-2.0)
        self.layer1 = nn.ReLU()

    def forward(self, latents: torch.Tensor) -> torch.Tensor:
        cells = self.layer1(self.fc(latents).view(-1, 11, 4, 4))
        fine = nn.functional.interpolate(cells, scale_factor=5.0)
        picture = latents.new_ones(len(latents), 3, 20, 20)
        for unit, color in enumerate(COLORS):
            cover = (2 * fine[:, unit : unit + 1]).clamp(max=1)
            picture = picture * (1 - cover) + latents.new_tensor(color)[:, None, None] * cover
        return picture


def make() -> Painter:
    return Painter()
