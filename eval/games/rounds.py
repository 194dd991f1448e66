"""Reference games: a speaker sees which of some candidates is meant, a listener is to find it by the message alone.

    game = colors.load(data, seed=0)
    rounds = game.sample(1000, "test", np.random.default_rng(0))
    rounds.candidates                  # (1000, 2, 3), the target first
    game.lexicon[rounds.utterance[0]]  # what a person said of the target of the first round

Who listens must not know that the target comes first: scorers treat all candidates alike, and ties count in part.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from describer.errors import DescriberError

Fold = Literal["train", "val", "test"]


@dataclass(frozen=True, eq=False)
class Rounds:
    """Some rounds of a reference game."""

    candidates: Float[Tensor, "rounds candidates features"]
    "what agents see of each candidate; the first is the target"
    utterance: Int64[Tensor, " rounds"]
    "what a person said, an index of the lexicon"
    show: Callable[[], Sequence[Sequence[str]]]
    "makes `shown`: training, which shows nobody anything, is spared half of its time"

    def __len__(self) -> int:
        return len(self.utterance)

    @cached_property
    def shown(self) -> tuple[tuple[str, ...], ...]:
        """Every candidate of every round for people: '#rrggbb', or words."""
        return tuple(tuple(row) for row in self.show())

    @property
    def hypotheses(self) -> Float[Tensor, "rounds hypotheses candidates features"]:
        """The speaker's state if each candidate in turn were the target, which then comes first; the truth is first."""
        n = self.candidates.shape[1]
        order = torch.tensor([[place, *(other for other in range(n) if other != place)] for place in range(n)])
        return self.candidates[:, order]


@dataclass(frozen=True, eq=False)
class ReferenceGame:
    """A world to play in: where rounds come from and what people can say."""

    name: str
    n_candidates: int
    n_features: int
    lexicon: tuple[str, ...]
    "all that people say"
    words: Bool[Tensor, "utterances words"]
    "which words an utterance is made of"
    draw: Callable[[int, Fold, np.random.Generator], Rounds]
    source: str
    "where rounds and words come from, in words"

    def __post_init__(self) -> None:
        if not self.lexicon:
            raise DescriberError("a lexicon must hold an utterance. Got an empty one. Lower min_count.")

    def sample(self, n: int, fold: Fold, rng: np.random.Generator) -> Rounds:
        """n rounds of a fold; of recorded ones to test with, no more than there are."""
        return self.draw(n, fold, rng)


def word_table(lexicon: Sequence[str]) -> Bool[Tensor, "utterances words"]:
    """Which words each utterance holds, in alphabetical order; then a column for each utterance of several words.

    The words let "dark blue" learn from "dark green"; the whole keeps "red crown" apart from red here, a crown there.
    """
    parts = [{*said.split(), said} for said in lexicon]
    words = sorted(set().union(*parts), key=lambda word: (" " in word, word))
    table = torch.zeros(len(lexicon), len(words), dtype=torch.bool)
    place = {word: index for index, word in enumerate(words)}
    for row, held in enumerate(parts):
        table[row, [place[word] for word in held]] = True
    return table


def folds(n: int, seed: int, shares: tuple[float, float, float] = (0.8, 0.1, 0.1)) -> dict[Fold, np.ndarray]:
    """0 … n-1 dealt to train, val and test by these shares."""
    order = np.random.default_rng((seed, 51)).permutation(n)
    first, second = int(n * shares[0]), int(n * (shares[0] + shares[1]))
    return {"train": order[:first], "val": order[first:second], "test": order[second:]}


def drawn_rows(p: Float[np.ndarray, "rows outcomes"], rng: np.random.Generator) -> np.ndarray:
    """One outcome a row, by its probabilities."""
    return (p.cumsum(1) < rng.random((len(p), 1)) * p.sum(1, keepdims=True)).sum(1).clip(max=p.shape[1] - 1)
