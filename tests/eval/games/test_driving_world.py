"""The rules of the driving game: one rule at a time on hand-made maps, a slow referee, and every logged game."""

import os
from pathlib import Path

import numpy as np
import pytest

from describer.eval.games.driving.logs import LEFT_SINCE, read_games, split
from describer.eval.games.driving.world import (
    GOALS,
    GONE,
    ROADS,
    SIZE,
    STARTS,
    Outcome,
    Traffic,
    begin,
    drive,
    joined,
    read_road,
)

SHARED = Path(os.environ.get("DESCRIBER_SHARED", Path(__file__).parents[4] / "shared")) / "data" / "driving"
needs_logs = pytest.mark.skipif(not SHARED.is_dir(), reason=f"no logged games at {SHARED}: set DESCRIBER_SHARED")

STAY, FORWARD, LEFT, RIGHT = range(4)
NORTH, EAST, SOUTH, WEST = range(4)
EVERYWHERE = np.ones((1, SIZE, SIZE), bool)
FAR = ((7, 7), SOUTH)
"a car that is in nobody's way, with its goal at (0, 0)"


def world(*cars: tuple[tuple[int, int], int], goals=((0, 0), (0, 0)), arrived=(False, False)) -> Traffic:
    """One game with two cars."""
    position, direction = [car[0] for car in cars], [car[1] for car in cars]
    return Traffic(
        np.zeros(1, int), np.array([position]), np.array([direction]), np.array([goals]), np.array([arrived])
    )


def step(traffic: Traffic, first: int, second: int = STAY, roads=EVERYWHERE, **options) -> tuple[Traffic, Outcome]:
    return drive(traffic, np.array([[first, second]]), roads=roads, **options)


@pytest.mark.parametrize(
    ("direction", "action", "position", "heading"),
    [
        (NORTH, STAY, (4, 3), NORTH),
        (NORTH, FORWARD, (3, 3), NORTH),
        (NORTH, LEFT, (4, 2), WEST),
        (NORTH, RIGHT, (4, 4), EAST),
        (EAST, FORWARD, (4, 4), EAST),
        (EAST, LEFT, (3, 3), NORTH),
        (SOUTH, FORWARD, (5, 3), SOUTH),
        (SOUTH, LEFT, (4, 4), EAST),
        (WEST, RIGHT, (3, 3), NORTH),
        (WEST, FORWARD, (4, 2), WEST),
    ],
)
def test_a_turn_moves_too(direction: int, action: int, position: tuple[int, int], heading: int) -> None:
    after, outcome = step(world(((4, 3), direction), FAR), action)
    assert after.position[0, 0].tolist() == list(position)
    assert after.direction[0, 0] == heading
    assert not outcome.over[0]


def test_at_the_border_a_car_stays_and_turns_on_the_spot() -> None:
    after, _ = step(world(((0, 3), NORTH), FAR), FORWARD)
    assert (after.position[0, 0].tolist(), after.direction[0, 0]) == ([0, 3], NORTH)
    after, _ = step(world(((0, 3), EAST), FAR), LEFT)
    assert (after.position[0, 0].tolist(), after.direction[0, 0]) == ([0, 3], NORTH)


@pytest.mark.parametrize(
    ("first", "second", "actions"),
    [
        (((4, 3), EAST), ((4, 5), WEST), (FORWARD, FORWARD)),  # both heads into one cell
        (((4, 3), EAST), ((4, 4), WEST), (FORWARD, FORWARD)),  # through each other
        (((4, 3), EAST), ((3, 4), NORTH), (FORWARD, STAY)),  # a head into a tail
        (((4, 3), EAST), ((5, 3), EAST), (STAY, LEFT)),  # a tail into a head: heads at (4, 3) both
        (((4, 3), EAST), ((2, 2), SOUTH), (STAY, RIGHT)),  # no: (2, 1) and (2, 2) are free
    ],
)
def test_cars_crash_where_they_cover_one_cell(first: tuple, second: tuple, actions: tuple[int, int]) -> None:
    _, outcome = step(world(first, second), *actions)
    free = second == ((2, 2), SOUTH)
    assert outcome.crashed[0] != free
    assert outcome.over[0] != free
    _, ghost = step(world(first, second), *actions, ghosts=True)
    assert not ghost.crashed[0]


