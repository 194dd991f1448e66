"""Mending a classifier that learnt to read: text units found by description, cut, and what that repairs.

    python -m describer.eval.experiments.spurious scenes --out scenes.json --keep runs/spurious/scenes
    python -m describer.eval.experiments.spurious cifar10 --data "cifar10/*.parquet" --out photographs.json

The editing experiment of MILAN (Hernandez et al. 2022, section 7). Half of the pictures that a classifier is taught on
have the class's name painted in; it is tested on pictures with the name of a wrong class. Its units are described over
other pictures, half of them lettered. Those that have to do with text are ordered by the classifier's accuracy without
each alone, on validation pictures; there too it is chosen how many are cut. What that does is told on test pictures,
beside as many random units, the same order over all units, and the units that text truly drives.
"""

import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer

from describer.atlas import Atlas
from describer.caption import CaptionDescriber
from describer.captioner import Captioner
from describer.data.targets import Target
from describer.describe import describe
from describer.description import Describer
from describer.eval.control.ablation import accuracies
from describer.eval.experiments.command import run
from describer.eval.experiments.cutting import Bench, Unit, best_number, ladder, ordered, random_cuts, singles
from describer.eval.experiments.lettering import LetteredConcepts, LetteredImages, own_words, wrong_words
from describer.eval.experiments.pupils import PupilRecipe, prepared, taught
from describer.eval.experiments.suspects import TELLING, Suspects, said_of_words, spoken, suspects, tells_text
from describer.eval.experiments.worlds import Part, Progress, Sizes, World, photo_world, scenes_world
from describer.probe import ProbeSettings
from describer.search.describers import form_describers
from describer.search.dissect import DissectSettings
from describer.statistics import bootstrap_interval
from describer.trust import load_judge

KINDS = {"plain": 0.0, "half": 0.5, "own": 1.0}
"Words in pictures: the share of them with their class's own name; `wrong` has another class's in all."
ORDERS = ("said", "usual", "adversarial")
"""As surely as they are of text, without any trial; by accuracy without each alone on validation pictures that are
lettered as those it was taught on; the same on such with wrong names."""


@dataclass(frozen=True)
class SpuriousPlan:
    """What is taught, and what is tried."""

    sizes: Sizes
    recipe: PupilRecipe
    grain: int | None = None
    "of pictures out of focus (see `scenes_world`)"
    most: int = 16
    "units that are cut at most"
    draws: int = 5
    "draws of random units"
    shown: int = 8
    "units of every way whose descriptions are told"
    seed: int = 0
    "of words, random units and intervals"


SHARP = SpuriousPlan(Sizes(6000, 800, 400, 1000), PupilRecipe((16, 32, 64, 128), 128, 450, 48))
SCENES = SpuriousPlan(Sizes(6000, 800, 400, 1000), PupilRecipe((24, 48, 96, 128), 64, 1000, anew=True), grain=2)
CIFAR10 = SpuriousPlan(Sizes(24000, 1000, 500, 2000), PupilRecipe((24, 48, 96, 128), 64, 1500))


