"""Forms over words: which logical form of a pair of sentences is true where a unit of a text classifier is active.

    target, pairs = load_text_target("pairs:runs/nli"), load_sentences("snli_1.0_dev.tok")
    atlas = describe_sentences(target, pairs, "atlas", vectors=load_vectors("runs/nli/vectors.txt"))
    atlas.units()                       # "hyp:tok:nobody OR pre:tok:man AND NOT oth:overlap:overlap25", …

Every pair is a picture of one pixel, so that the signature table and the search are those of images (Mu & Andreas
2020, section 5). A unit is active where it is above 0. Units active on fewer than 5 % of the pairs are not described.
NEIGHBORS(word) stands anywhere in a form; in the published code it can only come first.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float32
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from describer.atlas import Atlas
from describer.data.sentence_features import SentenceFeatures, sentence_features
from describer.data.sentences import SentencePairs, load_sentences
from describer.data.text_targets import (
    SentenceUnits,
    TextTarget,
    class_weights,
    load_text_target,
    penultimate,
    read_units,
)
from describer.data.wordvectors import WordVectors, load_vectors
from describer.description import Description
from describer.errors import ConceptsError, DescriberError
from describer.exemplars import Exemplars
from describer.manifest import LayerEntry, Manifest, Source
from describer.search.chance import draw_shifts
from describer.search.counts import UnitCounts
from describer.search.describers import TOLD_EVERY, FormSettings, Found, best_forms
from describer.search.dissection import Dissection, LayerDissection
from describer.search.signatures import SignatureTable

Progress = Callable[[str, int, int], None]
Font = ImageFont.FreeTypeFont | ImageFont.ImageFont
METHOD = "formula"


@dataclass(frozen=True)
class SentenceSettings:
    """How units are laid over the words of sentences."""

    threshold: float = 0.0
    "a unit is active above it"
    min_active: float = 0.05
    "least share of the pairs on which a unit must be active to be described (500 of 10,000 in the published code)"
    n_words: int = 2000
    "most frequent words and lemmas that are concepts"
    min_pairs: int = 5
    "pairs of which a concept must be true"
    n_neighbors: int = 5
    "words that NEIGHBORS adds"
    k: int = 15
    "pairs kept of every unit, the strongest"
    n_shifts: int = 3
    "times that activity is laid on other pairs, to learn what chance gives; 0 leaves it out"
    seed: int = 0
    "of the choice of the other pairs"

    def __post_init__(self) -> None:
        if not 0 <= self.min_active <= 1 or self.k < 1 or self.n_shifts < 0:
            got = f"min_active={self.min_active}, k={self.k}, n_shifts={self.n_shifts}"
            raise ConceptsError(f"min_active must be in 0..1, k at least 1, n_shifts at least 0. Got {got}. Change it.")


class SentenceLabels:
    """Features as labels of pictures of one pixel: what a signature table is made from."""

    size = (1, 1)

    def __init__(self, features: SentenceFeatures) -> None:
        self._held = features.held.tocsr()
        groups: dict[str, list[int]] = {}
        for column, category in enumerate(features.categories):
            groups.setdefault(category, []).append(column)
        self.names: Mapping[str, list[str]] = {
            category: ["", *(features.names[column] for column in columns)] for category, columns in groups.items()
        }
        self._place = {column: (c, i) for c, columns in groups.items() for i, column in enumerate(columns, 1)}

    def __len__(self) -> int:
        return self._held.shape[0]

    def labels(self, index: int, /) -> tuple[dict[str, np.ndarray], dict[str, list[int]]]:
        """No maps, and the features of pair `index` by category."""
        start, end = self._held.indptr[index : index + 2]
        found: dict[str, list[int]] = {}
        for column in self._held.indices[start:end].tolist():
            category, place = self._place[column]
            found.setdefault(category, []).append(place)
        return {}, found


class SentencePictures:
    """Pairs as pictures of their text, for the thumbnails of an atlas."""

    side = 224

    def __init__(self, pairs: SentencePairs) -> None:
        self.pairs = pairs

    def image(self, index: int, /) -> Image.Image:
        """Premise and hypothesis of pair `index` in black on white."""
        picture = Image.new("RGB", (self.side, self.side), "white")
        pen, font = ImageDraw.Draw(picture), ImageFont.load_default(14)
        said = [*_lines(self.pairs.premises[index], pen, font, self.side - 8), ""]
        said += _lines(f"→ {self.pairs.hypotheses[index]}", pen, font, self.side - 8)
        pen.multiline_text((4, 4), "\n".join(said), "black", font, spacing=2)
        return picture


def sentence_table(
    features: SentenceFeatures, vectors: WordVectors | None = None, n_neighbors: int = 5
) -> SignatureTable:
    """The signature table of the pairs' features, with NEIGHBORS where vectors are given."""
    table = SignatureTable.from_source(SentenceLabels(features))
    return table if vectors is None else table.with_neighbors(features.neighbors(vectors, n_neighbors))


