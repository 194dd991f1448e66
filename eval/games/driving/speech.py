"""What a robot's messages mean: p(message | state), learnt from its games, and the states a listener thinks of.

    speaker = RobotSpeaker.learnt(driver, seed=0)
    states = with_strangers(codes, rng)                      # (contexts, 2, 5): what occurred, and something random
    gaussian_log_likelihood(heard, speaker(states), speaker.deviation)   # (messages, contexts, 2)

A robot's message depends on all it has seen and heard; its mean given the state alone is regressed (Andreas et al.
2017, code), with the deviation of what is left and of the channel.
"""

import math

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from describer.eval.games.driving.driver import N_CODES, NOISE, OFFSETS, Driver, channel, observe
from describer.eval.games.driving.lessons import play_alone
from describer.eval.games.driving.world import GOALS, ROADS, SIZE, STEPS, begin


class RobotSpeaker(nn.Module):
    """The mean message in a state, and the deviation of what is heard from it."""

    spread: Tensor
    "deviation in every dimension"

    def __init__(self, message: int = 64, hidden: int = 128) -> None:
        super().__init__()
        self.seen = nn.Embedding(N_CODES, hidden)
        self.mean = nn.Linear(hidden, message)
        self.register_buffer("spread", torch.tensor(NOISE))
        nn.init.normal_(self.seen.weight, std=0.3)

    @property
    def deviation(self) -> float:
        """Of what is heard from the mean, in every dimension."""
        return float(self.spread)

    def forward(self, codes: Int[Tensor, "*states 5"]) -> Float[Tensor, "*states message"]:
        """The mean message."""
        return self.mean(torch.tanh(self.seen(codes).sum(-2)))

    @classmethod
    def learnt(cls, driver: Driver, seed: int, games: int = 1500, steps: int = 600) -> "RobotSpeaker":
        """From games the robots play with each other."""
        torch.manual_seed(seed)
        speaker = cls(driver.message)
        codes, sent, _ = spoken(driver, games, np.random.default_rng((seed, 3)))
        optimizer = torch.optim.Adam(speaker.parameters(), lr=3e-3)
        for _ in range(steps):
            some = torch.randint(len(codes), (256,))
            loss = F.mse_loss(speaker(codes[some]), sent[some])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        with torch.no_grad():
            left = float(F.mse_loss(speaker(codes), sent))
        speaker.spread.fill_(math.sqrt(NOISE**2 + left))
        return speaker.eval()


@torch.no_grad()
def spoken(
    driver: Driver, games: int, rng: np.random.Generator
) -> tuple[Int[Tensor, "cars 5"], Float[Tensor, "cars message"], Float[Tensor, "cars message"]]:
    """(states, messages sent, messages heard) of robots on their way, in games with each other."""
    generator = torch.Generator().manual_seed(int(rng.integers(1 << 31)))
    played = play_alone(driver, begin(games, rng), rng, generator)
    codes = torch.stack([observe(world) for world in played.worlds])[played.moving]
    sent = played.messages[played.moving]
    return codes, sent, channel(sent, generator)


def with_strangers(codes: Int[Tensor, "contexts 5"], rng: np.random.Generator) -> Int[Tensor, "contexts 2 5"]:
    """Each state, and one of a car on its way anywhere on the road of the same map, with any direction and goal."""
    n, on = len(codes), codes[:, 0].numpy()
    cells = [np.flatnonzero(road) for road in ROADS]
    goals = [np.array([row * SIZE + column for row, column in ends]) for ends in GOALS]
    place = np.array([cells[m][rng.integers(len(cells[m]))] for m in on])
    goal = np.array([goals[m][rng.integers(len(goals[m]))] for m in on])
    fields = [on, place, goal, np.zeros(n, int), rng.integers(len(STEPS), size=n)]
    return torch.stack([codes, torch.from_numpy(np.stack(fields, 1) + OFFSETS)], 1)
