"""Copy-paste adversaries that are found: edits that forms and class weights propose, beside random edits of one size.

    python -m describer.eval.experiments.adversaries vision carried:scenes scenes:1000:7 --layer layer4 --without scene
    python -m describer.eval.experiments.adversaries text pairs:runs/nli snli_1.0_dev.tok --vectors runs/nli/vectors.txt

Prints how often the prediction flips to the class for which the edit was proposed, how much its log odds gain, and how
often the unit fires afterwards; 95 % intervals draw whole proposals.
"""

import json
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from describer.eval.experiments.pasting import Paster
from describer.eval.experiments.proposals import propose
from describer.eval.experiments.subject import Subject, open_text, open_vision, parts
from describer.eval.experiments.trials import Trial, by_proposal, judge
from describer.eval.experiments.wording import WordEditor


def said_classes(subject: Subject, least: int = 5) -> list[int]:
    """Classes that the classifier says of at least so many inputs."""
    counts = np.bincount(subject.predicted, minlength=len(subject.class_names))
    return np.flatnonzero(counts >= least).tolist()


def strongest_units(subject: Subject, classes: Sequence[int], n_units: int) -> Subject:
    """The subject with the units of the greatest weight of each of these classes."""
    weights = subject.weights.numpy()[:, subject.rows]
    rows = {
        int(subject.rows[row]) for number in classes for row in np.argsort(-weights[number], kind="stable")[:n_units]
    }
    return replace(subject, rows=np.array(sorted(rows), np.int64))


def find(subject: Subject, editor: Paster | WordEditor, length: int, n_units: int, n_inputs: int) -> list[Trial]:
    """All trials of all proposals."""
    classes = said_classes(subject)
    few = strongest_units(subject, classes, 2 * n_units)
    proposals = propose(few, few.forms(length), n_units, can_edit=editor.can_edit, classes=classes)
    return [trial for proposal in proposals for trial in editor.tries(proposal, n_inputs)]


def report(subject: Subject, trials: Sequence[Trial], out: Path | None, n_shown: int = 12) -> None:
    """Prints the outcome and the most successful proposals, and writes everything as JSON."""
    from rich.console import Console
    from rich.table import Table

    console, outcome = Console(width=150), judge(trials)
    console.print(f"{outcome.trials} trials of {outcome.proposals} proposals, {subject.layer}")
    table = Table("", "proposed edits", "random edits")
    table.add_row("flips to the class", str(outcome.flipped), str(outcome.random_flipped))
    table.add_row("gain in log odds (nats)", str(outcome.gained), str(outcome.random_gained))
    table.add_row("unit fires afterwards", str(outcome.fired), str(outcome.random_fired))
    table.add_row("flips where it does", str(outcome.fired_flipped), str(outcome.fired_random_flipped))
    console.print(table, f"difference of flips: {outcome.difference}")
    best = by_proposal(trials)
    shown = Table("class", "unit", "weight", "edit", "form", "IoU", "trials", "flips", "random")
    for proposal, n, flipped, random in best[:n_shown]:
        edit = f"{'+' if proposal.wanted else '−'} {proposal.leaf}"
        numbers = f"{proposal.iou:.3f}", str(n), f"{flipped:.2f}", f"{random:.2f}"
        name = subject.class_names[proposal.class_index]
        shown.add_row(name, str(proposal.unit), f"{proposal.weight:.2f}", edit, str(proposal.formula), *numbers)
    console.print(shown)
    if out:
        whole = {"outcome": asdict(outcome), "trials": [_row(subject, trial) for trial in trials]}
        out.write_text(json.dumps(whole, indent=1), encoding="utf-8")


def _row(subject: Subject, trial: Trial) -> dict[str, object]:
    proposal = trial.proposal
    return {
        "class": subject.class_names[proposal.class_index],
        "unit": proposal.unit,
        "formula": str(proposal.formula),
        "iou": proposal.iou,
        "leaf": str(proposal.leaf),
        "wanted": proposal.wanted,
        "input": trial.index,
        "edit": trial.told,
        "size": trial.size,
        "proposed": asdict(trial.proposed),
        "random": asdict(trial.random),
    }


app = typer.Typer(add_completion=False, help="Edits that forms and class weights propose, against random ones.")
Length = Annotated[int, typer.Option(help="most concepts of a form")]
Units = Annotated[int, typer.Option(help="units of every class, those of the greatest weight")]
Inputs = Annotated[int, typer.Option(help="inputs that every proposal is tried on")]
Without = Annotated[str | None, typer.Option(help="categories of concepts to leave out, with commas")]
Out = Annotated[Path | None, typer.Option(help="JSON file for everything measured")]
Shifts = Annotated[int, typer.Option(help="times that masks are laid on other pictures' labels")]
Keep = Annotated[Path | None, typer.Option(help="folder in which the dissection is kept")]


@app.command(epilog="\b\nExample: python -m describer.eval.experiments.adversaries vision carried:scenes scenes:400")
def vision(
    model: str, concepts: str, layer: str = "layer4", length: Length = 3, units: Units = 3, inputs: Inputs = 20,
    without: Without = None, shifts: Shifts = 1, out: Out = None, keep: Keep = None,
) -> None:  # fmt: skip
    """Regions of CONCEPTS pasted from one picture into another."""
    from describer import terminal

    with tempfile.TemporaryDirectory() as folder, terminal.progress_bars() as progress:
        target, labels, subject = open_vision(
            model, concepts, layer, keep or folder, progress, without=parts(without), n_shifts=shifts
        )
        report(subject, find(subject, Paster(target, labels, subject), length, units, inputs), out)


@app.command(epilog="\b\nExample: python -m describer.eval.experiments.adversaries text pairs:runs/nli pairs.jsonl")
def text(
    model: str, pairs: str, vectors: Path | None = None, length: Length = 5, units: Units = 10, inputs: Inputs = 40,
    out: Out = None, keep: Keep = None,
) -> None:  # fmt: skip
    """One word put into PAIRS, or taken out."""
    from describer import terminal

    with tempfile.TemporaryDirectory() as folder, terminal.progress_bars() as progress:
        target, sentences, subject = open_text(model, pairs, vectors, keep or folder, progress)
        report(subject, find(subject, WordEditor(target, sentences, subject), length, units, inputs), out)


if __name__ == "__main__":
    app()
