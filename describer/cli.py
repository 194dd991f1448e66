"""The command line: `describer VERB`. Results go to stdout, progress to stderr, faults in one line with exit code 2.

    describer demo                                                    # no network, no data
    describer describe torchvision:resnet18 photos/ --out atlas --layers layer4
    describer units atlas --json

Every verb is one call of the Python API. Nothing heavy is imported until a verb runs, so that --help answers at once.
DESCRIBER_TRACEBACK=1 shows where a fault came from.
"""

import os
import sys
import warnings
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from describer import __version__
from describer.errors import DescriberError
from describer.faults import Verbs

SHOWN = 10
"Rows of the short table that `describe` and `demo` end with."

LABELLED = 150
"Scenes with whose labels `demo` compares units: enough for forms, and few enough for a minute."

app = typer.Typer(
    cls=Verbs,
    add_completion=False,
    rich_markup_mode=None,  # plain help needs no rich and comes in half the time
    pretty_exceptions_enable=False,
    help="Says in words what the units of a neural network respond to, and how far the words can be trusted.",
    epilog="\b\nExample: describer demo",
)

Model = Annotated[
    str,
    typer.Argument(
        metavar="MODEL",
        help="torchvision:resnet50, timm:vit_small_patch16_224, hf:facebook/dinov2-small or a folder, "
        "path/file.py:factory, carried:scenes, carried:gan",
        show_default=False,
    ),
]
AtlasPath = Annotated[Path, typer.Argument(metavar="ATLAS", help="folder made by describe", show_default=False)]
Json = Annotated[bool, typer.Option("--json", help="one JSON object a line")]
Device = Annotated[str, typer.Option(metavar="DEVICE", help="auto, cpu, cuda, cuda:1 …")]


def _version(wanted: bool) -> bool:
    if wanted:
        typer.echo(f"describer {__version__}")
        raise typer.Exit
    return wanted


@app.callback()
def _top(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="print the version")
    ] = False,
) -> None:
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")


@app.command(epilog="\b\nExample: describer demo --out describer-demo")
def demo(
    out: Annotated[Path, typer.Option(metavar="DIR", help="folder for the atlas and the contact sheet")] = Path(
        "describer-demo"
    ),
    n_images: Annotated[int, typer.Option("--images", min=1, help="drawn scenes to probe with")] = 400,
    as_json: Json = False,
) -> None:
    """Describe the network that is carried along.

    Probes a small scene classifier with drawn scenes, describes every unit and draws a contact sheet; needs neither
    network access nor data.
    """
    from describer import terminal
    from describer.choices import captioner_of, decoding_of
    from describer.data.concepts import load_concepts
    from describer.data.images import load_images
    from describer.data.targets import load_target
    from describer.describe import describe as describe_units
    from describer.picture import best_cards, contact_sheet, worth
    from describer.search.describers import form_describers
    from describer.search.dissect import DissectSettings
    from describer.trust import load_judge

    target = load_target("carried:scenes")
    with terminal.progress_bars() as progress:
        images, concepts = load_images(f"scenes:{n_images}:7"), load_concepts(f"scenes:{min(n_images, LABELLED)}:8")
        forms = form_describers(concepts, ["formula"], dissection=DissectSettings(size=64, n_shifts=0))
        describers = [captioner_of(None, decoding_of(), "cpu"), *forms]
        judge = load_judge(None, len(images), 15, "cpu")
        atlas = describe_units(target, images, out / "atlas", describers, progress=progress, judge=judge)
        progress("drawing the contact sheet", 0, 1)
        rows, sheet = atlas.units(), out / "units.png"
        told = terminal.counted([row for row in rows if row["method"] == "caption"])
        about = f"{told} · each row is one unit with the image regions that drive it most"
        contact_sheet(best_cards(atlas, 24), target.name, about).save(sheet)
        progress("drawing the contact sheet", 1, 1)
    if as_json:
        return terminal.print_json(rows)
    best = sorted((r for r in rows if r["description"] and r["pmi"] is not None), key=worth, reverse=True)
    terminal.print_units(best[:SHOWN])
    example = best[0]["id"] if best else rows[0]["id"]
    forms_told = sorted((r for r in rows if r["description"] and r["formula"]), key=worth, reverse=True)
    terminal.print_lines("", "Units in logical forms over the labels of the drawn world:", "")
    terminal.print_units(forms_told[:SHOWN])
    terminal.print_lines("", *terminal.told_by_method(rows), f"Contact sheet: {sheet}", "", "Go on with:")
    terminal.print_lines(f"  describer show {out / 'atlas'} {example} --out unit.png")
    terminal.print_lines(f"  describer units {out / 'atlas'}", "  describer describe MODEL IMAGES --out atlas")
    terminal.print_lines("  describer translate colors            # what agents say to each other, in people's words")
    return None


