"""Trains the generator of drawn landscapes whose units are described and edited.

describer train training/recipes/gan.yaml

Two judges tell drawn from generated pictures, both with the hinge loss and spectral norms (Miyato et al. 2018): one
sees pixels, the other maps of the carried scene classifier, which stays as it is (Sauer et al. 2021, Projected GANs).
Both are told the kind of scene (Miyato & Koyama 2018, projection). The weights kept are those of a moving average.
"""

import copy
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn.utils import parametrize

from describer.errors import RecipeError
from describer.scenegan import SceneGenerator
from describer.training.critics import MapCritic, PixelCritic, SceneMaps
from describer.training.fit import fit
from describer.training.landscapes import LandscapeRule, Landscapes, drawn_landscapes


@dataclass(frozen=True)
class GanRecipe:
    """What the generator is trained on, and how."""

    out: str
    "folder of checkpoints and weights"
    n_scenes: int = 12000
    "landscapes to learn from; drawn with seed + 1"
    kinds: tuple[str, ...] = LandscapeRule.kinds
    "kinds of scenes"
    channels: tuple[int, ...] = (192, 192, 96, 64, 32)
    "units of the 4 x 4 start and of the four stages"
    latents: int = 96
    "length of the latent"
    batch: int = 16
    "pictures a step, in twos of one kind; best twice as many as there are kinds"
    steps: int = 6000
    "steps in all"
    learning_rate: float = 2.5e-4
    "of Adam, for the generator, twice as much for the judges; linear to zero in the last quarter"
    average: float = 0.998
    "decay of the moving average a step"
    every: int = 300
    "steps between checkpoints and sample sheets"
    seed: int = 0
    "seed of everything"

    def __post_init__(self) -> None:
        if self.batch < 2 or self.batch % 2:
            raise RecipeError(f"batch must be even. Got {self.batch}. Take twice the number of kinds.")

    def train(self, resume: bool = True) -> Path:
        """Trains and returns the folder that holds model.safetensors, config.json and sample sheets."""
        out = Path(self.out)
        out.mkdir(parents=True, exist_ok=True)
        rule = LandscapeRule(kinds=tuple(self.kinds))
        scenes = drawn_landscapes(rule, self.n_scenes, self.seed + 1, out / f"landscapes-{self.seed + 1}.npz")
        torch.manual_seed(self.seed)
        game = Game(SceneGenerator(len(rule.kinds), tuple(self.channels), self.latents), self.average)
        fit(
            game, LandscapeLessons(scenes, self), out, self.steps, self.learning_rate, self.seed, resume,
            judge=lambda model: sheet(model, out, self.seed), every=self.every, optimizer=adam(game, self), clip=0.0,
        )  # fmt: skip
        return save_generator(settled(game.average, self.seed), rule.kinds, self, out)


class Game(nn.Module):
    """Generator, its moving average and the judges, with both losses in one: no gradient crosses between them."""

    step: Tensor

    def __init__(self, generator: SceneGenerator, decay: float) -> None:
        super().__init__()
        self.generator, self.decay = generator, decay
        self.average = copy.deepcopy(generator).requires_grad_(False)
        self.critics = nn.ModuleList([PixelCritic(generator.n_kinds), MapCritic(generator.n_kinds)])
        self.maps = SceneMaps()
        self.register_buffer("step", torch.zeros((), dtype=torch.int64))

    def forward(self, images: Tensor, kinds: Tensor, latents: Tensor) -> dict[str, Tensor]:
        """The hinge losses of judges and generator (Lim & Ye 2017); images in -1..1."""
        if self.training:
            self.follow()
        drawn = self.generator(latents)
        asked = self.generator.kinds(latents)
        images = images.contiguous(memory_format=torch.channels_last)
        real, fake = [images, self.maps(images)], [drawn, self.maps(drawn)]
        judges, generator, right = torch.zeros(()), torch.zeros(()), []
        for critic, true, false in zip(self.critics, real, fake, strict=True):
            with parametrize.cached():
                both = critic(joined(true, false), torch.cat([kinds, asked]))
            told_true, told_false = both.chunk(2)
            judges = judges + F.relu(1 - told_true).mean() + F.relu(1 + told_false).mean()
            right.append(((told_true > 0).float().mean() + (told_false < 0).float().mean()) / 2)
            critic.requires_grad_(False)
            with parametrize.cached():
                generator = generator - critic(false, asked).mean()
            critic.requires_grad_(True)
        told = {"judges": judges.detach(), "generator": generator.detach(), "pixels": right[0], "maps": right[1]}
        return {"loss": judges + generator, **told}

    @torch.no_grad()
    def follow(self) -> None:
        """The average takes a step towards the generator; faster at first."""
        self.step += 1
        weight = 1 - min(self.decay, (1 + float(self.step)) / (10 + float(self.step)))
        for kept, new in zip(self.average.parameters(), self.generator.parameters(), strict=True):
            kept.lerp_(new, weight)