class Spurious:
    """A world of pictures, a classifier that was taught with words in them, and one that was taught without."""

    def __init__(self, world: World, plan: SpuriousPlan, reader: Target, other: Target, progress: Progress) -> None:
        self.world, self.plan, self.reader, self.other, self.progress = world, plan, reader, other, progress

    @classmethod
    def taught(cls, world: World, plan: SpuriousPlan, folder: Path, progress: Progress) -> "Spurious":
        """Both classifiers taught in `folder`, or read from there."""
        pupils: list[Target] = []
        for kind in ("half", "plain"):
            images = lettered(world.train, kind, world, plan)
            report = partial(progress, f"teaching on {kind} pictures")
            where = folder / f"taught-{kind}"
            pupils.append(taught(images, world.train.labels, world.class_names, plan.recipe, where, report))
        return cls(world, plan, pupils[0], pupils[1], progress)

    def bench(self, target: Target, part: Part, kind: str) -> Bench:
        """A classifier before the pictures of a part."""
        images = lettered(part, kind, self.world, self.plan)
        inputs = torch.stack([prepared(images.image(index), images.side) for index in range(len(images))])
        return Bench.of(target.model, inputs, part.labels)  # type: ignore[arg-type]

    def described(self, folder: Path, captioner: Captioner | None, dissection: DissectSettings | None = None) -> Atlas:
        """The reader's units by forms, and by a captioner if there is one, over pictures half of which are lettered."""
        part = self.world.probe
        images = lettered(part, "half", self.world, self.plan)
        forms = form_describers(LetteredConcepts(images, part.concepts), dissection=dissection)
        describers: list[Describer] = [*([] if captioner is None else [CaptionDescriber(captioner)]), *forms]
        judge = None if captioner is None else load_judge(None, len(images), ProbeSettings.k)
        return describe(self.reader, images, folder / "atlas", describers, progress=self.progress, judge=judge)

    def accuracy(self) -> dict[str, dict[str, Any]]:
        """Accuracy on the test pictures of both classifiers, by what is painted in."""
        kinds, told = ("plain", "own", "wrong"), {}
        for name, target in (("lettered", self.reader), ("plain", self.other)):
            told[name] = {kind: _estimate(self.bench(target, self.world.test, kind).right()) for kind in kinds}
        return told

    def told(self, atlas: Atlas, captioner: Captioner | None = None) -> dict[str, Any]:
        """Everything that is measured; JSON."""
        plan = self.plan
        benches = [self.bench(self.reader, self.world.probe, kind) for kind in ("plain", "wrong")]
        telling = dict(zip(benches[0].units, tells_text(benches[0].peaks(), benches[1].peaks()), strict=True))
        living = [unit for layer in atlas.layers for unit in _living(atlas, layer)]
        found = suspects(atlas, captioner)
        sets = {way: own.units for way, own in found.items()}
        truly = [unit for unit in living if telling[unit] >= TELLING]
        sets |= {"truly": sorted(truly, key=lambda unit: -telling[unit]), "all": living}
        return {
            "world": self.world.name,
            "classes": self.world.class_names,
            "plan": asdict(plan),
            "accuracy": self.accuracy(),
            "units": {layer: len(_living(atlas, layer)) for layer in atlas.layers},
            "captions": spoken(atlas, plan.shown),
            "text_units": len(sets["truly"]),
            "found": {way: _finding(own, sets["truly"], telling, plan.shown) for way, own in found.items()},
            "edits": self.edits(sets, living),
        }

    def edits(self, sets: Mapping[str, Sequence[Unit]], living: Sequence[Unit]) -> list[dict[str, Any]]:
        """Of every set and order how many units are cut, chosen on the validation pictures, and what the test says."""
        validation, test = self.world.validation, self.world.test
        chosen_on, usual = (self.bench(self.reader, validation, kind) for kind in ("wrong", "half"))
        alone = {
            "usual": dict(zip(living, singles(usual, living), strict=True)),
            "adversarial": dict(zip(living, singles(chosen_on, living), strict=True)),
        }
        tests = [self.bench(self.reader, test, kind) for kind in ("wrong", "plain")]
        rows: list[dict[str, Any]] = []
        for way, units in ((way, units) for way, units in sets.items() if units):
            for order in ORDERS[way == "all" :]:  # nothing is said of all
                self.progress("cutting units", 1 + len(rows), 3 * len(sets))
                first = list(units) if order == "said" else ordered(units, [alone[order][unit] for unit in units])
                curve = ladder(chosen_on, first, self.plan.most)
                cut = first[: best_number(curve)]
                random = random_cuts(cut, living, self.plan.draws, self.plan.seed)
                told = {"way": way, "order": order, "among": len(units), "cut": [f"{at}:{unit}" for at, unit in cut]}
                rows.append(told | {"validation": curve.round(4).tolist(), "test": self._test(tests, cut, random)})
        return rows

    def _test(self, tests: Sequence[Bench], cut: Sequence[Unit], random: Sequence[Sequence[Unit]]) -> dict[str, Any]:
        """Accuracy on pictures with wrong names and on plain ones, before, after, and with random units cut."""
        told = {}
        for name, bench, rivals in (("wrong", tests[0], random), ("plain", tests[1], random[:1])):
            right = np.stack([bench.right(units) for units in ([], cut, *rivals)]).astype(np.float64)
            told[name] = _rounded(accuracies(right, self.plan.seed))
        told["plain"] = {key: told["plain"][key] for key in ("before", "after", "change")}
        return told


def lettered(part: Part, kind: str, world: World, plan: SpuriousPlan) -> LetteredImages:
    """The pictures of a part with words of one of the `KINDS`."""
    if kind == "wrong":
        words = wrong_words(part.labels, world.class_names, plan.seed)
    else:
        words = own_words(part.labels, world.class_names, KINDS[kind], plan.seed)
    return LetteredImages(part.images, words, plan.recipe.side, plan.seed)


def _living(atlas: Atlas, layer: str) -> list[Unit]:
    exemplars = atlas.exemplars(layer)
    return [(layer, unit) for unit in exemplars.unit_ids[~exemplars.dead].tolist()]


