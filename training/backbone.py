"""Trains our image backbone from nothing: it learns to see what trained networks see, and what people named.

    describer train training/recipes/backbone.yaml

Two lessons a step. Views of photographs: the maps and logits of a teacher (knowledge distillation, Hinton 2015; hints,
Romero 2015), every logit alike: what a view is nearly not holds as much as what it is. Regions of the corpus: the
phrases people used for them, out of all phrases. A captioner takes what the backbone itself has learnt; the heads
serve a training that goes on.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from describer.backbone import PyramidBackbone
from describer.errors import RecipeError
from describer.training.corpus import Corpus
from describer.training.fit import fit
from describer.training.muon import Muon
from describer.training.photographs import read_photographs
from describer.training.recipe import placed, under
from describer.training.sources import load_corpus
from describer.training.teacher import Views, ViewSettings, look

WEIGHTS, HEADS = "backbone.safetensors", "heads.safetensors"


@dataclass(frozen=True)
class BackboneRecipe:
    """What the backbone is trained on, and how."""

    out: str
    "folder of checkpoints and weights"
    photographs: list[str]
    "parquet files the teacher looks at"
    teacher: str
    "PATH.py:FACTORY of the teacher, under data"
    layers: list[str]
    "teacher layers whose maps are learnt"
    sources: list[dict[str, Any]]
    "what people said of regions: see describer.training.sources"
    data: str = "."
    "folder put before relative paths"
    start: str | None = None
    "folder of a backbone to go on from, with the heads that lie beside it and fit"
    folds: list[int] = field(default_factory=lambda: [0, 1, 2, 3, 4, 5])
    "folds of photographs that may be used"
    n_crops: int = 3
    "random crops of every photograph, beside the whole"
    min_count: int = 8
    "regions a phrase must have to be taught"
    n_views: int = 72
    "views a step"
    n_regions: int = 56
    "regions a step"
    steps: int = 2400
    "steps in all"
    small_steps: int = 0
    "the first steps, which see pictures at three quarters of their side: nearly twice as many a minute"
    learning_rate: float = 0.05
    "largest change of a filter a step, as a share of its norm (`Muon`); cosine to zero"
    seed: int = 0
    "seed of everything"
    channels: list[int] = field(default_factory=lambda: [64, 128, 256, 384])
    "channels of the four stages"
    semantic: int = 256
    "channels of the semantic level"

    def train(self, resume: bool = True) -> Path:
        """Trains and returns the folder that holds backbone.safetensors."""
        from describer.data.targets import load_target

        photos = read_photographs(under(self.data, self.photographs), self.folds)
        teacher = load_target(under(self.data, self.teacher))
        if teacher.preprocess is None:
            raise RecipeError(f"teacher must look at pictures. Got {self.teacher}, a generator. Name a classifier.")
        views = look(
            photos,
            teacher.model,
            teacher.preprocess,
            self.layers,
            ViewSettings(n_crops=self.n_crops, seed=self.seed),
            Path(self.out) / "teacher",
        )
        corpus = load_corpus(placed(self.sources, self.data), self.folds, Path(self.out).parent / "corpus")
        lessons = Lessons(views, corpus, self)
        student = Student(PyramidBackbone(self.channels, self.semantic), views, len(lessons.phrases))
        if self.start:
            load_learnt(student.backbone, self.start)
            load_heads(student, self.start)
        optimizer = Muon(*filters_of(student), self.learning_rate)
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimizer, [lambda step: rise(step, self.steps, still=0.03), lambda step: rise(step, self.steps)]
        )
        fit(
            student, lessons, self.out, self.steps, self.learning_rate, self.seed, resume,
            every=100, optimizer=(optimizer, schedule), clip=0.0, in_order=True,
        )  # fmt: skip
        save_file({k: v.contiguous() for k, v in student.backbone.state_dict().items()}, Path(self.out) / WEIGHTS)
        save_file({k: v.contiguous() for k, v in heads_of(student).items()}, Path(self.out) / HEADS)
        return Path(self.out)


def load_learnt(backbone: PyramidBackbone, folder: str | Path) -> None:
    """Puts the weights of a trained backbone of ours into ``backbone``; what is computed, not learnt, stays."""
    learnt = {
        name: weight for name, weight in load_file(Path(folder) / WEIGHTS).items() if not name.startswith("perceptual.")
    }
    backbone.load_state_dict(backbone.state_dict() | learnt)


def heads_of(student: "Student") -> dict[str, Tensor]:
    """The student's weights that are not its backbone's."""
    return {name: weight for name, weight in student.state_dict().items() if not name.startswith("backbone.")}


def load_heads(student: "Student", folder: str | Path) -> None:
    """Puts the heads that lie in ``folder`` into the student where they have the shape of its own."""
    path, own = Path(folder) / HEADS, heads_of(student)
    found = load_file(path) if path.exists() else {}
    fit_in = {name: w for name, w in found.items() if name in own and w.shape == own[name].shape}
    student.load_state_dict(student.state_dict() | fit_in)


def filters_of(student: "Student") -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """The filters of the backbone's convolutions, and all other parameters of the student."""
    filters = [weight for weight in student.backbone.parameters() if weight.ndim == 4]
    kept = {id(weight) for weight in filters}
    return filters, [weight for weight in student.parameters() if id(weight) not in kept]


