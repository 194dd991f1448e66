"""Features of every exemplar of many units: each distinct picture is encoded once and pooled by every mask on it.

    encoded = EncodedImages(encoder, images)
    features, present = exemplar_features(encoded, exemplars)   # (units, k, features), (units, k)

Pictures stay encoded (as float16) from one layer to the next, up to a bound; beyond it the oldest are dropped.
"""

from collections import OrderedDict
from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Bool, Float
from PIL import Image
from torch import Tensor

from describer.description import ImageSource
from describer.encoder import ExemplarEncoder
from describer.exemplars import Exemplars
from describer.upsample import Padding, upsample

MASK_SIZE = 64
MAX_BYTES = 1 << 29


class EncodedImages:
    """The pyramids of pictures, encoded when first asked for."""

    def __init__(self, encoder: ExemplarEncoder, images: ImageSource, batch_size: int = 32) -> None:
        self.encoder, self.images, self.batch_size = encoder, images, batch_size
        self._kept: OrderedDict[int, list[Tensor]] = OrderedDict()

    def maps(self, indices: list[int]) -> list[Tensor]:
        """Pyramids of the pictures, one float32 (pictures, channels, h, w) a level."""
        missing = [index for index in indices if index not in self._kept]
        for start in range(0, len(missing), self.batch_size):
            part = missing[start : start + self.batch_size]
            levels = self.encoder.maps(torch.stack([self._pixels(index) for index in part]))
            for row, index in enumerate(part):
                self._kept[index] = [level[row].half() for level in levels]
        found = [self._kept[index] for index in indices]
        self._forget()
        return [torch.stack(level).float() for level in zip(*found, strict=True)]

    def _pixels(self, index: int) -> Float[Tensor, "3 size size"]:
        size = self.encoder.backbone.size
        picture = self.images.image(index).convert("RGB").resize((size, size), Image.Resampling.BICUBIC)
        pixels = torch.from_numpy(np.asarray(picture, dtype=np.float32) / 255).permute(2, 0, 1)
        return pixels.to(self.encoder.feature_mean.device)

    def _forget(self) -> None:
        if self._kept:
            each = sum(level.nbytes for level in next(iter(self._kept.values())))
            while len(self._kept) * each > MAX_BYTES:
                self._kept.popitem(last=False)


def exemplar_features(
    encoded: EncodedImages, exemplars: Exemplars, progress: Callable[[int], None] | None = None
) -> tuple[Float[Tensor, "units k features"], Bool[Tensor, "units k"]]:
    """Features of every exemplar and which of them exist; float32 on the encoder's device.

    ``progress`` is told how many distinct pictures have been pooled since it was last told.
    """
    encoder = encoded.encoder
    present = exemplars.images >= 0
    units, slots = torch.nonzero(present, as_tuple=True)
    shown = exemplars.images[units, slots]
    device = encoder.feature_mean.device
    features = torch.zeros(*present.shape, encoder.n_features, device=device)
    distinct, owner = torch.unique(shown, return_inverse=True)
    order = torch.argsort(owner, stable=True)
    bounds = torch.searchsorted(owner[order], torch.arange(len(distinct) + 1))
    padding: Padding = "zeros" if exemplars.compat == "milan" else "border"
    for first in range(0, len(distinct), encoded.batch_size):
        last = min(first + encoded.batch_size, len(distinct))
        rows = order[int(bounds[first]) : int(bounds[last])]
        unit, slot = units[rows], slots[rows]
        fine = upsample(exemplars.maps[unit, slot], MASK_SIZE, padding)
        masks = (fine > exemplars.threshold[unit, None, None]).float().to(device)
        maps = encoded.maps(distinct[first:last].tolist())
        features[unit, slot] = encoder.region_features(maps, masks, (owner[rows] - first).to(device))
        if progress:
            progress(last - first)
    return features, present.to(device)
