"""Units by words, by a picture or by another unit, in one or several atlases.

    hits = search("atlas", "dog faces", k=10)              # list of Hit, best first
    hits = search(["resnet", "vit"], "dog faces", layers=("layer4",), has_formula=True)
    hits = search("atlas", image="x.png")                  # units that fire on it, the most unusual first
    hits = search("atlas", unit="layer4:483", neighbours="coactivation")
    searcher = Searcher(["atlas"])                         # the same, with all that is loaded kept between queries

A text is looked up in the descriptions (BM25) and among the exemplars' vectors (cosine); both lists are fused by
reciprocal ranks, and the best are ordered by PMI = log p(text | exemplars) - log p(text), in nats: so a unit is found
although its description uses other words. The index lies in the atlas, is made by the first search, and made anew
whenever the atlas, the captioner or the index's format is another one.
"""

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from describer.atlas import Atlas
from describer.captioner import Captioner
from describer.data.targets import Target
from describer.errors import AtlasError
from describer.search.answers import answer
from describer.search.atlasindex import Index, Progress
from describer.search.meanings import PLAIN, Meanings, Templates
from describer.search.query import Filters, Hit, Question

__all__ = ["Hit", "Index", "Searcher", "search"]


class Searcher:
    """Several atlases, searched together; loads what a query needs when it is first needed, and keeps it."""

    def __init__(
        self,
        atlases: "str | Path | Atlas | Sequence[str | Path | Atlas]",
        captioner: Captioner | str | Path | None = None,
        progress: Progress | None = None,
    ) -> None:
        given = [atlases] if isinstance(atlases, str | Path | Atlas) else list(atlases)
        if not given:
            raise AtlasError("a search must have an atlas. Got none. Name one or more.")
        self.atlases = [each if isinstance(each, Atlas) else Atlas.open(each) for each in given]
        self.names = [str(each.path if isinstance(each, Atlas) else each) for each in given]
        self._captioner, self._progress, self._lock = captioner, progress, threading.RLock()
        self._meanings: Meanings | None = None
        self._indexes: list[Index] = []
        self.targets: dict[str, Target] = {}
        "The models of the atlases by their fingerprints, loaded for the first picture; may be filled beforehand."

    @property
    def meanings(self) -> Meanings:
        """The captioner, loaded at first use."""
        with self._lock:
            self._meanings = self._meanings or Meanings.of(self._captioner)
            return self._meanings

    @property
    def indexes(self) -> list[Index]:
        """The indexes of all atlases, made or opened at first use."""
        with self._lock:
            for atlas, name in list(zip(self.atlases, self.names, strict=True))[len(self._indexes) :]:
                self._indexes.append(Index.open(atlas, self.meanings, self._progress, name))
            return self._indexes

    def search(
        self,
        text: str | None = None,
        *,
        image: Any = None,
        unit: str | None = None,
        k: int = 10,
        layers: Sequence[str] = (),
        methods: Sequence[str] = (),
        min_score: float | None = None,
        has_formula: bool | None = None,
        how: str = "reranked",
        neighbours: str = "meaning",
        templates: Templates = PLAIN,
    ) -> list[Hit]:
        """The k units that fit best, best first; several kinds of query are fused. See `search`."""
        question = Question(text, image, unit, k, how, neighbours, tuple(templates))
        filters = Filters(tuple(layers), tuple(methods), min_score, has_formula)
        return answer(self.indexes, self.meanings, self.targets, question, filters)


def search(
    atlases: "str | Path | Atlas | Sequence[str | Path | Atlas]",
    text: str | None = None,
    *,
    image: Any = None,
    unit: str | None = None,
    k: int = 10,
    layers: Sequence[str] = (),
    methods: Sequence[str] = (),
    min_score: float | None = None,
    has_formula: bool | None = None,
    how: str = "reranked",
    neighbours: str = "meaning",
    templates: Templates = PLAIN,
    captioner: Captioner | str | Path | None = None,
    target: Target | None = None,
    progress: Progress | None = None,
) -> list[Hit]:
    """The k units of the atlases that fit a text, a picture (PIL, path or bytes) or a unit "layer:unit" best.

    `how` orders units for a text: reranked (PMI), fused, words (BM25) or meaning (cosine); `neighbours` those near a
    unit: meaning or coactivation. `layers` are names or patterns. Raises DescriberError for an empty query, AtlasError
    for unknown layers, methods and units, ImagesError for a file that is no picture.
    """
    searcher = Searcher(atlases, captioner, progress)
    if target is not None:
        searcher.targets[target.fingerprint] = target
    return searcher.search(
        text,
        image=image,
        unit=unit,
        k=k,
        layers=layers,
        methods=methods,
        min_score=min_score,
        has_formula=has_formula,
        how=how,
        neighbours=neighbours,
        templates=templates,
    )
