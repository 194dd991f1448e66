"""What belongs to which place: light, horizon and the things that may stand there.

place = PLACES["beach"]; place.lights; place.horizon; place.cast
"""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from describer.data.scenes.buildings import draw_building, draw_house, draw_tent, draw_tower
from describer.data.scenes.canvas import Pen
from describer.data.scenes.creatures import draw_bird, draw_dog, draw_person, draw_sheep
from describer.data.scenes.fixtures import (
    draw_ball,
    draw_bench,
    draw_fence,
    draw_flag,
    draw_lamp,
    draw_rock,
    draw_snowman,
    draw_umbrella,
)
from describer.data.scenes.heavens import draw_balloon, draw_cloud, draw_kite, draw_moon, draw_sun
from describer.data.scenes.plants import draw_bush, draw_cactus, draw_flower, draw_palm, draw_tree
from describer.data.scenes.vehicles import draw_airplane, draw_bicycle, draw_boat, draw_bus, draw_car

Artist = Callable[[Pen, Random], str]

ARTISTS: dict[str, Artist] = {
    "house": draw_house, "building": draw_building, "tower": draw_tower, "tree": draw_tree, "palm": draw_palm,
    "cactus": draw_cactus, "bush": draw_bush, "flower": draw_flower, "boat": draw_boat, "car": draw_car, "bus": draw_bus,
    "bicycle": draw_bicycle, "airplane": draw_airplane, "person": draw_person, "dog": draw_dog, "sheep": draw_sheep,
    "bird": draw_bird, "ball": draw_ball, "sun": draw_sun, "moon": draw_moon, "cloud": draw_cloud, "lamp": draw_lamp,
    "fence": draw_fence, "flag": draw_flag, "balloon": draw_balloon, "kite": draw_kite, "bench": draw_bench,
    "umbrella": draw_umbrella, "tent": draw_tent, "snowman": draw_snowman, "rock": draw_rock,
}  # fmt: skip

SIZES: dict[str, tuple[float, float, float]] = {  # metres wide, metres high, magnification over the true perspective
    "house": (6, 5, 1), "building": (6, 9, 0.8), "tower": (3, 8, 0.85), "tree": (3.2, 4.4, 1), "palm": (3.4, 4.6, 1),
    "cactus": (2, 3, 1.1), "bush": (2.2, 1.2, 1.2), "flower": (0.7, 1.1, 1.25), "boat": (4, 4, 1.15), "car": (4.2, 1.6, 1.2),
    "bus": (7, 3, 1), "bicycle": (2, 1.2, 1.5), "airplane": (6, 3, 1), "person": (1, 2, 1.35), "dog": (1.4, 1.1, 1.6),
    "sheep": (1.5, 1.1, 1.6), "bird": (1.2, 0.8, 1.5), "ball": (0.9, 0.9, 1.5), "sun": (2, 2, 1), "moon": (2, 2, 1),
    "cloud": (4, 1.6, 1), "lamp": (1, 4, 1), "fence": (5, 1.2, 1.2), "flag": (2.4, 4.1, 0.9), "balloon": (3, 4, 1),
    "kite": (1.8, 3.4, 1), "bench": (2.6, 1.2, 1.3), "umbrella": (2.9, 2.6, 1.2), "tent": (4, 2, 1.1),
    "snowman": (1.6, 2.4, 1.2), "rock": (2.2, 1.1, 1),
}  # fmt: skip
ALOFT: dict[str, tuple[float, float]] = {  # smallest and largest width in frames of what is in the sky
    "sun": (0.1, 0.2), "moon": (0.12, 0.24), "cloud": (0.16, 0.42), "bird": (0.09, 0.24), "balloon": (0.1, 0.3),
    "kite": (0.1, 0.22), "airplane": (0.2, 0.48),
}  # fmt: skip


@dataclass(frozen=True)
class Role:
    """A thing that may appear: with what chance, up to how many, and in which zone."""

    name: str
    chance: float
    most: int
    zone: str


@dataclass(frozen=True)
class Place:
    """One kind of scene."""

    lights: tuple[str, ...]
    horizon: tuple[float, float]
    """Lowest and highest horizon, frames from the top."""
    cast: tuple[Role, ...]


def roles(text: str) -> tuple[Role, ...]:
    """Return the roles of lines "zone: name chance most, name chance most"."""
    cast = []
    for line in text.strip().splitlines():
        zone, _, rest = line.strip().partition(": ")
        for entry in rest.split(", "):
            name, chance, most = entry.rsplit(" ", 2)
            cast.append(Role(name, float(chance), int(most), zone))
    return tuple(cast)


USUAL = ("day", "day", "day", "day", "cloudy", "sunset", "sunset", "night")
HEAVENS = "cloud .5 3, sun .3 1, moon .7 1, bird .2 2, balloon .07 1, kite .08 1, airplane .06 1"