@app.command(epilog="\b\nExample: describer layers torchvision:resnet18")
def layers(model: Model, as_json: Json = False) -> None:
    """List the layers that can be probed."""
    from dataclasses import asdict

    from describer import terminal
    from describer.data.targets import load_target
    from describer.describe import example_of
    from describer.layout import list_layers

    target = load_target(model)
    infos = list_layers(target.model, example_of(target))
    if as_json:
        return terminal.print_json(asdict(info) for info in infos)
    columns = [("layer", "left"), ("module", "left"), ("kind", "left")]
    columns += [("units", "right"), ("height", "right"), ("width", "right")]
    cells = ([info.name, info.module, info.kind, *map(str, (info.units, info.height, info.width))] for info in infos)
    return terminal.print_table(columns, cells)


@app.command(
    epilog="\b\nExample: describer describe torchvision:resnet18 photos/ --out atlas --layers 'layer4,layer3.*'"
)
def describe(
    model: Model,
    images: Annotated[
        list[str],
        typer.Argument(
            metavar="IMAGES",
            help="a folder, parquet files, hf:name:split, latents:N[:seed] for a generator, scenes:N[:seed]; for a "
            "classifier of sentence pairs (pairs:DIR, hf:NAME, path.py:factory): jsonl, csv, tsv",
            show_default=False,
        ),
    ],
    *,
    out: Annotated[Path, typer.Option(metavar="ATLAS", help="folder to write, or to go on with", show_default=False)],
    layers: Annotated[
        list[str] | None, typer.Option(metavar="GLOB", help="layers, repeated or with commas; default: the stages")
    ] = None,
    units: Annotated[str | None, typer.Option(metavar="RANGES", help="0-63 or 3,5,8-11; default: all")] = None,
    method: Annotated[
        str | None,
        typer.Option(metavar="METHODS", help="caption, concept, formula, translation, clip, vlm; with commas"),
    ] = None,
    concepts: Annotated[
        str | None,
        typer.Option(
            metavar="CONCEPTS",
            help="labelled pictures for concept and formula: parquet or Broden or ADE20K folders, scenes:N[:seed], "
            "colors, hf-seg:MODEL; joined with commas",
        ),
    ] = None,
    optimal: Annotated[bool, typer.Option("--optimal", help="certify that no formula is better")] = False,
    shifts: Annotated[
        int | None, typer.Option(metavar="N", help="searches in other pictures' labels, to tell chance; 0: none")
    ] = None,
    vectors: Annotated[
        Path | None, typer.Option(metavar="FILE", help="words as vectors (GloVe's text form), for NEIGHBORS of words")
    ] = None,
    describer: Annotated[
        str | None, typer.Option(metavar="DIR", help="captioner, listener of clip or model of vlm: folder or hub name")
    ] = None,
    k: Annotated[int, typer.Option("--k", metavar="N", help="exemplars a unit")] = 15,
    quantile: Annotated[float, typer.Option(metavar="Q", help="of a unit's activations that bounds its masks")] = 0.99,
    batch_size: Annotated[int | None, typer.Option(metavar="N", help="images at a time", show_default=False)] = None,
    device: Device = "auto",
    decoding: Annotated[
        Literal["rerank", "beam", "greedy", "sample"] | None,
        typer.Option(metavar="WAY", help="rerank, beam, greedy, sample"),
    ] = None,
    weight: Annotated[
        float | None, typer.Option("--lambda", metavar="L", help="how much of log p(text) is taken off")
    ] = None,
    beam: Annotated[int | None, typer.Option(metavar="N", help="width of the beam")] = None,
    max_length: Annotated[
        int | None, typer.Option(metavar="N", help="longest formula, concepts; without --concepts longest text, tokens")
    ] = None,
    compat: Annotated[
        Literal["milan"] | None, typer.Option(metavar="NAME", help="milan: masks as the published ones")
    ] = None,
    judge: Annotated[
        str | None, typer.Option(metavar="NAME", help="listener that judges: a folder, a CLIP of the hub, none")
    ] = None,
    meanings: Annotated[bool, typer.Option("--meanings", help="tell several meanings of a unit apart")] = False,
    as_json: Json = False,
) -> None:
    """Probe a model and describe its units.

    Stopped or killed, the same command goes on where it was.
    """
    from describer import terminal
    from describer.choices import decoding_of, describers_of, device_of, given, methods_of, reads_sentences

    if reads_sentences(model, images):
        from describer.search.sentences import describe_files

        masks, search = given(k=k, n_shifts=shifts), given(max_length=max_length, beam_size=beam, optimal=optimal)
        with terminal.progress_bars() as progress:
            names = model, ",".join(images), method, layers, vectors, device_of(device)
            atlas = describe_files(out, *names, masks, search, progress, terminal.note)
        return _print_described(atlas, out, as_json)
    from describer.data.images import load_images
    from describer.data.targets import load_target
    from describer.describe import describe as describe_units
    from describer.modes import ModeSettings
    from describer.probe import ProbeSettings
    from describer.processes import Processes
    from describer.trust import load_judge

    first = Processes.current().index == 0  # before all else, as "cuda" then is the process's own GPU
    where, methods = device_of(device), methods_of(method, concepts)
    settings = ProbeSettings(k=k, quantile=quantile, compat=compat, **given(batch_size=batch_size))
    words = None if concepts else max_length
    ways = decoding_of(strategy=decoding, weight=weight, beam=beam, max_length=words)
    target = load_target(model, device=where)
    probe_set = load_images(",".join(images), target)
    describers: list[Any] = describers_of(methods, method, describer, ways, where)
    if concepts is not None:
        from describer.search.describers import load_describers

        search, masks = given(max_length=max_length, optimal=optimal), given(n_shifts=shifts, batch_size=batch_size)
        describers += load_describers(methods, concepts, probe_set, where, search, masks, terminal.note)
        if "translation" in methods:
            from describer.data.concepts.lexicon import load_translator

            describers.append(load_translator(concepts, probe_set, where))
    for line in target.notes:
        terminal.note(line)
    patterns = [pattern for text in layers or [] for pattern in text.split(",")]
    unjudged: list[str] = []  # said when all else went well
    judged_by = load_judge(judge, len(probe_set), k, where, unjudged.append)
    with terminal.progress_bars(first) as progress:
        chosen: dict[str, Any] = {"layers": patterns, "units": units, "settings": settings, "judge": judged_by}
        chosen |= {"modes": ModeSettings() if meanings else None}
        atlas = describe_units(target, probe_set, out, describers, progress=progress, **chosen)
    if not first:
        return None
    for line in unjudged:
        terminal.note(line)
    return _print_described(atlas, out, as_json)


