"""A game's report for people: a table a measure, the examples with colour swatches where stdout is a terminal, notes.

print_report(play("colors"))
"""

import sys
from pathlib import Path
from typing import Any

from rich.text import Text

from describer import terminal
from describer.errors import DescriberError
from describer.eval.games.report import Example, GameReport


def print_report(report: GameReport) -> None:
    """Tables and examples on stdout."""
    terminal.print_lines(report.title, *report.notes, "")
    for name in report.tables:
        terminal.print_lines(f"{name[0].upper()}{name[1:]} (R agent, H model human)")
        terminal.print_table(*report.table(name))
        terminal.print_lines("")
    if report.examples:
        criteria = [name for name in report.examples[0].translations if name != "random"]
        person = "person" in report.examples[0].extra
        columns = [("said of", "left"), *([("a person", "left")] if person else [])]
        columns += [(f"the agent, by {name}", "text") for name in criteria]
        terminal.print_table(columns, [_cells(example, criteria, person) for example in report.examples])


def save_picture(report: GameReport, out: Path) -> None:
    """Writes the report's picture; DescriberError where that cannot be done."""
    if report.picture is None:
        raise DescriberError(f"{report.game} must have examples to draw. Got none. Leave --out away.")
    try:
        report.picture.save(out)
    except (OSError, ValueError) as fault:
        raise DescriberError(f"--out must name a picture file to write. Got {out}: {fault}. Try x.png.") from None
    terminal.note(f"Picture: {out}")


def _cells(example: Example, criteria: list[str], person: bool) -> list[Any]:
    told = [example.translations.get(name, "") for name in criteria]
    shown = [str(name) for name in example.extra.get("candidates", [])] or [example.source]
    return [_shown(shown), *([str(example.extra.get("person", ""))] if person else []), *told]


def _shown(candidates: list[str]) -> Any:
    """The target, then what it is told from: '#rrggbb' as a patch of that colour where there is a terminal."""
    if not all(name.startswith("#") for name in candidates):
        return " / ".join(candidates)
    if not sys.stdout.isatty():
        return f"{candidates[0]} not {' '.join(candidates[1:])}"
    parts = [("████", candidates[0]), (" not ", ""), *((f"{'██'} ", name) for name in candidates[1:])]
    return Text.assemble(*parts)
