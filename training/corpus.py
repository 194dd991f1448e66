"""What the captioner and the listener learn from: pictures, regions, what people said of them, phrases they share.

    corpus = concat([read_captions(paths, folds=range(6)), read_textures(paths, folds=range(6))])
    corpus.images[corpus.region_image[0]]      # the picture of region 0, (3, 160, 160) uint8
    corpus.phrases["brown dogs"]               # ids of the regions of which people said so
    corpus.save("corpus"); Corpus.load("corpus")

A region is a picture and a coverage mask; `texts` are the words of several people about it. A phrase shared by K
regions is a set-level example (K regions → the phrase); `sets` are ready-made ones (MILANNOTATIONS). Everything is in
memory: 77 kB a picture, 1 kB a region. Which pictures a source may use is decided by `folds` (see `split_of`).
"""

import hashlib
import json
import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from jaxtyping import Int32, Int64, UInt8
from PIL import Image

from describer.errors import RecipeError

IMAGE_SIZE = 160
MASK_SIZE = 32
FORMAT_VERSION = 1


def split_of(name: str | bytes) -> int:
    """The fold 0..9 of a picture: md5 of its file name (of its bytes where it has no name) modulo 10.

    Flickr8k's own rule: 8 is val, 9 is test. The captioner learns from 0..5, the listener from 6 and 7.
    """
    raw = name.encode() if isinstance(name, str) else name
    return int(hashlib.md5(raw, usedforsecurity=False).hexdigest(), 16) % 10


