"""Trees, palms, cacti, bushes and flowers, each drawn by one function `(pen, rng) -> variant`."""

from math import cos, pi, sin
from random import Random

from describer.data.scenes.canvas import Paint
from describer.data.scenes.geometry import Number
from describer.data.scenes.paints import BARK, VIVID, leaves
from describer.data.scenes.palette import mix, pick_color
from describer.data.scenes.pen import Pen


def leafy_crown(pen: Pen, rng: Random, paint: Paint, y: Number, radius: Number) -> None:
    """Draw a crown of overlapping blobs around (0, y), light from above."""
    count = rng.randint(5, 7)
    side = pen.canvas.light.side * (-1 if pen.mirror else 1)
    blobs = [(radius * 0.55 * cos(a), y + radius * 0.5 * sin(a), radius * rng.uniform(0.5, 0.68))
             for a in (2 * pi * (i + rng.uniform(-0.2, 0.2)) / count for i in range(count))]  # fmt: skip
    blobs.sort(key=lambda blob: blob[1])
    pen.oval(0, y, radius * 0.85, radius * 0.8, paint.darker(0.12), "crown")
    for bx, by, r in blobs:
        pen.oval(bx, by, r, r * 0.92, paint.darker(0.16 - 0.12 * (by - y) / radius), "crown")
    for bx, by, r in blobs:
        light = mix(paint.color, (255, 250, 190), 0.3)
        if by > y - 0.1 * radius:
            pen.mark_oval(bx + side * r * 0.22, by + r * 0.25, r * 0.55, r * 0.48, light, 0.45)
        pen.mark_oval(bx - side * r * 0.2, by - r * 0.55, r * 0.5, r * 0.25, (10, 30, 20), 0.12)


def draw_tree(pen: Pen, rng: Random) -> str:
    """Draw a broad-leaved tree or a conifer, 4-6 m high; snow lies on it in the snow."""
    snowy = pen.canvas.place == "snow field"
    conifers = {"mountain": 0.75, "snow field": 0.85, "forest": 0.45, "lake": 0.5}.get(pen.canvas.place, 0.22)
    if rng.random() < conifers:
        draw_conifer(pen, rng, snowy)
        return "conifer"
    tall, radius = rng.uniform(1.3, 2.2), rng.uniform(1.2, 1.75)
    pen.shadow(radius, 0.3)
    pen.shape(((-0.3, 0), (0.3, 0), (0.17, tall + 0.6), (-0.17, tall + 0.6)), BARK, "trunk")
    pen.mark(((0.02, 0), (0.3, 0), (0.17, tall), (0.02, tall)), (20, 10, 0), 0.2)
    pen.line((0, tall * 0.8), (radius * 0.5, tall + radius * 0.5), 0.16, BARK, "trunk")
    paint = leaves(rng)
    leafy_crown(pen, rng, paint, tall + radius * 0.75, radius)
    if rng.random() < 0.15:
        fruit = Paint(pick_color(rng, rng.choice(("red", "orange", "yellow", "pink"))), "foliage")
        for _ in range(7):
            angle, reach = rng.uniform(0, 2 * pi), rng.uniform(0.2, 0.8) * radius
            pen.oval(reach * cos(angle), tall + radius * 0.75 + reach * sin(angle), 0.17, 0.17, fruit, "crown")
    return "tree"


def draw_conifer(pen: Pen, rng: Random, snowy: bool) -> None:
    """Draw a fir of three or four tiers."""
    tiers, half = rng.randint(3, 4), rng.uniform(1.1, 1.5)
    pen.shadow(half, 0.25)
    pen.box(-0.18, 0, 0.18, 0.9, BARK, "trunk")
    paint = Paint(leaves(rng, "summer").darker(0.25).color, "foliage")
    bottom = 0.6
    for tier in range(tiers):
        reach = half * (1 - 0.75 * tier / tiers)
        top = bottom + 1.7 - 0.12 * tier
        hem = [(-reach * (1 - i / 3), bottom - (0.12 if i % 2 else 0)) for i in range(7)]
        pen.shape([*hem, (0, top)], paint.lighter(0.05 * tier), "crown")
        pen.mark(((reach * 0.1, bottom), (reach, bottom), (0, top)), (0, 20, 30), 0.16)
        if snowy:
            cap = ((-0.5, 0.8), (-0.15, 0.62), (0.1, 0.85), (0.45, 0.72), (0, 0))
            pen.shape([(x * reach, top - y) for x, y in cap], Paint((244, 247, 251), "snow"), "crown")
        bottom += 0.85


