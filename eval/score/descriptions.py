"""Reads anybody's descriptions: CSV files of any method, an atlas, and what people wrote.

    said = read_descriptions("MILAN=milan.csv")               # layer,unit,description or columns that look like them
    said.texts["layer4", 483], said.told                      # the text (None where blank); which columns were read
    read_descriptions("DnD=dnd_layer1.csv,dnd_layer2.csv")    # Neuron ID,Label 1: the layer is in the file's name
    read_human("MILANNOTATIONS.csv")["layer4", 483]           # all sentences of a unit, in the order of the file

A row is known by its layer and unit, never by its place: blank texts and files in other orders shift nothing. Files are
only read. A layer is a name and nothing else; no part of a file is ever run.
"""

import csv
import io
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from describer.atlas import Atlas
from describer.errors import DescriberError

Unit = tuple[str, int]
"layer and unit"

GUESSES: dict[str, tuple[str, ...]] = {
    "layer": ("layer", "layer name", "module", "block"),
    "unit": ("unit", "neuron", "neuron id", "unit id", "channel", "feature", "feature id", "neuron index", "index"),
    "description": (
        *("description", "label", "label 1", "explanation", "caption", "text", "summary", "concept", "best label"),
        *("annotation", "best word", "detected concept"),
    ),
}
"Headings that are taken for each column where none is given, the likeliest first; case, _ and - do not matter."
LAYER_IN_NAME = re.compile(r"(?:layer|block|stage|features?|inception|conv)[._-]?\d+\w*$", re.IGNORECASE)


@dataclass(frozen=True)
class Columns:
    """Headings of the three columns, where they are not to be guessed."""

    layer: str | None = None
    unit: str | None = None
    description: str | None = None


@dataclass(frozen=True)
class Said:
    """What one method says of units."""

    method: str
    texts: Mapping[Unit, str | None]
    "None where the method says nothing of a unit that it lists"
    told: str
    "where it was read, and which columns"
    files: tuple[Path, ...] = ()


def read_descriptions(source: str, columns: Columns | None = None) -> Said:
    """One text a unit from CSV files: PATH, NAME=PATH or NAME=PATH,PATH; DescriberError where they cannot be used.

    Refused are files that are missing, empty, or without the columns, units that are no whole numbers, and units
    that stand twice.
    """
    name, equals, listed = source.partition("=")
    files = tuple(Path(part) for part in (listed if equals else source).split(","))
    texts: dict[Unit, str | None] = {}
    told = []
    for file in files:
        table = _Table(file, columns or Columns())
        told.append(table.told)
        for line, unit, text in table.rows():
            if unit in texts:
                message = f"{file} must describe a unit once. Got {unit[0]}:{unit[1]} again in line {line}"
                raise DescriberError(f"{message}. Leave one, or give what people wrote as --human.")
            texts[unit] = text or None
    return Said(name if equals else files[0].stem, texts, "; ".join(told), files)


def read_human(path: str | Path, columns: Columns | None = None) -> dict[Unit, list[str]]:
    """All sentences of every unit, in the order of the file; DescriberError as for descriptions."""
    found: dict[Unit, list[str]] = {}
    for _, unit, text in _Table(Path(path), columns or Columns()).rows():
        if text:
            found.setdefault(unit, []).append(text)
    return found


def atlas_descriptions(atlas: Atlas, prefix: str = "") -> list[Said]:
    """What each method of an atlas says; DescriberError where nothing is described."""
    texts: dict[str, dict[Unit, str | None]] = {}
    for row in atlas.units():
        texts.setdefault(row["method"], {})[row["layer"], row["unit"]] = row["description"]
    if not texts:
        raise DescriberError(
            f"{atlas.path} must have descriptions. Got only probed units. Repeat the describe command."
        )
    return [Said(prefix + method, own, f"{atlas.path}, method {method}") for method, own in texts.items()]