def _print_described(atlas: Any, out: Path, as_json: bool) -> None:
    from describer import terminal

    rows = atlas.units()
    if n_skipped := len(atlas.meta.skipped):
        terminal.note(f"{n_skipped} of {atlas.meta.n_images} images could not be read and were left out.")
    if as_json:
        return terminal.print_json(rows)
    terminal.print_units(rows[:SHOWN])
    terminal.print_lines(*(["…"] if len(rows) > SHOWN else []), "", *terminal.told_by_method(rows))
    if any(row["withdrawn"] for row in rows):
        terminal.print_lines("Not reliable: on the images that judge, the words foretell no more than chance does.")
        terminal.print_lines("More images, or a stronger listener (--judge), may keep more of them.", "")
    example = next((row["id"] for row in rows if row["description"]), "LAYER:UNIT")
    terminal.print_lines("Go on with:", f"  describer index {out}        # then the first search answers at once")
    terminal.print_lines(f"  describer show {out} {example} --out unit.png", f"  describer units {out}")
    return None


@app.command(epilog="\b\nExample: describer units atlas --layer layer4 --json")
def units(
    atlas: AtlasPath,
    layer: Annotated[str | None, typer.Option(metavar="LAYER", help="of this layer only")] = None,
    report: Annotated[
        Path | None, typer.Option(metavar="PNG", help="count unique detectors and draw them by category here")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="write them as a table here: .csv or .parquet")
    ] = None,
    as_json: Json = False,
) -> None:
    """List described units.

    One line a unit and method, in the order of the model.
    """
    from describer import terminal
    from describer.atlas import Atlas

    if report is not None:
        from describer.picture import save_picture
        from describer.search.report import draw_report, report_of

        found = report_of(Atlas.open(atlas), layer)
        save_picture(draw_report(found), report, "--report")
        rows = [each.row for each in found]
        return terminal.print_json(rows) if as_json else terminal.print_detectors(rows, f"Chart: {report}")
    rows = Atlas.open(atlas).units(layer)
    if out is not None:
        from describer.unittable import save_table

        save_table(rows, out)
        terminal.note(f"Table: {out}")
    elif as_json:
        terminal.print_json(rows)
    else:
        terminal.print_units(rows)
    return None


