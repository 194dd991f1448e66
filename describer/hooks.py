"""Looks at what modules give while a model runs, and leaves the model as it was.

    with observed(model, ["layer3", "layer4"], see):
        model(x)                   # calls see("layer3", output), then see("layer4", output)

Inside, the model is in eval mode and no gradients are kept. Afterwards, also after an exception, the hooks are gone,
every module is back in its own mode and the random numbers go on as if nothing had happened.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn


@contextmanager
def observed(model: nn.Module, names: Sequence[str], see: Callable[[str, Any], None]) -> Iterator[None]:
    """Calls see(name, output) after each run of the named modules; `see` must not change the output.

    What it keeps it must copy, as the next module may work in place. What `see` raises is raised in the end, whatever
    the model's code has made of it.
    """
    modes = [(module, module.training) for module in model.modules()]
    handles = []
    faults: list[Exception] = []
    with torch.random.fork_rng(_devices(model)), torch.inference_mode():
        try:
            for name in names:
                handles.append(model.get_submodule(name).register_forward_hook(_reporter(name, see, faults)))
            model.eval()
            yield
        except Exception as fault:
            if faults and fault is not faults[0]:
                raise faults[0] from None
            raise
        finally:
            for handle in handles:
                handle.remove()
            for module, training in modes:
                module.training = training


def _reporter(
    name: str, see: Callable[[str, Any], None], faults: list[Exception]
) -> Callable[[nn.Module, Any, Any], None]:
    def report(_module: nn.Module, _inputs: Any, output: Any) -> None:
        try:
            see(name, output)
        except Exception as fault:
            faults.append(fault)
            raise

    return report


def _devices(model: nn.Module) -> list[torch.device]:
    """The accelerators that hold the model's parameters."""
    return sorted({p.device for p in model.parameters() if p.device.type == "cuda"}, key=str)
