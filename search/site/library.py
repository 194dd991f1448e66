"""An atlas as the pages read it: layers at a glance, rows and sheets of units, pictures.

    library = Library("atlas")
    library.overview()[0].name, library.cards("layer4")[3].text
    library.sheet("layer4", 483).headline
    library.picture(17)                              # the bytes of a JPEG; AtlasError for what is not a picture of it

What was read is kept. What is written while it is read, by another process, is seen with the next request. Cards need
the manifest, the table and numbers of the exemplars alone; whatever brings torch is imported by who asks for more.
"""

import math
import os
from array import array
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from threading import RLock
from typing import Any, TypeVar
from urllib.parse import quote

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Bool
from safetensors import SafetensorError, safe_open

from describer.errors import AtlasError
from describer.manifest import LayerEntry, Manifest
from describer.search.site.cards import SHOWN, TOLD, Card, LayerView, by_score, first_rows, make_card, rank
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
    verdict_of,
)
from describer.unittable import Row, UnitTable

FINE, COARSE = 40, 20
"Cells a side from which outlines are drawn: on the page of a unit, in a grid."
IN_GRID = 4
"Exemplars shown in a grid."
N_NEIGHBOURS = 8
N_CANDIDATES = 12
KEPT, FEW = 6, 2
"Layers whose exemplars stay in memory; large layers whose cards do."
LARGE, AT_A_GLANCE = 10_000, 50_000
"Units of a layer that is read unit by unit; units of an atlas whose first page says of layers but how many they have."
LARGEST = 2_000_000
"Bytes of a picture file that is passed on; ours have a few thousand."

T = TypeVar("T")


