"""An edit as a picture: before, after, and where it changed, sample by sample.

edit_figure(result.before, result.after, "brown × 0", ["20 units", "removed 31 %"]).save("edit.png")
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image, ImageDraw, ImageFont

from describer.eval.control.printing import trust_cells
from describer.picture import GAP, INK, MARGIN, PALE, PAPER, cut

COLUMNS = 8
LABELS = ("before", "after", "change")
ADDS, TAKES = (38, 120, 90), (190, 70, 60)


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


def explanation_figure(
    picture: Image.Image, report: Mapping[str, Any], regions: Float[np.ndarray, "units height width"], side: int = 128
) -> Image.Image:
    """The picture with each unit's region lit, its words and a bar for its contribution, strongest first."""
    units, columns = report["units"], 4
    rows, pitch = -(-len(units) // columns), side + 74
    head, width = 70, 2 * MARGIN + columns * (side + 3 * GAP)
    sheet = Image.new("RGB", (width, MARGIN + head + rows * pitch + MARGIN), PAPER)
    draw = ImageDraw.Draw(sheet)
    draw.text((MARGIN, MARGIN), f"{report['class']}  {report['probability']:.2f}", INK, font(20, bold=True))
    draw.text((MARGIN, MARGIN + 32), f"units of {report['layer']}; bars: what each adds to the logit", PALE, font(13))
    largest = max([abs(unit["contribution"]) for unit in units] or [1.0]) or 1.0
    pixels = np.asarray(picture.convert("RGB").resize(regions.shape[:0:-1]), np.float32)
    for place, (unit, region) in enumerate(zip(units, regions, strict=True)):
        x = MARGIN + place % columns * (side + 3 * GAP)
        y = MARGIN + head + place // columns * pitch
        lit = pixels * (0.25 + 0.75 * region[..., None])
        sheet.paste(Image.fromarray(lit.round().astype(np.uint8)).resize((side, side)), (x, y))
        length = round(side * abs(unit["contribution"]) / largest)
        draw.rectangle(
            (x, y + side + 4, x + max(length, 1), y + side + 10), ADDS if unit["contribution"] > 0 else TAKES
        )
        draw.text((x, y + side + 14), f"{unit['contribution']:+.2f}  {unit['id']}", PALE, font(11))
        r, verdict = trust_cells(unit)
        faded = verdict == "withdrawn"
        words = cut(unit["text"] or "(no description)", font(12), side + 2 * GAP)
        draw.text((x, y + side + 30), words, PALE if faded else INK, font(12))
        draw.text((x, y + side + 46), f"{verdict}, r {r}" if r else verdict, PALE, font(11))
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
