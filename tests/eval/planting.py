"""A drawn-by-hand concept set for planted units: blocks of colour and thing on pictures of two sizes."""

import numpy as np
from PIL import Image

from describer.data.concepts.labels import ConceptSet, ImageLabels
from describer.data.images import ImageSet

COLORS = ("", "red", "green", "blue")
OBJECTS = ("", "dog", "car", "tree", "sky", "tower", "bird", "boat", "flag", "ball")
MATERIALS = ("", "wood", "stone", "metal", "glass")
N, SIDE = 41, 14


class Blocks(ImageSet):
    """Picture i: blocks of 7x7 cells in the colours of the labels."""

    source, n = "blocks", N

    def __len__(self) -> int:
        return self.n

    def image(self, index: int) -> Image.Image:
        colours = np.array([(90, 90, 90), (255, 0, 0), (0, 255, 0), (0, 0, 255)], np.uint8)
        return Image.fromarray(colours[cells(index)[0]])

    def _digest(self) -> str:
        return str(self.n)


def cells(index: int) -> list[np.ndarray]:
    """Colours, objects and materials of every pixel of picture `index`."""
    rng = np.random.default_rng(index)
    blocks = [rng.integers(0, len(names), (4, 4)) for names in (COLORS, OBJECTS, MATERIALS)]
    return [np.kron(block, np.ones((SIDE // 2, SIDE // 2))).astype(np.int32) for block in blocks]


class BlockConcepts(ConceptSet):
    """Their labels, exact."""

    def __init__(self) -> None:
        self.source, self.images = "blocks", Blocks()
        self.names = {"color": COLORS, "object": OBJECTS, "material": MATERIALS}

    def _read(self, index: int) -> ImageLabels:
        return ImageLabels({name: (ids,) for name, ids in zip(self.names, cells(index), strict=True)})

    def _digest(self) -> str:
        return "blocks"
