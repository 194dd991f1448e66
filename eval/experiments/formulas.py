"""How well forms of each length explain a layer, beside chance, and whether well-explained units do good.

    python -m describer.eval.experiments.formulas nets/googlenet.py:load "clothing/,textures/,colors" \\
        "imagenet_samples/*.parquet" --layer inception_5b --label-column index --keep runs/forms

Prints a Markdown table. Chance is the mean IoU of the best forms for the same masks laid on other pictures' labels
(`shifts` of them), searched alike; accuracy is the classifier's on those labelled pictures on which a unit fires.
"""

import time
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from jaxtyping import Float64, Int64

from describer.eval.experiments.accuracy import accuracy_when_firing, compared
from describer.eval.experiments.subject import Subject, open_vision
from describer.search.chance import chance
from describer.search.formulas import search_formulas

HEAD = (
    "| length | mean IoU | by chance | units with p ≤ {least:.2f} | concepts used | r (IoU, accuracy) | ms a unit |\n"
    "|---|---|---|---|---|---|---|"
)


def line(
    subject: Subject,
    rows: Int64[np.ndarray, " rows"],
    length: int,
    n_shifts: int,
    accuracy: Float64[np.ndarray, " rows"],
) -> str:
    """One row of the table."""
    layer, table = subject.laid.layer(subject.layer), subject.laid.table
    start = time.process_time()
    found = search_formulas(table, layer.counts.subset(rows), max_length=length)
    took = (time.process_time() - start) / max(len(rows), 1)
    shifted = [counts.subset(rows) for counts in layer.shifted[:n_shifts]]
    drawn = chance(table, shifted, found, max_length=length)
    told, least = compared(length, found, accuracy), 1 / (1 + len(shifted))
    r = "–" if told.correlation is None else f"{told.correlation.pearson} n={told.judged}"
    lengths = float(np.mean([each.length for each in found if each.formula is not None]))
    by_chance = float(np.mean([each.mean for each in drawn]))
    sure = float(np.mean([each.p_value <= least + 1e-9 for each in drawn]))
    return (
        f"| {length} | {told.mean_iou:.4f} | {by_chance:.4f} | {sure:.0%} | {lengths:.2f} | {r} | {1000 * took:.0f} |"
    )


def main(
    model: str,
    concepts: str,
    labelled: str,
    layer: Annotated[str, typer.Option()] = "layer4",
    label_column: Annotated[str | None, typer.Option()] = None,
    lengths: Annotated[str, typer.Option(help="with commas")] = "1,2,3,5,10",
    units: Annotated[int, typer.Option(help="units drawn at random; 0: all")] = 0,
    shifts: Annotated[int, typer.Option(help="draws of chance")] = 4,
    least: Annotated[int, typer.Option(help="labelled pictures on which a unit must fire to be judged")] = 20,
    seed: Annotated[int, typer.Option(help="of the units drawn")] = 0,
    keep: Annotated[Path, typer.Option(help="folder in which the dissection is kept")] = Path("runs/forms"),
) -> None:
    """Prints the table of one layer.

    Example: python -m describer.eval.experiments.formulas carried:scenes scenes:400:7 scenes:400:21
    """
    from describer import terminal

    with terminal.progress_bars() as progress:
        *_, subject = open_vision(model, concepts, layer, keep, progress, labelled, label_column)
    accuracy, rows = accuracy_when_firing(subject.fires, subject.predicted, subject.truth, least), subject.rows
    if units and units < len(rows):
        rows = np.sort(np.random.default_rng(seed).choice(rows, units, replace=False))
    table, right = subject.laid.table, float((subject.predicted == subject.truth)[subject.truth >= 0].mean())
    print(
        f"{layer}: {len(rows)} of {len(subject.rows)} living units, {table.n_images} labelled pictures, "
        f"{len(table.names)} concepts, {len(table)} signatures; accuracy {right:.3f} on {len(subject.truth)} others.\n"
    )
    print(HEAD.format(least=1 / (1 + shifts)))
    for length in map(int, lengths.split(",")):
        print(line(subject, rows, length, shifts, accuracy[rows]), flush=True)


if __name__ == "__main__":
    typer.run(main)
