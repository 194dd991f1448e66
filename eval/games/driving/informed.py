"""What the game is worth to two drivers who see everything: values by dynamic programming.

    worth = Informed.solve(discount=.95)                     # some seconds on one core; save(), load()
    worth.values(traffic)                                    # (games, 4, 4) of each pair of actions

The first lesson of drivers who see only their own car: what they cannot see, they must be told. Values are discounted
sums of the game's reward, without end of time, and exact but for one kindness: from the second step on, a car that
arrives cannot be hit any more in that same step. So they are a lesson, and no bound on what drivers can reach.
"""

from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, Int
from safetensors.numpy import load_file, save_file

from describer.eval.games.driving.world import ACTIONS, GOALS, ROADS, SIZE, STEPS, Traffic, drive, on_board

N_PLACES = SIZE * SIZE * len(STEPS) + 1
"positions × directions of one car; the last place is that of a car that has arrived"


@dataclass(frozen=True)
class Alone:
    """How one car moves on one map towards one goal, whatever the other does."""

    following: Int[np.ndarray, "places 4"]
    "place after each action"
    reward: Float[np.ndarray, "places 4"]


def alone(on: int, goal: tuple[int, int], roads: np.ndarray = ROADS) -> Alone:
    """The moves of one car, asked of the rules themselves: the other car of each game has arrived."""
    place = np.repeat(np.arange(N_PLACES - 1), len(ACTIONS))
    action = np.tile(np.arange(len(ACTIONS)), N_PLACES - 1)
    cell, direction = np.divmod(place, len(STEPS))
    ours = np.stack(np.divmod(cell, SIZE), -1)
    other = np.full_like(ours, -1)
    n = len(place)
    traffic = Traffic(
        np.full(n, on),
        np.stack([ours, other], 1),
        np.stack([direction, np.zeros_like(direction)], 1),
        np.broadcast_to(np.array(goal), (n, 2, 2)).copy(),
        np.stack([np.zeros(n, bool), np.ones(n, bool)], 1),
    )
    after, outcome = drive(traffic, np.stack([action, np.zeros_like(action)], 1), roads=roads)
    following = np.full((N_PLACES, len(ACTIONS)), N_PLACES - 1)
    following[:-1] = places(after)[:, 0].reshape(-1, len(ACTIONS))
    reward = np.zeros((N_PLACES, len(ACTIONS)))
    reward[:-1] = outcome.reward.reshape(-1, len(ACTIONS))
    return Alone(following, reward)


def places(traffic: Traffic) -> Int[np.ndarray, "games 2"]:
    """Each car's position and direction as one number; N_PLACES - 1 once it has arrived."""
    cell = traffic.position[..., 0] * SIZE + traffic.position[..., 1]
    return np.where(traffic.arrived, N_PLACES - 1, cell * len(STEPS) + traffic.direction)


def touching() -> Bool[np.ndarray, "places places"]:
    """Whether two cars at these places cover one cell; a car that has arrived covers none."""
    cell, direction = np.divmod(np.arange(N_PLACES - 1), len(STEPS))
    head = np.stack(np.divmod(cell, SIZE), -1)
    tail = head - STEPS[direction]
    covered = np.zeros((N_PLACES, SIZE * SIZE), bool)
    covered[np.arange(N_PLACES - 1), cell] = True
    inside = on_board(tail)
    covered[np.flatnonzero(inside), (tail[:, 0] * SIZE + tail[:, 1])[inside]] = True
    return (covered.astype(np.float32) @ covered.astype(np.float32).T) > 0


@dataclass(frozen=True)
class Informed:
    """The value of every world of the five maps to two drivers who see everything."""

    value: Float[np.ndarray, "maps goals goals places places"]
    "goals by their place in GOALS; unused ones are 0"
    discount: float

    @classmethod
    def solve(cls, discount: float = 0.95, sweeps: int = 40, roads: np.ndarray = ROADS) -> "Informed":
        """Value iteration; ``sweeps`` steps are looked ahead."""
        most = max(map(len, GOALS))
        value = np.zeros((len(roads), most, most, N_PLACES, N_PLACES), np.float32)
        touch = touching()
        for on, goals in enumerate(GOALS):
            movers = [alone(on, goal, roads) for goal in goals]
            for (i, first), (j, second) in product(enumerate(movers), repeat=2):
                if j < i:
                    value[on, i, j] = value[on, j, i].T
                else:
                    value[on, i, j] = _iterate(first, second, touch, discount, sweeps)
        return cls(value, discount)

    def values(self, traffic: Traffic) -> Float[np.ndarray, "games 4 4"]:
        """The value of each pair of actions, (first car's, second car's), where neither game is over."""
        n, pairs = len(traffic), list(product(range(len(ACTIONS)), repeat=2))
        many = traffic.pick(np.repeat(np.arange(n), len(pairs)))
        after, outcome = drive(many, np.tile(np.array(pairs), (n, 1)))
        goal = self._goals(many)
        at = places(after)
        later = self.value[many.map, goal[:, 0], goal[:, 1], at[:, 0], at[:, 1]]
        return (outcome.reward + self.discount * ~outcome.over * later).reshape(n, len(ACTIONS), len(ACTIONS))

    def _goals(self, traffic: Traffic) -> np.ndarray:
        """Place in GOALS of each car's goal."""
        number = np.zeros((len(ROADS), SIZE, SIZE), int)
        for on, goals in enumerate(GOALS):
            for i, (row, column) in enumerate(goals):
                number[on, row, column] = i
        return number[traffic.map[:, None], traffic.goal[..., 0], traffic.goal[..., 1]]

    def save(self, path: Path) -> None:
        """As half floats."""
        save_file({"value": self.value.astype(np.float16), "discount": np.array([self.discount])}, path)

    @classmethod
    def load(cls, path: Path) -> "Informed":
        """What was saved."""
        kept = load_file(path)
        return cls(kept["value"].astype(np.float32), float(kept["discount"][0]))


def _iterate(first: Alone, second: Alone, touch: np.ndarray, discount: float, sweeps: int) -> np.ndarray:
    """The value (places, places) of one pair of goals."""
    value = np.zeros((N_PLACES, N_PLACES), np.float32)
    gone = N_PLACES - 1
    for _ in range(sweeps):
        best = np.full_like(value, -np.inf)
        ahead = np.where(touch, -2.0, discount * value).astype(np.float32)
        for a, b in product(range(len(ACTIONS)), repeat=2):
            rows, columns = first.following[:, a], second.following[:, b]
            reward = first.reward[:, a][:, None] + second.reward[:, b]
            np.maximum(best, reward + ahead[rows][:, columns], out=best)
        best[gone, gone] = 0
        change = np.abs(best - value).max()
        value = best
        if change < 1e-4:
            break
    return value
