"""The methods `concept` and `formula`: a unit is the concept, or the logical form, whose pixels are nearest to its own.

    concepts = load_concepts("scenes:400:7")
    describers = form_describers(concepts, ["concept", "formula"], FormSettings(max_length=3))
    describe(target, images, "atlas", describers, layers=["layer4"])

`concept` says the single concept of highest IoU (Bau et al. 2017), `formula` the best form of up to max_length concepts
(Mu & Andreas 2020). Both lay the units over the labelled pictures once, before they describe.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from describer.data.concepts import ConceptSet, load_concepts
from describer.data.images import ImageSet
from describer.describe import Target
from describer.description import Description, ImageSource
from describer.errors import DescriberError
from describer.exemplars import Exemplars
from describer.frame import InputFrame
from describer.probe import Units
from describer.processes import Processes
from describer.search.chance import chance
from describer.search.dissect import DissectSettings, dissect, grid_of
from describer.search.dissection import Dissection, LayerDissection
from describer.search.examples import write_examples
from describer.search.forms import Concept, Form
from describer.search.formulas import search_formulas
from describer.search.iou import category_ious, global_ious
from describer.search.sampled import SampledLabels
from describer.view import SeenImages

Method = Literal["concept", "formula"]
METHODS = ("concept", "formula")
TOLD_EVERY = 64
"Units that are searched before progress is told."


@dataclass(frozen=True)
class FormSettings:
    """How forms are searched."""

    max_length: int = 3
    "most concepts in a form"
    beam_size: int = 10
    "forms kept at each length"
    optimal: bool = False
    "whether the best form is certified, or the gap to it told, within max_seconds a unit"
    max_seconds: float | None = None
    "of the certificate of one unit"
    length_penalty: float = 1.0
    "factor on the IoU for every concept beyond the first"

    def __post_init__(self) -> None:
        if self.max_length < 1 or self.beam_size < 1:
            got = f"max_length={self.max_length}, beam_size={self.beam_size}"
            raise DescriberError(f"max_length and beam_size must be at least 1. Got {got}. Give larger ones.")


@dataclass(frozen=True)
class Found:
    """What one unit means, in numbers."""

    form: Form | None
    scores: dict[str, float]


class Dissector:
    """The dissection that the methods of one run share."""

    def __init__(
        self, concepts: ConceptSet, settings: DissectSettings | None = None, say: Callable[[str], None] | None = None
    ) -> None:
        self.concepts, self.settings, self.say = concepts, settings or DissectSettings(), say
        self.done: Dissection | None = None
        self.labels: SampledLabels | None = None
        self.pictures: SeenImages | None = None

    def dissect(
        self,
        target: Target,
        layers: Sequence[str],
        units: Units,
        folder: Path,
        progress: Callable[[str, int, int], None],
    ) -> None:
        """Lays the layers' units over the labels, unless that is on the disk."""
        self.done = dissect(target, self.concepts, layers, folder, self.settings, units, progress, self.say)
        frame, grid = InputFrame(target.preprocess), grid_of(target, self.settings.size)
        if self.labels is None:
            self.labels = SampledLabels(self.concepts, frame, grid, self.done.kept)
            self.pictures = SeenImages(self.concepts.images, target.preprocess)


class FormDescriber:
    """One of the methods; see `form_describers`."""

    def __init__(self, method: Method, dissector: Dissector, settings: FormSettings | None = None) -> None:
        self._method, self.dissector, self.settings = method, dissector, settings or FormSettings()

    @property
    def method(self) -> str:
        """concept or formula."""
        return self._method

    @property
    def key(self) -> dict[str, str | int | float | bool | None]:
        """Labels, dissection and search: all that changes the answer."""
        dissection = {name: value for name, value in asdict(self.dissector.settings).items() if name != "batch_size"}
        search = asdict(self.settings) if self._method == "formula" else {}
        return {"labels": self.dissector.concepts.fingerprint, **dissection, **search}

    def prepare(
        self,
        target: Target,
        layers: Sequence[str],
        units: Units,
        folder: Path,
        progress: Callable[[str, int, int], None],
    ) -> None:
        """Lays the layers' units over the labels; every process takes part."""
        self.dissector.dissect(target, layers, units, folder / "concepts", progress)

    def describe(
        self, exemplars: Exemplars, images: ImageSource, progress: Callable[[int], None] | None = None
    ) -> list[Description]:
        """One description a unit of `exemplars`, in their order; None for units that fire on no labelled picture."""
        dissection = self.dissector.done
        assert dissection is not None and Processes.current().index == 0, "prepare comes first"
        layer = dissection.layer(exemplars.layer)
        place = {unit: row for row, unit in enumerate(layer.exemplars.unit_ids.tolist())}
        rows = np.array([place[unit] for unit in exemplars.unit_ids.tolist()], np.int64)
        found: list[Found] = []
        for start in range(0, len(rows), TOLD_EVERY):
            part = rows[start : start + TOLD_EVERY]
            found += self._found(dissection, layer, part)
            if progress:
                progress(len(part))
        forms = [each.form for each in found]
        assert self.dissector.labels is not None and self.dissector.pictures is not None
        write_examples(dissection, layer, self._method, rows, forms, self.dissector.labels, self.dissector.pictures)
        told = zip(exemplars.unit_ids.tolist(), found, strict=True)
        return [self._told(exemplars.layer, unit, each) for unit, each in told]

    def _found(self, dissection: Dissection, layer: LayerDissection, rows: np.ndarray) -> list[Found]:
        if self._method == "concept":
            return best_concepts(dissection, layer, rows)
        return best_forms(dissection, layer, rows, self.settings)

    def _told(self, layer: str, unit: int, found: Found) -> Description:
        text = None if found.form is None else str(found.form)
        return Description(layer, unit, text, self._method, found.scores, formula=text)


