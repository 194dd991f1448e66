"""Where target models come from: one function for every prefix of a source, all answering with a Loaded.

    loaded = fetch("timm:convnext_atto", pretrained=True)
    loaded.model, loaded.preprocess, loaded.class_names, loaded.notes

Prefixes: torchvision, timm, hf (hub name or local folder), diffusers (the same), torchhub (a repository's GAN), carried
(shipped with the package), or PATH.py:FACTORY. Weights of the first five load as plain tensors only (safetensors, or
torch.load with weights_only).
"""

import importlib
import importlib.util
import inspect
import os
import re
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from types import ModuleType
from typing import Any

from PIL.Image import Image
from torch import Tensor, nn

from describer.errors import DescriberError, TargetError

ANSI = re.compile(r"\x1b\[[0-9;]*m")
Preprocess = Callable[[Image], Tensor]
NO_PREPROCESS = (
    "The factory gave no preprocess: images are prepared as for ImageNet (256, centre 224, its mean and spread)."
)


@dataclass(frozen=True)
class Loaded:
    """What a source gave, unchecked."""

    model: Any
    preprocess: Any
    class_names: list[str] | None = None
    notes: tuple[str, ...] = ()


def fetch(source: str, pretrained: bool) -> Loaded:
    """The model behind `source`; TargetError in one sentence for whatever goes wrong."""
    prefix, _, name = source.partition(":")
    if prefix in _SOURCES and name:
        with _plain_tensors_only():
            return _SOURCES[prefix](name, pretrained)
    if ".py" in source:
        return _from_file(source)
    raise TargetError(
        f"A model must be torchvision:NAME, timm:NAME, hf:NAME_OR_FOLDER, "
        f"diffusers:NAME_OR_FOLDER, torchhub:REPOSITORY#ENTRY, carried:NAME or PATH.py:FACTORY. "
        f"Got {source!r}. Add the prefix{_or_nearest(source, [f'{key}:' for key in _SOURCES])}."
    )


def runs_code(source: str) -> bool:
    """Whether loading runs code that comes with the model: for those only a person decides, never an atlas."""
    return ".py" in source or source.startswith("torchhub:")


def reason(fault: BaseException) -> str:
    """An exception in one line."""
    lines = [line.strip() for line in ANSI.sub("", str(fault)).splitlines() if line.strip()]
    return f"{type(fault).__name__}: {lines[0].rstrip('.')[:200]}" if lines else type(fault).__name__


def imagenet_preprocess() -> Callable[[Image], Tensor]:
    """What most networks trained on ImageNet expect."""
    from torchvision.transforms._presets import ImageClassification

    return ImageClassification(crop_size=224)


def _from_torchvision(name: str, pretrained: bool) -> Loaded:
    from torchvision import models

    names = models.list_models()
    if name.lower() not in names:
        raise _unknown("torchvision", name, names)
    weights = models.get_model_weights(name).DEFAULT
    with _told("torchvision", name), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The default weight initialization")  # of inception_v3 and googlenet
        model = models.get_model(name, weights=weights if pretrained else None)
    return Loaded(model, weights.transforms(), list(weights.meta.get("categories") or []) or None)


def _from_timm(name: str, pretrained: bool) -> Loaded:
    import timm
    from timm.data import ImageNetInfo, create_transform, infer_imagenet_subset, resolve_data_config

    if not name.startswith(("hf_hub:", "hf-hub:", "local-dir:")) and not timm.is_model(name):
        raise _unknown("timm", name, timm.list_models())
    with _told("timm", name):
        model = timm.create_model(name, pretrained=pretrained)
    preprocess = create_transform(**resolve_data_config({}, model=model), is_training=False)
    subset = infer_imagenet_subset(model)
    return Loaded(model, preprocess, list(ImageNetInfo(subset).label_descriptions()) if subset else None)


def _from_hub(name: str, pretrained: bool) -> Loaded:
    import torch
    from transformers import AutoConfig, AutoImageProcessor, AutoModel, AutoModelForImageClassification

    with _told("hf", name):
        config = AutoConfig.from_pretrained(name)
        processor = AutoImageProcessor.from_pretrained(name)
        classifies = any("ForImageClassification" in kind for kind in config.architectures or [])
        auto = AutoModelForImageClassification if classifies else AutoModel
        model = auto.from_pretrained(name, dtype=torch.float32) if pretrained else auto.from_config(config)
    if getattr(config, "vision_config", None) is not None:  # image tower of CLIP, SigLIP and the like
        model = model.vision_model
    names = [config.id2label[i] for i in range(len(config.id2label))] if classifies else None
    return Loaded(model, HubPreprocess(processor), names)


class HubPreprocess:
    """An image processor of the hub as a function from one picture to one tensor."""

    def __init__(self, processor: Any):
        self.processor = processor

    def __call__(self, image: Image) -> Tensor:
        """The picture as the model's input, (channels, height, width)."""
        return self.processor(images=image, return_tensors="pt")["pixel_values"][0]