def test_a_car_may_follow_at_its_heels() -> None:
    _, outcome = step(world(((4, 3), EAST), ((4, 5), EAST)), FORWARD, FORWARD)
    assert not outcome.crashed[0]


def test_an_arrived_car_leaves_is_not_asked_and_is_in_nobodys_way() -> None:
    before = world(((0, 0), NORTH), ((1, 0), NORTH), arrived=(True, False))
    after, outcome = step(before, FORWARD, FORWARD)
    assert after.position[0].tolist() == [[GONE, GONE], [0, 0]]
    assert after.arrived.all() and outcome.completed[0] and outcome.over[0] and not outcome.crashed[0]
    stays, _ = step(before, FORWARD, FORWARD, leaves=False)
    assert stays.position[0].tolist() == [[0, 0], [0, 0]]


def test_a_car_that_arrives_now_can_still_be_hit() -> None:
    _, outcome = step(world(((1, 0), NORTH), ((2, 0), NORTH), goals=((0, 0), (7, 7))), FORWARD, FORWARD)
    assert outcome.crashed[0] and outcome.over[0] and not outcome.completed[0]


def test_the_reward_is_of_both_cars() -> None:
    goals = ((0, 3), (7, 0))
    _, outcome = step(world(((4, 3), NORTH), ((4, 6), WEST), goals=goals), FORWARD, STAY)
    assert outcome.reward[0] == pytest.approx(0.1 - 0.01 - 0.01)
    _, outcome = step(world(((1, 3), NORTH), ((4, 6), WEST), goals=goals), FORWARD, FORWARD)
    assert outcome.reward[0] == pytest.approx(1 + 0.1 + 0.1 - 0.02)
    _, outcome = step(world(((4, 3), EAST), ((4, 5), WEST), goals=goals), FORWARD, FORWARD)
    assert outcome.reward[0] == pytest.approx(-2 - 0.1 + 0.1 - 0.02)
    _, outcome = step(world(((0, 3), EAST), ((4, 5), WEST), goals=goals, arrived=(True, False)), FORWARD, STAY)
    assert outcome.reward[0] == pytest.approx(-0.01)


def test_cells_off_the_road_cost() -> None:
    road = EVERYWHERE.copy()
    road[0, 4, 4] = False
    _, outcome = step(world(((4, 3), EAST), FAR), FORWARD, roads=road)  # the head is off the road
    assert outcome.reward[0] == pytest.approx(-0.02 - 0.1 - 0.5)
    _, outcome = step(world(((4, 4), EAST), FAR), FORWARD, roads=road)  # the tail is
    assert outcome.reward[0] == pytest.approx(-0.02 - 0.1 - 0.5)
    _, outcome = step(world(((4, 5), EAST), FAR), FORWARD, roads=road)
    assert outcome.reward[0] == pytest.approx(-0.02 - 0.1)


def referee(traffic: Traffic, actions: np.ndarray, road: np.ndarray) -> tuple[list, float, bool, bool]:
    """One game by the rules as they are told, one car after the other."""
    moves = [(-1, 0), (0, 1), (1, 0), (0, -1)]
    reward, cells, cars = 0.0, [], []
    for car in (0, 1):
        (row, column), goal = traffic.position[0, car].tolist(), traffic.goal[0, car].tolist()
        facing, arrived = int(traffic.direction[0, car]), bool(traffic.arrived[0, car])
        covered: list[tuple[int, int]] = []
        if not arrived:
            action, far = actions[car], abs(row - goal[0]) + abs(column - goal[1])
            facing = (facing + {LEFT: 3, RIGHT: 1}.get(action, 0)) % 4
            down, right = moves[facing]
            if action != STAY and 0 <= row + down < SIZE and 0 <= column + right < SIZE:
                row, column = row + down, column + right
            covered = [(row, column), (row - down, column - right)]
            arrived = [row, column] == goal
            off = sum(not (0 <= r < SIZE and 0 <= c < SIZE and road[r, c]) for r, c in covered)
            gained = far - abs(row - goal[0]) - abs(column - goal[1])
            reward += -0.01 + 0.1 * gained + (1 if arrived else 0) - 0.5 * off
        else:
            row, column = GONE, GONE
        cells.append(set(covered))
        cars.append(((row, column), facing, arrived))
    crashed = bool(cells[0] & cells[1])
    return cars, reward - 2 * crashed, crashed, all(car[2] for car in cars) and not crashed


