"""How far people agree on units: likeness of two sentences on one unit against that of two on different units.

    found = agreement(words)             # Agreement(same=.61, chance=.08, pairs=412)
    found.corrected                      # .58: 0 as chance has it, 1 where all say the same

Two sentences are as alike as their sets of stemmed words: twice the common ones over all (Dice 1945). Only pairs of
different annotators count.
"""

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

from describer.search.site.annotations import Unit, Word

SILENT = frozenset(["a", "an", "the", "of", "in", "on", "at", "with", "and", "or", "some", "is", "are", "to"])
MOST_PAIRS = 20_000
"Pairs from which chance is estimated; there are more of them than one wants to compare."


@dataclass(frozen=True)
class Agreement:
    """Means over pairs of sentences, fractions 0–1."""

    same: float | None
    "on one unit; None where no unit has two"
    chance: float | None
    "on two units"
    pairs: int
    "pairs on one unit"

    @property
    def corrected(self) -> float | None:
        """Agreement above chance as a fraction of what there could be."""
        if self.same is None or self.chance is None or self.chance >= 1:
            return None
        return (self.same - self.chance) / (1 - self.chance)


def agreement(words: Sequence[Word], seed: int = 0) -> Agreement:
    """The agreement of sentences; skipped units do not count."""
    said = [(word, content_words(word.text)) for word in words if word.text is not None]
    by_unit: dict[Unit, list[tuple[Word, frozenset[str]]]] = {}
    for word, content in said:
        by_unit.setdefault((word.layer, word.unit), []).append((word, content))
    same = [
        likeness(one, other)
        for group in by_unit.values()
        for (first, one), (second, other) in combinations(group, 2)
        if first.annotator != second.annotator
    ]
    others = [likeness(one, other) for one, other in _strangers(said, seed)]
    return Agreement(_mean(same), _mean(others), len(same))


def likeness(one: frozenset[str], other: frozenset[str]) -> float:
    """Twice the common words over all; 1 for two sentences without any."""
    return 2 * len(one & other) / (len(one) + len(other)) if one or other else 1.0


def content_words(text: str) -> frozenset[str]:
    """The stemmed words of a sentence without articles and the like."""
    return frozenset(_stem(word) for word in re.findall(r"\w+", text.lower()) if word not in SILENT)


def _strangers(said: Sequence[tuple[Word, frozenset[str]]], seed: int) -> list[tuple[frozenset[str], frozenset[str]]]:
    """Pairs of different annotators on different units: all, or a seeded sample of them."""

    def apart(one: Word, other: Word) -> bool:
        return one.annotator != other.annotator and (one.layer, one.unit) != (other.layer, other.unit)

    if len(said) * (len(said) - 1) // 2 <= MOST_PAIRS:
        return [(a, b) for (one, a), (other, b) in combinations(said, 2) if apart(one, other)]
    chance = random.Random(seed)
    drawn = (chance.sample(range(len(said)), 2) for _ in range(MOST_PAIRS))
    return [(said[i][1], said[j][1]) for i, j in drawn if apart(said[i][0], said[j][0])]


def _stem(word: str) -> str:
    if len(word) > 3 and word.endswith("ies"):
        return f"{word[:-3]}y"
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None
