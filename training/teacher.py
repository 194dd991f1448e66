"""What a trained network says of crops of photographs: the targets a backbone of ours is distilled from.

    views = look(photos, target, layers=["inception_4e", "inception_5b"], settings)
    views.images      # uint8 (views, 3, 160, 160), what the student sees
    views.targets     # {layer: float16 (views, components, grid, grid)}

Every photograph is seen whole and in ``n_crops`` random crops. Maps are kept as their leading principal components
scaled by eigenvalue^-1/4, half way to whitening: pure variance would teach little but edges and brightness.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from PIL import Image
from rich.progress import track
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from describer.data.images import Preprocess
from describer.files import write_atomically
from describer.hooks import observed
from describer.training.corpus import IMAGE_SIZE
from describer.training.photographs import Photograph
from describer.training.precision import bfloat16_pays

SIDE = 224
"Of the teacher's input, pixels."
KEY, SEEN, BASES = "key.json", "seen.json", "bases.safetensors"
"What the views are of, how many the teacher has seen, and what its maps are projected on."


@dataclass(frozen=True)
class ViewSettings:
    """How photographs are cut into views."""

    n_crops: int = 3
    "random crops of every photograph, beside the whole of it"
    min_area: float = 0.15
    "least area of a crop, as a fraction of the photograph"
    max_area: float = 0.7
    "largest area of a crop"
    size: int = IMAGE_SIZE
    "side of the student's input, pixels"
    grid: int = 8
    "side of the grid on which the teacher's maps are kept"
    components: int = 256
    "principal components kept of each layer"
    seed: int = 0
    "seed of the crops"


@dataclass(frozen=True)
class Views:
    """Views of photographs and what the teacher said of each."""

    images: UInt8[np.ndarray, "views 3 size size"]
    targets: dict[str, np.ndarray]
    "layer -> float16 (views, components, grid, grid)"
    logits: Float[np.ndarray, "views classes"]


def cut_views(photo: Photograph, index: int, settings: ViewSettings) -> list[Image.Image]:
    """The whole photograph, then its random crops; the same crops for the same seed and index."""
    rng = np.random.default_rng((settings.seed, index))
    image = photo.image()
    width, height = image.size
    views = [image]
    for _ in range(settings.n_crops):
        area = rng.uniform(settings.min_area, settings.max_area) * width * height
        ratio = np.exp(rng.uniform(-0.3, 0.3))
        w = min(width, max(8, round(np.sqrt(area * ratio))))
        h = min(height, max(8, round(np.sqrt(area / ratio))))
        left, top = rng.integers(0, width - w + 1), rng.integers(0, height - h + 1)
        views.append(image.crop((int(left), int(top), int(left) + w, int(top) + h)))
    return views


def look(
    photos: Sequence[Photograph],
    model: nn.Module,
    preprocess: Preprocess,
    layers: Sequence[str],
    settings: ViewSettings,
    cache: Path,
    batch_size: int = 64,
) -> Views:
    """Views of the photographs with the teacher's maps and logits; kept in ``cache`` and read from there next time.

    Stopped or killed, the same call goes on after the last batch that was seen.
    """
    key = {"settings": asdict(settings), "layers": list(layers), "photos": [p.name for p in photos]}
    n_views = len(photos) * (settings.n_crops + 1)
    bases, seen = _begin(cache, key, photos, model, preprocess, n_views)
    views = _open(cache, layers, "r+")
    batches = _batches(photos, settings, batch_size, seen)
    left = -(-(n_views - seen) // batch_size)
    for start, cut in track(batches, "teacher", total=left) if left else ():
        rows = slice(start, start + len(cut))
        views.images[rows] = np.stack(
            [
                np.asarray(v.resize((settings.size, settings.size), Image.Resampling.BICUBIC)).transpose(2, 0, 1)
                for v in cut
            ]
        )
        maps, logits = _forward(model, preprocess, cut, layers)
        for layer in layers:
            views.targets[layer][rows] = _project(maps[layer], *bases[layer], settings.grid).half().numpy()
        views.logits[rows] = logits.half().numpy()
        _note(cache / SEEN, {"views": rows.stop})
    return _open(cache, layers, "r")


def _begin(
    cache: Path,
    key: dict[str, Any],
    photos: Sequence[Photograph],
    model: nn.Module,
    preprocess: Preprocess,
    n_views: int,
) -> tuple[dict[str, tuple[Tensor, Tensor]], int]:
    """The bases that maps are projected on and how many views have been seen; what is of another key begins anew."""
    layers, settings = key["layers"], ViewSettings(**key["settings"])
    if (cache / KEY).exists() and json.loads((cache / KEY).read_text()) == key:
        found = load_file(cache / BASES)
        bases = {layer: (found[f"{layer}.mean"], found[f"{layer}.basis"]) for layer in layers}
        return bases, json.loads((cache / SEEN).read_text())["views"]
    cache.mkdir(parents=True, exist_ok=True)
    (cache / KEY).unlink(missing_ok=True)
    sampled, n_classes = _sample_maps(photos, model, preprocess, layers)
    bases = {layer: _principal(maps, settings.components) for layer, maps in sampled.items()}
    parts = {f"{layer}.mean": mean for layer, (mean, _) in bases.items()}
    parts |= {f"{layer}.basis": basis for layer, (_, basis) in bases.items()}
    save_file({name: part.contiguous() for name, part in parts.items()}, cache / BASES)
    kinds: dict[str, tuple[type, tuple[int, ...]]] = {
        layer: (np.float16, (n_views, settings.components, settings.grid, settings.grid)) for layer in layers
    }
    kinds["logits"] = np.float16, (n_views, n_classes)
    kinds["images"] = np.uint8, (n_views, 3, settings.size, settings.size)
    for name, (dtype, shape) in kinds.items():
        np.lib.format.open_memmap(cache / f"{name}.npy", "w+", dtype, shape)
    _note(cache / SEEN, {"views": 0})
    _note(cache / KEY, key)
    return bases, 0


def _note(path: Path, what: Mapping[str, Any]) -> None:
    write_atomically(path, json.dumps(what).encode(), durable=False)


def _open(cache: Path, layers: Sequence[str], mode: Literal["r", "r+"]) -> Views:
    def read(name: str) -> np.ndarray:
        return np.load(cache / f"{name}.npy", mmap_mode=mode)

    return Views(read("images"), {layer: read(layer) for layer in layers}, read("logits"))


def _batches(
    photos: Sequence[Photograph], settings: ViewSettings, batch_size: int, seen: int = 0
) -> Iterator[tuple[int, list[Image.Image]]]:
    """(number of the first, views) from the view numbered ``seen`` on."""
    a_photo = settings.n_crops + 1
    first, start, waiting = seen // a_photo, seen, []
    for index, photo in enumerate(photos[first:], first):
        waiting += cut_views(photo, index, settings)[max(seen - index * a_photo, 0) :]
        while len(waiting) >= batch_size:
            yield start, waiting[:batch_size]
            start, waiting = start + batch_size, waiting[batch_size:]
    if waiting:
        yield start, waiting


@torch.inference_mode()
def _forward(
    model: nn.Module, preprocess: Preprocess, views: Sequence[Image.Image], layers: Sequence[str]
) -> tuple[dict[str, Tensor], Tensor]:
    """Maps of the layers, and logits, float32."""
    maps: dict[str, Tensor] = {}

    def keep(name: str, out: Tensor) -> None:
        maps[name] = out.float().clone()  # what follows may work in place

    batch = torch.stack([preprocess(view.resize((SIDE, SIDE), Image.Resampling.BICUBIC)) for view in views])
    with observed(model, layers, keep), torch.autocast("cpu", torch.bfloat16, enabled=bfloat16_pays()):
        logits = model(batch.to(memory_format=torch.channels_last))
    return maps, logits.float()


def _sample_maps(
    photos: Sequence[Photograph], model: nn.Module, preprocess: Preprocess, layers: Sequence[str], n_photos: int = 768
) -> tuple[dict[str, Float[Tensor, "positions channels"]], int]:
    """Places of maps of some photographs, and how many classes the teacher tells."""
    chosen = photos[:: max(1, len(photos) // n_photos)]
    seen: dict[str, list[Tensor]] = {layer: [] for layer in layers}
    n_classes = 0
    for _, views in _batches(chosen, ViewSettings(n_crops=1), 64):
        maps, logits = _forward(model, preprocess, views, layers)
        n_classes = logits.shape[1]
        for layer in layers:
            seen[layer].append(F.adaptive_avg_pool2d(maps[layer], 7).movedim(1, -1).flatten(0, 2))
    return {layer: torch.cat(parts) for layer, parts in seen.items()}, n_classes


def _principal(positions: Float[Tensor, "positions channels"], components: int) -> tuple[Tensor, Tensor]:
    mean = positions.mean(0)
    centred = positions - mean
    values, vectors = torch.linalg.eigh(centred.T @ centred / len(centred))
    values, vectors = values.flip(0)[:components], vectors.flip(1)[:, :components]
    scaled = values.clamp_min(1e-6).pow(-0.25)
    spread = (values * scaled**2).sum().sqrt() / components**0.5
    return mean, vectors * scaled / spread


def _project(maps: Float[Tensor, "batch channels h w"], mean: Tensor, basis: Tensor, grid: int) -> Tensor:
    maps = F.interpolate(maps, (grid, grid), mode="bilinear", antialias=True)
    return torch.einsum("bchw,cd->bdhw", maps - mean[:, None, None], basis)
