"""A canvas that paints colour and labels with the same outlines, so that every label is exact.

    canvas = Canvas(size=128, view=View(), light=light)
    canvas.fill(outline, Paint((200, 60, 50), "brick", "bricks"), labels, haze=0)      # or through a `pen.Pen`
    image, regions, table = canvas.finish()

The canvas is three times as large as the picture. Every outline fills the colours and, with one number for the set of
its labels, a map of regions. At the end colours are averaged over 3 x 3 and of the regions the middle pixel is kept:
edges of the picture are smooth, a label is what covers the middle of its pixel, and the front-most outline has it.
`mark` touches the colours alone (shadows, shine, waves).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import cos, sin

import numpy as np
from jaxtyping import Int16, Int32, UInt8
from PIL import Image, ImageDraw

from describer.data.scenes.geometry import Number
from describer.data.scenes.lighting import Light
from describer.data.scenes.names import IDS, NAMES
from describer.data.scenes.palette import Color, mix
from describer.data.scenes.patterns import LABELLED, pattern_mask

OVERSAMPLING = 3
SMALLEST_PATTERN = 9
"""Pixels of the picture: a surface narrower than this is painted plain, since its pattern could not be seen."""


@dataclass(frozen=True)
class Paint:
    """What a surface looks like."""

    color: Color
    material: str = ""
    pattern: str = ""
    """A name of `patterns.CELLS`, or "plain" for a smooth surface that could have carried a pattern."""
    second: Color = (255, 255, 255)
    """The pattern's other colour."""
    repeats: Number = 4
    """How often the pattern repeats over the longer side of the outline."""
    shine: Number = 0
    """0: lit by the scene's light; 1: shines by itself."""

    def darker(self, share: Number = 0.2) -> "Paint":
        """Return the same paint with that share of black in it."""
        return replace(self, color=mix(self.color, (20, 22, 40), share), second=mix(self.second, (20, 22, 40), share))

    def lighter(self, share: Number = 0.2) -> "Paint":
        """Return the same paint with that share of white in it."""
        white = (255, 255, 250)
        return replace(self, color=mix(self.color, white, share), second=mix(self.second, white, share))


@dataclass(frozen=True)
class View:
    """Where the camera looks: the frame's point (x, y) comes to the middle, enlarged and tilted."""

    x: Number = 0.5
    y: Number = 0.5
    zoom: Number = 1
    tilt: Number = 0
    """Radians, clockwise."""


