"""How well forms of each length explain a layer, beside chance, and whether well-explained units do good.

    python -m describer.eval.experiments.formulas nets/googlenet.py:load "clothing/,textures/,colors" \\
        "imagenet_samples/*.parquet" --layer inception_5b --label-column index --keep runs/forms

Prints a Markdown table. Chance is the mean IoU of the best forms for the same masks laid on other pictures' labels
(`shifts` of them), searched alike; accuracy is the classifier's on those labelled pictures on which a unit fires.
"""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from jaxtyping import Float64

from describer.eval.experiments.accuracy import accuracy_when_firing, compared
from describer.eval.experiments.subject import open_vision
from describer.search.formulas import Explanation
from describer.search.lengths import search_lengths

HEAD = (
    "| length | mean IoU | by chance | units with p ≤ {least:.2f} | concepts used | r (IoU, accuracy) |\n"
    "|---|---|---|---|---|---|"
)
Ious = Float64[np.ndarray, " rows"]


def line(length: int, found: Sequence[Explanation], drawn: Float64[np.ndarray, "draws rows"], accuracy: Ious) -> str:
    """One row of the table."""
    told = compared(length, found, accuracy)
    ious = np.array([each.iou for each in found])
    p_values = (1 + (drawn >= ious).sum(0)) / (1 + len(drawn))
    sure = float(np.mean(p_values <= 1 / (1 + len(drawn)) + 1e-9))
    lengths = float(np.mean([each.length for each in found if each.formula is not None]))
    r = "–" if told.correlation is None else str(told.correlation.pearson)
    return f"| {length} | {told.mean_iou:.4f} | {drawn.mean():.4f} | {sure:.0%} | {lengths:.2f} | {r} |"


def main(
    model: str,
    concepts: str,
    labelled: str,
    layer: Annotated[str, typer.Option()] = "layer4",
    label_column: Annotated[str | None, typer.Option()] = None,
    lengths: Annotated[str, typer.Option(help="with commas")] = "1,2,3,5,10",
    units: Annotated[int, typer.Option(help="units drawn at random; 0: all")] = 0,
    shifts: Annotated[int, typer.Option(help="draws of chance")] = 9,
    least: Annotated[int, typer.Option(help="labelled pictures on which a unit must fire to be judged")] = 20,
    seed: Annotated[int, typer.Option(help="of the units drawn")] = 0,
    keep: Annotated[Path, typer.Option(help="folder in which the dissection is kept")] = Path("runs/forms"),
) -> None:
    """Prints the table of one layer.

    Example: python -m describer.eval.experiments.formulas carried:scenes scenes:400:7 scenes:400:21
    """
    from describer import terminal

    with terminal.progress_bars() as progress:
        *_, subject = open_vision(model, concepts, layer, keep, progress, labelled, label_column, n_shifts=shifts)
    accuracy, rows = accuracy_when_firing(subject.fires, subject.predicted, subject.truth, least), subject.rows
    if units and units < len(rows):
        rows = np.sort(np.random.default_rng(seed).choice(rows, units, replace=False))
    table, laid = subject.laid.table, subject.laid.layer(layer)
    right = float((subject.predicted == subject.truth)[subject.truth >= 0].mean())
    print(
        f"{layer}: {len(rows)} of {len(subject.rows)} living units, {table.n_images} labelled pictures, "
        f"{len(table.names)} concepts, {len(table)} signatures; accuracy {right:.3f} on {len(subject.truth)} others, "
        f"{int((~np.isnan(accuracy[rows])).sum())} units fire on {least} of them or more.\n",
        flush=True,
    )
    wanted, start = [int(part) for part in lengths.split(",")], time.process_time()
    found = search_lengths(table, laid.counts.subset(rows), max(wanted))
    took = (time.process_time() - start) / max(len(rows), 1)
    drawn = np.zeros((max(wanted), len(laid.shifted), len(rows)))
    for draw, counts in enumerate(laid.shifted):
        for place, forms in enumerate(search_lengths(table, counts.subset(rows), max(wanted))):
            drawn[place, draw] = [each.iou for each in forms]
    print(HEAD.format(least=1 / (1 + len(laid.shifted))))
    for length in wanted:
        print(line(length, found[length - 1], drawn[length - 1], accuracy[rows]))
    print(f"\nAll lengths to {max(wanted)}: {1000 * took:.1f} ms of one core a unit.")


if __name__ == "__main__":
    typer.run(main)
