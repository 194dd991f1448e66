"""Where images of a text come from: drawn, found among others, or made by a diffusion model.

    DrawnSource().images("red balls", 20, seed=0)                            # scenes in which the labels say so
    FoundSource(load_listener(), held_out).images("red balls", 20, seed=0)   # the likeliest of a held-out set
    DiffusersSource("stabilityai/sdxl-turbo").images("red balls", 20, seed=0)      # needs the package diffusers

Each has a `name`, which belongs beside every number that its images gave.
"""

import importlib.util
import sys
from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from PIL import Image

from describer.data.images import ImageSet
from describer.data.scenes import NAMES, SceneSet
from describer.errors import DescriberError, WeightsError
from describer.eval.grounding import Grounder, where_held
from describer.listener import ListenerLike

PROMPT = "realistic photo of a close up of {}"
"What CoSy asks a diffusion model for."


@runtime_checkable
class ImageMaker(Protocol):
    """Anything that has images of a text."""

    @property
    def name(self) -> str:
        """What reports call it."""

    def images(self, text: str, n: int, seed: int = 0) -> list[Image.Image]:
        """n pictures of a text, or fewer where there are no more."""


class DrawnSource:
    """Scenes of the drawn world of which a text is true by their labels."""

    def __init__(self, tried: int = 400, size: int = 128):
        self.name, self.tried, self.size = f"scenes, {tried} tried", tried, size
        self.grounder = Grounder(NAMES)

    def images(self, text: str, n: int, seed: int = 0) -> list[Image.Image]:
        """The first n scenes of this seed in which the text holds; DescriberError where it cannot be read."""
        reading = self.grounder.read(text)
        if reading.pictures is None:
            raise DescriberError(f"text must name things of the drawn world. Got {text!r}. Find images of it instead.")
        scenes, found = _Labelled(SceneSet(self.tried, seed, self.size)), list[Image.Image]()
        for index in range(self.tried):
            if len(found) == n:
                break
            if where_held([reading], scenes, [index])[0, 0]:
                found.append(scenes.scenes.image(index))
        return found


class FoundSource:
    """The pictures of a held-out set that a listener holds likeliest; they must not be those that chose the text."""

    def __init__(self, listener: ListenerLike, images: ImageSet, batch_size: int = 64):
        self.name, self.listener, self.pictures = f"found in {images.source} by {listener.name}", listener, images
        parts = [
            listener.embed_images([images.image(i) for i in range(start, min(start + batch_size, len(images)))])
            for start in range(0, len(images), batch_size)
        ]
        self.vectors = torch.cat(parts)

    def images(self, text: str, n: int, seed: int = 0) -> list[Image.Image]:
        """The n likeliest, likeliest first; equals in the order of the set. The seed changes nothing."""
        heard = self.listener.simulate(self.listener.embed_texts([text]), self.vectors)[0]
        order = torch.argsort(heard, descending=True, stable=True)[:n]
        return [self.pictures.image(index) for index in order.tolist()]


class DiffusersSource:
    """A text-to-image pipeline of the package diffusers, by hub name or folder."""

    def __init__(self, name: str, device: str = "cpu", prompt: str = PROMPT, **options: Any):
        if not _installed("diffusers"):
            message = "images from a diffusion model must be made by the package diffusers. Got none installed"
            raise WeightsError(f"{message}. Install diffusers, or draw or find the images.")
        self.name, self.prompt, self.options, self.device = name, prompt, options, device
        try:
            from diffusers import AutoPipelineForText2Image

            self.pipeline = AutoPipelineForText2Image.from_pretrained(name, use_safetensors=True).to(device)
        except Exception as fault:
            first = (str(fault).splitlines() or [""])[0]
            raise WeightsError(f"a pipeline must be a folder or of the hub. Got {name}: {first}. Name one.") from fault

    def images(self, text: str, n: int, seed: int = 0) -> list[Image.Image]:
        """n pictures, each from a seed of its own."""
        prompt = self.prompt.replace("{}", text)
        seeds = [torch.Generator(self.device).manual_seed(seed + i) for i in range(n)]
        return [self.pipeline(prompt, generator=each, **self.options).images[0] for each in seeds]


def _installed(package: str) -> bool:
    if package in sys.modules:
        return sys.modules[package] is not None
    return importlib.util.find_spec(package) is not None


class _Labelled:
    """Drawn scenes as labelled pictures."""

    names = NAMES

    def __init__(self, scenes: SceneSet):
        self.scenes = scenes

    def __len__(self) -> int:
        return len(self.scenes)

    def labels(self, index: int, /) -> Any:
        """The labels of one scene."""
        return _SceneLabels(self.scenes.scene(index))


class _SceneLabels:
    """One scene's label maps, each in a tuple, and its kind."""

    def __init__(self, scene: Any):
        self.maps: dict[str, Sequence[np.ndarray]] = {category: (ids,) for category, ids in scene.labels.items()}
        self.scalars: dict[str, Sequence[int]] = {"scene": (scene.scene_kind,)}
