"""The catalogue of things: who draws each, how large it is, and how large it looks in the sky."""

from collections.abc import Callable
from random import Random

from describer.data.scenes.buildings import draw_building, draw_house, draw_tent, draw_tower
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
from describer.data.scenes.geometry import Number
from describer.data.scenes.heavens import draw_balloon, draw_cloud, draw_kite, draw_moon, draw_sun
from describer.data.scenes.pen import Pen
from describer.data.scenes.plants import draw_bush, draw_cactus, draw_flower, draw_palm, draw_tree
from describer.data.scenes.vehicles import draw_airplane, draw_bicycle, draw_boat, draw_bus, draw_car

Artist = Callable[[Pen, Random], str]

ARTISTS: dict[str, Artist] = {
    "house": draw_house, "building": draw_building, "tower": draw_tower, "tree": draw_tree, "palm": draw_palm,
    "cactus": draw_cactus, "bush": draw_bush, "flower": draw_flower, "boat": draw_boat, "car": draw_car,
    "bus": draw_bus,
    "bicycle": draw_bicycle, "airplane": draw_airplane, "person": draw_person, "dog": draw_dog, "sheep": draw_sheep,
    "bird": draw_bird, "ball": draw_ball, "sun": draw_sun, "moon": draw_moon, "cloud": draw_cloud, "lamp": draw_lamp,
    "fence": draw_fence, "flag": draw_flag, "balloon": draw_balloon, "kite": draw_kite, "bench": draw_bench,
    "umbrella": draw_umbrella, "tent": draw_tent, "snowman": draw_snowman, "rock": draw_rock,
}  # fmt: skip

SIZES: dict[str, tuple[Number, Number, Number]] = {  # metres wide, metres high, magnification over the true perspective
    "house": (6, 5, 1), "building": (6, 9, 0.8), "tower": (3, 8, 0.85), "tree": (3.2, 4.4, 1), "palm": (3.4, 4.6, 1),
    "cactus": (2, 3, 1.1), "bush": (2.2, 1.2, 1.2), "flower": (0.7, 1.1, 1.25), "boat": (4, 4, 1.15),
    "car": (4.2, 1.6, 1.2),
    "bus": (7, 3, 1), "bicycle": (2, 1.2, 1.5), "airplane": (6, 3, 1), "person": (1, 2, 1.35), "dog": (1.4, 1.1, 1.6),
    "sheep": (1.5, 1.1, 1.6), "bird": (1.2, 0.8, 1.5), "ball": (0.9, 0.9, 1.5), "sun": (2, 2, 1), "moon": (2, 2, 1),
    "cloud": (4, 1.6, 1), "lamp": (1, 4, 1), "fence": (5, 1.2, 1.2), "flag": (2.4, 4.1, 0.9), "balloon": (3, 4, 1),
    "kite": (1.8, 3.4, 1), "bench": (2.6, 1.2, 1.3), "umbrella": (2.9, 2.6, 1.2), "tent": (4, 2, 1.1),
    "snowman": (1.6, 2.4, 1.2), "rock": (2.2, 1.1, 1),
}  # fmt: skip
ALOFT: dict[str, tuple[Number, Number]] = {  # smallest and largest width in frames of what is in the sky
    "sun": (0.1, 0.2), "moon": (0.12, 0.24), "cloud": (0.16, 0.42), "bird": (0.09, 0.24), "balloon": (0.1, 0.3),
    "kite": (0.1, 0.22), "airplane": (0.2, 0.48),
}  # fmt: skip
