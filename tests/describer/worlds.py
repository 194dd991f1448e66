"""Small things that compute, for the tests of the atlas, its pictures and the verbs."""

from collections.abc import Callable

import numpy as np
import torch
from PIL import Image

from describer.description import Candidate, Description, ImageSource
from describer.exemplars import Exemplars
from describer.manifest import LayerEntry, Manifest, Source

LAYERS = {"stem": (5, 13, 11), "body.0": (7, 3, 3), "head": (3, 1, 1)}
"layer -> units, height, width"
N_IMAGES, K = 23, 4


class Squares:
    """Image i: a bright square on a coloured ground; both are made of i alone."""

    def image(self, index: int, /) -> Image.Image:
        pixels = np.empty((89, 97, 3), np.uint8)
        pixels[:] = (index * 37 % 256, index * 71 % 256, index * 113 % 256)
        top, left = index * 5 % 60, index * 11 % 60
        pixels[top : top + 29, left : left + 31] = 255 - pixels[0, 0]
        return Image.fromarray(pixels)


def make_exemplars(layer: str, seed: int = 0) -> Exemplars:
    """Exemplars of a layer of LAYERS with seeded maps; its unit 1 is dead."""
    units, height, width = LAYERS[layer]
    chance = torch.Generator().manual_seed(seed + units)
    images = torch.stack([torch.randperm(N_IMAGES, generator=chance)[:K] for _ in range(units)])
    maps = torch.rand(units, K, height, width, generator=chance).half()
    activations = maps.flatten(2).amax(2).float().sort(dim=1, descending=True).values
    dead = torch.arange(units) == 1
    return Exemplars(layer, torch.arange(units), images, activations, maps, torch.full((units,), 0.6), dead)


class Namer:
    """A describer whose text is computed from the exemplars: it names the first image and the mask's area."""

    method = "caption"

    def __init__(self, weight: float = 0.5) -> None:
        self.key = {"describer": "namer", "lambda": weight}

    def describe(
        self, exemplars: Exemplars, images: ImageSource, progress: Callable[[int], None] | None = None
    ) -> list[Description]:
        if progress:
            progress(len(exemplars))
        areas = exemplars.masks(17).float().mean((1, 2, 3))
        return [self._one(exemplars, images, row, float(areas[row])) for row in range(len(exemplars))]

    def _one(self, exemplars: Exemplars, images: ImageSource, row: int, area: float) -> Description:
        unit = int(exemplars.unit_ids[row])
        if exemplars.dead[row] or unit == 2:
            return Description(exemplars.layer, unit, None, self.method)
        red = images.image(int(exemplars.images[row, 0])).convert("RGB").getpixel((0, 0))[0]  # type: ignore[index]
        texts = [f"ground of red {red}", f"squares over {area:.2f}", "things"]
        n_best = tuple(Candidate(t, -3.0 - i, -8.0, 1.0 - i - area, "phrase") for i, t in enumerate(texts))
        scores = {"log_prob": -3.0, "log_prior": -8.0, "pmi": 1.0 - area, "area": area}
        return Description(exemplars.layer, unit, texts[0], self.method, scores, n_best)


def make_manifest(options: dict[str, int | float] | None = None, layers: tuple[str, ...] = tuple(LAYERS)) -> Manifest:
    """The manifest of an atlas of these layers."""
    entries = (LayerEntry(name, list(LAYERS).index(name), *LAYERS[name]) for name in layers)
    return Manifest(
        model=Source("nets.py:small", "model-1"),
        images=Source("squares", "images-1"),
        n_images=N_IMAGES,
        options={"k": K, "quantile": 0.99} | (options or {}),
        layers=tuple(entries),
        methods={"caption": {"describer": "namer", "lambda": 0.5}},
    )
