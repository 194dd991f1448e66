"""How much of a thing its described units draw: one row a concept, against units found by IoU, and against random ones.

    python -m describer.eval.control.table carried:gan gan --segmenter carried:segmenter --concepts water,tree,house

Units are found by the words of their descriptions, by the highest IoU with the segmenter's label, whatever they are
called, and, with --meaning, by what the captioner makes of their exemplars. Each set is cut, and raised where the
concept was not; intervals (95 %) draw samples and random units. How many of the best units are taken, up to --top, is
chosen on other samples than those that are measured: the fewest that remove the share --goal there, else all.
With --width they are not the first by IoU, but chosen there as well, of all that are found (see `trial`): with 1 those
that the concept rests on most, with more by trying that many for each. With --confined all units, random ones too, are
cut only where the segmenter sees the concept in the unedited picture, and none are raised.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from jaxtyping import Float
from torch import Tensor

from describer.atlas import Atlas
from describer.data.targets import Target, load_target
from describer.errors import AtlasError, DescriberError
from describer.eval.control.choice import ALL, Chosen, choose_units, dissected, random_draws, searched_units
from describer.eval.control.drawing import Samples
from describer.eval.control.edit import Pictures, edits_of
from describer.eval.control.effects import DRAWS, MEASURES, Effect, compare, measure
from describer.eval.control.interval import Interval, interval
from describer.eval.control.segmenter import Concept, Labels, Segmenter
from describer.eval.control.trial import GOAL, HARM, Trials
from describer.search.iou import global_ious

Patch = tuple[float, float, float, float]
PATCH: Patch = (0.5, 0.25, 0.9, 0.75)
"Top, left, bottom and right, as shares of the picture, of the region in which units are raised."


@dataclass(frozen=True)
class TablePlan:
    """What is measured."""

    concepts: tuple[str, ...]
    "names that the segmenter knows"
    segmenter: str = "carried:segmenter"
    "what sees them"
    layers: tuple[str, ...] = ()
    "names or patterns; none: all"
    top: int = 20
    "most units"
    samples: int = 128
    "samples measured"
    draws: int = 5
    "draws of random units"
    seed: int = 0
    "of latents, of random units, of intervals"
    meaning: bool = False
    "whether units are also found by the captioner alone"
    goal: float = GOAL
    "share of the concept's pixels that the fewest units must remove on the samples that choose"
    confined: bool = False
    "whether units are cut only where the concept was, and none raised"
    width: int = 0
    "units tried for each that is taken, of all that are found; 0: the first by IoU are taken"
    harm: float = HARM
    "share of the other pixels that units taken by trial may relabel on the samples that choose"


def units_by_iou(atlas: Atlas, category: str, name: str, top: int, layers: Sequence[str]) -> list[Chosen]:
    """The units of highest IoU with a label of the atlas's dissection, whatever their descriptions say."""
    dissection = dissected(atlas)
    if dissection is None:
        raise AtlasError(f"{atlas.path} must hold a dissection. Got none. Describe with --concepts.")
    names = dissection.table.names  # with the category where two categories share a name
    column = names.index(name if name in names else f"{category}:{name}")
    found = []
    for layer in atlas.layers:
        if layers and not any(Path(layer).match(pattern) for pattern in layers):
            continue
        if not dissection.has(layer):
            continue  # described after the concepts were laid over the others
        laid = dissection.layer(layer)
        ious = global_ious(dissection.table, laid.counts)[:, column]
        units = laid.exemplars.unit_ids.tolist()
        found += [
            Chosen(layer, unit, name, "iou", float(iou)) for unit, iou in zip(units, ious, strict=True) if iou > 0
        ]
    return sorted(found, key=lambda each: (-(each.score or 0.0), each.id))[:top]


