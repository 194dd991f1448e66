"""How far descriptions stay when nothing that matters changes: probe noise, the other half of the images, another seed.

    python -m describer.eval.stability --model carried:scenes --images scenes:400:7 --layers layer4

A description is kept word for word, or in its content (see `kept`). The share is over units that were told in the
first run, so that a text that is withdrawn in the second counts as lost; 95 % bootstrap intervals over units.
"""

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import numpy as np
import typer
from PIL import Image

from describer.atlas import Atlas
from describer.data.images import ImageSet, load_images
from describer.data.targets import load_target
from describer.describe import Target, describe
from describer.description import Describer
from describer.eval.planted.naming import content_words, names
from describer.statistics import bootstrap_interval
from describer.trust import Judge, load_judge

SIGMA = 0.02
"Standard deviation of the probe noise, of the range of a picture (the field's test of descriptions)."


class NoisyImages(ImageSet):
    """Pictures with normal noise on every level, the same each time."""

    def __init__(self, images: ImageSet, sigma: float = SIGMA, seed: int = 0) -> None:
        self.images, self.sigma, self.seed = images, sigma, seed
        self.source = f"{images.source} with noise {sigma:g}"

    def __len__(self) -> int:
        return len(self.images)

    def image(self, index: int) -> Image.Image:
        """The picture with its noise."""
        pixels = np.asarray(self.images.image(index).convert("RGB"), np.float64)
        noise = np.random.default_rng((self.seed, index)).standard_normal(pixels.shape) * self.sigma * 255
        return Image.fromarray((pixels + noise).round().clip(0, 255).astype(np.uint8))

    def _digest(self) -> str:
        return f"{self.images.fingerprint} {self.sigma} {self.seed}"


@dataclass(frozen=True)
class Stability:
    """What stays of the descriptions of one method under one change."""

    change: str
    "noise, half or seed"
    method: str
    units: int
    "that were told in the first run"
    kept: float
    "share whose content stays"
    low: float
    high: float
    words: float
    "share that stays word for word"
    told: float
    "share that has any reliable description in the second run"


def kept(before: str | None, after: str | None) -> bool:
    """Whether one text says all that the other says, synonyms counted (`planted.naming`)."""
    if not before or not after:
        return before == after
    if not content_words(before) or not content_words(after):
        return before == after
    return names(after, before) or names(before, after)


def compared(change: str, first: Atlas, second: Atlas) -> list[Stability]:
    """What stays from the first atlas to the second, method by method."""
    rows = {(row["id"], row["method"]): row["description"] for row in second.units()}
    found = []
    for method in sorted({row["method"] for row in first.units()}):
        told = [row for row in first.units() if row["method"] == method and row["description"]]
        after = [rows.get((row["id"], method)) for row in told]
        stays = np.array([kept(row["description"], text) for row, text in zip(told, after, strict=True)], float)
        same = [row["description"] == text for row, text in zip(told, after, strict=True)]
        low, high = bootstrap_interval(stays)
        shares = [
            float(np.mean(each)) if told else float("nan") for each in (stays, same, [t is not None for t in after])
        ]
        found.append(Stability(change, method, len(told), shares[0], low, high, *shares[1:]))
    return found


def stability(
    target: Target,
    images: ImageSet,
    describers: Sequence[Describer],
    judge: Judge,
    folder: Path,
    layers: Sequence[str] | None = None,
    units: str | None = None,
) -> list[Stability]:
    """What stays under noise, with exemplars of the other half, and with another seed; atlases go into `folder`."""
    settings = judge.settings
    runs: dict[str, tuple[ImageSet, Judge]] = {
        "first": (images, judge),
        "noise": (NoisyImages(images), judge),
        "half": (images, Judge(judge.listener, replace(settings, swapped=not settings.swapped))),
        "seed": (images, Judge(judge.listener, replace(settings, seed=settings.seed + 1))),
    }
    atlases = {
        name: describe(target, shown, folder / name, describers, layers=layers, units=units, judge=by)
        for name, (shown, by) in runs.items()
    }
    return [each for name in list(runs)[1:] for each in compared(name, atlases["first"], atlases[name])]


def main(
    model: Annotated[str, typer.Option(help="As for describe.")] = "carried:scenes",
    images: Annotated[str, typer.Option(help="As for describe.")] = "scenes:400:7",
    layers: Annotated[str | None, typer.Option(help="Globs with commas; default: the stages.")] = None,
    units: Annotated[str | None, typer.Option(help="0-63 or 3,5,8-11; default: all.")] = None,
    listener: Annotated[str | None, typer.Option(help="Who judges: a folder or a CLIP of the hub.")] = None,
    out: Annotated[Path | None, typer.Option(help="JSON file for everything measured.")] = None,
) -> None:
    """Prints the share of descriptions that is kept.

    Example: python -m describer.eval.stability --layers layer4
    """
    from rich.console import Console
    from rich.table import Table

    from describer.choices import captioner_of, decoding_of

    start, target = time.perf_counter(), load_target(model)
    shown: Any = load_images(images, target)
    judge = load_judge(listener, len(shown), 15)
    if judge is None:
        raise typer.BadParameter("a listener and 40 images or more must be there to judge by")
    with TemporaryDirectory() as folder:
        describers = [captioner_of(None, decoding_of(), "cpu")]
        chosen = layers.split(",") if layers else None
        found = stability(target, shown, describers, judge, Path(folder), chosen, units)
    table = Table("change", "method", "told first", "content kept", "95 %", "word for word", "told again")
    for each in found:
        interval = f"{each.low:.2f}–{each.high:.2f}"
        table.add_row(each.change, each.method, str(each.units), f"{each.kept:.2f}", interval, f"{each.words:.2f}",
                      f"{each.told:.2f}")  # fmt: skip
    Console(width=120).print(table)
    Console(width=120).print(f"{model}, {images}, judged by {judge.listener.name}, {time.perf_counter() - start:.0f} s")
    if out:
        out.write_text(json.dumps([asdict(each) for each in found], indent=1), encoding="utf-8")


if __name__ == "__main__":
    typer.run(main)
