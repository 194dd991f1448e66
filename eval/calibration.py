"""How often a description is right at its score: planted units of drawn scenes, whose meaning is known.

    python -m describer.eval.calibration --out calibration.png

Each concept is planted at three levels of noise, and some units are noise alone. A description, withdrawn or not, is
right if it names its unit's concept (`planted.naming`); of noise nothing is right.
"""

import json
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import numpy as np
import typer

from describer.atlas import Atlas
from describer.data.scenes import SceneSet
from describer.data.scenes.keys import keys_of
from describer.data.scenes.words import wordings
from describer.describe import describe
from describer.eval.planted.naming import names
from describer.eval.plantednet import PlantedUnit, planted_network
from describer.trust import Bin, Judge, calibration, load_judge

NOISE = (0.1, 0.5, 1.5)
"Standard deviations of the noise on maps of 0 and 1."
NOTHING = 20
"Units of noise alone."


def planted_units(scenes: SceneSet, n_concepts: int, noise: Sequence[float] = NOISE) -> list[PlantedUnit]:
    """The most frequent concepts of an eighth to a half of the scenes, once a level of noise, and units of noise."""
    looked = range(0, len(scenes), 4)
    counts = Counter(key for index in looked for key in keys_of(scenes.scene(index)))
    fitting = [key for key, n in counts.most_common() if len(looked) / 32 <= n <= len(looked) / 2]
    keys = [key for key in fitting if not any(sign in key for sign in "|@(") and not key.startswith("light")]
    keys = keys[:n_concepts]
    return [*(PlantedUnit((key,), level) for level in noise for key in keys), *[PlantedUnit((), 1.0)] * NOTHING]


def said_right(row: dict[str, Any], unit: PlantedUnit) -> bool:
    """Whether a row's text, withdrawn or not, names what its unit was planted with."""
    text = row["description"] or row["withdrawn"]
    return bool(text) and any(names(text, wordings(key)[0]) for key in unit.keys)


def measured(atlas: Atlas, units: Sequence[PlantedUnit]) -> tuple[dict[str, dict[str, float]], list[Bin]]:
    """How many right, wrong and empty descriptions are kept, and the share of right ones at rising scores."""
    rows = [row for row in atlas.units("planted") if row["score"] is not None]
    right = np.array([said_right(row, units[row["unit"]]) for row in rows], bool)
    empty = np.array([not units[row["unit"]].keys for row in rows], bool)
    kept = np.array([bool(row["reliable"]) for row in rows])
    shares = {"right": right, "wrong": ~right & ~empty, "noise": empty}
    told = {name: {"units": int(of.sum()), "kept": float(kept[of].mean())} for name, of in shares.items() if of.any()}
    scores = np.array([row["score"] for row in rows])
    return told, calibration(scores, right)


def main(
    n_images: Annotated[int, typer.Option("--images", help="Drawn scenes.")] = 400,
    n_concepts: Annotated[int, typer.Option("--concepts", help="Planted at each level of noise.")] = 40,
    seed: Annotated[int, typer.Option(help="Of the scenes.")] = 9,
    listener: Annotated[str | None, typer.Option(help="Who judges: a folder or a CLIP of the hub.")] = None,
    out: Annotated[Path | None, typer.Option(help="PNG for the chart; the numbers go beside it as JSON.")] = None,
) -> None:
    """Prints how many right, wrong and empty descriptions are kept, and the share of right ones at rising scores.

    Example: python -m describer.eval.calibration --out calibration.png
    """
    from describer.choices import captioner_of, decoding_of
    from describer.picture import calibration_chart

    start = time.perf_counter()
    judge: Judge | None = load_judge(listener, n_images, 15)
    if judge is None:
        raise typer.BadParameter("a listener and 40 images or more must be there to judge by")
    units = planted_units(SceneSet(n_images, seed), n_concepts)
    target, images = planted_network(n_images, seed, units)
    with TemporaryDirectory() as folder:
        atlas = describe(target, images, Path(folder) / "a", [captioner_of(None, decoding_of(), "cpu")], judge=judge)
        kept, bins = measured(atlas, units)
    for name, told in kept.items():
        typer.echo(f"{name:6s} {told['units']:4.0f} units, {told['kept']:.2f} of their descriptions kept")
    for each in bins:
        interval = f"{each.interval[0]:.2f}–{each.interval[1]:.2f}"
        typer.echo(f"r {each.low:5.2f} to {each.high:.2f}: {each.share:.2f} right ({interval}) of {each.n}")
    typer.echo(f"{n_images} scenes, judged by {judge.listener.name}, {time.perf_counter() - start:.0f} s")
    if out:
        calibration_chart(bins, f"{len(units)} planted units of drawn scenes").save(out)
        found = {"kept": kept, "bins": [asdict(each) for each in bins]}
        out.with_suffix(".json").write_text(json.dumps(found, indent=1), encoding="utf-8")


if __name__ == "__main__":
    typer.run(main)
