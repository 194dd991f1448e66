"""A classifier with its units laid over concepts, and with what it says of labelled inputs: vision and text alike.

subject = vision_subject(target, concepts, labelled, truth, "layer4", folder)
subject = text_subject(target, pairs, folder, vectors)
subject.fires[:, 3] & (subject.predicted == subject.truth)       # inputs told right while unit 3 is active
subject.forms(max_length=3)                                        # one Explanation a unit of subject.rows
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn
from torch.utils.data import DataLoader

from describer.data.concepts import ConceptSet, ImageLabels
from describer.data.drawn import DrawnImages
from describer.data.images import ImageSet, load_images
from describer.data.sentences import SentencePairs
from describer.data.targets import Target
from describer.data.text_targets import TextTarget, class_weights, read_units
from describer.data.wordvectors import WordVectors
from describer.describe import example_of
from describer.errors import ImagesError, TargetError
from describer.hooks import observed
from describer.layout import UnitLayout, unit_layout
from describer.search.dissect import DissectSettings, dissect
from describer.search.dissection import Dissection
from describer.search.formulas import Explanation, search_formulas
from describer.search.lengths import search_lengths
from describer.search.sentences import SentenceSettings, described, lay

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, eq=False)
class Subject:
    """A classifier, its units over concepts, and what it says of labelled inputs."""

    layer: str
    "whose units are meant"
    class_names: tuple[str, ...]
    weights: Float[Tensor, "classes units"]
    "of the last linear layer, which reads the layer's units"
    laid: Dissection
    "the units over the concepts"
    rows: Int64[np.ndarray, " rows"]
    "units worth a form, ascending"
    fires: Bool[np.ndarray, "inputs units"]
    "of the labelled inputs: whether each unit is active there"
    logits: Float[np.ndarray, "inputs classes"]
    "what the classifier says of them"
    truth: Int64[np.ndarray, " inputs"]
    "-1 where it is not known"

    @property
    def predicted(self) -> Int64[np.ndarray, " inputs"]:
        """The class that is said of every labelled input."""
        return self.logits.argmax(1)

    def forms(self, max_length: int, beam_size: int = 10) -> list[Explanation]:
        """The best form of every unit of `rows`, of up to `max_length` concepts."""
        counts = self.laid.layer(self.layer).counts.subset(self.rows)
        return search_formulas(self.laid.table, counts, max_length=max_length, beam_size=beam_size)

    def forms_by_length(self, max_length: int, by_chance: bool = False) -> list[list[Explanation]]:
        """For every length from 1 what `forms` gives; `by_chance` for masks laid on the labels of other inputs."""
        layer = self.laid.layer(self.layer)
        counts = layer.shifted[0] if by_chance else layer.counts
        return search_lengths(self.laid.table, counts.subset(self.rows), max_length)

    def sampled(self, n_units: int | None, seed: int = 0) -> "Subject":
        """The same with so many of the rows, drawn at random; all where there are no more."""
        if n_units is None or n_units >= len(self.rows):
            return self
        rows = np.random.default_rng(seed).choice(self.rows, n_units, replace=False)
        return replace(self, rows=np.sort(rows))


def vision_subject(
    target: Target,
    concepts: ConceptSet,
    labelled: ImageSet,
    truth: Int64[np.ndarray, " inputs"],
    layer: str,
    folder: str | Path,
    settings: DissectSettings | None = None,
    progress: Progress | None = None,
) -> Subject:
    """Units of a layer that the last linear layer reads through pooling; active: anywhere above the threshold."""
    laid = dissect(target, concepts, [layer], folder, settings, progress=progress)
    exemplars = laid.layer(layer).exemplars
    head = class_head(target)
    if head.in_features != len(exemplars):
        message = f"{layer} must be what the last linear layer reads, {head.in_features} units"
        raise TargetError(f"{message}. Got {len(exemplars)}. Choose the layer before it, with all of its units.")
    highest, logits = look(target, labelled, layer, progress)
    fires = (highest > exemplars.threshold.numpy()) & ~exemplars.dead.numpy()
    living = np.flatnonzero(~exemplars.dead.numpy() & (laid.layer(layer).counts.areas > 0))
    names = tuple(target.class_names or map(str, range(head.out_features)))
    return Subject(layer, names, head.weight.detach().float().cpu(), laid, living, fires, logits, truth)


def text_subject(
    target: TextTarget,
    pairs: SentencePairs,
    folder: str | Path,
    vectors: WordVectors | None = None,
    settings: SentenceSettings | None = None,
    progress: Progress | None = None,
) -> Subject:
    """Penultimate units of a classifier of sentence pairs; the pairs are what they are laid over and judged by."""
    settings, report = settings or SentenceSettings(), progress or _silent
    found = read_units(target, pairs, progress=lambda done, total: report("reading pairs", done, total))
    weights = class_weights(target, found)
    if weights is None:
        raise TargetError(f"{target.name} must read its penultimate layer linearly. Got another end. Choose another.")
    laid = lay(target, pairs, found, folder, vectors, settings, report, lambda _: None)
    fires = laid.layer(found.layer).fires
    place = {name: number for number, name in enumerate(target.class_names)}
    truth = np.array([place.get(label or "", -1) for label in pairs.labels], np.int64)
    rows = described(fires, settings.min_active).astype(np.int64)
    return Subject(found.layer, target.class_names, weights, laid, rows, fires, found.logits.numpy(), truth)


def load_truth(
    source: str, images: ImageSet, column: str | None, class_names: Sequence[str]
) -> Int64[np.ndarray, " n"]:
    """The class of every picture: kinds of drawn scenes, or a column of the Parquet files, by name or index."""
    if isinstance(images, DrawnImages):
        return np.array([images.scenes.scene(index).scene_kind - 1 for index in range(len(images))], np.int64)
    if column is None:
        raise ImagesError(f"{source} must have a column with classes. Got no name for it. Give --label-column.")
    files = [Path(part) for part in source.split(",")]
    found = [path for part in files for path in ([part] if part.is_file() else sorted(part.parent.glob(part.name)))]
    try:
        values = [value for path in found for value in pq.read_table(path, columns=[column])[column].to_pylist()]
    except (KeyError, OSError, ValueError) as fault:
        raise ImagesError(f"{source} must have the column {column}. Got: {fault}. Correct the name.") from fault
    place = {name: number for number, name in enumerate(class_names)}
    return np.array([value if isinstance(value, int) else place.get(str(value), -1) for value in values], np.int64)


def class_head(target: Target) -> nn.Linear:
    """The linear layer whose output is the model's; TargetError where there is none."""
    linear = {name: module for name, module in target.model.named_modules() if isinstance(module, nn.Linear)}
    said: dict[str, Any] = {}
    with observed(target.model, list(linear), said.__setitem__):
        logits = target.model(example_of(target))
    for name, output in said.items():
        if isinstance(logits, Tensor) and output.shape == logits.shape and torch.equal(output, logits):
            return linear[name]
    raise TargetError(f"{target.name} must end in a linear layer. Got another end. Choose another classifier.")


