"""Which words' units matter to accuracy? Units cut in the order of their descriptions, against random orders.

    python -m describer.eval.experiments.ablation carried:scenes atlas scenes:300:21 --out ablation.json

Units of a classifier are ordered by a property of their descriptions (see `orders`), and the first 0 to 20 % are cut,
in steps of 2 % (Hernandez et al. 2022, section 5). Told per order: the accuracy over all steps, less that of random
orders, and less that of random units of the same layers: descriptions differ between layers, and layers matter
unequally. Intervals (95 %) draw pictures, and the draws of random orders and of ties. Withdrawn texts count too, unless
--reliable.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from jaxtyping import Int64
from PIL.Image import Image

from describer.atlas import Atlas
from describer.data.classes import class_labels
from describer.data.images import ImageSet
from describer.data.targets import Target
from describer.errors import AtlasError
from describer.eval.control.ablation import checked
from describer.eval.control.choice import DENIED
from describer.eval.experiments.command import run
from describer.eval.experiments.cuts import Progress, Steps, Worded, curves
from describer.eval.experiments.orders import Meaning, meaning_by, meaning_of, properties
from describer.eval.experiments.sampling import Estimate


class SomeImages(ImageSet):
    """Some pictures of a set."""

    def __init__(self, images: ImageSet, rows: Int64[np.ndarray, " some"]) -> None:
        self.images, self.rows = images, rows
        self.source = f"{len(rows)} of {images.source}"

    def __len__(self) -> int:
        return len(self.rows)

    def image(self, index: int) -> Image:
        """Picture `index` of those chosen."""
        return self.images.image(int(self.rows[index]))

    def _digest(self) -> str:
        return f"{self.images.fingerprint} {self.rows.tolist()}"


def worded_units(
    atlas: Atlas, method: str = "caption", layers: Sequence[str] = (), reliable: bool = False
) -> list[Worded]:
    """Living units with a text of the method; what a form denies it does not say. AtlasError where there are none."""
    found = []
    for row in atlas.units():
        text = row["description"] or (None if reliable else row["withdrawn"])
        fits = not layers or any(fnmatchcase(row["layer"], pattern) for pattern in layers)
        if row["method"] == method and text and fits:
            found.append(Worded(row["layer"], row["unit"], DENIED.sub(" ", text)))
    if not found:
        raise AtlasError(f"{atlas.path} must have units told by {method}. Got none. Name another --method.")
    return found


def measure(
    target: Target,
    atlas: Atlas,
    images: ImageSet,
    units: Sequence[Worded],
    meaning: Meaning | None,
    steps: Steps,
    n_classes: int = 6,
    pictures: int | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """The whole experiment as JSON; classes are drawn at random, and so are `pictures`. Raises DescriberErrors."""
    checked(target, atlas)
    truth, dice = class_labels(images, target.class_names), np.random.default_rng(steps.seed)
    if pictures is not None and pictures < len(images):
        rows = np.sort(dice.permutation(len(images))[:pictures]).astype(np.int64)
        images, truth = SomeImages(images, rows), truth[rows]
    names = target.class_names or []
    there = [number for number in np.unique(truth).tolist() if 0 <= number < len(names)]
    chosen = sorted(dice.permutation(there)[:n_classes].tolist())
    scores = properties([each.text for each in units], meaning, [names[number] for number in chosen])
    classes = {f"like {names[number]}": number for number in chosen}
    having = {name: int((own > 0).sum()) for name, own in scores.items() if name not in classes}
    same = [name for name, own in scores.items() if own.min() == own.max()]  # no order at all
    scores = {name: own for name, own in scores.items() if name not in same}
    before, found = curves(target, images, truth, units, scores, steps, classes, progress)
    return {
        "model": target.name,
        "images": images.source,
        "n_units": len(units),
        "units with any": having,
        "no order": same,
        "steps": asdict(steps),
        "before": asdict(before),
        "orders": [asdict(curve) for curve in found],
    }


def main(
    model: Annotated[str, typer.Argument(help="a classifier, as for describe")],
    atlas: Annotated[Path, typer.Argument(help="folder made by describe, of this model")],
    images: Annotated[str, typer.Argument(help="pictures with classes: scenes:N:SEED, a folder a class, Parquet")],
    method: Annotated[str, typer.Option(help="whose descriptions")] = "caption",
    layers: Annotated[str | None, typer.Option(help="globs with commas; default: all")] = None,
    reliable: Annotated[bool, typer.Option("--reliable", help="leave out units whose text was withdrawn")] = False,
    pictures: Annotated[int | None, typer.Option(help="of them, drawn at random; default: all")] = None,
    classes: Annotated[int, typer.Option(help="classes to whose names descriptions are compared")] = 6,
    most: Annotated[float, typer.Option(help="largest share of units that is cut")] = 0.2,
    step: Annotated[float, typer.Option(help="share of units that one step adds")] = 0.02,
    randoms: Annotated[int, typer.Option(help="random orders of all units")] = 5,
    draws: Annotated[int, typer.Option(help="of ties, and of random units of the same layers")] = 3,
    vectors: Annotated[Path | None, typer.Option(help="words as vectors; default: what the listener hears")] = None,
    bf16: Annotated[bool, typer.Option("--bf16", help="half precision: three times as fast where it can")] = False,
    seed: Annotated[int, typer.Option(help="of everything")] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda …")] = "auto",
    out: Annotated[Path | None, typer.Option(help="JSON file for everything measured")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="one JSON object a line")] = False,
) -> None:
    """Prints what cutting units in the order of their descriptions does to a classifier.

    Example: python -m describer.eval.experiments.ablation carried:scenes atlas scenes:300:21
    """
    from describer import terminal
    from describer.choices import device_of
    from describer.data.images import load_images
    from describer.data.targets import load_target
    from describer.data.wordvectors import load_vectors
    from describer.listener import load_listener

    opened = Atlas.open(atlas)
    units = worded_units(opened, method, tuple((layers or "").split(",")) if layers else (), reliable)
    meaning = meaning_by(load_vectors(vectors)) if vectors else meaning_of(load_listener())
    steps = Steps(most, step, randoms, draws, seed, bf16=bf16)
    with terminal.progress_bars() as progress:
        found = measure(
            load_target(model, device_of(device)), opened, load_images(images), units, meaning, steps, classes,
            pictures, progress,
        )  # fmt: skip
    if out:
        out.write_text(json.dumps(found, indent=1), encoding="utf-8")
    if as_json:
        return terminal.print_json(
            [{name: value for name, value in found.items() if name != "orders"}, *found["orders"]]
        )
    before = Estimate(**found["before"])
    terminal.print_lines(f"{found['model']}, {found['n_units']} units, {found['images']}: accuracy {before} uncut")
    if found["no order"]:
        terminal.print_lines(f"Left out, as all units are alike in them: {', '.join(found['no order'])}")
    terminal.print_lines("")
    shares = found["orders"][0]["shares"]
    columns = [("order", "left"), *((f"{shares[i]:.0%} cut", "right") for i in ((len(shares) - 1) // 2, -1))]
    columns += [(name, "right") for name in ("mean", "less random", "less same layers", "own class, the same")]
    terminal.print_table(columns, (_cells(row) for row in found["orders"]))
    return None


def _cells(row: dict[str, Any]) -> list[str]:
    accuracy = row["accuracy"]
    told = [row[name] for name in ("mean", "less_random", "less_layers", "class_less_layers")]
    numbers = f"{accuracy[(len(accuracy) - 1) // 2]:.3f}", f"{accuracy[-1]:.3f}"
    return [row["order"], *numbers, *("–" if each is None else str(Estimate(**each)) for each in told)]


if __name__ == "__main__":
    run(main)
