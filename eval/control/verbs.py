"""The verbs of control: edit, ablate, explain, pick, dials; `describer.cli` takes them over.

    describer edit gan.py:load --atlas atlas --query brown --out brown.png

Nothing heavy is imported until a verb runs.
"""

from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

app = typer.Typer()

Generator = Annotated[
    str,
    typer.Argument(metavar="GENERATOR", help="carried:gan, diffusers:NAME, path/file.py:factory …", show_default=False),
]
AtlasOption = Annotated[Path, typer.Option("--atlas", metavar="ATLAS", help="folder made by describe")]
Query = Annotated[str | None, typer.Option(metavar="TEXT", help="words that descriptions say")]
Units = Annotated[str | None, typer.Option(metavar="LAYER:UNIT,…", help="units chosen by hand")]
Top = Annotated[int, typer.Option(metavar="N", min=1, help="most units")]
MinScore = Annotated[float | None, typer.Option(metavar="S", help="least IoU (of a caption: PMI) of a unit")]
Layers = Annotated[list[str] | None, typer.Option(metavar="GLOB", help="layers, repeated or with commas; default: all")]
How = Annotated[str, typer.Option(metavar="WAY", help="find by words of descriptions, or by meaning (PMI)")]
EditHow = Annotated[
    str,
    typer.Option(metavar="WAY", help="find by words, by meaning, or by trial: words, then what spares the rest"),
]
Draws = Annotated[int, typer.Option(metavar="N", min=1, help="draws of random units to compare with")]
Seed = Annotated[int, typer.Option(metavar="N", min=0, help="of samples, random units and intervals")]
Device = Annotated[str, typer.Option(metavar="DEVICE", help="auto, cpu, cuda, cuda:1 …")]
Json = Annotated[bool, typer.Option("--json", help="one JSON object a line")]
REPLAYED = ("--samples", "--out", "--device", "--json")
"Options of edit that go with --replay."
GONE_ON = ("--atlas", "--host", "--port", "--device")
"Options of dials that go with --steps."


class Asking(TyperCommand):
    """A verb that asks which options the command line has."""

    context_class = typer.Context


def _refuse_beside(ctx: typer.Context, option: str, fitting: tuple[str, ...]) -> None:
    """DescriberError where the command line has options that this one would ignore."""
    from describer.errors import DescriberError

    sources = ((each.opts[0], ctx.get_parameter_source(each.name or "")) for each in ctx.command.params)
    given = [name for name, source in sources if name.startswith("--") and source and source.name == "COMMANDLINE"]
    if ignored := [name for name in given if name not in (option, *fitting)]:
        message = f"{option} must come without what its file decides. Got {', '.join(ignored)}"
        raise DescriberError(f"{message}. Leave that out, or begin without {option}.")


