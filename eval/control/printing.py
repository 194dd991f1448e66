"""What the verbs of control print for people.

print_edit(report)
"""

from collections.abc import Mapping
from typing import Any

from describer.terminal import print_lines, print_table

SHOWN = 20


def title_of(report: Mapping[str, Any]) -> str:
    """What was asked, in a few words."""
    plan = report["plan"]
    asked = plan["query"] or plan["units"]
    act = {"insert": "inserted", "0": "ablated"}.get(plan["scale"], f"times {plan['scale']}")
    return f"{asked}: {len(report['units'])} units {act}" + (f" where {plan['where']}" if plan["where"] else "")


def effect_lines(report: Mapping[str, Any]) -> list[str]:
    """The measured effect, a line each, random units beside it."""
    effect, quality, lines = report["effect"], report["quality"], []
    if report["concept"]:
        share = report["concept_share"]
        lines.append(f"{report['concept']}: {share['before']:.1%} of all pixels before, {share['after']:.1%} after")
        lines.append(f"removed {_against(effect, 'removed', '{:.0%}')}")
    lines.append(f"elsewhere relabelled {_against(effect, 'relabelled', '{:.1%}')}")
    lines.append(f"elsewhere moved {_against(effect, 'moved', '{:.1f}')} levels of 255")
    distances = "Fréchet distance {before:.3f} unedited, {after:.3f} edited, {random:.3f} random units".format(
        **quality
    )
    return [*lines, distances]


def _against(effect: Mapping[str, Any], name: str, form: str) -> str:
    def told(value: Mapping[str, float | None]) -> str:
        if value["value"] is None:
            return "unknown"
        low, high = form.format(value["low"]), form.format(value["high"])
        return f"{form.format(value['value'])} ({low} to {high})"

    return f"{told(effect[name])}, random units {told(effect[f'random_{name}'])}"


def print_edit(report: Mapping[str, Any]) -> None:
    """The units, then the effect."""
    units = report["units"]
    columns = [("unit", "left"), ("method", "left"), ("description", "text"), ("score", "right")]
    score = ["" if unit["score"] is None else f"{unit['score']:.3f}" for unit in units]
    cells = ([u["id"], u["method"], u["text"] or "", s] for u, s in zip(units[:SHOWN], score, strict=False))
    print_table(columns, cells)
    n, draws = report["plan"]["samples"], report["plan"]["draws"]
    print_lines(*(["…"] if len(units) > SHOWN else []), "", title_of(report), *effect_lines(report))
    print_lines(f"{n} samples, {draws} draws of as many random units of the same layers; 95 % intervals.")
