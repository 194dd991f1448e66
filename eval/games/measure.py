"""How well games went: means over games and seeds with intervals, and what a listener believes of what it heard.

measured([first_seed, second_seed])           # Measured(value, low, high, n_games, n_seeds)
belief_choice(log_likelihood)                 # per game 1 where the true state has the highest belief
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from describer.statistics import middle

CRITERIA = ("random", "direct", "pmi", "belief")


@dataclass(frozen=True)
class Measured:
    """A mean with its 95 % interval."""

    value: float
    "mean over seeds of the mean over games"
    low: float
    high: float
    n_games: int
    "of one seed"
    n_seeds: int


def measured(per_seed: Sequence[np.ndarray], n_draws: int = 1000) -> Measured:
    """Mean of what each game gave, with a bootstrap over seeds and, within each, over games."""
    rng = np.random.default_rng(0)
    games = [np.asarray(one, float) for one in per_seed]
    means = np.stack([one[rng.integers(0, len(one), (n_draws, len(one)))].mean(1) for one in games])
    seeds = rng.integers(0, len(games), (n_draws, len(games)))
    drawn = means[seeds, np.arange(n_draws)[:, None]].mean(1)
    low, high = middle(drawn)
    return Measured(float(np.mean([one.mean() for one in games])), low, high, len(games[0]), len(games))


def belief_choice(log_likelihood: Float[Tensor, "games hypotheses"]) -> Float[np.ndarray, " games"]:
    """1 where hypothesis 0, the truth, alone is the likeliest; 1/n where n are equally likely; 0 elsewhere."""
    best = log_likelihood.amax(1, keepdim=True)
    ties = (log_likelihood == best).sum(1)
    return torch.where(log_likelihood[:, 0] == best[:, 0], 1 / ties, 0.0).double().numpy()
