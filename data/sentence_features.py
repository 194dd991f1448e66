"""What can be said of a pair of sentences: which words, parts of speech and lemmas it has, how far its sides overlap.

    features = sentence_features(pairs)
    features.names                          # "pre:tok:dog", "hyp:tag:NN2", "hyp:lem:run", "oth:overlap:overlap25", …
    features.held[:, 3]                     # of which pairs feature 3 is true (sparse, pairs × features)
    features.neighbors(vectors)             # {"hyp:tok:dog": ("hyp:tok:dog", "hyp:tok:puppy", …)}

Names are those of Mu & Andreas (2020). Overlap is the IoU of the two sets of words (of lemmas where there is a tagger),
as their paper has it; their code divides by the words of one side only. `overlap25` means more than 25 %.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.sparse

from describer.data.sentences import SentencePairs
from describer.data.tagging import NO_TAGGER, TaggedWord, tagged, tagger
from describer.data.wordvectors import WordVectors
from describer.errors import ImagesError

SIDES = ("pre", "hyp")
SIDE_NAMES = {"pre": "premise", "hyp": "hypothesis"}
LEFT_OUT = frozenset({"a", "an", "the", "of", ".", ","})
"Words of nearly every sentence, left out as in the published code."
OVERLAPS = (0, 25, 50, 75)
"Per cent."
KINDS = {"tok": "word", "lem": "lemma", "tag": "part of speech"}


@dataclass(frozen=True, eq=False)
class SentenceFeatures:
    """Features of the pairs of one set."""

    names: tuple[str, ...]
    "side:kind:value, in a fixed order"
    held: scipy.sparse.csc_matrix
    "bool (pairs, features)"
    notes: tuple[str, ...] = ()
    "what is missing and why, to be shown to the person"

    @property
    def categories(self) -> tuple[str, ...]:
        """Of each feature: premise word, hypothesis lemma, overlap …"""
        return tuple(category_of(name) for name in self.names)

    def neighbors(self, vectors: WordVectors, n_neighbors: int = 5) -> dict[str, tuple[str, ...]]:
        """Words' and lemmas' features with themselves and those of the nearest words of the same side and kind."""
        near: dict[str, tuple[str, ...]] = {}
        for side in SIDES:
            for kind in ("tok", "lem"):
                start = f"{side}:{kind}:"
                known = [name.removeprefix(start) for name in self.names if name.startswith(start)]
                for word in known:
                    found = vectors.neighbors(word, n_neighbors, known)
                    if found:
                        near[start + word] = (start + word, *(start + other for other in found))
        return near


def category_of(name: str) -> str:
    """The group of a feature: "hyp:tok:dog" is a hypothesis word."""
    side, kind, _ = name.split(":", 2)
    return f"{SIDE_NAMES[side]} {KINDS[kind]}" if kind in KINDS else kind


def sentence_features(pairs: SentencePairs, n_words: int = 2000, min_pairs: int = 5) -> SentenceFeatures:
    """Features of the `n_words` most frequent words and lemmas, of every tag, and of the overlap.

    A feature is kept where it is true of `min_pairs` pairs or more, and a lemma where it says something else than its
    word. Without a tagger there are words and overlap only, and a note says so.
    """
    if n_words < 1 or min_pairs < 1:
        raise ImagesError(f"n_words and min_pairs must be 1 or more. Got {n_words} and {min_pairs}. Raise them.")
    sides = {
        "pre": [tagged(sentence) for sentence in pairs.premises],
        "hyp": [tagged(sentence) for sentence in pairs.hypotheses],
    }
    has_tags = tagger() is not None
    common = {"tok": _frequent(sides, "tok", n_words), "tag": None}
    if has_tags:
        common["lem"] = _frequent(sides, "lem", n_words)
    columns: dict[str, list[int]] = {}
    for side in SIDES:
        for row, sentence in enumerate(sides[side]):
            for name in _names(side, sentence, common, has_tags):
                columns.setdefault(name, []).append(row)
    for row, (premise, hypothesis) in enumerate(zip(sides["pre"], sides["hyp"], strict=True)):
        shared = overlap(premise, hypothesis)
        for percent in OVERLAPS:
            if shared * 100 > percent:
                columns.setdefault(f"oth:overlap:overlap{percent}", []).append(row)
    kept = {
        name: rows
        for name, rows in columns.items()
        if len(rows) >= min_pairs and not (":lem:" in name and rows == columns.get(name.replace(":lem:", ":tok:", 1)))
    }
    return _built(kept, len(pairs), () if has_tags else (NO_TAGGER,))


def overlap(premise: Sequence[TaggedWord], hypothesis: Sequence[TaggedWord]) -> float:
    """IoU of the sets of lemmas of two sentences, marks aside; 0 where both are empty."""
    one, other = ({word.lemma for word in side if word.text[0].isalnum()} for side in (premise, hypothesis))
    return len(one & other) / len(one | other) if one | other else 0.0


def _frequent(sides: dict[str, list[list[TaggedWord]]], kind: str, n_words: int) -> frozenset[str]:
    counts = Counter(
        word.text if kind == "tok" else word.lemma for sentences in sides.values() for s in sentences for word in s
    )
    ranked = sorted((word for word in counts if word not in LEFT_OUT), key=lambda word: (-counts[word], word))
    return frozenset(ranked[:n_words])


def _names(
    side: str, sentence: Sequence[TaggedWord], common: dict[str, frozenset[str] | None], has_tags: bool
) -> set[str]:
    """Names of what is true of one side of a pair."""
    names = {f"{side}:tok:{word.text}" for word in sentence if word.text in (common["tok"] or ())}
    if has_tags:
        names |= {f"{side}:lem:{word.lemma}" for word in sentence if word.lemma in (common["lem"] or ())}
        names |= {f"{side}:tag:{word.tag}" for word in sentence}
    return names


def _built(columns: dict[str, list[int]], n_pairs: int, notes: tuple[str, ...]) -> SentenceFeatures:
    names = sorted(columns, key=lambda name: (_PLACE[":".join(name.split(":", 2)[:2])], name))
    if not names:
        raise ImagesError("Sentences must share words or parts of speech. Got none that repeat. Lower min_pairs.")
    pointers = np.cumsum([0, *(len(columns[name]) for name in names)])
    rows = np.concatenate([np.sort(columns[name]) for name in names])
    held = scipy.sparse.csc_matrix((np.ones(len(rows), dtype=bool), rows, pointers), shape=(n_pairs, len(names)))
    return SentenceFeatures(tuple(names), held, notes)


_PLACE = {
    kind: place for place, kind in enumerate((*(f"{side}:{kind}" for side in SIDES for kind in KINDS), "oth:overlap"))
}
