"""People, dogs, sheep and birds, each drawn by one function `(pen, rng) -> variant`."""

from random import Random

from describer.data.scenes.canvas import Paint
from describer.data.scenes.paints import EVERY, FURS, HAIRS, SKINS, VIVID, coat, vary
from describer.data.scenes.palette import pick_color
from describer.data.scenes.pen import Pen


def draw_limbs(pen: Pen, rng: Random, paints: tuple[Paint, Paint, Paint], dress: bool) -> None:
    """Draw legs, body and arms in the paints of skin, shirt and trousers."""
    skin, shirt, trousers = paints
    stride = rng.uniform(0, 0.3)
    for side in (-1, 1):
        foot = side * (0.09 + stride * 0.6)
        pen.line((side * 0.1, 0.86), (foot, 0.06), 0.19, skin if dress else trousers, "leg")
        pen.oval(foot + 0.06, 0.05, 0.15, 0.07, Paint((40, 34, 34), "rubber"), "leg")
    low, hem = (0.5, 0.46) if dress else (0.78, 0.25)
    pen.shape(((-0.23, 1.42), (0.23, 1.42), (hem, low), (-hem, low)), shirt, "shirt")
    raised = rng.random() < 0.3
    for side in (-1, 1):
        elbow = (side * 0.4, 1.1)
        hand = (0.52, 1.6) if raised and side == 1 else (side * (0.36 + stride * 0.4), 0.76)
        pen.line((side * 0.24, 1.38), elbow, 0.15, shirt, "arm")
        pen.line(elbow, hand, 0.12, skin, "arm")
        pen.oval(*hand, 0.08, 0.08, skin, "arm")


def draw_head(pen: Pen, rng: Random, skin: Paint, hair: Paint) -> None:
    """Draw a head with hair or a hat."""
    pen.box(-0.07, 1.38, 0.07, 1.5, skin, "head")
    pen.oval(0, 1.66, 0.21, 0.24, skin, "head")
    if rng.random() < 0.3:
        hat = coat(rng, "cloth", 0.2, EVERY)
        pen.shape(((-0.22, 1.76), (0.22, 1.76), (0.17, 2), (-0.17, 2)), hat, "hat")
        pen.box(-0.32, 1.73, 0.32, 1.8, hat, "hat")
    else:
        fringe = ((-0.23, 1.64), (-0.2, 1.86), (-0.08, 1.95), (0.1, 1.95), (0.21, 1.84), (0.22, 1.7), (0.1, 1.8))
        pen.shape((*fringe, (-0.12, 1.8)), hair, "hair")
    for x in (-0.07, 0.09):
        pen.mark_oval(x, 1.67, 0.028, 0.035, (20, 16, 16), 0.85)
    pen.mark(((-0.06, 1.555), (0.09, 1.555), (0.05, 1.53), (-0.03, 1.53)), (150, 40, 40), 0.7)


def draw_person(pen: Pen, rng: Random) -> str:
    """Draw a person standing or walking, 1.8 m tall."""
    skin, hair = Paint(vary(rng, rng.choice(SKINS), 6), "skin"), Paint(rng.choice(HAIRS), "fur")
    shirt = coat(rng, "cloth", 0.6, (*VIVID, "white", "black"), 4)
    color = pick_color(rng, rng.choice(("blue", "black", "gray", "brown", "green", "white")))
    pen.shadow(0.5, 0.1)
    if rng.random() < 0.45:
        pen.shape(((-0.24, 1.75), (0.24, 1.75), (0.3, 1.22), (0, 1.3), (-0.3, 1.22)), hair, "hair")
    draw_limbs(pen, rng, (skin, shirt, Paint(color, "cloth", "plain")), rng.random() < 0.3)
    draw_head(pen, rng, skin, hair)
    return "person"


