"""Houses, buildings, towers and tents, each drawn by one function `(pen, rng) -> variant`."""

from random import Random

from describer.data.scenes.canvas import Paint
from describer.data.scenes.geometry import Number
from describer.data.scenes.paints import DARK_WOOD, IRON, LAMPLIGHT, coat, pane, roof, vary, wall
from describer.data.scenes.palette import mix, pick_color
from describer.data.scenes.pen import Pen

CHIMNEY = Paint((150, 78, 62), "brick", "bricks", (214, 196, 180), 4)


def window(pen: Pen, rng: Random, x: Number, y: Number) -> None:
    """Draw a window, 0.85 x 0.95 m, with its lower left corner at (x, y)."""
    wide, tall, edge = 0.85, 0.95, 0.1
    frame = Paint((244, 242, 236), "wood")
    pen.box(x - edge, y - edge, x + wide + edge, y + tall + edge, frame, "window")
    glass = pane(rng, pen.canvas.light.name == "night")
    pen.box(x, y, x + wide, y + tall, glass, "window")
    if not glass.shine:
        pen.mark(((x, y + tall * 0.4), (x + wide * 0.6, y + tall), (x, y + tall)), (255, 255, 255), 0.22)
    pen.line((x + wide / 2, y), (x + wide / 2, y + tall), edge * 0.8, frame, "window")
    pen.line((x, y + tall / 2), (x + wide, y + tall / 2), edge * 0.8, frame, "window")


def door(pen: Pen, rng: Random, x: Number, width: Number, height: Number) -> None:
    """Draw a door whose left lower corner is (x, 0)."""
    color = pick_color(rng, rng.choice(("brown", "red", "blue", "green", "white", "brown")))
    pen.box(x - 0.1, 0, x + width + 0.1, height + 0.1, Paint((236, 232, 224), "wood"), "door")
    pen.box(x, 0, x + width, height, Paint(color, "wood"), "door")
    pen.mark(((x + width * 0.2, height * 0.55), (x + width * 0.8, height * 0.55), (x + width * 0.8, height * 0.9),
              (x + width * 0.2, height * 0.9)), (0, 0, 0), 0.18)  # fmt: skip
    pen.oval(x + width * 0.84, height * 0.45, 0.08, 0.08, Paint((230, 190, 80), "metal"), "door")


def gable_front(pen: Pen, rng: Random, half: Number, height: Number, rise: Number) -> None:
    """Draw a house from its gable, with its long side going back to the right."""
    walls, tiles = wall(rng), roof(rng)
    depth = rng.uniform(1.6, 3)
    lift, slope = depth * 0.22, rise / half
    low, top = height - 0.4 * slope, height + rise
    if rng.random() < 0.65:
        pen.box(depth * 0.4 + 0.35, height + rise * 0.4, depth * 0.4 + 1.05, top + 0.9, CHIMNEY, "chimney")
    side = ((half, 0), (half + depth, lift), (half + depth, height + lift), (half, height))
    pen.shape(side, walls.darker(0.22), "facade")
    pen.shape(((-half, 0), (half, 0), (half, height), (0, top), (-half, height)), walls, "facade")
    eave = half + 0.4
    plane = ((0, top + 0.12), (eave, low + 0.1), (eave + depth, low + 0.1 + lift), (depth, top + lift + 0.12))
    pen.shape(plane, tiles, "roof")
    for way in (-1, 1):
        pen.line((0, top + 0.02), (way * (half + 0.45), low), 0.26, tiles.darker(0.1), "roof")
    pen.oval(0, height + rise * 0.38, 0.36, 0.36, pane(rng, pen.canvas.light.name == "night"), "window")


def long_side(pen: Pen, rng: Random, half: Number, height: Number, rise: Number) -> None:
    """Draw a house from its long side, under a broad roof."""
    if rng.random() < 0.65:
        pen.box(half * 0.35, height + rise * 0.3, half * 0.35 + 0.75, height + rise + 0.75, CHIMNEY, "chimney")
    pen.box(-half, 0, half, height, wall(rng), "facade")
    inset, low, top = rng.uniform(0, 0.9), height - 0.1, height + rise
    eave, ridge = half + 0.45, half + 0.3 - inset
    pen.shape(((-eave, low), (eave, low), (ridge, top), (-ridge, top)), roof(rng), "roof")
    pen.mark(((-half, low), (half, low), (half, low - 0.25), (-half, low - 0.25)), (0, 0, 0), 0.2)


def draw_house(pen: Pen, rng: Random) -> str:
    """Draw a house seen from its gable or its long side, 4-6 m wide."""
    half, height = rng.uniform(2, 2.8), rng.uniform(2.5, 3.4)
    pen.shadow(half * 1.2, 0.4)
    rng.choice((gable_front, long_side))(pen, rng, half, height, rng.uniform(1.5, 2.6))
    at = rng.choice((-1, 0, 1))
    door(pen, rng, at * half * 0.55 - 0.45, 0.95, 1.9)
    for side in (-1, 0, 1):
        if side != at and (abs(side - at) > 1 or half > 2.2 or side):
            window(pen, rng, side * half * 0.58 - 0.42, height * 0.4)
    return "house"


