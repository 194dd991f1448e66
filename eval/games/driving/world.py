"""The rules of the driving game: two cars on an 8×8 map, many games side by side, no loop over games.

    traffic = begin(256, np.random.default_rng(0))          # 256 games, each with two cars
    traffic, outcome = drive(traffic, actions)              # actions (games, cars): stay, forward, left, right
    outcome.reward                                          # (games,) of both cars together

The rules are those that 382 logged games of human drivers obey, step for step (Andreas et al. 2017, §6.3). A car covers
the cell of its head, ``position``, and the cell behind it. A turn moves too; at the border the car turns on the spot.
Cars that cover one cell after a step have crashed, and the game ends; a car that had arrived before is out of the way.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float, Int

SIZE = 8
"cells a side"

STEPS = np.array([(-1, 0), (0, 1), (1, 0), (0, -1)])
"(row, column) of one move to the north, east, south and west: a direction is a place in this table"

ACTIONS = ("stay", "forward", "left", "right")
TURNS = np.array([0, 0, -1, 1])
"quarter turns to the right of each action"

HORIZON = 20
"steps after which a game is given up"

GONE = -1
"row and column of a car that has arrived and left"

LAYOUTS = (
    """..##....
       ..##....
       ..##....
       ########
       ########
       ....##..
       ....##..
       ....##..""",
    """....#...
       ....#...
       ....#...
       ########
       ########
       ....#...
       ....#...
       ....#...""",
    """...##...
       ...##...
       ...##...
       #####...
       #####...
       ...##...
       ...##...
       ...##...""",
    """...##...
       ...##...
       ...##...
       ########
       ########
       ...##...
       ...##...
       ...##...""",
    """..###...
       ..###...
       ..###...
       ..###...
       ..###...
       ..###...
       ..###...
       ..###...""",
)
STARTS = (
    ((3, 6, 3), (6, 5, 0), (4, 1, 1), (1, 2, 2)),
    ((3, 6, 3), (6, 4, 0), (4, 1, 1)),
    ((6, 4, 0), (4, 1, 1), (1, 3, 2)),
    ((3, 6, 3), (6, 4, 0), (4, 1, 1), (1, 3, 2)),
    ((6, 2, 0), (6, 3, 0), (6, 4, 0)),
)
"(row, column, direction) where cars enter each map"

GOALS = (
    ((0, 3), (4, 7), (7, 4), (3, 0)),
    ((0, 4), (4, 7), (3, 0)),
    ((0, 4), (7, 3), (3, 0)),
    ((0, 4), (4, 7), (7, 3), (3, 0)),
    ((0, 2), (0, 3), (0, 4)),
)
"(row, column) where cars leave each map"


def read_road(layout: str) -> Bool[np.ndarray, "8 8"]:
    """Where the road is, from eight lines of ``#`` (road) and ``.``."""
    return np.array([[cell == "#" for cell in line.strip()] for line in layout.splitlines()])


ROADS = np.stack([read_road(layout) for layout in LAYOUTS])
"(maps, 8, 8)"


@dataclass(frozen=True)
class Traffic:
    """Where the cars of many games are; the arrays are never changed in place."""

    map: Int[np.ndarray, " games"]
    "which road, a place in ``ROADS``"
    position: Int[np.ndarray, "games 2 2"]
    "(row, column) of each car's head; GONE, GONE once it has left"
    direction: Int[np.ndarray, "games 2"]
    "place in STEPS"
    goal: Int[np.ndarray, "games 2 2"]
    arrived: Bool[np.ndarray, "games 2"]

    def __len__(self) -> int:
        return len(self.map)

    def pick(self, games: np.ndarray) -> "Traffic":
        """These games only: places, or a mask."""
        fields = (self.map, self.position, self.direction, self.goal, self.arrived)
        return Traffic(*(field[games] for field in fields))


def joined(worlds: Sequence[Traffic]) -> Traffic:
    """Many games' worlds as one, one after the other."""
    fields = ("map", "position", "direction", "goal", "arrived")
    return Traffic(*(np.concatenate([getattr(world, field) for world in worlds]) for field in fields))


@dataclass(frozen=True)
class Outcome:
    """What a step did, one entry a game."""

    reward: Float[np.ndarray, " games"]
    "of both cars together"
    crashed: Bool[np.ndarray, " games"]
    completed: Bool[np.ndarray, " games"]
    "both cars have arrived, and have not crashed on arrival"
    over: Bool[np.ndarray, " games"]
    "crashed, or both cars arrived"


