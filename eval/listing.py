"""What an atlas says of a layer, as text that can be published: a summary and some units drawn at random, not chosen.

python -m describer.eval.listing atlas inception_5b --units 20 > docs/googlenet.md
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from describer.atlas import Atlas


def summary(rows: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Units, share with a reliable description; of all texts, withdrawn too, share of distinct ones and mean words."""
    texts = [text for row in rows if (text := row["description"] or row["withdrawn"])]
    words = float(np.mean([len(text.split()) for text in texts])) if texts else 0.0
    n_units = max(len(rows), 1)
    return {
        "units": len(rows),
        "described": sum(bool(row["description"]) for row in rows) / n_units,
        "distinct": len(set(texts)) / max(len(texts), 1),
        "words": words,
    }


def main(
    atlas: Annotated[Path, typer.Argument(help="Folder made by describe.")],
    layer: Annotated[str, typer.Argument(help="One of its layers.")],
    units: Annotated[int, typer.Option(help="Units listed.")] = 20,
    seed: Annotated[int, typer.Option(help="Seed of the draw.")] = 0,
) -> None:
    """Prints a Markdown table of random units of a layer.

    Example: python -m describer.eval.listing atlas inception_5b
    """
    rows = Atlas.open(atlas).units(layer)
    told = summary(rows)
    print(
        f"{told['units']} units, {told['described']:.1%} described, {told['distinct']:.1%} of all texts distinct, "
        f"{told['words']:.1f} words a text. In brackets: withdrawn.\n"
    )
    print(
        f"{units} units drawn at random (seed {seed}), not chosen:\n\n"
        "| unit | description | r | PMI, nats | next best |\n|---|---|---|---|---|"
    )
    drawn = sorted(np.random.default_rng(seed).choice(len(rows), min(units, len(rows)), replace=False))
    for row in (rows[place] for place in drawn):
        others = "; ".join(candidate["text"] for candidate in row["n_best"][1:4])
        pmi = "" if row["pmi"] is None else f"{row['pmi']:.1f}"
        score = "" if row["score"] is None else f"{row['score']:.2f}"
        text = row["description"] or (f"({row['withdrawn']})" if row["withdrawn"] else "–")
        print(f"| {row['id']} | {text} | {score} | {pmi} | {others} |")


if __name__ == "__main__":
    typer.run(main)
