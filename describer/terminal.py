"""What the verbs print: results as tables or JSON lines on stdout, progress bars on stderr.

print_json(rows)                                   # one object a line
print_units(rows)                                  # one line a unit and method, whole where stdout is no terminal
with progress_bars() as progress:                  # stderr; nothing at all where that is no terminal
    progress("probing", 128, 1000)
"""

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Literal

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn
from rich.progress import TimeRemainingColumn as TimeLeftColumn
from rich.table import Table

WIDE = 10_000
"Columns where nothing is to be cut: in a pipe or a file every unit keeps its line."


def print_json(rows: Iterable[Mapping[str, Any]]) -> None:
    """One JSON object a line."""
    for row in rows:
        sys.stdout.write(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n")


def print_lines(*lines: str) -> None:
    """Plain lines."""
    for line in lines:
        sys.stdout.write(line + "\n")


def note(line: str) -> None:
    """One line on stderr, for what is not the result."""
    sys.stderr.write(line + "\n")


def print_table(columns: Sequence[tuple[str, str]], rows: Iterable[Sequence[str]]) -> None:
    """A table; a column is its heading and how it is set: "left", "right" or "text" (the one that may be cut)."""
    terminal, rows = sys.stdout.isatty(), list(rows)
    console = Console(file=sys.stdout, markup=False, highlight=False, emoji=False, width=None if terminal else WIDE)
    widths = [max(map(len, (heading, *(row[i] for row in rows)))) for i, (heading, _) in enumerate(columns)]
    others = sum(width + 2 for width, (_, kind) in zip(widths, columns, strict=True) if kind != "text")
    table = Table(box=None, pad_edge=False, header_style="bold" if terminal else "", padding=(0, 2, 0, 0))
    for width, (heading, kind) in zip(widths, columns, strict=True):
        room = min(width, max(console.width - others - 2, 12)) if kind == "text" else width
        justify: Literal["right", "left"] = "right" if kind == "right" else "left"
        table.add_column(heading, justify=justify, no_wrap=True, overflow="ellipsis", width=room)
    for row in rows:
        table.add_row(*row)
    with console.capture() as capture:
        console.print(table)
    print_lines(*(line.rstrip() for line in capture.get().splitlines()))


def print_units(rows: Sequence[Mapping[str, Any]]) -> None:
    """The table of units: name, words, scores; score columns that no row has are left out."""
    scores = [("PMI", "pmi", "{:.2f}"), ("r", "score", "{:.2f}"), ("q", "q", "{:.2g}")]
    if not any(row.get("q") is not None for row in rows):
        del scores[1:]  # what is not judged has no r
    scores += [("IoU", "iou", "{:.3f}"), ("bound", "upper_bound", "{:.3f}")]
    scores += [("accuracy", "detection_accuracy", "{:.2f}"), ("coverage", "coverage", "{:.2f}")]
    scores += [("chance", "chance_iou", "{:.3f}"), ("p", "p_value", "{:.2g}"), ("peak", "activation", "{:.3g}")]
    scores = [score for score in scores if any(row[score[1]] is not None for row in rows)]
    several = len({row["method"] for row in rows}) > 1
    columns = [("unit", "left"), *([("method", "left")] if several else []), ("description", "text")]
    columns += [(heading, "right") for heading, _, _ in scores]
    print_table(columns, (_unit_cells(row, several, scores) for row in rows))


def _meant(meaning: Mapping[str, Any]) -> str:
    """The words of one of several meanings, and how far they can be trusted."""
    withdrawn = f" (withdrawn: {meaning['withdrawn']})" if meaning["withdrawn"] else ""
    judged = "" if meaning["q"] is None else f", r {meaning['score']:.2f}, q {meaning['q']:.2g}"
    return (meaning["text"] or "no reliable description") + withdrawn + judged


def print_unit(row: Mapping[str, Any]) -> None:
    """One unit at length: its words, its scores, and the candidates that were weighed."""
    print_lines(f"{row['id']}  {row['method']}", f"  {_words(row)}")
    if row["withdrawn"]:
        print_lines(f"  withdrawn: {row['withdrawn']}")
    for meaning in row["meanings"]:
        print_lines(f"  {meaning['share']:.0%} of its activation: {_meant(meaning)}")
    if row["q"] is not None:
        interval = f"({row['low']:.2f} to {row['high']:.2f})"
        print_lines(f"  r {row['score']:.2f} {interval} on other images, p {row['p']:.2g}, q {row['q']:.2g}")
    names = {"pmi": "PMI {:.2f} nats", "log_prob": "log p(text|exemplars) {:.2f}", "log_prior": "log p(text) {:.2f}"}
    names |= {"iou": "IoU {:.4f}", "upper_bound": "no form has a score above {:.4f}"}
    names |= {"category_iou": "IoU {:.4f} over pictures with labels of the category"}
    names |= {"chance_iou": "IoU {:.4f} by chance", "p_value": "p {:.2g}"}
    names |= {"detection_accuracy": "fires on {:.1%} of what the words hold for"}
    names |= {"coverage": "the words hold for {:.1%} of what it fires on"}
    names |= {"activation": "highest activation {:.4g}", "threshold": "mask above {:.4g}"}
    facts = [form.format(row[name]) for name, form in names.items() if row[name] is not None]
    print_lines(*(f"  {fact}" for fact in facts))
    for kind, images in row.get("examples", {}).items():
        print_lines(f"  {kind.replace('_', ' ')} in labelled pictures: {' '.join(map(str, images)) or 'none'}")
    if row["n_best"]:
        print_lines("")
        columns = [
            ("candidate", "text"),
            ("PMI", "right"),
            ("log p(text|exemplars)", "right"),
            ("log p(text)", "right"),
        ]
        scores = ["pmi", "log_prob", "log_prior"]
        if all(candidate.get("evidence") is not None for candidate in row["n_best"]):
            columns.append(("evidence", "right"))
            scores.append("evidence")
        print_table(columns, ([c["text"], *(f"{c[name]:.2f}" for name in scores)] for c in row["n_best"]))


def print_detectors(rows: Sequence[Mapping[str, Any]], last: str) -> None:
    """How many different concepts a layer's units detect, category by category."""
    columns = [("layer", "left"), ("category", "left"), ("unique", "right"), ("units", "right"), ("concepts", "text")]
    told = (", ".join(f"{name} {n}" for name, n in row["concepts"].items()) for row in rows)
    counts = ([row["layer"], row["category"], str(row["unique"]), str(row["detectors"])] for row in rows)
    cells = ([*numbers, names] for numbers, names in zip(counts, told, strict=True))
    print_table(columns, cells)
    note(last)


def _words(row: Mapping[str, Any]) -> str:
    return row["description"] or ("(dead)" if row["dead"] else "(no reliable description)")


def _unit_cells(row: Mapping[str, Any], several: bool, scores: Sequence[tuple[str, str, str]]) -> list[str]:
    words = f"(not reliable: {row['withdrawn']})" if row["withdrawn"] else _words(row)
    cells = [row["id"], *([row["method"]] if several else []), words]
    return cells + ["" if row[name] is None else form.format(row[name]) for _, name, form in scores]


def counted(rows: Sequence[Mapping[str, Any]]) -> str:
    """How many units were described, are dead, or have no description that can be relied on."""
    dead = sum(row["dead"] for row in rows)
    described = sum(row["description"] is not None for row in rows)
    return f"{described} described, {dead} dead, {len(rows) - dead - described} without a reliable description"


def told_by_method(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """One line a method: how many units it has described."""
    methods = dict.fromkeys(row["method"] for row in rows)
    by_method = {method: [row for row in rows if row["method"] == method] for method in methods}
    return [
        f"{len(of_method)} units{f', {method}' if len(methods) > 1 else ''}: {counted(of_method)}."
        for method, of_method in by_method.items()
    ]


@contextmanager
def progress_bars(shown: bool = True) -> Iterator[Callable[[str, int, int], None]]:
    """A function (stage, done, total) that draws one bar a stage, with the time left, on stderr."""
    left = TimeLeftColumn(elapsed_when_finished=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), left)
    console = Console(file=sys.stderr)
    bars: dict[str, TaskID] = {}
    with Progress(*columns, console=console, disable=not (shown and console.is_terminal)) as progress:

        def report(stage: str, done: int, total: int) -> None:
            if stage not in bars:
                for finished in progress.tasks:  # a model may have more layers than the screen has lines
                    progress.update(finished.id, visible=False)
                bars[stage] = progress.add_task(stage, total=total)
            progress.update(bars[stage], completed=done, total=total)

        yield report