PLACES: dict[str, Place] = {
    "beach": Place(USUAL, (0.3, 0.48), roles(f"""sky: {HEAVENS}
        water: boat .5 2
        sand: umbrella .55 2, palm .4 2, ball .45 1, person .5 2, dog .25 1, rock .2 1, tower .12 1, flag .2 1, bird .1 1""")),
    "lake": Place(USUAL, (0.34, 0.5), roles(f"""sky: {HEAVENS}
        water: boat .75 2, bird .15 1
        grass: tree .5 2, bench .25 1, tent .25 1, bush .25 2, person .25 1, flower .25 3, rock .25 1, house .12 1""")),
    "harbour": Place(USUAL, (0.32, 0.48), roles(f"""sky: {HEAVENS}
        water: boat .95 3
        pier: tower .4 1, lamp .4 1, flag .35 1, person .4 2, bird .3 2, bicycle .15 1, bench .2 1, dog .15 1""")),
    "city street": Place(("day", "day", "cloudy", "sunset"), (0.48, 0.62), roles("""sky: cloud .3 2, sun .15 1, airplane .15 1, bird .1 1
        row: building 1 4, house .15 1, tree .2 1
        sidewalk: lamp .45 2, person .35 2, bench .1 1, flag .12 1
        road: car .75 2, bus .5 1, bicycle .25 1
        front: person .3 1, dog .12 1""")),
    "night city": Place(("night",), (0.48, 0.62), roles("""sky: moon .6 1, cloud .15 1, airplane .1 1
        row: building 1 4
        sidewalk: lamp .75 2, person .25 1
        road: car .75 2, bus .4 1, bicycle .12 1
        front: person .15 1""")),
    "village": Place(USUAL, (0.34, 0.5), roles(f"""sky: {HEAVENS}
        grass: house .95 3, tree .55 2, fence .3 1, bush .25 1, flower .2 2, dog .2 1, person .25 1, car .2 1, tower .2 1, bicycle .1 1, sheep .1 1""")),
    "park": Place(("day", "day", "day", "cloudy", "sunset", "night"), (0.36, 0.52), roles(f"""sky: {HEAVENS}
        grass: tree .75 3, bench .55 1, person .5 2, dog .35 1, ball .3 1, lamp .35 1, bush .3 2, flower .3 3, bicycle .3 1, umbrella .12 1""")),
    "forest": Place(("day", "day", "day", "cloudy", "sunset"), (0.42, 0.6), roles("""sky: bird .2 2, sun .12 1
        row: tree 1 3
        grass: tree .95 4, bush .45 2, rock .3 1, tent .3 1, flower .25 2, person .2 1, dog .15 1, bird .15 1""")),
    "mountain": Place(USUAL, (0.5, 0.68), roles(f"""sky: {HEAVENS}
        grass: tree .6 3, rock .4 2, sheep .4 3, tent .35 1, flag .2 1, house .25 1, person .2 1, fence .15 1, flower .15 2""")),
    "desert": Place(("day", "day", "day", "sunset", "night"), (0.32, 0.52), roles("""sky: sun .55 1, moon .7 1, cloud .15 1, bird .15 1, balloon .12 1, airplane .08 1
        sand: cactus .9 3, rock .6 2, palm .25 2, tent .2 1, car .12 1, person .12 1, tower .1 1""")),
    "snow field": Place(USUAL, (0.32, 0.52), roles(f"""sky: {HEAVENS}
        snow: snowman .6 1, tree .7 3, house .4 1, fence .25 1, person .3 1, dog .2 1, flag .15 1, rock .12 1""")),
    "meadow": Place(("day", "day", "day", "cloudy", "sunset", "night"), (0.3, 0.62), roles(f"""sky: {HEAVENS}
        grass: flower .7 5, sheep .5 3, fence .4 1, tree .3 1, kite .1 1, person .25 1, house .12 1, dog .15 1, bush .2 1, ball .1 1""")),
    "brick wall": Place(("day", "day", "cloudy", "sunset", "night"), (-0.4, -0.3), roles("""sidewalk: bench .3 1, bicycle .4 1, person .45 2, lamp .25 1, dog .25 1, bush .25 2, ball .25 1, flower .2 3, umbrella .15 1, car .15 1, flag .12 1""")),
    "open sky": Place(("day", "day", "day", "cloudy", "sunset", "night"), (0.82, 1.1), roles("""sky: cloud .6 3, sun .3 1, moon .7 1, bird .45 3, balloon .6 3, kite .45 2, airplane .45 1
        grass: tree .3 2, sheep .15 2, flag .25 1, house .15 1, fence .15 1, person .2 1""")),
}  # fmt: skip
