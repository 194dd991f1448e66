"""An atlas as the pages read it: layers at a glance, rows and sheets of units, pictures.

    library = Library("atlas")
    library.overview()[0].name, library.cards("layer4")[3].text
    library.sheet("layer4", 483).headline
    library.picture(17)                              # the bytes of a JPEG; AtlasError for what is not a picture of it

What was read is kept. What is written while it is read, by another process, is seen with the next request. Cards need
the manifest, the table and numbers of the exemplars alone; whatever brings torch is imported by who asks for more.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import RLock
from typing import Any, TypeVar
from urllib.parse import quote

import numpy as np
from jaxtyping import Bool
from safetensors import SafetensorError, safe_open

from describer.errors import AtlasError
from describer.manifest import LayerEntry, Manifest
from describer.search.site.outlines import mask_outlines, outlines
from describer.search.site.sheet import (
    Beside,
    Evidence,
    Examples,
    Shown,
    Telling,
    UnitSheet,
    cut,
    facts_of,
    meanings_of,
    score_of,
    silence,
    verdict_of,
)
from describer.unittable import Row, UnitTable

METHODS = ("caption", "vlm", "translation", "formula", "concept")
"Whose words come first; methods of other names follow."
FINE, COARSE = 40, 20
"Cells a side from which outlines are drawn: on the page of a unit, in a grid."
IN_GRID = 4
"Exemplars shown in a grid."
N_NEIGHBOURS = 8
N_CANDIDATES = 12
KEPT = 6
"Layers whose exemplars stay in memory."
LARGEST = 2_000_000
"Bytes of a picture file that is passed on; ours have a few thousand."

T = TypeVar("T")


@dataclass(frozen=True)
class Card:
    """A unit in a grid or a list."""

    layer: str
    unit: int
    text: str | None
    told: str
    "its words, or why there are none"
    method: str | None
    score: float | None
    formula: str | None
    dead: bool
    activation: float | None
    methods: tuple[str, ...]
    measure: str = ""
    "what the score is: r on other images, PMI or IoU"
    interval: tuple[float, float] | None = None
    "of r, 95 %"
    reliable: bool | None = None
    "None: not judged"
    withdrawn: str | None = None
    "words that were taken back, where the unit has no others"

    @property
    def id(self) -> str:
        """The name of the unit."""
        return f"{self.layer}:{self.unit}"


@dataclass(frozen=True)
class LayerView:
    """A layer at a glance."""

    name: str
    n_units: int
    "of the layer, probed or not"
    height: int
    width: int
    probed: bool
    methods: tuple[str, ...]
    cards: tuple[Card, ...]

    @property
    def described(self) -> int:
        """Units with words."""
        return sum(card.text is not None for card in self.cards)

    @property
    def dead(self) -> int:
        """Units that never fire."""
        return sum(card.dead for card in self.cards)

    @property
    def withdrawn(self) -> int:
        """Units whose words were taken back."""
        return sum(card.withdrawn is not None for card in self.cards)

    @property
    def best(self) -> list[Card]:
        """A few units whose words are sure, no text twice."""
        told = [card for card in self.cards if card.score is not None and card.text is not None]
        ranked = sorted(told, key=lambda card: -(card.score or 0))
        return list({card.text: card for card in reversed(ranked)}.values())[::-1][:4]


class Library:
    """Reads one atlas; raises AtlasError where there is none."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._meta = Manifest.read(self.path)
        self._atlas: Any = None
        self._seen = self.stamp
        self._reading = RLock()
        self._kept: dict[tuple[Any, ...], Any] = {}

    @property
    def meta(self) -> Manifest:
        """What the atlas has, as it is now."""
        with self._reading:
            stamp = self.stamp
            if stamp != self._seen:
                self._meta, self._atlas, self._seen, self._kept = Manifest.read(self.path), None, stamp, {}
            return self._meta

    @property
    def atlas(self) -> Any:  # Atlas, whose module brings torch
        """The atlas as it is now."""
        from describer.atlas import Atlas

        with self._reading:
            if self.meta and self._atlas is None:
                self._atlas = Atlas.open(self.path)
            return self._atlas

    def entry(self, layer: str) -> LayerEntry:
        """What the atlas has of a layer; AtlasError with the nearest names where it has none."""
        return self.meta.layer(layer) or self.atlas.entry(layer)

    def overview(self) -> list[LayerView]:
        """All layers in the order of the model."""
        return [
            LayerView(e.name, e.units, e.height, e.width, e.probed, e.methods, tuple(self.cards(e.name)))
            for e in self.meta.layers
        ]

    def cards(self, layer: str, method: str | None = None) -> list[Card]:
        """Every unit of a layer, ascending; told by `method`, else by the first one that has words for it."""
        return self._keep(("cards", layer, method), lambda: self._cards(layer, method))

    def _cards(self, layer: str, method: str | None) -> list[Card]:
        if not self.entry(layer).probed:
            return []
        rows, dead = self.rows(layer), self._dead(layer)
        return [_card(layer, unit, rows.get(unit, []), dead[unit], method) for unit in sorted(dead)]

    def rows(self, layer: str) -> dict[int, list[Row]]:
        """Unit -> its rows, one a method, the method whose words come first ahead."""

        def read() -> dict[int, list[Row]]:
            found: dict[int, list[Row]] = {}
            finished = self.entry(layer).methods
            for row in UnitTable(self.path).rows(layer) if finished else ():
                if row["method"] in finished:
                    found.setdefault(row["unit"], []).append(row)
            return {unit: sorted(rows, key=_rank) for unit, rows in found.items()}

        return self._keep(("rows", layer), read)

    def exemplars(self, layer: str) -> Any:  # Exemplars
        """The exemplars of a layer; those of the last few layers are kept."""
        return self._keep(("exemplars", layer), lambda: self.atlas.exemplars(layer), KEPT)

    def _dead(self, layer: str) -> dict[int, bool]:
        """Unit -> whether it is dead."""
        try:
            with safe_open(self.path / "exemplars" / f"{quote(layer, safe='')}.safetensors", "np") as file:
                units, dead = (file.get_tensor(name).tolist() for name in ("unit_ids", "dead"))
        except (OSError, SafetensorError):
            exemplars = self.exemplars(layer)  # says what is amiss
            units, dead = exemplars.unit_ids.tolist(), exemplars.dead.tolist()
        return dict(zip(units, dead, strict=True))

    def shown(self, layer: str, unit: int, n_shown: int | None = None, cells: int = FINE) -> tuple[Shown, ...]:
        """The strongest exemplars of a unit with the outlines of its mask."""
        from describer.upsample import Padding, upsample

        exemplars = self.exemplars(layer)
        position = self._position(layer, unit)
        ranks = [rank for rank, image in enumerate(exemplars.images[position].tolist()) if image >= 0][:n_shown]
        padding: Padding = "zeros" if exemplars.compat == "milan" else "border"
        fine = upsample(exemplars.maps[position, ranks], cells, padding).numpy()
        threshold, dead = float(exemplars.threshold[position]), bool(exemplars.dead[position])
        images, levels = exemplars.images[position].tolist(), exemplars.activations[position].tolist()
        lines = [""] * len(ranks) if dead else outlines(fine, threshold)
        return tuple(Shown(images[rank], line, levels[rank]) for rank, line in zip(ranks, lines, strict=True))

    def masks(self, layer: str, unit: int, size: int) -> Bool[np.ndarray, "exemplars size size"]:
        """The masks of a unit's exemplars, strongest first."""
        exemplars, position = self.exemplars(layer), self._position(layer, unit)
        there = (exemplars.images[position] >= 0).numpy()
        return exemplars.masks(size, [position])[0].numpy()[there]

    def threshold(self, layer: str, unit: int) -> float | None:
        """The activation above which a unit's mask lies, None for a unit that has none."""
        value = float(self.exemplars(layer).threshold[self._position(layer, unit)])
        return value if math.isfinite(value) else None

    def sheet(self, layer: str, unit: int) -> UnitSheet:
        """All about one unit; AtlasError where the atlas has it not."""
        exemplars, position = self.exemplars(layer), self._position(layer, unit)
        units = sorted(exemplars.unit_ids.tolist())
        place = units.index(unit)
        activations = exemplars.activations[position].tolist()
        shown = self.shown(layer, unit)
        levels = getattr(exemplars, "levels", None)
        return UnitSheet(
            layer=layer,
            unit=unit,
            dead=bool(exemplars.dead[position]),
            threshold=self.threshold(layer, unit),
            peak=max(activations) if shown else None,
            exemplars=shown,
            tellings=tuple(self._telling(row) for row in self.rows(layer).get(unit, [])),
            levels=() if levels is None else tuple(levels[position].tolist()),
            previous=units[place - 1] if place else None,
            following=units[place + 1] if place + 1 < len(units) else None,
            position=place + 1,
            n_units=len(units),
            neighbours=tuple(self.coactive(layer, unit)),
            evidence=self.evidence(layer, unit),
        )

    def evidence(self, layer: str, unit: int) -> Evidence | None:
        """What the unit answers on the images that judge; None where none do."""
        from describer.search.site.judging import Judging

        judging = self._keep(("judging", layer), lambda: Judging.of(self.atlas.responses(layer)), KEPT)
        return None if judging is None else judging.evidence(unit, self.path / "thumbnails")

    def coactive(self, layer: str, unit: int) -> list[Beside]:
        """Units that share exemplar images with this one, nearest first."""
        from describer.search.site.neighbours import Neighbours

        near = self._keep(("neighbours",), lambda: Neighbours(self.atlas)).of(layer, unit, N_NEIGHBOURS)
        return [Beside(n.layer, n.unit, self.card(n.layer, n.unit).told, n.likeness) for n in near]

    def card(self, layer: str, unit: int) -> Card:
        """One unit in short; AtlasError where the atlas has it not."""
        by_unit = self._keep(("by unit", layer), lambda: {card.unit: card for card in self.cards(layer)})
        if unit not in by_unit:
            self._position(layer, unit)
        return by_unit[unit]

    def picture(self, image: int) -> bytes:
        """The JPEG of an exemplar image; AtlasError where the atlas has none."""
        return _jpeg(self.path / "thumbnails", image)

    def example(self, dissection: str, image: int) -> bytes:
        """The JPEG of a labelled picture; AtlasError where the atlas has none."""
        from describer.search.dissection import open_dissections

        known = [each.folder for each in open_dissections(self.path) if each.folder.name == dissection]
        if not known:
            raise AtlasError(f"{self.path} must have the dissection. Got {dissection!r}. Open a unit's page.")
        return _jpeg(known[0] / "thumbnails", image)

    def _telling(self, row: Row) -> Telling:
        candidates = tuple({**c, "text": cut(c["text"])} for c in row["n_best"][:N_CANDIDATES])
        words, examples = cut(row["description"]), tuple(self._examples(row))
        return Telling(row["method"], words, facts_of(row), candidates, examples, verdict_of(row), meanings_of(row))

    def _examples(self, row: Row) -> list[Examples]:
        if not (self.path / "concepts").is_dir():
            return []
        from describer.search.dissection import open_dissections
        from describer.search.examples import KINDS, TOLD, read_examples

        found = []
        for dissection in open_dissections(self.path):
            name, layer, method = dissection.folder.name, row["layer"], row["method"]
            read = partial(read_examples, dissection, layer, method)
            kept = self._keep(("examples", name, layer, method), read, 2 * KEPT)
            if kept is None or row["unit"] not in kept.unit_ids:
                continue
            place = int(np.flatnonzero(kept.unit_ids == row["unit"])[0])
            for kind in KINDS:
                images = kept.images[kind][place]
                lines = mask_outlines(kept.masks[kind][place][images >= 0])
                shown = tuple(map(Shown, images[images >= 0].tolist(), lines))
                found.append(Examples(name, kind, TOLD[kind], shown))
        return found

    def _position(self, layer: str, unit: int) -> int:
        places = self._keep(
            ("places", layer), lambda: {int(u): row for row, u in enumerate(self.exemplars(layer).unit_ids)}
        )
        if unit not in places:
            self.atlas.locate(f"{layer}:{unit}")
        return places[unit]

    def _keep(self, key: tuple[Any, ...], read: Callable[[], T], room: int | None = None) -> T:
        """What was read before, or is read now, once for all who ask; of its kind only the last `room` are kept."""
        _ = self.meta
        if key in self._kept:
            return self._kept[key]
        with self._reading:
            if key in self._kept:  # by somebody else, meanwhile
                return self._kept[key]
            value = read()
            if room is not None:
                for old in [other for other in list(self._kept) if other[0] == key[0]][: -room + 1 or None]:
                    self._kept.pop(old, None)
            self._kept[key] = value
            return value

    @property
    def stamp(self) -> int:
        """Changes whenever the atlas does."""
        try:
            return (self.path / "atlas.json").stat().st_mtime_ns
        except OSError:
            return 0