def count_activity(
    table: SignatureTable, active: Bool[np.ndarray, "pairs units"], shifts: tuple[int, ...] = ()
) -> tuple[UnitCounts, tuple[UnitCounts, ...]]:
    """On how many pairs of every signature each unit is active; the same on the pairs that stand `shifts` further."""
    counter = table.counter(active.shape[1], shifts)
    for pair, row in enumerate(active):
        units = np.flatnonzero(row)
        counter.add(pair, np.ones((len(units), 1, 1), bool), units)
    return counter.result(), tuple(counter.shifted())


def describe_sentences(
    target: TextTarget,
    pairs: SentencePairs,
    out: str | Path,
    layer: str | None = None,
    vectors: WordVectors | None = None,
    settings: SentenceSettings | None = None,
    forms: FormSettings | None = None,
    progress: Progress | None = None,
    say: Callable[[str], None] | None = None,
) -> Atlas:
    """Describes the units of a layer (default: the penultimate one) with forms, and keeps it all in an atlas.

    The same call again returns at once. `say` is told notes for the person, such as that there is no tagger.
    """
    settings, forms = settings or SentenceSettings(), forms or FormSettings(max_length=5)
    report, say = progress or _silent, say or _unsaid
    layer = layer or penultimate(target)
    wanted = _manifest(target, pairs, layer, vectors, settings, forms)
    with Atlas.create(out, wanted) as atlas:
        if METHOD not in atlas.entry(layer).methods:
            found = read_units(target, pairs, layer, progress=lambda done, total: report("probing", done, total))
            if not atlas.entry(layer).probed:
                atlas.write_exemplars(strongest(found, settings), SentencePictures(pairs))
            laid = lay(target, pairs, found, Path(out) / "concepts", vectors, settings, report, say)
            told = _descriptions(laid, layer, settings, forms, report)
            weights = class_weights(target, found)
            atlas.write_descriptions(layer, METHOD, [_weighed(each, target.class_names, weights) for each in told])
    return Atlas.open(out)


def describe_files(
    out: str | Path,
    model: str,
    pairs: str,
    method: str | None = None,
    layers: Sequence[str] | None = None,
    vectors: str | Path | None = None,
    device: str = "cpu",
    masks: Mapping[str, Any] | None = None,
    search: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
    say: Callable[[str], None] | None = None,
) -> Atlas:
    """What `describer describe MODEL PAIRS` does: `describe_sentences` from what is written on the command line."""
    if method not in (None, METHOD):
        raise DescriberError(f"method must be {METHOD} for sentences. Got {method!r}. Leave it out.")
    if layers and len(layers) > 1:
        raise DescriberError(f"layers must be one for sentences. Got {', '.join(layers)}. Describe each by itself.")
    target, sentences = load_text_target(model, device), load_sentences(pairs)
    table = None if vectors is None else load_vectors(vectors)
    settings, forms = SentenceSettings(**(masks or {})), FormSettings(**({"max_length": 5} | dict(search or {})))
    layer = layers[0] if layers else None
    return describe_sentences(target, sentences, out, layer, table, settings, forms, progress, say)


