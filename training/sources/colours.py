"""The eleven basic colour words of pixels (Berlin & Kay 1969), by the nearest focal colour in Oklab (Ottosson 2020).

names = colour_map(image)                # (height, width) indices into COLOURS
dominant_colour(names[mask])             # "red", "black and white", or None when no colour prevails
"""

from functools import cache

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

FOCI = {
    "black": "000000 0a0a0a 1c1c1c 26221f 1b1e24",
    "white": "ffffff f6f6f6 ececec f3f0e8 e9eff5",
    "gray": "484848 606060 808080 a0a0a0 bdbdbd cfcfcf 6f757c 8a8580 a9afb5",
    "red": "ff0000 e50000 c40010 a00000 d9333f 8c0000 b3202c f03030",
    "green": "00ff00 15b01a 3f9b0b 006400 2e5a2e 96d080 6b8e23 4c7a34 006b50 86a850 a8cf6a 38502a 054907 022e02 "
    "b4f2b8 c7fdb5 90ee90 a0d8a0 76fd76",
    "yellow": "ffff00 ffff14 fbdd2a fff59a e8d020 d0b810 f5e663",
    "blue": "0000ff 0343df 1e62c8 75bbfd 00008b 95d0fc 2c6fbb 4a7da8 1f3560 00a5d0 7fa8d0 b0d4f0 5b8fc0 01153e "
    "0c1c3c d0e8fb a2cffe",
    "brown": "653700 8b5a2b 7a4a24 4f2f15 9a6a3c a0784f 80604a 5a4030 ad8a60 3a2415",
    "orange": "ff8000 f97306 ff9a20 e66000 ffab4a d96a1a",
    "pink": "ff81c0 ffb6c1 ff69b4 f5a8b8 e75480 ffd1dc d9739a f08aa0 cb3070 ffdbe8",
    "purple": "7e1e9c 800080 5a2a82 9b59b6 bf77f6 4b2060 a070c0 702963 b9a0dc 2a0137 825f87",
}
"sRGB focal colours chosen by us, several for each word, as hexadecimal numbers"
COLOURS = tuple(FOCI)
GRAY = COLOURS.index("gray")
LIGHTNESS_WEIGHT = 0.8
"lightness counts a little less than hue: a shaded red thing is red"
BITS = 5


def oklab(rgb: np.ndarray) -> Float[np.ndarray, "colours 3"]:
    """Oklab of sRGB colours (colours, 3) in 0..1 (Ottosson 2020)."""
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    to_cones = [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ]
    to_lab = [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ]
    return np.cbrt(linear @ np.array(to_cones).T) @ np.array(to_lab).T


@cache
def _table() -> UInt8[np.ndarray, " codes"]:
    """The colour word of every colour of 5 bits a channel."""
    steps = (np.arange(2**BITS) + 0.5) / 2**BITS
    grid = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), axis=-1).reshape(-1, 3)  # (codes, 3)
    foci = [(word, code) for word, codes in FOCI.items() for code in codes.split()]
    focal = np.array([[int(code[i : i + 2], 16) / 255 for i in (0, 2, 4)] for _, code in foci])
    weight = np.array([LIGHTNESS_WEIGHT, 1.0, 1.0])
    apart = (((oklab(grid)[:, None] - oklab(focal)) * weight) ** 2).sum(-1)  # (codes, foci)
    word = np.array([COLOURS.index(word) for word, _ in foci], np.uint8)
    return word[apart.argmin(1)]


def colour_map(image: Image.Image) -> UInt8[np.ndarray, "height width"]:
    """The index into COLOURS of every pixel."""
    rgb = (np.asarray(image.convert("RGB")) >> (8 - BITS)).astype(np.int32)
    return _table()[(rgb[..., 0] << (2 * BITS)) | (rgb[..., 1] << BITS) | rgb[..., 2]]


def dominant_colour(names: np.ndarray, least: float = 0.6) -> str | None:
    """The colour word that prevails among pixels, two of them ("black and white"), or None.

    Gray must cover 3/4 to be said: in photographs it is mostly the shade of another colour, which must then make up
    `least` of the pixels that are not gray, and 2/5 of all. Two colours must share 3/4, the lesser one 1/4.
    """
    if names.size == 0:
        return None
    shares = np.bincount(names.ravel(), minlength=len(COLOURS)) / names.size
    if shares[GRAY] >= 0.75:
        return "gray"
    rest = 1 - shares[GRAY]
    shares[GRAY] = 0
    first, second = (int(i) for i in shares.argsort(kind="stable")[::-1][:2])
    if shares[first] >= max(least * rest, 0.4):
        return COLOURS[first]
    pair = shares[first] + shares[second] >= 0.75 and shares[second] >= 0.25
    return " and ".join(sorted((COLOURS[first], COLOURS[second]))) if pair else None
