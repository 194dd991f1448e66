"""Words without pictures, for the language prior: descriptions that people wrote of units.

read_texts("MILANNOTATIONS_resnet152_imagenet.csv")      # ["a person wearing a facemask", ...]
read_texts(["sentences.txt"], folds=range(6))            # one text a line
units = read_unit_texts("MILANNOTATIONS_resnet152_imagenet.csv", folds=range(6))
units[0].layer, units[0].unit, units[0].texts            # "layer3", "226", ("a person wearing a facemask", ...)
"""

import csv
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import NamedTuple

from describer.errors import RecipeError
from describer.training.corpus import check_folds, split_of


class UnitTexts(NamedTuple):
    """What people wrote of one unit; layer and unit are words, also where they look like numbers."""

    layer: str
    unit: str
    texts: tuple[str, ...]


def read_texts(
    paths: str | Path | Sequence[str | Path], folds: Collection[int] = range(10), *, column: str = "summary"
) -> list[str]:
    """Every text of CSV files (layer, unit, `column`) and of plain files (one a line; its fold is that of the line)."""
    wanted = check_folds(folds)
    texts: list[str] = []
    for path in [paths] if isinstance(paths, str | Path) else paths:
        if Path(path).suffix == ".csv":
            texts += [text for unit in read_unit_texts(path, wanted, column=column) for text in unit.texts]
        else:
            lines = _opened(path).splitlines()
            texts += [" ".join(line.split()) for line in lines if line.strip() and split_of(line.strip()) in wanted]
    return texts


def read_unit_texts(path: str | Path, folds: Collection[int], *, column: str = "summary") -> list[UnitTexts]:
    """The units of a CSV (layer, unit, `column`) in order of first appearance; the fold is that of "layer:unit"."""
    wanted = check_folds(folds)
    units: dict[tuple[str, str], list[str]] = {}
    rows = csv.DictReader(_opened(path).splitlines(keepends=True))
    if {"layer", "unit", column} - set(rows.fieldnames or ()):
        raise RecipeError(
            f"{path} must have the columns layer, unit, {column}. Got {rows.fieldnames}. Do name the right one."
        )
    for row in rows:
        if split_of(f"{row['layer']}:{row['unit']}") in wanted and row[column].strip():
            units.setdefault((row["layer"], row["unit"]), []).append(" ".join(row[column].split()))
    return [UnitTexts(layer, unit, tuple(texts)) for (layer, unit), texts in units.items()]


def _opened(path: str | Path) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except OSError as fault:
        raise RecipeError(
            f"Texts must be in a readable file. Got {path}: {fault.strerror}. Do check the path."
        ) from fault
