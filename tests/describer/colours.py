"""A listener and pictures that compute: a picture is one colour, a text names colours, both live in RGB."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

COLOURS = {
    "red": (255, 0, 0),
    "green": (0, 255, 0),
    "blue": (0, 0, 255),
    "yellow": (255, 255, 0),
    "white": (255, 255, 255),
}


class ColourListener:
    """By the protocol of listeners; vectors are mean colours."""

    name = "colours"

    def __init__(self) -> None:
        self.key = {"weights": "none"}
        self.n_pictures = 0

    def embed_images(self, images: Sequence[Image.Image]) -> Float[Tensor, "images dims"]:
        self.n_pictures += len(images)
        return unit(np.stack([np.asarray(image, np.float32).mean((0, 1)) for image in images]))

    def embed_texts(self, texts: Sequence[str]) -> Float[Tensor, "texts dims"]:
        said = [[COLOURS[word] for word in text.split() if word in COLOURS] or [(1, 1, 1)] for text in texts]
        return unit(np.stack([np.array(colours, np.float32).mean(0) for colours in said]))

    def simulate(
        self, text_embeddings: Float[Tensor, "texts dims"], image_embeddings: Float[Tensor, "images dims"]
    ) -> Float[Tensor, "texts images"]:
        return torch.sigmoid(10 * (text_embeddings @ image_embeddings.T - 0.8))


def unit(vectors: np.ndarray) -> Tensor:
    return torch.nn.functional.normalize(torch.from_numpy(vectors).float() + 1e-3, dim=1)


class Plain:
    """Image i: colour i of COLOURS, around, a little darker each time; counts how often it is asked."""

    def __init__(self) -> None:
        self.asked: list[int] = []

    def __len__(self) -> int:
        return 23

    def image(self, index: int, /) -> Image.Image:
        self.asked.append(index)
        colour = list(COLOURS.values())[index % len(COLOURS)]
        return Image.new("RGB", (13, 11), tuple(int(level * (1 - index / 60)) for level in colour))
