"""Drivers: recurrent networks that see their own car, hear the other's last message, and answer with values and words.

    robot = Driver()                                        # both cars are driven by one set of weights
    memory, heard = robot.silence(10)                       # ten cars, before the first step
    values, message, memory = robot(observe(traffic).flatten(0, 1), heard, memory)
    heard = channel(message)[partner]                       # what the other cars hear before their next step

The published agent (Andreas et al. 2017, code): a tanh layer over what is seen and heard, a GRU, and two linear
outputs; messages are vectors of length 1 that reach the other with Gaussian noise, which gradients pass through.
"""

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from describer.eval.games.driving.world import ACTIONS, ROADS, SIZE, STEPS, Traffic, on_board

NOISE = 0.3
"standard deviation of the channel in every dimension of a message of length 1"

SIZES = (len(ROADS), SIZE * SIZE + 1, SIZE * SIZE, 2, len(STEPS))
"how many values each field of an observation has: map, position (the last is gone), goal, arrived, direction"

N_CODES = sum(SIZES)
OFFSETS = np.concatenate([[0], np.cumsum(SIZES)[:-1]])


def observe(traffic: Traffic) -> Int[Tensor, "games 2 5"]:
    """What each driver sees, its own car only: five codes, each a place in one long one-hot vector of N_CODES."""
    row, column = traffic.position[..., 0], traffic.position[..., 1]
    place = np.where(on_board(traffic.position), row * SIZE + column, SIZE * SIZE)
    goal = traffic.goal[..., 0] * SIZE + traffic.goal[..., 1]
    on = np.broadcast_to(traffic.map[:, None], place.shape)
    codes = np.stack([on, place, goal, traffic.arrived, traffic.direction], -1) + OFFSETS
    return torch.from_numpy(codes)


def channel(
    message: Float[Tensor, "*cars size"], generator: torch.Generator | None = None, noise: float = NOISE
) -> Float[Tensor, "*cars size"]:
    """The message as it is heard."""
    return message + noise * torch.randn(message.shape, generator=generator, dtype=message.dtype)


class Driver(nn.Module):
    """Sees five codes and hears a vector; answers with the value of each action and a message of length 1."""

    def __init__(self, hidden: int = 128, message: int = 64) -> None:
        super().__init__()
        self.hidden, self.message = hidden, message
        self.seen = nn.Embedding(N_CODES, hidden)
        self.heard = nn.Linear(message, hidden)
        self.memory = nn.GRUCell(hidden, hidden)
        self.say = nn.Linear(hidden, message)
        self.value = nn.Linear(hidden, len(ACTIONS))
        nn.init.normal_(self.seen.weight, std=0.3)

    def silence(self, cars: int) -> tuple[Float[Tensor, "cars hidden"], Float[Tensor, "cars message"]]:
        """(memory, what was heard) before the first step."""
        return torch.zeros(cars, self.hidden), torch.zeros(cars, self.message)

    def look(self, codes: Int[Tensor, "*cars 5"]) -> Float[Tensor, "*cars hidden"]:
        """What is seen, before the tanh."""
        return self.seen(codes).sum(-2)

    def recall(
        self,
        look: Float[Tensor, "cars hidden"],
        heard: Float[Tensor, "cars message"],
        memory: Float[Tensor, "cars hidden"],
    ) -> tuple[Float[Tensor, "cars message"], Float[Tensor, "cars hidden"]]:
        """(message of length 1, memory) after one more step."""
        memory = self.memory(torch.tanh(look + self.heard(heard)), memory)
        return F.normalize(self.say(memory), dim=-1), memory

    def forward(
        self,
        codes: Int[Tensor, "cars 5"],
        heard: Float[Tensor, "cars message"],
        memory: Float[Tensor, "cars hidden"],
    ) -> tuple[Float[Tensor, "cars 4"], Float[Tensor, "cars message"], Float[Tensor, "cars hidden"]]:
        """(value of each action, message, memory) of one step."""
        message, memory = self.recall(self.look(codes), heard, memory)
        return self.value(memory), message, memory


def swap(heard: Float[Tensor, "cars size"]) -> Float[Tensor, "cars size"]:
    """Each car's message at the other car's place; cars of one game lie side by side."""
    return heard.unflatten(0, (-1, 2)).flip(1).flatten(0, 1)