def rise(step: int, steps: int, still: float = 0.0, rising: float = 0.05) -> float:
    """Share of the peak rate at a step: 0 for the first ``still`` of all (heads learn first), up, then a cosine."""
    done = step / steps - still
    if done < rising:
        return max(done, 0.0) / rising
    return 0.5 + 0.5 * math.cos(math.pi * min((done - rising) / (1 - still - rising), 1.0))


class Student(nn.Module):
    """The backbone with the heads of its two lessons."""

    spread: Tensor

    def __init__(self, backbone: PyramidBackbone, views: Views, n_phrases: int) -> None:
        super().__init__()
        self.backbone = backbone
        meaning = self.backbone.levels[-1]
        both = meaning + self.backbone.levels[-2]
        self.maps = nn.ModuleDict({layer: nn.Conv2d(meaning, t.shape[1], 1) for layer, t in views.targets.items()})
        self.logits = nn.Linear(both, views.logits.shape[1])
        spread = torch.from_numpy(np.asarray(views.logits, np.float32)).std(0).clamp_min(1e-3)
        self.register_buffer("spread", spread, persistent=False)
        self.phrases = nn.Linear(both, n_phrases)

    def forward(
        self, images: Tensor, targets: dict[str, Tensor], logits: Tensor, masks: Tensor, said: Tensor
    ) -> dict[str, Tensor]:
        """Loss of a step: the first ``len(logits)`` images are views, the others carry a region and its phrases."""
        *_, top, semantic = self.backbone.learnt(images)
        n_views = len(logits)
        maps = torch.stack(
            [
                F.mse_loss(
                    F.adaptive_avg_pool2d(head(semantic[:n_views]), targets[layer].shape[-1]).float(), targets[layer]
                )
                for layer, head in self.maps.items()
            ]
        ).sum()
        whole = torch.cat([semantic.mean((2, 3)), top.mean((2, 3))], 1)[:n_views]
        guess = self.logits(whole).float()
        taught = F.kl_div(F.log_softmax(guess, 1), F.softmax(logits, 1), reduction="batchmean")
        unlike = ((guess - logits) / self.spread).square().mean()
        regions = torch.cat([masked_mean(level[n_views:], masks) for level in (semantic, top)], 1)
        named = -(F.log_softmax(self.phrases(regions).float(), 1) * said).sum(1).mean()
        return {
            "loss": maps + 2 * unlike + 0.3 * taught + 0.3 * named,
            "maps": maps.detach(),
            "unlike": unlike.detach(),
            "taught": taught.detach(),
            "named": named.detach(),
        }


def masked_mean(
    level: Float[Tensor, "regions channels h w"], masks: Float[Tensor, "regions side side"]
) -> Float[Tensor, "regions channels"]:
    """Mean of a level under one mask an image; zeros where the mask is empty."""
    weights = F.interpolate(masks[:, None], level.shape[-2:], mode="area").to(level.dtype)
    return (level * weights).sum((2, 3)) / weights.sum((2, 3)).clamp_min(1e-6)