def _finding(found: Suspects, truly: Sequence[Unit], telling: Mapping[Unit, float], shown: int) -> dict[str, Any]:
    """How many units one way finds, how many of them text truly drives, and what is said of the first."""
    right = len({*found.units} & {*truly})
    rows = zip(found.units[:shown], found.texts, found.scores, strict=False)
    return {
        "units": len(found.units),
        "of_text": right,
        "precision": None if not found.units else round(right / len(found.units), 4),
        "recall": None if not truly else round(right / len(truly), 4),
        "shown": [
            {
                "unit": f"{layer}:{unit}",
                "text": text,
                "score": None if score is None else round(score, 4),
                "tells_text": round(float(telling[layer, unit]), 3),
            }
            for (layer, unit), text, score in rows
        ],
    }


def _estimate(right: np.ndarray) -> dict[str, float]:
    low, high = bootstrap_interval(right.astype(np.float64))
    return {"value": round(float(right.mean()), 4), "low": round(low, 4), "high": round(high, 4)}


def _rounded(told: Mapping[str, Mapping[str, float | None]]) -> dict[str, dict[str, float | None]]:
    return {
        name: {key: None if value is None else round(value, 4) for key, value in own.items()}
        for name, own in told.items()
    }


def lines(report: Mapping[str, Any]) -> list[str]:
    """The report as Markdown tables."""
    told = ["| taught on | plain test | own names | wrong names |", "|---|---|---|---|"]
    for name, own in report["accuracy"].items():
        told.append(f"| {name} | " + " | ".join(_told(own[kind]) for kind in ("plain", "own", "wrong")) + " |")
    told += ["", f"| way | units | of {report['text_units']} text units | precision |", "|---|---|---|---|"]
    for way, own in report["found"].items():
        told.append(f"| {way} | {own['units']} | {own['of_text']} | {own['precision']} |")
    told += [
        "",
        "| units | order | among | cut | wrong names: change | beyond random | plain: change |",
        "|---" * 7 + "|",
    ]
    for row in report["edits"]:
        wrong, plain = row["test"]["wrong"], row["test"]["plain"]
        cells = [row["way"], row["order"], str(row["among"]), str(len(row["cut"]))]
        cells += [_told(wrong["change"]), _told(wrong["change_beyond_random"]), _told(plain["change"])]
        told.append("| " + " | ".join(cells) + " |")
    return told


def _told(value: Mapping[str, float]) -> str:
    return f"{value['value']:.3f} ({value['low']:.3f}–{value['high']:.3f})"


app = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="Text units found by description and cut from a classifier that reads.",
)
Out = Annotated[Path, typer.Option(metavar="JSON", help="file for everything measured")]
Keep = Annotated[Path | None, typer.Option(metavar="DIR", help="folder in which all is kept, and gone on from")]


def _run(make: Any, plan: SpuriousPlan, out: Path, keep: Path | None) -> None:
    from describer import terminal

    with tempfile.TemporaryDirectory() as passing, terminal.progress_bars() as progress:
        folder = keep or Path(passing)
        spurious = Spurious.taught(make(folder, progress), plan, folder, progress)
        captioner = Captioner.carried()
        report = spurious.told(spurious.described(folder, captioner), captioner)
        report["of_words"] = said_of_words(captioner, lettered(spurious.world.probe, "wrong", spurious.world, plan))
    out.write_text(json.dumps(report) + "\n", encoding="utf-8")
    terminal.print_lines(*lines(report))


@app.command(epilog="\b\nExample: python -m describer.eval.experiments.spurious scenes --out scenes.json")
def scenes(
    out: Out,
    keep: Keep = None,
    sharp: Annotated[bool, typer.Option("--sharp", help="in focus, at 128 pixels: nobody needs to read there")] = False,
) -> None:
    """Drawn scenes by kind, out of focus, at 64 pixels; about 10 minutes of one core."""
    plan = SHARP if sharp else SCENES
    _run(lambda folder, told: scenes_world(plan.sizes, folder, plan.seed, plan.grain, told), plan, out, keep)


@app.command(epilog="\b\nExample: python -m describer.eval.experiments.spurious cifar10 --data c.parquet --out c.json")
def cifar10(
    data: Annotated[list[str], typer.Option(metavar="PARQUET", help="files with pictures and class names; repeatable")],
    out: Out,
    keep: Keep = None,
) -> None:
    """CIFAR-10's photographs, or any labelled ones of one size, enlarged to 64 pixels; about 15 minutes of one core."""
    _run(lambda _folder, _progress: photo_world(",".join(data), CIFAR10.sizes), CIFAR10, out, keep)


if __name__ == "__main__":
    run(app)
