"""One drawn scene: `draw_scene(seed, index)` gives the same picture, labels and words every time.

    scene = draw_scene(seed=0, index=7)
    scene.image                       # (128, 128, 3) uint8, RGB
    scene.labels["object"]            # (128, 128) int16, ids into NAMES["object"], 0 = unlabelled
    scene.scene_kind                  # id into NAMES["scene"]
    scene.captions                    # ["a dog beside a striped ball", ...]

Labels are exact: each is the label of what covers the middle of its pixel. Colour is read off the finished picture,
pixel by pixel (`palette.name_colors`), so it holds under any light.
"""

from dataclasses import dataclass
from functools import cached_property
from random import Random

import numpy as np
from jaxtyping import Int16, UInt8

from describer.data.scenes.backdrops import BACKDROPS
from describer.data.scenes.canvas import Canvas
from describer.data.scenes.casting import cast_scene, pick_view, support_of
from describer.data.scenes.catalogue import ARTISTS
from describer.data.scenes.lighting import expose, pick_light
from describer.data.scenes.names import IDS, NAMES, SCENES
from describer.data.scenes.palette import name_colors
from describer.data.scenes.pen import Pen
from describer.data.scenes.places import PLACES
from describer.errors import ImagesError


@dataclass(frozen=True)
class Thing:
    """One thing in a scene."""

    number: int
    """Its number in `Scene.things_map`, from 1 on."""
    name: str
    """A name of `NAMES["object"]`."""
    variant: str
    """What it is exactly: "sailboat", "conifer", "lighthouse"."""
    support: str
    """The stuff it stands on or "sky"; "" if its foot is out of sight."""


@dataclass(frozen=True, eq=False)
class Scene:
    """A picture with everything that is known of it."""

    image: UInt8[np.ndarray, "size size 3"]
    labels: dict[str, Int16[np.ndarray, "size size"]]
    """Of object, part, material, texture and color; ids into `NAMES`, 0 = unlabelled."""
    scene_kind: int
    """Id into `NAMES["scene"]`."""
    light: str
    """day, cloudy, sunset or night."""
    things_map: Int16[np.ndarray, "size size"]
    """The number of the thing at each pixel, 0 for none."""
    things: tuple[Thing, ...]
    """The things of which at least one pixel is seen."""

    @property
    def size(self) -> int:
        """Pixels on a side."""
        return len(self.image)

    @property
    def kind(self) -> str:
        """The name of the scene kind."""
        return NAMES["scene"][self.scene_kind]

    @cached_property
    def captions(self) -> list[str]:
        """Two or three short descriptions, each true of the picture."""
        from describer.data.scenes.grammar import captions

        return captions(self)


def check_scene(seed: int, index: int, size: int) -> None:
    """Raise ImagesError unless a scene can be drawn of these."""
    if size < 1:
        raise ImagesError(f"Scene size must be at least 1 pixel. Got {size}. Do give a positive size.")
    if index < 0:
        raise ImagesError(f"Scene index must be 0 or more. Got {index}. Do count scenes from 0.")
    if seed < 0:
        raise ImagesError(f"Scene seed must be 0 or more. Got {seed}. Do give a non-negative seed.")


def draw_scene(seed: int, index: int, size: int = 128) -> Scene:
    """Return scene number `index` of the world `seed`, size x size pixels.

    The same three numbers give the same bytes in any process. Raises ImagesError for a negative seed or index and for
    a size below 1.
    """
    check_scene(seed, index, size)
    rng = Random(f"scenes:{seed}:{index}")
    kind = rng.choice(SCENES)
    light = pick_light(rng, PLACES[kind].lights)
    horizon = rng.uniform(*PLACES[kind].horizon)
    canvas = Canvas(size, pick_view(rng), light, kind, horizon)
    zones = BACKDROPS[kind](canvas, rng)
    spots = cast_scene(rng, kind, light, zones, horizon)
    supports = [support_of(canvas, spot) for spot in spots]
    things = []
    for number, (spot, support) in enumerate(zip(spots, supports, strict=True), start=1):
        pen = Pen(canvas, spot.role.name, spot.x, spot.y, spot.scale, spot.mirror, spot.haze, number)
        things.append(Thing(number, spot.role.name, ARTISTS[spot.role.name](pen, rng), support))
    return develop(canvas, rng, IDS["scene"][kind], tuple(things), flip=rng.random() < 0.5)


def develop(canvas: Canvas, rng: Random, scene_kind: int, things: tuple[Thing, ...], flip: bool = False) -> Scene:
    """Return the scene on a canvas, mirrored if asked."""
    image, regions, table = canvas.finish()
    maps = table.T[:, regions]  # (5, size, size)
    if flip:
        image, maps = image[:, ::-1], maps[:, :, ::-1]
    maps = np.ascontiguousarray(maps)
    image = expose(np.ascontiguousarray(image), maps[2], canvas.light, rng)
    labels = dict(zip(("object", "part", "material", "texture"), maps, strict=False))
    labels["color"] = name_colors(image)
    seen = set(np.unique(maps[4]).tolist())
    return Scene(image, labels, scene_kind, canvas.light.name, maps[4], tuple(t for t in things if t.number in seen))
