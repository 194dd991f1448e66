"""The picture of a reference game: what was meant, what else there was, and the words each translator found.

draw_examples("Colours", "where it comes from", examples, rows).save("colors.png")
"""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import matplotlib
from PIL import Image, ImageDraw, ImageFont

from describer.eval.games.measure import CRITERIA
from describer.eval.games.report import Example, Row
from describer.picture import EDGE, INK, LINE, MARGIN, PALE, PAPER

WIDTH, SIDE, GAP, LEADING = 1040, 40, 6, 17
SHOWN = ("person", "direct", "pmi", "belief")
"Columns of words; random ones teach nothing."


def draw_examples(title: str, subtitle: str, examples: Sequence[Example], rows: Sequence[Row]) -> Image.Image:
    """A sheet of examples, the target framed, and the accuracies of the translators below."""
    colored = all(name.startswith("#") for example in examples for name in example.extra["candidates"])
    n = len(examples[0].extra["candidates"]) if examples else 2
    left = n * (SIDE + GAP) + 18 if colored else 330
    pitch, top = SIDE + 2 * GAP + 10, MARGIN + 88
    lines = _measured_lines(rows)
    sheet = Image.new("RGB", (WIDTH, top + len(examples) * pitch + 24 + len(lines) * LEADING + MARGIN), PAPER)
    draw = ImageDraw.Draw(sheet)
    draw.text((MARGIN, MARGIN), title, INK, _font(20, True))
    draw.text((MARGIN, MARGIN + 32), _cut(subtitle, WIDTH - 2 * MARGIN, 11), PALE, _font(11))
    column = (WIDTH - 2 * MARGIN - left) // len(SHOWN)
    for place, name in enumerate(SHOWN):
        heading = "a person" if name == "person" else f"the agent, by {name}"
        draw.text((MARGIN + left + place * column, top - 24), heading, PALE, _font(12))
    for number, example in enumerate(examples):
        y = top + number * pitch
        draw.line([(MARGIN, y), (WIDTH - MARGIN, y)], LINE)
        _candidates(draw, example, colored, y + GAP + 4, left)
        for place, name in enumerate(SHOWN):
            text = example.extra["person"] if name == "person" else example.translations[name]
            found = name == "person" or example.extra["found"][name] == 1
            words = _wrapped(text, column - 14, 12)[:3]
            for line, part in enumerate(words):
                draw.text(
                    (MARGIN + left + place * column, y + 7 + line * LEADING), part, INK if found else PALE, _font(12)
                )
    y = top + len(examples) * pitch
    draw.line([(MARGIN, y), (WIDTH - MARGIN, y)], LINE)
    for number, text in enumerate(lines):
        draw.text((MARGIN, y + 12 + number * LEADING), text, INK if number == 0 else PALE, _font(12))
    return sheet


def _measured_lines(rows: Sequence[Row]) -> list[str]:
    """Accuracies in words, one line a pair of speaker and listener; pale words above were not understood."""
    loop = [row for row in rows if row.table == "translator in the loop" and row.k == 1]
    native = [f"{row.speaker} to {row.listener} {row.measured.value:.3f}" for row in loop if row.criterion == "native"]
    lines = ["Found by the listener (R agent, H model human; pale words were not understood):  " + "   ".join(native)]
    for pair in dict.fromkeys((row.speaker, row.listener) for row in loop if row.criterion in CRITERIA):
        told = [row for row in loop if (row.speaker, row.listener) == pair and row.criterion in CRITERIA]
        lines.append(f"{pair[0]} to {pair[1]}:  " + "   ".join(f"{r.criterion} {r.measured.value:.3f}" for r in told))
    return lines


def _candidates(draw: ImageDraw.ImageDraw, example: Example, colored: bool, y: int, left: int) -> None:
    for place, name in enumerate(example.extra["candidates"]):
        x = MARGIN + place * (SIDE + GAP)
        if colored:
            draw.rectangle((x, y, x + SIDE - 1, y + SIDE - 1), fill=name, outline=INK if place == 0 else EDGE, width=2)
        else:
            draw.text((MARGIN, y - 2 + place * 20), _cut(name, left - 14, 12), INK if place == 0 else PALE, _font(12))


@lru_cache
def _font(size: int, bold: bool = False) -> ImageFont.FreeTypeFont:
    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return ImageFont.truetype(str(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / name), size)


def _wrapped(text: str, width: int, size: int) -> list[str]:
    lines = [""]
    for word in text.split(" "):
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and _font(size).getlength(longer) > width:
            lines.append(word)
        else:
            lines[-1] = longer
    return [_cut(line, width, size) for line in lines]


def _cut(text: str, width: int, size: int) -> str:
    if _font(size).getlength(text) <= width:
        return text
    while text and _font(size).getlength(text + "…") > width:
        text = text[:-1]
    return text + "…"
