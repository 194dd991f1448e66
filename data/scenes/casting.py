"""Casting: which things a scene has and where they stand, the farthest first.

for spot in cast_scene(rng, "beach", light, zones, horizon): spot.role.name, spot.x, spot.y, spot.scale
"""

from dataclasses import dataclass
from random import Random

from describer.data.scenes.backdrops import Zones
from describer.data.scenes.canvas import Canvas, View
from describer.data.scenes.catalogue import ALOFT, SIZES
from describer.data.scenes.geometry import Number
from describer.data.scenes.lighting import Light
from describer.data.scenes.names import STUFF
from describer.data.scenes.places import PLACES, Role


@dataclass(frozen=True)
class Camera:
    """From where the ground is seen."""

    horizon: Number
    """Frames from the top."""
    height: Number
    """Metres above the ground: what stands d frames below the horizon is seen at d / height frames to the metre."""


@dataclass(frozen=True)
class Placement:
    """Where a thing is to be drawn."""

    role: Role
    x: Number
    y: Number
    scale: Number
    haze: Number
    mirror: bool


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


def place_aloft(rng: Random, role: Role, horizon: Number, taken: list[tuple[Number, Number]]) -> Placement:
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
    rng: Random, role: Role, zone: tuple[Number, Number], camera: Camera, taken: list[Number]
) -> Placement:
    """Return a place on the ground, in perspective: the nearer, the lower and the larger."""
    wide, tall, grow = SIZES[role.name]
    top, bottom = zone
    y = top + (bottom - top) * rng.random() ** 1.15
    scale = max((y - camera.horizon) / camera.height, 0.028) * grow
    largest = 0.75 if tall >= 1.9 else 0.5  # of the frame: a ball next to the camera does not hide the scene
    scale = min(max(scale, 0.1 / max(wide, tall)), largest / max(wide * 0.8, tall))
    spots = [rng.uniform(0.03, 0.97) for _ in range(4)]
    x = max(spots, key=lambda spot: min((abs(spot - other) for other in taken), default=0))
    taken.append(x)
    haze = 0.35 * max(0.0, 1 - (y - camera.horizon) / 0.25) if camera.horizon > 0 else 0.0
    return Placement(role, x, y, scale, haze, rng.random() < 0.5)


def place_row(rng: Random, role: Role, zone: tuple[Number, Number], count: int) -> list[Placement]:
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


def cast_scene(rng: Random, kind: str, light: Light, zones: Zones, horizon: Number) -> list[Placement]:
    """Return what is drawn where, the farthest first."""
    camera = Camera(horizon, rng.uniform(1.9, 3.4))
    aloft: list[Placement] = []
    standing: list[Placement] = []
    skies: list[tuple[Number, Number]] = []
    taken: dict[str, list[Number]] = {}
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
            standing += [place_ground(rng, role, zones[role.zone], camera, spots) for _ in range(count)]
    order = {"sun": 0, "moon": 0, "cloud": 1}
    aloft.sort(key=lambda placement: order.get(placement.role.name, 2))
    standing.sort(key=lambda placement: placement.y)
    return [*aloft, *standing]
