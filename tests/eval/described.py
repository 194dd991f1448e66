"""Small networks of known units with atlases of colours, and the photographs that they are about.

atlas = describe_colors(load_target(PAINTER), load_images("latents:97:5", target), path, 0.9)
write_photos(root, {"red": 5, "green": 7, "blue": 3}, darken)          # a folder a class
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from describer.atlas import Atlas
from describer.data.concepts import load_concepts
from describer.data.images import ImageSet
from describer.data.targets import Target
from describer.describe import describe
from describer.probe import ProbeSettings
from describer.search.describers import form_describers
from describer.search.dissect import DissectSettings

HERE = Path(__file__).parent
NETS = ("painter", "sorter", "mistaken", "opposed")
PAINTER, SORTER, MISTAKEN, OPPOSED = (f"{HERE / name}.py:make" for name in NETS)
PURE = {"red": (220, 10, 20), "green": (10, 150, 30), "blue": (20, 30, 210)}


def describe_colors(
    target: Target,
    images: ImageSet,
    path: Path,
    quantile: float,
    probed: float = 0.99,
    layers: Sequence[str] = ("layer1",),
) -> Atlas:
    """Layers by colours; `quantile` is where a unit is laid over pixels, `probed` where its exemplars show it."""
    dissection = DissectSettings(quantile=quantile, n_shifts=0)
    describers = form_describers(load_concepts("colors", images), ["concept"], dissection=dissection)
    settings = ProbeSettings(k=3, quantile=probed)
    return describe(target, images, path, describers, layers=list(layers), settings=settings)


def write_photos(root: Path, numbers: dict[str, int], darken: Callable[[str, int, np.ndarray], None]) -> Path:
    """So many noisy 16x16 pictures of each pure colour, darkened in place by `darken(name, number, pixels)`."""
    dice = np.random.default_rng(0)
    for name, number in numbers.items():
        (root / name).mkdir()
        for i in range(number):
            pixels = np.clip(dice.normal(PURE[name], 6, (16, 16, 3)), 0, 255)
            darken(name, i, pixels)
            Image.fromarray(pixels.astype(np.uint8)).save(root / name / f"{i:02}.png")
    return root