def form_describers(
    concepts: ConceptSet,
    methods: Sequence[str] = METHODS,
    settings: FormSettings | None = None,
    dissection: DissectSettings | None = None,
    say: Callable[[str], None] | None = None,
) -> list[FormDescriber]:
    """The describers of these methods over one dissection; DescriberError for a method that is neither."""
    dissector = Dissector(concepts, dissection, say)
    unknown = [method for method in methods if method not in METHODS]
    if unknown:
        raise DescriberError(f"method must be {' or '.join(METHODS)}. Got {unknown[0]!r}. Correct it.")
    return [FormDescriber("concept" if m == "concept" else "formula", dissector, settings) for m in methods]


def load_describers(
    methods: Sequence[str],
    source: str,
    images: ImageSet,
    device: str = "cpu",
    search: Mapping[str, Any] | None = None,
    masks: Mapping[str, Any] | None = None,
    say: Callable[[str], None] | None = None,
) -> list[FormDescriber]:
    """Those of `methods` that need concepts; `search` are options of FormSettings, `masks` of DissectSettings."""
    settings, dissection = FormSettings(**search or {}), DissectSettings(**masks or {})
    wanted = [method for method in methods if method in METHODS]
    return form_describers(load_concepts(source, images, device), wanted, settings, dissection, say)


def best_concepts(dissection: Dissection, layer: LayerDissection, rows: np.ndarray) -> list[Found]:
    """The concept of highest IoU over all pixels, with its IoU as NetDissect counts it and what chance gives."""
    table, counts = dissection.table, layer.counts.subset(rows)
    ious, by_category = global_ious(table, counts), category_ious(table, counts)
    overlaps = np.asarray((counts.counts @ table.matrix.astype(np.int64)).todense())
    drawn = [global_ious(table, shifted.subset(rows)).max(1) for shifted in layer.shifted]
    found = []
    for row, best in enumerate(ious.argmax(1).tolist()):
        iou = float(ious[row, best])
        if iou <= 0:
            found.append(Found(None, {}))
            continue
        overlap = int(overlaps[row, best])
        scores = {
            "iou": iou,
            "score": iou,
            "category_iou": float(by_category[row, best]),
            "detection_accuracy": overlap / int(table.areas[best]),
            "coverage": overlap / int(counts.areas[row]),
        }
        found.append(Found(Concept(table.names[best]), scores | _by_chance(iou, [float(c[row]) for c in drawn])))
    return found


def _by_chance(iou: float, drawn: Sequence[float]) -> dict[str, float]:
    """The mean of what chance gives, and how often it gives as much (the draw itself counts as one)."""
    if not drawn:
        return {}
    as_much = sum(other >= iou for other in drawn)
    return {"chance_iou": float(np.mean(drawn)), "p_value": (1 + as_much) / (1 + len(drawn))}


def best_forms(dissection: Dissection, layer: LayerDissection, rows: np.ndarray, settings: FormSettings) -> list[Found]:
    """The forms of highest IoU, with their bounds where they are certified and what chance gives."""
    table, counts = dissection.table, layer.counts.subset(rows)
    options: dict[str, Any] = {
        "max_length": settings.max_length,
        "beam_size": settings.beam_size,
        "length_penalty": settings.length_penalty,
    }
    optimal, seconds = settings.optimal, settings.max_seconds
    explanations = search_formulas(table, counts, optimal=optimal, max_seconds=seconds, **options)
    shifted = [each.subset(rows) for each in layer.shifted]
    drawn = chance(table, shifted, explanations, **options) if shifted else [None] * len(rows)
    found = []
    for explanation, by_chance in zip(explanations, drawn, strict=True):
        if explanation.formula is None or explanation.iou <= 0:
            found.append(Found(None, {}))
            continue
        scores = {
            "iou": explanation.iou,
            "score": explanation.score,
            "detection_accuracy": explanation.detection_accuracy,
            "coverage": explanation.coverage,
            "length": float(explanation.length),
            "concept_iou": explanation.concept_iou,
        }
        if explanation.upper_bound is not None:
            scores["upper_bound"] = explanation.upper_bound
        if by_chance is not None:
            scores |= {"chance_iou": by_chance.mean, "p_value": by_chance.p_value}
        found.append(Found(explanation.formula, scores))
    return found