def draw_palm(pen: Pen, rng: Random) -> str:
    """Draw a palm with a bent trunk, 5 m high."""
    bend, tall = rng.uniform(-1.1, 1.1), rng.uniform(3.4, 4.6)
    pen.shadow(1.2, 0.2)
    steps = 6
    spine = [(bend * (i / steps) ** 2, tall * i / steps) for i in range(steps + 1)]
    for i in range(steps):
        thick = 0.36 - 0.025 * i
        pen.line(
            spine[i], (spine[i + 1][0], spine[i + 1][1] + 0.08), thick, BARK.lighter(0.12 + 0.08 * (i % 2)), "trunk"
        )
    green = leaves(rng, "summer")
    x, y = spine[-1]
    for i, angle in enumerate((200, 160, 340, 20, 55, 125, 90, 180, 0)):
        a = (angle + rng.uniform(-10, 10)) / 180 * pi
        reach = rng.uniform(1.5, 1.9)
        tip = (x + reach * cos(a), y + reach * sin(a) * 0.7 - 0.55)
        middle = (x + reach * 0.5 * cos(a), y + reach * 0.6 * sin(a) + 0.35)
        low = (x + reach * 0.5 * cos(a), y + reach * 0.6 * sin(a) - 0.02)
        pen.shape(((x, y), middle, tip, low), green.darker(0.2) if i % 2 else green, "crown")
    for dx in (-0.14, 0.14):
        pen.oval(x + dx, y - 0.12, 0.15, 0.16, Paint((96, 62, 36), "wood"), "trunk")
    return "palm"


def draw_cactus(pen: Pen, rng: Random) -> str:
    """Draw a cactus with two arms, 3 m high."""
    paint = Paint(leaves(rng, "summer").darker(0.08).color, "foliage")
    pen.shadow(0.9, 0.15)
    tall = rng.uniform(2.4, 3.2)
    for side, low, high in (
        (-1, rng.uniform(0.7, 1.1), rng.uniform(1.6, 2.1)),
        (1, rng.uniform(0.9, 1.4), rng.uniform(1.9, 2.4)),
    ):
        pen.line((0, low), (side * 0.85, low), 0.42, paint, "arm")
        pen.oval(side * 0.85, low, 0.21, 0.21, paint, "arm")
        pen.line((side * 0.85, low), (side * 0.85, high), 0.42, paint, "arm")
        pen.oval(side * 0.85, high, 0.21, 0.21, paint, "arm")
    pen.box(-0.34, 0, 0.34, tall, paint, "stem")
    pen.oval(0, tall, 0.34, 0.36, paint, "stem")
    for x in (-0.14, 0.1):
        pen.mark(((x, 0.1), (x + 0.06, 0.1), (x + 0.06, tall), (x, tall)), (10, 50, 20), 0.3)
    if rng.random() < 0.5:
        pen.oval(
            0, tall + 0.4, 0.2, 0.15, Paint(pick_color(rng, rng.choice(("pink", "red", "yellow"))), "foliage"), "petal"
        )
    return "cactus"


def draw_bush(pen: Pen, rng: Random) -> str:
    """Draw a bush, 2 m wide, sometimes in blossom or with berries."""
    paint = leaves(rng)
    pen.shadow(1.1, 0.16)
    for x, y, r in ((-0.6, 0.45, 0.55), (0.62, 0.42, 0.52), (0, 0.6, 0.72)):
        pen.oval(x, y, r, r * 0.82, paint.darker(0.1 if x else 0), "crown")
        pen.mark_oval(
            x,
            y + r * 0.3,
            r * 0.55,
            r * 0.35,
            mix(paint.color, (255, 250, 190), 0.3),
            0.4,
        )
    if rng.random() < 0.4:
        bloom = Paint(pick_color(rng, rng.choice(("red", "pink", "white", "yellow", "purple"))), "foliage")
        for _ in range(8):
            pen.oval(rng.uniform(-0.9, 0.9), rng.uniform(0.3, 0.95), 0.11, 0.11, bloom, "petal")
    return "bush"


def draw_flower(pen: Pen, rng: Random) -> str:
    """Draw a flower, 1 m high (much larger than life)."""
    green = Paint((66, 140, 58), "foliage")
    tall = rng.uniform(0.75, 1)
    lean = rng.uniform(-0.12, 0.12)
    pen.line((0, 0), (lean, tall), 0.07, green, "stem")
    pen.shape(((0, 0.2), (0.28, 0.5), (0.34, 0.34)), green, "stem")
    pen.shape(((0, 0.12), (-0.3, 0.42), (-0.34, 0.24)), green, "stem")
    term = rng.choice((*VIVID[:3], "purple", "pink", "white", "blue"))
    petal = Paint(pick_color(rng, term), "foliage")
    if rng.random() < 0.3:
        cup = (
            (-0.24, 0.32),
            (-0.12, 0.12),
            (0, 0.3),
            (0.12, 0.12),
            (0.24, 0.32),
            (0.2, -0.12),
            (0, -0.2),
            (-0.2, -0.12),
        )
        pen.shape([(lean + x, tall + y + 0.05) for x, y in cup], petal, "petal")
        return "tulip"
    count = rng.choice((5, 6, 7))
    for i in range(count):
        angle = 2 * pi * i / count + 0.3
        pen.oval(lean + 0.21 * cos(angle), tall + 0.21 * sin(angle), 0.15, 0.15, petal.darker(0.1 * (i % 2)), "petal")
    heart = (240, 200, 60) if term not in ("yellow", "orange") else (110, 66, 34)
    pen.oval(lean, tall, 0.12, 0.12, Paint(heart, "foliage"), "petal")
    return "flower"
