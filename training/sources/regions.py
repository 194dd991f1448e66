"""Pictures with dense label masks: one region a label, named in natural words, with its colour where one prevails.

clothing = read_clothing("clothing", "clothing/labels.json", folds=range(6))
segments = read_segments("segments", "segments/labels.json", "flickr8k", folds=range(6))

Masks are single-channel pictures of label ids; labels.json maps id → name.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from PIL import Image

from describer.data.nouns import set_form, word_lists
from describer.errors import ImagesError
from describer.training.corpus import Corpus, CorpusBuilder, check_folds, coverage
from describer.training.phrases import noun_phrases
from describer.training.sources.captions import shared_phrases
from describer.training.sources.colours import colour_map, dominant_colour
from describer.training.sources.parquet import Paths, decode, fold_of, read_rows

Words = Mapping[str, Sequence[str]]
"label → the phrases that people write for a set of its regions, the closest first"


@cache
def _label_file() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(Path(__file__).with_name("labels.yaml").read_text(encoding="utf-8"))
    return loaded


def label_words(name: str) -> Words:
    """The words of a label set of labels.yaml ("clothing", "segments")."""
    words: Words = _label_file()[name]
    return words


def read_labels(labels: str | Path) -> dict[int, str]:
    """labels.json as id → name."""
    return {int(key): str(name) for key, name in json.loads(Path(labels).read_text(encoding="utf-8")).items()}


def read_regions(
    paths: Paths,
    labels: str | Path,
    words: Words | None,
    folds: Collection[int],
    *,
    min_fraction: float = 0.015,
    union: str | None = None,
    source: str = "regions",
) -> Corpus:
    """One region a label that covers at least `min_fraction` of the picture (0..1).

    `words` None: every label in its set form, except 0. `union` names the region of all labels together ("people").
    """
    builder, wanted, names = CorpusBuilder(source), check_folds(folds), read_labels(labels)
    words = {name: [set_form(name)] for key, name in names.items() if key} if words is None else words
    for row in read_rows(paths, ["image", "mask"]):
        if fold_of(row["image"]) not in wanted:
            continue
        image, mask = decode(row["image"]), np.asarray(decode(row["mask"]))
        found = _found(mask, names, words, min_fraction)
        regions = [(part, phrases, True) for part, phrases in found]
        if union and (mask > 0).mean() >= min_fraction:
            regions.append((mask > 0, [union], False))
        _add(builder, image, regions)
    return builder.corpus()


def read_clothing(paths: Paths, labels: str | Path, folds: Collection[int], min_fraction: float = 0.015) -> Corpus:
    """Street photographs with labels of clothes, hair and skin; all labels together are "people"."""
    return read_regions(
        paths, labels, label_words("clothing"), folds, min_fraction=min_fraction, union="people", source="clothing"
    )


def read_segments(
    masks: Paths,
    labels: str | Path,
    photos: Paths,
    folds: Collection[int],
    *,
    min_fraction: float = 0.02,
    source: str = "segments",
) -> Corpus:
    """Machine-made masks joined by `path` to photographs with captions; a label is believed if a caption says so.

    People's regions also get the captions' phrases about people ("young boys"), dogs' those about dogs.
    """
    builder, wanted, names = CorpusBuilder(source), check_folds(folds), read_labels(labels)
    by_path = {row["path"]: row["mask"] for row in read_rows(masks, ["path", "mask"])}
    for row in read_rows(photos, ["image", "captions"]):
        cell = by_path.get(row["image"]["path"])
        if cell is None or fold_of(row["image"]) not in wanted:
            continue
        image, mask = decode(row["image"]), np.asarray(decode(cell))
        said = {phrase for caption in row["captions"] for phrase in noun_phrases(caption)}
        shared = shared_phrases(row["captions"])
        regions = []
        for part, phrases in _found(mask, names, label_words("segments"), min_fraction):
            label = phrases[0]
            if believed(label, said):
                about = [phrase for phrase in shared if label in ("people", "dogs") and is_about(phrase, label)]
                regions.append((part, [*phrases, *about], label not in ("people", "dogs")))
        _add(builder, image, regions)
    return builder.corpus()


def believed(label: str, said: set[str]) -> bool:
    """Whether the captions' phrases bear out a label (in set form); people are always believed."""
    needed = next((words for words in _label_file()["said"].values() if words[0] == label), None)
    return needed is None or not said.isdisjoint([*needed, *word_lists()["general"].get(label, [])])


def is_about(phrase: str, label: str) -> bool:
    """Whether the head of a phrase is the label or a kind of it ("young boys" is about people)."""
    if " of " in phrase:
        return False
    head = phrase.rsplit(maxsplit=1)[-1]
    return head == label or head in word_lists()["general"].get(label, [])


def _found(
    mask: np.ndarray, names: Mapping[int, str], words: Words, min_fraction: float
) -> list[tuple[np.ndarray, list[str]]]:
    """The regions of the labels that have words and size, each with its phrases."""
    if mask.ndim != 2:
        raise ImagesError(f"mask must have shape (height, width). Got {mask.shape}. Do store label ids in mode L.")
    share = np.bincount(mask.ravel(), minlength=256) / mask.size
    ids = [key for key, name in names.items() if share[key] >= min_fraction and name in words]
    return [(mask == key, list(words[names[key]])) for key in ids]


def _add(builder: CorpusBuilder, image: Image.Image, regions: list[tuple[np.ndarray, list[str], bool]]) -> None:
    """Take the regions (mask, phrases, whether to name their colour) of one picture."""
    if not regions:
        return
    place = builder.add_image(image)
    colours = colour_map(image)
    for part, phrases, coloured in regions:
        colour = dominant_colour(_pixels(colours, part)) if coloured else None
        named = [f"{colour} {phrases[0]}"] if colour and phrases[0] != "skin" else []
        builder.add_region(place, coverage(part), [*named, *phrases], [*phrases, *named])


def _pixels(colours: np.ndarray, part: np.ndarray) -> np.ndarray:
    """The colours under a mask, which may have another size than the picture."""
    if colours.shape != part.shape:
        size = (colours.shape[1], colours.shape[0])
        part = np.asarray(Image.fromarray(part).resize(size, Image.Resampling.NEAREST))
    return colours[part]
