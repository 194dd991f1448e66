"""An edit as a picture: before, after, and where it changed, sample by sample.

edit_figure(result.before, result.after, "brown × 0", ["20 units", "removed 31 %"]).save("edit.png")
"""

from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image, ImageDraw, ImageFont

from describer.picture import GAP, INK, MARGIN, PALE, PAPER

COLUMNS = 8
LABELS = ("before", "after", "change")


def edit_figure(
    before: UInt8[np.ndarray, "samples height width 3"],
    after: UInt8[np.ndarray, "samples height width 3"],
    title: str,
    lines: Sequence[str],
    side: int = 96,
) -> Image.Image:
    """Blocks of eight samples, three rows each; the brightest change is the largest mean one of all levels shown."""
    heat = heat_map(before, after)
    n, labels = len(before), 64
    columns, head = min(COLUMNS, n), 38 + 20 * len(lines)
    blocks = -(-n // COLUMNS)
    pitch = 3 * (side + GAP) + 2 * GAP
    size = (max(2 * MARGIN + labels + columns * (side + GAP), 640), 2 * MARGIN + head + blocks * pitch)
    sheet = Image.new("RGB", size, PAPER)
    draw = ImageDraw.Draw(sheet)
    draw.text((MARGIN, MARGIN), title, INK, font(20, bold=True))
    for number, line in enumerate(lines):
        draw.text((MARGIN, MARGIN + 32 + 20 * number), line, PALE, font(13))
    for row, (label, pictures) in enumerate(zip(LABELS, (before, after, heat), strict=True)):
        for block in range(blocks):
            y = MARGIN + head + block * pitch + row * (side + GAP)
            draw.text((MARGIN, y + side // 2 - 8), label, PALE, font(12))
            for column, picture in enumerate(pictures[block * COLUMNS : (block + 1) * COLUMNS]):
                tile = Image.fromarray(picture).resize((side, side), Image.Resampling.NEAREST)
                sheet.paste(tile, (MARGIN + labels + column * (side + GAP), y))
    return sheet


def heat_map(
    before: UInt8[np.ndarray, "samples height width 3"], after: UInt8[np.ndarray, "samples height width 3"]
) -> UInt8[np.ndarray, "samples height width 3"]:
    """Mean change of the levels of each pixel, black none, yellow the largest of all samples."""
    change: Float[np.ndarray, "samples height width"] = np.abs(after.astype(np.float32) - before).mean(-1)
    return (matplotlib.colormaps["inferno"](change / max(change.max(), 1.0))[..., :3] * 255).round().astype(np.uint8)


def font(size: int, bold: bool = False) -> ImageFont.FreeTypeFont:
    """The font that matplotlib carries."""
    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return ImageFont.truetype(str(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / name), size)
