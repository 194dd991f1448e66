"""Skies and grounds: each place's backdrop is one function `(canvas, rng) -> zones`, in frames, y down.

A zone is (top, bottom) of where things may stand, named by the stuff they stand on: {"sand": (0.6, 1.0)}.
"""

from collections.abc import Callable
from math import pi, sin
from random import Random

from describer.data.scenes.canvas import Canvas, Paint, Pen
from describer.data.scenes.paints import coat, pane, vary, wall
from describer.data.scenes.palette import Color, mix, pick_color

Zones = dict[str, tuple[float, float]]
Line = list[tuple[float, float]]

FAR, NEAR = -0.6, 1.6
"""Backdrops reach this far beyond the frame, for tilted views."""

GREENS: tuple[Color, ...] = ((118, 176, 74), (96, 160, 66), (140, 186, 84), (84, 146, 72), (168, 180, 84))
SANDS: tuple[Color, ...] = ((234, 210, 156), (240, 220, 172), (226, 196, 142))
WATERS: tuple[tuple[Color, Color], ...] = (
    ((96, 176, 214), (36, 108, 176)), ((120, 196, 210), (30, 132, 168)), ((88, 150, 196), (28, 84, 142)),
)  # fmt: skip


def ridge(rng: Random, level: float, swing: float, waves: float = 1.5) -> Line:
    """Return a smooth line across the frame around y = level that swings by `swing`."""
    phases = [rng.uniform(0, 2 * pi) for _ in range(3)]
    return [
        (x, level + swing * sum(sin(2 * pi * waves * k * x + phases[k - 1]) / k for k in (1, 2, 3)) / 1.8)
        for x in (FAR + (NEAR - FAR) * i / 40 for i in range(41))
    ]


def down_to(line: Line, bottom: float = NEAR) -> Line:
    """Return the area under a line."""
    return [*line, (line[-1][0], bottom), (line[0][0], bottom)]


def draw_sky(canvas: Canvas, rng: Random, bottom: float) -> None:
    """Draw the sky down to y = bottom, with stars at night."""
    pen = Pen.of_frame(canvas, "sky")
    labels = pen._labels("", "air")
    light = canvas.light
    top_area = [(FAR, FAR), (NEAR, FAR), (NEAR, 0.02), (FAR, 0.02)]
    canvas.gradient(pen.outline(top_area), light.sky_high, light.sky_high, labels)
    canvas.gradient(
        pen.outline([(FAR, 0), (NEAR, 0), (NEAR, bottom), (FAR, bottom)]), light.sky_high, light.sky_low, labels
    )
    if light.name == "night":
        for _ in range(rng.randint(10, 30)):
            x, y, r = rng.random(), rng.uniform(0, bottom * 0.9), rng.uniform(0.002, 0.005)
            pen.mark(((x - r, y), (x, y - r * 1.6), (x + r, y), (x, y + r * 1.6)), (255, 255, 230), rng.uniform(0.5, 1))
    elif rng.random() < 0.5:
        for _ in range(rng.randint(1, 4)):
            x, y = rng.random(), rng.uniform(0.05, max(0.06, bottom * 0.85))
            pen.mark_oval(x, y, rng.uniform(0.15, 0.4), rng.uniform(0.006, 0.02), (255, 255, 255), 0.16)


def ground(canvas: Canvas, name: str, material: str, area: Line, far: Color, near: Color) -> Pen:
    """Draw an area of ground that goes from one colour at its top to another at the frame's bottom."""
    pen = Pen.of_frame(canvas, name)
    pen.blend(area, far, near, material)
    return pen


def draw_water(canvas: Canvas, rng: Random, top: float, bottom: float) -> None:
    """Draw water from the horizon on, with waves and the sky's reflection."""
    far, near = rng.choice(WATERS)
    high, low = canvas.light.sky_high, canvas.light.sky_low
    far, near = mix(far, low, 0.35), mix(near, high, 0.15)
    pen = ground(canvas, "water", "water", [(FAR, top), (NEAR, top), (NEAR, bottom), (FAR, bottom)], far, near)
    shine = mix(low, (255, 255, 255), 0.3)
    for _ in range(26):
        depth = rng.random() ** 1.5
        y = top + 0.01 + (bottom - top) * depth
        half, thick = rng.uniform(0.02, 0.09) * (0.3 + depth), 0.0015 + 0.004 * depth
        x = rng.uniform(-0.1, 1.1)
        pen.mark(((x - half, y), (x, y - thick), (x + half, y), (x, y + thick)), shine, rng.uniform(0.2, 0.55))


