"""Boats, cars, buses, bicycles and aeroplanes, each drawn by one function `(pen, rng) -> variant`."""

from dataclasses import replace
from random import Random

from describer.data.scenes.canvas import Paint
from describer.data.scenes.geometry import Number
from describer.data.scenes.paints import (
    DARK_GLASS,
    DARK_WOOD,
    EVERY,
    GLASS,
    IRON,
    LAMPLIGHT,
    LIT_GLASS,
    PALE_WOOD,
    RUBBER,
    STEEL,
    VIVID,
    coat,
)
from describer.data.scenes.palette import pick_color
from describer.data.scenes.pen import Pen


def wheel(pen: Pen, x: Number, y: Number, radius: Number) -> None:
    """Draw a tyre with its hub cap."""
    pen.oval(x, y, radius, radius, RUBBER, "wheel")
    pen.oval(x, y, radius * 0.55, radius * 0.55, STEEL, "wheel")
    pen.oval(x, y, radius * 0.18, radius * 0.18, IRON, "wheel")


def glass_of(pen: Pen) -> Paint:
    """Return the glass of a vehicle's windows."""
    return replace(LIT_GLASS, color=(250, 226, 160)) if pen.canvas.light.name == "night" else GLASS


def draw_car(pen: Pen, rng: Random) -> str:
    """Draw a car from its side, 4 m long."""
    paint = coat(rng, "metal", 0.22, (*VIVID, "white", "gray", "black", "red", "blue"), 8)
    pen.shadow(2.1, 0.2)
    van = rng.random() < 0.25
    if van:
        pen.shape(((-2, 0.35), (2, 0.35), (2, 0.95), (1.75, 1.1), (1.2, 1.9), (-1.95, 1.9)), paint, "body")
        pen.shape(((1.6, 1.12), (1.15, 1.75), (0.5, 1.75), (0.5, 1.12)), glass_of(pen), "window")
        pen.box(-0.6, 1.15, 0.25, 1.72, glass_of(pen), "window")
    else:
        pen.shape(((-1.35, 0.9), (1.25, 0.9), (0.65, 1.58), (-0.8, 1.58)), paint, "body")
        pen.shape(((-1.08, 0.95), (-0.08, 0.95), (-0.08, 1.46), (-0.7, 1.46)), glass_of(pen), "window")
        pen.shape(((0.06, 0.95), (0.98, 0.95), (0.56, 1.46), (0.06, 1.46)), glass_of(pen), "window")
        pen.shape(
            ((-2.05, 0.36), (2.05, 0.36), (2.08, 0.72), (1.9, 0.9), (1.2, 1), (-1.9, 1), (-2.08, 0.8)), paint, "body"
        )
    pen.mark(((-2, 0.36), (2, 0.36), (2, 0.52), (-2, 0.52)), (0, 0, 20), 0.25)
    pen.mark(bar_up(0, 0.4, 0.96, 0.04), (0, 0, 0), 0.35)
    pen.oval(1.98, 0.78, 0.14, 0.12, LAMPLIGHT, "headlight")
    pen.oval(-2, 0.78, 0.09, 0.12, Paint((206, 40, 40), "light"), "headlight")
    for x in (-1.22, 1.22):
        pen.oval(x, 0.42, 0.52, 0.5, Paint((30, 32, 38), "metal"), "body")
        wheel(pen, x, 0.38, 0.42)
    return "van" if van else "car"


def bar_up(x: Number, bottom: Number, top: Number, width: Number) -> tuple[tuple[Number, Number], ...]:
    """Return the corners of an upright bar."""
    return (x - width / 2, bottom), (x + width / 2, bottom), (x + width / 2, top), (x - width / 2, top)


