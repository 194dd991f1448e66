"""CIELAB, where equal distances look alike: to and from sRGB, and from the HSL of the recorded games.

    lab_of_srgb(np.array([[1.0, 0, 0]]))       # [[53.2, 80.1, 67.2]]
    srgb_of_lab(np.array([[53.2, 80.1, 67.2]]))

White point D65; sRGB in 0-1; L in 0-100, a and b in about -110-110 (IEC 61966-2-1, CIE 15).
"""

import colorsys

import numpy as np
from jaxtyping import Float

_TO_XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
_WHITE = _TO_XYZ.sum(1)
_KNEE = 6 / 29

SCALE = np.array([50.0, 60.0, 60.0])
"What Lab is divided by for a network, after 50 is taken off L: about -2 to 2."


def lab_of_srgb(srgb: Float[np.ndarray, "colors 3"]) -> Float[np.ndarray, "colors 3"]:
    """L, a, b of sRGB colours."""
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    part = linear @ _TO_XYZ.T / _WHITE
    curved = np.where(part > _KNEE**3, np.cbrt(part), part / (3 * _KNEE**2) + 4 / 29)
    x, y, z = curved.T
    return np.stack((116 * y - 16, 500 * (x - y), 200 * (y - z)), 1)


def srgb_of_lab(lab: Float[np.ndarray, "colors 3"]) -> Float[np.ndarray, "colors 3"]:
    """sRGB of L, a, b, clipped to 0-1 where no screen shows it."""
    y = (lab[:, 0] + 16) / 116
    curved = np.stack((y + lab[:, 1] / 500, y, y - lab[:, 2] / 200), 1)
    part = np.where(curved > _KNEE, curved**3, 3 * _KNEE**2 * (curved - 4 / 29))
    linear = (part * _WHITE @ np.linalg.inv(_TO_XYZ).T).clip(0, 1)
    srgb = np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055)
    return srgb.clip(0, 1)


def lab_of_hsl(hsl: Float[np.ndarray, "colors 3"]) -> Float[np.ndarray, "colors 3"]:
    """L, a, b of hue (degrees), saturation and lightness (per cent)."""
    srgb = [colorsys.hls_to_rgb(hue / 360, light / 100, strong / 100) for hue, strong, light in hsl.tolist()]
    return lab_of_srgb(np.array(srgb).reshape(-1, 3))


def features_of_lab(lab: Float[np.ndarray, "*colors 3"]) -> Float[np.ndarray, "*colors 3"]:
    """What an agent sees of a colour."""
    return (lab - np.array([50.0, 0, 0])) / SCALE
