"""The game of birds: two birds of a drawn table of attributes, of which people name one attribute with two words.

    game = load(None, seed=0)                  # needs no data

It stands for the Caltech birds of the paper, whose features were not published: 2,000 kinds, 50 attributes from those
that most birds have ("small bird") to rare ones ("red crown"), birds that differ a little from their kind, and features
that are a noisy random mixture of the attributes. People name any attribute that the target has, whatever the other
bird looks like, so that half of what they say is of little help; agents may say what tells the two apart.
"""

from pathlib import Path

import numpy as np
import torch

from describer.eval.games.rounds import Fold, ReferenceGame, Rounds, drawn_rows, folds, word_table

N_KINDS, N_FEATURES = 2000, 128
COMMON = (
    "small bird", "short beak", "black eyes", "pointed bill", "thin legs", "long tail", "round head", "white belly",
    "dark wings", "small head",
)  # fmt: skip
PARTS = ("crown", "wings", "breast", "throat", "back")
COLORS = ("brown", "grey", "yellow", "orange", "red", "blue", "green", "spotted")
COMMON_RATE, RARE_RATES = 0.85, (0.4, 0.05)
"Share of kinds that have each common attribute, and the first and last of the rare ones."
CHANGED, NOISE, SLIP = 0.05, 0.3, 0.005
"Chance that a bird differs from its kind in an attribute; deviation of features; chance that a person says anything."


def load(data: str | Path | None, seed: int = 0) -> ReferenceGame:
    """The game; the table is always the same, `seed` deals its kinds to folds; `data` is not used."""
    del data
    lexicon = (*COMMON, *(f"{color} {part}" for part in PARTS for color in COLORS))
    table = np.random.default_rng(1811)
    rates = np.array(
        [*[COMMON_RATE] * len(COMMON), *table.permutation(np.geomspace(*RARE_RATES, len(PARTS) * len(COLORS)))]
    )
    kinds = table.random((N_KINDS, len(lexicon))) < rates
    mixture = table.standard_normal((len(lexicon), N_FEATURES)) / np.sqrt(len(lexicon))
    parts = folds(N_KINDS, seed, (0.6, 0.15, 0.25))

    def draw(n: int, fold: Fold, rng: np.random.Generator) -> Rounds:
        kind = rng.choice(parts[fold], (n, 2))
        birds = kinds[kind] ^ (rng.random((n, 2, len(lexicon))) < CHANGED)
        features = 2 * (birds - rates) @ mixture + NOISE * rng.standard_normal((n, 2, N_FEATURES)) / 4
        said = drawn_rows(birds[:, 0] * (1 - SLIP) + SLIP, rng)

        def show() -> list[list[str]]:
            return [[_words(bird, rates, lexicon) for bird in pair] for pair in birds]

        return Rounds(torch.from_numpy(features.astype(np.float32)), torch.from_numpy(said.astype(np.int64)), show)

    source = f"a drawn table of {N_KINDS} kinds of birds with {len(lexicon)} attributes"
    return ReferenceGame("birds", 2, N_FEATURES, lexicon, word_table(lexicon), draw, source)


def _words(bird: np.ndarray, rates: np.ndarray, lexicon: tuple[str, ...]) -> str:
    """The rarest attributes of a bird."""
    has = sorted(np.flatnonzero(bird).tolist(), key=lambda attribute: rates[attribute])
    return ", ".join(lexicon[attribute] for attribute in has[:3])
