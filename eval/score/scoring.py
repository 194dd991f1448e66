"""What `describer score` does with its options; each step refuses what cannot be used in one sentence.

inputs = inputs_of(["atlas", "MILAN=milan.csv"], None, [])       # methods, and the atlas whose units answered
run_scores(inputs, judged, "cpu", ["pearson"], 0.005, None, 0, False)
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from describer import terminal
from describer.atlas import Atlas
from describer.data.concepts import load_concepts
from describer.data.images import load_images
from describer.errors import DescriberError, ImagesError
from describer.eval.metrics import METRICS, SOUND
from describer.eval.metrics.bertscore import BertScore
from describer.eval.metrics.texts import SIMILARITIES, TextRow, text_table
from describer.eval.sanity import FREQUENCIES, chosen, examine, flags, planted
from describer.eval.score.descriptions import (
    Columns,
    Said,
    Unit,
    atlas_descriptions,
    read_descriptions,
    read_human,
)
from describer.eval.score.evidence import POOLINGS, Foreteller, Hearing, Labelling, atlas_evidence
from describer.eval.score.printing import print_report, print_sanity, print_texts, sanity_json
from describer.eval.score.report import common_units, report_of
from describer.files import disk_faults, write_atomically
from describer.listener import load_listener

SCENES = "scenes:400:11"
"Whose labels units are planted on for the sanity checks, where no others are given."


@dataclass(frozen=True)
class Inputs:
    """What is to be scored."""

    said: tuple[Said, ...]
    atlas: Atlas | None
    "whose units answered"


def inputs_of(sources: Sequence[str], atlas: Path | None, columns: Sequence[str]) -> Inputs:
    """Methods of atlases and files, saying which columns were read; DescriberError for what cannot be used."""
    if not sources:
        raise DescriberError("score must have something to score. Got nothing. Name an atlas or a CSV file.")
    atlases = [Atlas.open(source) for source in sources if Path(source).is_dir()]
    judge = Atlas.open(atlas) if atlas is not None else atlases[0] if atlases else None
    for each in atlases:
        if judge is not None and each.meta.model.fingerprint != judge.meta.model.fingerprint:
            message = f"atlases must be of the same model, {judge.meta.model.name}. Got {each.path}"
            raise DescriberError(f"{message} of {each.meta.model.name}. Score them one by one.")
    given = columns_of(columns)
    said: list[Said] = []
    for source in sources:
        if Path(source).is_dir():
            prefix = f"{Path(source).name}:" if len(atlases) > 1 else ""
            said += atlas_descriptions(Atlas.open(source), prefix)
        else:
            said.append(read_descriptions(source, given))
            terminal.note(said[-1].told)
    names = [each.method for each in said]
    if twice := {name for name in names if names.count(name) > 1}:
        raise DescriberError(f"methods must have names of their own. Got {min(twice)!r} twice. Write NAME=FILE.")
    return Inputs(tuple(said), judge)


def columns_of(given: Sequence[str]) -> Columns:
    """Headings by kind, of KIND=HEADING; several with commas."""
    pairs = dict(part.partition("=")[::2] for text in given for part in text.split(","))
    if strange := sorted(set(pairs) - {"layer", "unit", "description"}) or [k for k, v in pairs.items() if not v]:
        message = "columns must be layer=HEADING, unit=HEADING or description=HEADING"
        raise DescriberError(f"{message}. Got {strange[0]!r}. Correct it.")
    return Columns(**pairs)


def metrics_of(names: str | None, sanity: bool) -> list[str]:
    """Names of metrics; without any the sound ones, for the sanity checks all. DescriberError for an unknown one."""
    if names is None:
        return list(METRICS if sanity else SOUND)
    chosen = list(METRICS) if names == "all" else [name.strip() for name in names.split(",")]
    if strange := [name for name in chosen if name not in METRICS]:
        raise DescriberError(f"metrics must be of {', '.join(METRICS)}. Got {strange[0]!r}. Correct it.")
    return chosen


def refuse_input_as_output(inputs: Inputs, human: Path | None, out: Path | None) -> None:
    """DescriberError where --out names a file that is read: published tools overwrite what they score."""
    read = [file for each in inputs.said for file in each.files] + ([human] if human else [])
    if out is not None and out.resolve() in [file.resolve() for file in read]:
        raise DescriberError(f"--out must be another file than what is scored. Got {out}. Name a new one.")


def run_scores(
    inputs: Inputs,
    judged: dict[str, Any],
    device: str,
    metrics: Sequence[str],
    alpha: float,
    out: Path | None,
    seed: int,
    as_json: bool,
) -> None:
    """Scores against what units answered; prints the table."""
    if inputs.atlas is None:
        message = "scores must have units that answered. Got CSV files alone"
        raise DescriberError(f"{message}. Add --atlas ATLAS of the same model, or --human CSV for text scores.")
    if judged["pooling"] not in POOLINGS:
        raise DescriberError(f"pooling must be {' or '.join(POOLINGS)}. Got {judged['pooling']!r}. Correct it.")
    evidence = atlas_evidence(inputs.atlas, judged["pooling"])
    foretell = _foreteller(inputs.atlas, judged, device, evidence.images)
    report = report_of(inputs.said, evidence, foretell, metrics, alpha, seed)
    if out is not None:
        _write(out, list(report.units()))
    if as_json:
        terminal.print_json([row.json() for row in report.rows])
    else:
        print_report(report)


def run_texts(inputs: Inputs, human: Path, encoder: str | None, out: Path | None, seed: int, as_json: bool) -> None:
    """Scores texts against what people wrote of the same units; prints the table with its baselines."""
    people = read_human(human)
    units = [unit for unit in common_units(inputs.said) if len(people.get(unit, ())) >= 2]
    if not units:
        message = f"{human} must have 2 sentences or more on units that are described"
        raise DescriberError(f"{message}. Got none such. Check that layers are named alike.")
    rows = texts_of(inputs.said, people, units, encoder, seed)
    if out is not None:
        _write(out, _text_units(rows, units))
    if as_json:
        terminal.print_json([_text_json(row, len(units)) for row in rows])
    else:
        print_texts(rows, len(units), sum(len(people[unit]) for unit in units), encoder)


def texts_of(
    said: Sequence[Said], people: dict[Unit, list[str]], units: Sequence[Unit], encoder: str | None, seed: int = 0
) -> list[TextRow]:
    """The table of text scores; the constant string is chosen from what people wrote of all other units."""
    chosen = set(units)
    others = [sentence for unit, own in people.items() if unit not in chosen for sentence in own]
    similarities = SIMILARITIES | ({"BERTScore": BertScore(encoder)} if encoder else {})
    methods = {each.method: [each.texts[unit] for unit in units] for each in said}
    return text_table(methods, [people[unit] for unit in units], others, similarities, seed)


def run_sanity(metrics: Sequence[str], concepts: str | None, seed: int, as_json: bool) -> None:
    """Puts metrics to the checks on flags and on units planted on labels; prints pass or fail."""
    labels = present(concepts or SCENES)
    worlds = [*map(flags, FREQUENCIES), planted(labels, seed=seed)]
    with terminal.progress_bars() as progress:
        outcomes, choices = [], {}
        for done, name in enumerate(metrics):
            progress("sanity checks", done, len(metrics))
            outcomes += examine(name, worlds, seed)
            choices[name] = chosen(name, worlds[-1])
        progress("sanity checks", len(metrics), len(metrics))
    if as_json:
        terminal.print_json(sanity_json(outcomes, choices))
    else:
        print_sanity(outcomes, choices)


def present(source: str) -> np.ndarray:
    """(concepts, images) whether each concept of labelled pictures is anywhere in each."""
    concepts = load_concepts(source)
    row = {concept: i for i, concept in enumerate(concepts.concepts)}
    found = np.zeros((len(row), len(concepts)), bool)
    with terminal.progress_bars() as progress:
        for image in range(len(concepts)):
            found[[row[concept] for concept in concepts.labels(image).present()], image] = True
            progress("labels", image + 1, len(concepts))
    return found


def _foreteller(atlas: Atlas, judged: dict[str, Any], device: str, indices: Sequence[int]) -> Foreteller:
    """Labels where they are given, else a listener that sees the probe set."""
    if judged["concepts"] is not None and judged["listener"] is not None:
        raise DescriberError("--concepts must stand without --listener. Got both. Leave one of them out.")
    images = load_images(judged["images"] or atlas.meta.images.name)
    if len(images) != atlas.meta.n_images or images.fingerprint != atlas.meta.images.fingerprint:
        message = f"images must be those of the atlas, {atlas.meta.images.name}"
        raise ImagesError(f"{message}. Got {images.source}, which differ. Name them with --images.")
    if judged["concepts"] is not None:
        concepts = load_concepts(judged["concepts"], images)
        if concepts.images.fingerprint != images.fingerprint:
            message = f"--concepts must label the images of the atlas, {images.source}"
            raise ImagesError(f"{message}. Got {concepts.source}, of others. Describe with its pictures as probe set.")
        return Labelling(concepts, indices)
    return Hearing(load_listener(judged["listener"], device), images, indices)


def _text_units(rows: Sequence[TextRow], units: Sequence[Unit]) -> list[dict[str, Any]]:
    return [
        {"layer": layer, "unit": unit, "id": f"{layer}:{unit}", "method": row.name}
        | {"scores": {name: float(values[i]) for name, values in row.values.items()}}
        for i, (layer, unit) in enumerate(units)
        for row in rows
    ]


def _text_json(row: TextRow, n_units: int) -> dict[str, Any]:
    scores = {name: dict(zip(("value", "low", "high"), own, strict=True)) for name, own in row.scores.items()}
    return {"method": row.name, "baseline": row.baseline, "units": n_units, "scores": scores}


def _write(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    """One JSON object a line."""
    with disk_faults(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode())
    terminal.note(f"Units: {path}")
