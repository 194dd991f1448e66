"""How well a captioner that learnt from people's words on some networks describes the units of others.

    python -m describer.eval.experiments.generalization run alexnet=alexnet/imagenet resnet=resnet152/imagenet
    python -m describer.eval.experiments.generalization draw carried:scenes scenes:300:31 runs/drawn/scenes

Folders are MILANNOTATIONS' (`data.milannotations`). As Hernandez et al. 2022, section 4: *within* a network (one tenth
of the units is held apart), *across* (trained on one, tested on another) and *all others* (one left out). All are
tested on the same units. Every training is the recipe's, from the carried captioner on. The score is the likeness to
what people wrote, always beside people, a constant sentence and shuffled texts, since it says little
(`metrics.texts`). `draw` makes such a folder where nobody has annotated any (`drawnpeople`).
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from jaxtyping import Float

from describer.captioner import CARRIED, Captioner
from describer.eval.experiments.command import command, run
from describer.eval.experiments.sampling import Estimate
from describer.eval.experiments.teaching import Plan, networks_of, sentences_of, texts_of, trained, trainings, units_of
from describer.eval.metrics.texts import TextRow, text_table
from describer.statistics import bootstrap_interval

Progress = Callable[[str, int, int], None]
UNTRAINED = "carried, not trained"
LEFT_OUT = "all others"


def generalize(networks: Mapping[str, Path], plan: Plan, progress: Progress | None = None) -> dict[str, Any]:
    """The whole experiment as JSON: of every network a table of texts, and the means over all units."""
    start, sets = Captioner.from_pretrained(plan.start), trainings(list(networks))
    texts: dict[str, dict[str, list[str]]] = {name: {} for name in networks}
    human: dict[str, list[list[str]]] = {name: [] for name in networks}
    for trial in range(plan.trials):
        units = {name: units_of(start, name, folder, trial, plan) for name, folder in networks.items()}
        for name, own in units.items():
            human[name] += own.human
            texts[name].setdefault(UNTRAINED, []).extend(texts_of(start, own))
        for place, (name, learnt) in enumerate(sets.items()):
            if progress:
                progress("training", trial * len(sets) + place, plan.trials * len(sets))
            captioner = trained([networks[each] for each in learnt], name, trial, plan)
            for other, own in units.items():
                if name in networks or other not in learnt:
                    method = name if name in networks else LEFT_OUT
                    texts[other].setdefault(method, []).extend(texts_of(captioner, own))
    folds = [plan.fold(trial) for trial in range(plan.trials)]
    rest = [number for number in range(10) if number not in folds]
    tables = {}
    for name, folder in networks.items():
        others = [text for own in sentences_of(folder, rest).values() for said in own for text in said]
        tables[name] = text_table(texts[name], human[name], others, seed=plan.seed)
    return {
        "plan": asdict(plan),
        "tests": {name: {"units": len(human[name]), "rows": [_json(row) for row in tables[name]]} for name in networks},
        "means": means(tables, plan.seed),
        "texts": {name: {"people": human[name], **texts[name]} for name in networks},
    }


def means(tables: Mapping[str, Sequence[TextRow]], seed: int = 0) -> dict[str, dict[str, dict[str, Any]]]:
    """By metric, over the units of all networks: within, across …, the baselines, and what within has over each."""
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for metric in next(iter(tables.values()))[0].values:
        parts: dict[str, list[np.ndarray]] = {}
        for tested_on, rows in tables.items():
            own = {row.name: row.values[metric] for row in rows}
            across = [own[other] for other in tables if other != tested_on]
            parts.setdefault("within", []).append(own[tested_on])
            if across:
                parts.setdefault("across", []).append(np.mean(across, 0))
            for name in (LEFT_OUT, UNTRAINED, "human–human"):
                if name in own:
                    parts.setdefault(name, []).append(own[name])
            parts.setdefault("constant", []).append(next(v for name, v in own.items() if name.startswith("constant")))
            parts.setdefault("within, shuffled", []).append(own[f"{tested_on}, shuffled"])
        pooled = {name: np.concatenate(values) for name, values in parts.items()}
        found[metric] = {
            name: {
                "mean": asdict(_estimate(values, seed)),
                "within less this": asdict(_estimate(pooled["within"] - values, seed)),
            }
            for name, values in pooled.items()
        }
    return found


def _estimate(values: Float[np.ndarray, " units"], seed: int) -> Estimate:
    return Estimate(float(values.mean()), *bootstrap_interval(values, seed=seed), len(values))


def _json(row: TextRow) -> dict[str, Any]:
    scores = {metric: dict(zip(("value", "low", "high"), own, strict=True)) for metric, own in row.scores.items()}
    return {"name": row.name, "baseline": row.baseline, **scores}


def main(
    networks: Annotated[list[str], typer.Argument(help="NAME=FOLDER of each, two or more for across")],
    trials: Annotated[int, typer.Option(help="each with another tenth of the units")] = 1,
    steps: Annotated[int, typer.Option(help="of each training")] = 150,
    k: Annotated[int, typer.Option("--k", help="exemplars of a unit")] = 10,
    folder: Annotated[Path, typer.Option(help="keeps captioners, which are not made twice")] = Path(
        "runs/generalization"
    ),
    start: Annotated[Path, typer.Option(help="captioner that goes on learning")] = CARRIED,
    seed: Annotated[int, typer.Option(help="of everything")] = 0,
    out: Annotated[Path | None, typer.Option(help="JSON file for everything measured")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="one JSON object a line")] = False,
) -> None:
    """Train on some networks, test on others.

    Example: python -m describer.eval.experiments.generalization run scenes=runs/drawn/scenes cifar=runs/drawn/cifar
    """
    from describer import terminal

    plan = Plan(str(folder), trials, steps, k=k, start=str(start), seed=seed)
    with terminal.progress_bars() as progress:
        found = generalize(networks_of(networks), plan, progress)
    if out:
        out.write_text(json.dumps(found, indent=1, ensure_ascii=False), encoding="utf-8")
    if as_json:
        return terminal.print_json([{name: found[name] for name in ("plan", "tests", "means")}])
    return _tell(found)


def _tell(found: Mapping[str, Any]) -> None:
    from describer import terminal

    means, metrics = found["means"], list(found["means"])
    for name, test in found["tests"].items():
        terminal.print_lines("", f"tested on {test['units']} units of {name}", "")
        columns = [("trained on", "left"), *((metric, "right") for metric in metrics)]
        rows = ([row["name"], *(_told(row[metric]) for metric in metrics)] for row in test["rows"])
        terminal.print_table(columns, rows)
    columns = [("all units", "left")]
    columns += [(f"{metric}{part}", "right") for metric in metrics for part in ("", ", within less this")]
    parts = ("mean", "within less this")
    told = {name: [_told(means[m][name][part]) for m in metrics for part in parts] for name in means[metrics[0]]}
    terminal.print_lines("")
    terminal.print_table(columns, ([name, *cells] for name, cells in told.items()))


def draw(
    model: Annotated[str, typer.Argument(help="a network, as for describe")],
    images: Annotated[str, typer.Argument(help="drawn scenes, scenes:N:SEED")],
    out: Annotated[Path, typer.Argument(help="folder to write")],
    layers: Annotated[str | None, typer.Option(help="globs with commas; default: the stages")] = None,
    units: Annotated[int | None, typer.Option(help="of each layer, drawn at random; default: all")] = None,
    seed: Annotated[int, typer.Option(help="of units and speakers")] = 0,
) -> None:
    """Write annotated exemplars whose sentences are the drawn scenes' own words.

    Example: python -m describer.eval.experiments.generalization draw carried:scenes scenes:300:31 runs/drawn/scenes
    """
    from describer import terminal
    from describer.eval.experiments.drawnpeople import write_network

    with terminal.progress_bars() as progress:
        root = write_network(
            model, images, out, layers.split(",") if layers else (), units, seed=seed, progress=progress
        )
    terminal.print_lines(str(root))


def _told(each: Mapping[str, Any]) -> str:
    return f"{each['value']:.3f} ({each['low']:.3f}–{each['high']:.3f})"


if __name__ == "__main__":
    run(command(run=main, draw=draw))