def lay(
    target: TextTarget,
    pairs: SentencePairs,
    found: SentenceUnits,
    folder: str | Path,
    vectors: WordVectors | None,
    settings: SentenceSettings,
    report: Progress,
    say: Callable[[str], None],
) -> Dissection:
    """The dissection of one layer, in a folder under `folder`: which signatures of words every unit is active on."""
    key = {
        "format": 1,
        "concepts": pairs.source,
        "fingerprint": pairs.fingerprint,
        "model": target.fingerprint,
        "vectors": None if vectors is None else vectors.fingerprint,
        **asdict(settings),
    }
    dissection = Dissection.create(Path(folder), key)
    if dissection.has(found.layer):
        return dissection
    report("reading words", 0, 1)
    features = sentence_features(pairs, settings.n_words, settings.min_pairs)
    for note in features.notes:
        say(note)
    table = sentence_table(features, vectors, settings.n_neighbors)
    report("reading words", 1, 1)
    whole, _ = count_activity(table, np.eye(len(pairs), dtype=bool))
    dissection.write_table(table, list(range(len(pairs))), whole)
    active = (found.values > settings.threshold).numpy()
    shifts = draw_shifts(len(pairs), settings.n_shifts, settings.seed) if settings.n_shifts and len(pairs) > 1 else ()
    counts, shifted = count_activity(table, active, tuple(shifts))
    dissection.write_layer(LayerDissection(strongest(found, settings), counts, shifted, active))
    return dissection


def strongest(found: SentenceUnits, settings: SentenceSettings) -> Exemplars:
    """The k pairs on which every unit is strongest, as exemplars of one cell; equal ones in the order of the pairs."""
    values: Float32[Tensor, "pairs units"] = found.values
    k = min(settings.k, len(values))
    order = torch.argsort(values, dim=0, descending=True, stable=True)[:k].T.contiguous()  # (units, k)
    activations = values.T.gather(1, order)
    n_units = values.shape[1]
    return Exemplars(
        layer=found.layer,
        unit_ids=torch.arange(n_units),
        images=order,
        activations=activations,
        maps=activations[:, :, None, None].clone(),
        threshold=torch.full((n_units,), settings.threshold),
        dead=values.amax(0) == values.amin(0),
    )


def described(active: Bool[np.ndarray, "pairs units"], min_active: float) -> np.ndarray:
    """Units that are active on enough of the pairs to be described, ascending."""
    return np.flatnonzero(active.mean(0) >= min_active)


def _descriptions(
    laid: Dissection, layer: str, settings: SentenceSettings, forms: FormSettings, report: Progress
) -> list[Description]:
    """One description a unit; of those that are hardly ever active, without words."""
    dissected = laid.layer(layer)
    units = described(dissected.fires, settings.min_active)
    found: dict[int, Found] = {}
    report("searching", 0, len(units))
    for start in range(0, len(units), TOLD_EVERY):
        part = units[start : start + TOLD_EVERY]
        found |= dict(zip(part.tolist(), best_forms(laid, dissected, part, forms), strict=True))
        report("searching", start + len(part), len(units))
    share, descriptions = dissected.fires.mean(0), []
    for unit in range(dissected.fires.shape[1]):
        form = found[unit].form if unit in found else None
        scores = {"active": float(share[unit])} | (found[unit].scores if unit in found else {})
        text = None if form is None else str(form)
        descriptions.append(Description(layer, unit, text, METHOD, scores, formula=text))
    return descriptions


def _weighed(told: Description, class_names: Sequence[str], weights: Tensor | None) -> Description:
    """The description with the unit's weight to every class, where the classes read the unit."""
    if weights is None:
        return told
    scores = {f"weight {name}": float(w) for name, w in zip(class_names, weights[:, told.unit], strict=True)}
    return replace(told, scores={**told.scores, **scores})


def _manifest(
    target: TextTarget,
    pairs: SentencePairs,
    layer: str,
    vectors: WordVectors | None,
    settings: SentenceSettings,
    forms: FormSettings,
) -> Manifest:
    probe = SentencePairs("probe", ("a man runs",), ("a man",), (None,))
    n_units = read_units(target, probe, layer).values.shape[1]
    return Manifest(
        model=Source(target.name, target.fingerprint),
        images=Source(pairs.source, pairs.fingerprint),
        n_images=len(pairs),
        options={"k": settings.k, "threshold": settings.threshold},
        layers=(LayerEntry(layer, 0, n_units, 1, 1),),
        methods={METHOD: {**asdict(settings), **asdict(forms), "vectors": vectors.fingerprint if vectors else None}},
    )


def _lines(text: str, pen: ImageDraw.ImageDraw, font: Font, width: int) -> list[str]:
    """Words broken into lines that fit."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and pen.textlength(longer, font) > width:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines


def _silent(stage: str, done: int, total: int) -> None:
    """Progress for nobody."""


def _unsaid(_note: str) -> None:
    """Notes for nobody."""
