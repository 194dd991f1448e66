"""Changes what units do while a model runs, and leaves the model as it was.

    edits = [Edit("layer4", (3, 5), "ablate"), Edit("layer2", (7,), "scale", 4.0, where=mask)]
    with edited(model, edits):
        model(x)                       # unit 7 of layer2 is four times itself under the mask, then layer4 lacks 3 and 5
    model(x)                           # as before, also where the body raised

`where` is a mask in image coordinates, one for all samples or one each; soft values mix. Edits of one layer act in
order, each on what the last has left, and contexts nest. Gradients flow through. Any layout of units will do.
Compiled modules run uncompiled inside; data-parallel ones are edited in every replica.
As gandissect's `edit_layer` (Bau et al., ICLR 2019): out = x (1 - mask) + value mask.
"""

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, fields, is_dataclass
from difflib import get_close_matches
from typing import Any, Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor, nn

from describer.area import laid
from describer.errors import TargetError
from describer.layout import UnitLayout, first_tensor, unit_layout

Kind = Literal["ablate", "set", "scale", "raise", "cap", "replace"]
ROUNDING = 1e-3
"By which a mask may exceed 0..1: what resizing leaves, in half precision too."


@dataclass(frozen=True, eq=False)
class Edit:
    """One change of some units of one layer."""

    layer: str
    "dotted name of the module"
    units: tuple[int, ...]
    "indices of the units"
    kind: Kind
    "ablate: 0; set: value; scale: times value; raise: at least value; cap: at most value; replace: maps in value"
    value: float | tuple[float, ...] | Tensor = 0.0
    "one for all units, one a unit, or for replace maps ([batch,] units, h, w) of the layer's own h and w"
    where: Tensor | None = None
    "mask in image coordinates ([batch,] height, width), 0..1; None: everywhere"

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise TargetError(f"kind must be {', '.join(get_args(Kind))}. Got {self.kind!r}. Correct it.")
        if not self.units or min(self.units) < 0 or len(set(self.units)) < len(self.units):
            raise TargetError(f"units must be some different indices from 0. Got {self.units}. Correct them.")
        value = torch.as_tensor(self.value)
        is_maps = value.ndim in (3, 4)
        if (self.kind == "replace") != is_maps:
            raise TargetError(f"value must be maps for replace, else numbers. Got others for {self.kind!r}. Mend it.")
        n_values = value.shape[-3] if is_maps else value.numel()
        if n_values not in ({len(self.units)} if is_maps else {1, len(self.units)}):
            raise TargetError(f"value must be one for all or one a unit ({len(self.units)}). Got {n_values}. Mend it.")
        if self.where is not None:
            _check_mask(self.where)

    def as_json(self) -> dict[str, Any]:
        """What `from_json` makes the same edit of."""
        told = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value.tolist() if isinstance(value, Tensor) else value for name, value in told.items()}

    @classmethod
    def from_json(cls, told: Mapping[str, Any]) -> "Edit":
        """The edit that `as_json` told of."""
        value, where = told["value"], told["where"]
        if isinstance(value, list):
            value = torch.tensor(value) if told["kind"] == "replace" else tuple(value)
        units = tuple(told["units"])
        return cls(told["layer"], units, told["kind"], value, None if where is None else torch.tensor(where))


def _check_mask(where: Tensor) -> None:
    got = f"{tuple(where.shape)} of {where.dtype}"
    if where.ndim not in (2, 3) or not where.is_floating_point() or not where.numel():
        raise TargetError(f"where must be floats ([batch,] height, width) in 0..1. Got {got}. Convert it.")
    low, high = where.min(), where.max()  # NaN where any is
    if not bool((low >= -ROUNDING) & (high <= 1 + ROUNDING)):
        raise TargetError(f"where must hold numbers in 0..1. Got {low:g} to {high:g}. Scale it.")


@contextmanager
def edited(model: nn.Module, edits: Sequence[Edit], input_shape: Sequence[int] | None = None) -> Iterator[nn.Module]:
    """Inside, the model runs with the edits; TargetError for a layer it has not.

    `input_shape` of one sample is read from the first input where it is not given; it decides how tokens and maps are
    laid out. Raises TargetError when the model runs, for units that a layer has not and masks of another batch.
    """
    plain = _plain(model)
    by_layer: dict[str, list[Edit]] = {}
    for edit in edits:
        by_layer.setdefault(edit.layer, []).append(edit)
    names = [name for name, _ in plain.named_modules()]
    for layer in by_layer:
        if layer not in names:
            near = ", ".join(get_close_matches(layer, names, 3, 0.0))
            raise TargetError(f"An edit must be of a layer of the model. Got {layer!r}. The nearest: {near}.")
    seen = _Shape(None if input_shape is None else tuple(input_shape))
    with ExitStack() as stack:
        if _is_compiled(model):  # what was compiled without the hooks would run without them
            stack.enter_context(torch.compiler.set_stance("force_eager"))  # type: ignore[no-untyped-call]
        stack.callback(plain.register_forward_pre_hook(seen.see, with_kwargs=True).remove)
        for layer, own in by_layer.items():
            hook = _editor(plain, layer, own, seen)
            stack.callback(plain.get_submodule(layer).register_forward_hook(hook).remove)
        yield model


