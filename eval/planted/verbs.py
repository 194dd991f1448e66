"""What `python -m describer.eval.planted` can do beside naming.py: `card` and `real`.

python -m describer.eval.planted card --concepts scenes:200:9 --listener openai/clip-vit-base-patch32
python -m describer.eval.planted real googlenet.py:load photos/*.parquet --layer inception_5b --concepts textures/
"""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from describer import terminal
from describer.errors import DescriberError, WeightsError
from describer.eval.planted.firing import NOISE
from describer.eval.planted.hardware import hardware
from describer.eval.planted.methods import Teller, by_describer, concept, formula
from describer.eval.planted.units import World, draw_units

CARD = ("concept", "formula", "formula .95", "caption", "caption, lambda 0", "clip")
"What `card` runs where no methods are named; and vlm, where a model is."

Methods = Annotated[str | None, typer.Option(metavar="METHODS", help="with semicolons between", show_default=False)]
Captioner = Annotated[str | None, typer.Option(metavar="DIR", help="captioner; default: the carried one")]
Listener = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="listener of clip, or captioner; default: the carried one"),
]
Words = Annotated[Path | None, typer.Option(metavar="FILE", help="words of clip; default: the captioner's phrases")]
Vlm = Annotated[str | None, typer.Option(metavar="NAME", help="image-text model of vlm")]
Seed = Annotated[int, typer.Option(help="of units, noise, shuffling and intervals")]
Out = Annotated[Path | None, typer.Option(metavar="FILE", help="JSON file for all that was measured")]
Json = Annotated[bool, typer.Option("--json", help="one JSON object a line")]


def card(
    concepts: Annotated[str, typer.Option(metavar="CONCEPTS", help="labelled pictures, as for describe")],
    methods: Methods = None,
    per_kind: Annotated[int, typer.Option("--units", min=1, help="units of each of the seven kinds")] = 7,
    wrong: Annotated[
        list[float] | None, typer.Option(min=0, max=1, help="a level of noise, repeated; default: 0 to .5 in six steps")
    ] = None,
    side: Annotated[int, typer.Option(min=7, help="cells of a side of the grid")] = 56,
    shifts: Annotated[int, typer.Option(min=0, help="searches in other pictures' labels, to tell chance")] = 9,
    k: Annotated[int, typer.Option("--k", min=1, help="exemplars a unit")] = 15,
    captioner: Captioner = None,
    listener: Listener = None,
    words: Words = None,
    vlm: Vlm = None,
    seed: Seed = 0,
    out: Out = None,
    as_json: Json = False,
) -> None:
    """Report card of all methods on units that we planted.

    Example: python -m describer.eval.planted card --concepts scenes:200:9
    """
    from describer.data.concepts import load_concepts
    from describer.eval.planted import card as report

    world = World(load_concepts(concepts), side)
    units = draw_units(world, per_kind, seed)
    tellers = _tellers(methods, world, captioner, listener, words, vlm)
    with terminal.progress_bars() as progress:
        marks = report.run(world, units, tellers, wrong or NOISE, k, seed, shifts, progress)
    rows, told = report.summary(marks, seed), report.about(world, units, seed) | {"shifts": shifts, "k": k}
    if out:
        found = {"about": told, "summary": rows, "descriptions": report.as_rows(marks)}
        out.write_text(json.dumps(found, indent=1, ensure_ascii=False), encoding="utf-8")
    if as_json:
        return terminal.print_json([told, *rows])
    terminal.print_lines(", ".join(f"{name} {value}" for name, value in told.items()))
    for title, columns, cells in report.tables(rows):
        terminal.print_lines("", title, "")
        terminal.print_table(columns, cells)
    return None


def _tellers(
    methods: str | None, world: World, captioner: str | None, listener: str | None, words: Path | None, vlm: str | None
) -> dict[str, Teller]:
    """The methods by name; clip is left out, and that is said, where nobody asked for it and there is no listener."""
    wanted = [*CARD, *(["vlm"] if vlm else [])] if methods is None else [m.strip() for m in methods.split(";")]
    tellers: dict[str, Teller] = {}
    for method in wanted:
        if method == "concept":
            tellers[method] = concept(world.table)
        elif method in ("formula", "formula .95"):
            tellers[method] = formula(world.table, penalty=1.0 if method == "formula" else 0.95)
        else:
            try:
                tellers[method] = by_describer(describer_of(method, captioner, listener, words, vlm), world)
            except WeightsError as fault:
                if methods is not None or method != "clip":
                    raise
                terminal.note(f"clip is left out: {fault}")
    return tellers


