"""Trains the players of a reference game: agents by playing, model humans by imitation.

    describer train training/recipes/colors.yaml

Agents learn by one-step Q-learning through the noisy channel (Andreas 2017, with the published code's settings): the
listener chooses, mostly what it values most, is rewarded with 1 for the target, and moves the value of its choice; the
gradient goes on through the channel to the speaker. Model humans learn p(utterance | state) and the choice by
cross-entropy on people's rounds. The four losses share no weights. Curves are in log.json.
"""

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

import describer.weights
from describer.errors import RecipeError
from describer.eval.games.agents import Players
from describer.eval.games.rounds import ReferenceGame
from describer.eval.games.worlds import load_game
from describer.training.fit import fit

WEIGHTS, ABOUT = "model.safetensors", "config.json"
CARRIED = Path(describer.weights.__file__).parent / "games"
"Players that the package carries, a folder a game and seed."


@dataclass(frozen=True)
class PlayersRecipe:
    """What players are trained on, and how."""

    out: str
    "folder of checkpoints, curves and weights"
    game: str
    "colors, context or birds"
    data: str | None = None
    "folder of the shared data; None or missing files: the game's offline default"
    steps: int = 1000
    "steps in all"
    batch: int = 256
    "rounds a step"
    learning_rate: float = 3e-3
    "peak learning rate of AdamW, cosine to zero"
    product: bool = False
    "whether the agents' listener takes a product of candidate and message, as suits many attributes"
    relative: bool = False
    "whether it also sees how a candidate differs from the others: more is found, and messages tell less of the target"
    shares: bool = False
    "whether values are a softmax of scores, as just one candidate is the target: near ones are told apart sooner"
    directed: bool = False
    "whether speakers are told also the direction in which candidates differ, which helps where they differ little"
    explore: float = 0.1
    "probability that the listener chooses at random"
    seed: int = 0
    "seed of everything, also of the folds"

    def train(self, resume: bool = True) -> Path:
        """Trains and returns the folder; raises RecipeError for a game there is none of."""
        out = Path(self.out)
        out.mkdir(parents=True, exist_ok=True)
        data = None if self.data is None else os.environ.get("DESCRIBER_DATA", self.data)
        game = load_game(self.game, data, self.seed)
        print(f"playing with {game.source}")
        players = train_players(game, self, out, resume)
        save_file({name: weight.half() for name, weight in players.state_dict().items()}, out / WEIGHTS)
        about = {"recipe": asdict(self), "lexicon": game.lexicon, "source": game.source.partition(" (default")[0]}
        (out / ABOUT).write_text(json.dumps(about, indent=1, ensure_ascii=False), encoding="utf-8")
        return out


def train_players(
    game: ReferenceGame,
    recipe: PlayersRecipe,
    out: str | Path,
    resume: bool = True,
    progress: Callable[[int, int], None] | None = None,
) -> Players:
    """Players that have learnt the game's training fold, with weights that half precision holds."""
    if recipe.steps < 1 or recipe.batch < 1:
        raise RecipeError(f"steps and batch must be at least 1. Got {recipe.steps} and {recipe.batch}. Raise them.")
    torch.manual_seed(recipe.seed)
    players = Players(game.n_features, game.words, recipe.product, recipe.relative, recipe.directed)
    lessons = Lessons(game, recipe)
    fit(
        Taught(players, recipe.shares), lessons, out, recipe.steps, recipe.learning_rate, recipe.seed, resume,
        every=recipe.steps, bf16=False, progress=progress,
    )  # fmt: skip
    return players.half().float().eval()


def load_players(folder: Path, game: ReferenceGame) -> Players | None:
    """The trained players of a folder; None where there are none, or where they learnt another lexicon."""
    if not (folder / WEIGHTS).is_file():
        return None
    about = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
    if about["lexicon"] != list(game.lexicon) or about["source"] != game.source.partition(" (default")[0]:
        return None
    told = about["recipe"]
    players = Players(game.n_features, game.words, told["product"], told["relative"], told.get("directed", False))
    players.load_state_dict({name: weight.float() for name, weight in load_file(folder / WEIGHTS).items()})
    return players.eval()


class Lessons:
    """Batches of rounds with the chances of a step: the same index gives the same batch."""

    def __init__(self, game: ReferenceGame, recipe: PlayersRecipe) -> None:
        self.game, self.recipe = game, recipe

    def __call__(self, indices: Sequence[int]) -> dict[str, Tensor]:
        """The batch of the step whose number is the first index."""
        rng = np.random.default_rng((self.recipe.seed, 7, indices[0]))
        rounds = self.game.sample(self.recipe.batch, "train", rng)
        n, size = rounds.candidates.shape[:2]
        at_random = torch.from_numpy(np.where(rng.random(n) < self.recipe.explore, rng.integers(0, size, n), -1))
        noise = torch.from_numpy(rng.standard_normal((n, 64), dtype=np.float32))
        return {
            "candidates": rounds.candidates, "utterance": rounds.utterance, "noise": noise, "at_random": at_random
        }  # fmt: skip


class Taught(nn.Module):
    """The players with their losses and, for the curves, how often each listener finds the target."""

    def __init__(self, players: Players, shares: bool = False) -> None:
        super().__init__()
        self.players, self.shares = players, shares

    def forward(self, candidates: Tensor, utterance: Tensor, noise: Tensor, at_random: Tensor) -> dict[str, Tensor]:
        """One step of all four."""
        heard = self.players.speaker(candidates) + 0.3 * noise
        values = self.players.listener(candidates, heard).float()  # (rounds, candidates)
        values = values.softmax(1) if self.shares else values
        choice = torch.where(at_random < 0, values.argmax(1), at_random)
        chosen = values.gather(1, choice[:, None])[:, 0]
        play = F.mse_loss(chosen, (choice == 0).float())
        said = F.one_hot(utterance, self.players.human_speaker.words.shape[0]).float()
        speak = F.nll_loss(self.players.human_speaker(candidates).float(), utterance)
        scores = self.players.human_listener(candidates, said).float()
        hear = F.cross_entropy(scores, torch.zeros_like(utterance))
        return {
            "loss": play + speak + hear,
            "agents": (values.argmax(1) == 0).float().mean(),
            "humans": (scores.argmax(1) == 0).float().mean(),
            "speaking": speak.detach(),
        }
