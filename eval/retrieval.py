"""Search on planted units, whose truth is known: is the unit among the first ten for a text that means its concept?

    python -m describer.eval.retrieval --data ../shared/data --level image

Every unit of a level is described and indexed as an atlas is. Three kinds of texts: the planted concept; the concept of
units that are described in other words, sharing none with it; and other words: the concept, or the concept with words
exchanged for listed synonyms, whichever shares no word with the description. Units for which there is no such text are
left out. The same index answers by BM25, cosine, both, and PMI.
"""

import json
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from jaxtyping import Float
from torch import Tensor

from describer.atlas import Atlas
from describer.captioner import CARRIED, Captioner
from describer.data.nouns import singular
from describer.decoding import DecodingSettings
from describer.eval.planted.naming import (
    HELD_OUT,
    LEVELS,
    content_words,
    describe_planted,
    interval,
    plant,
    synonyms,
    unit_features,
)
from describer.exemplars import Exemplars
from describer.manifest import LayerEntry, Manifest, Source
from describer.search.answers import by_text
from describer.search.atlasindex import Index, sets_table, words_table
from describer.search.meanings import Meanings
from describer.search.query import HOW, Question
from describer.search.tables import IndexTables
from describer.training.recipe import placed
from describer.training.sources import load_corpus


@dataclass(frozen=True)
class Retrieved:
    """Recall of one way of ordering, with its 95 % bootstrap interval over units."""

    level: str
    texts: str
    "concept, concept of units described in other words, or other words"
    how: str
    units: int
    first: float
    "share of units that come first"
    recall: tuple[float, float, float]
    "share of units among the first ten: value, low, high"


def index_of(
    meanings: Meanings, features: Float[Tensor, "units k features"], texts: Sequence[str | None], folder: Path
) -> Index:
    """An index of units with these exemplars and descriptions, as the first search of an atlas makes it."""
    n_units, k = features.shape[:2]
    present = torch.ones(n_units, k, dtype=torch.bool)
    with torch.inference_mode():
        memory = meanings.captioner.encode(features, present).half()
    images = torch.arange(n_units * k).view(n_units, k)
    blank = torch.zeros(n_units, k, 1, 1)
    exemplars = Exemplars(
        "planted", torch.arange(n_units), images, blank[..., 0, 0], blank, blank[:, 0, 0, 0], ~present.any(1)
    )
    rows = {u: [{"method": "caption", "description": text, "formula": None}] for u, text in enumerate(texts)}
    words = words_table("planted", rows, meanings.vectors(features, present), 0)
    IndexTables.write(folder, meanings.width, k, [(sets_table(exemplars, memory, present, 0, k), words)])
    entry = LayerEntry("planted", 0, n_units, 1, 1, True, ("caption",))
    atlas = Atlas(folder, Manifest(Source("planted", ""), Source("planted", ""), n_units * k, {}, (entry,)), None)
    return Index(atlas, "planted", meanings, IndexTables(folder))


def unsaid(concept: str, description: str | None) -> str | None:
    """The concept where the description has none of its words, else None."""
    return None if content_words(concept) & content_words(description or "") else concept


def other_words(concept: str, description: str | None) -> str | None:
    """The concept, in synonyms where need be, without a word of the description; None where there is no such text."""
    said = content_words(description or "")
    choices = [[word, *sorted(synonyms().get(singular(word), frozenset()) - {word})] for word in concept.split()]
    for words in product(*choices):
        if not content_words(" ".join(words)) & said:
            return " ".join(words)
    return None


def recalls(index: Index, texts: Sequence[str | None], level: str, kind: str, seed: int = 0) -> Iterator[Retrieved]:
    """Of every way of ordering: where the i-th unit stands for the i-th text (None: left out)."""
    asked = [(unit, text) for unit, text in enumerate(texts) if text is not None]
    for how in reversed(HOW):
        ranks = []
        for unit, text in asked:
            hits = by_text([(index, None)], index.meanings, text, Question(text, None, None, how=how))
            ranks.append(next((rank for rank, hit in enumerate(hits) if hit.unit == unit), len(texts)))
        found = np.array(ranks, dtype=np.int64)
        first = float((found == 0).mean()) if len(found) else float("nan")
        yield Retrieved(level, kind, how, len(found), first, interval(found < 10, seed))


def measure(captioner: Captioner, level: str, data: str, cache: str | None, seed: int = 0) -> list[Retrieved]:
    """Recall of all ways of ordering on one level, for concepts and for other words."""
    sources, n_units = LEVELS[level]
    corpus = load_corpus(placed(sources, data), HELD_OUT, cache)
    units = plant(corpus, sorted(set(corpus.source)), n_units, seed=seed)
    concepts = [unit.concept for unit in units]
    features = unit_features(captioner.encoder, corpus, units)
    told = describe_planted(captioner, features, DecodingSettings())
    descriptions = [own[0].text if own else None for own in told]
    with tempfile.TemporaryDirectory(prefix="describer-retrieval-") as folder:
        index = index_of(Meanings(captioner), features, descriptions, Path(folder))
        pairs = list(zip(concepts, descriptions, strict=True))
        texts: dict[str, list[str | None]] = {
            "concept": list(concepts),
            "concept of units described in other words": [unsaid(concept, text) for concept, text in pairs],
            "other words": [other_words(concept, text) for concept, text in pairs],
        }
        return [row for kind, asked in texts.items() for row in recalls(index, asked, level, kind, seed)]


def main(
    data: Annotated[str, typer.Option(help="Folder with flickr8k/, textures/, clothing/ …")],
    captioner: Annotated[Path, typer.Option(help="Folder of a captioner.")] = CARRIED,
    cache: Annotated[str | None, typer.Option(help="Folder in which prepared sources are kept.")] = None,
    level: Annotated[list[str] | None, typer.Option(help="image, region, scenes; default all.")] = None,
) -> None:
    """Prints one JSON object a level, kind of text and way of ordering."""
    model = Captioner.from_pretrained(captioner)
    for name in level or LEVELS:
        for row in measure(model, name, data, cache):
            print(json.dumps(vars(row)), flush=True)


if __name__ == "__main__":
    typer.run(main)
