"""Pictures of described units: one unit with its exemplar grid, or many units as a contact sheet.

    exemplar_grid(unit_card(atlas, "layer4", 483)).save("unit.png")
    contact_sheet([unit_card(atlas, "layer4", unit, 7) for unit in range(24)], "resnet18").save("sheet.png")

An exemplar is shown as the model saw it: what lies outside the unit's mask is faded, the mask has a thin outline.
"""

import io
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from operator import itemgetter
from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

from describer.atlas import THUMBNAIL, Atlas
from describer.errors import DescriberError
from describer.trust import Bin
from describer.unittable import Row

Color = tuple[int, int, int]

PAPER: Color = (252, 252, 250)
INK: Color = (28, 30, 34)
PALE: Color = (122, 126, 134)
LINE: Color = (226, 226, 222)
EDGE: Color = (208, 208, 204)
OUTLINE: Color = (255, 186, 0)

FADE = 0.68
"How far a picture turns to paper outside the mask: 0 not at all, 1 wholly."
GAP = 6
MARGIN = 22
FINE = 2
"Pictures are drawn this much larger and shrunk, which smooths the outline."


@dataclass(frozen=True)
class UnitCard:
    """What a picture says and shows of one unit."""

    id: str
    text: str | None
    "the description; None: dead, or none that can be relied on"
    notes: tuple[str, ...]
    "short facts: PMI, highest activation …"
    others: tuple[str, ...]
    "the next best texts"
    images: tuple[Image.Image, ...]
    masks: np.ndarray
    "bool (exemplars, height, width), one mask an image"
    dead: bool = False

    @property
    def headline(self) -> str:
        """The description, or why there is none."""
        return self.text or ("dead unit" if self.dead else "no reliable description")


def unit_card(atlas: Atlas, layer: str, unit: int, n_exemplars: int | None = None) -> UnitCard:
    """The card of one described unit with its strongest exemplars; raises AtlasError where the atlas has it not."""
    atlas.locate(f"{layer}:{unit}")
    rows = [row for row in atlas.units(layer) if row["unit"] == unit]
    return cards(atlas, layer, rows, n_exemplars)[0]


def cards(atlas: Atlas, layer: str, rows: Sequence[Row], n_exemplars: int | None = None) -> list[UnitCard]:
    """The cards of some units of one layer, from their rows; the layer's exemplars are read once."""
    exemplars = atlas.exemplars(layer)
    place = {unit: position for position, unit in enumerate(exemplars.unit_ids.tolist())}
    made = []
    for row in rows:
        position = place[row["unit"]]
        shown = [rank for rank, image in enumerate(exemplars.images[position].tolist()) if image >= 0][:n_exemplars]
        masks = exemplars.masks(THUMBNAIL * FINE, [position])[0].numpy()
        images = tuple(atlas.thumbnail(int(exemplars.images[position, rank])) for rank in shown)
        others = tuple(candidate["text"] for candidate in row["n_best"][0 if row.get("withdrawn") else 1 : 4])
        made.append(UnitCard(row["id"], row["description"], _notes(row), others, images, masks[shown], row["dead"]))
    return made


def worth(row: Row) -> float:
    """What a description is ranked by: r on the images that judge times evidence, the exemplars' own word for it.

    The two err apart: one knows no masks, the other no other images. Evidence is in nats, 0 at least; of a form r
    alone; without a judge a form's score, or PMI.
    """
    if row["score"] is None:
        return float(row["pmi"])
    return float(row["score"]) * max(row["scores"].get("evidence", 1.0), 0.0)


def best_cards(atlas: Atlas, n_units: int, n_exemplars: int = 7) -> list[UnitCard]:
    """Cards of the units with the highest `worth`, no text twice; in the atlas's order."""
    told = [row for row in atlas.units() if row["description"] and row["pmi"] is not None]
    chosen: dict[str, Row] = {}
    for row in sorted(told, key=worth, reverse=True):
        if len(chosen) < n_units:
            chosen.setdefault(row["description"], row)
    by_layer = {name: [row for row in chosen.values() if row["layer"] == name] for name in atlas.layers}
    return [
        card
        for name, rows in by_layer.items()
        for card in cards(atlas, name, sorted(rows, key=itemgetter("unit")), n_exemplars)
    ]