@dataclass(frozen=True, eq=False)
class Corpus:
    """Pictures, their regions and words; made by the sources, put together by `concat`."""

    images: UInt8[np.ndarray, "images 3 160 160"]
    "RGB, the whole picture squashed to 160 x 160, antialiased"
    region_image: Int32[np.ndarray, " regions"]
    "the picture of each region"
    region_mask: UInt8[np.ndarray, "regions 32 32"]
    "coverage 0..255, the area average of the exact mask; 255 everywhere is the whole picture"
    texts: tuple[tuple[str, ...], ...]
    "what people wrote of each region; may be empty"
    source: tuple[str, ...]
    "the name of the source of each region"
    phrases: Mapping[str, Int64[np.ndarray, " _"]] = field(default_factory=dict)
    "a phrase in set form (`phrases.canonical`) → ids of the regions of which it was said, ascending"
    sets: tuple[tuple[Int64[np.ndarray, " _"], tuple[str, ...]], ...] = ()
    "ready-made sets: ids of the regions, what people wrote of all of them together"

    def __len__(self) -> int:
        """The number of regions."""
        return len(self.region_image)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write `path`.npz (arrays) and `path`.json (words); both appear whole or not at all."""
        keys, words = list(self.phrases), [list(texts) for texts in self.texts]
        arrays = {"images": self.images, "region_image": self.region_image, "region_mask": self.region_mask}
        arrays |= _packed("phrase", [self.phrases[key] for key in keys])
        arrays |= _packed("set", [regions for regions, _ in self.sets])
        names = sorted(set(self.source))
        arrays["source"] = np.array([names.index(name) for name in self.source], dtype=np.int16)
        said = {"version": FORMAT_VERSION, "sources": names, "phrases": keys, "texts": words}
        target = Path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.with_name(target.name + ".partial.npz")
        np.savez(partial, allow_pickle=False, **arrays)
        partial.replace(target.with_name(target.name + ".npz"))
        written = target.with_name(target.name + ".partial.json")
        written.write_text(json.dumps(said | {"sets": [list(texts) for _, texts in self.sets]}), encoding="utf-8")
        written.replace(target.with_name(target.name + ".json"))

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "Corpus":
        """Read what `save` wrote; RecipeError for another format."""
        target = Path(path)
        said = json.loads(target.with_name(target.name + ".json").read_text(encoding="utf-8"))
        if said.get("version") != FORMAT_VERSION:
            raise RecipeError(
                f"The corpus {target} must have format {FORMAT_VERSION}. Got {said.get('version')}. Do delete it."
            )
        with np.load(target.with_name(target.name + ".npz"), allow_pickle=False) as arrays:
            phrases = _unpacked("phrase", arrays)
            sets = _unpacked("set", arrays)
            return cls(
                arrays["images"],
                arrays["region_image"],
                arrays["region_mask"],
                tuple(tuple(texts) for texts in said["texts"]),
                tuple(said["sources"][i] for i in arrays["source"]),
                dict(zip(said["phrases"], phrases, strict=True)),
                tuple(zip(sets, (tuple(texts) for texts in said["sets"]), strict=True)),
            )


def _packed(name: str, lists: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
    flat = np.concatenate(lists) if lists else np.zeros(0, np.int64)
    return {f"{name}_regions": flat, f"{name}_ends": np.cumsum([len(ids) for ids in lists], dtype=np.int64)}


def _unpacked(name: str, arrays: Mapping[str, np.ndarray]) -> list[np.ndarray]:
    ends, flat = arrays[f"{name}_ends"], arrays[f"{name}_regions"]
    return [flat[a:b] for a, b in zip([0, *ends[:-1]], ends, strict=True)] if len(ends) else []


class CorpusBuilder:
    """Collects pictures and regions one by one and gives the Corpus.

    builder = CorpusBuilder("captions")
    picture = builder.add_image(pil)
    builder.add_region(picture, None, texts, phrases)
    builder.corpus()
    """

    def __init__(self, source: str) -> None:
        self._source = source
        self._images: list[np.ndarray] = []
        self._region_image: list[int] = []
        self._masks: list[np.ndarray] = []
        self._texts: list[tuple[str, ...]] = []
        self._phrases: dict[str, list[int]] = {}
        self._sets: list[tuple[np.ndarray, tuple[str, ...]]] = []

    def add_image(self, image: Image.Image) -> int:
        """Take one picture; its index comes back."""
        self._images.append(image_array(image))
        return len(self._images) - 1

    def add_region(
        self, image: int, coverage: np.ndarray | None, texts: Iterable[str] = (), phrases: Iterable[str] = ()
    ) -> int:
        """Take one region (`coverage` (32, 32) uint8, None = the whole picture) and its words; its id comes back."""
        region = len(self._region_image)
        whole = np.full((MASK_SIZE, MASK_SIZE), 255, np.uint8)
        self._region_image.append(image)
        self._masks.append(whole if coverage is None else coverage)
        self._texts.append(tuple(dict.fromkeys(texts)))
        for phrase in dict.fromkeys(phrases):
            self._phrases.setdefault(phrase, []).append(region)
        return region

    def add_set(self, regions: Iterable[int], texts: Iterable[str]) -> None:
        """Take a ready-made set of regions and what people wrote of all of them."""
        self._sets.append((np.array(list(regions), np.int64), tuple(texts)))

    def corpus(self) -> Corpus:
        """The Corpus of everything taken so far."""
        n_images, n_regions = len(self._images), len(self._region_image)
        return Corpus(
            np.stack(self._images) if n_images else np.zeros((0, 3, IMAGE_SIZE, IMAGE_SIZE), np.uint8),
            np.array(self._region_image, np.int32),
            np.stack(self._masks) if n_regions else np.zeros((0, MASK_SIZE, MASK_SIZE), np.uint8),
            tuple(self._texts),
            (self._source,) * n_regions,
            {phrase: np.array(ids, np.int64) for phrase, ids in sorted(self._phrases.items())},
            tuple(self._sets),
        )


def concat(corpora: Sequence[Corpus]) -> Corpus:
    """One Corpus of several; a picture that several sources use is kept once."""
    seen: dict[bytes, int] = {}
    keep: list[np.ndarray] = []
    region_image: list[np.ndarray] = []
    phrases: dict[str, list[np.ndarray]] = {}
    sets: list[tuple[np.ndarray, tuple[str, ...]]] = []
    first = 0
    for corpus in corpora:
        places = np.zeros(len(corpus.images), np.int32)
        for i, image in enumerate(corpus.images):
            digest = hashlib.sha256(image.tobytes()).digest()
            if digest not in seen:
                seen[digest] = len(keep)
                keep.append(image)
            places[i] = seen[digest]
        region_image.append(places[corpus.region_image])
        for phrase, ids in corpus.phrases.items():
            phrases.setdefault(phrase, []).append(ids + first)
        sets += [(ids + first, texts) for ids, texts in corpus.sets]
        first += len(corpus)
    empty = CorpusBuilder("").corpus()
    return Corpus(
        np.stack(keep) if keep else empty.images,
        np.concatenate([empty.region_image, *region_image]),
        np.concatenate([empty.region_mask, *(corpus.region_mask for corpus in corpora)]),
        tuple(texts for corpus in corpora for texts in corpus.texts),
        tuple(name for corpus in corpora for name in corpus.source),
        {phrase: np.concatenate(ids) for phrase, ids in sorted(phrases.items())},
        tuple(sets),
    )


def image_array(image: Image.Image, size: int = IMAGE_SIZE) -> UInt8[np.ndarray, "3 size size"]:
    """The whole picture squashed to size x size RGB, antialiased."""
    small = image.convert("RGB").resize((size, size), Image.Resampling.BICUBIC)
    return np.ascontiguousarray(np.asarray(small).transpose(2, 0, 1))


def coverage(mask: np.ndarray) -> UInt8[np.ndarray, "32 32"]:
    """The share of each of 32 x 32 cells that a mask (height, width) covers, as 0..255 (exact area average)."""
    height, width = mask.shape
    share = _cells(height) @ mask.astype(np.float32) @ _cells(width).T
    return np.round(share.clip(0, 1) * 255).astype(np.uint8)


def _cells(size: int) -> np.ndarray:
    """(32, size) weights: the share of cell i that pixel j fills."""
    edges = np.linspace(0, size, MASK_SIZE + 1)
    pixels = np.arange(size)
    low = np.maximum(edges[:-1, None], pixels)
    high = np.minimum(edges[1:, None], pixels + 1)
    return ((high - low).clip(0) * (MASK_SIZE / size)).astype(np.float32)


def check_folds(folds: Collection[int]) -> frozenset[int]:
    """The folds as a set; RecipeError unless each is in 0..9 and there is one."""
    if not folds or not all(0 <= fold <= 9 for fold in folds):
        raise RecipeError(f"folds must be some of 0..9. Got {sorted(folds)}. Do name at least one fold.")
    return frozenset(folds)