def draw_grass(canvas: Canvas, rng: Random, line: Line, name: str = "grass", color: Color | None = None) -> None:
    """Draw grass under a line, with tufts that grow towards the viewer."""
    base = color or vary(rng, rng.choice(GREENS), 8)
    pen = ground(
        canvas, name, "grass", down_to(line), mix(base, canvas.light.haze, 0.18), mix(base, (30, 70, 30), 0.22)
    )
    top = min(y for _, y in line)
    dark, pale = (
        canvas.light_up(mix(base, (20, 60, 20), 0.4), 0, 0),
        canvas.light_up(mix(base, (240, 250, 160), 0.35), 0, 0),
    )
    for i in range(34):
        y = top + 0.03 + (1.05 - top) * rng.random()
        tall = 0.006 + 0.035 * max(0.0, y - top)
        x = rng.uniform(-0.05, 1.05)
        pen.mark(((x - tall * 0.5, y), (x - tall * 0.3, y - tall), (x, y - tall * 0.4), (x + tall * 0.25, y - tall * 1.1), (x + tall * 0.5, y)),
                 dark if i % 2 else pale, 0.4)  # fmt: skip


def draw_sand(canvas: Canvas, rng: Random, line: Line, base: Color) -> None:
    """Draw sand under a line, with ripples."""
    pen = ground(
        canvas, "sand", "sand", down_to(line), mix(base, (255, 250, 235), 0.15), mix(base, (150, 104, 60), 0.22)
    )
    top = min(y for _, y in line)
    for _ in range(14):
        y = top + 0.05 + (1.0 - top) * rng.random()
        x, half = rng.random(), rng.uniform(0.04, 0.14)
        pen.mark(((x - half, y), (x, y - 0.006), (x + half, y), (x, y + 0.002)), (140, 96, 50), 0.16)


def draw_snow(canvas: Canvas, rng: Random, line: Line) -> None:
    """Draw snow under a line, with blue hollows."""
    pen = ground(canvas, "snow", "snow", down_to(line), (250, 252, 255), (222, 232, 244))
    top = min(y for _, y in line)
    for _ in range(8):
        y, x, half = rng.uniform(top + 0.06, 1), rng.random(), rng.uniform(0.08, 0.25)
        pen.mark_oval(x, y, half, 0.012, canvas.light_up((150, 180, 220), 0, 0), 0.25)


def draw_mountains(canvas: Canvas, rng: Random, base: float, height: float, haze: float, snow: float) -> None:
    """Draw a chain of peaks standing on y = base; the tops above the share `snow` of the height are white."""
    pen = Pen.of_frame(canvas, "mountain")
    pen.haze = haze
    stone = Paint(vary(rng, rng.choice(((112, 116, 134), (124, 112, 106), (92, 104, 122)))), "stone")
    white = Paint((246, 249, 253), "snow")
    for x in sorted(
        (rng.uniform(-0.15, 1.15) for _ in range(rng.randint(3, 5))), key=lambda x: abs(x - 0.5), reverse=True
    ):
        top = height * rng.uniform(0.55, 1)
        half = top * rng.uniform(0.75, 1.2)
        peak = base - top
        left = [(x - half, base + 0.02), (x - half * 0.55, base - top * 0.4), (x - half * 0.3, base - top * 0.74)]
        right = [(x + half * 0.28, base - top * 0.7), (x + half * 0.6, base - top * 0.43), (x + half, base + 0.02)]
        pen.shape([*left, (x, peak), *right], stone)
        if snow < 1:
            cut = top * (1 - snow)
            slope = half * 0.29 / (top * 0.26)
            w = cut * slope * 0.8
            pen.shape([(x - w, peak + cut), (x, peak), (x + w, peak + cut), (x + w * 0.45, peak + cut * 0.78), (x + w * 0.1, peak + cut * 1.15),
                       (x - w * 0.4, peak + cut * 0.8)], white)  # fmt: skip
        side = canvas.light.side
        far_side = left[::-1] if side > 0 else right
        pen.mark([(x, peak), *far_side, (x + 0.1 * half * -side, base + 0.02), (x - 0.12 * half * side, base - top * 0.5)],
                 (24, 28, 60), 0.26)  # fmt: skip


