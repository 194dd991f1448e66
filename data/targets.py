"""The networks whose units are described, each with its own preprocessing.

    target = load_target("torchvision:resnet50")            # also timm:, hf:, diffusers:, torchhub:, PATH.py:FACTORY
    x = target.preprocess(picture)[None]                     # (1, *target.input_shape)
    target.model(x)                                          # in eval mode, no gradients

A factory returns a model, or (model, preprocess, class_names). A generator is a module with `latent_shape` (its
input is standard normal) and `output_range` (least and greatest value of its pixels); it has no preprocess.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from describer.data.zoo import Loaded, fetch, reason
from describer.errors import TargetError


@dataclass(frozen=True, eq=False)
class Target:
    """A network ready to be probed."""

    name: str
    "the source it was loaded from"
    model: nn.Module
    "in eval mode, none of its parameters asks for a gradient"
    preprocess: Callable[[Image.Image], Tensor] | None
    "picture -> (channels, height, width); None for a generator"
    class_names: list[str] | None
    "in the order of the outputs, where known"
    input_shape: tuple[int, ...]
    "shape of one input without the batch axis"
    fingerprint: str
    "sha256 of the source's name, of every weight and of what preprocess does to a fixed picture"
    is_generator: bool
    "draws pictures from latents"
    notes: tuple[str, ...] = ()
    "what had to be assumed, to be shown to the person"


def load_target(source: str, device: str | torch.device = "cpu", pretrained: bool = True) -> Target:
    """The network behind `source` on `device`; without `pretrained` its weights are random. Raises TargetError."""
    loaded = fetch(source, pretrained)
    model = loaded.model.eval().requires_grad_(False)
    latent_shape = getattr(model, "latent_shape", None)
    if latent_shape is None:
        inputs = _checked_inputs(source, loaded)
        shape = tuple(inputs.shape)
    else:
        inputs = None
        shape = _checked_latents(source, model)
    return Target(
        name=source,
        model=model.to(device),
        preprocess=None if latent_shape is not None else loaded.preprocess,
        class_names=loaded.class_names,
        input_shape=shape,
        fingerprint=_fingerprint(source, model, inputs),
        is_generator=latent_shape is not None,
        notes=loaded.notes,
    )


def _test_picture(width: int, height: int) -> Image.Image:
    """Red grows to the right, green downwards, blue is low: every change of order or crop is seen."""
    red = np.broadcast_to(np.linspace(0, 255, width)[None], (height, width))
    green = np.broadcast_to(np.linspace(0, 200, height)[:, None], (height, width))
    return Image.fromarray(np.stack((red, green, np.full((height, width), 30.0)), -1).astype(np.uint8))


def _checked_inputs(source: str, loaded: Loaded) -> Tensor:
    """One preprocessed test picture; TargetError unless two pictures of unlike shape give tensors of one shape."""
    if not callable(loaded.preprocess):
        got = type(loaded.preprocess).__name__
        raise TargetError(f"preprocess of {source} must be callable. Got {got}. Return a function.")
    found = []
    for size in ((331, 257), (193, 389)):
        try:
            found.append(loaded.preprocess(_test_picture(*size)))
        except Exception as fault:
            message = f"preprocess of {source} must take any RGB picture. Got {reason(fault)} for one of {size}"
            raise TargetError(f"{message}. Mend it.") from fault
    wanted = f"preprocess of {source} must return a float tensor (channels, height, width)"
    for x in found:
        if not isinstance(x, Tensor):
            raise TargetError(f"{wanted}. Got {type(x).__name__}. Convert it with torch.from_numpy.")
        if x.ndim != 3 or x.shape[0] not in (1, 3) or not x.is_floating_point():
            todo = "Leave out the batch axis." if x.ndim == 4 else "Put the channels first and scale to floats."
            raise TargetError(f"{wanted}. Got {tuple(x.shape)} of {x.dtype}. {todo}")
    if found[0].shape != found[1].shape:
        shapes = f"{tuple(found[0].shape)} and {tuple(found[1].shape)}"
        raise TargetError(f"{wanted} of one size for every picture. Got {shapes}. Resize or crop to a fixed size.")
    return found[0]


def _checked_latents(source: str, model: nn.Module) -> tuple[int, ...]:
    """The latent's shape; TargetError where it or the output's range is not told rightly."""
    latents, pixels = getattr(model, "latent_shape", ()), getattr(model, "output_range", None)
    try:
        shape = tuple(int(side) for side in latents)
        low, high = (float(end) for end in pixels or ())
    except (TypeError, ValueError):
        shape, low, high = (), 0.0, 0.0
    if not shape or min(shape) < 1 or low >= high:
        message = f"{source} must have latent_shape (sizes) and output_range (low, high)"
        raise TargetError(f"{message}. Got {latents!r} and {pixels!r}. Set both on the generator.")
    return shape


def _fingerprint(source: str, model: nn.Module, inputs: Tensor | None) -> str:
    """sha256; where a file or a folder lies does not count."""
    diffused = source.removeprefix("diffusers:")
    folder = source.removeprefix("hf:") if diffused == source else diffused.partition("#")[0]
    is_local = ".py" in source or Path(folder).is_dir()
    digest = hashlib.sha256((Path(source).name if is_local else source).encode())
    for name, value in model.state_dict().items():
        if isinstance(value, Tensor):
            digest.update(f"{name} {tuple(value.shape)} {value.dtype}".encode())
            digest.update(value.detach().cpu().reshape(-1).contiguous().view(torch.uint8).numpy().data)
    if inputs is not None:  # summed up and rounded: other processors resize a little differently
        rows = [f"{x.mean():.2g} {x.std():.2g}" for x in inputs.double()]
        digest.update(f"{tuple(inputs.shape)} {rows}".encode())
    return digest.hexdigest()
