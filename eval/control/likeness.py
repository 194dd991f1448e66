"""How much of a concept drawn pictures have, so that it can be differentiated: soft labels of the same segmenters.

    likeness = Likeness("colors", ("color", 11))
    likeness(pixels)                    # (batch, height, width) 0..1, from (batch, 3, height, width) in 0..1

Of `carried:segmenter` and `hf-seg:MODEL` the softmax of the logits. Of `colors`, whose labels are the nearest of some
prototypes in CIE Lab, a Gaussian around each: exp(-d² / 2 s²), shared out among all; for a small s it is the label.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from describer.data.concepts.computed import CARRIED, SegmentedConcepts
from describer.data.scenes.palette import COLOR_TERMS, PROTOTYPES, parse_hex
from describer.errors import ConceptsError
from describer.eval.control.segmenter import Concept, HeldPictures
from describer.scenesegmenter import SceneSegmenter, carried_segmenter

SOFTNESS = 8.0
"s, in units of Lab: prototypes of neighbouring terms are some 20 apart."
Pixels = Float[Tensor, "batch 3 height width"]
Soft = Float[Tensor, "batch h w"]


class Likeness:
    """One concept of a segmenter; ConceptsError where several of its sources, or none, have the concept's category."""

    def __init__(self, source: str, concept: Concept, device: str = "cpu") -> None:
        category, number = concept
        kinds = [part.strip() for part in source.split(",")]
        carried = carried_segmenter().to(device) if CARRIED in kinds else None
        known = {CARRIED: tuple(carried.names) if carried is not None else (), "colors": ("color",)}
        fitting = [kind for kind in kinds if category in known.get(kind, ("object",))]
        if len(fitting) != 1:
            message = f"--optimize must have a segmenter of one kind for {category!r}. Got {source}"
            raise ConceptsError(f"{message}. Name only one.")
        self._soft: Callable[[Pixels], Soft]
        if fitting[0] == "colors":
            self._soft = ColorTerm(COLOR_TERMS[number], device)
        elif carried is not None and fitting[0] == CARRIED:
            self._soft = Drawn(carried, category, number)
        else:
            blank = HeldPictures(np.zeros((1, 8, 8, 3), np.uint8))
            loaded = SegmentedConcepts(fitting[0], blank, device)
            self._soft = Segmented(loaded.model, loaded.processor, number)

    def __call__(self, pixels: Pixels) -> Soft:
        """The share of the concept at every pixel, 0..1."""
        return self._soft(pixels)


class ColorTerm:
    """A basic colour term."""

    def __init__(self, term: str, device: str = "cpu", softness: float = SOFTNESS) -> None:
        pairs = [(parse_hex(code), own == term) for own, codes in PROTOTYPES.items() for code in codes.split()]
        rgb = torch.tensor([color for color, _ in pairs], dtype=torch.float32, device=device)
        self.prototypes = lab(rgb.T[None, :, :, None] / 255)[0, :, :, 0].T  # (prototypes, 3)
        self.own = torch.tensor([own for _, own in pairs], device=device)
        self.softness = softness

    def __call__(self, pixels: Pixels) -> Soft:
        """The term's share."""
        places = lab(pixels).permute(0, 2, 3, 1)  # (batch, height, width, 3)
        squares = ((places[..., None, :] - self.prototypes) ** 2).sum(-1)  # (batch, height, width, prototypes)
        return (-squares / (2 * self.softness**2)).softmax(-1)[..., self.own].sum(-1)


class Drawn:
    """A name of the carried segmenter."""

    def __init__(self, model: SceneSegmenter, category: str, number: int) -> None:
        self.model, self.category, self.number = model, category, number

    def __call__(self, pixels: Pixels) -> Soft:
        """The name's probability, at the size at which the segmenter sees."""
        size = self.model.size
        if pixels.shape[2:] != (size, size):
            pixels = F.interpolate(pixels, (size, size), mode="bilinear", antialias=True)
        logits: Tensor = self.model(2 * pixels - 1)[self.category]
        return logits.softmax(1)[:, self.number]


class Segmented:
    """A class of a segmentation model of Hugging Face; pictures as its processor scales and shifts them."""

    def __init__(self, model: Any, processor: Any, number: int) -> None:
        self.model, self.number = model, number
        shape = (1, 3, 1, 1)
        device = self.model.device
        self.mean = torch.tensor(getattr(processor, "image_mean", None) or [0.0] * 3, device=device).view(shape)
        self.std = torch.tensor(getattr(processor, "image_std", None) or [1.0] * 3, device=device).view(shape)
        size = dict(getattr(processor, "size", None) or {})
        self.size = (size["height"], size["width"]) if {"height", "width"} <= set(size) else None

    def __call__(self, pixels: Pixels) -> Soft:
        """The class's probability, at the size of the logits."""
        if self.size is not None:
            pixels = F.interpolate(pixels, self.size, mode="bilinear", antialias=True)
        logits: Tensor = self.model(pixel_values=(pixels - self.mean) / self.std).logits.float()
        return logits.softmax(1)[:, self.number - 1]  # id 0 is no class of the model


def lab(rgb: Pixels) -> Pixels:
    """CIE Lab (D65) of sRGB in 0..1, as `describer.data.scenes.palette.to_lab`."""
    dark = rgb <= 0.04045
    linear = torch.where(dark, rgb / 12.92, ((torch.where(dark, 0.5, rgb) + 0.055) / 1.055) ** 2.4)
    to_xyz = [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.072175], [0.0193339, 0.119192, 0.9503041]]
    white = torch.tensor([0.95047, 1.0, 1.08883], device=rgb.device)
    xyz = torch.einsum("xc,bchw->bxhw", torch.tensor(to_xyz, device=rgb.device) / white[:, None], linear)
    near = xyz <= 216 / 24389
    root = torch.where(near, (24389 / 27 * xyz + 16) / 116, torch.where(near, 0.5, xyz) ** (1 / 3))
    x, y, z = root.unbind(1)
    return torch.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], 1)
