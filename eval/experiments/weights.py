"""Which classes do units speak for, and do their forms speak for the same?

    python -m describer.eval.experiments.weights vision carried:scenes scenes:1000:7 --layer layer4 --without scene
    python -m describer.eval.experiments.weights text pairs:runs/nli snli_1.0_dev.tok --vectors runs/nli/vectors.txt

For every class the units of the greatest weight with their forms (Mu & Andreas 2020, section 6). For every unit and
class the *lift* of its form: how much more often, in log odds, the classifier says the class where the form holds than
where it does not. Where forms tell what units do, weight and lift go together; `agreement` is their correlation.
"""

import json
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from jaxtyping import Bool, Float64, Int64

from describer.eval.experiments.sampling import Correlation, correlation
from describer.eval.experiments.subject import Subject, open_text, open_vision, parts
from describer.search.formulas import Explanation

LEAST_SHARE = 0.01
"Share of a picture's cells in which a form must hold to hold of the picture."


@dataclass(frozen=True)
class Contribution:
    """One unit and one class."""

    unit: int
    class_name: str
    weight: float
    formula: str
    iou: float
    lift: float
    "log odds of the class being said where the form holds, above those where it does not"


def form_holds(subject: Subject, found: Sequence[Explanation]) -> Bool[np.ndarray, "inputs forms"]:
    """Whether each form holds of each of the inputs that the units were laid over."""
    table, images = subject.laid.table, subject.laid.images()
    cells = images.areas
    holds = np.zeros((images.shape[0], len(found)), bool)
    for column, each in enumerate(found):
        if each.formula is not None:
            holds[:, column] = images.counts @ table.mask(each.formula).astype(np.int64) >= LEAST_SHARE * cells
    return holds


def lifts(
    holds: Bool[np.ndarray, "inputs forms"], said: Int64[np.ndarray, " inputs"], n_classes: int
) -> Float64[np.ndarray, "forms classes"]:
    """Log odds ratio of every class with and without every form; half an input is added to each of the four counts."""
    chosen = said[:, None] == np.arange(n_classes)  # (inputs, classes)
    with_both = holds.T.astype(np.int64) @ chosen.astype(np.int64)
    n_holds, n_said = holds.sum(0)[:, None], chosen.sum(0)[None]
    only_form, only_class = n_holds - with_both, n_said - with_both
    neither = len(said) - n_holds - only_class
    return np.log((with_both + 0.5) * (neither + 0.5) / ((only_form + 0.5) * (only_class + 0.5)))


def contributions(
    subject: Subject, found: Sequence[Explanation], said: Int64[np.ndarray, " inputs"], n_best: int = 3
) -> tuple[list[Contribution], Correlation | None]:
    """The units of greatest weight of every class that is said, and the agreement over all units and said classes."""
    lift = lifts(form_holds(subject, found), said, len(subject.class_names))
    weights = subject.weights.numpy().T[subject.rows]  # (rows, classes)
    there = np.array([each.formula is not None for each in found], bool)
    classes = np.flatnonzero(np.bincount(said, minlength=len(subject.class_names)) >= 5)
    best = []
    for number in classes:
        order = [row for row in np.argsort(-weights[:, number], kind="stable") if there[row]][:n_best]
        best += [
            Contribution(
                int(subject.rows[row]),
                subject.class_names[number],
                float(weights[row, number]),
                str(found[row].formula),
                found[row].iou,
                float(lift[row, number]),
            )
            for row in order
        ]
    both = np.ix_(np.flatnonzero(there), classes)
    return best, correlation(weights[both].ravel(), lift[both].ravel())


def report(subject: Subject, said: Int64[np.ndarray, " inputs"], length: int, out: Path | None) -> None:
    """Prints the units of every class, and writes them as JSON."""
    from rich.console import Console
    from rich.table import Table

    best, agreement = contributions(subject, subject.forms(length), said)
    table = Table("class", "unit", "weight", "lift", "IoU", "formula")
    for row in best:
        numbers = f"{row.weight:.2f}", f"{row.lift:.2f}", f"{row.iou:.3f}"
        table.add_row(row.class_name, f"{subject.layer}:{row.unit}", *numbers, row.formula)
    console = Console(width=140)
    console.print(table)
    if agreement:
        console.print(f"agreement of weight and lift over units and classes: r = {agreement.pearson}")
    if out:
        whole: dict[str, Any] = {"agreement": asdict(agreement) if agreement else None}
        out.write_text(json.dumps(whole | {"best": [asdict(row) for row in best]}, indent=1), encoding="utf-8")


app = typer.Typer(add_completion=False, help="Classes that units speak for, and whether their forms do too.")
Length = Annotated[int, typer.Option(help="most concepts of a form")]
Units = Annotated[int | None, typer.Option(help="units, drawn at random; default: all", show_default=False)]
Without = Annotated[str | None, typer.Option(help="categories of concepts to leave out, with commas")]
Out = Annotated[Path | None, typer.Option(help="JSON file for everything measured")]
Shifts = Annotated[int, typer.Option(help="times that masks are laid on other pictures' labels")]
Keep = Annotated[Path | None, typer.Option(help="folder in which the dissection is kept")]


@app.command(epilog="\b\nExample: python -m describer.eval.experiments.weights vision carried:scenes scenes:400")
def vision(
    model: str, concepts: str, layer: str = "layer4", length: Length = 3, units: Units = None,
    without: Without = None, shifts: Shifts = 1, out: Out = None, keep: Keep = None,
) -> None:  # fmt: skip
    """Units of an image classifier, over CONCEPTS."""
    from describer import terminal

    with tempfile.TemporaryDirectory() as folder, terminal.progress_bars() as progress:
        *_, subject = open_vision(
            model, concepts, layer, keep or folder, progress, without=parts(without), n_shifts=shifts
        )
        report(subject.sampled(units), subject.predicted[subject.laid.kept], length, out)


@app.command(epilog="\b\nExample: python -m describer.eval.experiments.weights text pairs:runs/nli pairs.jsonl")
def text(
    model: str, pairs: str, vectors: Path | None = None, length: Length = 5, units: Units = None,
    out: Out = None, keep: Keep = None,
) -> None:  # fmt: skip
    """Penultimate units of a classifier of sentence pairs."""
    from describer import terminal

    with tempfile.TemporaryDirectory() as folder, terminal.progress_bars() as progress:
        *_, subject = open_text(model, pairs, vectors, keep or folder, progress)
        report(subject.sampled(units), subject.predicted, length, out)


if __name__ == "__main__":
    app()
