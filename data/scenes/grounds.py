"""Skies, waters, lands and what lies far behind, drawn over the whole frame; x and y run from 0 to 1, y down.

draw_sky(canvas, rng, bottom=0.4)
draw_water(canvas, rng, top=0.4, bottom=0.7)
draw_grass(canvas, rng, ridge(rng, level=0.7, swing=0.02))         # everything below a wavy line
"""

from math import pi, sin
from random import Random

from describer.data.scenes.canvas import Canvas, Paint
from describer.data.scenes.geometry import Number
from describer.data.scenes.paints import pane, vary
from describer.data.scenes.palette import Color, mix
from describer.data.scenes.pen import Pen

Line = list[tuple[Number, Number]]

FAR, NEAR = -0.6, 1.6
"""Backdrops reach this far beyond the frame, for tilted views."""

GREENS: tuple[Color, ...] = ((118, 176, 74), (96, 160, 66), (140, 186, 84), (84, 146, 72), (168, 180, 84))
SANDS: tuple[Color, ...] = ((234, 210, 156), (240, 220, 172), (226, 196, 142))
WATERS: tuple[tuple[Color, Color], ...] = (
    ((96, 176, 214), (36, 108, 176)), ((120, 196, 210), (30, 132, 168)), ((88, 150, 196), (28, 84, 142)),
)  # fmt: skip


def ridge(rng: Random, level: Number, swing: Number, waves: Number = 1.5) -> Line:
    """Return a smooth line across the frame around y = level that swings by `swing`."""
    phases = [rng.uniform(0, 2 * pi) for _ in range(3)]
    return [
        (x, level + swing * sum(sin(2 * pi * waves * k * x + phases[k - 1]) / k for k in (1, 2, 3)) / 1.8)
        for x in (FAR + (NEAR - FAR) * i / 40 for i in range(41))
    ]


def band(top: Number, bottom: Number) -> Line:
    """Return the corners of a level band across the frame."""
    return [(FAR, top), (NEAR, top), (NEAR, bottom), (FAR, bottom)]


def down_to(line: Line, bottom: Number = NEAR) -> Line:
    """Return the area under a line."""
    return [*line, (line[-1][0], bottom), (line[0][0], bottom)]


def draw_sky(canvas: Canvas, rng: Random, bottom: Number) -> None:
    """Draw the sky down to y = bottom, with stars at night."""
    pen = Pen.of_frame(canvas, "sky")
    labels = pen.labels("", "air")
    light = canvas.light
    canvas.gradient(pen.outline(band(FAR, 0.02)), light.sky_high, light.sky_high, labels)
    canvas.gradient(pen.outline(band(bottom - 0.02, bottom + 0.12)), light.sky_low, light.sky_low, labels)
    canvas.gradient(pen.outline(band(0, bottom)), light.sky_high, light.sky_low, labels)
    if light.name == "night":
        for _ in range(rng.randint(10, 30)):
            x, y, r = rng.random(), rng.uniform(0, bottom * 0.9), rng.uniform(0.002, 0.005)
            pen.glow(((x - r, y), (x, y - r * 1.6), (x + r, y), (x, y + r * 1.6)), (255, 255, 230), rng.uniform(0.5, 1))
    elif rng.random() < 0.5:
        for _ in range(rng.randint(1, 4)):
            x, y = rng.random(), rng.uniform(0.05, max(0.06, bottom * 0.85))
            pen.mark_oval(x, y, rng.uniform(0.15, 0.4), rng.uniform(0.006, 0.02), (255, 255, 255), 0.16)


def ground(canvas: Canvas, name: str, material: str, area: Line, colors: tuple[Color, Color]) -> Pen:
    """Draw an area of ground that goes from one colour at its top to another at its bottom."""
    pen = Pen.of_frame(canvas, name)
    pen.blend(area, *colors, material)
    return pen


def draw_water(canvas: Canvas, rng: Random, top: Number, bottom: Number) -> None:
    """Draw water from the horizon on, with waves and the sky's reflection."""
    far, near = rng.choice(WATERS)
    high, low = canvas.light.sky_high, canvas.light.sky_low
    far, near = mix(far, low, 0.35), mix(near, high, 0.15)
    pen = ground(canvas, "water", "water", band(top, bottom), (far, near))
    shine = mix(low, (255, 255, 255), 0.3)
    for _ in range(26):
        depth = rng.random() ** 1.5
        y = top + 0.01 + (bottom - top) * depth
        half, thick = rng.uniform(0.02, 0.09) * (0.3 + depth), 0.0015 + 0.004 * depth
        x = rng.uniform(-0.1, 1.1)
        pen.glow(((x - half, y), (x, y - thick), (x + half, y), (x, y + thick)), shine, rng.uniform(0.2, 0.55))


