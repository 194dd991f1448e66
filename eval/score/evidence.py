"""What units answer on images that no description was made from, and what texts foretell for the same images.

evidence = atlas_evidence(Atlas.open("atlas"))            # answers on the judging half of the probe set
evidence.activations([("layer4", 483)])                   # (units, images)
hear = Hearing(load_listener(), images, evidence.images)  # a judge with ears
see = Labelling(load_concepts("…"), evidence.images)       # a judge without: labels
foretold(hear, texts)                                     # (texts, images) in 0..1; a text of None is 0 everywhere
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from describer.atlas import Atlas
from describer.data.concepts import ConceptSet
from describer.description import ImageSource
from describer.errors import AtlasError, ConceptsError
from describer.eval.grounding import Grounder, where_held
from describer.eval.score.descriptions import Unit
from describer.listener import ListenerLike

POOLINGS = ("peaks", "means")
"How the places of a map become one number: the highest, or the mean."
AT_A_TIME = 64
"Pictures that are held while a listener looks at them."


@dataclass(frozen=True, eq=False)
class Evidence:
    """Answers of the units of some layers on the same images."""

    where: str
    "what was asked, as messages call it"
    layers: Mapping[str, Float[np.ndarray, "_ images"]]
    "layer -> a row a unit"
    rows: Mapping[str, Mapping[int, int]]
    "layer -> unit -> its row"
    images: tuple[int, ...]
    "indices into the probe set"

    def activations(self, units: Sequence[Unit]) -> Float[np.ndarray, "units images"]:
        """The answers of units, in their order."""
        found = np.empty((len(units), len(self.images)), np.float32)
        for row, (layer, unit) in enumerate(units):
            found[row] = self.layers[layer][self.rows[layer][unit]]
        return found


def atlas_evidence(atlas: Atlas, pooling: str = "means") -> Evidence:
    """The answers that an atlas keeps; AtlasError where it was made without a judge."""
    layers, rows, images = {}, {}, None
    for entry in atlas.meta.layers:
        responses = atlas.responses(entry.name) if entry.probed else None
        if responses is None:
            continue
        layers[entry.name] = (responses.peaks if pooling == "peaks" else responses.means).numpy()
        rows[entry.name] = {int(unit): row for row, unit in enumerate(responses.unit_ids)}
        shown = tuple(responses.images.tolist())
        if images not in (None, shown):
            raise AtlasError(f"{atlas.path} must have judged all layers on the same images. Got others. Describe anew.")
        images = shown
    if images is None:
        message = f"{atlas.path} must keep what units answer on images that judge. Got none"
        raise AtlasError(f"{message}. Describe the model with a judge, on at least 40 images.")
    return Evidence(str(atlas.path), layers, rows, images)


@runtime_checkable
class Foreteller(Protocol):
    """Says for texts on which images of the evidence they hold."""

    @property
    def name(self) -> str:
        """What reports call it."""

    def __call__(self, texts: Sequence[str]) -> Float[np.ndarray, "texts images"]:
        """How sure each text is of each image, 0..1."""


class Hearing:
    """A listener that has seen the images; `templates` such as "a photo of {}" are averaged text by text."""

    def __init__(
        self, listener: ListenerLike, images: ImageSource, indices: Sequence[int], templates: Sequence[str] = ("{}",)
    ):
        self.name, self.listener, self.templates = f"listener {listener.name}", listener, templates
        parts = [
            listener.embed_images([images.image(i) for i in indices[start : start + AT_A_TIME]]).float().cpu()
            for start in range(0, len(indices), AT_A_TIME)
        ]
        self.images = torch.cat(parts)  # (images, dims)

    def __call__(self, texts: Sequence[str]) -> Float[np.ndarray, "texts images"]:
        """Calibrated probabilities that each text is true of each image."""
        heard = embedded(self.listener, texts, self.templates)
        return self.listener.simulate(heard, self.images).float().cpu().numpy()


def embedded(listener: ListenerLike, texts: Sequence[str], templates: Sequence[str]) -> Float[Tensor, "texts dims"]:
    """Each text's mean over the templates, at length 1: the list is made text by text, and cut text by text."""
    said = [template.replace("{}", text) for text in texts for template in templates]
    vectors = listener.embed_texts(said).float().cpu()
    mean = vectors.unflatten(0, (len(texts), len(templates))).mean(1)  # (texts, dims)
    return torch.nn.functional.normalize(mean, dim=1)


class Labelling:
    """Labels of the same pictures, by which texts are read as forms; no network has a say."""

    def __init__(
        self, concepts: ConceptSet, indices: Sequence[int], progress: Callable[[int, int], None] | None = None
    ):
        self.name, self.concepts, self.indices, self.progress = f"labels {concepts.source}", concepts, indices, progress
        self.grounder = Grounder(concepts.names)
        if indices and max(indices) >= len(concepts):
            message = f"labels must be of the {max(indices) + 1} images of the probe set. Got {len(concepts)}"
            raise ConceptsError(f"{message}. Give concepts of the same pictures.")

    def __call__(self, texts: Sequence[str]) -> Float[np.ndarray, "texts images"]:
        """1 where a text holds by the labels, else 0; a text of no concept holds nowhere."""
        readings = [self.grounder.read(text) for text in texts]
        return where_held(readings, self.concepts, self.indices, progress=self.progress)


def foretold(foretell: Foreteller, texts: Sequence[str | None]) -> Float[np.ndarray, "texts images"]:
    """What each text foretells, every different one asked once; 0 everywhere where there is none."""
    different = sorted({text for text in texts if text is not None})
    table = foretell(different or [""]).astype(np.float32)
    table = np.concatenate((table, np.zeros_like(table[:1])))
    place = {text: row for row, text in enumerate(different)}
    return table[[len(table) - 1 if text is None else place[text] for text in texts]]