class Canvas:
    """Colours and regions of one picture while it is drawn."""

    def __init__(self, size: int, view: View, light: Light, place: str = "", horizon: Number = 0.5):
        """Start an empty canvas for a picture of size x size pixels; the horizon is in frames from the top."""
        self.size, self.light, self.place, self.horizon = size, light, place, horizon
        self.side = side = size * OVERSAMPLING
        self.colors = Image.new("RGB", (side, side), light.sky_low)
        self.regions = Image.new("I", (side, side), 0)
        self._color_draw = ImageDraw.Draw(self.colors)
        self._mark_draw = ImageDraw.Draw(self.colors, "RGBA")
        self._region_draw = ImageDraw.Draw(self.regions)
        self._region_ids: dict[tuple[int, int, int, int, int], int] = {(0, 0, 0, 0, 0): 0}
        c, s = cos(view.tilt) * view.zoom * side, sin(view.tilt) * view.zoom * side
        self.affine = (c, -s, side / 2 - c * view.x + s * view.y, s, c, side / 2 - s * view.x - c * view.y)

    def region(self, labels: tuple[int, int, int, int, int]) -> int:
        """Return the number of the region with these ids of (object, part, material, texture) and thing."""
        return self._region_ids.setdefault(labels, len(self._region_ids))

    def light_up(self, color: Color, shine: Number, haze: Number) -> Color:
        """Return the paint's colour under the scene's light and behind its haze."""
        lit = [value * (gain + (1 - gain) * shine) for value, gain in zip(color, self.light.tint, strict=True)]
        return tuple(
            min(255, round(value + (far - value) * haze)) for value, far in zip(lit, self.light.haze, strict=True)
        )  # type: ignore[return-value]

    def fill(self, outline: Sequence[Number], paint: Paint, labels: tuple[int, int, int, int], haze: Number) -> None:
        """Fill an outline, given as x, y, x, y ... in canvas pixels, with paint and its labels but the texture."""
        xs, ys = outline[::2], outline[1::2]
        left, top, right, bottom = min(xs), min(ys), max(xs), max(ys)
        if right < 0 or bottom < 0 or left >= self.side or top >= self.side:
            return
        self._color_draw.polygon(outline, self.light_up(paint.color, paint.shine, haze))
        texture = self._overlay(outline, (left, top, right, bottom), paint, haze) if paint.pattern else 0
        item, part, material, thing = labels
        self._region_draw.polygon(outline, self.region((item, part, material, texture, thing)))

    def _overlay(self, outline: Sequence[Number], box: tuple[Number, ...], paint: Paint, haze: Number) -> int:
        """Paint the pattern's second colour inside the outline; return the id of the texture that can be seen."""
        plain = IDS["texture"]["plain"]
        base = paint.pattern.partition("-")[0]
        width, height = box[2] - box[0], box[3] - box[1]
        smallest = SMALLEST_PATTERN * self.side / 128
        unseen = plain if base in LABELLED else 0
        if paint.pattern == "plain":
            return plain
        if min(width, height) < smallest:
            return unseen
        unit = self.side / 128
        period = round(max(width, height) / paint.repeats)
        period = max(3, int(min(max(period, 5 * unit), 22 * unit)))
        left, top = max(0, int(box[0])), max(0, int(box[1]))
        right, bottom = min(self.side, int(box[2]) + 1), min(self.side, int(box[3]) + 1)
        if right <= left or bottom <= top:
            return unseen
        shape = Image.new("L", (right - left, bottom - top))
        ImageDraw.Draw(shape).polygon([value - (top if i % 2 else left) for i, value in enumerate(outline)], fill=255)
        grown = pattern_mask(paint.pattern, period, right - int(box[0]), bottom - int(box[1]))
        inside = Image.new("L", shape.size)
        inside.paste(grown.crop((left - int(box[0]), top - int(box[1]), grown.width, grown.height)), (0, 0), shape)
        self.colors.paste(self.light_up(paint.second, paint.shine, haze), (left, top), inside)
        return IDS["texture"][base] if base in LABELLED else 0

    def gradient(self, outline: Sequence[Number], top: Color, bottom: Color, labels: tuple[int, int, int, int]) -> None:
        """Fill an outline with a gradient over its height, in final colours."""
        ys, xs = outline[1::2], outline[::2]
        y0, y1 = max(0, int(min(ys))), min(self.side, int(max(ys)) + 1)
        x0, x1 = max(0, int(min(xs))), min(self.side, int(max(xs)) + 1)
        if y1 <= y0 or x1 <= x0:
            return
        column = np.linspace(np.array(top, float), np.array(bottom, float), y1 - y0).round().astype(np.uint8)[:, None]
        strip = Image.fromarray(column).resize((x1 - x0, y1 - y0), Image.Resampling.NEAREST)
        shape = Image.new("L", strip.size)
        ImageDraw.Draw(shape).polygon([value - (y0 if i % 2 else x0) for i, value in enumerate(outline)], fill=255)
        self.colors.paste(strip, (x0, y0), shape)
        item, part, material, thing = labels
        self._region_draw.polygon(outline, self.region((item, part, material, 0, thing)))

    def mark(self, outline: Sequence[Number], color: Color, opacity: Number) -> None:
        """Blend a colour into the picture inside an outline; labels stay."""
        self._mark_draw.polygon(outline, (*color, round(255 * opacity)))

    def stuff_at(self, x: Number, y: Number) -> str:
        """Return the name of the object drawn so far at (x, y) of the frame; "" out of sight."""
        a, b, c, d, e, f = self.affine
        column, row = int(a * x + b * y + c), int(d * x + e * y + f)
        if not (0 <= column < self.side and 0 <= row < self.side):
            return ""
        item = list(self._region_ids)[int(self.regions.getpixel((column, row)))][0]  # type: ignore[arg-type]
        return NAMES["object"][item]

    def finish(
        self,
    ) -> tuple[UInt8[np.ndarray, "size size 3"], Int32[np.ndarray, "size size"], Int16[np.ndarray, "regions 5"]]:
        """Return the picture, its region numbers and each region's (object, part, material, texture, thing)."""
        image = np.asarray(self.colors.reduce(OVERSAMPLING))
        middle = OVERSAMPLING // 2
        regions = np.asarray(self.regions)[middle::OVERSAMPLING, middle::OVERSAMPLING]
        return image, regions, np.array(list(self._region_ids), dtype=np.int16)