def draw_dog(pen: Pen, rng: Random) -> str:
    """Draw a dog from its side, 1.2 m long."""
    fur = Paint(vary(rng, rng.choice(FURS), 8), "fur")
    dark = fur.darker(0.2)
    pen.shadow(0.6, 0.1)
    for x in (-0.42, 0.28):
        pen.line((x + 0.1, 0.42), (x + 0.12, 0.02), 0.12, dark, "leg")
    pen.turned(-0.52, 0.62, rng.uniform(0.3, 1.0)).shape(
        ((0.05, -0.06), (0.05, 0.06), (-0.42, 0.12), (-0.44, 0.02)), fur, "tail"
    )
    pen.oval(-0.08, 0.52, 0.5, 0.23, fur, "body")
    pen.shape(((0.1, 0.6), (0.34, 0.86), (0.56, 0.78), (0.4, 0.42)), fur, "body")
    for x in (-0.46, 0.28):
        pen.line((x, 0.45), (x, 0.02), 0.14, fur, "leg")
        pen.oval(x + 0.04, 0.04, 0.11, 0.05, fur, "leg")
    if rng.random() < 0.4:
        collar = Paint(pick_color(rng, rng.choice(VIVID)), "cloth")
        pen.line((0.28, 0.78), (0.5, 0.62), 0.09, collar, "body")
    pen.oval(0.54, 0.88, 0.21, 0.19, fur, "head")
    pen.oval(0.74, 0.82, 0.16, 0.1, fur.lighter(0.12), "head")
    pen.oval(0.88, 0.86, 0.05, 0.045, Paint((24, 22, 24), "skin"), "head")
    pen.shape(((0.4, 1.04), (0.5, 1.02), (0.44, 0.7), (0.32, 0.72), (0.3, 0.86)), dark, "head")
    pen.mark_oval(0.6, 0.94, 0.035, 0.04, (10, 10, 10), 0.9)
    return "dog"


def draw_sheep(pen: Pen, rng: Random) -> str:
    """Draw a sheep from its side, 1.4 m long."""
    wool = Paint(vary(rng, rng.choice(((246, 242, 232), (246, 242, 232), (214, 206, 192), (70, 62, 58))), 6), "fur")
    face = Paint(rng.choice(((48, 42, 42), (226, 206, 184))), "skin")
    pen.shadow(0.7, 0.12)
    for x in (-0.4, -0.2, 0.22, 0.42):
        pen.line((x, 0.4), (x, 0.02), 0.1, face, "leg")
    for x, y, r in (
        (-0.45, 0.58, 0.27),
        (0.4, 0.6, 0.27),
        (-0.15, 0.5, 0.28),
        (0.15, 0.5, 0.28),
        (-0.2, 0.76, 0.28),
        (0.2, 0.76, 0.28),
    ):
        pen.oval(x, y, r, r * 0.9, wool, "body")
    for x, y in ((-0.3, 0.42), (0.1, 0.4), (0.42, 0.48)):
        pen.mark_oval(x, y, 0.2, 0.1, (40, 40, 60), 0.14)
    pen.oval(0.72, 0.8, 0.17, 0.22, face, "head")
    pen.oval(0.66, 0.98, 0.17, 0.1, wool, "head")
    pen.oval(0.53, 0.86, 0.1, 0.05, face, "head")
    eye = (250, 250, 250) if face.color[0] < 100 else (20, 20, 20)
    pen.mark_oval(0.78, 0.84, 0.03, 0.03, eye, 0.9)
    return "sheep"


def draw_bird(pen: Pen, rng: Random) -> str:
    """Draw a bird flying or standing, 1 m long (larger than life)."""
    term = rng.choice(("white", "black", "gray", "brown", "red", "blue", "yellow", "white"))
    feather = Paint(pick_color(rng, term), "feather")
    beak = Paint((244, 160, 40) if term not in ("yellow",) else (226, 96, 30), "feather")
    flying = pen.y < pen.canvas.horizon
    body = pen.turned(0, 0, rng.uniform(-0.1, 0.25)) if flying else pen.turned(0, 0.42, 0.15)
    if flying:
        lift = rng.uniform(0.5, 0.8)
        body.shape(((0.22, 0.02), (-0.12, 0.05), (-0.5, lift), (-0.25, lift + 0.12)), feather.darker(0.3), "wing")
    else:
        pen.shadow(0.35, 0.06)
        for x in (-0.06, 0.08):
            pen.line((x, 0.3), (x + 0.02, 0), 0.045, beak, "leg")
    body.shape(((-0.35, 0.02), (-0.75, 0.14), (-0.78, -0.06), (-0.3, -0.12)), feather.darker(0.2), "tail")
    body.oval(0, 0, 0.42, 0.2, feather, "body")
    body.mark_oval(0.02, -0.1, 0.3, 0.08, (255, 255, 255), 0.25)
    body.oval(0.38, 0.16, 0.17, 0.16, feather, "head")
    body.shape(((0.5, 0.24), (0.84, 0.12), (0.5, 0.04)), beak, "beak")
    body.mark_oval(0.43, 0.2, 0.035, 0.04, (250, 250, 250) if term == "black" else (15, 15, 15), 0.95)
    if flying:
        body.shape(((0.2, 0.05), (-0.2, 0.08), (-0.05, lift + 0.28), (0.12, lift + 0.25)), feather.darker(0.12), "wing")
    else:
        body.shape(((0.15, 0.08), (-0.1, 0.12), (-0.55, -0.02), (0, -0.1)), feather.darker(0.25), "wing")
    return "flying bird" if flying else "bird"