def test_many_games_go_as_each_alone(rng: np.random.Generator) -> None:
    roads = rng.random((3, SIZE, SIZE)) < 0.7
    n = 997
    traffic = Traffic(
        rng.integers(3, size=n),
        rng.integers(SIZE, size=(n, 2, 2)),
        rng.integers(4, size=(n, 2)),
        rng.integers(SIZE, size=(n, 2, 2)),
        rng.random((n, 2)) < 0.2,
    )
    traffic.position[::2, 1] = np.clip(traffic.position[::2, 0] + rng.integers(-2, 3, (499, 2)), 0, SIZE - 1)
    actions = rng.integers(4, size=(n, 2))
    after, outcome = drive(traffic, actions, roads=roads)
    for game in range(n):
        cars, reward, crashed, completed = referee(
            traffic.pick(np.array([game])), actions[game], roads[traffic.map[game]]
        )
        ours = [
            (tuple(after.position[game, car].tolist()), after.direction[game, car], after.arrived[game, car])
            for car in (0, 1)
        ]
        assert ours == cars
        assert outcome.reward[game] == pytest.approx(reward)
        assert (outcome.crashed[game], outcome.completed[game]) == (crashed, completed)
    assert outcome.crashed.any() and outcome.completed.any()


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def test_games_begin_at_two_entrances_with_seeds(rng: np.random.Generator) -> None:
    traffic = begin(1009, rng)
    again = begin(1009, np.random.default_rng(0))
    assert (traffic.position == again.position).all() and (traffic.goal == again.goal).all()
    for game in range(len(traffic)):
        on = traffic.map[game]
        cars = [(*traffic.position[game, car].tolist(), int(traffic.direction[game, car])) for car in (0, 1)]
        assert cars[0] != cars[1] and set(cars) <= set(STARTS[on])
        assert {tuple(goal) for goal in traffic.goal[game].tolist()} <= set(GOALS[on])
    assert set(traffic.map.tolist()) == set(range(len(ROADS)))
    assert len(begin(0, rng)) == 0
    assert set(begin(23, rng, maps=(3,)).map.tolist()) == {3}


def test_entrances_and_exits_are_on_the_road() -> None:
    for road, starts, goals in zip(ROADS, STARTS, GOALS, strict=True):
        assert all(road[row, column] for row, column, _ in starts)
        assert all(road[row, column] for row, column in goals)


def test_roads_are_read_and_worlds_joined() -> None:
    road = read_road("\n".join(["#......."] * 7 + [".......#"]))
    assert road.sum() == 8 and road[7, 7] and road[0, 0]
    first = world(((4, 3), EAST), FAR)
    both = joined([first, world(((2, 1), WEST), FAR)])
    assert len(both) == 2 and both.position[1, 0].tolist() == [2, 1]


@needs_logs
def test_every_logged_game_is_replayed_exactly() -> None:
    games = read_games(SHARED)
    assert len(games) == 382
    assert {game.leaves for game in games} == {False, True}
    for game in games:
        before, last = game.traffic.pick(np.arange(len(game))), np.arange(len(game)) == len(game) - 1
        after, outcome = drive(before, game.actions, leaves=game.leaves)
        logged = game.traffic.pick(np.arange(1, len(game) + 1))
        for field in ("map", "position", "direction", "goal", "arrived"):
            assert (getattr(after, field) == getattr(logged, field)).all(), (game.name, field)
        assert (outcome.over == last).all(), game.name


@needs_logs
def test_logged_games_begin_where_ours_do() -> None:
    games = read_games(SHARED)
    starts, goals = set(), set()
    for game in games:
        first = game.traffic.pick(np.array([0]))
        for car in (0, 1):
            where = tuple(first.position[0, car].tolist())
            starts.add((int(first.map[0]), *where, int(first.direction[0, car])))
            goals.add((int(first.map[0]), *first.goal[0, car].tolist()))
    assert starts == {(on, *start) for on, some in enumerate(STARTS) for start in some}
    assert goals == {(on, *goal) for on, some in enumerate(GOALS) for goal in some}
    assert [len(part) for part in split(games)] == [282, 100]
    assert [game.name for game in games] == sorted(game.name for game in games)
    assert sum(game.name < LEFT_SINCE for game in games) == 73
