"""Features of every region of a corpus under several masks, computed once, so that training never meets a pixel.

    table = region_table(encoder, corpus, seed=0)
    table.features[table.rows(region)]          # float16 (looks, features)

A region is looked at four times: under its mask and under a blob of the kind an activation map makes of it, in the
picture and in its mirror image. Units never fire on clean outlines, so the captioner must not be taught on them alone.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from rich.progress import track
from torch import Tensor

from describer.encoder import ExemplarEncoder
from describer.training.corpus import Corpus
from describer.training.precision import bfloat16_pays

N_LOOKS = 4


@dataclass(frozen=True)
class RegionTable:
    """Region r is rows r * N_LOOKS ... r * N_LOOKS + N_LOOKS - 1."""

    features: np.ndarray
    "float16 (regions * looks, features)"

    def look(self, regions: np.ndarray, rng: np.random.Generator) -> Tensor:
        """One random look at each region (any shape), float32 (..., features)."""
        rows = regions * N_LOOKS + rng.integers(0, N_LOOKS, regions.shape)
        return torch.from_numpy(self.features[rows].astype(np.float32))


def pixels(images: UInt8[np.ndarray, "images 3 side side"], size: int) -> Float[Tensor, "images 3 size size"]:
    """A corpus's pictures in 0..1 at the side on which a backbone is used."""
    found = torch.from_numpy(images).float() / 255
    if found.shape[-1] == size:
        return found
    return F.interpolate(found, (size, size), mode="bicubic", antialias=True).clamp(0, 1)


def blobs(masks: Float[Tensor, "regions side side"], generator: torch.Generator) -> Float[Tensor, "regions side side"]:
    """What an activation map might leave of each mask: a smooth random field, stronger inside, cut at a threshold."""
    n, side = len(masks), masks.shape[-1]
    coarse = torch.randn(n, 1, 7, 7, generator=generator)
    field = F.interpolate(coarse, (side, side), mode="bicubic")[:, 0]
    soft = F.avg_pool2d(masks[:, None], 5, 1, 2, count_include_pad=False)[:, 0]
    centre = torch.linspace(-1, 1, side).square()
    field = field + 3 * soft - 0.7 * (centre[:, None] + centre)  # photographs are taken of what is in the middle
    share = 0.25 + 0.65 * torch.rand(n, 1, generator=generator)
    kept = (masks.mean((1, 2))[:, None].clamp_min(0.01) * share * field[0].numel()).long().clamp_min(4)
    order = field.flatten(1).sort(dim=1, descending=True).values
    cut = order.gather(1, kept.clamp_max(side * side - 1))[..., None]
    return (field > cut).float()


def region_table(
    encoder: ExemplarEncoder, corpus: Corpus, cache: Path, seed: int = 0, batch_size: int = 64
) -> RegionTable:
    """The features of all regions; kept in ``cache`` (a .npy file) and read from there if the shape fits."""
    shape = (len(corpus) * N_LOOKS, encoder.n_features)
    if cache.exists() and np.load(cache, mmap_mode="r").shape == shape:
        return RegionTable(np.load(cache))
    features = np.zeros(shape, np.float16)
    generator = torch.Generator().manual_seed(seed)
    order = np.argsort(corpus.region_image, kind="stable")
    starts = np.searchsorted(corpus.region_image[order], np.arange(len(corpus.images) + 1))
    for first in track(range(0, len(corpus.images), batch_size), "regions"):
        last = min(first + batch_size, len(corpus.images))
        regions = order[starts[first] : starts[last]]
        if not len(regions):
            continue
        owner = torch.from_numpy(corpus.region_image[regions].astype(np.int64) - first)
        masks = torch.from_numpy(corpus.region_mask[regions]).float() / 255
        images = pixels(corpus.images[first:last], encoder.backbone.size)
        blob = blobs(masks, generator)
        for look, (pictures, mask) in enumerate(
            [(images, masks), (images, blob), (images.flip(-1), masks.flip(-1)), (images.flip(-1), blob.flip(-1))]
        ):
            if look % 2 == 0:
                with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16_pays()):
                    maps = encoder.maps(pictures)
            features[regions * N_LOOKS + look] = encoder.region_features(maps, mask, owner).half().numpy()
    np.save(cache, features)
    return RegionTable(features)
