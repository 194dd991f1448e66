"""Units at a glance: as a cell of a map, a row of a list, a card of a grid.

make_card("layer4", 3, rows, dead=False).told      # its words, or why there are none
"""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from describer.search.forms import affirmed
from describer.search.site.sheet import cut, score_of, silence, verdict_of
from describer.unittable import Row

METHODS = ("caption", "vlm", "translation", "formula", "concept")
"Whose words come first; methods of other names follow."
SHOWN = (
    *("layer", "unit", "method", "description", "formula", "score", "pmi", "iou", "low", "high", "p", "q"),
    *("reliable", "withdrawn", "activation", "dead"),
)
"Columns of the table that cards are made of."
TOLD = ("unit", "method", "description", "dead", "score", "pmi", "iou")
"Columns of what is kept of large layers, 60 bytes a unit: by what words units are told, and in what order."


@dataclass(frozen=True)
class Card:
    """A unit in a grid or a list."""

    layer: str
    unit: int
    text: str | None
    told: str
    "its words, or why there are none"
    method: str | None
    score: float | None
    formula: str | None
    dead: bool
    activation: float | None
    methods: tuple[str, ...]
    measure: str = ""
    "what the score is: r on other images, PMI or IoU"
    interval: tuple[float, float] | None = None
    "of r, 95 %"
    reliable: bool | None = None
    "None: not judged"
    withdrawn: str | None = None
    "words that were taken back, where the unit has no others"
    has_formula: bool = False
    "one that stands, whether it is shown beside the words or is the words"

    @property
    def id(self) -> str:
        """The name of the unit."""
        return f"{self.layer}:{self.unit}"

    @property
    def searched(self) -> str:
        """What can be found by words: of forms only what they affirm."""
        return " ".join(affirmed(text) for text in (self.text, self.formula) if text)


@dataclass(frozen=True)
class LayerView:
    """A layer at a glance."""

    name: str
    n_units: int
    "of the layer, probed or not"
    height: int
    width: int
    probed: bool
    methods: tuple[str, ...]
    cards: tuple[Card, ...]

    @property
    def described(self) -> int:
        """Units with words."""
        return sum(card.text is not None for card in self.cards)

    @property
    def dead(self) -> int:
        """Units that never fire."""
        return sum(card.dead for card in self.cards)

    @property
    def withdrawn(self) -> int:
        """Units whose words were taken back."""
        return sum(card.withdrawn is not None for card in self.cards)

    @property
    def best(self) -> list[Card]:
        """A few units whose words are sure, no text twice."""
        told = [card for card in self.cards if card.score is not None and card.text is not None]
        ranked = sorted(told, key=lambda card: -(card.score or 0))
        return list({card.text: card for card in reversed(ranked)}.values())[::-1][:4]


def rank(row: Row) -> tuple[int, str]:
    """The order of a unit's rows: the method whose words come first ahead."""
    return _method_rank(row["method"])


def _method_rank(method: str) -> tuple[int, str]:
    return (METHODS.index(method) if method in METHODS else len(METHODS), method)


def make_card(layer: str, unit: int, rows: list[Row], dead: bool, method: str | None = None) -> Card:
    """The card of a unit from its rows; told by `method`, else by the first one that has words for it."""
    wanted = [row for row in rows if method in (None, row["method"])]
    row = next((row for row in wanted if row["description"]), wanted[0] if wanted else None)
    formula = next((row["formula"] for row in rows if row["formula"] and row["reliable"] is not False), None)
    text, verdict = (cut(row["description"]), verdict_of(row)) if row else (None, None)
    score, measure = score_of(row) if row else (None, "")
    return Card(
        layer,
        unit,
        text,
        text or silence(dead, bool(wanted)),
        row["method"] if row else None,
        score,
        cut(formula) if formula != (row and row["description"]) else None,
        dead,
        row["activation"] if row else None,
        tuple(each["method"] for each in rows),
        measure,
        (verdict.low, verdict.high) if verdict else None,
        verdict.reliable if verdict else None,
        verdict.withdrawn if verdict else None,
        formula is not None,
    )


def first_rows(rows: pa.Table) -> pa.Table:
    """Of every unit, ascending, the row its card is told by; of rows with the columns TOLD."""
    methods = pc.dictionary_encode(rows["method"]).combine_chunks()
    ranks = {name: place for place, name in enumerate(sorted(methods.dictionary.to_pylist(), key=_method_rank))}
    of_method = np.array([ranks[name] for name in methods.dictionary.to_pylist()], np.int64)
    wordless = pc.equal(pc.fill_null(rows["description"], ""), "").to_numpy()
    unit = rows["unit"].to_numpy()
    order = np.lexsort((of_method[methods.indices.to_numpy()], wordless, unit))
    _, first = np.unique(unit[order], return_index=True)
    return rows.take(order[first]).combine_chunks()


def by_score(units: np.ndarray, told: pa.Table) -> np.ndarray:
    """These units, the highest score of their cards first and those without one last; `told` are their `first_rows`."""
    known, score = told["unit"].to_numpy(), pc.coalesce(told["score"], told["pmi"], told["iou"]).to_numpy()
    low = np.full(len(units), np.inf)
    place = np.minimum(np.searchsorted(known, units), max(len(known) - 1, 0))
    there = np.flatnonzero(known[place] == units) if len(known) else np.zeros(0, np.int64)
    low[there] = -np.nan_to_num(score[place[there]].astype(np.float64), nan=-np.inf)
    return units[np.lexsort((units, low))]
