"""The light of a scene: `pick_light(rng)` and what it does to a finished picture, `expose(image, ...)`.

Paint is lit as it is drawn (`Light.tint`), so edges stay smooth; grain and vignette are laid over the finished picture.
"""

from dataclasses import dataclass
from functools import lru_cache
from random import Random

import numpy as np
from jaxtyping import Float32, Int16, UInt8

from describer.data.scenes.geometry import Number
from describer.data.scenes.names import IDS, NAMES
from describer.data.scenes.palette import Color, mix


@dataclass(frozen=True)
class Light:
    """Sky, tint and shadows that belong together."""

    name: str
    tint: tuple[Number, Number, Number]
    """Factor on each channel of every paint that does not shine."""
    sky_high: Color
    sky_low: Color
    haze: Color
    shadow: Number
    """Opacity of shadows, 0-1."""
    side: int = 1
    """1: light comes from the right, -1: from the left."""


LIGHTS: dict[str, tuple[Light, ...]] = {
    "day": (
        Light("day", (1.0, 1.0, 0.98), (64, 142, 224), (186, 222, 246), (196, 222, 240), 0.34),
        Light("day", (1.03, 1.0, 0.94), (96, 172, 236), (214, 234, 246), (214, 230, 240), 0.30),
        Light("day", (0.96, 0.98, 1.0), (38, 108, 200), (142, 196, 240), (176, 210, 238), 0.36),
    ),
    "cloudy": (
        Light("cloudy", (0.88, 0.9, 0.93), (142, 154, 168), (206, 212, 218), (200, 206, 213), 0.16),
        Light("cloudy", (0.8, 0.83, 0.88), (108, 120, 138), (176, 184, 194), (172, 180, 190), 0.14),
    ),
    "sunset": (
        Light("sunset", (1.0, 0.85, 0.75), (84, 76, 150), (255, 166, 92), (250, 176, 120), 0.30),
        Light("sunset", (0.98, 0.82, 0.8), (120, 80, 160), (255, 150, 130), (246, 160, 140), 0.30),
        Light("sunset", (1.02, 0.88, 0.7), (226, 110, 60), (255, 210, 110), (250, 196, 120), 0.30),
    ),
    "night": (
        Light("night", (0.46, 0.49, 0.64), (10, 14, 40), (38, 50, 96), (34, 44, 84), 0.25),
        Light("night", (0.42, 0.44, 0.56), (6, 6, 18), (24, 26, 52), (24, 26, 50), 0.25),
        Light("night", (0.5, 0.47, 0.66), (28, 16, 60), (82, 56, 120), (62, 46, 100), 0.25),
    ),
}

GRAIN = {  # amplitude (0-255) of fine, flat-lying and upright grain for each material
    "water": (1, 7, 0), "grass": (3, 0, 7), "sand": (5, 2, 0), "asphalt": (4, 1, 0), "snow": (1.5, 2, 0),
    "stone": (4, 2, 0), "brick": (3, 0, 0), "wood": (1, 0, 3), "foliage": (6, 0, 0), "fur": (3, 0, 0),
    "plaster": (2, 0, 0), "cloth": (2, 0, 0),
}  # fmt: skip


def pick_light(rng: Random, names: tuple[str, ...]) -> Light:
    """Return a light of one of these names, a little brighter, darker, warmer or colder each time."""
    light = rng.choice(LIGHTS[rng.choice(names)])
    gain, warmth = rng.uniform(0.92, 1.06), rng.uniform(-0.03, 0.03)
    red, green, blue = light.tint
    white = (255, 255, 255) if rng.random() < 0.5 else (0, 0, 0)
    share = rng.uniform(0, 0.1)
    return Light(
        light.name, (red * gain * (1 + warmth), green * gain, blue * gain * (1 - warmth)),
        mix(light.sky_high, white, share),
        mix(light.sky_low, white, share / 2), light.haze, light.shadow * rng.uniform(0.8, 1.2), rng.choice((-1, 1)),
    )  # fmt: skip


@lru_cache(maxsize=4)
def grain_fields(size: int) -> Float32[np.ndarray, "3 double double"]:
    """Return fine, flat-lying and upright noise of unit variance, twice as wide as the picture."""
    rng = np.random.default_rng(20240)
    noise = rng.standard_normal((3, 2 * size, 2 * size)).astype(np.float32)
    for axis, field in ((1, 1), (0, 2)):
        smooth = noise[field]
        smooth = sum(np.roll(smooth, shift, axis=axis) for shift in range(-3, 4))  # type: ignore[assignment]
        noise[field] = smooth / np.float32(7**0.5)
    return noise


@lru_cache(maxsize=1)
def grain_table() -> Float32[np.ndarray, "3 materials"]:
    """Return each material's amplitude in the three grain fields."""
    table = np.full((3, len(NAMES["material"])), 0, dtype=np.float32)
    table[0] = 1
    for material, amplitudes in GRAIN.items():
        table[:, IDS["material"][material]] = amplitudes
    return table


@lru_cache(maxsize=4)
def vignette(size: int) -> Float32[np.ndarray, "size size"]:
    """Return the squared distance from the middle, 1 in the corners."""
    axis = (np.arange(size, dtype=np.float32) + 0.5) / size * 2 - 1
    return (axis[:, None] ** 2 + axis[None] ** 2) / 2


def expose(
    image: UInt8[np.ndarray, "size size 3"], materials: Int16[np.ndarray, "size size"], light: Light, rng: Random
) -> UInt8[np.ndarray, "size size 3"]:
    """Return the picture with the grain of its materials, light from one side and a vignette."""
    size = len(image)
    fields, table = grain_fields(size), grain_table()
    left, top = rng.randrange(size), rng.randrange(size)
    strength = 0.5 if light.name == "night" else 1.0
    grain = sum(
        table[kind][materials] * fields[kind, top : top + size, left : left + size] for kind in range(3)
    )  # (size, size)
    across = np.linspace(-light.side, light.side, size, dtype=np.float32)
    gain = 1 + rng.uniform(0, 0.05) * across[None] - rng.uniform(0, 0.12) * vignette(size)
    lit = image * gain[..., None] + (grain * strength)[..., None]
    return np.clip(lit + 0.5, 0, 255).astype(np.uint8)
