"""A pen draws one thing on a canvas, in that thing's own metres.

    pen = Pen(canvas, "house", x=0.5, y=0.8, scale=0.08)       # stands at (x, y) of the frame, 0.08 frames to the metre
    pen.box(-2, 0, 2, 3, Paint((200, 60, 50), "brick", "bricks"), "facade")
    pen.shape(((-2.4, 3), (2.4, 3), (0, 4.6)), Paint((90, 40, 40), "tile"), "roof")
    pen.mark_oval(0, 0, 2.5, 0.3, (0, 0, 0), 0.2)              # a shadow: colours change, labels stay

x runs to the right, y up, and (0, 0) is where the thing stands. What is drawn later lies in front.
"""

from math import cos, sin

from describer.data.scenes.canvas import Canvas, Paint
from describer.data.scenes.geometry import Number, Point, Points, bar, oval
from describer.data.scenes.names import IDS
from describer.data.scenes.palette import Color


class Pen:
    """Draws one thing in its own metres: x to the right, y up, (0, 0) where it stands."""

    def __init__(
        self,
        canvas: Canvas,
        name: str,
        x: Number = 0,
        y: Number = 1,
        scale: Number = 1,
        mirror: bool = False,
        haze: Number = 0,
        thing: int = 0,
    ):
        """Stand at (x, y) of the frame, y down, with `scale` frames to the metre."""
        self.canvas, self.name, self.haze, self.thing = canvas, name, haze, thing
        self.x, self.y, self.scale, self.mirror = x, y, scale, mirror
        a, b, c, d, e, f = canvas.affine
        s = -scale if mirror else scale
        self._to_canvas = (a * s, -b * scale, a * x + b * y + c, d * s, -e * scale, d * x + e * y + f)

    @staticmethod
    def of_frame(canvas: Canvas, name: str) -> "Pen":
        """Return a pen whose x and y run from 0 to 1 over the frame, y down."""
        pen = Pen(canvas, name)
        pen._to_canvas = canvas.affine
        return pen

    def turned(self, x: Number, y: Number, angle: Number, scale: Number = 1) -> "Pen":
        """Return a pen whose origin is (x, y) and whose axes are turned counter-clockwise by `angle` radians."""
        pen = Pen.__new__(Pen)
        pen.__dict__.update(self.__dict__)
        a, b, c, d, e, f = self._to_canvas
        u, v = cos(angle) * scale, sin(angle) * scale
        pen._to_canvas = (
            a * u + b * v,
            b * u - a * v,
            a * x + b * y + c,
            d * u + e * v,
            e * u - d * v,
            d * x + e * y + f,
        )
        return pen

    def outline(self, points: Points) -> list[Number]:
        """Return points in canvas pixels as x, y, x, y ..."""
        a, b, c, d, e, f = self._to_canvas
        flat: list[Number] = []
        for x, y in points:
            flat += (a * x + b * y + c, d * x + e * y + f)
        return flat

    def labels(self, part: str, material: str) -> tuple[int, int, int, int]:
        """Return the ids of object, part, material and thing."""
        return IDS["object"][self.name], IDS["part"][part], IDS["material"][material], self.thing

    def shape(self, points: Points, paint: Paint, part: str = "") -> None:
        """Fill a polygon."""
        self.canvas.fill(self.outline(points), paint, self.labels(part, paint.material), self.haze)

    def box(self, left: Number, bottom: Number, right: Number, top: Number, paint: Paint, part: str = "") -> None:
        """Fill an upright rectangle."""
        self.shape(((left, bottom), (right, bottom), (right, top), (left, top)), paint, part)

    def oval(self, x: Number, y: Number, rx: Number, ry: Number, paint: Paint, part: str = "") -> None:
        """Fill an ellipse around (x, y)."""
        self.shape(oval(x, y, rx, ry), paint, part)

    def line(self, start: Point, end: Point, width: Number, paint: Paint, part: str = "") -> None:
        """Fill a straight bar of that width."""
        self.shape(bar(start, end, width), paint, part)

    def ring(self, x: Number, y: Number, radius: Number, width: Number, paint: Paint, part: str = "") -> None:
        """Fill the band between two circles; what is inside it stays."""
        outer, inner = oval(x, y, radius, radius), oval(x, y, radius - width, radius - width)
        self.shape([*outer, outer[0], inner[0], *reversed(inner)], paint, part)

    def blend(self, points: Points, top: Color, bottom: Color, material: str, part: str = "") -> None:
        """Fill a polygon with a vertical gradient under the scene's light."""
        light_up = self.canvas.light_up
        labels = self.labels(part, material)
        self.canvas.gradient(self.outline(points), light_up(top, 0, self.haze), light_up(bottom, 0, self.haze), labels)

    def mark(self, points: Points, color: Color, opacity: Number) -> None:
        """Blend a colour in under the scene's light; labels stay."""
        self.canvas.mark(self.outline(points), self.canvas.light_up(color, 0, 0), opacity)

    def glow(self, points: Points, color: Color, opacity: Number) -> None:
        """Blend a colour in that shines by itself; labels stay."""
        self.canvas.mark(self.outline(points), color, opacity)

    def mark_oval(self, x: Number, y: Number, rx: Number, ry: Number, color: Color, opacity: Number) -> None:
        """Blend a colour into an ellipse under the scene's light; labels stay."""
        self.mark(oval(x, y, rx, ry), color, opacity)

    def halo(self, x: Number, y: Number, radius: Number, color: Color, strength: Number) -> None:
        """Blend a shine around (x, y) that fades to nothing at `radius`."""
        for step in range(1, 7):
            self.glow(oval(x, y, radius * step / 6, radius * step / 6), color, strength * (1 - step / 7) ** 1.5)

    def shadow(self, half_width: Number, depth: Number | None = None) -> None:
        """Darken the ground where the thing stands, away from the light."""
        strength = self.canvas.light.shadow
        side = self.canvas.light.side * (-1 if self.mirror else 1)
        rise = depth if depth is not None else half_width * 0.22
        for grow in (1.15, 0.95):
            self.mark_oval(-side * half_width * 0.25, 0, half_width * grow, rise * grow, (20, 24, 40), strength / 2)
