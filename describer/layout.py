"""Where the units are in a module's output: one rule for maps, tokens and vectors.

    layers = list_layers(model, example)                    # every module whose output the rule accepts
    names = match_layers(["stages.*.blocks.1"], layers)     # * stays within a name, ** crosses dots
    layout = unit_layout(model, "blocks.3", output, (3, 224, 224))
    layout(output)                                          # (batch, units, height, width)

Maps come channels first or last; which, is read from the module's class, else from the aspect of the input, else from
the channels of the module's own weights, else from which axis is the rougher. Tokens lose the ones in front that stand
for no place (CLS, registers) and take the grid of the patch embedding. Vectors are 1x1.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from difflib import get_close_matches
from typing import Any, Literal

from jaxtyping import Float
from torch import Tensor, nn

from describer.errors import TargetError
from describer.hooks import observed
from describer.tokens import token_grid

Kind = Literal["maps", "maps last", "tokens", "vector"]

FIRST = (
    *(nn.modules.conv._ConvNd, nn.modules.batchnorm._BatchNorm, nn.modules.instancenorm._InstanceNorm, nn.GroupNorm),
    *(nn.modules.pooling._MaxPoolNd, nn.modules.pooling._AvgPoolNd, nn.modules.pooling._AdaptiveAvgPoolNd),
    *(nn.modules.pooling._AdaptiveMaxPoolNd, nn.LocalResponseNorm, nn.PixelShuffle, nn.Upsample),
)
FIRST_BY_NAME = ("LayerNorm2d", "LayerNormExp2d", "LayerNorm2dFp32", "SimpleNorm2d", "RmsNorm2d")
"Classes of timm and torchvision that derive from LayerNorm and yet take channels first."


@dataclass(frozen=True)
class UnitLayout:
    """Turns one module's output into (batch, units, height, width)."""

    kind: Kind
    "how the output is laid out"
    units: int
    "number of units"
    height: int
    "rows of a unit's map"
    width: int
    "columns of a unit's map"
    prefix: int = 0
    "tokens in front that stand for no place"

    def __call__(self, output: Any) -> Float[Tensor, "batch units height width"]:
        """A view of the output; TargetError where its shape is not the one this layout was made for."""
        x = first_tensor(output)
        if x is not None and self.kind == "maps" and x.ndim == 4:
            found = x
        elif x is not None and self.kind == "maps last" and x.ndim == 4:
            found = x.permute(0, 3, 1, 2)
        elif x is not None and self.kind == "tokens" and x.ndim == 3 and x.shape[1] == self._n_tokens:
            found = x[:, self.prefix :].transpose(1, 2).unflatten(2, (self.height, self.width))
        elif x is not None and self.kind == "vector" and x.ndim == 2:
            found = x[:, :, None, None]
        else:
            raise self._unlike(x)
        if found.shape[1:] != (self.units, self.height, self.width):
            raise self._unlike(x)
        return found

    @property
    def _n_tokens(self) -> int:
        return self.prefix + self.height * self.width

    def _unlike(self, x: Tensor | None) -> TargetError:
        got = "no tensor" if x is None else f"shape {tuple(x.shape)}"
        wanted = f"{self.units} units of {self.height}x{self.width}"
        message = f"A layer must give outputs of one shape, {wanted} ({self.kind}). Got {got}"
        return TargetError(f"{message}. Let preprocess bring every image to one size.")


@dataclass(frozen=True)
class LayerInfo:
    """A module that can be probed."""

    name: str
    "dotted name"
    kind: Kind
    "how its output is laid out"
    units: int
    "number of units"
    height: int
    "rows of a unit's map"
    width: int
    "columns of a unit's map"
    module: str = ""
    "class of the module"


def first_tensor(output: Any) -> Tensor | None:
    """The tensor itself, `last_hidden_state`, or the first floating tensor of a tuple, mapping or dataclass."""
    if isinstance(output, Tensor):
        return output if output.is_floating_point() else None
    if isinstance(output, Mapping):
        values: list[Any] = [output.get("last_hidden_state"), *output.values()]
    elif isinstance(output, tuple | list):
        values = list(output)
    elif is_dataclass(output):
        values = [getattr(output, field.name) for field in fields(output)]
    else:
        return None
    return next((x for x in map(first_tensor, values) if x is not None), None)


def unit_layout(model: nn.Module, layer_name: str, output: Any, input_shape: Sequence[int]) -> UnitLayout:
    """The layout of a module's output for inputs of `input_shape` (no batch axis); TargetError where there is none."""
    x = first_tensor(output)
    layout = None if x is None else _accepted(model, layer_name, x, tuple(input_shape))
    if layout is None:
        got = "no tensor" if x is None else f"shape {tuple(x.shape)}"
        message = f"Layer {layer_name!r} must give maps, tokens on a known grid or vectors. Got {got}"
        raise TargetError(f"{message}. Choose another layer; `describer layers` lists them.")
    return layout


def list_layers(model: nn.Module, example_input: Float[Tensor, "batch *input"]) -> list[LayerInfo]:
    """The modules that can be probed, as the model defines them; runs the model once, on two inputs at least."""
    if len(example_input) == 1:  # windows and heads in the batch axis are told apart from the batch
        example_input = example_input.repeat(2, *[1] * (example_input.ndim - 1))
    n_batch, input_shape = len(example_input), tuple(example_input.shape[1:])
    layouts: dict[str, list[UnitLayout | None]] = {}

    def see(name: str, output: Any) -> None:
        x = first_tensor(output)
        fits = x is not None and x.shape[:1] == (n_batch,)
        layouts.setdefault(name, []).append(_accepted(model, name, x, input_shape) if x is not None and fits else None)

    names = [name for name, _ in model.named_modules() if name]
    with observed(model, names, see):
        run(model, example_input)
    return [
        LayerInfo(name, each.kind, each.units, each.height, each.width, type(model.get_submodule(name)).__name__)
        for name in names
        for each in layouts.get(name, ())
        if each is not None and len(layouts[name]) == 1  # run twice, a module has no output of its own
    ]


