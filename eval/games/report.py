"""What `describer translate GAME` tells: measured rows, examples, notes, and a picture.

report = play("colors", seeds=(0, 1, 2), n_games=1000)
report.rows[0].measured.value, report.table("translator in the loop")
[*report.json_rows()]                          # one object a row or example, for --json
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from PIL.Image import Image

from describer.eval.games.measure import Measured


@dataclass(frozen=True)
class Row:
    """One number of an experiment."""

    table: str
    "translator in the loop, belief evaluation, behaviour"
    speaker: str
    "R: an agent, H: a model human"
    listener: str
    criterion: str
    "random, direct, pmi, belief, or native where nothing is translated"
    k: int
    "translations that are heard together"
    measure: str
    "accuracy, reward, completion"
    measured: Measured
    paper: float | None = None
    "the same in Andreas 2017, where it is told"


@dataclass(frozen=True)
class Example:
    """One message and what each translator makes of it."""

    source: str
    "what is translated, for people"
    translations: Mapping[str, str]
    "by criterion"
    extra: Mapping[str, Any]
    "whatever else JSON can hold: colours, what a person said …"


@dataclass(frozen=True)
class GameReport:
    """All that is told of one game."""

    game: str
    title: str
    rows: tuple[Row, ...]
    examples: tuple[Example, ...]
    notes: tuple[str, ...]
    "which data or default, how many seeds, how long"
    picture: Image | None = None

    @property
    def tables(self) -> list[str]:
        """Names of the tables, in order."""
        return list(dict.fromkeys(row.table for row in self.rows))

    def table(self, name: str) -> tuple[list[tuple[str, str]], list[list[str]]]:
        """Columns and cells of one table, for `describer.terminal.print_table`."""
        rows = [row for row in self.rows if row.table == name]
        columns = [("from", "left"), ("to", "left"), ("translation", "left")]
        columns += [("measure", "left"), ("value", "right"), ("95 % interval", "right"), ("paper", "right")]
        return columns, [_cells(row) for row in rows]

    def json_rows(self) -> Iterator[dict[str, Any]]:
        """Rows, then examples, then one object of notes."""
        for row in self.rows:
            told = asdict(row)
            numbers = told.pop("measured")
            yield {"game": self.game, "kind": "row", **told, **numbers}
        for example in self.examples:
            yield {"game": self.game, "kind": "example", "source": example.source, **_plain(example)}
        yield {"game": self.game, "kind": "notes", "title": self.title, "notes": list(self.notes)}


def _plain(example: Example) -> dict[str, Any]:
    return {"translations": dict(example.translations), **example.extra}


def _cells(row: Row) -> list[str]:
    name = row.criterion if row.criterion == "native" else f"{row.criterion}, top {row.k}"
    value, interval = f"{row.measured.value:.3f}", f"{row.measured.low:.3f}–{row.measured.high:.3f}"
    paper = "" if row.paper is None else f"{row.paper:.2f}"
    return [row.speaker, row.listener, name, row.measure, value, interval, paper]