def describer_of(
    method: str, captioner: str | None, listener: str | None, words: Path | None, vlm: str | None
) -> Any:  # a Describer
    """The describer of exemplars of this name; DescriberError for another name, or for vlm without a model."""
    from transformers.utils import logging

    logging.disable_progress_bar()
    if method in ("caption", "caption, lambda 0"):
        from describer.caption import CaptionDescriber
        from describer.captioner import CARRIED, Captioner
        from describer.decoding import DecodingSettings

        ways = (
            DecodingSettings()
            if method == "caption"
            else DecodingSettings(weight=0.0, evidence=0.0, contrast=0.0, apart=0.0)
        )
        return CaptionDescriber(Captioner.from_pretrained(captioner or CARRIED), ways)
    if method == "clip":
        from describer.captioner import CARRIED, Captioner
        from describer.eval.planted.hearing import CaptionerListener
        from describer.inventory import Inventory
        from describer.listener import load_listener
        from describer.wordlist import WordListDescriber, read_words

        phrases = read_words(words) if words else Inventory.load(captioner or CARRIED).phrases
        own = listener == "captioner"
        hears = CaptionerListener(Captioner.from_pretrained(captioner or CARRIED)) if own else load_listener(listener)
        return WordListDescriber(hears, phrases)
    if method == "vlm" and vlm:
        from describer.vlm import ImageTextModel, VlmDescriber

        return VlmDescriber(ImageTextModel(vlm))
    known = "; ".join((*CARD, "vlm"))
    raise DescriberError(f"methods must be of {known}, vlm with --vlm NAME. Got {method!r}. Correct it.")


def real(
    model: Annotated[str, typer.Argument(help="as for describe, such as path.py:factory")],
    images: Annotated[list[str], typer.Argument(help="photographs: half for exemplars, half to judge")],
    layer: Annotated[str, typer.Option(help="one layer")],
    concepts: Annotated[str | None, typer.Option(metavar="CONCEPTS", help="labelled pictures, for concept")] = None,
    methods: Annotated[
        str, typer.Option(metavar="METHODS", help="with commas; the first is compared")
    ] = "caption,clip",
    units: Annotated[str | None, typer.Option(metavar="RANGES", help="0-63 or 3,5,8-11; default: all")] = None,
    captioner: Captioner = None,
    listener: Listener = None,
    words: Words = None,
    vlm: Vlm = None,
    judge: Annotated[str | None, typer.Option(metavar="NAME", help="listener; default: the carried one")] = None,
    atlas: Annotated[Path, typer.Option(metavar="ATLAS", help="folder to write, or to go on with")] = Path("versus"),
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Compare methods on a real network by what a judge foresees from their descriptions.

    Example: python -m describer.eval.planted real googlenet.py:load photos/ --layer inception_5b --listener captioner
    """
    from describer.data.images import load_images
    from describer.eval.planted import versus
    from describer.listener import load_listener
    from describer.search.describers import METHODS, load_describers

    wanted = [method.strip() for method in methods.split(",")]
    hears = load_listener(judge)
    describers = [describer_of(m, captioner, listener, words, vlm) for m in wanted if m not in METHODS]
    source = ",".join(images)
    if concepts is not None:
        describers += load_describers(wanted, concepts, load_images(source), masks={"n_shifts": 0}, say=terminal.note)
    with terminal.progress_bars() as progress:
        found, responses, seen = versus.described(
            model, source, layer, describers, hears, atlas, units, progress=progress
        )
        told = versus.texts_of(found, layer)
        ordered = {method: told[method] for method in wanted if method in told}
        rows = versus.compare(versus.with_baselines(ordered, wanted[0], seed), responses, seen, hears, seed)
    about = {"judge": hears.name, "clip_hears_by": listener or "carried", "images": responses.peaks.shape[1]}
    about |= {"hardware": hardware(), "seed": seed, "first_beats": versus.beaten(rows)}
    if as_json:
        return terminal.print_json([about, *rows])
    terminal.print_lines(", ".join(f"{name} {value}" for name, value in about.items()), "")
    columns = [("method", "left"), ("units", "right"), ("described", "right"), ("distinct", "right")]
    columns += [("Pearson", "right"), (f"{wanted[0]} less this", "right")]
    return terminal.print_table(columns, (_versus_cells(row) for row in rows))


def _versus_cells(row: Any) -> list[str]:
    numbers = (row["score"], row["first_less_this"])
    told = [f"{each['value']:.3f} [{each['low']:.3f}, {each['high']:.3f}]" for each in numbers]
    return [row["method"], *(str(row[name]) for name in ("units", "described", "distinct")), *told]