class Lessons:
    """Batches of views and regions; called with indices, the same indices give the same batch."""

    def __init__(self, views: Views, corpus: Corpus, recipe: BackboneRecipe) -> None:
        self.views, self.corpus, self.recipe = views, corpus, recipe
        self.phrases = [phrase for phrase, ids in corpus.phrases.items() if len(ids) >= recipe.min_count]
        said: list[list[int]] = [[] for _ in range(len(corpus))]
        for column, phrase in enumerate(self.phrases):
            for region in corpus.phrases[phrase].tolist():
                said[region].append(column)
        self.said = said
        taught = np.array([bool(columns) for columns in said])
        sources = np.array(corpus.source)
        sizes = {name: int((taught & (sources == name)).sum()) for name in sorted(set(corpus.source))}
        # every source has a voice: its share grows with the square root of its size
        weight = np.array([sizes[name] ** -0.5 if sizes[name] else 0.0 for name in corpus.source]) * taught
        self.chance = np.cumsum(weight / weight.sum())

    def __call__(self, indices: Sequence[int]) -> dict[str, Any]:
        """The batch of the step whose number is the first index."""
        rng = np.random.default_rng((self.recipe.seed, indices[0]))
        rows = np.sort(rng.integers(0, len(self.views.images), self.recipe.n_views))
        regions = np.searchsorted(self.chance, rng.random(self.recipe.n_regions)).clip(max=len(self.corpus) - 1)
        flip = torch.from_numpy(rng.random(len(rows) + len(regions)) < 0.5)
        views = torch.from_numpy(self.views.images[rows]).float() / 255
        targets = {k: torch.from_numpy(t[rows]).float() for k, t in self.views.targets.items()}
        masks = torch.from_numpy(self.corpus.region_mask[regions]).float() / 255
        pictures = torch.from_numpy(self.corpus.images[self.corpus.region_image[regions]]).float() / 255
        pictures, masks = crop(pictures, masks, rng)
        images = jitter(torch.cat([views, pictures]), rng)
        if indices[0] < self.recipe.small_steps:
            images = F.interpolate(images, scale_factor=0.75, mode="bilinear", antialias=True)
        said = torch.zeros(len(regions), len(self.phrases))
        for row, region in enumerate(regions.tolist()):
            said[row, self.said[region]] = 1 / len(self.said[region])
        said *= (masks.mean((1, 2)) > 0.01)[:, None]
        mine, theirs = flip[: len(rows)], flip[len(rows) :]
        return {
            "images": mirrored(images, flip),
            "targets": {k: mirrored(t, mine) for k, t in targets.items()},
            "logits": torch.from_numpy(self.views.logits[rows]).float(),
            "masks": mirrored(masks, theirs),
            "said": said,
        }


def mirrored(x: Tensor, flip: Tensor) -> Tensor:
    """x with the rows named by ``flip`` (batch,) mirrored left to right."""
    return torch.where(flip.view(-1, *[1] * (x.ndim - 1)), x.flip(-1), x)


def crop(images: Tensor, masks: Tensor, rng: np.random.Generator, least: float = 0.6) -> tuple[Tensor, Tensor]:
    """Images and masks cut to the same random window of at least ``least`` of the side, at their old sizes."""
    scale = torch.from_numpy(rng.uniform(least, 1, (len(images), 2))).float()
    shift = torch.from_numpy(rng.uniform(-1, 1, (len(images), 2))).float() * (1 - scale)
    theta = torch.cat([torch.diag_embed(scale), shift[..., None]], 2)  # (batch, 2, 3)

    def sample(x: Tensor) -> Tensor:
        return F.grid_sample(
            x, F.affine_grid(theta, list(x.shape), align_corners=False), padding_mode="border", align_corners=False
        )

    return sample(images), sample(masks[:, None])[:, 0]


def jitter(images: Tensor, rng: np.random.Generator) -> Tensor:
    """Images with brightness and contrast changed a little."""
    gain, lift = (torch.from_numpy(rng.uniform(-0.1, 0.1, (len(images), 1, 1, 1))).float() for _ in range(2))
    return ((images - 0.5) * (1 + 2 * gain) + 0.5 + lift).clamp(0, 1)