def draw_hills(canvas: Canvas, rng: Random, base: float, height: float) -> None:
    """Draw one or two chains of green hills behind y = base."""
    green = vary(rng, rng.choice(GREENS), 8)
    for i in range(rng.randint(1, 2)):
        pen = Pen.of_frame(canvas, "hill")
        share = 0.55 - 0.25 * i
        color = mix(mix(green, (60, 110, 70), 0.3), canvas.light.haze, 0) if i else green
        pen.haze = share * 0.7
        line = ridge(rng, base - height * (0.75 - 0.35 * i), height * 0.25, rng.uniform(0.6, 1.3))
        pen.blend(down_to(line, base + 0.05), color, mix(color, (30, 80, 40), 0.2), "grass")


def draw_treeline(canvas: Canvas, rng: Random, base: float, height: float, haze: float) -> None:
    """Draw a far row of trees standing on y = base."""
    pen = Pen.of_frame(canvas, "tree")
    pen.haze = haze
    green = Paint(vary(rng, (52, 106, 62)), "foliage")
    x = -0.15
    while x < 1.15:
        r = height * rng.uniform(0.35, 0.6)
        if rng.random() < 0.5:
            pen.shape(
                ((x - r * 0.6, base + 0.01), (x, base - height * rng.uniform(0.7, 1.1)), (x + r * 0.6, base + 0.01)),
                green,
                "crown",
            )
        else:
            pen.oval(x, base - r * 0.8, r * 0.8, r, green.darker(0.1), "crown")
        x += r * 0.85
    pen.box(-0.3, base - height * 0.2, 1.3, base + 0.012, green, "crown")


def draw_skyline(canvas: Canvas, rng: Random, base: float, height: float) -> None:
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


def draw_path(canvas: Canvas, rng: Random, top: float, name: str, material: str, color: Color, wide: float) -> None:
    """Draw a way that runs from the bottom of the frame to y = top, narrowing as it goes."""
    pen = Pen.of_frame(canvas, name)
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


def beach(canvas: Canvas, rng: Random) -> Zones:
    """Draw sky, sea and sand, sometimes with far hills."""
    horizon = canvas.horizon
    shore = horizon + rng.uniform(0.12, 0.28)
    draw_sky(canvas, rng, horizon)
    if rng.random() < 0.35:
        draw_hills(canvas, rng, horizon, rng.uniform(0.06, 0.14))
    draw_water(canvas, rng, horizon, shore + 0.12)
    line = ridge(rng, shore, 0.025, rng.uniform(0.4, 0.9))
    foam = Pen.of_frame(canvas, "water")
    foam.shape([*line, *[(x, y - 0.018) for x, y in reversed(line)]], Paint((244, 250, 252), "water"))
    base = rng.choice(SANDS)
    wet = Pen.of_frame(canvas, "sand")
    wet.shape(down_to(line), Paint(mix(base, (120, 90, 60), 0.3), "sand"))
    draw_sand(canvas, rng, [(x, y + 0.03) for x, y in line], base)
    return {"water": (horizon + 0.03, shore - 0.02), "sand": (shore + 0.08, 1.02)}


def lake(canvas: Canvas, rng: Random) -> Zones:
    """Draw a lake between mountains or woods and a green shore."""
    horizon = canvas.horizon
    shore = rng.uniform(0.74, 0.9)
    draw_sky(canvas, rng, horizon)
    kind = rng.random()
    if kind < 0.45:
        draw_mountains(canvas, rng, horizon, rng.uniform(0.15, 0.3), 0.4, rng.uniform(0.5, 0.8))
    elif kind < 0.7:
        draw_hills(canvas, rng, horizon, rng.uniform(0.1, 0.2))
    if kind > 0.3:
        draw_treeline(canvas, rng, horizon, rng.uniform(0.05, 0.11), 0.3)
    draw_water(canvas, rng, horizon, shore + 0.1)
    draw_grass(canvas, rng, ridge(rng, shore, 0.03, rng.uniform(0.3, 0.8)))
    return {"water": (horizon + 0.06, shore - 0.05), "grass": (shore + 0.05, 1.03)}


