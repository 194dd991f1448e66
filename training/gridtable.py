"""The listener's grid of every picture of a corpus under several views, computed once, so that training meets no pixel.

    table = grid_table(listener.images, corpus, Path("grids.npy"))
    table.grid(pictures, views)                     # float32 (pictures, cells, features)
    table.inside(regions, views)                    # float32 (regions, cells): coverage of each cell, 0..1

View 0 is the whole picture, the others are windows of at least .6 of each side, every other one mirrored: what people
said of a picture holds of most of it too. Regions are cut to the same windows.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from rich.progress import track
from torch import Tensor

from describer.towers import ImageTower
from describer.training.backbone import jitter
from describer.training.corpus import Corpus
from describer.training.precision import bfloat16_pays
from describer.training.regiontable import pixels


@dataclass(frozen=True)
class GridTable:
    """Row i * views + v is view v of picture (region) i."""

    grids: np.ndarray
    "float16 (pictures * views, cells, features)"
    insides: np.ndarray
    "uint8 (regions * views, cells)"
    n_views: int

    def grid(self, pictures: np.ndarray, views: np.ndarray) -> Float[Tensor, "rows cells features"]:
        """The grids of these views of pictures."""
        return torch.from_numpy(self.grids[pictures * self.n_views + views].astype(np.float32))

    def inside(self, regions: np.ndarray, views: np.ndarray) -> Float[Tensor, "rows cells"]:
        """How much of each cell of these views the regions cover."""
        return torch.from_numpy(self.insides[regions * self.n_views + views].astype(np.float32)) / 255


def grid_table(
    tower: ImageTower, corpus: Corpus, cache: Path, n_views: int = 3, seed: int = 0, batch_size: int = 64
) -> GridTable:
    """The grids of all pictures; kept in ``cache`` (two .npy files) and read from there if the shapes fit."""
    cells = tower.side**2
    shapes = (len(corpus.images) * n_views, cells, tower.n_features), (len(corpus) * n_views, cells)
    places = cache, cache.with_name(cache.stem + "-inside.npy")
    if all(p.exists() and np.load(p, mmap_mode="r").shape == s for p, s in zip(places, shapes, strict=True)):
        return GridTable(np.load(places[0]), np.load(places[1]), n_views)
    grids, insides = np.zeros(shapes[0], np.float16), np.zeros(shapes[1], np.uint8)
    order = np.argsort(corpus.region_image, kind="stable")
    starts = np.searchsorted(corpus.region_image[order], np.arange(len(corpus.images) + 1))
    for first in track(range(0, len(corpus.images), batch_size), "pictures"):
        last = min(first + batch_size, len(corpus.images))
        regions = order[starts[first] : starts[last]]
        owner = corpus.region_image[regions] - first
        images = pixels(corpus.images[first:last], tower.backbone.size)
        masks = torch.from_numpy(corpus.region_mask[regions]).float() / 255
        for view in range(n_views):
            seen, within = _viewed(images, masks, owner, view, seed)
            with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16_pays()):
                grid = tower.grid(seen)
            grids[np.arange(first, last) * n_views + view] = grid.half().numpy()
            small = F.interpolate(within[:, None], (tower.side, tower.side), mode="area").flatten(1)
            insides[regions * n_views + view] = (small * 255).round().byte().numpy()
    np.save(places[0], grids)
    np.save(places[1], insides)
    return GridTable(grids, insides, n_views)


def _viewed(images: Tensor, masks: Tensor, owner: np.ndarray, view: int, seed: int) -> tuple[Tensor, Tensor]:
    """The pictures and their regions' masks in one view; a picture and its regions are cut to the same window."""
    if view == 0:
        return images, masks
    rng = np.random.default_rng((seed, view, len(images), len(masks)))
    windows = _windows(len(images), rng)
    seen, within = jitter(_cut(images, windows), rng), _cut(masks[:, None], windows[owner])[:, 0]
    return (seen.flip(-1), within.flip(-1)) if view % 2 else (seen, within)


def _windows(n: int, rng: np.random.Generator, least: float = 0.6) -> Float[Tensor, "n 2 3"]:
    """Random windows of at least ``least`` of each side, as affine maps of -1..1."""
    scale = torch.from_numpy(rng.uniform(least, 1, (n, 2))).float()
    shift = torch.from_numpy(rng.uniform(-1, 1, (n, 2))).float() * (1 - scale)
    return torch.cat([torch.diag_embed(scale), shift[..., None]], 2)


def _cut(x: Tensor, windows: Tensor) -> Tensor:
    """x (rows, channels, h, w) cut to its windows, at its old size."""
    if not len(x):
        return x
    where = F.affine_grid(windows, list(x.shape), align_corners=False)
    return F.grid_sample(x, where, padding_mode="border", align_corners=False)
