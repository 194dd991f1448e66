"""Trains the scene classifier that the demo describes.

describer train training/recipes/classifier.yaml
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from rich.progress import track
from safetensors.torch import save_file
from torch import Tensor, nn

from describer.scenenet import SceneClassifier
from describer.training.fit import fit


@dataclass(frozen=True)
class ClassifierRecipe:
    """What the scene classifier is trained on, and how."""

    out: str
    "folder of checkpoints and weights"
    n_scenes: int = 8000
    "scenes to learn from; drawn with seed + 1, the held-out ones with seed + 2"
    n_held_out: int = 1000
    "scenes to judge by"
    channels: tuple[int, ...] = (24, 48, 96, 128)
    "units of the four stages"
    batch: int = 96
    "scenes a step"
    steps: int = 2000
    "steps in all"
    learning_rate: float = 2e-3
    "peak learning rate of AdamW, cosine to zero"
    seed: int = 0
    "seed of everything"

    def train(self, resume: bool = True) -> Path:
        """Trains and returns the folder that holds model.safetensors and config.json."""
        out = Path(self.out)
        out.mkdir(parents=True, exist_ok=True)
        seen, unseen = (
            drawn(n, self.seed + i, out / f"scenes-{i}.npz") for i, n in ((1, self.n_scenes), (2, self.n_held_out))
        )
        torch.manual_seed(self.seed)
        classes, tags = scene_words()
        model = SceneClassifier(len(classes), len(tags), tuple(self.channels))
        log = fit(TwoLessons(model), SceneLessons(*seen, self), out, self.steps, self.learning_rate, self.seed, resume)
        about = {"classes": classes, "tags": tags, "channels": list(self.channels), "recipe": asdict(self)}
        about["accuracy"] = accuracy(model, *unseen)
        save_file(
            {
                name: weight.half() if weight.is_floating_point() else weight
                for name, weight in model.state_dict().items()
            },
            out / "model.safetensors",
        )
        (out / "config.json").write_text(json.dumps(about, indent=1), encoding="utf-8")
        print(json.dumps({"steps": log["steps"], "held_out_accuracy": about["accuracy"]}))
        return out


TAG_CATEGORIES = ("object", "part", "material", "texture", "color")


def scene_words() -> tuple[list[str], list[str]]:
    """Names of the scene kinds, and of everything that can be in a scene as 'category:name'."""
    from describer.data.scenes import NAMES

    tags = [f"{category}:{name}" for category in TAG_CATEGORIES for name in NAMES[category][1:]]
    return list(NAMES["scene"][1:]), tags


def drawn(n: int, seed: int, cache: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Images (n, 3, 128, 128) uint8, kinds (n,) from 0, and tags (n, tags): which things cover 1 % or more."""
    from describer.data.scenes import NAMES, draw_scene

    if cache.exists():
        with np.load(cache) as file:
            return file["images"], file["kinds"], file["tags"]
    images, kinds, tags = [], [], []
    for index in track(range(n), "scenes"):
        scene = draw_scene(seed, index, SceneClassifier.size)
        images.append(scene.image.transpose(2, 0, 1))
        kinds.append(scene.scene_kind - 1)
        shares = [
            np.bincount(scene.labels[c].ravel(), minlength=len(NAMES[c]))[1:] / scene.image[..., 0].size
            for c in TAG_CATEGORIES
        ]
        tags.append(np.concatenate(shares) >= 0.01)
    result = np.stack(images), np.array(kinds), np.stack(tags)
    np.savez(cache, allow_pickle=False, **dict(zip(("images", "kinds", "tags"), result, strict=True)))
    return result


class TwoLessons(nn.Module):
    """The classifier with its two losses."""

    def __init__(self, model: SceneClassifier) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor, kinds: Tensor, tags: Tensor) -> dict[str, Tensor]:
        """Cross-entropy of the kind and of every tag."""
        features = self.model.features(images)
        kind = F.cross_entropy(self.model.classes(features).float(), kinds)
        tag = F.binary_cross_entropy_with_logits(self.model.tags(features).float(), tags)
        return {"loss": kind + 5 * tag, "kind": kind.detach(), "tag": tag.detach()}


class SceneLessons:
    """Batches of scenes, mirrored at random; the same index gives the same batch."""

    def __init__(self, images: np.ndarray, kinds: np.ndarray, tags: np.ndarray, recipe: ClassifierRecipe) -> None:
        self.images, self.kinds, self.tags, self.recipe = images, kinds, tags, recipe

    def __call__(self, indices: Sequence[int]) -> dict[str, Tensor]:
        """The batch of the step whose number is the first index."""
        rng = np.random.default_rng((self.recipe.seed, indices[0]))
        rows = rng.integers(0, len(self.images), self.recipe.batch)
        flip = torch.from_numpy(rng.random(len(rows)) < 0.5)[:, None, None, None]
        images = torch.from_numpy(self.images[rows]).float() / 127.5 - 1
        return {
            "images": torch.where(flip, images.flip(-1), images),
            "kinds": torch.from_numpy(self.kinds[rows]),
            "tags": torch.from_numpy(self.tags[rows]).float(),
        }


@torch.inference_mode()
def accuracy(model: SceneClassifier, images: np.ndarray, kinds: np.ndarray, tags: np.ndarray) -> dict[str, float]:
    """Share of kinds told right, and mean average over tags of balanced accuracy, on scenes never seen."""
    kind, tag = [], []
    for start in range(0, len(images), 128):
        features = model.eval().features(torch.from_numpy(images[start : start + 128]).float() / 127.5 - 1)
        kind.append(model.classes(features).argmax(1).numpy())
        tag.append((model.tags(features) > 0).numpy())
    told = np.concatenate(tag)
    hit = (told & tags).sum(0) / np.maximum(tags.sum(0), 1)
    clear = (~told & ~tags).sum(0) / np.maximum((~tags).sum(0), 1)
    shown = tags.any(0) & (~tags).any(0)
    return {
        "scene_kind": float((np.concatenate(kind) == kinds).mean()),
        "tags_balanced": float(((hit + clear) / 2)[shown].mean()),
    }
