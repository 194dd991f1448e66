"""The experiment of one reference game: train or load its players, play through every translator, tell what came of it.

report = play_reference("colors", seeds=(0, 1, 2), n_games=1000, data="../shared/data")
"""

import platform
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

import describer.training
from describer.eval.games.agents import Players
from describer.eval.games.measure import CRITERIA, measured
from describer.eval.games.report import Example, GameReport, Row
from describer.eval.games.rounds import ReferenceGame
from describer.eval.games.swatches import draw_examples
from describer.eval.games.training import CARRIED, PlayersRecipe, load_players, train_players
from describer.eval.games.worlds import load_game
from describer.eval.translation import KS, NATIVE, Outcome, TranslationSettings, translated_play
from describer.training.recipe import read_recipe

TITLES = {"colors": "Colours", "context": "Colours in context", "birds": "Birds"}
RECIPES = Path(describer.training.__file__).parent / "recipes"
N_EXAMPLES = 8
N_CODES = {"colors": 100, "context": 1000, "birds": 1000}
"Messages of the agent into which people's utterances are translated; games of much to say ask for more of them."
PAIRS = (("R", "H"), ("H", "R"))

Numbers = dict[tuple[str, str, str], float]
PAPER: dict[str, Numbers] = {
    "colors": {
        ("R", "R", NATIVE): 1.00, ("H", "H", NATIVE): 0.83, ("R", "H", "random"): 0.50, ("R", "H", "direct"): 0.72,
        ("R", "H", "belief"): 0.86, ("H", "R", "random"): 0.50, ("H", "R", "direct"): 0.70, ("H", "R", "belief"): 0.73,
    },
    "birds": {
        ("R", "R", NATIVE): 0.95, ("H", "H", NATIVE): 0.71, ("R", "H", "random"): 0.50, ("R", "H", "direct"): 0.57,
        ("R", "H", "belief"): 0.75, ("H", "R", "random"): 0.50, ("H", "R", "direct"): 0.55, ("H", "R", "belief"): 0.60,
    },
}  # fmt: skip
"Table 1 of Andreas 2017 (R to H with the five best words, H to R with the best code); its birds are photographs."


def play_reference(
    name: str,
    seeds: Sequence[int] = (0, 1, 2),
    n_games: int = 1000,
    progress: Callable[[str, int, int], None] | None = None,
    data: str | Path | None = None,
    fresh: bool = False,
) -> GameReport:
    """The report of a reference game, over seeds of folds, players and rounds."""
    started, cpu = time.monotonic(), time.process_time()
    outcomes, games, carried = [], [], []
    for seed in seeds:
        game = load_game(name, data, seed)
        players = None if fresh else load_players(CARRIED / f"{name}-{seed}", game)
        carried += [seed] if players else []
        players = players or _trained(game, seed, progress)
        outcomes.append(translated_play(game, players, n_games, seed, TranslationSettings(n_codes=N_CODES[name])))
        games.append(game)
        if progress:
            progress("playing", len(outcomes), len(seeds))
    played = [len(outcome.rounds) for outcome in outcomes]
    examples = tuple(_example(games[0], outcomes[0], index) for index in range(min(N_EXAMPLES, played[0])))
    rows = tuple(_rows(name, outcomes))
    spent = f"{time.monotonic() - started:.0f} s, {time.process_time() - cpu:.0f} s of CPU time, {platform.machine()}"
    told = f"players of seed {', '.join(map(str, carried))} were carried along; " if carried else ""
    n_played = f"{min(played)}" if min(played) == max(played) else f"{min(played)} to {max(played)}"
    notes = (games[0].source, f"seeds {', '.join(map(str, seeds))}, {n_played} games each; {told}{spent}")
    title = f"{TITLES[name]}: agents' messages in people's words, and back"
    return GameReport(name, title, rows, examples, notes, draw_examples(title, notes[0], examples, rows))


def _trained(game: ReferenceGame, seed: int, progress: Callable[[str, int, int], None] | None) -> Players:
    def told(done: int, total: int) -> None:
        if progress:
            progress(f"training {game.name}, seed {seed}", done, total)

    with tempfile.TemporaryDirectory() as out:
        recipe: PlayersRecipe = read_recipe(RECIPES / f"{game.name}.yaml", out=out, seed=seed)
        return train_players(game, recipe, out, resume=False, progress=told)


def _rows(name: str, outcomes: Sequence[Outcome]) -> list[Row]:
    keys = [("R", "R", NATIVE, 1), ("H", "H", NATIVE, 1)]
    keys += [(*pair, criterion, k) for pair in PAIRS for criterion in CRITERIA for k in KS]
    rows = []
    for table, which in (("translator in the loop", "wins"), ("belief evaluation", "beliefs")):
        for key in keys:
            games: list[np.ndarray] = [getattr(outcome, which)[key] for outcome in outcomes]
            heard = NATIVE if key[2] == NATIVE else key[2]
            as_published = key[3] == (5 if key[:2] == ("R", "H") and key[2] != NATIVE else 1) and which == "wins"
            paper = PAPER.get(name, {}).get((key[0], key[1], heard)) if as_published else None
            rows.append(Row(table, *key, "accuracy", measured(games), paper))
    return rows


def _example(game: ReferenceGame, outcome: Outcome, index: int) -> Example:
    """A round of the test fold, the first ones as they came, and the words for what the agent said of it."""
    shown = outcome.rounds.shown[index]
    words = {
        criterion: ", ".join(game.lexicon[utterance] for utterance in outcome.said[criterion][index].tolist())
        for criterion in CRITERIA
    }
    found = {criterion: float(outcome.wins["R", "H", criterion, 1][index]) for criterion in CRITERIA}
    person = game.lexicon[int(outcome.rounds.utterance[index])]
    return Example(shown[0], words, {"candidates": list(shown), "person": person, "found": found})