def begin(games: int, rng: np.random.Generator, maps: tuple[int, ...] = tuple(range(len(LAYOUTS)))) -> Traffic:
    """Games with a random map, two different entrances, and two exits that may be one."""
    on = rng.choice(np.array(maps), games)
    n_starts, n_goals = np.array([len(s) for s in STARTS])[on], np.array([len(g) for g in GOALS])[on]
    first = rng.integers(n_starts)
    second = (first + rng.integers(1, n_starts)) % n_starts
    start = _table(STARTS)[on[:, None], np.stack([first, second], 1)]  # (games, cars, 3)
    goal = _table(GOALS)[on[:, None], rng.integers(n_goals[:, None], size=(games, 2))]
    return Traffic(on, start[..., :2], start[..., 2], goal, np.zeros((games, 2), bool))


def _table(rows: tuple[tuple[tuple[int, ...], ...], ...]) -> np.ndarray:
    """Rows of unlike length as one array; no row is read beyond its end."""
    longest = max(map(len, rows))
    return np.array([row + row[:1] * (longest - len(row)) for row in rows])


def drive(
    traffic: Traffic,
    actions: Int[np.ndarray, "games 2"],
    leaves: bool = True,
    roads: Bool[np.ndarray, "maps 8 8"] = ROADS,
    ghosts: bool = False,
) -> tuple[Traffic, Outcome]:
    """All games one step on. A car that arrived earlier is at (GONE, GONE), or stays, unseen, without ``leaves``.
    ``ghosts`` never crash.

    Reward: -.01 a step and car on its way, .1 a cell of L1 distance to the goal gained, 1 for arriving, -.5 a covered
    cell off the road, -2 for a crash.
    """
    moving = ~traffic.arrived
    direction = np.where(moving, (traffic.direction + TURNS[actions]) % 4, traffic.direction)
    ahead = traffic.position + STEPS[direction] * (moving & (actions > 0))[..., None]
    blocked = moving & ~on_board(ahead)
    position = np.where(blocked[..., None], traffic.position, ahead)
    arrives = moving & same(position, traffic.goal)
    tail = position - STEPS[direction]
    crashed = moving[:, 0] & moving[:, 1] & _touch(position, tail) & (not ghosts)
    gained = distance(traffic.position, traffic.goal) - distance(position, traffic.goal)
    off = sum((~on_road(roads, traffic.map, cell)).astype(float) for cell in (position, tail))
    of_cars = np.where(moving, -0.01 + 0.1 * gained + arrives - 0.5 * off, 0.0)
    reward = of_cars[:, 0] + of_cars[:, 1] - 2.0 * crashed
    if leaves:
        position = np.where(moving[..., None], position, GONE)
    after = replace(traffic, position=position, direction=direction, arrived=traffic.arrived | arrives)
    both = after.arrived[:, 0] & after.arrived[:, 1]
    return after, Outcome(reward, crashed, both & ~crashed, both | crashed)


def distance(a: Int[np.ndarray, "games 2 2"], b: Int[np.ndarray, "games 2 2"]) -> Int[np.ndarray, "games 2"]:
    """L1 distance in cells."""
    return np.abs(a[..., 0] - b[..., 0]) + np.abs(a[..., 1] - b[..., 1])


def same(a: Int[np.ndarray, "*rest 2"], b: Int[np.ndarray, "*rest 2"]) -> Bool[np.ndarray, "*rest"]:
    """Whether two cells are one; faster than a reduction over two numbers."""
    return (a[..., 0] == b[..., 0]) & (a[..., 1] == b[..., 1])


def on_board(cell: Int[np.ndarray, "*rest 2"]) -> Bool[np.ndarray, "*rest"]:
    """Whether the cell is one of the map's."""
    row, column = cell[..., 0], cell[..., 1]
    return (row >= 0) & (row < SIZE) & (column >= 0) & (column < SIZE)


def on_road(
    roads: Bool[np.ndarray, "maps 8 8"], on: Int[np.ndarray, " games"], cell: Int[np.ndarray, "games 2 2"]
) -> Bool[np.ndarray, "games 2"]:
    """Whether the cell is road; what is off the board is not."""
    inside = on_board(cell)
    row, column = np.where(inside, cell[..., 0], 0), np.where(inside, cell[..., 1], 0)
    return roads[on[:, None], row, column] & inside


def _touch(position: np.ndarray, tail: np.ndarray) -> np.ndarray:
    """Whether a cell of the first car is one of the second's."""
    first = (position[:, 0], tail[:, 0])
    second = (position[:, 1], tail[:, 1])
    return same(first[0], second[0]) | same(first[0], second[1]) | same(first[1], second[0]) | same(first[1], second[1])
