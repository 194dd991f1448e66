"""Two networks' described units compared: does one that was trained without a concept still have units for it?

    python -m describer.eval.experiments.audit compare first/atlas second/atlas --word car,bus --word water
    python -m describer.eval.experiments.audit scenes car,bus --folder runs/audit --word car,bus,wheel

`compare` counts, layer by layer, the units whose description says one of the words, and lists the words that differ
most. `scenes` first trains scene classifiers with and without objects (see `blurring`) and describes them with the same
pictures (Hernandez et al. 2022, section 6, counted faces). p-values deal the units of a layer anew to the two networks;
q controls false discoveries over all counts that are not 0 in both. Units of one network are no independent draws of
networks: two that differ by their seed alone say how much counts differ anyway, and `scenes` compares those too.
"""

import itertools
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from describer.atlas import Atlas
from describer.eval.experiments.command import command, run
from describer.eval.experiments.sampling import Estimate
from describer.eval.experiments.wordcounts import ALL, counts, most_different, said_by
from describer.statistics import benjamini_hochberg

Progress = Callable[[str, int, int], None]
FIRST_SEED = 1000
"Of the scenes that the first pair learns from, less one."


def compare(
    first: Atlas, second: Atlas, words: Sequence[str], methods: Sequence[str] | None = None, reliable: bool = True,
    least: int = 5, seed: int = 0,
) -> dict[str, Any]:  # fmt: skip
    """All of `compare` as JSON; methods are those that both atlases have where none are named."""
    told = [{row["method"] for row in atlas.units()} for atlas in (first, second)]
    chosen = methods or sorted(told[0] & told[1])
    listed, different = [], []
    for method in chosen:
        said = said_by(first, method, reliable), said_by(second, method, reliable)
        for text in words:
            listed += counts(*said, text, method, seed=seed)
        different += most_different(*said, method, least, seed=seed)
    said_of = [each for each in listed if each.first + each.second]  # of the others nothing can be said
    q = dict(zip(map(id, said_of), benjamini_hochberg(np.array([each.p for each in said_of])).tolist(), strict=True))
    rows = [asdict(each) | {"q": q.get(id(each))} for each in listed]
    models = [{"model": atlas.meta.model.name, "images": atlas.meta.images.name} for atlas in (first, second)]
    return {
        "first": models[0],
        "second": models[1],
        "reliable": reliable,
        "counts": rows,
        "words": [asdict(each) for each in different],
    }


Words = Annotated[list[str] | None, typer.Option("--word", metavar="WORD,…", help="counted together; repeated")]
Methods = Annotated[str | None, typer.Option(help="caption, formula … with commas; default: those of both")]
Every = Annotated[bool, typer.Option("--all", help="count texts that were withdrawn as well")]
Top = Annotated[int, typer.Option(help="words shown of those that differ most")]
Seed = Annotated[int, typer.Option(help="of everything")]
Out = Annotated[Path | None, typer.Option(help="JSON file for everything measured")]
Json = Annotated[bool, typer.Option("--json", help="one JSON object a line")]


def compare_atlases(
    first: Annotated[Path, typer.Argument(help="folder made by describe")],
    second: Annotated[Path, typer.Argument(help="another, of another network over the same pictures")],
    word: Words = None, methods: Methods = None, every: Every = False, top: Top = 10, seed: Seed = 0,
    out: Out = None, as_json: Json = False,
) -> None:  # fmt: skip
    """Compare two atlases.

    Example: python -m describer.eval.experiments.audit compare first second --word face,person
    """
    from describer import terminal

    found = compare(Atlas.open(first), Atlas.open(second), word or [], _parts(methods), not every, seed=seed)
    if out:
        out.write_text(json.dumps(found, indent=1), encoding="utf-8")
    if as_json:
        return terminal.print_json([*found["counts"], *found["words"]])
    return _tell(found, top)


