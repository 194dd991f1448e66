"""Which pixels of any pictures show a concept: what an edit is measured with.

segmenter = Segmenter("colors")                 # carried:segmenter, hf-seg:MODEL, or several with commas
segmenter.concept("brown birds")                # ("color", 11), the concept that the words name
segmenter.labels(pictures)["color"]             # (pictures, height, width) ids, 0 = unlabelled
"""

import hashlib
from collections.abc import Mapping

import numpy as np
from jaxtyping import Bool, Int, UInt8
from PIL import Image

from describer.data.concepts import COLORS, load_concepts
from describer.data.concepts.computed import CARRIED
from describer.data.concepts.labels import Names
from describer.data.images import ImageSet
from describer.errors import ConceptsError
from describer.eval.control.choice import asked, words
from describer.scenesegmenter import carried_segmenter

Labels = Mapping[str, Int[np.ndarray, "pictures height width"]]
Concept = tuple[str, int]


class HeldPictures(ImageSet):
    """Pictures in memory as an image set."""

    source = "drawn pictures"

    def __init__(self, pixels: UInt8[np.ndarray, "pictures height width 3"]):
        self.pixels = pixels

    def __len__(self) -> int:
        return len(self.pixels)

    def image(self, index: int) -> Image.Image:
        """Picture `index`."""
        return Image.fromarray(self.pixels[index])

    def _digest(self) -> str:
        return hashlib.sha256(self.pixels.tobytes()).hexdigest()


class Segmenter:
    """Labels computed from pictures alone; ImagesError for a source that brings pictures of its own."""

    def __init__(self, source: str, device: str = "cpu"):
        self.source = source
        kinds = [part.strip() for part in source.split(",")]
        if not all(kind in (*COLORS, CARRIED) or kind.startswith("hf-seg:") for kind in kinds):
            message = f"A segmenter must be colors, {CARRIED}, hf-seg:MODEL or several with commas. Got {source!r}"
            raise ConceptsError(f"{message}. Correct it.")
        rest = [kind for kind in kinds if kind != CARRIED]
        self._carried = carried_segmenter().to(device) if CARRIED in kinds else None
        self._held = HeldPictures(np.zeros((1, 8, 8, 3), np.uint8))
        self._concepts = load_concepts(",".join(rest), self._held, device) if rest else None
        own: Names = self._carried.names if self._carried else {}
        others: Names = self._concepts.names if self._concepts else {}
        if twice := set(own) & set(others):
            message = f"Segmenters must not both name the same category. Got {twice.pop()!r} twice in {source!r}"
            raise ConceptsError(f"{message}. Leave one out.")
        self.names = dict(own) | dict(others)

    def concept(self, query: str) -> Concept | None:
        """The concept whose name's words all stand in the query; of several the longest name."""
        wanted = asked(query)
        listed = [(cat, i) for cat, by_id in self.names.items() for i, name in enumerate(by_id) if name]
        fitting = [(cat, i) for cat, i in listed if (own := words(self.names[cat][i])) and own <= wanted]
        return max(fitting, key=lambda each: len(self.names[each[0]][each[1]]), default=None)

    def needed(self, query: str, option: str) -> Concept:
        """The concept that an option cannot do without; ConceptsError where the query names none."""
        concept = self.concept(query)
        if concept is None:
            names = ", ".join(name for by_id in self.names.values() for name in by_id if name)
            message = f"{option} must be for a concept of the segmenter. Got {query!r}"
            raise ConceptsError(f"{message}. It has: {names}.")
        return concept

    def is_learnt(self, category: str) -> bool:
        """Whether a network names what is of the category, which knows only pictures like those it was trained on."""
        return category != "color"

    def labels(self, pictures: UInt8[np.ndarray, "pictures height width 3"], category: str | None = None) -> Labels:
        """The first label of every pixel in every category; where only one is wanted, others may be left out."""
        found: Labels = {}
        if self._carried is not None and category in (None, *self._carried.names):
            found = self._carried.labels(pictures)
        if self._concepts is None or category in found:
            return found
        self._held.pixels = pictures
        listed: dict[str, list[np.ndarray]] = {name: [] for name in self._concepts.names}
        for index in range(len(pictures)):
            maps = self._concepts.labels(index).maps
            for name, each in listed.items():
                each.append(np.asarray(maps[name][0], np.int32))
        return dict(found) | {name: np.stack(maps) for name, maps in listed.items()}

    def present(self, labels: Labels, concept: Concept) -> Bool[np.ndarray, "pictures height width"]:
        """Where the concept is."""
        return labels[concept[0]] == concept[1]