@app.command(
    cls=Asking, epilog="\b\nExample: describer edit my_gan.py:load --atlas gan --query brown --scale 0 --out edit.png"
)
def edit(
    ctx: typer.Context,
    generator: Generator,
    atlas: Annotated[Path | None, typer.Option(metavar="ATLAS", help="folder made by describe")] = None,
    query: Query = None,
    units: Units = None,
    scale: Annotated[
        str, typer.Option(metavar="0|K|insert", help="0 ablates, K multiplies, insert raises to the threshold")
    ] = "0",
    where: Annotated[
        str | None, typer.Option(metavar="MASK", help="mask.png (white: edit) or class:NAME; default: everywhere")
    ] = None,
    top: Top = 20,
    min_score: MinScore = None,
    how: EditHow = "words",
    layers: Layers = None,
    segmenter: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="what sees the concept: colors, hf-seg:MODEL, carried:segmenter (of carried:gan)"
        ),
    ] = None,
    samples: Annotated[int, typer.Option(metavar="N", min=1, help="samples shown")] = 16,
    measured: Annotated[
        int | None,
        typer.Option(metavar="N", min=2, help="samples measured, never fewer than shown; default: 16"),
    ] = None,
    draws: Draws = 3,
    optimize: Annotated[
        bool, typer.Option("--optimize", help="learn which units of a layer make the concept (ACE), and compare")
    ] = False,
    penalty: Annotated[float, typer.Option(metavar="L", min=0.0, help="on many units, for --optimize")] = 0.1,
    seed: Seed = 0,
    out: Annotated[Path | None, typer.Option(metavar="PNG", help="picture: before, after, change")] = None,
    replay: Annotated[Path | None, typer.Option(metavar="JSON", help="repeat an edit from its report")] = None,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Change what a generator draws by words.

    Units whose descriptions say the words are cut, scaled or raised; the effect is measured against random units.
    """
    from describer import terminal
    from describer.atlas import Atlas
    from describer.choices import device_of
    from describer.data.targets import load_target
    from describer.errors import DescriberError
    from describer.eval.control import edit as editing
    from describer.eval.control.figure import edit_figure
    from describer.eval.control.printing import effect_lines, print_edit, title_of
    from describer.picture import check_picture, save_picture

    if out is not None:
        check_picture(out)
    if replay is not None:
        _refuse_beside(ctx, "--replay", REPLAYED)
        report = editing.read_report(replay)
        result = editing.replay(load_target(generator, device=device_of(device)), report)
    else:
        if atlas is None:
            raise DescriberError("edit must have an atlas of the generator. Got no --atlas. Make one by describe.")
        patterns = tuple(pattern for text in layers or [] for pattern in text.split(","))
        plan = editing.EditPlan(
            query,
            units,
            scale,
            where,
            top,
            min_score,
            patterns,
            segmenter or editing.fitting_segmenter(generator),
            max(measured or 16, samples),
            draws,
            seed,
            how,
            optimize,
            penalty,
        )
        target = load_target(generator, device=(place := device_of(device)))
        with terminal.progress_bars() as progress:
            result = editing.edit(target, Atlas.open(atlas), plan, place, progress)
    if as_json:
        terminal.print_json([result.report])
    else:
        print_edit(result.report)
    if out is not None:
        lines = effect_lines(result.report)
        save_picture(edit_figure(result.before[:samples], result.after[:samples], title_of(result.report), lines), out)
        terminal.note(f"Picture: {out}")


@app.command(
    epilog='\b\nExample: describer ablate carried:scenes --atlas atlas --query "green hills" --data scenes:400:9'
)
def ablate(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="a classifier", show_default=False)],
    *,
    atlas: AtlasOption,
    data: Annotated[
        str,
        typer.Option(metavar="IMAGES", help="pictures with classes: scenes:N, a folder a class, Parquet with label"),
    ],
    query: Query = None,
    units: Units = None,
    top: Annotated[int | None, typer.Option(metavar="N", min=1, help="most units; default: 20, of --repair 8")] = None,
    min_score: MinScore = None,
    how: How = "words",
    layers: Layers = None,
    repair: Annotated[
        str | None, typer.Option(metavar="MISTAKE", help='seek units to cut against it: CLASS or "CLASS as OTHER"')
    ] = None,
    goal: Annotated[
        float | None, typer.Option(metavar="SHARE", help="of the mistakes, for --repair; default: 0.5")
    ] = None,
    cost: Annotated[
        float | None, typer.Option(metavar="SHARE", help="accuracy that a repair may cost elsewhere; default: 0.01")
    ] = None,
    draws: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help="draws of random units to compare with; default: 5, of --repair 20"),
    ] = None,
    seed: Seed = 0,
    export: Annotated[
        Path | None, typer.Option(metavar="DIR", help="write weights, cuts and a one-file reader here")
    ] = None,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Measure a classifier without some units.

    Accuracy overall and by class without the units that the words name, against as many random ones. With --repair the
    smallest set that mends a mistake is sought on half of the pictures and measured on the other half.
    """
    from describer import terminal
    from describer.atlas import Atlas
    from describer.choices import device_of
    from describer.data.images import load_images
    from describer.data.targets import load_target
    from describer.errors import DescriberError
    from describer.eval.control import ablation
    from describer.eval.control import export as exporting
    from describer.eval.control import repair as repairing
    from describer.eval.control.printing import print_ablation, print_repair
    from describer.intervention import Edit

    if repair is None and (goal is not None or cost is not None):
        got = "--goal" if goal is not None else "--cost"
        raise DescriberError(f"--goal and --cost must come with --repair. Got {got} without it. Add --repair.")
    if export is not None:
        exporting.refuse_foreign(export)
    options: dict[str, Any] = {"query": query, "units": units, "min_score": min_score, "seed": seed, "how": how}
    options["layers"] = tuple(pattern for text in layers or [] for pattern in text.split(","))
    given = {"top": top, "draws": draws, "goal": goal, "cost": cost}
    options |= {name: value for name, value in given.items() if value is not None}  # the plans have the defaults
    plan = ablation.AblatePlan(**options) if repair is None else repairing.RepairPlan(repair, **options)
    target, opened = load_target(model, device=device_of(device)), Atlas.open(atlas)
    with terminal.progress_bars() as progress:
        images = load_images(data, target)
        if isinstance(plan, ablation.AblatePlan):
            report = ablation.ablate(target, opened, images, plan, progress)
        else:
            report = repairing.repair(target, opened, images, plan, progress)
    if as_json:
        terminal.print_json([report])
    else:
        (print_ablation if repair is None else print_repair)(report)
    if export is not None:
        exporting.export(target, [Edit.from_json(told) for told in report["edits"]], export)
        terminal.note(f"Patched model: {export}; `import reader; undo = reader.patch(model)` there.")


