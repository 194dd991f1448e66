"""What is in the sky: sun, moon, clouds, balloons and kites, each drawn by one function `(pen, rng) -> variant`."""

from itertools import pairwise
from math import cos, pi, sin
from random import Random

from describer.data.scenes.canvas import Paint
from describer.data.scenes.paints import PALE_WOOD, VIVID, coat
from describer.data.scenes.palette import pick_color
from describer.data.scenes.pen import Pen


def draw_sun(pen: Pen, rng: Random) -> str:
    """Draw the sun, 2 m across, with its glow and sometimes with rays."""
    low = pen.canvas.light.name == "sunset"
    color = rng.choice(((255, 120, 60), (255, 160, 60))) if low else rng.choice(((255, 216, 60), (255, 230, 110)))
    pen.halo(0, 0, 2.8, (255, 240, 180), 0.3)
    paint = Paint(color, "light", shine=1)
    if not low and rng.random() < 0.35:
        for i in range(10):
            a = 2 * pi * i / 10
            pen.shape(
                (
                    (1.2 * cos(a - 0.12), 1.2 * sin(a - 0.12)),
                    (1.2 * cos(a + 0.12), 1.2 * sin(a + 0.12)),
                    (1.7 * cos(a), 1.7 * sin(a)),
                ),
                paint,
            )
    pen.oval(0, 0, 1, 1, paint)
    return "setting sun" if low else "sun"


def draw_moon(pen: Pen, rng: Random) -> str:
    """Draw the moon, full or a crescent, 2 m across."""
    paint = Paint(rng.choice(((246, 242, 214), (236, 238, 240), (255, 232, 160))), "light", shine=1)
    pen.halo(0, 0, 2.4, (220, 226, 255), 0.2)
    if rng.random() < 0.5:
        outer = [(cos(a), sin(a)) for a in (pi / 2 + pi * i / 16 for i in range(17))]
        inner = [(0.55 * cos(a), sin(a)) for a in (3 * pi / 2 - pi * i / 16 for i in range(17))]
        pen.turned(0.3, 0, rng.uniform(-0.5, 0.3)).shape([*outer, *inner], paint)
        return "crescent moon"
    pen.oval(0, 0, 1, 1, paint)
    for x, y, r in ((-0.3, 0.3, 0.22), (0.35, -0.1, 0.17), (-0.15, -0.45, 0.14)):
        pen.mark_oval(x, y, r, r, (150, 150, 140), 0.35)
    return "full moon"


def draw_cloud(pen: Pen, rng: Random) -> str:
    """Draw a cloud of overlapping puffs, 4 m wide."""
    shade = {"day": (252, 253, 255), "cloudy": (226, 229, 234), "sunset": (255, 214, 206), "night": (84, 90, 124)}
    paint = Paint(shade[pen.canvas.light.name], "air", shine=1)
    dark = Paint(tuple(round(v * 0.88) for v in paint.color), "air", shine=1)  # type: ignore[arg-type]
    puffs = [
        (-1.3, 0.05, 0.6),
        (1.35, 0.05, 0.55),
        (-0.6, 0.35, rng.uniform(0.6, 0.85)),
        (0.5, 0.4, rng.uniform(0.6, 0.95)),
        (0, 0.05, 0.75),
    ]
    for x, y, r in puffs:
        pen.oval(x, y - 0.14, r, r * 0.72, dark)
    for x, y, r in puffs:
        pen.oval(x, y, r * 0.96, r * 0.7, paint)
    return "cloud"


def draw_balloon(pen: Pen, rng: Random) -> str:
    """Draw a hot-air balloon, 3 m across."""
    cloth = coat(rng, "cloth", 0.75, VIVID, 4)
    pen.line((-0.75, 1.1), (-0.25, 0.45), 0.05, PALE_WOOD, "basket")
    pen.line((0.75, 1.1), (0.25, 0.45), 0.05, PALE_WOOD, "basket")
    dome = [(1.5 * cos(a), 2.6 + 1.5 * sin(a)) for a in (-0.35 + (pi + 0.7) * i / 24 for i in range(25))]
    pen.shape([*dome, (-0.5, 0.95), (0.5, 0.95)], cloth, "envelope")
    side = pen.canvas.light.side * (-1 if pen.mirror else 1)
    pen.mark_oval(side * 0.5, 3.1, 0.5, 0.6, (255, 255, 255), 0.2)
    pen.mark(
        ((-side * 0.5, 0.95), (-side * 1.45, 2.2), (-side * 1.35, 3.2), (-side * 0.8, 3.8), (-side * 0.9, 2)),
        (0, 0, 40),
        0.14,
    )
    pen.shape(((-0.36, 0.5), (0.36, 0.5), (0.28, 0), (-0.28, 0)), Paint((142, 94, 52), "wood"), "basket")
    return "hot air balloon"


def draw_kite(pen: Pen, rng: Random) -> str:
    """Draw a kite with its tail, 2 m high."""
    cloth = coat(rng, "cloth", 0.75, VIVID, 3.5)
    turned = pen.turned(0, 0, rng.uniform(-0.5, 0.1))
    tail = [(0.25 * sin(2.2 * i), -1.2 - 0.3 * i) for i in range(6)]
    string = Paint((90, 80, 80), "cloth")
    for start, end in pairwise(tail):
        turned.line(start, end, 0.07, string, "tail")
    bow = Paint(pick_color(rng, rng.choice(VIVID)), "cloth")
    for x, y in tail[1::2]:
        turned.shape(
            ((x - 0.22, y + 0.14), (x + 0.22, y - 0.14), (x + 0.22, y + 0.14), (x - 0.22, y - 0.14)), bow, "tail"
        )
    turned.shape(((0, 1.1), (0.85, 0.3), (0, -1.2), (-0.85, 0.3)), cloth, "cloth")
    turned.mark(((0, 1.1), (0.03, 1.1), (0.03, -1.2), (0, -1.2)), (40, 30, 30), 0.5)
    turned.mark(((-0.85, 0.28), (0.85, 0.28), (0.85, 0.32), (-0.85, 0.32)), (40, 30, 30), 0.5)
    return "kite"
