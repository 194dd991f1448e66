"""The logged games of human drivers, and the lexicon of what they said.

games = read_games("shared/data/driving/games.jsonl")   # 382
games[0].traffic, games[0].actions, games[0].messages   # (steps + 1,) games of one car pair each, (steps, cars)
train, test = split(games)                              # the last 100 are the test games
Lexicon.of(train).multi_hot(["turning left"])           # (1, terms)
"""

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from describer.errors import DescriberError
from describer.eval.games.driving.world import ROADS, Traffic

N_TEST = 100
"games held out: the last ones"

LEFT_SINCE = "2017-01-23"
"games from this day on take arrived cars off the map; earlier ones leave them standing, out of the way"


@dataclass(frozen=True)
class Game:
    """One logged game: its worlds one after the other, and what both drivers did and said in each but the last."""

    name: str
    "time stamp and id"
    traffic: Traffic
    "(steps + 1) worlds, as many games of `Traffic`"
    actions: Int[np.ndarray, "steps 2"]
    messages: tuple[tuple[str, str], ...]
    "(steps, cars); empty where nothing was said; heard by the other car before its next action"

    @property
    def leaves(self) -> bool:
        """Whether arrived cars are taken off the map."""
        return self.name >= LEFT_SINCE

    def __len__(self) -> int:
        return len(self.actions)


def read_games(path: str | Path) -> list[Game]:
    """All games of a file of JSON lines, or of the `games.jsonl` in a folder, in order of time."""
    path = Path(path)
    path = path / "games.jsonl" if path.is_dir() else path
    if not path.is_file():
        raise DescriberError(f"the logged driving games must be a file of JSON lines. Got {path}. Check the path.")
    try:
        return [read_game(json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines()]
    except (ValueError, KeyError, IndexError, TypeError) as fault:
        raise DescriberError(
            f"{path} must hold one logged game a line. Got {type(fault).__name__}: {fault}."
        ) from fault


def read_game(game: dict[str, Any]) -> Game:
    """One game from its JSON."""
    worlds, moves = game["log"][::2], game["log"][1::2]
    cars = {key: np.array([[car[key] for car in world["cars"]] for world in worlds]) for key in worlds[0]["cars"][0]}
    road = np.array(worlds[0]["road"]) > 0
    known = [on for on, ours in enumerate(ROADS) if np.array_equal(ours, road)]
    if len(known) != 1:
        raise ValueError(f"an unknown road in {game['game']}")
    on = np.full(len(worlds), known[0])
    traffic = Traffic(on, cars["pos"], cars["dir"], cars["goal"], cars["done"].astype(bool))
    actions = np.array([[car["action"] for car in pair] for pair in moves], int).reshape(len(moves), 2)
    messages = tuple((pair[0]["message"].strip(), pair[1]["message"].strip()) for pair in moves)
    return Game(game["game"], traffic, actions, messages)


def split(games: Sequence[Game], n_test: int = N_TEST) -> tuple[list[Game], list[Game]]:
    """(all but the last games, the last games)."""
    return list(games[:-n_test]), list(games[-n_test:])


def words(message: str) -> tuple[str, ...]:
    """The message's words, in lower case, without punctuation at their ends."""
    return tuple(filter(None, (word.strip(".,!?;:\"'") for word in message.lower().split())))


@dataclass(frozen=True)
class Lexicon:
    """What can be said to a robot: silence, and every message of up to three words that was often said."""

    terms: tuple[tuple[str, ...], ...]
    "words of each term, in order of frequency; the first is silence, ()"

    @classmethod
    def of(cls, games: Iterable[Game], min_count: int = 4, max_words: int = 3) -> "Lexicon":
        """From the logs: whole messages of at most ``max_words`` words, said at least ``min_count`` times."""
        counts = Counter(words(text) for game in games for pair in game.messages for text in pair)
        said = [term for term, count in counts.most_common() if term and len(term) <= max_words and count >= min_count]
        return cls(((), *said))

    def __len__(self) -> int:
        return len(self.terms)

    def text(self, index: int) -> str:
        """The term as it is read."""
        return " ".join(self.terms[index]) or "(silence)"

    def longest(self, message: str) -> int:
        """Place of the term with most words that all occur in the message; of equals the commonest; 0 is silence."""
        said = set(words(message))
        return max((len(term), -i) for i, term in enumerate(self.terms) if said.issuperset(term))[1] * -1

    def multi_hot(self, messages: Sequence[str]) -> Float[np.ndarray, "messages terms"]:
        """1 for every term whose words all occur in the message; silence and strange messages are silence."""
        hot = np.zeros((len(messages), len(self)), np.float32)
        for row, message in zip(hot, messages, strict=True):
            said = set(words(message))
            row[[i for i, term in enumerate(self.terms) if term and said.issuperset(term)]] = 1
        hot[:, 0] = ~hot[:, 1:].any(1)
        return hot
