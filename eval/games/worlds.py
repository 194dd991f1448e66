"""Reference games by name.

load_game("colors", "../shared/data", seed=0)
"""

from pathlib import Path

from describer.errors import DescriberError
from describer.eval.games import birds, colors, context
from describer.eval.games.rounds import ReferenceGame

WORLDS = {"colors": colors.load, "context": context.load, "birds": birds.load}


def load_game(name: str, data: str | Path | None = None, seed: int = 0) -> ReferenceGame:
    """A reference game with its data under `data`, or with its offline default; DescriberError for an unknown name."""
    if name not in WORLDS:
        raise DescriberError(f"a reference game must be one of {', '.join(WORLDS)}. Got {name!r}. Choose one.")
    return WORLDS[name](data, seed)
