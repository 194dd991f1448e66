"""Small classifiers taught on pictures of any kind, to be compared: the carried one's architecture at any size.

    recipe = PupilRecipe(channels=(24, 48, 96, 128), side=64, steps=1500)
    target = taught(images, labels, names, recipe, "runs/pupil")       # a Target; the same call again returns at once

Taught by `describer.training.fit`: stopped or killed, the same call goes on. All are taught alike, whatever is in
their pictures: no mirroring, which letters would not survive.
"""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from describer.data.concepts.computed import weights_digest
from describer.data.targets import Target
from describer.eval.experiments.lettering import LetteredImages
from describer.scenenet import SceneClassifier
from describer.training.fit import fit


@dataclass(frozen=True)
class PupilRecipe:
    """How a classifier is taught."""

    channels: tuple[int, ...] = (24, 48, 96, 128)
    "units of its stages, each at half the resolution of the last"
    side: int = 64
    "pixels of a side of its input"
    steps: int = 1500
    "steps in all"
    batch: int = 64
    "pictures a step"
    learning_rate: float = 2e-3
    "peak learning rate of AdamW, cosine to zero"
    seed: int = 0
    "of weights and batches"
    anew: bool = False
    "whether a picture's word is elsewhere each time it is shown: few pictures cannot be learnt by heart then"


class Lesson(nn.Module):
    """A classifier with its loss."""

    def __init__(self, model: SceneClassifier) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Cross-entropy of the classes."""
        logits = self.model(images).float()
        return {"loss": F.cross_entropy(logits, labels), "right": (logits.argmax(1) == labels).float().mean().detach()}


class Lessons:
    """Batches of pictures drawn at random; the same step gives the same batch."""

    def __init__(self, images: LetteredImages, labels: Int64[np.ndarray, " pictures"], recipe: PupilRecipe) -> None:
        self.images, self.labels, self.recipe = images, labels, recipe

    def __call__(self, indices: Sequence[int]) -> dict[str, Tensor]:
        """The batch of the step whose number is the first index."""
        rng = np.random.default_rng((self.recipe.seed, indices[0]))
        rows = rng.integers(0, len(self.images), self.recipe.batch)
        shown = self.images.anew(rng) if self.recipe.anew else self.images
        inputs = [prepared(shown.image(row), self.recipe.side) for row in rows.tolist()]
        return {"images": torch.stack(inputs), "labels": torch.from_numpy(self.labels[rows])}


def prepared(picture: Image.Image, side: int) -> Float[Tensor, "3 side side"]:
    """An RGB picture, squashed to a square where it is none, in -1..1."""
    small = picture.convert("RGB")
    if small.size != (side, side):
        small = small.resize((side, side), Image.Resampling.BICUBIC)
    return torch.from_numpy(np.asarray(small, dtype=np.float32).transpose(2, 0, 1) / 127.5 - 1)


def taught(
    images: LetteredImages,
    labels: Int64[np.ndarray, " pictures"],
    names: Sequence[str],
    recipe: PupilRecipe,
    folder: str | Path,
    progress: Callable[[int, int], None] | None = None,
) -> Target:
    """The classifier that these pictures make, taught in `folder`, or read from there when it was taught so before."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    told = hashlib.sha256(f"{images.fingerprint} {labels.tolist()}".encode()).hexdigest()
    about = {"classes": list(names), "recipe": json.loads(json.dumps(asdict(recipe))), "pictures": told}
    torch.manual_seed(recipe.seed)
    model = SceneClassifier(len(names), 1, recipe.channels)  # its second head, of tags, is not taught
    weights, config = folder / "model.safetensors", folder / "config.json"
    known = json.loads(config.read_text(encoding="utf-8")) if config.exists() else None
    if known == about and weights.exists():
        model.load_state_dict(load_file(weights))
    else:
        resume = known == about
        config.write_text(json.dumps(about, indent=1), encoding="utf-8")
        lessons = Lessons(images, labels, recipe)
        fit(Lesson(model), lessons, folder, recipe.steps, recipe.learning_rate, recipe.seed, resume, progress=progress)
        save_file(model.state_dict(), weights)
    return as_target(model, folder.name, names, recipe.side)


def as_target(model: nn.Module, name: str, names: Sequence[str], side: int) -> Target:
    """A classifier of square pictures as what is described."""
    model = model.eval().requires_grad_(False)
    digest = hashlib.sha256(f"{name} {side} {weights_digest(model)}".encode()).hexdigest()
    return Target(name, model, partial(prepared, side=side), list(names), (3, side, side), digest, False)