def _from_diffusers(name: str, pretrained: bool) -> Loaded:
    with _told("diffusers", name):
        from describer.data.diffusion import STEPS, load_diffusion

        return Loaded(load_diffusion(name, pretrained), None, None, (f"Pictures are drawn in {STEPS} steps of DDIM.",))


def _from_torchhub(name: str, pretrained: bool) -> Loaded:
    with _told("torchhub", name):
        from describer.data.hubgan import load_hub_generator

        return _unpacked(load_hub_generator(name, pretrained), f"torchhub:{name}")


def _from_package(name: str, pretrained: bool) -> Loaded:
    try:
        targets = importlib.import_module("describer.weights").TARGETS
    except (ImportError, AttributeError):
        targets = {}
    if name not in targets:
        raise _unknown("carried", name, targets)
    return _unpacked(targets[name](), f"carried:{name}")


def _from_file(source: str) -> Loaded:
    return _unpacked(from_file(source), source)


def from_file(source: str) -> Any:
    """What the factory of PATH.py:FACTORY gave, unchecked; TargetError where it cannot be called."""
    path, _, factory = source.rpartition(":")
    if not path.endswith(".py"):
        path, factory = source, ""
    if not Path(path).is_file():
        raise TargetError(f"A model's file must exist. Got {path}. Correct the path.")
    with _importable(Path(path).resolve().parent):
        module = _imported(Path(path).resolve())
        made = {name for name, thing in vars(module).items() if inspect.isfunction(thing) and not name.startswith("_")}
        function = getattr(module, factory, None) if factory else None
        if not callable(function):
            raise _unknown(path, factory, made)
        try:
            gave = function()
        except DescriberError:
            raise
        except Exception as fault:
            message = f"{path}:{factory} must return a model. Got {reason(fault)}. Call it by hand to see where."
            raise TargetError(message) from fault
    return gave


def _unpacked(gave: Any, source: str) -> Loaded:
    """A factory's answer: model, (model, preprocess) or (model, preprocess, class_names)."""
    parts = gave if isinstance(gave, tuple) else (gave,)
    if not 1 <= len(parts) <= 3 or not isinstance(parts[0], nn.Module):
        kinds = ", ".join(type(part).__name__ for part in parts)
        message = f"{source} must return a model or (model, preprocess, class_names). Got ({kinds})"
        raise TargetError(f"{message}. Change what it returns.")
    model, preprocess, names = (*parts, None, None)[:3]
    notes: tuple[str, ...] = ()
    if preprocess is None and getattr(model, "latent_shape", None) is None:
        preprocess, notes = imagenet_preprocess(), (NO_PREPROCESS,)
    return Loaded(model, preprocess, list(names) if names is not None else None, notes)


def _imported(path: Path) -> ModuleType:
    """The file as a module of its own name, so that its classes can be pickled."""
    name = f"describer_target_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as fault:
        del sys.modules[name]
        raise TargetError(f"{path} must be Python that imports. Got {reason(fault)}. Run it by hand.") from fault
    return module


@contextmanager
def _importable(folder: Path) -> Iterator[None]:
    """Lets a factory import its neighbours."""
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))


@contextmanager
def _plain_tensors_only() -> Iterator[None]:
    """Makes every torch.load refuse pickled code; torchvision's downloads would allow it."""
    name = "TORCH_FORCE_WEIGHTS_ONLY_LOAD"
    before = os.environ.get(name)
    os.environ[name] = "1"
    try:
        yield
    finally:
        os.environ.pop(name)
        if before is not None:
            os.environ[name] = before


@contextmanager
def _told(prefix: str, name: str) -> Iterator[None]:
    """Turns whatever a library raises while loading into one sentence."""
    try:
        yield
    except DescriberError:
        raise
    except Exception as fault:
        message = reason(fault)
        if "pickl" in message.lower() or "weights_only" in message:
            todo = "Weights must be plain tensors: save them as safetensors."
        else:
            todo = "Check the name, and that this machine can download it or already has."
        raise TargetError(f"{prefix}:{name} must load with its weights. Got {message}. {todo}") from fault


def _unknown(where: str, name: str, names: Iterable[str]) -> TargetError:
    message = f"{where} must hold the model asked for. Got {name!r}"
    return TargetError(f"{message}. Choose another name{_or_nearest(name, list(names))}.")


def _or_nearest(name: str, names: list[str]) -> str:
    near = get_close_matches(name, names, 3, 0.4) or sorted(names)[:5]
    return f"; the nearest: {', '.join(near)}" if near else ""


_SOURCES: dict[str, Callable[[str, bool], Loaded]] = {
    "torchvision": _from_torchvision,
    "timm": _from_timm,
    "hf": _from_hub,
    "diffusers": _from_diffusers,
    "torchhub": _from_torchhub,
    "carried": _from_package,
}