def joined(true: Tensor | list[Tensor], false: Tensor | list[Tensor]) -> Tensor | list[Tensor]:
    """Drawn and generated in one batch, without a gradient."""
    if isinstance(true, Tensor):
        assert isinstance(false, Tensor)
        return torch.cat([true, false.detach()])
    return [torch.cat([a, b.detach()]) for a, b in zip(true, false, strict=True)]


def adam(game: Game, recipe: GanRecipe) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler]:
    """Adam without momentum, as is usual for hinge losses, and its schedule."""
    rate = recipe.learning_rate
    players: list[dict[str, Any]] = [
        {"params": list(game.generator.parameters())},
        {"params": list(game.critics.parameters()), "lr": 2 * rate},
    ]
    optimizer = torch.optim.Adam(players, rate, (0.0, 0.99), foreach=True)
    rest = max(1, recipe.steps // 4)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: min(1.0, (recipe.steps - step) / rest))
    return optimizer, schedule


class LandscapeLessons:
    """Batches of landscapes and latents in twos of one kind, every kind equally often; one index gives one batch."""

    def __init__(self, scenes: Landscapes, recipe: GanRecipe) -> None:
        self.scenes, self.recipe = scenes, recipe
        self.of_kind = [np.flatnonzero(scenes.kinds == kind) for kind in range(len(recipe.kinds))]
        self.of_kind = [rows if len(rows) else np.arange(len(scenes.kinds)) for rows in self.of_kind]

    def __call__(self, indices: Sequence[int]) -> dict[str, Tensor]:
        """The batch of the step whose number is the first index."""
        rng = np.random.default_rng((self.recipe.seed, indices[0]))
        batch, n_kinds = self.recipe.batch, len(self.of_kind)
        asked = np.concatenate([rng.permutation(n_kinds) for _ in range(batch // (2 * n_kinds) + 1)])
        asked = asked[: batch // 2].repeat(2)  # (batch,)
        rows = np.array([rng.choice(self.of_kind[kind]) for kind in asked])
        flip = torch.from_numpy(rng.random(len(rows)) < 0.5)[:, None, None, None]
        images = torch.from_numpy(self.scenes.images[rows]).float() / 127.5 - 1
        latents = rng.standard_normal((batch, self.recipe.latents), dtype=np.float32)
        largest, each = latents[:, :n_kinds].argmax(1), np.arange(batch)
        latents[each, largest], latents[each, asked] = latents[each, asked], latents[each, largest]
        return {
            "images": torch.where(flip, images.flip(-1), images),
            "kinds": torch.from_numpy(asked),
            "latents": torch.from_numpy(latents),
        }


@torch.no_grad()
def settled(generator: SceneGenerator, seed: int, batches: int = 16) -> SceneGenerator:
    """A copy in eval mode whose normalisation knows the mean and spread of its own units, not those of past weights."""
    model = copy.deepcopy(generator)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.reset_running_stats()
            module.momentum = None  # a plain mean over all batches
    dice = torch.Generator().manual_seed(seed)
    model.train()
    for _ in range(batches):
        model(torch.randn(64, *model.latent_shape, generator=dice))
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 0.1
    return model.eval()


@torch.no_grad()
def sheet(game: nn.Module, out: Path, seed: int) -> dict[str, float]:
    """Writes a sheet of 8 samples of each kind and the average's weights; their mean contrast comes back."""
    assert isinstance(game, Game)
    model = settled(game.average, seed, 4)
    dice = torch.Generator().manual_seed(seed)
    latents = torch.randn(8 * model.n_kinds, *model.latent_shape, generator=dice)
    rows, asked = torch.arange(len(latents)), torch.arange(len(latents)) // 8
    largest = model.kinds(latents)
    latents[rows, asked], latents[rows, largest] = latents[rows, largest], latents[rows, asked]
    drawn = ((model(latents) + 1) * 127.5).round().clamp(0, 255).byte()  # (kinds * 8, 3, size, size)
    size = drawn.shape[-1]
    rows = drawn.unflatten(0, (-1, 8)).permute(0, 3, 1, 4, 2).reshape(-1, 8 * size, 3)
    Image.fromarray(rows.numpy()).save(out / f"samples-{int(game.step):06d}.png")
    save_file(model.state_dict(), out / f"average-{int(game.step):06d}.safetensors")
    return {"contrast": float(drawn.float().std())}


def save_generator(model: SceneGenerator, kinds: Sequence[str], recipe: GanRecipe, out: Path) -> Path:
    """Writes float16 weights and what rebuilds the generator."""
    weights = {name: value.half() if value.is_floating_point() else value for name, value in model.state_dict().items()}
    save_file(weights, out / "model.safetensors")
    about = {"kinds": list(kinds), "channels": list(model.channels), "latents": model.latent_shape[0]}
    (out / "config.json").write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
    told = {key: value for key, value in asdict(recipe).items() if key != "out"}
    (out / "recipe.json").write_text(json.dumps({"kind": "gan", **told}, indent=1) + "\n", encoding="utf-8")
    return out