def draw_grass(canvas: Canvas, rng: Random, line: Line, color: Color | None = None) -> None:
    """Draw grass under a line, with tufts that grow towards the viewer."""
    base = color or vary(rng, rng.choice(GREENS), 8)
    shades = mix(base, canvas.light.haze, 0.18), mix(base, (30, 70, 30), 0.22)
    pen = ground(canvas, "grass", "grass", down_to(line), shades)
    top = min(y for _, y in line)
    tints = mix(base, (20, 60, 20), 0.4), mix(base, (240, 250, 160), 0.35)
    tuft = ((-0.5, 0), (-0.3, 1), (0, 0.4), (0.25, 1.1), (0.5, 0))
    for i in range(40):
        y = top + 0.03 + (1.05 - top) * rng.random()
        tall = 0.006 + 0.035 * max(0.0, y - top)
        x = rng.uniform(-0.05, 1.05)
        pen.mark([(x + tall * u, y - tall * v) for u, v in tuft], tints[i % 2], 0.4)


def draw_sand(canvas: Canvas, rng: Random, line: Line, base: Color) -> None:
    """Draw sand under a line, with ripples."""
    shades = mix(base, (255, 250, 235), 0.15), mix(base, (150, 104, 60), 0.22)
    pen = ground(canvas, "sand", "sand", down_to(line), shades)
    top = min(y for _, y in line)
    for _ in range(14):
        y = top + 0.05 + (1.0 - top) * rng.random()
        x, half = rng.random(), rng.uniform(0.04, 0.14)
        pen.mark(((x - half, y), (x, y - 0.006), (x + half, y), (x, y + 0.002)), (140, 96, 50), 0.16)


def draw_snow(canvas: Canvas, rng: Random, line: Line) -> None:
    """Draw snow under a line, with blue hollows."""
    pen = ground(canvas, "snow", "snow", down_to(line), ((250, 252, 255), (222, 232, 244)))
    top = min(y for _, y in line)
    for _ in range(8):
        y, x, half = rng.uniform(top + 0.06, 1), rng.random(), rng.uniform(0.08, 0.25)
        pen.mark_oval(x, y, half, 0.012, (150, 180, 220), 0.25)


def draw_peak(pen: Pen, x: Number, base: Number, top: Number, paints: tuple[Paint, Paint, Number]) -> None:
    """Draw one peak of height `top` in (stone, snow, share of the height below the snow), half of it in shade."""
    stone, white, snow = paints
    half = top * (0.75 + 0.45 * (x * 7.3 % 1))
    left = [(x - half, base + 0.02), (x - half * 0.55, base - top * 0.4), (x - half * 0.3, base - top * 0.74)]
    right = [(x + half * 0.28, base - top * 0.7), (x + half * 0.6, base - top * 0.43), (x + half, base + 0.02)]
    peak = base - top
    pen.shape([*left, (x, peak), *right], stone)
    if snow < 1:
        cut = top * (1 - snow)
        wide = cut * half / top * 0.89
        edge = ((-1, 1), (0, 0), (1, 1), (0.45, 0.78), (0.1, 1.15), (-0.4, 0.8))
        pen.shape([(x + wide * u, peak + cut * v) for u, v in edge], white)
    side = pen.canvas.light.side
    shaded = left[::-1] if side > 0 else right
    foot = [(x - 0.1 * half * side, base + 0.02), (x - 0.12 * half * side, base - top * 0.5)]
    pen.mark([(x, peak), *shaded, *foot], (24, 28, 60), 0.26)


def draw_mountains(canvas: Canvas, rng: Random, base: Number, height: Number, snow: Number = 1.1) -> None:
    """Draw a chain of peaks standing on y = base, white above the share `snow` of their height."""
    pen = Pen.of_frame(canvas, "mountain")
    pen.haze = rng.uniform(0.15, 0.45)
    stone = Paint(vary(rng, rng.choice(((112, 116, 134), (124, 112, 106), (92, 104, 122)))), "stone")
    places = [rng.uniform(-0.15, 1.15) for _ in range(rng.randint(3, 5))]
    for x in sorted(places, key=lambda x: -abs(x - 0.5)):
        draw_peak(pen, x, base, height * rng.uniform(0.55, 1), (stone, Paint((246, 249, 253), "snow"), snow))