def harbour(canvas: Canvas, rng: Random) -> Zones:
    """Draw a harbour basin behind a quay of stone or wood."""
    horizon = canvas.horizon
    quay = rng.uniform(0.78, 0.9)
    draw_sky(canvas, rng, horizon)
    if rng.random() < 0.55:
        draw_skyline(canvas, rng, horizon, rng.uniform(0.1, 0.22))
    else:
        draw_hills(canvas, rng, horizon, rng.uniform(0.08, 0.18))
    draw_water(canvas, rng, horizon, quay + 0.05)
    pen = Pen.of_frame(canvas, "pier")
    if rng.random() < 0.5:
        paint = Paint(vary(rng, (168, 162, 152)), "stone", "stones", (116, 112, 108), 9)
    else:
        paint = Paint(vary(rng, (150, 108, 70)), "wood", "boards", (92, 62, 40), 14)
    pen.box(FAR, NEAR, NEAR, quay, paint)
    pen.box(FAR, quay + 0.022, NEAR, quay - 0.008, paint.lighter(0.25))
    return {"water": (horizon + 0.06, quay - 0.04), "pier": (quay + 0.05, 1.03)}


def street(canvas: Canvas, rng: Random) -> Zones:
    """Draw a road with pavements on both sides, seen from across."""
    horizon = canvas.horizon
    draw_sky(canvas, rng, horizon)
    draw_skyline(canvas, rng, horizon + 0.02, rng.uniform(0.15, 0.35))
    curb, edge = horizon + rng.uniform(0.08, 0.13), rng.uniform(0.9, 1.0)
    pale = vary(rng, (184, 180, 174))
    ground(
        canvas,
        "sidewalk",
        "stone",
        [(FAR, horizon), (NEAR, horizon), (NEAR, NEAR), (FAR, NEAR)],
        pale,
        mix(pale, (90, 90, 90), 0.2),
    )
    gray = vary(rng, (92, 94, 100))
    pen = ground(
        canvas,
        "road",
        "asphalt",
        [(FAR, curb), (NEAR, curb), (NEAR, edge), (FAR, edge)],
        gray,
        mix(gray, (30, 30, 40), 0.2),
    )
    middle = (curb + edge) / 2
    dash = Paint((240, 236, 222), "asphalt")
    for i in range(-2, 8):
        pen.box(i * 0.2, middle + 0.008, i * 0.2 + 0.1, middle - 0.008, dash)
    if rng.random() < 0.3:
        x = rng.uniform(0.1, 0.6)
        for i in range(5):
            left = x + i * 0.07
            pen.shape(
                ((left, edge), (left + 0.04, edge), (left * 0.8 + 0.1 + 0.028, curb), (left * 0.8 + 0.1, curb)), dash
            )
    return {"row": (horizon + 0.005, horizon + 0.02), "sidewalk": (horizon + 0.04, curb - 0.005), "road": (curb + 0.07, edge - 0.02),
            "front": (edge + 0.03, 1.05)}  # fmt: skip


def village(canvas: Canvas, rng: Random) -> Zones:
    """Draw a green with a road or path and hills behind."""
    horizon = canvas.horizon
    draw_sky(canvas, rng, horizon)
    if rng.random() < 0.75:
        draw_hills(canvas, rng, horizon, rng.uniform(0.08, 0.2))
    draw_grass(canvas, rng, ridge(rng, horizon, 0.012, 0.7))
    if rng.random() < 0.5:
        draw_path(canvas, rng, horizon + 0.02, "road", "asphalt", vary(rng, (104, 104, 110)), 0.5)
    else:
        draw_path(canvas, rng, horizon + 0.02, "path", "sand", vary(rng, (206, 176, 128)), 0.38)
    return {"grass": (horizon + 0.05, 1.03)}


