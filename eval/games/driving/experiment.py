"""The whole experiment of the driving game: belief evaluation and behaviour, under every translator.

    report = play(seeds=(0, 1, 2), n_games=1000, data="shared/data")

With the logs the last 100 games are replayed and their messages translated; without them (the default offline) model
humans play 100 games with each other, and these are replayed. Beside the numbers of Andreas et al. 2017, tables 2 and
3; the robots heard here are theirs in kind, not in weights.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image

from describer.beliefs import Criterion
from describer.errors import DescriberError
from describer.eval.games import DATA
from describer.eval.games.driving.drivers import Drivers, carried_seed
from describer.eval.games.driving.humans import demonstrations, simulate
from describer.eval.games.driving.lessons import play_alone
from describer.eval.games.driving.listening import Tongues, human_hears, robot_hears, shares_of
from describer.eval.games.driving.logs import Game, read_games, split
from describer.eval.games.driving.replay import Replayed, as_played, replay
from describer.eval.games.driving.roadmap import draw_examples
from describer.eval.games.driving.speech import spoken, with_strangers
from describer.eval.games.driving.world import begin
from describer.eval.games.measure import CRITERIA, belief_choice, measured
from describer.eval.games.report import Example, GameReport, Row

TITLE = "Driving: two cars, each of which sees only itself"
TRANSLATORS = cast(tuple[Criterion, ...], CRITERIA)
N_CODES, N_CHOICES, N_STATES = 1000, 10, 4000
"codes a term may be translated into; of these the best, of which one is heard at random; states contexts are from"

PAPER = {
    ("belief evaluation", "R", "R", "native"): 0.85,
    ("belief evaluation", "H", "H", "native"): 0.77,
    ("belief evaluation", "H", "R", "random"): 0.50,
    ("belief evaluation", "H", "R", "direct"): 0.45,
    ("belief evaluation", "H", "R", "belief"): 0.61,
    ("belief evaluation", "R", "H", "random"): 0.50,
    ("belief evaluation", "R", "H", "direct"): 0.45,
    ("belief evaluation", "R", "H", "belief"): 0.57,
    ("reward", "R", "R", "native"): 1.93,
    ("completion", "R", "R", "native"): 0.71,
    ("completion", "H", "H", "native"): 0.77,
    ("reward", "H", "R", "random"): 1.35,
    ("completion", "H", "R", "random"): 0.64,
    ("reward", "H", "R", "direct"): 1.49,
    ("completion", "H", "R", "direct"): 0.67,
    ("reward", "H", "R", "belief"): 1.54,
    ("completion", "H", "R", "belief"): 0.67,
}
"Andreas, Dragan & Klein 2017, tables 2 and 3"

Key = tuple[str, str, str, str, int, str]
"table, speaker, listener, criterion, k, measure"


@dataclass(frozen=True)
class Logs:
    """Human games to learn contexts from and to replay."""

    known: list[Game]
    unknown: list[Game]
    logged: bool
    "False: model humans played them"


def play(
    seeds: Sequence[int] = (0, 1, 2),
    n_games: int = 1000,
    progress: Callable[[str, int, int], None] | None = None,
    data: str | Path | None = None,
    fresh: bool = False,
) -> GameReport:
    """Measures every translator with the carried drivers, or with ones that are trained ``fresh`` (half an hour)."""
    started = time.monotonic()
    found: dict[Key, list[np.ndarray]] = {}
    for done, seed in enumerate(seeds):
        if progress:
            progress("seeds", done, len(seeds))
        drivers = _trained(seed, data, progress) if fresh else Drivers.carried(seed)
        logs = _logs(drivers, data, seed)
        tongues = _tongues(drivers, logs, seed)
        for key, values in {**_beliefs(tongues, logs, n_games), **_behaviour(tongues, logs, n_games)}.items():
            found.setdefault(key, []).append(values)
        if done == 0:
            examples, picture = _examples(tongues, logs)
    if progress:
        progress("seeds", len(seeds), len(seeds))
    rows = tuple(
        Row(*key, measured(values), PAPER.get((key[5] if key[0] == "behaviour" else key[0], *key[1:4])))
        for key, values in found.items()
    )
    notes = (*_notes(logs, seeds, fresh), _difference(found), f"{time.monotonic() - started:.0f} s")
    return GameReport("driving", TITLE, rows, examples, notes, picture)


def _difference(found: dict[Key, list[np.ndarray]]) -> str:
    """How much more reward belief brings than direct, ride by ride: rides differ more than translators."""
    belief, direct = (found["behaviour", "H", "R", name, N_CHOICES, "reward"] for name in ("belief", "direct"))
    more = measured([ours - theirs for ours, theirs in zip(belief, direct, strict=True)])
    return (
        f"reward of belief less that of direct, ride by ride: {more.value:+.3f} ({more.low:+.3f} to {more.high:+.3f})"
    )


def _notes(logs: Logs, seeds: Sequence[int], fresh: bool) -> tuple[str, ...]:
    source = (
        f"human games: {len(logs.known) + len(logs.unknown)} logged ones, the last {len(logs.unknown)} held out"
        if logs.logged
        else f"no logged games at hand: {len(logs.unknown)} games of model humans instead, who learnt from real ones"
    )
    robots = sorted({carried_seed(seed) for seed in seeds}) if not fresh else list(seeds)
    return (
        source,
        f"robots of training seed {', '.join(map(str, robots))}; measured with seeds {', '.join(map(str, seeds))}",
    )


def _trained(seed: int, data: str | Path | None, progress: Callable[[str, int, int], None] | None) -> Drivers:
    import tempfile

    from describer.eval.games.driving.training import DriversRecipe

    with tempfile.TemporaryDirectory() as out:
        told = (lambda done, total: progress(f"training, seed {seed}", done, total)) if progress else None
        recipe = DriversRecipe(out, str(data or DATA), seed=seed)
        return Drivers.load(recipe.train(progress=told))


def _logs(drivers: Drivers, data: str | Path | None, seed: int) -> Logs:
    folder = None if data is None else Path(data) / "driving"
    if folder is not None and (folder / "games.jsonl").is_file():
        return Logs(*split(read_games(folder)), logged=True)
    games = simulate(drivers.humans, drivers.lexicon, 300, np.random.default_rng((seed, 19)))
    return Logs(*split(games), logged=False)


def _tongues(drivers: Drivers, logs: Logs, seed: int) -> Tongues:
    """Contexts are half robots' states, half humans'."""
    rng = np.random.default_rng((seed, 5))
    robots, _, heard = spoken(drivers.robot, 400, rng)
    shown = demonstrations(logs.known, drivers.lexicon)
    pools = [
        pool[torch.from_numpy(rng.permutation(len(pool))[:N_STATES])] for pool in (robots, shown.codes[shown.driving])
    ]
    least = min(map(len, pools))
    codes = heard[torch.from_numpy(rng.permutation(len(heard))[:N_CODES])]
    return Tongues.over(drivers, torch.cat([pool[:least] for pool in pools]), codes, seed)


def _beliefs(tongues: Tongues, logs: Logs, n: int) -> dict[Key, np.ndarray]:
    """Belief evaluation, both ways and native; silence is no message here, but it may be a translation.

    Humans' messages are too few: each is heard beside several strangers, and counts once, with the mean.
    """
    drivers, rng = tongues.drivers, np.random.default_rng((tongues.seed, 23))
    n_terms = len(drivers.lexicon)
    states, _, heard = spoken(drivers.robot, max(n // 5, 20), rng)
    some = torch.from_numpy(rng.permutation(len(states))[:n])
    robots, heard = with_strangers(states[some], rng), heard[some]
    shown = demonstrations(logs.unknown, drivers.lexicon)
    speaks = shown.driving & (shown.said[..., 0] == 0)
    some = torch.from_numpy(rng.permutation(int(speaks.sum()))[:n])
    if not len(some):
        raise DescriberError("the held-out driving games must hold messages. Got none that is in the lexicon.")
    strangers = {"R": 1, "H": -(-n // len(some))}
    humans = with_strangers(shown.codes[speaks][some].repeat(strangers["H"], 1), rng)
    said = shown.said[speaks][some].repeat(strangers["H"], 1)
    found = {
        ("R", "R", "native", 1): robot_hears(drivers, robots, heard[:, None]),
        ("H", "H", "native", 1): human_hears(drivers, humans, said),
    }
    for criterion in TRANSLATORS:
        for k in (1, 5):
            terms = tongues.to_terms(heard, criterion, k)
            found["R", "H", criterion, k] = human_hears(drivers, robots, shares_of(terms, n_terms))
            codes = tongues.to_codes(criterion, k)[said.argmax(1)]
            found["H", "R", criterion, k] = robot_hears(drivers, humans, codes)
    return {
        ("belief evaluation", *key, "accuracy"): belief_choice(values).reshape(strangers[key[0]], -1).mean(0)
        for key, values in found.items()
    }


def _behaviour(tongues: Tongues, logs: Logs, n: int) -> dict[Key, np.ndarray]:
    """Reward and completion: robots with robots, humans with humans, robots beside replayed humans.

    Every held-out game is replayed with the robot in each seat until ``n`` rides are reached; rides of one game and
    seat count as one, their mean.
    """
    drivers, rng = tongues.drivers, np.random.default_rng((tongues.seed, 29))
    generator = torch.Generator().manual_seed(tongues.seed)
    with torch.no_grad():
        own = play_alone(drivers.robot, begin(n, rng), rng, generator)
    found = {("R", "R", "native", 1): (own.reward.sum(0).numpy(), own.completed.numpy())}
    found["H", "H", "native", 1] = as_played(logs.unknown)
    repeats = -(-n // (2 * len(logs.unknown)))
    silent = [replay(drivers.robot, logs.unknown, drivers.lexicon, None, rng)]
    found["H", "R", "nothing", 1] = _means(silent)
    for criterion in TRANSLATORS:
        codes = tongues.to_codes(criterion, N_CHOICES)
        rides = [replay(drivers.robot, logs.unknown, drivers.lexicon, codes, rng) for _ in range(repeats)]
        found["H", "R", criterion, N_CHOICES] = _means(rides)
    return {
        ("behaviour", *key, measure): np.asarray(values, float)
        for key, both in found.items()
        for measure, values in zip(("reward", "completion"), both, strict=True)
    }


def _means(rides: Sequence[Replayed]) -> tuple[Float[np.ndarray, " rides"], Float[np.ndarray, " rides"]]:
    reward = np.mean([ride.reward for ride in rides], axis=0)
    return reward, np.mean([ride.completed for ride in rides], axis=0)


def _examples(tongues: Tongues, logs: Logs, n: int = 6) -> tuple[tuple[Example, ...], Image.Image]:
    """Robots' messages in human words, with a map of where each was said."""
    drivers, rng = tongues.drivers, np.random.default_rng((tongues.seed, 31))
    generator = torch.Generator().manual_seed(tongues.seed + 31)
    with torch.no_grad():
        played = play_alone(drivers.robot, begin(4 * n, rng), rng, generator)
    picked: list[tuple[int, int]] = [(int(rng.integers(len(played.worlds))), game) for game in range(4 * n)]
    picked = [(step, game) for step, game in picked if played.moving[step, game, 0]][:n]
    heard = torch.stack([played.messages[step, game, 0] for step, game in picked])
    terms = {criterion: tongues.to_terms(heard, criterion, 3) for criterion in TRANSLATORS}
    examples = []
    for row, (step, game) in enumerate(picked):
        told: dict[str, str] = {c: ", ".join(drivers.lexicon.text(int(i)) for i in terms[c][row]) for c in TRANSLATORS}
        world = played.worlds[step].pick(np.array([game]))
        extra = {
            "map": int(world.map[0]), "position": world.position[0, 0].tolist(), "goal": world.goal[0, 0].tolist(),
            "direction": ("north", "east", "south", "west")[int(world.direction[0, 0])], "step": step,
        }  # fmt: skip
        examples.append(Example(_where(extra), told, extra))
    worlds = [played.worlds[step].pick(np.array([game])) for step, game in picked]
    return tuple(examples), draw_examples(worlds, [example.translations["belief"] for example in examples])


def _where(extra: dict) -> str:
    at, goal = tuple(extra["position"]), tuple(extra["goal"])
    return f"map {extra['map']}, car at {at} heading {extra['direction']} for {goal}"
