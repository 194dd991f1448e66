"""Small labelled pictures on the disk, and what a slow reader says of them."""

import io
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from describer.data.concepts import ConceptSet

WIDTH, HEIGHT = 13, 11
HATS = {"0": "null", "1": "hat", "2": "scarf", "5": "boots"}


def picture(seed: int, size: tuple[int, int] = (WIDTH, HEIGHT)) -> np.ndarray:
    """Blocks of a few colours."""
    chance = np.random.default_rng(seed)
    return chance.integers(0, 256, (3, 3, 3)).astype(np.uint8).repeat(7, 0).repeat(7, 1)[: size[1], : size[0]]


def mask(seed: int, ids: tuple[int, ...] = (0, 1, 2, 5)) -> np.ndarray:
    return np.random.default_rng(seed).choice(ids, (HEIGHT, WIDTH)).astype(np.uint8)


def encoded(pixels: np.ndarray, name: str = "") -> dict[str, object]:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return {"bytes": file.getvalue(), "path": name}


def clothing(root: Path, n: int = 5, names: dict[str, str] | None = None, **columns: list) -> Path:
    """A folder with one Parquet file of pictures and masks, and its names."""
    root.mkdir()
    rows = {"image": [encoded(picture(i)) for i in range(n)], "mask": [encoded(mask(i)) for i in range(n)]} | columns
    pq.write_table(pa.table(rows), root / "a.parquet", row_group_size=2)
    (root / "labels.json").write_text(json.dumps(HATS if names is None else names))
    return root


def textures(root: Path, *words: str | None) -> Path:
    """A folder of pictures with one word each, in two files."""
    root.mkdir()
    for file, part in (("a", words[:2]), ("b", words[2:])):
        rows = {"image": [encoded(picture(90 + len(word or ""))) for word in part], "texture": list(part)}
        pq.write_table(pa.table(rows), root / f"{file}.parquet")
    return root


def told(concepts: ConceptSet, index: int) -> list[tuple[str, str, bytes | None]]:
    """Category, name and exact mask of everything that is labelled; None for what holds for the whole picture."""
    labels, names = concepts.labels(index), concepts.names
    found: list[tuple[str, str, bytes | None]] = [
        (c, names[c][i], None) for c, numbers in labels.scalars.items() for i in numbers if i
    ]
    for category, maps in labels.maps.items():
        for number in range(1, len(names[category])):
            for layer in maps:
                if (layer == number).any():
                    found.append((category, names[category][number], (layer == number).tobytes()))
    assert {(c, names[c].index(n)) for c, n, _ in found} == labels.present()
    return sorted(found, key=str)


def slow(category: str, ids: np.ndarray, names: dict[int, str]) -> list[tuple[str, str, bytes | None]]:
    """The same, pixel by pixel."""
    masks: dict[int, list[list[bool]]] = {}
    for y in range(ids.shape[0]):
        for x in range(ids.shape[1]):
            number = int(ids[y, x])
            if number:
                masks.setdefault(number, [[False] * ids.shape[1] for _ in range(ids.shape[0])])[y][x] = True
    return [(category, names[number], np.array(rows).tobytes()) for number, rows in masks.items()]