def refuse_strangers(said: Sequence[Said], units: Mapping[str, Iterable[int]], where: str) -> None:
    """DescriberError where a method tells of a layer or unit that is not in `units` (layer -> its units)."""
    known = {layer: frozenset(own) for layer, own in units.items()}
    for each in said:
        for layer, unit in each.texts:
            if layer not in known:
                near = get_close_matches(layer, known, n=3, cutoff=0.0)
                message = f"{each.method} must tell of layers of {where}. Got {layer!r}. Nearest: {', '.join(near)}"
                raise DescriberError(f"{message}. Give the atlas of the same model.")
            if unit not in known[layer]:
                message = f"{each.method} must tell of units of {where}. Got {layer}:{unit}, of {len(known[layer])}"
                raise DescriberError(f"{message}. Give the atlas of the same model.")


class _Table:
    """One CSV file with its columns found."""

    def __init__(self, path: Path, columns: Columns):
        self.path = path
        self._rows = csv.DictReader(io.StringIO(_content(path)))
        headings = [heading for heading in self._rows.fieldnames or [] if heading is not None]
        self.unit = self._column("unit", columns.unit, headings)
        self.description = self._column("description", columns.description, headings)
        self.layer, self.constant = self._layer(columns.layer, headings)
        layer = f"layer {self.constant} by the file's name" if self.layer is None else f"{self.layer!r} as layer"
        self.told = f"{path.name}: {layer}, {self.unit!r} as unit, {self.description!r} as description"

    def rows(self) -> Iterator[tuple[int, Unit, str]]:
        """(line, unit, text without space around it) of every row; blank lines are passed over."""
        n_rows = 0
        for row in self._rows:
            number = (row[self.unit] or "").strip()
            layer = self.constant if self.layer is None else (row[self.layer] or "").strip()
            if not number and not layer:
                continue
            if not re.fullmatch(r"\d+(\.0)?", number):
                message = f"{self.path} must have whole numbers as units. Got {number!r} in line {self._rows.line_num}"
                raise DescriberError(f"{message}. Mend it, or name the column of units.")
            n_rows += 1
            yield self._rows.line_num, (layer, int(float(number))), " ".join((row[self.description] or "").split())
        if not n_rows:
            raise DescriberError(f"{self.path} must have a row a unit. Got none. Check the file.")

    def _column(self, kind: str, given: str | None, headings: Sequence[str]) -> str:
        """The heading of a column, given or guessed."""
        if given is not None:
            if given not in headings:
                raise DescriberError(f"{self.path} must have the column {given!r}. Got {_shown(headings)}. Correct it.")
            return given
        plain = {_plain(heading): heading for heading in reversed(headings)}
        for guess in GUESSES[kind]:
            if guess in plain:
                return plain[guess]
        message = f"{self.path} must have a column for the {kind}. Got {_shown(headings)}"
        raise DescriberError(f"{message}. Name it with --columns {kind}=HEADING.")

    def _layer(self, given: str | None, headings: Sequence[str]) -> tuple[str | None, str]:
        """The heading of the column of layers, or, where there is none, the layer in the file's name."""
        found = LAYER_IN_NAME.search(self.path.stem)
        if given is None and found and not {_plain(heading) for heading in headings} & {*GUESSES["layer"]}:
            return None, found[0]
        return self._column("layer", given, headings), ""


def _content(path: Path) -> str:
    try:
        content = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as fault:
        reason = fault.strerror if isinstance(fault, OSError) else "no UTF-8"
        raise DescriberError(f"descriptions must be in a readable CSV file. Got {path}: {reason}. Check it.") from None
    if not content.strip():
        raise DescriberError(f"{path} must have a heading and a row a unit. Got an empty file. Check it.")
    return content


def _plain(heading: str) -> str:
    return " ".join(heading.lower().replace("_", " ").replace("-", " ").split())


def _shown(headings: Sequence[str]) -> str:
    return ", ".join(map(repr, headings)) or "none"