def _rank(row: Row) -> tuple[int, str]:
    method = row["method"]
    return (METHODS.index(method) if method in METHODS else len(METHODS), method)


def _card(layer: str, unit: int, rows: list[Row], dead: bool, method: str | None) -> Card:
    wanted = [row for row in rows if method in (None, row["method"])]
    row = next((row for row in wanted if row["description"]), wanted[0] if wanted else None)
    formula = next((row["formula"] for row in rows if row["formula"] and row["reliable"] is not False), None)
    text, verdict = (cut(row["description"]), verdict_of(row)) if row else (None, None)
    score, measure = score_of(row) if row else (None, "")
    return Card(
        layer,
        unit,
        text,
        text or silence(dead, bool(wanted)),
        row["method"] if row else None,
        score,
        cut(formula) if formula != (row and row["description"]) else None,
        dead,
        row["activation"] if row else None,
        tuple(each["method"] for each in rows),
        measure,
        (verdict.low, verdict.high) if verdict else None,
        verdict.reliable if verdict else None,
        verdict.withdrawn if verdict else None,
    )


def _jpeg(folder: Path, image: int) -> bytes:
    """A picture file that lies in `folder` itself: what a link leads to elsewhere is not passed on."""
    file = folder / f"{int(image)}.jpg"
    try:
        inside = file.resolve(strict=True).parent == folder.resolve(strict=True)
        content = file.read_bytes() if inside and file.stat().st_size <= LARGEST else b""
    except OSError:
        content = b""
    if not content.startswith(b"\xff\xd8"):
        raise AtlasError(f"{folder.parent} must hold picture {image}. Got none. Describe the model anew.")
    return content
