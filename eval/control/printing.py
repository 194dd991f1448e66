"""What the verbs of control print for people.

print_edit(report)
print_ablation(report)
print_picked(report)
print_repair(report)
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from describer.eval.control.effects import FEW, LEAST, takes_away
from describer.terminal import print_lines, print_table

SHOWN = 20


def title_of(report: Mapping[str, Any]) -> str:
    """What was asked, in a few words."""
    plan = report["plan"]
    asked = plan["query"] or plan["units"]
    act = {"insert": "inserted", "0": "ablated"}.get(plan["scale"], f"times {plan['scale']}")
    where = f" where {Path(plan['where']).name}" if plan["where"] else ""
    least = "" if plan["min_score"] is None else f" of a score of {plan['min_score']:g} or more"
    return f"{asked}: {len(report['units'])} units{least} {act}{where}"


def effect_lines(report: Mapping[str, Any]) -> list[str]:
    """The measured effect, a line each, random units beside it."""
    effect, quality, lines = report["effect"], report["quality"], []
    if report["concept"]:
        share = report["concept_share"]
        lines.append(f"{report['concept']}: {share['before']:.1%} of all pixels before, {share['after']:.1%} after")
        lines.append(f"of all pixels {_against(effect, 'change', '{:+.1%}')}")
        if takes_away(report["plan"]["scale"]):
            lines.append(_removed_line(effect))
    elif report["plan"]["query"]:
        lines.append(f"{report['plan']['segmenter']} has no {report['plan']['query']!r}: what is removed is not known")
    lines.append(f"elsewhere relabelled {_against(effect, 'relabelled', '{:.1%}')}")
    lines.append(f"elsewhere moved {_against(effect, 'moved', '{:.1f}')} levels of 255")
    distances = "Fréchet distance {before:.3f} unedited, {after:.3f} edited, {random:.3f} random units".format(
        **quality
    )
    distances += f", beyond these {_within(quality['after_beyond_random'], '{:+.3f}')}"
    if region := report.get("region"):
        size = f"{'less than ' if region['share'] < LEAST else ''}{max(region['share'], LEAST):.1%} of all pixels"
        lines.insert(0, f"edited where {region['class'] or 'the mask is white'}: {size}")
    left = "the pictures have left what the segmenter knows: its counts are not to be trusted"
    return [*lines, distances, *([left] if quality.get("left_known") else [])]


def _removed_line(effect: Mapping[str, Any]) -> str:
    if effect["removed"]["value"] is not None:
        return f"removed {_against(effect, 'removed', '{:.0%}')}"
    return f"removed: next to nothing was there, less than {LEAST:.1%} of all pixels or in fewer than {FEW} samples"


def _against(effect: Mapping[str, Any], name: str, form: str) -> str:
    return f"{_within(effect[name], form)}, random units {_within(effect[f'random_{name}'], form)}"


def _within(value: Mapping[str, float | None], form: str) -> str:
    """A value with its interval."""
    if value["value"] is None:
        return "unknown"
    return f"{form.format(value['value'])} ({form.format(value['low'])} to {form.format(value['high'])})"


def print_chosen(units: Sequence[Mapping[str, Any]]) -> None:
    """The units that were chosen, and why."""
    columns = [("unit", "left"), ("method", "left"), ("description", "text"), ("score", "right")]
    score = ["" if unit["score"] is None else f"{unit['score']:.3f}" for unit in units]
    texts = [f"({unit['text']})" if unit["withdrawn"] else unit["text"] or "" for unit in units]
    cells = ([u["id"], u["method"], t, s] for u, t, s in zip(units[:SHOWN], texts, score, strict=False))
    print_table(columns, cells)
    withdrawn = ["In brackets: withdrawn as not reliable."] if any(unit["withdrawn"] for unit in units) else []
    print_lines(*(["…"] if len(units) > SHOWN else []), *withdrawn, "")


def print_edit(report: Mapping[str, Any]) -> None:
    """The units, then the effect."""
    print_chosen(report["units"])
    print_lines(*edit_lines(report))


def edit_lines(report: Mapping[str, Any]) -> list[str]:
    """All that is said of an edit, but its units."""
    plan, n_units = report["plan"], len(report["units"])
    random = random_told(plan["draws"], n_units, report.get("random_units", n_units))
    lines = [title_of(report), *effect_lines(report), f"{plan['samples']} samples; {random}. 95 % intervals."]
    if told := report.get("optimized"):
        lines += ["", f"Weights learned at {told['layer']}: {told['active']} of {told['units']} units above 0.01."]
        if not told["by_description"]:
            return [*lines, "No unit of the layer is found by description."]
        other = told["by_description"]
        lines.append(f"{len(other['units'])} units of the layer by description ({told['shared']} the same):")
        lines += effect_lines({**report, **other})
    return lines


def print_ablation(report: Mapping[str, Any]) -> None:
    """The units, accuracy overall, and the classes that lose most beyond what random units cost."""
    print_chosen(report["units"])
    columns = [("class", "left"), ("pictures", "right"), ("before", "right"), ("after", "right"), ("random", "right")]
    columns.append(("change beyond random", "right"))
    classes = sorted(report["classes"].items(), key=_loss)
    rows = [("all", {"n": report["images"]["n"], **report["accuracy"]}), *classes]
    print_table(columns, (_accuracy_cells(name, told) for name, told in rows[: SHOWN + 1]))
    draws = report["plan"]["draws"]
    random = random_told(draws, len(report["units"]), report["random_units"])
    print_lines("", f"{len(report['units'])} units cut; {random}. 95 % intervals over pictures.")


def random_told(draws: int, chosen: int, random: int) -> str:
    """What was compared with: as many random units as were chosen, or as many as are left."""
    if not random:
        return "no random units to compare with: none is left"
    return f"random: {draws} draws of {'as many units' if random == chosen else f'{random} units, all that are left'}"


def _accuracy_cells(name: str, told: Mapping[str, Any]) -> list[str]:
    means = [f"{told[way]['value']:.3f}" for way in ("before", "after")]
    if told["random"]["value"] is None:
        return [name, str(told["n"]), *means, "–", "–"]
    beyond = {end: round(value, 6) + 0.0 for end, value in told["change_beyond_random"].items()}  # no -0.000
    change = f"{beyond['value']:+.3f} ({beyond['low']:+.3f} to {beyond['high']:+.3f})"
    return [name, str(told["n"]), *means, f"{told['random']['value']:.3f}", change]


def _loss(named: tuple[str, Mapping[str, Any]]) -> float:
    """How accuracy on a class changes, beyond what random units do where there are such."""
    beyond, change = (named[1][key]["value"] for key in ("change_beyond_random", "change"))
    return float(change if beyond is None else beyond)


def print_repair(report: Mapping[str, Any]) -> None:
    """The units found, and how often the mistake is made on the half they were found on and on the other."""
    print_chosen(report["units"])
    plan, last = report["plan"], max(report["steps"], key=lambda step: step["repaired"])
    goal = "as wanted" if report["repaired"] else f"less than the goal of {plan['goal']:.0%}"
    sought = f"{report['sets']} sets of {report['candidates']} units judged on {report['validation']['n']} pictures"
    print_lines(f"{plan['failure']}: {last['repaired']:.0%} repaired there, {goal}; {sought}.", "")
    columns = [("on the other half", "left"), ("pictures", "right"), ("before", "right"), ("after", "right")]
    columns += [("random", "right"), ("change beyond random", "right")]
    test = report["test"]
    classes = sorted(test["classes"].items(), key=_loss)
    rows = [("mistaken", test["failure"]), ("accuracy, all", {"n": test["n"], **test["accuracy"]})]
    rows += [(f"accuracy, {name}", told) for name, told in classes]
    print_table(columns, (_accuracy_cells(name, told) for name, told in rows[: SHOWN + 2]))
    random = random_told(plan["draws"], len(report["units"]), test["random_units"])
    print_lines("", f"{random}. 95 % intervals over pictures.")


def print_explanation(report: Mapping[str, Any]) -> None:
    """The units that contribute most, and whether cutting them proves it."""
    print_lines(f"{report['class']}: probability {report['probability']:.3f}, through {report['layer']}", "")
    columns = [("unit", "left"), ("description", "text"), ("contribution", "right"), ("activation", "right")]
    columns += [("region", "right"), ("score", "right"), ("method", "left"), ("r", "right"), ("trust", "left")]
    print_table(columns, (_contribution_cells(unit) for unit in report["units"]))
    whole, draws = report["completeness"], report["plan"]["draws"]
    print_lines(
        "",
        f"All units of {report['layer']} add {whole['sum']:+.3f} to a logit of {whole['silent']:.3f} without them and "
        f"{whole['logit']:.3f} with them; {whole['missing']:+.4f} are missing.",
        *_verified_lines("raise", report["verified"], draws),
        *_verified_lines("lower", report["verified_lowering"], draws),
    )


def _verified_lines(act: str, verified: Mapping[str, Any], draws: int) -> list[str]:
    """What the logit does without the units told that raise or lower it, and without random ones; or nothing."""
    if not verified["units"]:
        return []
    random, n, n_random = verified["random_drop"], verified["units"], verified["random_units"]
    line = f"Without the {n} of these that {act} it the logit {_fall(verified['drop'])}"
    if not n_random:
        return [f"{line}; no random units to compare with: none is left."]
    low, high = (random["low"], random["high"]) if random["value"] >= 0 else (-random["high"], -random["low"])
    many = "as many random ones" if n_random == n else f"{n_random} random ones, all that are left,"
    return [f"{line}, without {many} it {_fall(random['value'])} (95 % of {draws} draws: {low:.3f} to {high:.3f})."]


def _fall(drop: float) -> str:
    return f"falls by {drop:.3f}" if drop >= 0 else f"rises by {-drop:.3f}"


def _contribution_cells(unit: Mapping[str, Any]) -> list[str]:
    score = "" if unit["score"] is None else f"{unit['score']:.3f}"
    numbers = [f"{unit['contribution']:+.3f}", f"{unit['activation']:.3g}", f"{unit['region']:.0%}", score]
    return [unit["id"], unit["text"] or "(no description)", *numbers, unit["method"], *trust_cells(unit)]


def trust_cells(unit: Mapping[str, Any]) -> list[str]:
    """r on images that no exemplar is from, and the verdict; nothing for a unit without words."""
    trust = unit["trust"]
    if trust is None:
        return ["", "not judged" if unit["text"] else ""]
    r = "" if trust["r"] is None else f"{trust['r']:.2f}"
    return [r, "reliable" if trust["reliable"] else "withdrawn"]


def print_picked(report: Mapping[str, Any]) -> None:
    """The units in the order in which to look at them, and what they cover."""
    columns = [("unit", "left"), ("method", "left"), ("description", "text"), ("adds", "right"), ("covered", "right")]
    columns.append(("on images", "left"))
    print_table(columns, (_picked_cells(unit) for unit in report["units"]))
    random, best = report["random"], report["of_the_best"]
    what = "the layers answer to the probe set"
    if seen := report.get("images"):
        what = f"the layers add to the predictions of {seen['n']} images"
    print_lines(
        "",
        f"These {len(report['units'])} of {report['candidates']} units cover {report['coverage']:.1%} of what {what}; "
        f"as many random ones {random['value']:.1%} ({random['low']:.1%} to {random['high']:.1%}).",
        f"No as many units cover more than {1 / best['at_least']:.3f} times that.",
    )


def _picked_cells(unit: Mapping[str, Any]) -> list[str]:
    words = unit["text"] or "(no description)"
    images = " ".join(map(str, unit["images"]))
    return [unit["id"], unit["method"], words, f"{unit['gain']:.1%}", f"{unit['coverage']:.1%}", images]
