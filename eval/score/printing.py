"""What `describer score` prints.

print_report(report)        # methods by metrics with intervals
print_texts(rows, n_units)  # similarity to what people wrote, with its baselines
print_sanity(outcomes)      # a metric a line: pass or fail, and which check fails in which world
"""

from collections.abc import Mapping, Sequence
from typing import Any

from describer import terminal
from describer.eval.metrics import METRICS
from describer.eval.metrics.meta import Choice
from describer.eval.metrics.texts import TextRow
from describer.eval.sanity import CHECKS, Outcome
from describer.eval.score.report import Report


def print_report(report: Report) -> None:
    """The table, and below it what its numbers are."""
    metrics = list(report.rows[0].scores)
    columns = [
        ("method", "text"),
        ("described", "right"),
        *((_headed(name), "right") for name in metrics),
        ("p", "right"),
    ]
    rows = []
    for row in report.rows:
        cells = [str(row.scores[name]) for name in metrics]
        p = "" if row.p is None else f"{row.p:.3f}"
        rows.append([row.method, f"{row.described:.0%}", *cells, p])
    terminal.print_table(columns, rows)
    n_units = len(report.units_scored)
    terminal.print_lines(
        "",
        f"{n_units} units, {report.n_images} images that judge, foretold by {report.foreteller}; the unit fires on its "
        f"top {report.alpha:g}, ties included.",
        "Means over units, 95 % bootstrap intervals; p: share of orders of a method's texts within layers whose mean "
        "Pearson's r is as high.",
    )
    if diagnostics := [name for name in metrics if name in METRICS and not METRICS[name].sound]:
        terminal.print_lines(
            "Diagnostics, which fail sanity checks: "
            + "; ".join(f"{name} ({METRICS[name].fault})" for name in diagnostics)
            + "."
        )


def print_texts(rows: Sequence[TextRow], n_units: int, n_sentences: int, encoder: str | None) -> None:
    """The table of text scores; its baselines are part of it."""
    metrics = list(rows[0].scores)
    cells = [[row.name, *("{:.3f} ({:.3f}–{:.3f})".format(*row.scores[name]) for name in metrics)] for row in rows]
    terminal.print_table([("text", "text"), *((name, "right") for name in metrics)], cells)
    terminal.print_lines("", f"{n_units} units, {n_sentences} human sentences, each left out in turn; 95 % intervals.")
    if encoder is None:
        terminal.print_lines("BERTScore: absent, as no encoder is named (--encoder NAME).")
    constant = next(row for row in rows if row.name.startswith("constant: "))
    for name in metrics:
        below = [row.name for row in rows if not row.baseline and row.scores[name][0] <= constant.scores[name][0]]
        if below:
            terminal.print_lines(f"{name}: the constant string is no worse than {', '.join(below)}.")


def print_sanity(outcomes: Sequence[Outcome], choices: Mapping[str, Choice]) -> None:
    """A metric a line: its verdict, the least share of units over the worlds for each check, how well it chooses among
    descriptions, and what was published."""
    by_metric: dict[str, list[Outcome]] = {}
    for outcome in outcomes:
        by_metric.setdefault(outcome.metric, []).append(outcome)
    rows = []
    for name, own in by_metric.items():
        passed = "pass" if all(outcome.passed for outcome in own) else "FAIL"
        published = "sound" if METRICS[name].sound else "fails"
        rows.append([name, passed, *(_least(own, check) for check in CHECKS), f"{choices[name].value:.2f}", published])
    columns = [("metric", "left"), ("verdict", "left"), *((check, "right") for check in CHECKS)]
    terminal.print_table([*columns, ("meta-AUPRC", "right"), ("published", "left")], rows)
    worlds = list(dict.fromkeys(outcome.world for outcome in outcomes))
    terminal.print_lines(
        "",
        f"Least share of units that score lower with the wrong description, over {', '.join(worlds)}; 90 % pass.",
        "meta-AUPRC: how well it ranks the planted units' own descriptions above all others "
        f"(by chance {next(iter(choices.values())).by_chance:.2f}).",
    )


def sanity_json(outcomes: Sequence[Outcome], choices: Mapping[str, Choice]) -> list[Mapping[str, Any]]:
    """One dictionary a metric, check and world."""
    told = {name: {"sound": METRICS[name].sound, "meta_auprc": choices[name].value} for name in choices}
    return [vars(outcome) | told[outcome.metric] for outcome in outcomes]


def _least(outcomes: Sequence[Outcome], check: str) -> str:
    least = min((outcome for outcome in outcomes if outcome.check == check), key=lambda outcome: outcome.share)
    return f"{least.share:.2f}{'' if least.passed else ' ✗'}"


def _headed(name: str) -> str:
    return name if name not in METRICS or METRICS[name].sound else f"{name} [diagnostic]"