def park(canvas: Canvas, rng: Random) -> Zones:
    """Draw a lawn with a path, far trees or a far skyline."""
    horizon = canvas.horizon
    draw_sky(canvas, rng, horizon)
    if rng.random() < 0.3:
        draw_skyline(canvas, rng, horizon, rng.uniform(0.12, 0.25))
    draw_treeline(canvas, rng, horizon + 0.01, rng.uniform(0.06, 0.16), 0.3)
    draw_grass(canvas, rng, ridge(rng, horizon + 0.01, 0.01, 0.6))
    if rng.random() < 0.6:
        draw_path(
            canvas, rng, horizon + 0.03, "path", "sand", vary(rng, rng.choice(((214, 190, 146), (190, 184, 176)))), 0.4
        )
    return {"grass": (horizon + 0.06, 1.03)}


def forest(canvas: Canvas, rng: Random) -> Zones:
    """Draw a wood: rows of trees behind, mossy or leafy ground."""
    horizon = canvas.horizon
    draw_sky(canvas, rng, horizon)
    draw_treeline(canvas, rng, horizon, rng.uniform(0.3, 0.5), 0.5)
    draw_treeline(canvas, rng, horizon + 0.02, rng.uniform(0.15, 0.3), 0.25)
    floor = rng.choice(((92, 130, 62), (120, 110, 64), (84, 122, 70)))
    draw_grass(canvas, rng, ridge(rng, horizon + 0.02, 0.015, 0.8), "grass", vary(rng, floor, 8))
    if rng.random() < 0.4:
        draw_path(canvas, rng, horizon + 0.05, "path", "sand", vary(rng, (166, 130, 90)), 0.35)
    return {"row": (horizon + 0.03, horizon + 0.12), "grass": (horizon + 0.1, 1.05)}


def mountain(canvas: Canvas, rng: Random) -> Zones:
    """Draw high peaks over an alp."""
    horizon = canvas.horizon
    draw_sky(canvas, rng, horizon)
    draw_mountains(canvas, rng, horizon, rng.uniform(0.3, 0.45), 0.45, rng.uniform(0.45, 0.7))
    draw_mountains(canvas, rng, horizon + 0.01, rng.uniform(0.18, 0.3), 0.15, rng.uniform(0.6, 1.1))
    if rng.random() < 0.5:
        draw_treeline(canvas, rng, horizon + 0.015, 0.07, 0.15)
    draw_grass(canvas, rng, ridge(rng, horizon + 0.02, 0.03, 0.6))
    return {"grass": (horizon + 0.06, 1.03)}


def desert(canvas: Canvas, rng: Random) -> Zones:
    """Draw dunes of sand."""
    horizon = canvas.horizon
    draw_sky(canvas, rng, horizon)
    if rng.random() < 0.4:
        draw_mountains(canvas, rng, horizon, rng.uniform(0.08, 0.18), 0.45, 1.1)
    base = vary(rng, rng.choice(((226, 180, 112), (232, 192, 130), (214, 152, 96))))
    for i in range(3):
        level = horizon + 0.02 + i * rng.uniform(0.06, 0.12)
        color = mix(base, (160, 96, 50), 0.08 * i)
        draw_sand(canvas, rng, ridge(rng, level, 0.03, rng.uniform(0.4, 0.9)), color)
    return {"sand": (horizon + 0.14, 1.03)}


def snow_field(canvas: Canvas, rng: Random) -> Zones:
    """Draw snow, with mountains or woods behind."""
    horizon = canvas.horizon
    draw_sky(canvas, rng, horizon)
    if rng.random() < 0.5:
        draw_mountains(canvas, rng, horizon, rng.uniform(0.15, 0.35), 0.4, rng.uniform(0.1, 0.5))
    if rng.random() < 0.5:
        draw_treeline(canvas, rng, horizon + 0.01, rng.uniform(0.05, 0.12), 0.35)
    for i in range(2):
        draw_snow(canvas, rng, ridge(rng, horizon + 0.02 + 0.1 * i, 0.02, rng.uniform(0.4, 0.9)))
    return {"snow": (horizon + 0.08, 1.03)}


