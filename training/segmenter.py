"""Trains the segmenter of drawn scenes that measures what an edit has done.

describer train training/recipes/segmenter.yaml
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from rich.progress import track
from safetensors.torch import save_file
from torch import Tensor, nn

from describer.data.scenes import NAMES, draw_scene
from describer.scenesegmenter import SceneSegmenter
from describer.training.fit import fit
from describer.training.landscapes import halved

CATEGORIES = ("object", "part", "material")
SIZE = SceneSegmenter.size


@dataclass(frozen=True)
class SegmenterRecipe:
    """What the segmenter is trained on, and how."""

    out: str
    "folder of checkpoints and weights"
    n_scenes: int = 5000
    "scenes to learn from; drawn with seed + 1, the held-out ones with seed + 2"
    n_held_out: int = 600
    "scenes to judge by"
    channels: tuple[int, ...] = (24, 48, 96, 96)
    "units of the four levels"
    batch: int = 32
    "scenes a step"
    steps: int = 2000
    "steps in all"
    learning_rate: float = 3e-3
    "peak learning rate of AdamW, cosine to zero"
    every: int = 250
    "steps between checkpoints"
    seed: int = 100
    "seed of everything"

    def train(self, resume: bool = True) -> Path:
        """Trains and returns the folder that holds model.safetensors, config.json and the IoU of every name."""
        out = Path(self.out)
        out.mkdir(parents=True, exist_ok=True)
        seen, unseen = (
            labelled(n, self.seed + i, out / f"labelled-{self.seed + i}.npz")
            for i, n in ((1, self.n_scenes), (2, self.n_held_out))
        )
        torch.manual_seed(self.seed)
        model = SceneSegmenter({category: NAMES[category] for category in CATEGORIES}, tuple(self.channels))
        lessons = LabelLessons(seen, self)
        fit(LabelLosses(model), lessons, out, self.steps, self.learning_rate, self.seed, resume, every=self.every)
        return save_segmenter(model, iou(model, unseen), self, out)


Labelled = Mapping[str, np.ndarray]
"images (n, 3, 64, 64) uint8, and of each category (n, 64, 64) uint8 ids"


def labelled(n: int, seed: int, cache: Path) -> Labelled:
    """The first `n` scenes of the world `seed` at half of twice the size, with labels, drawn once."""
    if cache.exists():
        with np.load(cache) as file:
            return {name: file[name] for name in ("images", *CATEGORIES)}
    found = {name: np.zeros((n, SIZE, SIZE), np.uint8) for name in CATEGORIES}
    found["images"] = np.zeros((n, 3, SIZE, SIZE), np.uint8)
    for row in track(range(n), "scenes"):
        scene = draw_scene(seed, row, 2 * SIZE)
        found["images"][row] = halved(scene.image).transpose(2, 0, 1)
        for name in CATEGORIES:
            found[name][row] = scene.labels[name][1::2, 1::2]
    np.savez(cache, allow_pickle=False, **found)
    return found


class LabelLosses(nn.Module):
    """The segmenter with the cross-entropy of every category, averaged."""

    def __init__(self, model: SceneSegmenter) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor, **labels: Tensor) -> dict[str, Tensor]:
        """Mean cross-entropy of the pixels."""
        logits = self.model(images.contiguous(memory_format=torch.channels_last))
        each = {name: F.cross_entropy(logits[name].float(), labels[name]) for name in labels}
        return {"loss": torch.stack(list(each.values())).mean(), **{n: loss.detach() for n, loss in each.items()}}


class LabelLessons:
    """Batches of labelled scenes, mirrored, tinted and grained at random; the same index gives the same batch."""

    def __init__(self, scenes: Labelled, recipe: SegmenterRecipe) -> None:
        self.scenes, self.recipe = scenes, recipe

    def __call__(self, indices: Sequence[int]) -> dict[str, Tensor]:
        """The batch of the step whose number is the first index."""
        rng = np.random.default_rng((self.recipe.seed, indices[0]))
        rows = rng.integers(0, len(self.scenes["images"]), self.recipe.batch)
        step = -1 if rng.random() < 0.5 else 1
        images = self.scenes["images"][rows][..., ::step].astype(np.float32) / 127.5 - 1
        gain = rng.uniform(0.85, 1.15, (len(rows), 3, 1, 1)).astype(np.float32)
        grain = rng.standard_normal(images.shape, dtype=np.float32) * rng.uniform(0, 0.06)
        lit = np.clip((images + 1) * gain - 1 + grain, -1, 1)
        labels = {name: self.scenes[name][rows][..., ::step].astype(np.int64) for name in CATEGORIES}
        return {"images": torch.from_numpy(lit)} | {name: torch.from_numpy(ids) for name, ids in labels.items()}


def iou(model: SceneSegmenter, scenes: Labelled) -> dict[str, dict[str, dict[str, float]]]:
    """Of every name that occurs: intersection over union on all scenes together, and its share of all pixels."""
    told = model.eval().labels(np.ascontiguousarray(scenes["images"].transpose(0, 2, 3, 1)))
    found: dict[str, dict[str, dict[str, float]]] = {}
    for category, names in model.names.items():
        joint = told[category].astype(np.int64) * len(names) + scenes[category]
        table = np.bincount(joint.ravel(), minlength=len(names) ** 2).reshape(len(names), len(names))
        shared, union = np.diag(table), table.sum(0) + table.sum(1) - np.diag(table)
        share = table.sum(0) / table.sum()
        found[category] = {
            name: {"iou": round(float(shared[i] / union[i]), 3), "share": round(float(share[i]), 5)}
            for i, name in enumerate(names)
            if name and share[i] > 0
        }
    return found


def save_segmenter(
    model: SceneSegmenter, measured: dict[str, dict[str, dict[str, float]]], recipe: SegmenterRecipe, out: Path
) -> Path:
    """Writes float16 weights, what rebuilds the segmenter, and what was measured."""
    weights = {
        name: value.half().contiguous() if value.is_floating_point() else value
        for name, value in model.state_dict().items()
    }
    save_file(weights, out / "model.safetensors")
    about = {"names": {name: list(ids) for name, ids in model.names.items()}, "channels": list(model.channels)}
    (out / "config.json").write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
    told = {"kind": "segmenter", **{key: value for key, value in asdict(recipe).items() if key != "out"}}
    (out / "recipe.json").write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    (out / "measured.json").write_text(json.dumps(measured, indent=1) + "\n", encoding="utf-8")
    return out
