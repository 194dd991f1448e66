"""Paints that many things share: patterned coats, woods, stones, skins, glass.

coat(rng, "cloth", chance=0.6)            # vivid, and patterned six times in ten
"""

from dataclasses import replace
from random import Random

from describer.data.scenes.canvas import Paint
from describer.data.scenes.geometry import Number
from describer.data.scenes.palette import Color, mix, pick_color

VIVID = ("red", "orange", "yellow", "green", "blue", "purple", "pink")
EVERY = (*VIVID, "white", "black", "gray", "brown")
PATTERNS = (
    "striped", "striped-flat", "striped-slant", "dotted", "dotted", "checkered", "checkered", "zigzag", "zigzag",
    "grid", "grid", "wavy", "wavy",
)  # fmt: skip

STEEL = Paint((150, 156, 164), "metal")
IRON = Paint((62, 66, 74), "metal")
RUBBER = Paint((34, 34, 38), "rubber")
DARK_WOOD = Paint((98, 66, 42), "wood")
PALE_WOOD = Paint((170, 122, 76), "wood")
BARK = Paint((104, 74, 50), "wood")
GLASS = Paint((142, 192, 220), "glass")
DARK_GLASS = Paint((70, 96, 122), "glass")
LIT_GLASS = Paint((255, 220, 120), "glass", shine=1)
LAMPLIGHT = Paint((255, 238, 170), "light", shine=1)
SKINS: tuple[Color, ...] = ((246, 208, 176), (226, 178, 140), (176, 122, 86), (122, 80, 56), (92, 60, 44))
HAIRS: tuple[Color, ...] = ((44, 34, 30), (92, 60, 36), (196, 150, 76), (150, 76, 40), (150, 150, 152))
FURS: tuple[Color, ...] = ((126, 82, 48), (60, 48, 42), (34, 34, 36), (238, 232, 222), (198, 146, 88), (150, 146, 142))


def vary(rng: Random, color: Color, spread: int = 10) -> Color:
    """Return the colour moved by up to `spread` in every channel, mostly in brightness."""
    shift = rng.randint(-spread, spread)
    return tuple(min(255, max(0, v + shift + rng.randint(-spread // 3, spread // 3))) for v in color)  # type: ignore[return-value]


def coat(
    rng: Random, material: str, chance: Number = 0.45, terms: tuple[str, ...] = VIVID, repeats: Number = 4.5
) -> Paint:
    """Return a paint of one of these colour terms, patterned with that chance, else plain."""
    term = rng.choice(terms)
    color = pick_color(rng, term)
    if rng.random() >= chance:
        return Paint(color, material, "plain")
    others = [other for other in (*EVERY[:8], "white", "white", "white", "black") if other != term]
    return Paint(color, material, rng.choice(PATTERNS), pick_color(rng, rng.choice(others)), repeats)


def wall(
    rng: Random, kinds: tuple[str, ...] = ("brick", "brick", "plaster", "plaster", "plaster", "wood", "stone")
) -> Paint:
    """Return the paint of a wall: brick, plaster, wood or stone."""
    kind = rng.choice(kinds)
    if kind == "brick":
        color = vary(rng, rng.choice(((176, 84, 62), (158, 70, 56), (190, 112, 78), (140, 64, 54))))
        return Paint(color, "brick", "bricks", mix(color, (226, 214, 200), 0.6), 7)
    if kind == "stone":
        color = vary(rng, rng.choice(((158, 156, 152), (176, 168, 154), (134, 136, 142))))
        return Paint(color, "stone", "stones", mix(color, (60, 58, 60), 0.35), 5)
    if kind == "wood":
        term = rng.choice(("brown", "red", "white", "blue", "green", "brown", "yellow"))
        color = pick_color(rng, term)
        return Paint(color, "wood", rng.choice(("planks", "boards")), mix(color, (30, 24, 20), 0.3), 5)
    if rng.random() < 0.25:
        return replace(coat(rng, "plaster", 1, ("white", "yellow", "pink", "blue", "orange", "green")), repeats=6)
    pale = mix(pick_color(rng, rng.choice(EVERY[:8])), (255, 250, 240), rng.uniform(0.2, 0.75))
    return Paint(rng.choice((pale, pick_color(rng, "white"), vary(rng, (240, 226, 196)))), "plaster", "plain")


def roof(rng: Random) -> Paint:
    """Return the paint of a roof: tiles, metal or thatch."""
    term = rng.choice(("red", "red", "brown", "gray", "orange", "blue", "green", "black", "purple"))
    color = pick_color(rng, term)
    if rng.random() < 0.65:
        return Paint(color, "tile", "tiles", mix(color, (20, 16, 24), 0.35), 6)
    return Paint(color, rng.choice(("metal", "tile")), "plain")


def leaves(rng: Random, season: str = "") -> Paint:
    """Return the paint of foliage: green, or of autumn."""
    if season == "autumn" or (not season and rng.random() < 0.16):
        return Paint(vary(rng, rng.choice(((214, 112, 36), (196, 60, 40), (232, 178, 48), (150, 96, 48)))), "foliage")
    return Paint(
        vary(rng, rng.choice(((64, 142, 62), (48, 120, 60), (92, 158, 62), (40, 104, 66), (118, 168, 70)))), "foliage"
    )


def pane(rng: Random, night: bool) -> Paint:
    """Return the glass of a window, mostly lit from inside at night."""
    if night:
        return LIT_GLASS if rng.random() < 0.7 else DARK_GLASS
    return GLASS if rng.random() < 0.6 else DARK_GLASS
