"""The report card: what every method says of planted units, beside what they mean.

    python -m describer.eval.planted card --concepts scenes:200:9 --json

exact: the description, read as a form, holds on the very pixels that the unit's truth does. named: every concept that
has to be there is named; one: at least one is. false words: those that hold for less than half of what the unit should
fire on. silent: no description. Intervals are 95 % bootstraps over units.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from describer.eval.planted.firing import NOISE, fire
from describer.eval.planted.hardware import hardware
from describer.eval.planted.methods import Said, Teller, constant, shuffled
from describer.eval.planted.naming import names
from describer.eval.planted.reading import Reader, leaves_of
from describer.eval.planted.units import PlantedForm, World
from describer.search.forms import Leaf
from describer.statistics import bootstrap_interval

MEASURES = ("exact", "named", "one", "false_words", "words", "silent")
Row = dict[str, Any]


@dataclass(frozen=True)
class Mark:
    """One description of one unit at one level of noise, judged."""

    method: str
    wrong: float
    kind: str
    unit: int
    truth: str | None
    text: str | None
    exact: bool
    named: bool
    one: bool
    false_words: int
    words: int
    silent: bool


def run(
    world: World,
    units: Sequence[PlantedForm],
    tellers: Mapping[str, Teller],
    levels: Sequence[float] = NOISE,
    k: int = 15,
    seed: int = 0,
    n_shifts: int = 0,
    progress: Callable[[str, int, int], None] | None = None,
) -> list[Mark]:
    """Marks of every method, then of a constant and of the first method that is not searched in labels, shuffled."""
    reader, marks = Reader(world.table), []
    told = progress or (lambda stage, done, total: None)
    for number, wrong in enumerate(levels):
        told("planting", number, len(levels))
        planted = fire(world, units, wrong, k, seed, n_shifts)
        said = {}
        for place, (method, teller) in enumerate(tellers.items()):
            told(f"{method}, {wrong:.0%} wrong", place, len(tellers))
            said[method] = teller(planted)
        seen = next((own for name, own in said.items() if not any(s.is_form for s in own)), next(iter(said.values())))
        said |= {"constant": constant(planted), "shuffled": shuffled(seen, seed)}
        for method, own in said.items():
            pairs = enumerate(zip(units, own, strict=True))
            marks += [judged(reader, method, wrong, place, unit, each) for place, (unit, each) in pairs]
    told("planting", len(levels), len(levels))
    return marks


def judged(reader: Reader, method: str, wrong: float, place: int, unit: PlantedForm, said: Said) -> Mark:
    """The mark of one description; of a unit without meaning, silence is exact."""
    hits = [_names(said, name) for name in unit.held]
    words = 0 if said.text is None else len(said.text.split())
    false = (
        0
        if said.text is None
        else reader.false_words(said.form if said.is_form and said.form else said.text, unit.truth)
    )
    exact = said.text is None if unit.truth is None else reader.same(said.form, unit.truth)
    truth = None if unit.truth is None else str(unit.truth)
    named, one = bool(hits) and all(hits), any(hits)
    return Mark(method, wrong, unit.kind, place, truth, said.text, exact, named, one, false, words, said.text is None)


def _names(said: Said, concept: str) -> bool:
    """Whether a text has all words of a concept; of a form, whether one of the concepts that hold has."""
    if said.is_form and said.form is not None:
        return any(names(leaf.name, concept) for leaf in leaves_of(said.form) if isinstance(leaf, Leaf))
    return said.text is not None and names(said.text, concept)


def summary(marks: Sequence[Mark], seed: int = 0) -> list[Row]:
    """One row a method, level and kind, where "all" is every kind but noise; values with low and high."""
    rows = []
    for method in dict.fromkeys(mark.method for mark in marks):
        own = [mark for mark in marks if mark.method == method]
        for wrong in dict.fromkeys(mark.wrong for mark in own):
            level = [mark for mark in own if mark.wrong == wrong]
            kinds = {kind: [m for m in level if m.kind == kind] for kind in dict.fromkeys(m.kind for m in level)}
            kinds["all"] = [mark for mark in level if mark.kind != "noise"]
            rows += [
                {"method": method, "wrong": wrong, "kind": kind, **_measured(part, seed)}
                for kind, part in kinds.items()
            ]
    return rows


def _measured(marks: Sequence[Mark], seed: int) -> Row:
    row: Row = {"units": len(marks)}
    for measure in MEASURES:
        values = np.array([float(getattr(mark, measure)) for mark in marks])
        if len(values):
            low, high = bootstrap_interval(values, seed=seed)
            row[measure] = {"value": float(values.mean()), "low": low, "high": high}
        else:
            row[measure] = None
    return row


def about(world: World, units: Sequence[PlantedForm], seed: int) -> Row:
    """What a report must tell: labels, units by kind, hardware and seed."""
    kinds = {kind: sum(unit.kind == kind for unit in units) for kind in dict.fromkeys(unit.kind for unit in units)}
    told = {"concepts": world.concepts.source, "pictures": world.table.n_images, "names": len(world.table.names)}
    return {**told, "side": world.side, "units": kinds, "hardware": hardware(), "seed": seed}


def tables(rows: Sequence[Row]) -> list[tuple[str, list[tuple[str, str]], list[list[str]]]]:
    """(title, columns, cells) of the tables that are printed."""
    methods = list(dict.fromkeys(row["method"] for row in rows))
    levels = list(dict.fromkeys(row["wrong"] for row in rows))
    kinds = [kind for kind in dict.fromkeys(row["kind"] for row in rows) if kind not in ("all", "noise")]
    found = {(row["method"], row["wrong"], row["kind"]): row for row in rows}
    first, made = levels[0], []
    headings = [("method", "left"), *((name.replace("_", " "), "right") for name in MEASURES[:5])]
    headings += [("silent", "right"), ("silent on noise", "right")]
    cells = [
        [
            method,
            *(_cell(found[method, first, "all"][name]) for name in MEASURES),
            _cell(found.get((method, first, "noise"), {}).get("silent")),
        ]
        for method in methods
    ]
    made.append((f"Side by side, {first:.0%} of the firing area wrong", headings, cells))
    for name in ("exact", "named"):
        columns = [("method", "left"), *((f"{level:.0%} wrong", "right") for level in levels)]
        body = [[m, *(_cell(found[m, level, "all"][name]) for level in levels)] for m in methods]
        made.append((f"{name}, by noise", columns, body))
    for name in ("exact", "named", "one"):
        columns = [("method", "left"), *((kind, "right") for kind in kinds)]
        body = [[m, *(_cell(found[m, first, kind][name], bare=True) for kind in kinds)] for m in methods]
        made.append((f"{name}, by kind, {first:.0%} wrong", columns, body))
    return made


def _cell(measured: Mapping[str, float] | None, bare: bool = False) -> str:
    if measured is None:
        return "–"
    value = f"{measured['value']:.2f}"
    return value if bare else f"{value} [{measured['low']:.2f}, {measured['high']:.2f}]"


def as_rows(marks: Sequence[Mark]) -> list[Row]:
    """Every mark as a row of JSON."""
    return [asdict(mark) for mark in marks]
