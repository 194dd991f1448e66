"""The pictures that the scene generator learns from: drawn scenes by daylight, seen whole, with little in the way.

    pictures = drawn_landscapes(LandscapeRule(), n=20000, seed=1, cache=Path("landscapes-1.npz"))
    pictures.images.shape, pictures.kinds.shape          # (20000, 3, 64, 64) uint8, (20000,) from 0 in rule.kinds

Scenes are drawn at twice the size and averaged over 2 x 2 pixels, which makes edges smooth and grain fine.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

import numpy as np
from jaxtyping import Int64, UInt8
from rich.progress import track

from describer.data.scenes import IDS, draw_scene
from describer.data.scenes.casting import pick_view
from describer.data.scenes.lighting import pick_light
from describer.data.scenes.names import SCENES
from describer.data.scenes.places import PLACES

SIZE = 64
CLUTTER = (
    "person", "dog", "sheep", "bird", "bicycle", "ball", "flag", "kite", "balloon", "airplane", "tent",
    "bench", "fence", "flower", "lamp", "snowman", "moon", "tower", "rock", "bus",
)  # fmt: skip
"""Things of so many looks, or so small, that a small network learns blots of them."""


@dataclass(frozen=True)
class LandscapeRule:
    """Which scenes are landscapes."""

    kinds: tuple[str, ...] = (
        "beach", "lake", "village", "mountain", "desert", "snow field", "forest", "city street",
    )  # fmt: skip
    "kinds of scenes"
    lights: tuple[str, ...] = ("day", "cloudy", "sunset")
    "names of lights"
    zoom: float = 1.1
    "largest enlargement of the view"
    clutter: float = 0.06
    "largest share of pixels of CLUTTER"


@dataclass(frozen=True, eq=False)
class Landscapes:
    """Pictures and their kinds."""

    images: UInt8[np.ndarray, "pictures 3 size size"]
    kinds: Int64[np.ndarray, " pictures"]
    "from 0, in the order of the rule's kinds"


def is_wanted(rule: LandscapeRule, seed: int, index: int) -> bool:
    """Whether a scene has the rule's kind, light and view, told from the first dice of `draw_scene` without drawing."""
    rng = Random(f"scenes:{seed}:{index}")
    kind = rng.choice(SCENES)
    light = pick_light(rng, PLACES[kind].lights)
    rng.uniform(*PLACES[kind].horizon)
    return kind in rule.kinds and light.name in rule.lights and pick_view(rng).zoom <= rule.zoom


def landscapes(rule: LandscapeRule, seed: int) -> Iterator[tuple[np.ndarray, int]]:
    """Endlessly (picture (3, 64, 64) uint8, kind from 0) of the world `seed`, in the order of its scenes."""
    clutter, index = [IDS["object"][name] for name in CLUTTER], -1
    kinds = [IDS["scene"][name] for name in rule.kinds]
    while True:
        index += 1
        if not is_wanted(rule, seed, index):
            continue
        scene = draw_scene(seed, index, 2 * SIZE)
        if np.isin(scene.labels["object"], clutter).mean() <= rule.clutter:
            yield halved(scene.image).transpose(2, 0, 1), kinds.index(scene.scene_kind)


def halved(image: UInt8[np.ndarray, "double double 3"]) -> UInt8[np.ndarray, "size size 3"]:
    """The mean of each 2 x 2 pixels, rounded."""
    size = len(image) // 2
    return (image.reshape(size, 2, size, 2, 3).mean((1, 3)) + 0.5).astype(np.uint8)


def drawn_landscapes(rule: LandscapeRule, n: int, seed: int, cache: Path) -> Landscapes:
    """The first `n` landscapes of the world `seed`, drawn once and then read from `cache`."""
    if cache.exists():
        with np.load(cache) as file:
            return Landscapes(file["images"], file["kinds"])
    images, kinds = np.zeros((n, 3, SIZE, SIZE), np.uint8), np.zeros(n, np.int64)
    found = landscapes(rule, seed)
    for row in track(range(n), "landscapes"):
        images[row], kinds[row] = next(found)
    np.savez(cache, allow_pickle=False, images=images, kinds=kinds)
    return Landscapes(images, kinds)