def draw_hills(canvas: Canvas, rng: Random, base: Number, height: Number) -> None:
    """Draw one or two chains of green hills behind y = base."""
    green = vary(rng, rng.choice(GREENS), 8)
    for i in range(rng.randint(1, 2)):
        pen = Pen.of_frame(canvas, "hill")
        share = 0.55 - 0.25 * i
        color = mix(mix(green, (60, 110, 70), 0.3), canvas.light.haze, 0) if i else green
        pen.haze = share * 0.7
        line = ridge(rng, base - height * (0.75 - 0.35 * i), height * 0.25, rng.uniform(0.6, 1.3))
        pen.blend(down_to(line, base + 0.05), color, mix(color, (30, 80, 40), 0.2), "grass")


def draw_treeline(canvas: Canvas, rng: Random, base: Number, height: Number, haze: Number) -> None:
    """Draw a far row of trees standing on y = base."""
    pen = Pen.of_frame(canvas, "tree")
    pen.haze = haze
    green = Paint(vary(rng, (52, 106, 62)), "foliage")
    x = -0.15
    while x < 1.15:
        r = height * rng.uniform(0.35, 0.6)
        if rng.random() < 0.5:
            tip = base - height * rng.uniform(0.7, 1.1)
            pen.shape(((x - r * 0.6, base + 0.01), (x, tip), (x + r * 0.6, base + 0.01)), green, "crown")
        else:
            pen.oval(x, base - r * 0.8, r * 0.8, r, green.darker(0.1), "crown")
        x += r * 0.85
    pen.box(-0.3, base - height * 0.2, 1.3, base + 0.012, green, "crown")


def draw_skyline(canvas: Canvas, rng: Random, base: Number, height: Number) -> None:
    """Draw far buildings standing on y = base, with lit windows at night."""
    night = canvas.light.name == "night"
    x = -0.1
    while x < 1.1:
        pen = Pen.of_frame(canvas, "building")
        pen.haze = rng.uniform(0.45, 0.7)
        wide, top = rng.uniform(0.06, 0.13), base - height * rng.uniform(0.4, 1)
        pen.box(x, base + 0.01, x + wide, top, Paint(vary(rng, (120, 126, 140), 20), "stone"), "facade")
        for row in range(int((base - top) / 0.045)):
            for column in range(2):
                if rng.random() < 0.6:
                    left, low = x + wide * (0.18 + 0.38 * column), top + 0.018 + 0.045 * row
                    pen.box(left, low, left + wide * 0.22, low + 0.02, pane(rng, night), "window")
        x += wide * rng.uniform(0.9, 1.2)


def draw_path(canvas: Canvas, rng: Random, top: Number, name: str, color: Color) -> None:
    """Draw a sandy "path" or an asphalt "road" from the bottom of the frame to y = top, narrowing as it goes."""
    pen = Pen.of_frame(canvas, name)
    material, wide = ("asphalt", 0.5) if name == "road" else ("sand", 0.38)
    start, end, bend = rng.uniform(0.2, 0.8), rng.uniform(0.3, 0.7), rng.uniform(-0.25, 0.25)
    left: Line = []
    right: Line = []
    for i in range(13):
        t = i / 12
        y = 1.15 + (top - 1.15) * t
        half = wide * (1 - t) ** 1.3 / 2 + 0.006
        x = start + (end - start) * t + bend * sin(pi * t)
        left.append((x - half, y))
        right.append((x + half, y))
    pen.blend([*left, *reversed(right)], mix(color, canvas.light.haze, 0.15), color, material)
    if name == "road":
        paint = Paint((244, 240, 226), "asphalt")
        for i in range(1, 11, 2):
            (ax, ay), (bx, by) = (((left[j][0] + right[j][0]) / 2, left[j][1]) for j in (i, i + 1))
            w, v = (right[i][0] - left[i][0]) * 0.04, (right[i + 1][0] - left[i + 1][0]) * 0.04
            pen.shape(((ax - w, ay), (ax + w, ay), (bx + v, by), (bx - v, by)), paint)