def look(
    target: Target, images: ImageSet, layer: str, progress: Progress | None = None, batch_size: int = 16
) -> tuple[Float[np.ndarray, "images units"], Float[np.ndarray, "images classes"]]:
    """Every unit's highest activation in each picture, and the logits."""
    highest, said = [], []
    with Watch(target, layer) as watch:
        for samples in DataLoader(images.inputs(target.preprocess), batch_size=batch_size, collate_fn=list):
            if any(x is None for _, x in samples):
                raise ImagesError(f"{images.source} must be readable. Got a picture that is not. Leave it out.")
            logits, maps = watch(torch.stack([x for _, x in samples]))
            highest.append(maps.flatten(2).amax(2).numpy())
            said.append(logits.numpy())
            if progress:
                progress("judging", min(len(said) * batch_size, len(images)), len(images))
    return np.concatenate(highest), np.concatenate(said)


class FewerConcepts(ConceptSet):
    """A concept set without some of its categories."""

    def __init__(self, concepts: ConceptSet, without: Sequence[str]) -> None:
        if unknown := sorted(set(without) - set(concepts.names)):
            message = f"categories to leave out must be of the concepts: {', '.join(concepts.names)}"
            raise ImagesError(f"{message}. Got {unknown[0]}. Correct it.")
        self.source, self.images, self._whole = concepts.source, concepts.images, concepts
        self.names = {category: names for category, names in concepts.names.items() if category not in without}

    def _read(self, index: int) -> ImageLabels:
        labels = self._whole.labels(index)
        maps = {category: found for category, found in labels.maps.items() if category in self.names}
        return ImageLabels(maps, {c: found for c, found in labels.scalars.items() if c in self.names})

    def _digest(self) -> str:
        return self._whole.fingerprint


