"""How often units with one meaning are split, and units with two are found: planted units, whose meanings are known.

    python -m describer.eval.meanings --images scenes:400:7

One meaning have units of a single concept, of two that must both hold, of one without another, of a coloured thing,
and of noise. Two meanings have units that fire on either of two concepts, where each drives a fifth or more of the
exemplars and the other has no part in them; where one concept drives nearly all, there is nothing to be found.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
import typer
from jaxtyping import Float

from describer import terminal
from describer.choices import captioner_of, decoding_of
from describer.data.concepts import load_concepts
from describer.data.images import load_images
from describer.description import Meaning
from describer.eval.planted.firing import fire
from describer.eval.planted.naming import names
from describer.eval.planted.units import KINDS, PlantedForm, World, draw_units, literals
from describer.exemplars import Exemplars
from describer.modes import ModeSettings, SeeingDescriber, describe_modes, modes_of
from describer.search.forms import Concept

OWN, OTHER = 0.7, 0.3
"Of an exemplar's mask: what a concept has to cover at least to drive it, and the other concept at most."
BALANCED = 0.2
"Of the exemplars, what each of two meanings has to drive at least to be found."


@dataclass(frozen=True)
class Split:
    """How units of one kind fared."""

    kind: str
    units: int
    modes: float
    "share of them whose exemplars fall into several modes"
    meanings: float
    "share of them that are told several meanings: modes described, those that share a word being one"
    named: float | None
    "of two meanings: share of units that have both named; None for others"


def balance(world: World, unit: PlantedForm, exemplars: Exemplars, row: int) -> float:
    """The share of the unit's exemplars that the weaker of its two concepts drives, 0..0.5."""
    drawn = (exemplars.maps[row].float() > exemplars.threshold[row]).numpy()
    shown = exemplars.images[row].numpy()
    covered = np.stack([_covered(world.masks(Concept(n))[shown], drawn) for n in literals(unit.truth, holds=True)])
    driven = (covered >= OWN) & (covered[::-1] <= OTHER) & (shown >= 0)
    return float(driven.sum(1).min() / max((shown >= 0).sum(), 1))


def _covered(labels: np.ndarray, drawn: np.ndarray) -> Float[np.ndarray, " exemplars"]:
    return np.asarray((labels & drawn).sum((1, 2)) / np.maximum(drawn.sum((1, 2)), 1), np.float64)


def splits(
    world: World,
    units: Sequence[PlantedForm],
    describer: SeeingDescriber,
    images: Any,
    wrong: float = 0.0,
    settings: ModeSettings | None = None,
    seed: int = 0,
) -> list[Split]:
    """The kinds of planted units, then all with one meaning and all with two, at one level of noise."""
    settings = settings or ModeSettings()
    exemplars = fire(world, units, wrong, k=settings.wide, seed=seed).exemplars
    modes = modes_of(exemplars, *describer.features(exemplars, images), settings)
    told = describe_modes(describer, exemplars, images, settings)
    kinds = {row: _kind(world, unit, exemplars, row) for row, unit in enumerate(units)}
    groups = {kind: [row for row in kinds if kinds[row] == kind] for kind in (*KINDS, "unbalanced")}
    one = [row for row in kinds if kinds[row] not in ("or", "two", "unbalanced")]
    groups |= {"one meaning": one, "two meanings": groups["or"] + groups["two"]}
    return [_split(kind, rows, units, modes, told) for kind, rows in groups.items() if rows]


def _kind(world: World, unit: PlantedForm, exemplars: Exemplars, row: int) -> str:
    several = unit.kind in ("or", "two")
    return "unbalanced" if several and balance(world, unit, exemplars, row) < BALANCED else unit.kind


def _split(
    kind: str,
    rows: Sequence[int],
    units: Sequence[PlantedForm],
    modes: dict[int, Any],
    told: dict[int, tuple[Meaning, ...]],
) -> Split:
    named = None
    if kind in ("or", "two", "two meanings", "unbalanced"):
        named = float(np.mean([_both(told.get(row, ()), literals(units[row].truth, holds=True)) for row in rows]))
    several = float(np.mean([row in modes for row in rows]))
    return Split(kind, len(rows), several, float(np.mean([row in told for row in rows])), named)


def _both(meanings: Sequence[Meaning], concepts: Sequence[str]) -> bool:
    """Whether every concept is named by a meaning that names no other."""
    alone = [{concept for concept in concepts if names(each.text or "", concept)} for each in meanings]
    return all({concept} in alone for concept in concepts)


def main(
    images: Annotated[str, typer.Option(help="Drawn scenes.")] = "scenes:400:7",
    per_kind: Annotated[int, typer.Option(help="Units of each of the seven kinds.")] = 20,
    wrong: Annotated[float, typer.Option(help="Share of the firing area that is wrong.")] = 0.0,
    margin: Annotated[float, typer.Option(help="Deviations above chance.")] = ModeSettings().margin,
    seed: Annotated[int, typer.Option(help="Of the units and of their noise.")] = 0,
) -> None:
    """Print how often units are told several meanings.

    Example: python -m describer.eval.meanings --images scenes:400:11 --seed 1
    """
    start, world = time.perf_counter(), World(load_concepts(images))
    units = draw_units(world, per_kind, seed)
    describer: Any = captioner_of(None, decoding_of(), "cpu")
    found = splits(world, units, describer, load_images(images), wrong, ModeSettings(margin=margin), seed)
    columns = [("units planted", "left"), ("units", "right"), ("several modes", "right")]
    columns += [("several meanings", "right"), ("both named", "right")]
    cells = [
        [each.kind, str(each.units), f"{each.modes:.2f}", f"{each.meanings:.2f}", _shown(each.named)] for each in found
    ]
    terminal.print_table(columns, cells)
    terminal.print_lines(
        "", f"{images}, {wrong:.0%} wrong, margin {margin:g}, seed {seed}, {time.perf_counter() - start:.0f} s"
    )


def _shown(share: float | None) -> str:
    return "" if share is None else f"{share:.2f}"


if __name__ == "__main__":
    typer.run(main)