@app.command(epilog="\b\nExample: describer explain carried:scenes photo.png --atlas atlas --out why.png")
def explain(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="a classifier", show_default=False)],
    image: Annotated[str, typer.Argument(metavar="IMAGE", help="a picture, or scenes:N:SEED", show_default=False)],
    *,
    atlas: AtlasOption,
    class_name: Annotated[
        str | None, typer.Option("--class", metavar="NAME", help="class, by name or number; default: the predicted")
    ] = None,
    layer: Annotated[str | None, typer.Option(metavar="LAYER", help="of the atlas; default: its last")] = None,
    top: Top = 8,
    steps: Annotated[int, typer.Option(metavar="N", min=1, help="points of the path")] = 48,
    seed: Seed = 0,
    out: Annotated[Path | None, typer.Option(metavar="PNG", help="picture: regions, words, contributions")] = None,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Tell a prediction through described units.

    What each unit of a layer adds to the class, where, and in what words; verified by cutting the units.
    """
    from describer import terminal
    from describer.atlas import Atlas
    from describer.choices import device_of
    from describer.data.images import load_images
    from describer.data.targets import load_target
    from describer.eval.control import explanation
    from describer.eval.control.figure import explanation_figure
    from describer.eval.control.printing import print_explanation
    from describer.eval.control.single import SinglePicture
    from describer.picture import check_picture, save_picture
    from describer.view import SeenImages

    if out is not None:
        check_picture(out)
    target = load_target(model, device=device_of(device))
    images = load_images(image) if image.startswith("scenes:") else SinglePicture(image)
    plan = explanation.ExplainPlan(layer, class_name, top, steps, seed=seed)
    told = explanation.explain(target, Atlas.open(atlas), images.image(0), plan)
    if as_json:
        terminal.print_json([told.report])
    else:
        print_explanation(told.report)
    if out is not None:
        save_picture(explanation_figure(SeenImages(images, target.preprocess).image(0), told.report, told.regions), out)
        terminal.note(f"Picture: {out}")


@app.command(epilog="\b\nExample: describer pick atlas -n 20 --layers layer4")
def pick(
    atlas: Annotated[Path, typer.Argument(metavar="ATLAS", help="folder made by describe", show_default=False)],
    number: Annotated[int, typer.Option("-n", "--number", metavar="N", min=1, help="units to pick")] = 20,
    layers: Layers = None,
    described: Annotated[bool, typer.Option("--described", help="only units with a description")] = False,
    model: Annotated[
        str | None, typer.Option(metavar="MODEL", help="the classifier: go by what units add to what it predicts")
    ] = None,
    data: Annotated[str | None, typer.Option(metavar="IMAGES", help="pictures that --model predicts")] = None,
    seed: Annotated[int, typer.Option(metavar="N", min=0, help="of the random units to compare with")] = 0,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Pick the few units worth a person's time.

    Together they cover most of what the layers answer to the probe set, or with --model and --data most of what they
    add to its predictions: unlike units, the telling ones first.
    """
    from describer import terminal
    from describer.atlas import Atlas
    from describer.choices import device_of
    from describer.data.images import load_images
    from describer.data.targets import load_target
    from describer.errors import DescriberError
    from describer.eval.control import pick as picking
    from describer.eval.control.printing import print_picked

    if (model is None) != (data is None):
        raise DescriberError("--model and --data must come together. Got one. Add the other, or leave both out.")
    patterns = tuple(pattern for text in layers or [] for pattern in text.split(","))
    opened, plan = Atlas.open(atlas), picking.PickPlan(number, patterns, described, seed=seed)
    if model is None or data is None:
        report = picking.pick(opened, plan)
    else:
        target = load_target(model, device=device_of(device))
        with terminal.progress_bars() as progress:
            report = picking.pick(opened, plan, target, load_images(data, target), progress)
    if as_json:
        terminal.print_json([report])
    else:
        print_picked(report)


@app.command(cls=Asking, epilog="\b\nExample: describer dials my_gan.py:load --atlas gan --samples 9")
def dials(
    ctx: typer.Context,
    generator: Generator,
    *,
    atlas: AtlasOption,
    samples: Annotated[int, typer.Option(metavar="N", min=1, max=64, help="samples shown")] = 9,
    seed: Annotated[int, typer.Option(metavar="N", min=0, help="of samples")] = 0,
    top: Top = 20,
    how: How = "words",
    steps: Annotated[Path | None, typer.Option(metavar="JSON", help="go on with saved steps")] = None,
    host: Annotated[str, typer.Option(metavar="NAME", help="address to listen on; others reach it then")] = "127.0.0.1",
    port: Annotated[int, typer.Option(metavar="N", min=0, max=65535, help="0: any that is free")] = 8000,
    device: Device = "auto",
) -> None:
    """Turn words as dials in the browser.

    A slider a word, samples, regions to paint, undo; the steps can be saved and repeated.
    """
    from describer import terminal
    from describer.atlas import Atlas
    from describer.choices import device_of
    from describer.data.targets import load_target
    from describer.eval.control.dialpage import serve_dials
    from describer.eval.control.dials import Dials
    from describer.eval.control.edit import read_report

    if steps is not None:
        _refuse_beside(ctx, "--steps", GONE_ON)
        saved = read_report(steps)
    target, opened = load_target(generator, device=device_of(device)), Atlas.open(atlas)
    board = Dials(target, opened, seed, samples, top, how) if steps is None else Dials.replay(target, saved, opened)
    serve_dials(board, host, port, terminal.note)