class Watch:
    """Runs a target on inputs and gives (logits, maps of one layer), on the processor, in eval mode."""

    def __init__(self, target: Target, layer: str) -> None:
        self.target, self.layer = target, layer
        self._seen: dict[str, Tensor] = {}
        self._layout: UnitLayout | None = None
        self._shape: tuple[int, ...] = ()
        self._device = next(target.model.parameters()).device

    def __enter__(self) -> "Watch":
        self._context = observed(self.target.model, [self.layer], self._see)
        self._context.__enter__()
        return self

    def __exit__(self, *fault: Any) -> None:
        self._context.__exit__(*fault)

    def __call__(
        self, inputs: Float[Tensor, "batch channels height width"]
    ) -> tuple[Float[Tensor, "batch classes"], Float[Tensor, "batch units h w"]]:
        """Logits, and what the units gave."""
        self._shape = tuple(inputs.shape[1:])
        logits = self.target.model(inputs.to(self._device))
        return logits.float().cpu(), self._seen[self.layer].cpu()

    def _see(self, name: str, output: Any) -> None:
        if self._layout is None:
            self._layout = unit_layout(self.target.model, name, output, self._shape)
        self._seen[name] = self._layout(output).float().clone()  # what follows may work in place


def open_vision(
    model: str, concepts: str, layer: str, folder: str | Path, progress: Progress,
    labelled: str | None = None, column: str | None = None, without: Sequence[str] = (), n_shifts: int = 1,
) -> tuple[Target, ConceptSet, Subject]:  # fmt: skip
    """A vision subject from what is written on a command line; `without` names categories of concepts to leave out.

    It is judged on the concepts' own pictures where no others are given.
    """
    from describer.data.concepts import load_concepts
    from describer.data.targets import load_target

    target, labels = load_target(model), load_concepts(concepts)
    labels = FewerConcepts(labels, without) if without else labels
    images = labels.images if labelled is None else load_images(labelled)
    names = target.class_names or ()
    known = labelled is not None or isinstance(images, DrawnImages)
    truth = load_truth(labelled or concepts, images, column, names) if known else np.full(len(images), -1)
    settings = DissectSettings(n_shifts=n_shifts)  # one is enough for the mean over units of what chance gives
    return target, labels, vision_subject(target, labels, images, truth, layer, folder, settings, progress)


def open_text(
    model: str, pairs: str, vectors: Path | None, folder: str | Path, progress: Progress
) -> tuple[TextTarget, SentencePairs, Subject]:
    """Everything of a text subject from what is written on a command line."""
    from describer.data.sentences import load_sentences
    from describer.data.text_targets import load_text_target
    from describer.data.wordvectors import load_vectors

    target, sentences = load_text_target(model), load_sentences(pairs)
    table = None if vectors is None else load_vectors(vectors)
    return target, sentences, text_subject(target, sentences, folder, table, progress=progress)


def parts(text: str | None) -> list[str]:
    """The parts of a text with commas between."""
    return [part.strip() for part in (text or "").split(",") if part.strip()]


def _silent(stage: str, done: int, total: int) -> None:
    """Progress for nobody."""