def scenes(
    concept: Annotated[str, typer.Argument(help="objects of the drawn world that are taken away, with commas")],
    word: Words = None, methods: Methods = None, every: Every = False, top: Top = 10,
    folder: Annotated[Path, typer.Option(help="keeps networks and atlases, which are not made twice")] = Path(
        "runs/audit"
    ),
    pairs: Annotated[int, typer.Option(help="of networks, each with seeds of its own")] = 2,
    steps: Annotated[int, typer.Option(help="of training")] = 400,
    n_scenes: Annotated[int, typer.Option(help="to learn from")] = 2000,
    images: Annotated[str, typer.Option(help="that all networks are described with")] = "scenes:400:7",
    concepts: Annotated[str, typer.Option(help="labelled pictures for forms")] = "scenes:150:8",
    seed: Seed = 0, out: Out = None, as_json: Json = False,
) -> None:  # fmt: skip
    """Train scene classifiers with and without a concept, describe them and compare them.

    Example: python -m describer.eval.experiments.audit scenes car,bus --word car,bus,wheel
    """
    from describer import terminal

    objects, chosen = _parts(concept) or [], _parts(methods)
    atlases: dict[str, Atlas] = {}
    right: dict[str, Any] = {}
    with terminal.progress_bars() as progress:
        for number in range(seed, seed + pairs):
            for name, net in _trained(objects, folder / str(number), number, n_scenes, steps, progress).items():
                atlases[f"{name} {number}"] = described(net, images, concepts, progress)
                right[f"{name} {number}"] = json.loads((net / "accuracy.json").read_text(encoding="utf-8"))
    found = {
        f"{a}, {b}": compare(atlases[a], atlases[b], word or [concept], chosen, not every, seed=seed)
        for a, b in _pairs(range(seed, seed + pairs))
    }
    if out:
        out.write_text(json.dumps({"accuracy": right, "pairs": found}, indent=1), encoding="utf-8")
    if as_json:
        return terminal.print_json([{"accuracy": right}, *({"pair": name, **own} for name, own in found.items())])
    columns = [("network", "left"), *((part, "right") for part in next(iter(right.values())))]
    shown = ([each if isinstance(each, int) else each["scene_kind"] for each in own.values()] for own in right.values())
    terminal.print_table(columns, ([n, *(f"{x:.4g}" for x in own)] for n, own in zip(right, shown, strict=True)))
    for name, own in found.items():
        terminal.print_lines("", name, "")
        _tell(own, top)
    return None


def _pairs(numbers: Sequence[int]) -> list[tuple[str, str]]:
    """With and without, seed by seed; then those of one kind that differ by their seed alone."""
    pairs = [(f"ordinary {n}", f"without {n}") for n in numbers]
    others = itertools.combinations(numbers, 2)
    return [*pairs, *((f"{name} {a}", f"{name} {b}") for a, b in others for name in ("ordinary", "without"))]


def _trained(
    objects: Sequence[str], folder: Path, number: int, n_scenes: int, steps: int, progress: Progress
) -> dict[str, Path]:
    from describer.eval.experiments.blurring import train_pair
    from describer.training.classifier import ClassifierRecipe

    recipe = ClassifierRecipe("", n_scenes, 500, steps=steps, seed=FIRST_SEED + 10 * number)
    with redirect_stdout(sys.stderr):  # what training tells is no result
        return train_pair(objects, folder, recipe, progress)


def described(net: Path, images: str, concepts: str, progress: Progress) -> Atlas:
    """The atlas of a trained network, by caption and formula, judged; made where it is not there."""
    from describer.choices import captioner_of, decoding_of
    from describer.data.concepts import load_concepts
    from describer.data.images import load_images
    from describer.data.targets import load_target
    from describer.describe import describe
    from describer.search.describers import form_describers
    from describer.search.dissect import DissectSettings
    from describer.trust import load_judge

    pictures, target = load_images(images), load_target(f"{net}/net.py:make")
    forms = form_describers(load_concepts(concepts), ["formula"], dissection=DissectSettings(size=64, n_shifts=0))
    judge = load_judge(None, len(pictures), 15)
    return describe(target, pictures, net / "atlas", [captioner_of(None, decoding_of(), "cpu"), *forms],
                    progress=progress, judge=judge)  # fmt: skip


def _tell(found: Mapping[str, Any], top: int) -> None:
    from describer import terminal

    columns = [("words", "left"), ("method", "left"), ("layer", "left"), ("first", "right"), ("second", "right")]
    columns += [("second less first", "right"), ("p", "right"), ("q", "right")]
    if found["counts"]:
        rows = [row for row in found["counts"] if row["layer"] == ALL or row["first"] + row["second"]]
        terminal.print_table(columns, (_cells(row) for row in rows))
    for method in dict.fromkeys(row["method"] for row in found["words"]):
        own = [row for row in found["words"] if row["method"] == method]
        terminal.print_lines("", f"Words that differ most, {method} ({len(own)} words compared):")
        terminal.print_table(columns, (_cells(row) for row in own[:top]))


def _cells(row: Mapping[str, Any]) -> list[str]:
    shares = [Estimate(**each) for each in row["shares"]]
    numbers = [f"{row[name]} of {each.n}" for name, each in zip(("first", "second"), shares, strict=True)]
    told = str(Estimate(**row["more"])), f"{row['p']:.2g}", "–" if row["q"] is None else f"{row['q']:.2g}"
    return [row["words"], row["method"], row["layer"], *numbers, *told]


def _parts(text: str | None) -> list[str] | None:
    return [part.strip() for part in text.split(",") if part.strip()] if text else None


if __name__ == "__main__":
    run(command(compare=compare_atlases, scenes=scenes))
