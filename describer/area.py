"""A mask on another grid: every cell takes the share of it that the mask covers, exactly, for any two sizes.

    on_features = laid(mask, (7, 7))          # image coordinates (224, 224) -> feature coordinates
    on_image = laid(on_features, (224, 224))  # and back: every pixel takes the share of its cell

Both grids cover the same picture. Covered area is kept, so the mean of a mask is the same on every grid; a mask that
moves by as many pixels as a cell is wide moves by one cell.
"""

import torch
from jaxtyping import Float
from torch import Tensor


def laid(mask: Float[Tensor, "*batch h w"], size: tuple[int, int]) -> Float[Tensor, "*batch height width"]:
    """The mask, shares 0..1 (or any amounts), on a grid of `size` (height, width); a mean weighted by overlap."""
    rows, columns = (overlaps(n, m).to(mask) for n, m in zip(size, mask.shape[-2:], strict=True))
    return rows @ mask @ columns.T


def overlaps(n_cells: int, n_pixels: int) -> Float[Tensor, "cells pixels"]:
    """Share of every cell of a line that lies on each pixel, where both divide the line evenly; rows sum to 1."""
    cells = torch.arange(n_cells + 1, dtype=torch.float64) * n_pixels / n_cells
    pixels = torch.arange(n_pixels + 1, dtype=torch.float64)
    ends = torch.minimum(cells[1:, None], pixels[None, 1:])
    starts = torch.maximum(cells[:-1, None], pixels[None, :-1])
    return (ends - starts).clamp_min(0) * n_cells / n_pixels
