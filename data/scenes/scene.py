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

from describer.errors import ImagesError

from describer.data.scenes.backdrops import BACKDROPS, Zones
from describer.data.scenes.canvas import Canvas, Pen, View
from describer.data.scenes.lighting import Light, expose, pick_light
from describer.data.scenes.names import IDS, NAMES, SCENES, STUFF
from describer.data.scenes.palette import name_colors
from describer.data.scenes.places import ALOFT, ARTISTS, PLACES, SIZES, Role


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


@dataclass(frozen=True)
class Placement:
    """Where a thing is to be drawn."""

    role: Role
    x: float
    y: float
    scale: float
    haze: float
    mirror: bool


def check_scene(seed: int, index: int, size: int) -> None:
    """Raise ImagesError unless a scene can be drawn of these."""
    if size < 1:
        raise ImagesError(f"Scene size must be at least 1 pixel. Got {size}. Do give a positive size.")
    if index < 0:
        raise ImagesError(f"Scene index must be 0 or more. Got {index}. Do count scenes from 0.")
    if seed < 0:
        raise ImagesError(f"Scene seed must be 0 or more. Got {seed}. Do give a non-negative seed.")


def pick_view(rng: Random) -> View:
    """Return a view: mostly the whole frame, sometimes tilted or close."""
    kind = rng.random()
    if kind < 0.5:
        return View()
    if kind < 0.7:
        return View(zoom=1.08, tilt=rng.uniform(-0.06, 0.06))
    zoom = rng.uniform(1.15, 2.1)
    reach = 0.5 - 0.5 / zoom
    return View(0.5 + rng.uniform(-reach, reach), 0.5 + rng.uniform(-reach * 0.6, reach), zoom)


def place_aloft(rng: Random, role: Role, horizon: float, taken: list[tuple[float, float]]) -> Placement:
    """Return a place in the sky, away from what is there already."""
    low, high = ALOFT[role.name]
    width = rng.uniform(low, high)
    bottom = max(0.12, min(0.95, horizon) - 0.06)
    spots = [(rng.uniform(0.04, 0.96), rng.uniform(0.06, bottom)) for _ in range(4)]
    x, y = max(spots, key=lambda spot: min((abs(spot[0] - a) + abs(spot[1] - b) for a, b in taken), default=0))
    taken.append((x, y))
    scale = width / SIZES[role.name][0]
    drop = SIZES[role.name][1] * scale / 2 if role.name == "balloon" else 0
    return Placement(
        role, x, y + drop, scale, rng.uniform(0, 0.15) if role.name == "airplane" else 0, rng.random() < 0.5
    )


def place_ground(
    rng: Random, role: Role, zone: tuple[float, float], horizon: float, height: float, taken: list[float]
) -> Placement:
    """Return a place on the ground, in perspective: the nearer, the lower and the larger."""
    wide, tall, grow = SIZES[role.name]
    top, bottom = zone
    y = top + (bottom - top) * rng.random() ** 1.15
    scale = max((y - horizon) / height, 0.028) * grow
    scale = min(max(scale, 0.1 / max(wide, tall)), 0.75 / max(wide * 0.8, tall))
    spots = [rng.uniform(0.03, 0.97) for _ in range(4)]
    x = max(spots, key=lambda spot: min((abs(spot - other) for other in taken), default=0))
    taken.append(x)
    haze = 0.35 * max(0.0, 1 - (y - horizon) / 0.25) if horizon > 0 else 0.0
    return Placement(role, x, y, scale, haze, rng.random() < 0.5)


def place_row(rng: Random, role: Role, zone: tuple[float, float], count: int) -> list[Placement]:
    """Return places side by side, as of the houses of a street or the trees of a wood."""
    wide, _, _ = SIZES[role.name]
    share = 1 / count if role.name in ("building", "house") else rng.uniform(0.2, 0.34)
    start = rng.uniform(-0.1, 0.1)
    return [
        Placement(
            role, start + (i + 0.5) / count, rng.uniform(*zone), rng.uniform(0.85, 1.15) * max(share, 0.26) / wide,
            0.08, rng.random() < 0.5,
        )
        for i in range(count)
    ]  # fmt: skip


def support_of(canvas: Canvas, spot: Placement) -> str:
    """Return the stuff where a thing will stand, read off the empty backdrop; "" if that is out of sight."""
    if spot.role.zone == "sky":
        return "sky"
    name = canvas.stuff_at(spot.x, spot.y)
    return name if name in STUFF else ""


def cast_scene(rng: Random, kind: str, light: Light, zones: Zones, horizon: float) -> list[Placement]:
    """Return what is drawn where, the farthest first."""
    height = rng.uniform(1.9, 3.4)
    aloft: list[Placement] = []
    standing: list[Placement] = []
    skies: list[tuple[float, float]] = []
    taken: dict[str, list[float]] = {}
    for role in PLACES[kind].cast:
        if (role.name == "moon" and light.name != "night") or (
            role.name == "sun" and light.name in ("night", "cloudy")
        ):
            continue
        if role.zone not in ("sky", *zones) or rng.random() >= role.chance:
            continue
        count = rng.randint(1, role.most)
        if role.zone == "sky":
            aloft += [place_aloft(rng, role, horizon, skies) for _ in range(count)]
        elif role.zone == "row":
            standing += place_row(rng, role, zones["row"], max(count, 2) if role.chance == 1 else count)
        else:
            spots = taken.setdefault(role.zone, [])
            standing += [place_ground(rng, role, zones[role.zone], horizon, height, spots) for _ in range(count)]
    order = {"sun": 0, "moon": 0, "cloud": 1}
    aloft.sort(key=lambda placement: order.get(placement.role.name, 2))
    standing.sort(key=lambda placement: placement.y)
    return [*aloft, *standing]


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
