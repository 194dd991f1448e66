"""What stands about: balls, lamps, fences, flags, benches, umbrellas, snowmen and rocks, `(pen, rng) -> variant`."""

from math import cos, pi, sin
from random import Random

from describer.data.scenes.canvas import Paint
from describer.data.scenes.paints import DARK_WOOD, IRON, LAMPLIGHT, PALE_WOOD, STEEL, VIVID, coat, vary
from describer.data.scenes.palette import pick_color
from describer.data.scenes.pen import Pen


def draw_ball(pen: Pen, rng: Random) -> str:
    """Draw a ball, 0.9 m across (larger than life)."""
    paint = coat(rng, "rubber", 0.72, (*VIVID, "white"), 3.4)
    pen.shadow(0.45, 0.12)
    pen.oval(0, 0.45, 0.45, 0.45, paint, "")
    side = pen.canvas.light.side * (-1 if pen.mirror else 1)
    pen.mark([(0.45 * cos(a), 0.45 + 0.45 * sin(a)) for a in (pi + pi * i / 12 for i in range(13))], (10, 10, 40), 0.12)
    pen.mark_oval(side * 0.16, 0.62, 0.11, 0.08, (255, 255, 255), 0.6)
    return "ball"


def draw_lamp(pen: Pen, rng: Random) -> str:
    """Draw a street lamp, 4 m high, that shines at night."""
    night = pen.canvas.light.name == "night"
    pen.shadow(0.35, 0.08)
    pen.box(-0.2, 0, 0.2, 0.3, IRON, "pole")
    pen.line((0, 0.2), (0, 3.4), 0.15, IRON, "pole")
    bent = rng.random() < 0.5
    x, y = (0.85, 3.45) if bent else (0.0, 3.6)
    if night:
        pen.halo(x, y, 1.8, (255, 230, 150), 0.35)
    if bent:
        pen.line((0, 3.35), (0.6, 3.7), 0.12, IRON, "pole")
        pen.line((0.55, 3.7), (0.9, 3.65), 0.16, IRON, "pole")
    glass = LAMPLIGHT if night else Paint((248, 244, 220), "glass")
    pen.oval(x, y, 0.34, 0.3, glass, "head")
    if not bent:
        pen.shape(((-0.36, y + 0.2), (0.36, y + 0.2), (0, y + 0.5)), IRON, "head")
    return "lamp"


def draw_fence(pen: Pen, rng: Random) -> str:
    """Draw a picket fence, 4-7 m long."""
    wood = rng.choice(
        (Paint(pick_color(rng, "white"), "wood"), PALE_WOOD, DARK_WOOD, Paint(pick_color(rng, "white"), "wood"))
    )
    count = rng.randint(8, 13)
    step = 0.52
    half = count * step / 2
    pen.mark(
        ((-half, 0.05), (half, 0.05), (half + 0.3, -0.15), (-half + 0.3, -0.15)),
        (20, 24, 40),
        pen.canvas.light.shadow * 0.6,
    )
    for y in (0.35, 0.8):
        pen.box(-half, y, half, y + 0.14, wood.darker(0.15), "")
    for i in range(count):
        x = -half + (i + 0.5) * step
        pen.shape(((x - 0.14, 0), (x + 0.14, 0), (x + 0.14, 1.05), (x, 1.25), (x - 0.14, 1.05)), wood, "")
    return "fence"


def draw_flag(pen: Pen, rng: Random) -> str:
    """Draw a waving flag on a pole, 4 m high."""
    cloth = coat(rng, "cloth", 0.75, VIVID, 4)
    pen.shadow(0.25, 0.06)
    steps = 8
    phase, wave = rng.uniform(0, 6), rng.uniform(0.05, 0.14)
    top = [(0.05 + 2.2 * i / steps, 3.9 + wave * sin(phase + 5 * i / steps)) for i in range(steps + 1)]
    bottom = [(x, y - 1.45) for x, y in top]
    pen.shape([*top, *reversed(bottom)], cloth, "cloth")
    for i in range(0, steps, 3):
        pen.mark((top[i], top[i + 1], bottom[i + 1], bottom[i]), (0, 0, 30), 0.14)
    pen.line((0, 0), (0, 4.05), 0.12, STEEL, "pole")
    pen.oval(0, 4.1, 0.12, 0.12, Paint((240, 200, 70), "metal"), "pole")
    return "flag"


