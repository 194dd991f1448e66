"""Does a unit that forms explain well also do good? Accuracy while it fires, against its IoU (Mu & Andreas 2020).

    python -m describer.eval.experiments.accuracy vision carried:scenes scenes:1000:7 scenes:1000:21 --layer layer4
    python -m describer.eval.experiments.accuracy text pairs:runs/nli snli_1.0_dev.tok --vectors runs/nli/vectors.txt

For every length of forms: the mean IoU, and the correlation over units of IoU with the classifier's accuracy on those
labelled inputs on which the unit is active. Units active on fewer than `least` of them are left out.
"""

import json
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from jaxtyping import Bool, Float64, Int64

from describer.eval.experiments.sampling import Correlation, correlation
from describer.eval.experiments.subject import Subject, open_text, open_vision
from describer.search.formulas import Explanation


@dataclass(frozen=True)
class LengthResult:
    """What forms of up to one length say."""

    length: int
    units: int
    "with a form"
    mean_iou: float
    chance_iou: float | None
    "mean of the best forms for the same masks laid on the labels of other inputs; None where none are"
    judged: int
    "units active on enough labelled inputs"
    correlation: Correlation | None
    "of IoU with accuracy while the unit fires, over judged units"
    above_chance: Correlation | None
    "of IoU less that of the unit's shifted mask: a unit that is active everywhere has a high IoU by chance"


def accuracy_when_firing(
    fires: Bool[np.ndarray, "inputs units"],
    predicted: Int64[np.ndarray, " inputs"],
    truth: Int64[np.ndarray, " inputs"],
    least: int = 20,
) -> Float64[np.ndarray, " units"]:
    """Share of labelled inputs told right among those on which each unit is active; NaN where these are too few."""
    known = truth >= 0
    right = (predicted == truth)[known]
    n_active = fires[known].sum(0)
    n_right = (fires[known] & right[:, None]).sum(0)
    return np.where(n_active >= max(least, 1), n_right / np.maximum(n_active, 1), np.nan)


def by_length(
    subject: Subject, max_length: int, least: int = 20, by_chance: bool = True
) -> tuple[list[LengthResult], list[Explanation]]:
    """The result of every length from 1, and the explanations of the last."""
    accuracy = accuracy_when_firing(subject.fires, subject.predicted, subject.truth, least)[subject.rows]
    found = subject.forms_by_length(max_length)
    shifted = by_chance and subject.laid.layer(subject.layer).shifted
    drawn = subject.forms_by_length(max_length, by_chance=True) if shifted else [None] * max_length
    rows = enumerate(zip(found, drawn, strict=True), 1)
    return [compared(length, own, accuracy, chance) for length, (own, chance) in rows], found[-1]


def compared(
    length: int,
    found: Sequence[Explanation],
    accuracy: Float64[np.ndarray, " units"],
    by_chance: Sequence[Explanation] | None = None,
) -> LengthResult:
    """IoU against accuracy over the units that have both."""
    ious = np.array([each.iou for each in found])
    there = np.array([each.formula is not None for each in found], bool)
    judged = there & ~np.isnan(accuracy)
    mean = float(ious[there].mean()) if there.any() else 0.0
    both = correlation(ious[judged], accuracy[judged])
    chance, above = None, None
    if by_chance is not None:
        drawn = np.array([each.iou for each in by_chance])
        chance, above = (
            float(drawn[there].mean()) if there.any() else 0.0,
            correlation((ious - drawn)[judged], accuracy[judged]),
        )
    return LengthResult(length, int(there.sum()), mean, chance, int(judged.sum()), both, above)


def report(subject: Subject, max_length: int, least: int, by_chance: bool, out: Path | None) -> None:
    """Prints one line a length, and writes everything as JSON."""
    from rich.console import Console
    from rich.table import Table

    results, found = by_length(subject, max_length, least, by_chance)
    known = subject.truth >= 0
    right = float((subject.predicted == subject.truth)[known].mean()) if known.any() else float("nan")
    table = Table(
        "length",
        "units",
        "mean IoU",
        "by chance",
        "judged",
        "r (IoU, accuracy)",
        "p",
        "Spearman",
        "r (IoU above chance)",
    )
    for row in results:
        both = row.correlation
        told = ["–"] * 3 if both is None else [str(both.pearson), f"{both.p_value:.1e}", f"{both.spearman:.3f}"]
        told.append("–" if row.above_chance is None else str(row.above_chance.pearson))
        chance = "–" if row.chance_iou is None else f"{row.chance_iou:.4f}"
        table.add_row(str(row.length), str(row.units), f"{row.mean_iou:.4f}", chance, str(row.judged), *told)
    console = Console(width=130)
    console.print(f"{subject.layer}: accuracy {right:.3f} on {int(known.sum())} labelled inputs")
    console.print(table)
    if out:
        accuracy = accuracy_when_firing(subject.fires, subject.predicted, subject.truth, least)
        units = [
            {"unit": int(unit), "formula": str(each.formula), "iou": each.iou, "accuracy": float(accuracy[unit])}
            for unit, each in zip(subject.rows, found, strict=True)
        ]
        whole = {"accuracy": right, "lengths": [asdict(row) for row in results], "units": units}
        out.write_text(json.dumps(whole, indent=1), encoding="utf-8")


app = typer.Typer(add_completion=False, help="Accuracy while a unit fires against the IoU of its form.")
Length = Annotated[int, typer.Option(help="most concepts of a form; all lengths up to it are told")]
Units = Annotated[int | None, typer.Option(help="units, drawn at random; default: all", show_default=False)]
Chance = Annotated[bool, typer.Option(help="tell what masks laid on other inputs give")]
Least = Annotated[int, typer.Option(help="labelled inputs on which a unit must be active to be judged")]
Out = Annotated[Path | None, typer.Option(help="JSON file for everything measured")]
Shifts = Annotated[int, typer.Option(help="times that masks are laid on other pictures' labels")]
Keep = Annotated[Path | None, typer.Option(help="folder in which the dissection is kept")]


@app.command(
    epilog="\b\nExample: python -m describer.eval.experiments.accuracy vision carried:scenes scenes:400 scenes:400:1"
)
def vision(
    model: str, concepts: str, labelled: str, layer: str = "layer4", label_column: str | None = None,
    length: Length = 10, units: Units = None, least: Least = 20, chance: Chance = True,
    shifts: Shifts = 1, out: Out = None, keep: Keep = None,
) -> None:  # fmt: skip
    """Units of an image classifier, over CONCEPTS, judged on LABELLED pictures."""
    from describer import terminal

    with tempfile.TemporaryDirectory() as folder, terminal.progress_bars() as progress:
        *_, subject = open_vision(
            model, concepts, layer, keep or folder, progress, labelled, label_column, n_shifts=shifts
        )
        report(subject.sampled(units), length, least, chance, out)


@app.command(epilog="\b\nExample: python -m describer.eval.experiments.accuracy text pairs:runs/nli pairs.jsonl")
def text(
    model: str, pairs: str, vectors: Path | None = None,
    length: Length = 10, units: Units = None, least: Least = 20, chance: Chance = True,
    out: Out = None, keep: Keep = None,
) -> None:  # fmt: skip
    """Penultimate units of a classifier of sentence pairs."""
    from describer import terminal

    with tempfile.TemporaryDirectory() as folder, terminal.progress_bars() as progress:
        *_, subject = open_text(model, pairs, vectors, keep or folder, progress)
        report(subject.sampled(units), length, least, chance, out)


if __name__ == "__main__":
    app()