def run(model: nn.Module, inputs: Tensor) -> Any:
    """The model's output; TargetError where it does not take the inputs."""
    try:
        return model(inputs)
    except (RuntimeError, ValueError, TypeError, AssertionError, IndexError) as fault:
        lines = str(fault).splitlines() or [""]
        message = f"The model must take inputs of shape {tuple(inputs.shape)}. Got {type(fault).__name__}: {lines[0]}"
        raise TargetError(f"{message}. Check that preprocess or latent_shape is the model's own.") from fault


def match_layers(patterns: Sequence[str], layers: Sequence[LayerInfo]) -> list[str]:
    """Names that any pattern fits, in the order of `layers`; TargetError for a pattern that fits none."""
    names = [layer.name for layer in layers]
    chosen: set[str] = set()
    for pattern in patterns:
        fitting = {pattern} & set(names) or {name for name in names if _glob(pattern).fullmatch(name)}
        if not fitting:
            near = get_close_matches(pattern, names, 3, 0.4) or names[:5]
            message = f"A layer must be one of the model's {len(names)} or a pattern of them. Got {pattern!r}"
            raise TargetError(f"{message}. The nearest: {', '.join(near)}.")
        chosen |= fitting
    return [name for name in names if name in chosen]


def _glob(pattern: str) -> re.Pattern[str]:
    """* and ? stay between dots, ** crosses them, [ab] is one of a and b."""
    parts = {"**": ".*", "*": "[^.]*", "?": "[^.]"}
    pieces = re.split(r"(\*\*|\*|\?|\[[^\]]+\])", pattern)
    return re.compile("".join(parts.get(p) or (p if re.fullmatch(r"\[.+\]", p) else re.escape(p)) for p in pieces))


def _accepted(model: nn.Module, name: str, x: Tensor, input_shape: tuple[int, ...]) -> UnitLayout | None:
    """The layout of an output, None where the rule has no answer."""
    if min(x.shape, default=0) == 0:
        return None
    if x.ndim == 2:
        return UnitLayout("vector", x.shape[1], 1, 1)
    if x.ndim == 3 and len(input_shape) == 3:
        found = token_grid(model, x.shape[1], input_shape)
        return UnitLayout("tokens", x.shape[2], *found.grid, prefix=found.prefix) if found else None
    if x.ndim == 4 and not _is_attention(model, name, x, input_shape):
        return _maps(model, model.get_submodule(name), x, input_shape)
    return None


def _is_attention(model: nn.Module, name: str, x: Tensor, input_shape: tuple[int, ...]) -> bool:
    """Whether (batch, heads, tokens, tokens or channels) came from inside an attention."""
    if len(input_shape) == 3 and token_grid(model, x.shape[2], input_shape, flat=True) is not None:
        return True
    parents = name.split(".")
    holders = [model.get_submodule(".".join(parents[:depth])) for depth in range(1, len(parents))]
    return any(getattr(holder, "num_heads", None) in (x.shape[1], x.shape[3]) for holder in holders)


def _maps(model: nn.Module, module: nn.Module, x: Tensor, input_shape: tuple[int, ...]) -> UnitLayout | None:
    """Maps, channels first or last."""
    _, a, b, c = x.shape
    first, last = UnitLayout("maps", a, b, c), UnitLayout("maps last", c, a, b)
    is_first = isinstance(module, FIRST) or type(module).__name__ in FIRST_BY_NAME
    is_last = isinstance(module, nn.Linear | nn.LayerNorm) and not is_first
    if is_first or (len(input_shape) != 3 and not is_last):  # a latent has no aspect
        return first
    readings = [reading for reading in (last, first)[: 1 if is_last else 2] if _fits(reading, input_shape)]
    if len(readings) < 2:
        return readings[0] if readings else None
    channels = _own_channels(module)
    if a != c and channels in (a, c):
        return first if channels == a else last
    if a != c:
        return last if str(getattr(model, "output_fmt", "")).endswith("NHWC") else first
    return last if _roughness(x, 1) < _roughness(x, 3) else first


def _fits(layout: UnitLayout, input_shape: tuple[int, ...]) -> bool:
    """Whether maps have the aspect of the input: exactly for squares, else with each side off by one at most."""
    if len(input_shape) != 3:
        return True
    height, width = input_shape[-2:]
    slack = math.log1p(1 / layout.height) + math.log1p(1 / layout.width)
    off = abs(math.log(layout.height / height) - math.log(layout.width / width))
    return off <= (0 if height == width else slack) and layout.height <= height


def _roughness(x: Tensor, axis: int) -> float:
    """Mean step between neighbours along an axis: units differ more than places do."""
    return x.diff(dim=axis).abs().float().mean().item()


def _own_channels(module: nn.Module) -> int | None:
    """Channels of the last layer with weights inside the module."""
    found = None
    for part in module.modules():
        if isinstance(part, nn.modules.conv._ConvNd):
            found = part.out_channels
        elif isinstance(part, nn.Linear):
            found = part.out_features
        elif isinstance(part, nn.modules.batchnorm._BatchNorm):
            found = part.num_features
    return found
