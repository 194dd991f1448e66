"""Small road maps: where the cars are, where they head and want to go.

draw_map(traffic.pick(np.array([0])))                    # PIL picture, 8 cells a side
draw_examples(worlds, ["going north", ...])              # maps side by side, with words beneath
"""

from collections.abc import Sequence

from PIL import Image, ImageDraw

from describer.eval.games.driving.world import ROADS, SIZE, STEPS, Traffic, on_board

CELL = 20
"pixels"
GRASS, ROAD, LINE = (203, 222, 190), (120, 124, 130), (150, 154, 160)
CARS = ((214, 69, 65), (58, 110, 190))
"of the first and the second car; a goal is a ring of its car's colour"


def draw_map(traffic: Traffic, cars: Sequence[int] = (0, 1), cell: int = CELL) -> Image.Image:
    """The one game of ``traffic``, with these of its cars."""
    picture = Image.new("RGB", (SIZE * cell, SIZE * cell), GRASS)
    draw = ImageDraw.Draw(picture)
    for row in range(SIZE):
        for column in range(SIZE):
            if ROADS[traffic.map[0], row, column]:
                draw.rectangle(_box(row, column, cell, 0), fill=ROAD, outline=LINE)
    for car in cars:
        row, column = traffic.goal[0, car].tolist()
        draw.ellipse(_box(row, column, cell, 3 + 2 * car), outline=CARS[car], width=2)
    for car in cars:
        if on_board(traffic.position)[0, car] and not traffic.arrived[0, car]:
            _draw_car(draw, traffic, car, cell)
    return picture


def _draw_car(draw: ImageDraw.ImageDraw, traffic: Traffic, car: int, cell: int) -> None:
    """A bar from the tail to the head, with a light nose."""
    row, column = traffic.position[0, car].tolist()
    down, right = STEPS[traffic.direction[0, car]].tolist()
    x, y = (column + 0.5) * cell, (row + 0.5) * cell
    draw.line((x - right * cell, y - down * cell, x, y), fill=CARS[car], width=cell // 2)
    nose = (x + right * cell * 0.3, y + down * cell * 0.3)
    draw.line((x, y, *nose), fill=CARS[car], width=cell // 2)
    radius = cell / 8
    draw.ellipse((nose[0] - radius, nose[1] - radius, nose[0] + radius, nose[1] + radius), fill="white")


def _box(row: int, column: int, cell: int, inset: int) -> tuple[int, int, int, int]:
    return column * cell + inset, row * cell + inset, (column + 1) * cell - 1 - inset, (row + 1) * cell - 1 - inset


def draw_examples(worlds: Sequence[Traffic], words: Sequence[str], columns: int = 3) -> Image.Image:
    """Maps of the first cars in rows, each above what its message means in human words."""
    wide, high, gap = SIZE * CELL, SIZE * CELL + 34, 12
    rows = -(-len(worlds) // columns)
    picture = Image.new("RGB", (columns * (wide + gap) + gap, rows * (high + gap) + gap), "white")
    draw = ImageDraw.Draw(picture)
    for number, (world, text) in enumerate(zip(worlds, words, strict=True)):
        x, y = gap + number % columns * (wide + gap), gap + number // columns * (high + gap)
        picture.paste(draw_map(world, cars=(0,)), (x, y))
        for line, part in enumerate(_lines(text, draw, wide)):
            draw.text((x, y + SIZE * CELL + 4 + 13 * line), part, fill="black")
    return picture


def _lines(text: str, draw: ImageDraw.ImageDraw, wide: int) -> list[str]:
    """The words on two lines at most."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if draw.textlength(longer) <= wide:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines[:2]