class Library:
    """Reads one atlas; raises AtlasError where there is none."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._manifest = str(self.path / "atlas.json")
        self._meta = Manifest.read(self.path)
        self._atlas: Any = None
        self._seen = self.stamp
        self._reading = RLock()
        self._locks: dict[tuple[Any, ...], RLock] = {}
        self._table = UnitTable(self.path)
        self._kept: dict[tuple[Any, ...], Any] = {}

    @property
    def meta(self) -> Manifest:
        """What the atlas has, as it is now."""
        if self.stamp != self._seen:
            with self._reading:
                if (stamp := self.stamp) != self._seen:
                    self._meta, self._atlas, self._kept = Manifest.read(self.path), None, {}
                    self._table = UnitTable(self.path)  # one that is open stays what it was
                    self._seen = stamp
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
        """All layers in the order of the model; of more than AT_A_GLANCE units in all none is read."""
        entries = self.meta.layers
        few = sum(entry.units for entry in entries if entry.probed) <= AT_A_GLANCE
        cards = [tuple(self.cards(entry.name)) if few else () for entry in entries]
        return [
            LayerView(e.name, e.units, e.height, e.width, e.probed, e.methods, of_layer)
            for e, of_layer in zip(entries, cards, strict=True)
        ]

    def cards(self, layer: str, method: str | None = None) -> list[Card]:
        """Every unit of a layer, ascending; told by `method`, else by the first one that has words for it."""
        room = FEW if self._large(layer) else None
        return self._keep(("large" if room else "cards", layer, method), lambda: self._cards(layer, method), room)

    def _cards(self, layer: str, method: str | None) -> list[Card]:
        if not self.entry(layer).probed:
            return []
        rows, dead = self._read(layer, SHOWN) if self._large(layer) else self._rows(layer), self._dead(layer)
        return [make_card(layer, unit, rows.get(unit, []), dead[unit], method) for unit in sorted(dead)]

    def cards_of(self, units: Sequence[tuple[str, int]], words: bool = False) -> list[Card]:
        """The cards of some units of any layers, in this order; AtlasError where the atlas has one not.

        With `words` alone those of large layers lack scores and forms, and nothing is read for them.
        """
        unread = [] if words else [unit for unit in dict.fromkeys(units) if self._large(unit[0])]
        large = self._by_layer(self._table.rows_of(unread, SHOWN))
        made = []
        for layer, unit in units:
            if words and self._large(layer):
                rows = self._worded(layer, unit)
            else:
                rows = (large.get(layer, {}) if self._large(layer) else self._rows(layer)).get(unit, [])
            dead = rows[0]["dead"] if rows else bool(self.exemplars(layer).dead[self._position(layer, unit)])
            made.append(make_card(layer, unit, rows, dead))
        return made

    def _worded(self, layer: str, unit: int) -> list[Row]:
        """The row a unit's card is told by, with nothing but its words."""
        told = self._told.get(layer)
        if told is None:
            return []
        place = int(np.searchsorted(told["unit"].to_numpy(), unit))
        words = told.slice(place, 1).select(["unit", "method", "description", "dead"]).to_pylist()
        return [dict.fromkeys(SHOWN) | row for row in words if row["unit"] == unit]

    @property
    def _told(self) -> dict[str, pa.Table]:
        """Large layer -> of each of its units the row of a finished method that its card is told by."""

        def read() -> dict[str, pa.Table]:
            large = {e.name: pa.array(e.methods, pa.string()) for e in self.meta.layers if self._large(e.name)}
            rows = self._table.columns(("layer", *TOLD))  # of all at once, as one layer alone takes a fifth of the time
            codes = rows["layer"].combine_chunks().dictionary_encode()
            numbers = {name: number for number, name in enumerate(codes.dictionary.to_pylist()) if name in large}
            of_layer = {name: rows.filter(pc.equal(codes.indices, number)) for name, number in numbers.items()}
            finished = {name: of.filter(pc.is_in(of["method"], large[name])) for name, of in of_layer.items()}
            return {name: first_rows(of.select([*TOLD])) for name, of in finished.items()}

        return self._keep(("told",), read)

    def in_order(self, layer: str, score_first: bool = False) -> Sequence[int] | None:
        """The units of a large layer, ascending or the highest score first; None: not large, so that cards tell."""
        if not self._large(layer) or not self.entry(layer).probed:
            return None

        def read() -> Any:
            units = np.sort(self.exemplars(layer).unit_ids.numpy())
            found = by_score(units, self._told[layer]) if score_first and layer in self._told else units
            return array("q", found.astype(np.int64).tobytes())  # 8 bytes a unit

        return self._keep(("order", layer, score_first), read)  # type: ignore[no-any-return]

    def rows_of(self, layer: str, unit: int) -> list[Row]:
        """The rows of a unit, one a method, the method whose words come first ahead."""
        rows = self._read_unit(layer, unit) if self._large(layer) else self._rows(layer)
        return rows.get(unit, [])

    def _read_unit(self, layer: str, unit: int) -> dict[int, list[Row]]:
        return self._by_layer(self._table.rows_of([(layer, unit)])).get(layer, {})

    def _rows(self, layer: str) -> dict[int, list[Row]]:
        return self._keep(("rows", layer), lambda: self._read(layer))

    def _read(self, layer: str, columns: Sequence[str] | None = None) -> dict[int, list[Row]]:
        rows = self._table.rows(layer, columns) if self.entry(layer).methods else []
        return self._by_layer(rows).get(layer, {})

    def _by_layer(self, rows: Sequence[Row]) -> dict[str, dict[int, list[Row]]]:
        """Layer -> unit -> its rows of finished methods."""
        found: dict[str, dict[int, list[Row]]] = {}
        for row in sorted(rows, key=rank):
            if row["method"] in self.entry(row["layer"]).methods:
                found.setdefault(row["layer"], {}).setdefault(row["unit"], []).append(row)
        return found

    def _large(self, layer: str) -> bool:
        """Whether its units are read as they are asked for."""
        return self.entry(layer).units > LARGE

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
        return self.shown_of([(layer, unit)], n_shown, cells)[0]

    def shown_of(
        self, units: Sequence[tuple[str, int]], n_shown: int | None = None, cells: int = FINE
    ) -> list[tuple[Shown, ...]]:
        """The strongest exemplars of some units; the rims of all masks are followed in one go."""
        if not units:
            return []
        from describer.upsample import Padding, upsample

        pictures: list[list[tuple[int, float]]] = []
        heights = [np.empty((0, cells, cells), np.float32)]
        for layer, unit in units:
            exemplars, position = self.exemplars(layer), self._position(layer, unit)
            images, levels = exemplars.images[position].tolist(), exemplars.activations[position].tolist()
            seen = [(rank, image) for rank, image in enumerate(images) if image >= 0][:n_shown]
            pictures.append([(image, levels[rank]) for rank, image in seen])
            padding: Padding = "zeros" if exemplars.compat == "milan" else "border"
            fine = upsample(exemplars.maps[position, [rank for rank, _ in seen]], cells, padding)
            above = fine - (math.inf if exemplars.dead[position] else exemplars.threshold[position])
            heights.append(above.numpy())
        lines = iter(outlines(np.concatenate(heights), 0.0))
        return [tuple(Shown(image, next(lines), level) for image, level in own) for own in pictures]

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
        units = exemplars.unit_ids.numpy()
        before, after = units[units < unit], units[units > unit]
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
            tellings=tuple(self._telling(row) for row in self.rows_of(layer, unit)),
            levels=() if levels is None else tuple(levels[position].tolist()),
            previous=int(before.max()) if len(before) else None,
            following=int(after.min()) if len(after) else None,
            position=len(before) + 1,
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
        near = self._neighbours.of(layer, unit, N_NEIGHBOURS)
        cards = self.cards_of([(each.layer, each.unit) for each in near], words=True)
        return [Beside(c.layer, c.unit, c.told, n.likeness) for c, n in zip(cards, near, strict=True)]

    @property
    def _neighbours(self) -> Any:  # Neighbours, whose module brings scipy
        from describer.search.site.neighbours import Neighbours

        return self._keep(("neighbours",), lambda: Neighbours(self.atlas))

    def card(self, layer: str, unit: int) -> Card:
        """One unit in short; AtlasError where the atlas has it not."""
        return self.cards_of([(layer, unit)])[0]

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
        places = np.flatnonzero(self.exemplars(layer).unit_ids.numpy() == unit)
        if not len(places):
            self.atlas.locate(f"{layer}:{unit}")  # says which there are
        return int(places[0])

    def _keep(self, key: tuple[Any, ...], read: Callable[[], T], room: int | None = None) -> T:
        """What was read before, or is read now, once for all who ask; of its kind only the last `room` are kept."""
        _ = self.meta
        kept = self._kept  # of the atlas as it is now
        with suppress(KeyError):
            return kept[key]  # type: ignore[no-any-return]
        with self._locks.setdefault(key, RLock()):
            with suppress(KeyError):  # read by somebody else, meanwhile
                return kept[key]  # type: ignore[no-any-return]
            value = read()
            if room is not None:
                for old in [other for other in list(kept) if other[0] == key[0]][: -room + 1 or None]:
                    kept.pop(old, None)
            kept[key] = value
            return value

    @property
    def stamp(self) -> int:
        """Changes whenever the atlas does."""
        try:
            return os.stat(self._manifest).st_mtime_ns  # asked for dozens of times a page
        except OSError:
            return 0


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
