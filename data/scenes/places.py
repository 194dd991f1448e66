"""What belongs to which place: its light, its horizon and the things that may stand there.

    place = PLACES["beach"]; place.lights; place.horizon; place.cast

`CASTS` reads "zone: thing chance most": on the sand of a beach there is an umbrella in 55 of 100, and two at most.
"""

from dataclasses import dataclass

from describer.data.scenes.geometry import Number


@dataclass(frozen=True)
class Role:
    """A thing that may appear."""

    name: str
    """A name of `catalogue.ARTISTS`."""
    chance: Number
    """How often it appears, 0-1."""
    most: int
    """How many there are at most."""
    zone: str
    """The zone of the backdrop it stands in."""


@dataclass(frozen=True)
class Place:
    """One kind of scene."""

    lights: tuple[str, ...]
    """Names of lights, each as often as it is written."""
    horizon: tuple[Number, Number]
    """Highest and lowest horizon, in frames from the top."""
    cast: tuple[Role, ...]


DAYS = ("day", "day", "day", "cloudy", "sunset", "night")
BRIGHT = ("day", "day", "day", "cloudy", "sunset")
HEAVENS = "sky: cloud .5 3, sun .3 1, moon .7 1, bird .2 2, balloon .07 1, kite .08 1, airplane .06 1"

CASTS = {
    "beach": f"""{HEAVENS}
        water: boat .5 2
        sand: umbrella .6 2, palm .55 2, ball .45 1, person .5 2, dog .25 1, rock .2 1, tower .12 1
        sand: flag .2 1, bird .1 1""",
    "lake": f"""{HEAVENS}
        water: boat .75 2, bird .15 1
        grass: tree .5 2, bench .25 1, tent .25 1, bush .25 2, person .25 1, flower .25 3, rock .25 1, house .12 1""",
    "harbour": f"""{HEAVENS}
        water: boat .95 3
        pier: tower .4 1, lamp .4 1, flag .35 1, person .4 2, bird .3 2, bicycle .15 1, bench .2 1, dog .15 1""",
    "city street": """sky: cloud .3 2, sun .15 1, airplane .15 1, bird .1 1
        row: building 1 4, house .15 1, tree .2 1
        sidewalk: lamp .45 2, person .35 2, bench .1 1, flag .12 1
        road: car .75 2, bus .5 1, bicycle .25 1
        front: person .3 1, dog .12 1""",
    "night city": """sky: moon .6 1, cloud .15 1, airplane .1 1
        row: building 1 4
        sidewalk: lamp .75 2, person .25 1
        road: car .75 2, bus .4 1, bicycle .12 1
        front: person .15 1""",
    "village": f"""{HEAVENS}
        grass: house .95 3, tree .55 2, fence .3 1, bush .25 1, flower .2 2, dog .2 1, person .25 1, car .2 1
        grass: tower .2 1, bicycle .1 1, sheep .1 1""",
    "park": f"""{HEAVENS}
        grass: tree .75 3, bench .55 1, person .5 2, dog .35 1, ball .3 1, lamp .35 1, bush .3 2, flower .3 3
        grass: bicycle .3 1, umbrella .2 1""",
    "forest": """sky: bird .2 2, sun .12 1
        row: tree 1 3
        grass: tree .95 4, bush .45 2, rock .3 1, tent .3 1, flower .25 2, person .2 1, dog .15 1, bird .15 1""",
    "mountain": f"""{HEAVENS}
        grass: tree .6 3, rock .4 2, sheep .4 3, tent .35 1, flag .2 1, house .25 1, person .2 1, fence .15 1
        grass: flower .15 2""",
    "desert": """sky: sun .55 1, moon .7 1, cloud .15 1, bird .15 1, balloon .12 1, airplane .08 1
        sand: cactus .9 3, rock .6 2, palm .35 2, tent .2 1, car .12 1, person .12 1, tower .1 1""",
    "snow field": f"""{HEAVENS}
        snow: snowman .7 2, tree .7 3, house .4 1, fence .25 1, person .3 1, dog .2 1, flag .15 1, rock .12 1""",
    "meadow": f"""{HEAVENS}
        grass: flower .7 5, sheep .5 3, fence .4 1, tree .3 1, kite .1 1, person .25 1, house .12 1, dog .15 1
        grass: bush .2 1, ball .1 1""",
    "street wall": """sidewalk: bench .3 1, bicycle .4 1, person .45 2, lamp .25 1, dog .25 1, bush .25 2, ball .25 1
        sidewalk: flower .2 3, umbrella .2 1, car .15 1, flag .12 1""",
    "open sky": """sky: cloud .6 3, sun .3 1, moon .7 1, bird .45 3, balloon .6 3, kite .45 2, airplane .45 1
        grass: tree .3 2, sheep .15 2, flag .25 1, house .15 1, fence .15 1, person .2 1""",
}


def read_cast(text: str) -> tuple[Role, ...]:
    """Return the roles of lines "zone: name chance most, name chance most"."""
    cast = []
    for line in text.strip().splitlines():
        zone, _, rest = line.strip().partition(": ")
        for entry in rest.split(", "):
            name, chance, most = entry.split()
            cast.append(Role(name, float(chance), int(most), zone))
    return tuple(cast)


STAGES: dict[str, tuple[tuple[str, ...], tuple[Number, Number]]] = {
    "beach": (DAYS, (0.3, 0.48)), "lake": (DAYS, (0.34, 0.5)), "harbour": (DAYS, (0.32, 0.48)),
    "city street": (BRIGHT, (0.48, 0.62)), "night city": (("night",), (0.48, 0.62)), "village": (DAYS, (0.34, 0.5)),
    "park": (DAYS, (0.36, 0.52)), "forest": (BRIGHT, (0.42, 0.6)), "mountain": (DAYS, (0.5, 0.68)),
    "desert": (DAYS, (0.32, 0.52)), "snow field": (DAYS, (0.32, 0.52)), "meadow": (DAYS, (0.3, 0.62)),
    "street wall": (DAYS, (-0.4, -0.3)), "open sky": (DAYS, (0.82, 1.1)),
}  # fmt: skip
PLACES = {name: Place(*stage, read_cast(CASTS[name])) for name, stage in STAGES.items()}