def draw_bench(pen: Pen, rng: Random) -> str:
    """Draw a park bench, 2.4 m long."""
    wood = rng.choice((PALE_WOOD, DARK_WOOD, Paint(pick_color(rng, rng.choice(("green", "red", "blue"))), "wood")))
    pen.shadow(1.3, 0.15)
    for x in (-1, 1):
        pen.line((x, 0), (x, 1.1), 0.14, IRON, "leg")
        pen.line((x * 0.94, 0), (x * 0.94, 0.5), 0.12, IRON, "leg")
    for y in (0.72, 0.98):
        pen.box(-1.25, y, 1.25, y + 0.19, wood, "seat")
    pen.shape(((-1.25, 0.56), (1.25, 0.56), (1.32, 0.4), (-1.32, 0.4)), wood.lighter(0.1), "seat")
    pen.box(-1.32, 0.32, 1.32, 0.4, wood.darker(0.25), "seat")
    return "bench"


def draw_umbrella(pen: Pen, rng: Random) -> str:
    """Draw a parasol stuck in the ground, 2.4 m high."""
    cloth = coat(rng, "cloth", 0.75, VIVID, 4)
    pen.shadow(1.2, 0.2)
    lean = pen.turned(0, 0, rng.uniform(-0.16, 0.16))
    lean.line((0, 0), (0, 2.3), 0.09, PALE_WOOD, "pole")
    dome = [(1.45 * cos(a), 1.6 + 0.95 * sin(a)) for a in (pi * i / 14 for i in range(15))]
    hem = [(-1.45 + 2.9 * i / 10, 1.6 + (0.12 if i % 2 else 0)) for i in range(1, 10)]
    lean.shape([*dome, *hem], cloth, "canopy")
    lean.mark(
        [(0.75 * cos(a) + 0.7 * (1 - abs(cos(a))) * 0, 1.6 + 0.95 * sin(a)) for a in (pi * i / 10 for i in range(11))],
        (255, 255, 255),
        0.12,
    )
    lean.oval(0, 2.58, 0.08, 0.1, PALE_WOOD, "pole")
    return "umbrella"


def draw_snowman(pen: Pen, rng: Random) -> str:
    """Draw a snowman, 2 m high."""
    snow = Paint((246, 249, 253), "snow")
    pen.shadow(0.75, 0.14)
    for side in (-1, 1):
        pen.line((side * 0.3, 1.15), (side * 0.95, 1.45), 0.08, DARK_WOOD, "arm")
    for y, r, part in ((0.5, 0.6, "body"), (1.2, 0.44, "body"), (1.75, 0.32, "head")):
        pen.oval(0, y, r, r * 0.95, snow, part)
        pen.mark_oval(0.1, y - r * 0.45, r * 0.75, r * 0.4, (80, 110, 170), 0.18)
    scarf = coat(rng, "cloth", 0.3, VIVID, 5)
    pen.box(-0.34, 1.42, 0.34, 1.56, scarf, "cloth")
    pen.box(0.1, 1.05, 0.26, 1.45, scarf, "cloth")
    for x in (-0.11, 0.13):
        pen.mark_oval(x, 1.84, 0.045, 0.045, (10, 10, 10), 1)
    for y in (1.0, 1.22):
        pen.mark_oval(0.02, y, 0.05, 0.05, (10, 10, 10), 1)
    pen.shape(((0, 1.78), (0.36, 1.72), (0, 1.68)), Paint((240, 130, 30), "foliage"), "head")
    hat = Paint(pick_color(rng, rng.choice(("black", "black", "red", "blue"))), "cloth")
    pen.box(-0.4, 1.98, 0.4, 2.07, hat, "hat")
    pen.box(-0.25, 2.05, 0.25, 2.45, hat, "hat")
    return "snowman"


def draw_rock(pen: Pen, rng: Random) -> str:
    """Draw a rock or two, 2 m wide."""
    color = vary(rng, rng.choice(((132, 130, 128), (150, 142, 132), (112, 114, 122))), 10)
    if pen.canvas.place == "desert":
        color = vary(rng, (168, 104, 70), 12)
    rock = Paint(color, "stone")
    pen.shadow(1.2, 0.2)
    for x, grow in ((0.75, 0.55), (0, 1)):
        a, b = rng.uniform(0.7, 1.1) * grow, rng.uniform(0.85, 1.15) * grow
        pen.shape(
            (
                (x - grow, 0),
                (x - grow * 0.85, a * 0.55),
                (x - grow * 0.3, a),
                (x + grow * 0.4, b),
                (x + grow * 0.9, b * 0.5),
                (x + grow, 0),
            ),
            rock,
            "",
        )
        pen.mark(
            ((x - grow * 0.85, a * 0.55), (x - grow * 0.3, a), (x + grow * 0.4, b), (x, a * 0.6)), (255, 255, 255), 0.2
        )
        pen.mark(((x + grow * 0.4, b), (x + grow * 0.9, b * 0.5), (x + grow, 0), (x + grow * 0.3, 0)), (0, 0, 20), 0.22)
    return "rock"
