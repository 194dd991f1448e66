"""A robot in the seat of a logged human, beside the other human, who does and says what was logged.

    result = replay(driver, games, codes, rng)               # codes (terms, choices, 64): what a term sounds like
    result.reward, result.completed                          # one entry a game and seat

The human cannot hear the robot and drives on as if alone ("deaf"; Andreas et al. 2017, §7). After the end of the log
the human stays; the game is given up after 20 steps. What the human says reaches the robot in translation, as one of
the term's codes at random.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from describer.eval.games.driving.driver import Driver, observe
from describer.eval.games.driving.logs import Game, Lexicon
from describer.eval.games.driving.world import HORIZON, Traffic, drive, joined


@dataclass(frozen=True)
class Replayed:
    """How the games went, all games with the robot in the first seat, then all with it in the second."""

    reward: Float[np.ndarray, " rides"]
    "of both cars"
    completed: Bool[np.ndarray, " rides"]
    crashed: Bool[np.ndarray, " rides"]
    worlds: tuple[Traffic, ...]
    "before each step, and at the end"


@torch.no_grad()
def replay(
    driver: Driver,
    games: Sequence[Game],
    lexicon: Lexicon,
    codes: Float[Tensor, "terms choices message"] | None,
    rng: np.random.Generator,
) -> Replayed:
    """Every game twice, with the robot in each seat; without ``codes`` the robot hears nothing."""
    n = len(games)
    seat = np.repeat([0, 1], n)
    rides = np.arange(2 * n)
    acted, said = logged(games, lexicon)
    traffic = joined([game.traffic.pick(np.array([0])) for game in games] * 2)
    memory, heard = driver.silence(2 * n)
    over, completed, crashed, reward = *(np.zeros(2 * n, bool) for _ in range(3)), np.zeros(2 * n)
    worlds = [traffic]
    for step in range(HORIZON):
        values, _, memory = driver(observe(traffic)[torch.from_numpy(rides), torch.from_numpy(seat)], heard, memory)
        actions = np.tile(acted[step], (2, 1))
        actions[rides, seat] = values.argmax(1).numpy()
        traffic, outcome = drive(traffic, actions)
        reward += np.where(over, 0, outcome.reward)
        completed |= outcome.completed & ~over
        crashed |= outcome.crashed & ~over
        over |= outcome.over
        worlds.append(traffic)
        if codes is not None:
            term = np.tile(said[step], (2, 1))[rides, 1 - seat]
            heard = codes[torch.from_numpy(term), torch.from_numpy(rng.integers(codes.shape[1], size=2 * n))]
    return Replayed(reward, completed, crashed, tuple(worlds))


def logged(
    games: Sequence[Game], lexicon: Lexicon
) -> tuple[Int[np.ndarray, "steps games 2"], Int[np.ndarray, "steps games 2"]]:
    """(actions, terms) of the humans up to the horizon; they stay and are silent after the end."""
    acted, said = (np.zeros((HORIZON, len(games), 2), int) for _ in range(2))
    for number, game in enumerate(games):
        length = min(len(game), HORIZON)
        acted[:length, number] = game.actions[:length]
        said[:length, number] = [[lexicon.longest(text) for text in pair] for pair in game.messages[:length]]
    return acted, said


def as_played(games: Sequence[Game]) -> tuple[Float[np.ndarray, " games"], Bool[np.ndarray, " games"]]:
    """(reward, completed) of the logged games themselves."""
    rewards, completed = [], []
    for game in games:
        _, outcome = drive(game.traffic.pick(np.arange(len(game))), game.actions, game.leaves)
        rewards.append(outcome.reward.sum())
        completed.append(outcome.completed[-1])
    return np.array(rewards), np.array(completed)
