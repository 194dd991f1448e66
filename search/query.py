"""What is asked of an index and what comes back; light to import.

filters = Filters(layers=("layer4", "layer3.*"), methods=("caption",), min_score=1.0, has_formula=True)
filters.where(["layer3.0", "layer4"], "atlas")         # the same as a condition of SQL
hit.id, hit.score, hit.by                              # "layer4:483", 21.7, "reranked"
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from fnmatch import fnmatchcase
from typing import Any

from describer.errors import AtlasError, DescriberError

HOW = ("reranked", "fused", "words", "meaning")
"How units are ordered for a text: by PMI and cosine, by both lists, by BM25 alone, by cosine alone."
NEIGHBOURS = ("meaning", "coactivation")
"What makes units neighbours."
CANDIDATES = 100
"Units of every atlas that are weighed by the captioner, or more where more are wanted."
FUSED_RANK = 60
"The constant of reciprocal rank fusion (Cormack, Clarke & Buettcher 2009): 1 / (60 + rank) from every list."


@dataclass(frozen=True)
class Hit:
    """One unit that was found; its identity is (atlas, layer, unit), never its text."""

    atlas: str
    "the atlas, as it was named"
    layer: str
    unit: int
    method: str
    "of the description that is shown; empty where the unit has none"
    description: str | None
    formula: str | None
    score: float
    "what hits are ordered by, the highest first"
    by: str
    """What the score is: reranked (PMI in nats + 30 cosine), fused, words (BM25), meaning (cosine), firing,
    coactivation (share of exemplars)."""
    parts: dict[str, float] = field(default_factory=dict)
    "all that was measured on the way: pmi, log_prob, log_prior, cosine, bm25, activation, rank, shared …"
    withdrawn: str | None = None
    "words that did not hold on other images, where the unit has no description"

    @property
    def id(self) -> str:
        """The name of the unit, "layer:unit"."""
        return f"{self.layer}:{self.unit}"

    def as_json(self) -> dict[str, Any]:
        """One flat JSON object; parts lie beside the rest."""
        told = {"atlas": self.atlas, "layer": self.layer, "unit": self.unit, "id": self.id, "method": self.method}
        told |= {"description": self.description, "withdrawn": self.withdrawn, "formula": self.formula}
        told |= {"score": self.score, "by": self.by}
        return told | {name: value for name, value in self.parts.items() if name not in told}


@dataclass(frozen=True)
class Filters:
    """Which units may be found."""

    layers: tuple[str, ...] = ()
    "names or patterns with * and ?; none: all"
    methods: tuple[str, ...] = ()
    "units that these methods described; none: all"
    min_score: float | None = None
    "least score of a description that stands: r where it was judged, else of a form its score, of a caption its PMI"
    has_formula: bool | None = None
    "only units with, or only units without, a logical form"

    def __post_init__(self) -> None:
        if self.min_score is not None and not math.isfinite(self.min_score):
            raise DescriberError(f"the least score must be a number. Got {self.min_score}. Give one such as 1.0.")

    def refuse_unknown(self, layers: Sequence[str], methods: Sequence[str], name: str) -> None:
        """Raise AtlasError with what there is where a wanted layer or method is none of these."""
        for pattern in self.layers:
            if not any(fnmatchcase(layer, pattern) for layer in layers):
                near = ", ".join(get_close_matches(pattern, layers, 3, 0.0)) or "none"
                raise AtlasError(f"{name} must have the layer. Got {pattern!r}. Nearest: {near}.")
        for method in self.methods:
            if method not in methods:
                there = ", ".join(sorted(methods)) or "none"
                raise AtlasError(f"{name} must have the method. Got {method!r}. It has: {there}.")

    def chosen_layers(self, layers: Sequence[str]) -> list[str]:
        """Those of `layers` that are wanted, in their order."""
        wanted = self.layers or ("*",)
        return [layer for layer in layers if any(fnmatchcase(layer, pattern) for pattern in wanted)]

    def where(self, layers: Sequence[str]) -> str | None:
        """The condition in SQL over layer, method, strength and has_formula; None where all units of `layers` pass."""
        parts = []
        if self.layers:
            parts.append(f"layer IN ({quoted(self.chosen_layers(layers))})")
        if self.methods:
            parts.append(f"method IN ({quoted(self.methods)})")
        if self.min_score is not None:
            # of a few layers' rows the scores are read; to ask the index of all rows' scores takes twice as long
            strength = "(strength + 0.0)" if self.layers else "strength"
            parts.append(f"{strength} >= {float(self.min_score)!r}")
        if self.has_formula is not None:
            parts.append(f"has_formula = {str(self.has_formula).lower()}")
        return " AND ".join(parts) or None


@dataclass(frozen=True)
class Question:
    """What is asked; at least one of text, image and unit. Raises DescriberError for what cannot be asked."""

    text: str | None
    image: Any
    "a PIL picture, a path or bytes"
    unit: str | None
    '"layer:unit"'
    k: int = 10
    "hits that are wanted"
    how: str = "reranked"
    neighbours: str = "meaning"
    templates: tuple[str, ...] = ("{}",)

    def __post_init__(self) -> None:
        if self.text is None and self.image is None and self.unit is None:
            raise DescriberError("a search must have a text, an image or a unit. Got none. Try 'dog faces'.")
        if self.text is not None and not self.text.strip():
            raise DescriberError("a query must have words. Got an empty text. Ask for something, such as 'dog faces'.")
        if self.k < 1:
            raise DescriberError(f"the number of units must be 1 or more. Got {self.k}. Ask for at least one.")
        for name, value, choices in (("how", self.how, HOW), ("neighbours", self.neighbours, NEIGHBOURS)):
            if value not in choices:
                raise DescriberError(f"{name} must be of {', '.join(choices)}. Got {value!r}. Correct or leave it out.")

    @property
    def depth(self) -> int:
        """Length of every list that goes into the answer; neighbours alone are the answer."""
        alone = self.text is None and self.image is None
        return self.k if alone else max(self.k, CANDIDATES)


def quoted(texts: Sequence[str]) -> str:
    """Texts as a list of SQL literals."""
    return ", ".join("'" + text.replace("'", "''") + "'" for text in texts)


def reciprocal_ranks(lists: Sequence[Sequence[int]]) -> dict[int, float]:
    """Fused score of every item of the lists, each list best first and without repetition."""
    fused: dict[int, float] = {}
    for items in lists:
        for rank, item in enumerate(items, 1):
            fused[item] = fused.get(item, 0.0) + 1 / (FUSED_RANK + rank)
    return fused
