"""A second device without a second device: it computes on the CPU, and refuses what CUDA refuses.

    register()                                      # for good: do it in a process that does nothing else
    model.to("elsewhere")(images.to("elsewhere")).cpu()

A tensor of it holds a CPU tensor that nobody else sees. Operations raise where tensors of both devices meet, but for
what CUDA allows: 0-dimensional CPU tensors among pointwise operands, indices on the CPU, copies. So do `.numpy()`, a
CPU's generator and matrix products of integers.
"""

from collections.abc import Iterator
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import return_and_correct_aliasing
from torch.utils._pytree import tree_leaves, tree_map_only
from torch.utils.backend_registration import _setup_privateuseone_for_python_backend

NAME = "elsewhere"
ATEN = torch.ops.aten
COPIES = {ATEN.copy_.default, ATEN._copy_from.default}
INDEXED = {ATEN.index.Tensor, ATEN.index_put_.default, ATEN.index_put.default, ATEN._index_put_impl_.default}
FILLED = {ATEN.masked_fill.Tensor, ATEN.masked_fill_.Tensor, ATEN.fill.Tensor, ATEN.fill_.Tensor}
PACK = ATEN._pack_padded_sequence.default
"Its lengths and sizes of batches are the CPU's."
PRODUCTS = {ATEN.mm, ATEN.bmm, ATEN.mv, ATEN.dot, ATEN.addmm, ATEN.baddbmm, ATEN.addmv, ATEN.convolution}
"What CUDA does for floats only."


class SecondTensor(Tensor):
    """A tensor of the second device: sizes of its own, values in `held`."""

    held: Tensor
    __torch_function__ = torch._C._disabled_torch_function_impl

    @staticmethod
    def __new__(cls, held: Tensor) -> "SecondTensor":
        layout = {"strides": held.stride(), "storage_offset": held.storage_offset(), "dtype": held.dtype}
        with torch.inference_mode(held.is_inference()):
            return Tensor._make_wrapper_subclass(cls, held.shape, **layout, device=torch.device(NAME, 0))

    def __init__(self, held: Tensor) -> None:
        self.held = held

    @classmethod
    def __torch_dispatch__(cls, op: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        parts = op.decompose(*args, **kwargs)  # else the operations inside would not be looked at in inference mode
        if parts is not NotImplemented:
            return parts
        refuse(op, args, kwargs)
        found = return_and_correct_aliasing(op, args, kwargs, computed(op, args, kwargs))
        for each in tree_leaves((args, found)):
            if isinstance(each, cls):
                assert (each.shape, each.stride()) == (each.held.shape, each.held.stride()), f"{op} has moved a tensor"
        return found

    def numpy(self, *, force: bool = False) -> Any:
        """As CUDA's: only by force."""
        if force:
            return self.detach().cpu().numpy()
        raise TypeError(f"can't convert {self.device} device type tensor to numpy. Use Tensor.cpu() first.")

    def tolist(self) -> Any:
        """As CUDA's: by way of the CPU."""
        return self.detach().cpu().tolist()

    def __format__(self, form: str) -> str:
        return format(self.item(), form)

    def __repr__(self, **_: Any) -> str:
        return f"SecondTensor({tuple(self.shape)}, {self.dtype})"


def computed(op: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """The operation, done by the CPU; what it makes is of the second device unless it is asked for on another."""
    place = kwargs.get("device")
    at = {} if place is None else {"device": "cpu"}
    args, kwargs = tree_map_only(SecondTensor, lambda each: each.held, (args, kwargs))
    found = op(*args, **kwargs | at)
    if op is PACK:
        return SecondTensor(found[0]), found[1]
    return tree_map_only(Tensor, SecondTensor, found) if place is None or torch.device(place).type == NAME else found


def refuse(op: Any, args: Any, kwargs: dict[str, Any]) -> None:
    """RuntimeError where CUDA would raise one."""
    looked_at = args[:1] if op is PACK else (args[0], *args[2:3]) if op in INDEXED else (args, kwargs)
    given = [each for each in tree_leaves(looked_at) if isinstance(each, Tensor)]
    strange = [each for each in given if not isinstance(each, SecondTensor)]
    if op in INDEXED | FILLED or torch.Tag.pointwise in op.tags:
        written = given[0] if op._schema.is_mutable or op in INDEXED else None
        strange = [each for each in strange if each.ndim or each is written]
    if strange and op not in COPIES:
        shapes = [tuple(each.shape) for each in strange]
        raise RuntimeError(f"Expected all tensors to be on the same device. Got {shapes} on the CPU for {op}.")
    if kwargs.get("generator") is not None:
        raise RuntimeError(f"Expected a {NAME!r} device type for generator. Got one of the CPU for {op}.")
    if op.overloadpacket in PRODUCTS and not (given[0].is_floating_point() or given[0].is_complex()):
        raise RuntimeError(f"{op} is not implemented for {given[0].dtype}.")


def factories() -> Iterator[Any]:
    """Every operation that makes a tensor from none."""
    for name in torch._C._dispatch_get_all_op_names():
        space, _, rest = name.partition("::")
        if space == "aten" and torch._C._dispatch_has_kernel_for_dispatch_key(name, "BackendSelect"):
            packet, _, overload = rest.partition(".")
            op = getattr(getattr(ATEN, packet), overload or "default")
            if not any("Tensor" in str(each.type) for each in op._schema.arguments):
                yield op


class Module:
    """What `torch.elsewhere` has to answer."""

    def is_available(self) -> bool:
        return True

    def is_initialized(self) -> bool:
        return True

    def _is_in_bad_fork(self) -> bool:
        return False

    def device_count(self) -> int:
        return 1

    def current_device(self) -> int:
        return 0

    def get_amp_supported_dtype(self) -> list[torch.dtype]:
        return [torch.bfloat16]

    def manual_seed_all(self, seed: int) -> None:
        """Its random numbers are the CPU's."""


KEPT = torch.library.Library("aten", "IMPL")
"Registered as long as it lives."


def register() -> None:
    """Makes the device known to this process."""
    _setup_privateuseone_for_python_backend(NAME, backend_module=Module())
    for op in factories():
        KEPT.impl(op, partial(made, op), "PrivateUse1")
    KEPT.impl("_copy_from", copied, "PrivateUse1")


def made(op: Any, *args: Any, **kwargs: Any) -> SecondTensor:
    """What a factory makes."""
    refuse(op, args, kwargs)
    return computed(op, args, kwargs)


def copied(source: Tensor, target: Tensor, non_blocking: bool = False) -> Tensor:
    """The target with the source's values: what torch.tensor asks for."""
    computed(ATEN.copy_.default, (target, source), {})
    return target
