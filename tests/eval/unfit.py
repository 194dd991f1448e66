"""A generator that asks for latents which it cannot take."""

from torch import Tensor, nn


class Unfit(nn.Module):
    """Says 7, takes 5."""

    latent_shape = (7,)
    output_range = (0.0, 1.0)

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(5, 3 * 8 * 8)

    def forward(self, latents: Tensor) -> Tensor:
        return self.fc(latents).sigmoid().view(-1, 3, 8, 8)


def make() -> Unfit:
    return Unfit()
