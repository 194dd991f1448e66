"""The lexicon of the method `translation`: every concept that labels the probed pictures is a word, said by its area.

    describer = load_translator("colors", images)             # describe(target, images, "atlas", [describer])
    label_lexicon(load_concepts("colors", images)).texts      # ("black", "brown", ...)

p(concept | picture) is the share that the concept has of all that is labelled in the picture; a label of the whole
picture counts as one that covers it. Names that no picture shows are left out.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch

from describer.beliefs import label_log_likelihood
from describer.data.concepts import load_concepts
from describer.data.concepts.labels import ConceptSet, ImageLabels
from describer.data.images import ImageSet
from describer.describe import Progress, Target
from describer.description import Description, ImageSource
from describer.errors import DescriberError
from describer.exemplars import Exemplars
from describer.probe import Units
from describer.processes import Processes
from describer.translation import Lexicon, TranslationDescriber


def label_lexicon(concepts: ConceptSet, told: Callable[[int, int], None] | None = None) -> Lexicon:
    """The names that the pictures show and log p(name | picture); DescriberError where nothing is labelled.

    A name of two categories is two words, each with its category in brackets.
    """
    place = {concept: row for row, concept in enumerate(concepts.concepts)}
    areas = np.zeros((len(place), len(concepts)))
    for index in range(len(concepts)):
        for concept, area in _areas(concepts.labels(index)).items():
            areas[place[concept], index] = area
        if told:
            told(index + 1, len(concepts))
    shown: np.ndarray = areas.max(1) > 0
    if not shown.any():
        raise DescriberError(f"{concepts.source} must label something. Got no label in {len(concepts)} pictures.")
    names = [concepts.names[category][number] for category, number in place]
    twice = Counter(names)
    texts = [
        name if twice[name] == 1 else f"{name} ({category})" for name, (category, _) in zip(names, place, strict=True)
    ]
    salience = torch.from_numpy(areas[shown])
    return Lexicon(
        tuple(text for text, row in zip(texts, shown.tolist(), strict=True) if row),
        label_log_likelihood(salience > 0, salience),
    )


def _areas(labels: ImageLabels) -> dict[tuple[str, int], float]:
    """Shares of the picture, 0-1; layers of a category add up."""
    found: Counter[tuple[str, int]] = Counter()
    for category, numbers in labels.scalars.items():
        found.update({(category, number): 1.0 for number in numbers if number})
    for category, maps in labels.maps.items():
        for ids in maps:
            present, counts = np.unique(ids, return_counts=True)
            shares = counts / max(ids.size, 1)
            found.update({(category, int(n)): float(s) for n, s in zip(present, shares, strict=True) if n})
    return dict(found)


class LabelTranslator:
    """The method `translation` with the labels of the probed pictures themselves, read once, when they are needed."""

    method = "translation"

    def __init__(self, concepts: ConceptSet, images: ImageSet, lapse: float = 0.01) -> None:
        if concepts.images.fingerprint != images.fingerprint:
            wanted = f"translation must have labels of the probed pictures, {images.source}"
            raise DescriberError(f"{wanted}. Got those of {concepts.source}. Try --concepts colors.")
        self.concepts, self.lapse = concepts, lapse
        self._describer: TranslationDescriber | None = None

    @property
    def key(self) -> dict[str, str | int | float | bool | None]:
        """Labels and lapse: all that changes the answer."""
        return {"labels": self.concepts.fingerprint, "lapse": self.lapse}

    def prepare(self, target: Target, layers: Sequence[str], units: Units, folder: Path, progress: Progress) -> None:
        """Reads the labels, in the process that describes."""
        if self._describer is None and Processes.current().index == 0:
            lexicon = label_lexicon(self.concepts, lambda done, total: progress("reading labels", done, total))
            self._describer = TranslationDescriber(lexicon, self.lapse)

    def describe(
        self, exemplars: Exemplars, images: ImageSource, progress: Callable[[int], None] | None = None
    ) -> list[Description]:
        """One description a unit, as `TranslationDescriber` gives it."""
        if self._describer is None:
            self._describer = TranslationDescriber(label_lexicon(self.concepts), self.lapse)
        return self._describer.describe(exemplars, images, progress)


def load_translator(source: str, images: ImageSet, device: str | torch.device = "cpu") -> LabelTranslator:
    """The method `translation` with the concepts behind `source`, which must label `images`; DescriberError else."""
    return LabelTranslator(load_concepts(source, images, device), images)
