"""Trains the drivers: robots by playing, model humans by imitation of the logged games.

    describer train training/recipes/driving.yaml            # robots, then humans

The folder holds model.safetensors (robot, speaker, humans), config.json (recipe, lexicon, what was measured) and
log.json (curves). Half an hour on one core.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from describer.errors import RecipeError
from describer.eval.games.driving.driver import Driver
from describer.eval.games.driving.drivers import Drivers
from describer.eval.games.driving.humans import measure_humans
from describer.eval.games.driving.informed import Informed
from describer.eval.games.driving.lessons import Lessons, play_alone
from describer.eval.games.driving.logs import Lexicon, read_games, split
from describer.eval.games.driving.world import begin
from describer.training.fit import fit
from describer.training.recipe import under


@dataclass(frozen=True)
class DriversRecipe:
    """What the drivers learn from, and how."""

    out: str
    "folder of checkpoints, curves and weights"
    data: str
    "folder of the shared data with driving/games.jsonl; $DESCRIBER_DATA overrides it"
    hidden: int = 96
    "units of the robot's layers"
    steps: int = 5000
    "batches of games"
    batch: int = 64
    "games a step"
    learning_rate: float = 3e-3
    "peak learning rate of AdamW, cosine to zero"
    discount: float = 0.95
    "of the next step's value"
    trace: float = 0.9
    "λ of the returns"
    explore: float = 0.1
    "probability of an action at random, at first"
    taught: tuple[float, float] = (0.4, 0.6)
    "until the first part of the steps only the informed pair teaches, from the second on only play"
    imitation: int = 600
    "steps of the model humans and of the robots' speaker model"
    seed: int = 0
    "seed of everything"

    def __post_init__(self) -> None:
        object.__setattr__(self, "taught", tuple(self.taught))  # YAML has lists only
        if self.steps < 1 or self.batch < 1:
            raise RecipeError(f"steps and batch must be at least 1. Got {self.steps} and {self.batch}. Raise them.")

    def train(self, resume: bool = True, progress: Callable[[int, int], None] | None = None) -> Path:
        """Trains and returns the folder."""
        out = Path(self.out)
        out.mkdir(parents=True, exist_ok=True)
        games = read_games(under(self.data, "driving/games.jsonl"))
        known, unknown = split(games)
        lexicon = Lexicon.of(games)
        robot = train_robot(self, out, resume, progress)
        drivers = Drivers.learnt(robot, lexicon, known, self.seed, self.imitation)
        told = {**measure_robot(robot, self.seed), **measure_humans(drivers.humans, unknown, lexicon)}
        drivers.save(out, {"recipe": asdict(self), "data": f"{len(known)} logged games", "measured": told})
        return out


def train_robot(
    recipe: DriversRecipe, out: Path, resume: bool = True, progress: Callable[[int, int], None] | None = None
) -> Driver:
    """A driver that has learnt by playing with itself."""
    known = out / "informed.safetensors"
    if not known.is_file():
        Informed.solve(recipe.discount).save(known)
    torch.manual_seed(recipe.seed)
    driver = Driver(recipe.hidden)
    lessons = Lessons(
        driver, Informed.load(known), recipe.seed, recipe.steps, recipe.batch, recipe.explore, recipe.taught,
        recipe.trace,
    )  # fmt: skip
    fit(
        lessons, numbered, out, recipe.steps, recipe.learning_rate, recipe.seed, resume, every=min(500, recipe.steps),
        bf16=False, progress=progress,
    )  # fmt: skip
    return driver


def numbered(indices: Sequence[int]) -> dict[str, Tensor]:
    """A batch is a number; its games are played as they are learnt from."""
    return {"number": torch.tensor(indices[0])}


@torch.no_grad()
def measure_robot(driver: Driver, seed: int, games: int = 2000) -> dict[str, float]:
    """Reward of both cars, share of games completed and crashed, over new games with the noisy channel."""
    rng, generator = np.random.default_rng((seed, 1 << 30)), torch.Generator().manual_seed(seed + (1 << 30))
    played = play_alone(driver, begin(games, rng), rng, generator)
    return {
        "reward": round(float(played.reward.sum(0).mean()), 4),
        "completion": round(float(played.completed.float().mean()), 4),
        "crashes": round(float(played.crashed.float().mean()), 4),
        "games": games,
    }
