"""Listeners that compute what the true one learns: they read the labels of drawn scenes, or colours."""

import re
from collections.abc import Callable, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from describer.data.scenes import NAMES, SceneSet
from describer.data.scenes.names import PIXEL_CATEGORIES
from describer.data.scenes.words import PLAIN
from describer.description import Description, ImageSource
from describer.exemplars import Exemplars

CELLS = 16


def _words() -> dict[str, set[tuple[str, int]]]:
    """Word, without a plural's s -> the labels that people mean by it."""
    meant: dict[str, set[tuple[str, int]]] = {}
    for category in (*PIXEL_CATEGORIES, "scene"):
        for index, name in enumerate(NAMES[category]):
            wordings = PLAIN.get(category, {}).get(name, ()) if name else ()
            for word in {name, *(w for text in wordings for w in text.split() if len(text.split()) == 1)} - {""}:
                meant.setdefault(stem(word), set()).add((category, index))
    return meant


def stem(word: str) -> str:
    """A word without its plural."""
    return re.sub(r"(?<=..)(s|es)$", "", word.lower())


class LabelReader:
    """Knows every pixel of some drawn scenes: what it simulates is the area where all known words of a text hold."""

    def __init__(self, scenes: SceneSet, seen_size: int = 8) -> None:
        self.name, self.key = "label reader", {"listener": "label reader"}
        self.words = _words()
        self.order = {word: place for place, word in enumerate(sorted(self.words))}
        self._size, self._looks, self._maps = seen_size, [], []
        for index in range(len(scenes)):
            scene = scenes.scene(index)
            self._looks.append(self._look(Image.fromarray(scene.image)))
            step = scene.size // CELLS
            cells = {c: scene.labels[c][step // 2 :: step, step // 2 :: step] for c in PIXEL_CATEGORIES}
            cells["scene"] = np.full_like(cells["object"], scene.scene_kind)
            truth = [np.any([cells[c] == i for c, i in self.words[word]], 0) for word in self.order]
            self._maps.append(np.packbits(np.stack(truth)))

    def _look(self, picture: Image.Image) -> np.ndarray:
        small = picture.convert("RGB").resize((self._size, self._size), Image.Resampling.BOX)
        return np.asarray(small, np.float32).ravel()

    def embed_images(self, images: Sequence[Image.Image]) -> Tensor:
        looks = np.stack(self._looks)
        nearest = [int(np.abs(looks - self._look(picture)).mean(1).argmin()) for picture in images]
        n = len(self.order) * CELLS**2
        return torch.from_numpy(np.stack([np.unpackbits(self._maps[i])[:n] for i in nearest]).astype(np.float32))

    def embed_texts(self, texts: Sequence[str]) -> Tensor:
        table = torch.zeros(len(texts), len(self.order))
        for row, text in enumerate(texts):
            for word in map(stem, re.findall(r"[a-z]+", text.lower())):
                if word in self.order:
                    table[row, self.order[word]] = 1
        return table

    def simulate(self, text_embeddings: Tensor, image_embeddings: Tensor) -> Tensor:
        cells = image_embeddings.reshape(len(image_embeddings), len(self.order), CELLS**2)
        rows = []
        for text in text_embeddings:
            asked = text.nonzero()[:, 0]
            hold = cells[:, asked].amin(1) if len(asked) else torch.zeros(len(cells), CELLS**2)
            rows.append(hold.mean(1).sqrt())
        return torch.stack(rows)


class LabelNamer:
    """A describer that says the word whose labels are densest under the masks of the exemplars, beside elsewhere."""

    method = "caption"

    def __init__(self, reader: LabelReader) -> None:
        self.key = {"describer": "label namer"}
        n = len(reader.order) * CELLS**2
        truth = np.stack([np.unpackbits(each)[:n] for each in reader._maps]).reshape(-1, len(reader.order), CELLS**2)
        self.truth, self.words = torch.from_numpy(truth).float(), list(reader.order)
        self.usual = self.truth.mean((0, 2))

    def describe(
        self, exemplars: Exemplars, images: ImageSource, progress: Callable[[int], None] | None = None
    ) -> list[Description]:
        told, (seen, _) = [], self.features(exemplars, images)
        for row, unit in enumerate(exemplars.unit_ids.tolist()):
            inside = seen[row].mean(0)
            lift = (inside * (inside / self.usual.clamp(min=1e-3)).log()).nan_to_num(0.0, 0.0, 0.0)
            best = int(lift.argmax())
            text = self.words[best] if lift[best] > 0 and not exemplars.dead[row] else None
            told.append(Description(exemplars.layer, unit, text, self.method, {"pmi": float(lift[best])}))
        if progress:
            progress(len(told))
        return told

    def features(self, exemplars: Exemplars, images: ImageSource) -> tuple[Tensor, Tensor]:
        rows = []
        for row in range(len(exemplars)):
            masks = exemplars.masks(4 * CELLS, [row])[0].float()
            cells = F.avg_pool2d(masks[:, None], 4).flatten(1)  # (k, cells)
            inside = torch.einsum("kwc,kc->kw", self.truth[exemplars.images[row]], cells)
            rows.append(inside / cells.sum(1, keepdim=True).clamp(min=1e-9))
        return torch.stack(rows), exemplars.images >= 0