def draw_bus(pen: Pen, rng: Random) -> str:
    """Draw a bus from its side, 7 m long, sometimes with two decks."""
    paint = coat(rng, "metal", 0.25, ("red", "yellow", "blue", "green", "orange", "white", "purple"), 9)
    decks = 2 if rng.random() < 0.3 else 1
    top = 2.75 if decks == 1 else 4.1
    pen.shadow(3.6, 0.25)
    pen.shape(((-3.5, 0.4), (3.5, 0.4), (3.5, top - 0.3), (3.3, top), (-3.3, top), (-3.5, top - 0.3)), paint, "body")
    pen.mark(((-3.5, 0.4), (3.5, 0.4), (3.5, 0.65), (-3.5, 0.65)), (0, 0, 20), 0.25)
    glass = glass_of(pen)
    for deck in range(decks):
        low = 1.45 + deck * 1.4
        for i in range(5):
            left = -3.2 + i * 1.1
            pen.box(left, low, left + 0.92, low + 0.85, glass, "window")
        if deck:
            pen.box(2.35, low, 3.3, low + 0.85, glass, "window")
    pen.box(2.4, 0.5, 3.2, 2.3, Paint((60, 62, 70), "metal"), "door")
    pen.box(2.5, 0.7, 3.1, 2.2, DARK_GLASS if not glass.shine else glass, "door")
    pen.oval(3.42, 0.8, 0.13, 0.16, LAMPLIGHT, "headlight")
    for x in (-2.1, 1.6):
        wheel(pen, x, 0.46, 0.5)
    return "bus"


def draw_bicycle(pen: Pen, rng: Random) -> str:
    """Draw a bicycle, 1.8 m long (a little larger than life)."""
    frame = Paint(pick_color(rng, rng.choice(VIVID)), "metal")
    pen.shadow(0.95, 0.08)
    for x in (-0.62, 0.62):
        pen.ring(x, 0.42, 0.42, 0.085, RUBBER, "wheel")
        pen.line((x - 0.36, 0.42), (x + 0.36, 0.42), 0.03, STEEL, "wheel")
        pen.line((x, 0.06), (x, 0.78), 0.03, STEEL, "wheel")
    joints = ((-0.62, 0.42), (-0.05, 0.4), (0.45, 0.98), (-0.25, 0.95))
    for start, end in ((0, 1), (1, 2), (2, 3), (3, 0), (1, 3)):
        pen.line(joints[start], joints[end], 0.09, frame, "body")
    pen.line((0.62, 0.42), (0.42, 1.14), 0.09, frame, "body")
    pen.line((0.3, 1.16), (0.58, 1.2), 0.09, IRON, "body")
    pen.line((-0.28, 0.95), (-0.31, 1.06), 0.08, IRON, "seat")
    pen.oval(-0.3, 1.09, 0.19, 0.07, DARK_WOOD, "seat")
    return "bicycle"


def wake(pen: Pen, half: Number) -> None:
    """Draw the reflection and the foam under a hull."""
    pen.mark_oval(0, -0.12, half * 1.05, 0.3, (10, 30, 60), 0.28)
    pen.mark_oval(-half * 0.2, -0.08, half, 0.1, (255, 255, 255), 0.4)


def draw_sailboat(pen: Pen, rng: Random) -> None:
    """Draw a boat under two sails."""
    wake(pen, 1.8)
    pen.line((0.05, 0.4), (0.05, 4.6), 0.12, DARK_WOOD, "mast")
    sail = coat(rng, "cloth", 0.6, ("white", "white", *VIVID), 5)
    pen.shape(((-0.08, 0.9), (-0.08, 4.4), (-1.75, 1.05)), sail, "sail")
    second = sail if rng.random() < 0.6 else coat(rng, "cloth", 0.3, ("white", *VIVID), 5)
    pen.shape(((0.2, 0.95), (0.2, 4), (1.6, 0.95)), second.lighter(0.06), "sail")
    hull = rng.choice((DARK_WOOD, coat(rng, "wood", 0.25, EVERY, 9), Paint(pick_color(rng, "white"), "wood", "plain")))
    pen.shape(((-1.95, 0.72), (1.95, 0.78), (1.45, 0), (-1.5, 0)), hull, "hull")
    pen.mark(((-1.9, 0.74), (1.95, 0.78), (1.9, 0.66), (-1.86, 0.62)), (255, 255, 255), 0.4)


