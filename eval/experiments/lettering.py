"""Words painted into pictures, as pictures, as a concept with a known place, and as the spurious feature they become.

    painted, mask = paint(pixels, "beach", np.random.default_rng(0))     # mask: the pixels that the letters changed
    own = own_words(labels, names, share=0.5, seed=0)                    # half of the pictures say what they show
    wrong = wrong_words(labels, names, seed=0)                           # each says what it does not show
    images = LetteredImages(base, own, side=64, seed=0)                  # an image set; images.box(7) is where
    concepts = LetteredConcepts(images, below=None)                      # object:text, and every pixel's colour

The letters are those that Pillow carries, a fifth of the picture high and smaller where a word is too long, white on a
black rim or black on a white one, anywhere in the picture.
"""

import hashlib
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from jaxtyping import Bool, Int, Int64, UInt8
from PIL import Image, ImageDraw, ImageFont

from describer.data.concepts.computed import ColorConcepts
from describer.data.concepts.labels import ConceptSet, ImageLabels
from describer.data.images import ImageSet
from describer.errors import ImagesError

TEXT = "text"
"The name of the concept, in the category object."
HEIGHT = 1 / 5
"Of the letters' font, as a share of the picture."
SMALLEST = 4
"Pixels of a font below which no word can be read."
Pixels = UInt8[np.ndarray, "height width 3"]


def paint(picture: Pixels, word: str, rng: np.random.Generator) -> tuple[Pixels, Bool[np.ndarray, "height width"]]:
    """A copy with the word painted in at a random place, and which pixels that changed; ImagesError where it is no fit.

    The word is whole and upright.
    """
    height, width = picture.shape[:2]
    canvas = Image.fromarray(picture)
    draw = ImageDraw.Draw(canvas)
    for size in range(max(round(HEIGHT * height), SMALLEST), SMALLEST - 1, -1):
        font = ImageFont.load_default(size)
        left, top, right, bottom = (round(edge) for edge in draw.textbbox((0, 0), word, font, stroke_width=1))
        if right - left <= width and bottom - top <= height:
            break
    else:
        message = f"A word must fit into a picture of {width}x{height} pixels. Got {word!r}"
        raise ImagesError(f"{message}. Enlarge the pictures.")
    place = (
        int(rng.integers(0, width - (right - left) + 1)) - left,
        int(rng.integers(0, height - (bottom - top) + 1)) - top,
    )
    colors = ((255, 255, 255), (0, 0, 0))
    bright = int(rng.integers(2))
    draw.text(place, word, colors[bright], font, stroke_width=1, stroke_fill=colors[1 - bright])
    painted = np.asarray(canvas)
    return painted, (painted != picture).any(-1)


def own_words(
    labels: Int64[np.ndarray, " pictures"], names: Sequence[str], share: float = 0.5, seed: int = 0
) -> list[str | None]:
    """The class's own name for a share of the pictures, chosen at random and rounded; None for the others."""
    chosen = np.random.default_rng((seed, 1)).permutation(len(labels))[: round(share * len(labels))]
    lettered = np.zeros(len(labels), bool)
    lettered[chosen] = True
    return [names[label] if has else None for label, has in zip(labels.tolist(), lettered.tolist(), strict=True)]


def wrong_words(labels: Int64[np.ndarray, " pictures"], names: Sequence[str], seed: int = 0) -> list[str | None]:
    """For every picture the name of another class, each as likely."""
    steps = np.random.default_rng((seed, 2)).integers(1, len(names), len(labels))
    return [names[(label + step) % len(names)] for label, step in zip(labels.tolist(), steps.tolist(), strict=True)]


class LetteredImages(ImageSet):
    """Pictures squashed to a square, with a word each, or None for none; the same each time."""

    def __init__(self, base: ImageSet, words: Sequence[str | None], side: int, seed: int = 0) -> None:
        assert len(words) == len(base), "one word or None a picture"
        self.base, self.words, self.side, self.seed = base, tuple(words), side, seed
        self.source = f"{base.source}, lettered"
        self.painted = lru_cache(maxsize=8)(self._paint)

    def __len__(self) -> int:
        return len(self.base)

    def image(self, index: int) -> Image.Image:
        """The picture with its word."""
        return Image.fromarray(self.painted(index)[0])

    def anew(self, rng: np.random.Generator) -> "LetteredImages":
        """The same pictures with the same words elsewhere."""
        return LetteredImages(self.base, self.words, self.side, int(rng.integers(2**62)))

    def box(self, index: int) -> Bool[np.ndarray, "side side"]:
        """The smallest upright rectangle around the letters, as people outline text; empty where there are none."""
        mask = self.painted(index)[1]
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        found = np.zeros_like(mask)
        if len(rows):
            found[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] = True
        return found

    def _paint(self, index: int) -> tuple[Pixels, Bool[np.ndarray, "side side"]]:
        picture = self.base.image(index).convert("RGB")
        if picture.size != (self.side, self.side):
            picture = picture.resize((self.side, self.side), Image.Resampling.BICUBIC)
        pixels, word = np.asarray(picture), self.words[index]
        if word is None:
            return pixels, np.zeros(pixels.shape[:2], bool)
        return paint(pixels, word, np.random.default_rng((self.seed, index)))

    def _digest(self) -> str:
        """Also of how this version of Pillow draws letters."""
        told = f"{self.base.fingerprint} {self.words} {self.side} {self.seed}"
        digest = hashlib.sha256(told.encode())
        for index in [number for number, word in enumerate(self.words) if word is not None][:3]:
            digest.update(self.painted(index)[0].tobytes())
        return digest.hexdigest()


def fitted(ids: Int[np.ndarray, "_ _"], side: int) -> Int[np.ndarray, "side side"]:
    """A label map of a whole picture at another resolution: what is at the middle of every cell."""
    height, width = ids.shape
    middles = np.arange(side) + 0.5
    return ids[(middles * height / side).astype(int)[:, None], (middles * width / side).astype(int)]


class LetteredConcepts(ConceptSet):
    """What is in lettered pictures: `text` where the letters are, colours of all pixels, and what `below` labels.

    The letters hide what is below them.
    """

    def __init__(self, images: LetteredImages, below: ConceptSet | None = None) -> None:
        assert below is None or len(below) == len(images)
        self.images, self.below, self.source = images, below, f"{images.source}: text"
        self._box = images.box
        self._colors = ColorConcepts(images)
        labelled = {} if below is None else dict(below.names)
        objects = labelled.get("object", ("",))
        self.names = {**labelled, "object": (*objects, TEXT), **self._colors.names}

    def _read(self, index: int) -> ImageLabels:
        box = self._box(index)
        known = ImageLabels() if self.below is None else self.below.labels(index)
        maps = {
            category: tuple(np.where(box, 0, fitted(ids, len(box))).astype(np.int32) for ids in layers)
            for category, layers in known.maps.items()
        }
        text = len(self.names["object"]) - 1
        empty = np.zeros(box.shape, np.int32)
        objects = maps.get("object") or (empty,)
        maps["object"] = (np.where(box, text, objects[0]).astype(np.int32), *objects[1:])
        return ImageLabels({**maps, **self._colors.labels(index).maps}, known.scalars)

    def _digest(self) -> str:
        return f"text {'' if self.below is None else self.below.fingerprint}"