@app.command(epilog="\b\nExample: describer show atlas layer4:483 --out unit.png")
def show(
    atlas: AtlasPath,
    unit: Annotated[str, typer.Argument(metavar="LAYER:UNIT", help="such as layer4:483", show_default=False)],
    out: Annotated[Path | None, typer.Option(metavar="PNG", help="write the exemplar grid here")] = None,
    as_json: Json = False,
) -> None:
    """Show one unit with its exemplars."""
    from describer import terminal
    from describer.atlas import Atlas
    from describer.search.examples import with_examples

    opened = Atlas.open(atlas)
    layer, index = opened.locate(unit)
    rows = [with_examples(opened.path, row) for row in opened.units(layer) if row["unit"] == index]
    if not rows:
        raise DescriberError(f"{unit} must be described. Got a unit that is only probed. Repeat the describe command.")
    if as_json:
        terminal.print_json(rows)
    else:
        for row in rows:
            terminal.print_unit(row)
    if out is not None:
        from describer.picture import exemplar_grid, save_picture, stacked, unit_card
        from describer.search.examples import example_sheets

        sheets = [exemplar_grid(unit_card(opened, layer, index)), *example_sheets(opened.path, layer, index, rows)]
        save_picture(stacked(sheets), out)
        terminal.note(f"Picture: {out}")


@app.command(epilog="\b\nExample: describer train recipe.yaml")
def train(
    recipe: Annotated[Path, typer.Argument(metavar="RECIPE", help="a YAML file", show_default=False)],
    resume: Annotated[bool, typer.Option(help="go on from the last checkpoint, or begin anew")] = True,
) -> None:
    """Train by a recipe.

    Prints the folder with the weights.
    """
    from describer import terminal
    from describer.training import train as carry_out

    terminal.print_lines(str(carry_out(recipe, resume=resume)))


def _take_over() -> None:
    """The verbs that other folders bring; light, as all their heavy imports are inside the verbs."""
    from describer.eval.control import verbs as control
    from describer.eval.games import verbs as games
    from describer.eval.score import verbs as score
    from describer.search import siteverbs, verbs

    app.registered_commands += verbs.app.registered_commands + siteverbs.app.registered_commands
    app.registered_commands += games.app.registered_commands + control.app.registered_commands
    app.registered_commands += score.app.registered_commands


_take_over()


def main() -> None:
    """The console script."""
    if not sys.warnoptions:
        warnings.simplefilter("ignore")  # of libraries; stderr is for progress and faults
    app()


if __name__ == "__main__":  # accelerate launch -m describer.cli describe …
    main()
