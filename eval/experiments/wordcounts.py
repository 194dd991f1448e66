"""How many units of two networks are said to be something, and which words differ most between their descriptions.

    first, second = (said_by(Atlas.open(name), "caption") for name in ("first", "second"))
    counts(first, second, "car,bus", "caption")      # of all units, and of every layer that both have
    most_different(first, second, "caption")         # word by word, with p and q

p-values deal the units of every layer anew to the two networks, two-sided. What a form denies it does not say.
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from describer.atlas import Atlas
from describer.errors import AtlasError
from describer.eval.control.choice import DENIED
from describer.eval.experiments.sampling import Estimate
from describer.eval.planted.naming import content_words
from describer.statistics import DRAWS, benjamini_hochberg, bootstrap_interval, middle, permutation_p

ALL = "all"
CATEGORY = re.compile(r"\b(?:object|part|material|texture|color|scene):")


@dataclass(frozen=True, eq=False)
class Said:
    """What one method says of the living units of a network."""

    layers: tuple[str, ...]
    "of each unit"
    words: tuple[frozenset[str], ...]
    "of each unit, singular; none where there is no reliable description"

    def saying(self, words: frozenset[str]) -> Bool[np.ndarray, " units"]:
        """Whether each unit is said to be any of these."""
        return np.array([bool(own & words) for own in self.words], bool)

    def of(self, layer: str) -> "Said":
        """Those of one layer; of all for ALL."""
        both = [pair for pair in zip(self.layers, self.words, strict=True) if layer in (ALL, pair[0])]
        return Said(tuple(name for name, _ in both), tuple(words for _, words in both))


@dataclass(frozen=True)
class Count:
    """Units of two networks whose descriptions say one of some words."""

    words: str
    method: str
    layer: str
    first: int
    second: int
    shares: tuple[Estimate, Estimate]
    "of the living units"
    more: Estimate
    "share of the second less that of the first"
    p: float
    "of the difference"
    q: float | None
    "over all that are listed together; None: not yet known, or nobody says it"


def said_by(atlas: Atlas, method: str, reliable: bool = True) -> Said:
    """The words of every living unit, of withdrawn texts too unless `reliable`. AtlasError where nothing was told."""
    rows = [row for row in atlas.units() if row["method"] == method and not row["dead"]]
    if not rows:
        raise AtlasError(f"{atlas.path} must have units told by {method}. Got none. Name another method.")
    texts = [row["description"] or (None if reliable else row["withdrawn"]) or "" for row in rows]
    words = (content_words(CATEGORY.sub("", DENIED.sub(" ", text))) for text in texts)
    return Said(tuple(row["layer"] for row in rows), tuple(words))


def counts(first: Said, second: Said, words: str, method: str, draws: int = DRAWS, seed: int = 0) -> list[Count]:
    """Of all units, then of every layer that both have; `words` are those between its commas, in any number."""
    wanted = frozenset[str]().union(*(content_words(part) for part in words.split(",")))
    found = []
    for layer in (ALL, *(name for name in dict.fromkeys(first.layers) if name in second.layers)):
        both = first.of(layer), second.of(layer)
        says = both[0].saying(wanted), both[1].saying(wanted)
        p = dealt(says[0][:, None], says[1][:, None], both[0].layers, both[1].layers, draws, seed)[0]
        found.append(_count(words, method, layer, says, float(p), None, seed))
    return found


def most_different(
    first: Said, second: Said, method: str, least: int = 5, draws: int = DRAWS, seed: int = 0
) -> list[Count]:
    """Every word that at least so many units of both together are said to be, the least likely by chance first."""
    numbers = Counter(word for own in (*first.words, *second.words) for word in own)
    words = sorted(word for word, number in numbers.items() if number >= least)
    if not words:
        return []
    tables = [np.stack([each.saying(frozenset({word})) for word in words], 1) for each in (first, second)]
    p = dealt(tables[0], tables[1], first.layers, second.layers, draws, seed)
    q = benjamini_hochberg(p)
    found = [
        _count(word, method, ALL, (tables[0][:, i], tables[1][:, i]), float(p[i]), float(q[i]), seed)
        for i, word in enumerate(words)
    ]
    return sorted(found, key=lambda each: (each.p, -abs(each.more.value), each.words))


def dealt(
    first: Bool[np.ndarray, "units words"],
    second: Bool[np.ndarray, "others words"],
    first_layers: Sequence[str],
    second_layers: Sequence[str],
    draws: int = DRAWS,
    seed: int = 0,
) -> Float[np.ndarray, " words"]:
    """Two-sided p of every word's difference in share, where the units of each layer are dealt anew."""
    both, layers = np.concatenate([first, second]).astype(np.float64), np.array([*first_layers, *second_layers])
    is_second = np.arange(len(both)) >= len(first)
    weight = np.where(is_second, 1 / max(len(second), 1), -1 / max(len(first), 1))
    dice, drawn = np.random.default_rng(seed), np.tile(weight, (draws, 1))
    for layer in dict.fromkeys(layers.tolist()):
        own = np.flatnonzero(layers == layer)
        drawn[:, own] = dice.permuted(drawn[:, own], axis=1)
    observed, null = np.abs(weight @ both), np.abs(drawn @ both)
    return permutation_p(observed - 1e-12, null.T)  # ties count against it, however they are rounded


def _count(
    words: str,
    method: str,
    layer: str,
    says: tuple[Bool[np.ndarray, " units"], Bool[np.ndarray, " others"]],
    p: float,
    q: float | None,
    seed: int,
) -> Count:
    numbers = [own.astype(np.float64) for own in says]
    first, second = (Estimate(float(own.mean()), *bootstrap_interval(own, seed=seed), len(own)) for own in numbers)
    dice = np.random.default_rng(seed)  # the number among units that are drawn with replacement is binomial
    drawn = [dice.binomial(len(own), own.mean(), DRAWS) / len(own) for own in numbers]
    interval = middle(drawn[1] - drawn[0])
    more = Estimate(second.value - first.value, *interval, first.n + second.n)
    return Count(words, method, layer, int(says[0].sum()), int(says[1].sum()), (first, second), more, p, q)