def meadow(canvas: Canvas, rng: Random) -> Zones:
    """Draw a meadow full of flowers under a wide sky."""
    horizon = canvas.horizon
    draw_sky(canvas, rng, horizon)
    if rng.random() < 0.7:
        draw_hills(canvas, rng, horizon, rng.uniform(0.06, 0.16))
    draw_grass(canvas, rng, ridge(rng, horizon, 0.02, 0.6))
    return {"grass": (horizon + 0.05, 1.04)}


def brick_wall(canvas: Canvas, rng: Random) -> Zones:
    """Draw a wall close by, with a pavement in front of it and windows, doors or a painted field in it."""
    foot = rng.uniform(0.76, 0.9)
    pen = Pen.of_frame(canvas, "wall")
    kinds = ("brick", "brick", "brick", "stone", "wood", "plaster")
    paint = wall(rng, kinds)
    pen.box(
        FAR,
        foot,
        NEAR,
        FAR,
        Paint(paint.color, paint.material, paint.pattern, paint.second, 18 if paint.pattern != "plain" else 4),
    )
    if rng.random() < 0.3:
        low, high = rng.uniform(0.25, 0.5), rng.uniform(0.02, 0.15)
        pen.box(rng.uniform(-0.2, 0.3), low, rng.uniform(0.6, 1.2), high, coat(rng, "plaster", 0.8))
    pen.mark(((FAR, foot), (NEAR, foot), (NEAR, foot - 0.05), (FAR, foot - 0.05)), (10, 10, 20), 0.16)
    night = canvas.light.name == "night"
    frame = Paint((240, 238, 230), "wood")
    for x in (rng.uniform(0.05, 0.25), rng.uniform(0.5, 0.72)):
        if rng.random() < 0.6:
            top, wide, tall = rng.uniform(0.1, 0.25), rng.uniform(0.15, 0.22), rng.uniform(0.2, 0.28)
            pen.box(x - 0.015, top + tall + 0.015, x + wide + 0.015, top - 0.015, frame, "window")
            pen.box(x, top + tall, x + wide, top, pane(rng, night), "window")
            pen.box(x + wide / 2 - 0.007, top + tall, x + wide / 2 + 0.007, top, frame, "window")
            pen.box(x, top + tall / 2 + 0.007, x + wide, top + tall / 2 - 0.007, frame, "window")
    if rng.random() < 0.45:
        x = rng.uniform(0.1, 0.75)
        pen.box(x, foot, x + 0.19, foot - 0.46, Paint((236, 232, 224), "wood"), "door")
        pen.box(
            x + 0.015,
            foot,
            x + 0.175,
            foot - 0.445,
            Paint(pick_color(rng, rng.choice(("red", "blue", "green", "brown", "yellow"))), "wood"),
            "door",
        )
        pen.oval(x + 0.155, foot - 0.2, 0.01, 0.01, Paint((230, 190, 80), "metal"), "door")
    pale = vary(rng, (178, 174, 170))
    ground(
        canvas,
        "sidewalk",
        "stone",
        [(FAR, foot), (NEAR, foot), (NEAR, NEAR), (FAR, NEAR)],
        mix(pale, (40, 40, 40), 0.12),
        pale,
    )
    return {"sidewalk": (foot + 0.03, 1.02)}


def open_sky(canvas: Canvas, rng: Random) -> Zones:
    """Draw almost nothing but sky, sometimes a strip of land."""
    horizon = canvas.horizon
    draw_sky(canvas, rng, max(horizon, 1.02))
    if horizon < 0.97:
        if rng.random() < 0.5:
            draw_hills(canvas, rng, horizon, 0.08)
        draw_grass(canvas, rng, ridge(rng, horizon, 0.02, 0.7))
        return {"grass": (horizon + 0.04, 1.03)}
    return {}


BACKDROPS: dict[str, Callable[[Canvas, Random], Zones]] = {
    "beach": beach, "lake": lake, "harbour": harbour, "city street": street, "night city": street, "village": village,
    "park": park, "forest": forest, "mountain": mountain, "desert": desert, "snow field": snow_field, "meadow": meadow,
    "brick wall": brick_wall, "open sky": open_sky,
}  # fmt: skip
