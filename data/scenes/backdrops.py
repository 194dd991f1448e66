"""Backdrops: each place's empty stage is one function `(canvas, rng) -> zones`.

A zone is (top, bottom) of where things may stand, in frames, y down, named by the stuff they stand on:
{"water": (0.45, 0.6), "sand": (0.68, 1.02)}.
"""

from collections.abc import Callable
from dataclasses import replace
from random import Random

from describer.data.scenes.canvas import Canvas, Paint
from describer.data.scenes.geometry import Number
from describer.data.scenes.grounds import (
    FAR,
    NEAR,
    SANDS,
    band,
    down_to,
    draw_grass,
    draw_hills,
    draw_mountains,
    draw_path,
    draw_sand,
    draw_sky,
    draw_skyline,
    draw_snow,
    draw_treeline,
    draw_water,
    ground,
    ridge,
)
from describer.data.scenes.paints import coat, pane, vary, wall
from describer.data.scenes.palette import mix, pick_color
from describer.data.scenes.pen import Pen

Zones = dict[str, tuple[Number, Number]]


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
        draw_mountains(canvas, rng, horizon, rng.uniform(0.15, 0.3), rng.uniform(0.5, 0.8))
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
    pale, gray = vary(rng, (184, 180, 174)), vary(rng, (92, 94, 100))
    ground(canvas, "sidewalk", "stone", band(horizon, NEAR), (pale, mix(pale, (90, 90, 90), 0.2)))
    pen = ground(canvas, "road", "asphalt", band(curb, edge), (gray, mix(gray, (30, 30, 40), 0.2)))
    middle = (curb + edge) / 2
    dash = Paint((240, 236, 222), "asphalt")
    for i in range(-2, 8):
        pen.box(i * 0.2, middle + 0.008, i * 0.2 + 0.1, middle - 0.008, dash)
    if rng.random() < 0.3:  # a crossing
        x = rng.uniform(0.1, 0.6)
        for near in (x + i * 0.07 for i in range(5)):
            far = near * 0.8 + 0.1
            pen.shape(((near, edge), (near + 0.04, edge), (far + 0.028, curb), (far, curb)), dash)
    return {
        "row": (horizon + 0.005, horizon + 0.02),
        "sidewalk": (horizon + 0.04, curb - 0.005),
        "road": (curb + 0.07, edge - 0.02),
        "front": (edge + 0.03, 1.05),
    }


def village(canvas: Canvas, rng: Random) -> Zones:
    """Draw a green with a road or path and hills behind."""
    horizon = canvas.horizon
    draw_sky(canvas, rng, horizon)
    if rng.random() < 0.75:
        draw_hills(canvas, rng, horizon, rng.uniform(0.08, 0.2))
    draw_grass(canvas, rng, ridge(rng, horizon, 0.012, 0.7))
    if rng.random() < 0.5:
        draw_path(canvas, rng, horizon + 0.02, "road", vary(rng, (104, 104, 110)))
    else:
        draw_path(canvas, rng, horizon + 0.02, "path", vary(rng, (206, 176, 128)))
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
        draw_path(canvas, rng, horizon + 0.03, "path", vary(rng, rng.choice(((214, 190, 146), (190, 184, 176)))))
    return {"grass": (horizon + 0.06, 1.03)}


def forest(canvas: Canvas, rng: Random) -> Zones:
    """Draw a wood: rows of trees behind, mossy or leafy ground."""
    horizon = canvas.horizon
    draw_sky(canvas, rng, horizon)
    draw_treeline(canvas, rng, horizon, rng.uniform(0.3, 0.5), 0.5)
    draw_treeline(canvas, rng, horizon + 0.02, rng.uniform(0.15, 0.3), 0.25)
    floor = rng.choice(((92, 130, 62), (120, 110, 64), (84, 122, 70)))
    draw_grass(canvas, rng, ridge(rng, horizon + 0.02, 0.015, 0.8), vary(rng, floor, 8))
    if rng.random() < 0.4:
        draw_path(canvas, rng, horizon + 0.05, "path", vary(rng, (166, 130, 90)))
    return {"row": (horizon + 0.03, horizon + 0.12), "grass": (horizon + 0.1, 1.05)}


