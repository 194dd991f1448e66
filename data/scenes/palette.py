"""The eleven basic colour terms: paint is picked by term, and any rendered pixel is named by term.

    paint = pick_color(rng, "red")            # (r, g, b), 0-255, a natural red
    terms = name_colors(image)                # (height, width, 3) uint8 -> ids into COLOR_TERMS (0 = "")

A pixel gets the term of the nearest prototype in CIE Lab (D65). Prototypes are several for each term (dark, pale,
dull, vivid), because the focal colours alone would call navy "black" and a pale sky "white". The terms are those of
Berlin and Kay, "Basic Color Terms" (1969). Colours are looked up with six bits a channel, at the centre of each cell.
Of the 8,325 Lab bins of the XKCD colour survey, 86 in 100 get the term that most people chose (92 in 100 of those on
which more than 60 in 100 people agree).
"""

from functools import lru_cache
from random import Random

import numpy as np
from jaxtyping import Float, Int16, UInt8
from scipy.spatial import cKDTree

from describer.data.scenes.geometry import Number

Color = tuple[int, int, int]

PROTOTYPES: dict[str, str] = {
    "black": "000000 141414 1c1816 0c0e16 20201e 0f1727 0f1a0e 241218",
    "white": "ffffff f2f2f2 f6f2ea eef3f7 e8e8e8 ebf5fb",
    "gray": (
        "808080 a2a2a2 606060 bcbcbc 454545 8a9199 cccccc 9a948c 6b727a 5a5a64 343438 acb4bc 746861 b6a999 "
        "485458 889489 777584"
    ),
    "red": "e00000 c8202a a01515 f23830 7c1414 e8433a 5a0e10 b83a34 d25a50 bc2835",
    "orange": "ff8c00 f07a1e ffa030 e2660e d9772e ffb45e f5924a ef662f df691c",
    "yellow": "ffff00 f5d020 ffe866 fff2a0 d8c820 e8c840 f0dc96 c8b432 e6d2a0 f2e0b4 ddc031 d5e752",
    "green": (
        "008000 30a030 60c040 205a20 90d070 0f3818 7a9a30 40a878 2e8b57 b4e090 86a860 4a6a30 5a8a4a 182c14 "
        "a8c070 6aa88a b8e442 a2a013 b1f727 52a397 4ee9c8 b0be52 132317"
    ),
    "blue": (
        "0000ff 2060d0 60a0e8 102060 90c8f0 00a0d0 3a7ca5 b4d8f4 1e2f50 5b8fb0 40c0d8 4a5a90 7aa8c8 0e1838 "
        "c4dff2 38506e 94b4cc 1a6080 22aabe 542ed3 311588 8e97ee c4d0ff 3053a5 243385 5e74bb 9197d4 4322d4 "
        "8ad2dc"
    ),
    "purple": (
        "800080 7030a0 a060c8 5a3a8c b090d8 402050 9b59b6 c8a8e0 2a1838 6a5078 8a78b0 9f265c b5709f 9b2fef "
        "534c8f ba318d 691c53 c18eb4 8933d6 46197e 834be1 c542ca"
    ),
    "pink": (
        "ff80b0 f5a8c8 ff50a0 f8c8d8 e0709a f0a0a0 f5c0b8 d080a0 e83a8c de4ab8 ec93d9 f732ea e45471 ee7274 "
        "ff9988 f1bbee f7c5c7 d2388d"
    ),
    "brown": (
        "7a4a20 5a3a1a 9a6a3a 8b5a2b 6b4a35 b08050 3e2815 a0724a 4a3428 c09468 8a6a4c 2c1a10 c8a478 84705a "
        "a04019 692a1d ae6529 391b16 c38336"
    ),
}
COLOR_TERMS: tuple[str, ...] = ("", *PROTOTYPES)

PAINTS: dict[str, tuple[Color, ...]] = {
    "black": ((28, 28, 32), (20, 20, 24)),
    "white": ((250, 250, 248), (242, 243, 246)),
    "gray": ((128, 130, 134), (160, 163, 167), (98, 101, 106)),
    "red": ((214, 40, 40), (196, 30, 50), (228, 62, 48)),
    "orange": ((247, 133, 28), (240, 112, 30), (255, 152, 48)),
    "yellow": ((252, 208, 44), (255, 224, 80), (240, 196, 30)),
    "green": ((52, 150, 70), (84, 170, 60), (34, 120, 70)),
    "blue": ((44, 104, 200), (66, 140, 220), (32, 76, 160)),
    "purple": ((124, 64, 170), (146, 88, 190), (98, 50, 140)),
    "pink": ((244, 132, 176), (250, 164, 196), (236, 104, 156)),
    "brown": ((132, 84, 48), (156, 104, 62), (104, 66, 40)),
}


def to_lab(rgb: Float[np.ndarray, "*shape 3"]) -> Float[np.ndarray, "*shape 3"]:
    """Return CIE Lab (D65) of sRGB colours given as 0-255."""
    value = np.asarray(rgb, dtype=np.float64) / 255
    linear = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
    to_xyz = np.array(
        [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.072175], [0.0193339, 0.119192, 0.9503041]]
    )
    xyz = linear @ to_xyz.T / np.array([0.95047, 1.0, 1.08883])
    root = np.where(xyz > 216 / 24389, np.cbrt(xyz), (24389 / 27 * xyz + 16) / 116)
    x, y, z = root[..., 0], root[..., 1], root[..., 2]
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1)


def parse_hex(code: str) -> Color:
    """Return the colour of six hexadecimal digits."""
    return int(code[:2], 16), int(code[2:4], 16), int(code[4:], 16)


@lru_cache(maxsize=1)
def color_table() -> Int16[np.ndarray, " cells"]:
    """Return the term id of every cell of the 64 x 64 x 64 colour cube, red slowest."""
    pairs = [(parse_hex(code), term) for term, codes in PROTOTYPES.items() for code in codes.split()]
    prototypes = to_lab(np.array([color for color, _ in pairs], dtype=np.float64))
    terms = np.array([COLOR_TERMS.index(term) for _, term in pairs], dtype=np.int16)
    axis = np.arange(64) * 4.0 + 2
    cube = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1).reshape(-1, 3)  # (cells, 3)
    _, nearest = cKDTree(prototypes).query(to_lab(cube))
    return terms[nearest]


def name_colors(image: UInt8[np.ndarray, "*shape 3"]) -> Int16[np.ndarray, "*shape"]:
    """Return the id into `COLOR_TERMS` of every pixel's basic colour term; never 0."""
    cell = (image >> 2).astype(np.int32)
    return color_table()[(cell[..., 0] << 12) | (cell[..., 1] << 6) | cell[..., 2]]


def mix(first: Color, second: Color, share: Number) -> Color:
    """Return the colour that is `share` (0-1) of the second and the rest of the first."""
    return tuple(round(a + (b - a) * share) for a, b in zip(first, second, strict=True))  # type: ignore[return-value]


def pick_color(rng: Random, term: str) -> Color:
    """Return a natural paint of that basic colour term, a little different each time."""
    color = rng.choice(PAINTS[term])
    gain = rng.uniform(0.94, 1.05)
    return tuple(min(255, max(0, round(value * gain + rng.uniform(-5, 5)))) for value in color)  # type: ignore[return-value]