def _notes(row: Row) -> tuple[str, ...]:
    judged = row["score"] if row.get("q") is not None else None
    shown = [("r", judged, "{:.2f}"), ("PMI", row["pmi"], "{:.1f} nats"), ("IoU", row["iou"], "{:.2f}")]
    shown += [("peak", row["activation"], "{:.3g}")]
    return tuple(f"{name} {form.format(value)}" for name, value, form in shown if value is not None)


def exemplar_grid(card: UnitCard, columns: int = 5, side: int = 144) -> Image.Image:
    """One unit: its description above its exemplars, strongest first; `side` pixels an exemplar."""
    columns = max(1, min(columns, len(card.images) or 1))
    width = max(columns * (side + GAP) - GAP, 460)
    head = [*_lines(card.id, 12, PALE, width), *_lines(card.headline, 21, INK, width, bold=True)]
    head += _lines("   ".join(card.notes), 12, PALE, width)
    head += _lines("also: " + " · ".join(card.others) if card.others else "", 12, PALE, width)
    top = MARGIN + _height(head) + 14
    n_rows = -(-len(card.images) // columns)
    sheet = Image.new("RGB", (width + 2 * MARGIN, top + max(n_rows * (side + GAP) - GAP, 0) + MARGIN), PAPER)
    _write(sheet, MARGIN, MARGIN, head)
    for rank, tile in enumerate(_tiles(card, side)):
        row, column = divmod(rank, columns)
        sheet.paste(tile, (MARGIN + column * (side + GAP), top + row * (side + GAP)))
    return sheet


def check_picture(path: Path, option: str = "--out") -> None:
    """DescriberError where no picture could be written to `path`, to be asked before minutes of work."""
    Image.init()
    if not path.name or path.is_dir():
        got = "no file's name"
    elif Image.registered_extensions().get(path.suffix.lower()) not in Image.SAVE:
        got = f"an ending that stands for no kind of picture: {path.suffix!r}"
    elif not path.parent.is_dir():
        got = "a folder that is not there"
    elif not os.access(path if path.exists() else path.parent, os.W_OK):
        got = "a place that must not be written to"
    else:
        return
    raise DescriberError(f"{option} must name a picture file to write. Got '{path}': {got}. Try x.png.")


def save_picture(picture: Image.Image, path: Path, option: str = "--out") -> None:
    """Write a picture; DescriberError where `path` is no place or kind of a picture."""
    try:
        picture.save(path)
    except (OSError, ValueError) as fault:
        raise DescriberError(f"{option} must name a picture file to write. Got {path}: {fault}. Try x.png.") from None


def stacked(sheets: Sequence[Image.Image]) -> Image.Image:
    """Sheets one below the other on paper."""
    whole = Image.new("RGB", (max(s.width for s in sheets), sum(s.height for s in sheets)), PAPER)
    top = 0
    for sheet in sheets:
        whole.paste(sheet, (0, top))
        top += sheet.height
    return whole


def contact_sheet(
    units: Sequence[UnitCard], title: str = "", subtitle: str = "", n_exemplars: int = 7, side: int = 88
) -> Image.Image:
    """Many units, one row each: the words on the left, the strongest exemplars on the right."""
    words, strip = 270, n_exemplars * (side + GAP) - GAP
    width = MARGIN + words + MARGIN + strip + MARGIN
    head = [*_lines(title, 22, INK, width - 2 * MARGIN, bold=True), *_lines(subtitle, 12, PALE, width - 2 * MARGIN)]
    top = MARGIN + (_height(head) + 16 if head else 0)
    pitch = side + 2 * (GAP + 3)
    sheet = Image.new("RGB", (width, top + len(units) * pitch + MARGIN), PAPER)
    _write(sheet, MARGIN, MARGIN, head)
    draw = ImageDraw.Draw(sheet)
    for number, card in enumerate(units):
        y = top + number * pitch
        draw.line([(MARGIN, y), (width - MARGIN, y)], LINE)
        text = [*_lines(card.headline, 15, INK if card.text else PALE, words, bold=card.text is not None)[:3]]
        text += _lines("   ".join((card.id, *card.notes[:1])), 11, PALE, words)[:2]
        _write(sheet, MARGIN, y + (pitch - _height(text)) // 2, text)
        for rank, tile in enumerate(_tiles(card, side)[:n_exemplars]):
            sheet.paste(tile, (MARGIN + words + MARGIN + rank * (side + GAP), y + GAP + 3))
    return sheet


def calibration_chart(bins: Sequence[Bin], title: str = "") -> Image.Image:
    """The share of right descriptions at rising scores, with intervals and how many descriptions each point has."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.2, 3.6), dpi=110)
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    middles, shares = [(each.low + each.high) / 2 for each in bins], [each.share for each in bins]
    reach = [
        [max(abs(each.share - end[side]), 0.0) for each, end in ((b, b.interval) for b in bins)] for side in (0, 1)
    ]
    wide = [[middle - each.low for middle, each in zip(middles, bins, strict=True)]] * 2
    axes.errorbar(middles, shares, yerr=reach, xerr=wide, fmt="o-", color="#26785a", ecolor="#b9c9c2")
    for middle, each in zip(middles, bins, strict=True):
        axes.annotate(str(each.n), (middle, each.share), (4, 6), textcoords="offset points", fontsize=8)
    axes.set(xlabel="score: r on images that no exemplar is from", ylabel="share of right descriptions", ylim=(0, 1.05))
    axes.set_title(title, fontsize=10)
    axes.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    file = io.BytesIO()
    figure.savefig(file, format="png")
    return Image.open(file).convert("RGB")


def _tiles(card: UnitCard, side: int) -> list[Image.Image]:
    return [_tile(image, mask, side) for image, mask in zip(card.images, card.masks, strict=True)]


def _tile(image: Image.Image, mask: np.ndarray, side: int) -> Image.Image:
    fine = (side * FINE, side * FINE)
    pixels = np.asarray(image.resize(fine, Image.Resampling.BICUBIC), np.float32)
    inside = np.asarray(Image.fromarray(mask).resize(fine, Image.Resampling.NEAREST))
    faded = pixels * (1 - FADE) + np.asarray(PAPER, np.float32) * FADE
    rim = ndimage.binary_dilation(inside, iterations=2 * FINE - 1) & ~inside
    shown = np.where(inside[..., None], pixels, faded)
    shown[rim] = OUTLINE
    tile = Image.fromarray(shown.round().clip(0, 255).astype(np.uint8)).resize((side, side), Image.Resampling.BOX)
    ImageDraw.Draw(tile).rectangle((0, 0, side - 1, side - 1), outline=EDGE)  # else a white picture has no edge
    return tile


@dataclass(frozen=True)
class _Line:
    text: str
    size: int
    color: Color
    bold: bool

    @property
    def height(self) -> int:
        return round(self.size * 1.45)


@lru_cache
def _font(size: int, bold: bool) -> ImageFont.FreeTypeFont:
    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return ImageFont.truetype(str(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / name), size)


def _lines(text: str, size: int, color: Color, width: int, bold: bool = False) -> list[_Line]:
    """`text` broken at spaces into lines of at most `width` pixels; a longer word stands alone and is cut."""
    font, lines = _font(size, bold), [""]
    for word in text.split(" "):
        longer = f"{lines[-1]} {word}" if lines[-1] else word
        if lines[-1] and font.getlength(longer) > width:
            lines.append(word)
        else:
            lines[-1] = longer
    return [_Line(cut(line, font, width), size, color, bold) for line in lines if line]


def cut(text: str, font: ImageFont.FreeTypeFont, width: int) -> str:
    """The text, ended with … where it is wider than so many pixels."""
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(text + "…") > width:
        text = text[:-1]
    return text.rstrip() + "…"


def _height(lines: Sequence[_Line]) -> int:
    return sum(line.height for line in lines)


def _write(sheet: Image.Image, x: int, y: int, lines: Sequence[_Line]) -> None:
    draw = ImageDraw.Draw(sheet)
    for line in lines:
        draw.text((x, y), line.text, line.color, _font(line.size, line.bold))
        y += line.height
