"""Small logged games, robots and model humans for the tests of the driving game: they compute, on small sizes."""

import json
from pathlib import Path

import numpy as np

from describer.eval.games.driving.logs import Game, read_games
from describer.eval.games.driving.world import GONE, HORIZON, ROADS, begin, drive

SAID = ("", "going left", "Going left!", "you first", "i am going left now", "")


def log_of(number: int, rng: np.random.Generator) -> dict:
    """One game as it would be logged, by two drivers who act at random and say what comes next in SAID."""
    traffic, log, over = begin(1, rng), [], False
    while True:
        cars = [
            {
                "pos": traffic.position[0, car].tolist(),
                "dir": int(traffic.direction[0, car]),
                "goal": traffic.goal[0, car].tolist(),
                "done": bool(traffic.arrived[0, car]),
            }
            for car in (0, 1)
        ]
        log.append({"cars": cars, "road": ROADS[traffic.map[0]].astype(float).tolist()})
        step = len(log) // 2
        if over or step == HORIZON + 3:
            return {"game": f"2017-01-3{number % 2}_{number:05d}", "log": log}
        actions = np.where(traffic.arrived, 0, rng.integers(4, size=(1, 2)))
        texts = [SAID[(step + car + number) % len(SAID)] for car in (0, 1)]
        log.append([{"action": int(actions[0, car]), "message": texts[car]} for car in (0, 1)])
        traffic, outcome = drive(traffic, actions)
        over = bool(outcome.over[0])


def write_logs(folder: Path, n: int, seed: int = 0) -> Path:
    """The folder with a `games.jsonl` of n games."""
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps(log_of(number, rng)) for number in range(n)]
    (folder / "games.jsonl").write_text("\n".join(lines), encoding="utf-8")
    return folder


def some_games(folder: Path, n: int = 13, seed: int = 0) -> list[Game]:
    """n games, written and read."""
    return read_games(write_logs(folder, n, seed))


def gone(game: Game) -> bool:
    """Whether a car is off the map in some world of the game."""
    return bool((game.traffic.position == GONE).any())