def draw_building(pen: Pen, rng: Random) -> str:
    """Draw a block of flats or offices with rows of windows, 4-7 m wide and up to 16 m high (a toy's metres)."""
    night = pen.canvas.light.name == "night"
    half, floors = rng.uniform(1.9, 3.2), rng.randint(3, 8)
    storey = 1.55
    height = floors * storey + 0.7
    glassy = rng.random() < 0.25
    walls = Paint(vary(rng, (96, 128, 156)), "glass") if glassy else wall(rng, ("brick", "plaster", "plaster", "stone"))
    if rng.random() < 0.6:
        depth = rng.uniform(0.8, 1.8)
        pen.shape(
            ((half, 0), (half + depth, 0.2), (half + depth, height - 0.1), (half, height)), walls.darker(0.28), "facade"
        )
    pen.box(-half, 0, half, height, walls, "facade")
    pen.box(
        -half - 0.12,
        height - 0.12,
        half + 0.12,
        height + 0.28,
        Paint(mix(walls.color, (40, 40, 50), 0.45), "stone"),
        "roof",
    )
    columns = rng.randint(3, 4)
    step = 2 * half / columns
    wide = step * (0.78 if glassy else 0.5)
    for floor in range(floors):
        bottom = floor * storey + 0.55
        if floor == 0:
            continue
        for column in range(columns):
            left = -half + step * column + (step - wide) / 2
            pen.box(left, bottom, left + wide, bottom + 0.95, pane(rng, night), "window")
    door(pen, rng, -0.5, 1, 1.5)
    if rng.random() < 0.5:
        shop = coat(rng, "cloth", 0.7)
        pen.shape(((-half, 1.9), (half, 1.9), (half + 0.15, 1.4), (-half - 0.15, 1.4)), shop, "canopy")
    if rng.random() < 0.4:
        pen.line((half * 0.4, height), (half * 0.4, height + 1.4), 0.12, IRON, "pole")
    return "building"


def draw_lighthouse(pen: Pen, rng: Random) -> None:
    """Draw a lighthouse with flat stripes."""
    low, high, tall = 1.15, 0.75, 7.2
    color = pick_color(rng, rng.choice(("red", "red", "blue", "black")))
    plain = Paint(pick_color(rng, "white"), "plaster", "striped-flat", color, rng.uniform(2.4, 3.6))
    pen.shape(((-low, 0), (low, 0), (high, tall), (-high, tall)), plain, "facade")
    pen.mark(((low * 0.3, 0), (low, 0), (high, tall), (high * 0.3, tall)), (20, 20, 50), 0.14)
    pen.box(-1.05, tall, 1.05, tall + 0.25, IRON, "facade")
    pen.box(-0.55, tall + 0.25, 0.55, tall + 1.2, LAMPLIGHT, "window")
    pen.shape(((-0.8, tall + 1.2), (0.8, tall + 1.2), (0, tall + 2)), Paint(color, "metal"), "roof")
    pen.box(-0.35, 0, 0.35, 1.2, Paint(color, "wood"), "door")


def draw_castle(pen: Pen, rng: Random) -> None:
    """Draw a stone tower with battlements or a pointed roof."""
    stone = wall(rng, ("stone", "stone", "brick"))
    tall, half = rng.uniform(5, 7), rng.uniform(1.2, 1.6)
    night = pen.canvas.light.name == "night"
    pen.box(-half, 0, half, tall, stone, "facade")
    pen.mark(((half * 0.3, 0), (half, 0), (half, tall), (half * 0.3, tall)), (20, 20, 40), 0.16)
    if rng.random() < 0.5:
        pen.shape(((-half - 0.35, tall), (half + 0.35, tall), (0, tall + 2.4)), roof(rng), "roof")
    else:
        for left in (-half - 0.2, -half * 0.45, half * 0.3, half - 0.35):
            pen.box(left, tall - 0.1, left + 0.55, tall + 0.65, stone, "facade")
    pen.box(-0.28, tall * 0.62, 0.28, tall * 0.62 + 0.9, pane(rng, night), "window")
    pen.box(-0.45, 0, 0.45, 1.5, DARK_WOOD, "door")
    pen.oval(0, 1.5, 0.45, 0.4, DARK_WOOD, "door")


def draw_tower(pen: Pen, rng: Random) -> str:
    """Draw a lighthouse or a castle's tower, 7-9 m high."""
    pen.shadow(1.6, 0.3)
    if rng.random() < (0.75 if pen.canvas.place in ("beach", "harbour", "lake") else 0.25):
        draw_lighthouse(pen, rng)
        return "lighthouse"
    draw_castle(pen, rng)
    return "stone tower"


def draw_tent(pen: Pen, rng: Random) -> str:
    """Draw a ridge tent, 3 m wide."""
    cloth = coat(rng, "cloth", 0.6)
    pen.shadow(1.8, 0.25)
    pen.shape(((0.2, 1.75), (1.5, 1.95), (2.5, 0.25), (1.5, 0)), cloth.darker(0.25), "canopy")
    pen.shape(((-1.5, 0), (1.5, 0), (0.1, 1.8)), cloth, "canopy")
    pen.shape(((-0.5, 0), (0.5, 0), (0.08, 1.3)), Paint((40, 36, 44), "cloth"), "door")
    pen.line((0.1, 1.75), (0.1, 2.1), 0.08, DARK_WOOD, "pole")
    return "tent"
