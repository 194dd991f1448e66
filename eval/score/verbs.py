"""The verb `score`: the evaluator of anybody's descriptions; `describer.cli` takes it over.

    describer score atlas MILAN=milan.csv 'DnD=dnd_layer3.csv,dnd_layer4.csv' --out units.jsonl

Nothing heavy is imported until the verb runs.
"""

from pathlib import Path
from typing import Annotated, Any

import typer

app = typer.Typer()

Sources = Annotated[
    list[str] | None,
    typer.Argument(metavar="ATLAS|[NAME=]CSV…", help="an atlas; CSV files of any method", show_default=False),
]


@app.command(epilog="\b\nExample: describer score atlas MILAN=milan.csv --out units.jsonl")
def score(
    sources: Sources = None,
    atlas: Annotated[
        Path | None, typer.Option(metavar="ATLAS", help="whose units answered; default: the atlas among the sources")
    ] = None,
    columns: Annotated[
        list[str] | None, typer.Option(metavar="KIND=HEADING", help="layer=…, unit=…, description=…; else guessed")
    ] = None,
    listener: Annotated[
        str | None, typer.Option(metavar="NAME", help="foretells: a folder or a CLIP of the hub; default: the carried")
    ] = None,
    concepts: Annotated[
        str | None, typer.Option(metavar="CONCEPTS", help="labels of the probe set foretell, in place of a listener")
    ] = None,
    images: Annotated[
        str | None, typer.Option(metavar="IMAGES", help="the probe set, where it has moved since")
    ] = None,
    metrics: Annotated[
        str | None, typer.Option(metavar="NAMES", help="with commas, or all; default: the sound ones")
    ] = None,
    alpha: Annotated[float, typer.Option(metavar="A", help="share of images on which a unit counts as firing")] = 0.005,
    pooling: Annotated[str, typer.Option(metavar="WAY", help="of places: means or peaks")] = "means",
    human: Annotated[
        Path | None, typer.Option(metavar="CSV", help="what people wrote: text scores, beside their baselines")
    ] = None,
    encoder: Annotated[
        str | None, typer.Option(metavar="NAME", help="for BERTScore, with --human: folder or hub name")
    ] = None,
    sanity: Annotated[bool, typer.Option("--sanity", help="put the metrics to the sanity checks")] = False,
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="one JSON object a unit and method here")] = None,
    seed: Annotated[int, typer.Option(metavar="N", min=0, help="of shuffles and intervals")] = 0,
    device: Annotated[str, typer.Option(metavar="DEVICE", help="auto, cpu, cuda, cuda:1 …")] = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="one JSON object a line")] = False,
) -> None:
    """Score anybody's descriptions of units.

    Methods by metrics with intervals, beside shuffled and constant texts; CSV files have layer, unit, description.
    """
    from describer.choices import device_of
    from describer.eval.score import scoring

    names = scoring.metrics_of(metrics, sanity)
    if sanity:
        scoring.run_sanity(names, concepts if not sources else None, seed, as_json)
        if not sources:
            return
    inputs = scoring.inputs_of(sources or [], atlas, columns or [])
    scoring.refuse_input_as_output(inputs, human, out)
    if human is not None:
        scoring.run_texts(inputs, human, encoder, out, seed, as_json)
        return
    judged: dict[str, Any] = {"listener": listener, "concepts": concepts, "images": images, "pooling": pooling}
    scoring.run_scores(inputs, judged, device_of(device), names, alpha, out, seed, as_json)
