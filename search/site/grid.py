"""Which units of a layer a grid shows, and in what order.

wanted = GridQuery.read({"sort": "score", "q": "water"})   # from the address of the page
wanted.chosen(cards)                                       # all that fit, in order
page_of(cards, 2)                                          # those of the second page
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from describer.search.site.cards import Card

T = TypeVar("T")
PER_PAGE = 48
KINDS = {
    "described": "described",
    "reliable": "judged reliable",
    "withdrawn": "withdrawn",
    "formula": "with a formula",
    "silent": "no reliable description",
    "dead": "dead",
}
"Which units can be asked for -> what a reader is told."


@dataclass(frozen=True)
class GridQuery:
    """What a reader asked of a layer's grid."""

    words: str = ""
    "words or parts of words, each of which must be in the description, the formula or the unit's name"
    method: str = ""
    "told by this method; empty: by the first that has words"
    kind: str = ""
    "described, reliable (judged so), withdrawn (judged not so), formula, silent (no reliable words), dead; empty: all"
    least: float | None = None
    "units with a lower score are left out"
    by_score: bool = False
    page: int = 1

    @classmethod
    def read(cls, asked: Mapping[str, str]) -> "GridQuery":
        """From the address; what cannot be understood is left out."""
        kind = asked.get("kind", "")
        return cls(
            asked.get("q", "")[:200],
            asked.get("method", "")[:40],
            kind if kind in KINDS else "",
            number(asked.get("min", "")),
            asked.get("sort") == "score",
            int(page) if re.fullmatch("[1-9][0-9]{0,6}", page := asked.get("page", "1")) else 1,
        )

    @property
    def asked(self) -> dict[str, str]:
        """The same for an address, without order and page."""
        least = "" if self.least is None else f"{self.least:g}"
        found = {"q": self.words, "method": self.method, "kind": self.kind, "min": least}
        return {name: value for name, value in found.items() if value}

    def chosen(self, cards: Sequence[Card]) -> list[Card]:
        """The units that fit, in order: by unit, or the highest score first and those without one last."""
        found = [card for card in cards if self._fits(card)]
        if not self.by_score:
            return found
        return sorted(found, key=lambda card: math.inf if card.score is None else -card.score)

    def _fits(self, card: Card) -> bool:
        kinds = {"described": card.text is not None, "silent": card.text is None and not card.dead, "dead": card.dead}
        kinds |= {"reliable": card.reliable is True, "withdrawn": card.withdrawn is not None}
        kinds["formula"] = card.has_formula
        taken_back = card.withdrawn if self.kind == "withdrawn" else None  # else words that do not hold would be found
        asked = self.words.lower().split()
        text = f"{card.searched} {'' if card.text else card.told} {taken_back or ''} {card.id}".lower() if asked else ""
        high = self.least is None or (card.score is not None and card.score >= self.least)
        told = not self.method or self.method in card.methods
        return high and told and kinds.get(self.kind, True) and all(word in text for word in asked)


def page_of(units: Sequence[T], page: int) -> list[T]:
    """Those of one page, the first is 1."""
    return list(units[(page - 1) * PER_PAGE : page * PER_PAGE])


def n_pages(n_units: int) -> int:
    """Pages that so many units fill, at least one."""
    return max(-(-n_units // PER_PAGE), 1)


def number(text: str) -> float | None:
    """The number that a reader wrote; None for what is none."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None