def mountain(canvas: Canvas, rng: Random) -> Zones:
    """Draw high peaks over an alp."""
    horizon = canvas.horizon
    draw_sky(canvas, rng, horizon)
    draw_mountains(canvas, rng, horizon, rng.uniform(0.3, 0.45), rng.uniform(0.45, 0.7))
    draw_mountains(canvas, rng, horizon + 0.01, rng.uniform(0.18, 0.3), rng.uniform(0.6, 1.1))
    if rng.random() < 0.5:
        draw_treeline(canvas, rng, horizon + 0.015, 0.07, 0.15)
    draw_grass(canvas, rng, ridge(rng, horizon + 0.02, 0.03, 0.6))
    return {"grass": (horizon + 0.06, 1.03)}


def desert(canvas: Canvas, rng: Random) -> Zones:
    """Draw dunes of sand."""
    horizon = canvas.horizon
    draw_sky(canvas, rng, horizon)
    if rng.random() < 0.4:
        draw_mountains(canvas, rng, horizon, rng.uniform(0.08, 0.18))
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
        draw_mountains(canvas, rng, horizon, rng.uniform(0.15, 0.35), rng.uniform(0.1, 0.5))
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


def wall_window(pen: Pen, rng: Random, x: Number) -> None:
    """Draw a window in a wall close by, its left edge at x."""
    frame = Paint((240, 238, 230), "wood")
    top, wide, tall = rng.uniform(0.1, 0.25), rng.uniform(0.15, 0.22), rng.uniform(0.2, 0.28)
    pen.box(x - 0.015, top + tall + 0.015, x + wide + 0.015, top - 0.015, frame, "window")
    pen.box(x, top + tall, x + wide, top, pane(rng, pen.canvas.light.name == "night"), "window")
    pen.box(x + wide / 2 - 0.007, top + tall, x + wide / 2 + 0.007, top, frame, "window")
    pen.box(x, top + tall / 2 + 0.007, x + wide, top + tall / 2 - 0.007, frame, "window")


def wall_door(pen: Pen, rng: Random, x: Number, foot: Number) -> None:
    """Draw a door in a wall close by, its left edge at x."""
    color = pick_color(rng, rng.choice(("red", "blue", "green", "brown", "yellow")))
    pen.box(x, foot, x + 0.19, foot - 0.46, Paint((236, 232, 224), "wood"), "door")
    pen.box(x + 0.015, foot, x + 0.175, foot - 0.445, Paint(color, "wood"), "door")
    for low, high in ((0.05, 0.19), (0.25, 0.4)):
        pen.mark(((x + 0.05, foot - low), (x + 0.14, foot - low), (x + 0.14, foot - high), (x + 0.05, foot - high)),
                 (0, 0, 0), 0.15)  # fmt: skip
    pen.oval(x + 0.155, foot - 0.21, 0.01, 0.01, Paint((230, 190, 80), "metal"), "door")


def street_wall(canvas: Canvas, rng: Random) -> Zones:
    """Draw a wall close by, with a pavement in front of it and windows, a door or a painted field in it."""
    foot = rng.uniform(0.76, 0.9)
    pen = Pen.of_frame(canvas, "wall")
    paint = wall(rng, ("brick", "brick", "brick", "stone", "wood", "plaster"))
    pen.box(FAR, foot, NEAR, FAR, replace(paint, repeats=18) if paint.pattern != "plain" else paint)
    if rng.random() < 0.3:
        low, high = rng.uniform(0.25, 0.5), rng.uniform(0.02, 0.15)
        pen.box(rng.uniform(-0.2, 0.3), low, rng.uniform(0.6, 1.2), high, coat(rng, "plaster", 0.8))
    pen.mark(((FAR, foot), (NEAR, foot), (NEAR, foot - 0.05), (FAR, foot - 0.05)), (10, 10, 20), 0.16)
    for x in (rng.uniform(0.05, 0.25), rng.uniform(0.5, 0.72)):
        if rng.random() < 0.6:
            wall_window(pen, rng, x)
    if rng.random() < 0.45:
        wall_door(pen, rng, rng.uniform(0.1, 0.75), foot)
    pale = vary(rng, (178, 174, 170))
    ground(canvas, "sidewalk", "stone", band(foot, NEAR), (mix(pale, (40, 40, 40), 0.12), pale))
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
    "street wall": street_wall, "open sky": open_sky,
}  # fmt: skip
