"""Games that are played with messages: agents invent theirs, people have words, a translator stands between.

from describer.eval.games import play
report = play("colors", seeds=(0, 1, 2), n_games=1000)      # colors, context, birds, driving

References: Andreas, Dragan & Klein 2017, Translating Neuralese. R is an agent, H a model human.
"""

import importlib
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from describer.errors import DescriberError

if TYPE_CHECKING:
    from describer.eval.games.report import GameReport

REFERENCE = ("colors", "context", "birds")
"Games of one round: find what is meant among a few candidates."
GAMES = (*REFERENCE, "driving")
DATA = "../shared/data"
"Where the recorded games are looked for, unless $DESCRIBER_DATA or the caller says another place."


def play(
    game: str,
    seeds: Sequence[int] = (0, 1, 2),
    n_games: int = 1000,
    progress: Callable[[str, int, int], None] | None = None,
    data: str | Path | None = None,
    fresh: bool = False,
) -> "GameReport":
    """Trains or loads the players of a game, translates between them, and measures; DescriberError for another game.

    `data` is the folder of recorded games; what is missing there is replaced by the game's own default, and the report
    says so. `fresh` trains players also where trained ones are carried along.
    """
    if game not in GAMES:
        raise DescriberError(f"a game must be one of {', '.join(GAMES)}. Got {game!r}. Choose one.")
    if n_games < 1 or not seeds:
        raise DescriberError(f"there must be a game and a seed. Got {n_games} games, {len(seeds)} seeds. Raise them.")
    place = str(data or os.environ.get("DESCRIBER_DATA") or DATA)
    if game in REFERENCE:
        from describer.eval.games.reference import play_reference

        return play_reference(game, seeds, n_games, progress, place, fresh)
    driving = importlib.import_module("describer.eval.games.driving")
    return driving.play(seeds=seeds, n_games=n_games, progress=progress, data=place, fresh=fresh)
