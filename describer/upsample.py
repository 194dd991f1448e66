"""Enlarges low-resolution activation maps to the size of the picture.

    fine = upsample(maps, 224)                     # (units, k, 7, 7) -> (units, k, 224, 224)
    theirs = upsample(maps, 224, padding="zeros")  # as the published MILAN masks were made

Both are bilinear with half-pixel centres: the centre of output pixel j lies at (j + 0.5) * h / H - 0.5 in the map.
They differ beyond the outermost centres. "border" repeats the edge, so a constant map stays constant; "zeros" blends
with 0 there, which pulls a constant 1 on 7x7 down to 0.27 in the corners of 224x224.
"""

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

Padding = Literal["border", "zeros"]


def upsample(
    maps: Float[Tensor, "*batch h w"], size: int | tuple[int, int], padding: Padding = "border"
) -> Float[Tensor, "*batch height width"]:
    """The maps at `size` (one side, or height and width) in float32; a smaller size samples, it does not average."""
    height, width = (size, size) if isinstance(size, int) else size
    batch, (h, w) = maps.shape[:-2], maps.shape[-2:]
    flat = maps.reshape(-1, 1, h, w).float()
    if flat.numel() == 0:
        return flat.new_zeros(*batch, height, width)
    if padding == "border":
        fine = functional.interpolate(flat, (height, width), mode="bilinear", align_corners=False)
    else:
        grid = _centres(height, width).to(flat.device).expand(len(flat), -1, -1, -1)
        fine = functional.grid_sample(flat, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
    return fine.reshape(*batch, height, width)


def _centres(height: int, width: int) -> Float[Tensor, "1 height width 2"]:
    """Centres of the output pixels, -1 at the left or upper rim of the map and 1 at the other rim."""
    y = (torch.arange(height) + 0.5) * 2 / height - 1
    x = (torch.arange(width) + 0.5) * 2 / width - 1
    rows, columns = torch.meshgrid(y, x, indexing="ij")
    return torch.stack((columns, rows), -1)[None]  # (1, height, width, 2), x before y