class Bench:
    """The samples before, and what any units do to them."""

    def __init__(self, target: Target, atlas: Atlas, plan: TablePlan) -> None:
        self.atlas, self.plan = atlas, plan
        self.samples, self.segmenter = Samples(target, plan.seed, plan.samples), Segmenter(plan.segmenter)
        self.trials = Trials(Samples(target, plan.seed + 1, plan.samples // 2), self.segmenter)
        self.before: Pictures = self.samples.draw()
        self.was: Labels = self.segmenter.labels(self.before)
        height, width = self.before.shape[1:3]
        self.patch = torch.zeros(height, width)
        top, left, bottom, right = PATCH
        self.patch[round(top * height) : round(bottom * height), round(left * width) : round(right * width)] = 1

    def region(self, labels: Labels, concept: Concept) -> Float[Tensor, "samples height width"] | None:
        """Where units are cut, a mask a sample; None: everywhere."""
        if not self.plan.confined:
            return None
        return torch.from_numpy(self.segmenter.present(labels, concept).astype(np.float32))

    def effect(self, chosen: Sequence[Chosen], concept: Concept) -> Effect:
        """What cutting the units does."""
        after = self.samples.draw(edits_of(self.atlas, chosen, "0"), self.region(self.was, concept))
        return measure(self.before, after, self.segmenter, concept, self.was)

    def fewest(self, found: Sequence[Chosen], concept: Concept) -> list[Chosen]:
        """Those of the units that are measured, by the samples that choose."""
        where = self.region(self.trials.labels, concept)
        return self.trials.fewest(found, concept, self.plan.top, self.plan.goal, self.plan.width, self.plan.harm, where)

    def inserted(self, chosen: Sequence[Chosen], concept: Concept) -> tuple[np.ndarray, np.ndarray]:
        """Shares of the patch that show the concept, before and after the units are raised there, a sample each."""
        after = self.samples.draw(edits_of(self.atlas, chosen, "insert"), self.patch)
        inside = self.patch.numpy() > 0
        now = self.segmenter.present(self.segmenter.labels(after), concept)
        return self.segmenter.present(self.was, concept)[:, inside].mean(1), now[:, inside].mean(1)


def row(bench: Bench, name: str) -> dict[str, Any]:
    """All numbers of one concept; `found` tells why units could not be found."""
    plan, concept = bench.plan, bench.segmenter.concept(name)
    if concept is None:
        raise DescriberError(f"{plan.segmenter} must know {name}. Got no such label. Name another.")
    label = bench.segmenter.names[concept[0]][concept[1]]
    ways: dict[str, Callable[[], list[Chosen]]] = {
        "words": lambda: choose_units(bench.atlas, name, most, layers=plan.layers),
        "iou": lambda: units_by_iou(bench.atlas, concept[0], label, n_found.get("words", most), plan.layers),
    }
    if plan.meaning:
        ways["meaning"] = lambda: searched_units(bench.atlas, name, n_found.get("words", most), layers=plan.layers)
    most, n_found = ALL if plan.width else plan.top, dict[str, int]()
    told: dict[str, Any] = {"concept": name, "share": float(bench.segmenter.present(bench.was, concept).mean())}
    effects: dict[str, Effect] = {}
    for way, find in ways.items():
        try:
            found = find()
            if not found:
                message = f"A unit must share pixels with {name}. Got none in layers that were laid over concepts"
                raise AtlasError(f"{message}. Describe them with --concepts.")
            if plan.width:
                n_found[way] = len(found)  # the others have as many to choose from
            chosen = bench.fewest(found, concept)
        except AtlasError as fault:
            told[way] = {"found": str(fault)}
            continue
        effects[way] = bench.effect(chosen, concept)
        n_draws = 0 if way == "iou" else plan.draws
        others = random_draws(bench.atlas, chosen, plan.seed, n_draws)
        rivals = [bench.effect(units, concept) for units in others]
        told[way] = {"found_units": len(found), "units": [each.id for each in chosen]}
        told[way] |= compare(effects[way], rivals, plan.seed)
        if plan.confined:
            continue  # where the concept is, there is nothing to raise
        told[way]["inserted"] = _gain([bench.inserted(chosen, concept)], plan.seed)
        if others:
            told[way]["random_inserted"] = _gain([bench.inserted(units, concept) for units in others], plan.seed)
    if "iou" in effects:
        told |= {f"{way}_to_iou": ratio(effects[way], effects["iou"], plan.seed) for way in effects if way != "iou"}
    return told


def ratio(own: Effect, other: Effect, seed: int) -> Interval:
    """What one set of units removes as a share of what the other removes, on the same samples."""
    n, removed = len(own.before), MEASURES["removed"]
    drawn, everything = np.random.default_rng(seed).integers(0, n, (DRAWS, n)), np.arange(n)[None]
    with np.errstate(divide="ignore", invalid="ignore"):
        value = removed(own, everything)[0] / removed(other, everything)[0]
        return interval(value, removed(own, drawn) / removed(other, drawn))


def _gain(pairs: Sequence[tuple[np.ndarray, np.ndarray]], seed: int) -> Interval:
    """Mean gain of the concept's share of the patch."""
    gains = np.stack([after - before for before, after in pairs]).mean(0)
    drawn = np.random.default_rng(seed).integers(0, len(gains), (DRAWS, len(gains)))
    return interval(float(gains.mean()), gains[drawn].mean(1))


def lines(rows: Sequence[dict[str, Any]]) -> list[str]:
    """The table in Markdown."""
    head = "| concept | of all pixels | units, by IoU | removed | by random units | elsewhere relabelled |"
    found = [f"{head} by random units | by IoU: removed | words to IoU | raised in a region | random |"]
    meant = any("meaning" in each for each in rows)
    found[0] += " by meaning: removed | elsewhere relabelled | meaning to IoU |" if meant else ""
    found.append("|---" * (14 if meant else 11) + "|")
    for each in rows:
        own, iou = each["words"], each["iou"]
        if "found" in own:
            found.append(f"| {each['concept']} | {each['share']:.3f} | none: {own['found']} |" + " |" * 8)
            continue
        cells = [each["concept"], f"{each['share']:.3f}", f"{len(own['units'])}, {len(iou.get('units', ()))}"]
        cells += [_told(own.get(key)) for key in ("removed", "random_removed", "relabelled", "random_relabelled")]
        cells += [_told(iou.get("removed")), _told(each.get("words_to_iou"))]
        cells += [_told(own.get("inserted")), _told(own.get("random_inserted"))]
        if meant:
            other = each["meaning"]
            cells += [_told(other.get(key)) for key in ("removed", "relabelled")] + [_told(each.get("meaning_to_iou"))]
        found.append("| " + " | ".join(cells) + " |")
    return found


def _told(value: Interval | None) -> str:
    if value is None or value["value"] is None:
        return "–"
    return f"{value['value']:.2f} ({value['low']:.2f}–{value['high']:.2f})"


def main(
    generator: str,
    atlas: Path,
    concepts: Annotated[str, typer.Option(help="names with commas")],
    segmenter: str = TablePlan.segmenter,
    layers: Annotated[str, typer.Option(help="layers with commas; default: all")] = "",
    top: int = TablePlan.top,
    samples: int = TablePlan.samples,
    draws: int = TablePlan.draws,
    seed: int = TablePlan.seed,
    meaning: bool = False,
    goal: float = TablePlan.goal,
    confined: Annotated[bool, typer.Option("--confined", help="cut only where the concept was")] = False,
    width: Annotated[int, typer.Option(min=0, help="units tried for each taken; 0: the first by IoU")] = 0,
    harm: Annotated[float, typer.Option(help="most that units by trial may relabel elsewhere")] = TablePlan.harm,
    out: Annotated[Path | None, typer.Option(help="all numbers as JSON")] = None,
) -> None:
    """The table of what described units draw."""
    patterns = tuple(part for part in layers.split(",") if part)
    plan = TablePlan(
        tuple(concepts.split(",")), segmenter, patterns, top, samples, draws, seed, meaning, goal, confined, width, harm
    )
    bench = Bench(load_target(generator), Atlas.open(atlas), plan)
    rows: list[dict[str, Any]] = []
    for name in plan.concepts:
        rows.append(row(bench, name))
        if out is not None:  # after each, as all take minutes
            out.write_text(json.dumps(rows, indent=1), encoding="utf-8")
    print("\n".join(lines(rows)))


if __name__ == "__main__":
    typer.run(main)
