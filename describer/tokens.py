"""Which tokens of a transformer stand for which place of the image.

    found = token_grid(model, n_tokens=201, input_shape=(3, 224, 224))
    found.prefix                   # 5: the CLS token and four registers come first
    found.grid                     # (14, 14): rows and columns of the rest, row by row

Published tools have shipped maps that were shifted by one token; here the number of tokens must come out exactly.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from torch import nn

SCRAMBLED = ("Hiera",)
"Classes whose tokens are not in the order of their places."
PREFIX = re.compile(r"(^|\.)(cls|class|dist|distillation|reg|register)_(tokens?|embedding)$")


@dataclass(frozen=True)
class TokenGrid:
    """How a sequence of tokens lies on the image."""

    prefix: int
    "tokens in front that stand for no place"
    grid: tuple[int, int]
    "rows and columns of the others"


def token_grid(model: nn.Module, n_tokens: int, input_shape: tuple[int, ...], flat: bool = False) -> TokenGrid | None:
    """The grid of a sequence of n_tokens, None where the number does not come out; `flat`: only of the patches."""
    if any(type(part).__name__.startswith(SCRAMBLED) for part in model.modules()):
        return None
    prefix, patches = prefix_tokens(model), patch_grid(model, input_shape)
    for skipped in (prefix, 0):
        if patches and n_tokens == skipped + patches[0] * patches[1]:
            return TokenGrid(skipped, patches)
    if flat or (prefix and patches):
        return None
    for grid in _halvings(input_shape[-2:]):
        if n_tokens == prefix + grid[0] * grid[1]:
            return TokenGrid(prefix, grid)
    return None


def prefix_tokens(model: nn.Module) -> int:
    """Tokens in front that stand for no place: what the model says (timm), else its CLS and register parameters."""
    said = getattr(model, "num_prefix_tokens", None)
    if isinstance(said, int):
        return said
    found = [value for name, value in model.named_parameters() if PREFIX.search(name)]
    return sum(value.shape[-2] if value.ndim > 1 else 1 for value in found)


def patch_grid(model: nn.Module, input_shape: tuple[int, ...]) -> tuple[int, int] | None:
    """Rows and columns of patches: of the first convolution if it cuts patches, else of the model's patch_size."""
    step: Any = None
    first = (m for m in model.modules() if isinstance(m, nn.Conv2d) and m.in_channels == input_shape[0])
    convolution = next(first, None)
    if convolution is None:
        step = getattr(getattr(model, "config", model), "patch_size", None)
    elif convolution.kernel_size == convolution.stride and max(convolution.stride) > 1:
        step = convolution.stride
    if isinstance(step, int):
        step = (step, step)
    if not isinstance(step, tuple | list):
        return None
    rows, columns = (side // int(each) for side, each in zip(input_shape[-2:], step, strict=True))
    return (rows, columns) if rows and columns else None


def _halvings(size: tuple[int, ...]) -> Iterator[tuple[int, int]]:
    """Grids of the input halved again and again, each time rounded up."""
    for step in range(1, max(size).bit_length()):
        yield -(-size[0] // 2**step), -(-size[1] // 2**step)