def draw_ship(pen: Pen, rng: Random) -> None:
    """Draw a motor boat with cabin and funnel."""
    wake(pen, 2.3)
    white = Paint(pick_color(rng, "white"), "metal", "plain")
    funnel = coat(rng, "metal", 0.6, ("red", "blue", "black", "orange"), 2.5)
    pen.box(-0.9, 1.9, -0.2, 3, funnel, "chimney")
    pen.box(-1.5, 0.9, 0.9, 2, white, "body")
    for i in range(3):
        pen.box(-1.25 + i * 0.75, 1.25, -0.8 + i * 0.75, 1.7, glass_of(pen), "window")
    hull = coat(rng, "metal", 0.2, ("red", "blue", "black", "green", "white", "orange"), 10)
    pen.shape(((-2.3, 0.95), (2.6, 1.15), (1.9, 0), (-2, 0)), hull, "hull")
    pen.mark(((-2.2, 0.3), (2.1, 0.3), (1.9, 0), (-2, 0)), (120, 20, 20), 0.6)


def draw_rowboat(pen: Pen, rng: Random) -> None:
    """Draw a rowing boat with its oars."""
    wake(pen, 1.6)
    hull = rng.choice((PALE_WOOD, DARK_WOOD, coat(rng, "wood", 0.3, VIVID, 7)))
    pen.shape(((-1.6, 0.7), (1.6, 0.7), (1.2, 0), (-1.2, 0)), hull, "hull")
    pen.shape(((-1.6, 0.7), (1.6, 0.7), (1.35, 0.84), (-1.35, 0.84)), DARK_WOOD, "hull")
    pen.line((-0.2, 0.95), (0.9, -0.1), 0.09, PALE_WOOD, "pole")


def draw_boat(pen: Pen, rng: Random) -> str:
    """Draw a sailing boat, a ship or a rowing boat, 3-5 m long."""
    kind = rng.random()
    if kind < 0.6:
        draw_sailboat(pen, rng)
        return "sailboat"
    if kind < 0.85:
        draw_ship(pen, rng)
        return "ship"
    draw_rowboat(pen, rng)
    return "rowing boat"


def draw_airplane(pen: Pen, rng: Random) -> str:
    """Draw an aeroplane in flight, 6 m long."""
    body = Paint(pick_color(rng, rng.choice(("white", "white", "gray", "red", "yellow", "blue"))), "metal", "plain")
    trim = coat(rng, "metal", 0.3, VIVID, 3)
    tilted = pen.turned(0, 0, rng.uniform(-0.05, 0.3))
    tilted.shape(((0.7, 0.2), (-0.5, 1.5), (-0.95, 1.5), (-0.3, 0.2)), body.darker(0.3), "wing")
    tilted.shape(((-2.6, 0.1), (-3.2, 1.4), (-2.6, 1.4), (-1.7, 0.35)), trim, "tail")
    hull = [(-3, 0.1), (-2, 0.42), (1.9, 0.5), (2.7, 0.3), (3.05, 0), (2.7, -0.28), (1.9, -0.4), (-1.8, -0.3)]
    tilted.shape(hull, body, "body")
    tilted.mark(((-2.4, -0.05), (2.95, -0.12), (1.9, -0.4), (-1.8, -0.3)), (20, 30, 60), 0.2)
    for i in range(5):
        tilted.box(-1.2 + i * 0.6, 0.08, -0.9 + i * 0.6, 0.32, DARK_GLASS, "window")
    tilted.shape(((2.2, 0.42), (2.7, 0.28), (2.2, 0.15)), DARK_GLASS, "window")
    tilted.shape(((0.75, -0.15), (-0.9, -1.5), (-1.45, -1.5), (-0.45, -0.15)), trim, "wing")
    return "airplane"