class _Shape:
    """The shape of one sample of the model's input."""

    def __init__(self, shape: tuple[int, ...] | None) -> None:
        self.shape = shape

    def see(self, _module: nn.Module, inputs: tuple[Any, ...], named: dict[str, Any]) -> None:
        """Keeps the shape of the first tensor."""
        if self.shape is None:
            found = first_tensor((*inputs, *named.values()))
            self.shape = None if found is None else tuple(found.shape[1:])


def _plain(model: nn.Module) -> nn.Module:
    """The module inside wrappers: compiled, data-parallel."""
    parallel = (nn.DataParallel, nn.parallel.DistributedDataParallel)
    while isinstance(model, parallel) or "_orig_mod" in model._modules:
        model = model.get_submodule("module" if isinstance(model, parallel) else "_orig_mod")
    return model


def _is_compiled(model: nn.Module) -> bool:
    return any("_orig_mod" in m._modules or m._compiled_call_impl is not None for m in model.modules())


def _editor(model: nn.Module, layer: str, edits: Sequence[Edit], seen: _Shape) -> Callable[[nn.Module, Any, Any], Any]:
    def change(_module: nn.Module, _inputs: Any, output: Any) -> Any:
        layout = unit_layout(model, layer, output, seen.shape or ())
        x = first_tensor(output)
        assert x is not None
        maps = layout(output)
        for edit in edits:
            maps = apply_edit(maps, edit)
        return _put(output, x, _restored(layout, x, maps))

    return change


def apply_edit(
    maps: Float[Tensor, "batch units height width"], edit: Edit
) -> Float[Tensor, "batch units height width"]:
    """New maps in which the edit's units are changed; nothing else is, and outside `where` not by a bit."""
    n_units = maps.shape[1]
    if max(edit.units) >= n_units:
        message = f"Units of {edit.layer} must be below {n_units}. Got {max(edit.units)}"
        raise TargetError(f"{message}. `describer layers` lists how many a layer has.")
    units = torch.tensor(edit.units, device=maps.device)
    old = maps[:, units]  # (batch, chosen, height, width)
    new = _changed(old, edit)
    if edit.where is not None:
        if edit.where.ndim == 3 and len(edit.where) != len(maps):
            message = f"where must have one mask a sample ({len(maps)}) or one for all. Got {len(edit.where)}"
            raise TargetError(f"{message}. Run the model on as many samples as there are masks, on one device.")
        share = laid(edit.where.double(), (maps.shape[2], maps.shape[3])).to(old)
        share = share[None, None] if edit.where.ndim == 2 else share[:, None]  # (batch or 1, 1, height, width)
        new = torch.where(share > 0, torch.where(share < 1, old + share * (new - old), new), old)
    return maps.index_copy(1, units, new)


def _changed(old: Float[Tensor, "batch chosen h w"], edit: Edit) -> Float[Tensor, "batch chosen h w"]:
    if edit.kind == "ablate":
        return torch.zeros_like(old)
    value = torch.as_tensor(edit.value).to(old)
    if edit.kind == "replace":
        if value.shape[-3:] != old.shape[1:] or (value.ndim == 4 and len(value) != len(old)):
            message = f"Maps of {edit.layer} must be ([batch,] units, height, width) = {tuple(old.shape)}"
            raise TargetError(f"{message}. Got {tuple(value.shape)}. Lay them on the layer's grid.")
        return value.expand_as(old).clone()
    value = value.reshape(-1, 1, 1)
    if edit.kind == "scale":
        return old * value
    if edit.kind == "set":
        return value.expand_as(old).clone()
    return torch.maximum(old, value) if edit.kind == "raise" else torch.minimum(old, value)


def _restored(layout: UnitLayout, x: Tensor, maps: Float[Tensor, "batch units h w"]) -> Tensor:
    """The maps as the module lays them out; tokens that stand for no place are kept."""
    if layout.kind == "maps":
        return maps
    if layout.kind == "maps last":
        return maps.permute(0, 2, 3, 1)  # (batch, height, width, units)
    if layout.kind == "tokens":
        return torch.cat([x[:, : layout.prefix], maps.flatten(2).transpose(1, 2)], 1)  # (batch, tokens, units)
    return maps.flatten(1)  # (batch, units)


def _put(output: Any, old: Tensor, new: Tensor) -> Any:
    """The output with one tensor exchanged wherever it stands; what came is not changed."""
    if output is old:
        return new
    if isinstance(output, Mapping):
        copied: Any = copy.copy(output)
        for key, value in output.items():
            copied[key] = _put(value, old, new)
        return copied
    if isinstance(output, tuple | list):
        parts = [_put(part, old, new) for part in output]
        return type(output)(*parts) if isinstance(output, tuple) and _is_named(output) else type(output)(parts)
    if is_dataclass(output) and not isinstance(output, type):
        copied = copy.copy(output)
        for field in fields(output):
            object.__setattr__(copied, field.name, _put(getattr(output, field.name), old, new))
        return copied
    return output


def _is_named(output: tuple[Any, ...]) -> bool:
    return bool(getattr(output, "_fields", ()))
