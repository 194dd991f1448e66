"""KiloGram (Ji et al. 2022): tangrams with what people see in them, whole and piece by piece, with exact masks.

    corpus = read_tangrams("kilogram.zip", folds=range(6))
    corpus.phrases["birds"], corpus.phrases["tails"]

The archive holds full.json ({tangram: [{"whole": words, "piece": {polygon id: words}}]}) and
tangrams-svg/<tangram>.svg, polygons with ids. Drawn dark on white.
"""

import json
import re
import zipfile
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any
from xml.etree import ElementTree

import numpy as np
from PIL import Image, ImageDraw

from describer.errors import ImagesError
from describer.training.corpus import IMAGE_SIZE, Corpus, CorpusBuilder, check_folds, coverage, split_of
from describer.training.phrases import noun_phrases
from describer.training.sources.captions import shared_phrases

OVERSAMPLE = 4
MARGIN = 0.08
"share of the picture left white on each side"
NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")
Polygons = Mapping[str, np.ndarray]
"polygon id → corners (corners, 2)"


def read_tangrams(
    paths: str | Path, folds: Collection[int], *, min_people: int = 2, annotations: str = "full.json"
) -> Corpus:
    """Whole tangrams with what all people wrote; parts that at least `min_people` name alike, where most put them.

    Tangrams without a drawing are left out.
    """
    builder, wanted = CorpusBuilder("tangrams"), check_folds(folds)
    with zipfile.ZipFile(paths) as archive:
        drawings = {PurePosixPath(name).stem: name for name in archive.namelist() if name.endswith(".svg")}
        for name, said in json.loads(archive.read(annotations)).items():
            if name in drawings and split_of(name) in wanted:
                people = said["annotations"] if isinstance(said, dict) else said
                _add(builder, read_polygons(archive.read(drawings[name])), people, min_people)
    return builder.corpus()


def _add(builder: CorpusBuilder, polygons: Polygons, people: Sequence[Mapping[str, Any]], min_people: int) -> None:
    image, masks = draw(polygons)
    place = builder.add_image(image)
    wholes = [person["whole"].strip() for person in people if person.get("whole")]
    everything = np.any(list(masks.values()), axis=0)
    builder.add_region(place, coverage(everything), wholes, shared_phrases(wholes, min_people))
    for ids, (texts, phrases) in shared_parts(people, min_people).items():
        known = [masks[key] for key in ids if key in masks]
        if known:
            builder.add_region(place, coverage(np.any(known, axis=0)), texts, phrases)


def shared_parts(
    people: Sequence[Mapping[str, Any]], min_people: int
) -> dict[tuple[str, ...], tuple[list[str], list[str]]]:
    """Polygon ids → (texts, phrases): a phrase of at least `min_people`, on the polygons that half of them mean."""
    votes: dict[str, list[tuple[frozenset[str], str]]] = defaultdict(list)
    for person in people:
        meant: dict[str, tuple[set[str], str]] = {}
        for key, text in person.get("piece", {}).items():
            for phrase in noun_phrases(text):
                meant.setdefault(phrase, (set(), text.strip()))[0].add(str(key))
        for phrase, (ids, text) in meant.items():
            votes[phrase].append((frozenset(ids), text))
    found: dict[tuple[str, ...], tuple[list[str], list[str]]] = {}
    for phrase, said in votes.items():
        if len(said) < min_people:
            continue
        keys = sorted(set().union(*(ids for ids, _ in said)))
        most = tuple(key for key in keys if 2 * sum(key in ids for ids, _ in said) >= len(said))
        if most:
            texts, phrases = found.setdefault(most, ([], []))
            texts += [text for _, text in said]
            phrases.append(phrase)
    return found


def read_polygons(svg: bytes) -> Polygons:
    """The polygons of a drawing by id, their matrix or translate transforms carried out."""
    polygons = {}
    for element in ElementTree.fromstring(svg).iter():
        if element.tag.endswith("polygon"):
            corners = np.array(NUMBER.findall(element.get("points", "")), float).reshape(-1, 2)
            polygons[str(element.get("id"))] = _transformed(corners, element.get("transform", ""))
    if not polygons:
        raise ImagesError("A tangram must be drawn as SVG polygons with ids. Got none. Do check the archive.")
    return polygons


def _transformed(corners: np.ndarray, transform: str) -> np.ndarray:
    numbers = [float(number) for number in NUMBER.findall(transform)]
    if transform.startswith("matrix") and len(numbers) == 6:
        a, b, c, d, e, f = numbers
        return corners @ np.array([[a, b], [c, d]]) + np.array([e, f])
    if transform.startswith("translate") and numbers:
        return corners + np.array([numbers[0], numbers[1] if len(numbers) > 1 else 0.0])
    if transform:
        raise ImagesError(f"A polygon's transform must be matrix or translate. Got {transform!r}. Do flatten it.")
    return corners


def draw(polygons: Polygons) -> tuple[Image.Image, dict[str, np.ndarray]]:
    """The picture, dark on white with thin white seams, and the mask of every polygon (side, side) at 4 x 160."""
    side = IMAGE_SIZE * OVERSAMPLE
    everything = np.concatenate(list(polygons.values()))
    low, high = everything.min(0), everything.max(0)
    scale = side * (1 - 2 * MARGIN) / max(float((high - low).max()), 1e-6)
    offset = side / 2 - (low + high) / 2 * scale
    image = Image.new("RGB", (side, side), "white")
    brush, masks = ImageDraw.Draw(image), {}
    for key, corners in polygons.items():
        points = [(float(x), float(y)) for x, y in corners * scale + offset]
        mask = Image.new("1", (side, side))
        ImageDraw.Draw(mask).polygon(points, fill=1)
        masks[key] = np.asarray(mask)
        brush.polygon(points, fill=(45, 45, 50))
        brush.line([*points, points[0]], fill="white", width=OVERSAMPLE)
    return image, masks
