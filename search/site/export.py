"""The pages of an atlas as a folder of files that opens without a server.

    export_site("atlas", "site")                     # open site/index.html; or put the folder on any web server

index.html is the first page; every layer has a folder with its grid, and in it every unit a folder with its page.
Killed at any moment, the same call goes on: units that are whole are left alone. Where the atlas or the package is
another one by now, all that was exported before is removed first. A unit's page with its pictures has at most
MOST_BYTES; where there is more, it shows fewer of them.
"""

import hashlib
import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from describer import __version__
from describer.errors import DescriberError
from describer.files import PART, disk_faults, write_atomically
from describer.search.site.api import unit_json
from describer.search.site.earlier import MARK, read_mark, remove_export
from describer.search.site.finding import Finder, MakeFinder, Progress, UnitFinder, similar
from describer.search.site.grid import GridQuery, n_pages
from describer.search.site.library import IN_GRID, Library
from describer.search.site.links import FileLinks, folder_name, layer_file
from describer.search.site.pages import ASSETS, TEMPLATES, Pages
from describer.search.site.sheet import Telling, UnitSheet

MOST_BYTES = 300_000
"Of one unit: page, JSON and every picture it shows."
FORMAT = 3
ASSET_FILES = ("site.css", "site.js", "search.js", "icon.svg")


def export_site(
    atlas: str | Path, site: str | Path, progress: Progress | None = None, finder: MakeFinder | None = None
) -> Path:
    """Write the pages into the folder `site`, new, empty or exported before; returns its first page.

    The index of the search is made where there is none, since it knows which units mean the same.
    """
    library, report = Library(atlas), progress or _silent
    return Export(library, Path(site), (finder or partial(Finder, progress=report))(library)).run(report)


class Export:
    """One atlas on its way into one folder."""

    def __init__(self, library: Library, folder: Path, finder: UnitFinder) -> None:
        self.library, self.folder, self.pages, self.finder = library, folder, Pages(library), finder
        self.layers = [entry.name for entry in library.meta.layers if entry.probed]
        self.alike = self.key = ""

    def run(self, report: Progress) -> Path:
        """Units first, then the pages that lead to them."""
        with disk_faults(self.folder):
            earlier = self._claim()
            with suppress(DescriberError):  # then the pages do not say what means the same
                self.alike = self.finder.ready()
            self.key = _key(self.library, self.alike)
            self._begin(earlier)
            units = [(layer, card.unit) for layer in self.layers for card in self.library.cards(layer)]
            for done, (layer, unit) in enumerate(units):
                report("writing units", done, len(units))
                self._write_unit(layer, unit)
            report("writing units", len(units), len(units))
            for number, layer in enumerate(self.layers):
                self._write_layer(layer)
                self._write_index(number, layer)
            parts = json.dumps([f"index-{number}.js" for number in range(len(self.layers))])
            self._write("assets/index.js", f"window.describerParts = {parts};\n".encode())
            self._write("index.html", self.pages.home(FileLinks(0)).encode())
            self._mark(whole=True)
        return self.folder / "index.html"

    def _claim(self) -> dict[str, Any] | None:
        """Take the folder, or refuse what is not ours; returns the mark of an earlier export."""
        if self.folder.exists() and not self.folder.is_dir():
            raise DescriberError(f"SITE must be a folder. Got the file {self.folder}. Name another one.")
        self.folder.mkdir(parents=True, exist_ok=True)
        strange = next((path.name for path in self.folder.iterdir() if not path.name.startswith(".")), None)
        earlier = read_mark(self.folder)
        if strange is not None and earlier is None:
            got = f"Got {self.folder}, which holds {strange}"
            raise DescriberError(f"SITE must be new, empty or exported before. {got}. Name another one.")
        return earlier

    def _begin(self, earlier: dict[str, Any] | None) -> None:
        """Remove an export of something else, and write styles and scripts, as pages want them.

        It is removed while its mark still stands, so that a kill leaves nothing of it behind.
        """
        if earlier is not None and earlier["key"] != self.key:
            remove_export(self.folder, earlier)
        self._mark(whole=False)
        for name in ASSET_FILES:
            self._write(f"assets/{name}", (ASSETS / name).read_bytes())

    def _mark(self, whole: bool) -> None:
        folders = [folder_name(layer) for layer in self.layers]
        mark = {"format": FORMAT, "key": self.key, "layers": folders, "whole": whole}
        self._write(MARK, json.dumps(mark).encode())

    def _write_unit(self, layer: str, unit: int) -> None:
        """One unit: pictures and page, and last its JSON, which says that all of it is there."""
        home = f"{folder_name(layer)}/{unit}"
        if self._is_whole(home):
            return
        near = similar(self.finder, layer, unit) if self.alike else ()
        page, text, told = self._fitting(replace(self.library.sheet(layer, unit), similar=near))
        for image in page.pictures:
            self._write_picture(f"pictures/{image}.jpg", partial(self.library.picture, image))
        for dissection, image in page.example_pictures:
            read = partial(self.library.example, dissection, image)
            self._write_picture(f"examples/{dissection}/{image}.jpg", read)
        self._write(f"{home}/index.html", text)
        self._write(f"{home}/unit.json", told)

    def _fitting(self, sheet: UnitSheet) -> tuple[UnitSheet, bytes, bytes]:
        """The sheet with as many pictures as fit, its page and JSON; the strongest stay."""
        bare = replace(sheet, exemplars=(), evidence=None, tellings=tuple(map(_words_alone, sheet.tellings)))
        tried = [replace(sheet, exemplars=sheet.exemplars[:n]) for n in _fewer(len(sheet.exemplars))]
        page, text, told = sheet, b"", b""
        for page in [*tried, bare]:
            text = self.pages.unit(FileLinks(2), page).encode()
            told = self._told(page, short=len(page.exemplars) < len(sheet.exemplars))
            if len(told) + len(text) + self._weight(page) <= MOST_BYTES:
                break
        return page, text, told

    def _weight(self, sheet: UnitSheet) -> int:
        pictures = sum(len(self.library.picture(image)) for image in sheet.pictures)
        return pictures + sum(len(self.library.example(*which)) for which in sheet.example_pictures)

    def _told(self, sheet: UnitSheet, short: bool) -> bytes:
        content: dict[str, Any] = unit_json(FileLinks(2), self.library, sheet)
        if short:
            told = ({"method": telling.method, "description": telling.text} for telling in sheet.tellings)
            content["descriptions"] = list(told)
        return json.dumps({**content, "site": self.key}, ensure_ascii=False, allow_nan=False).encode()

    def _is_whole(self, home: str) -> bool:
        try:
            return bool(json.loads((self.folder / home / "unit.json").read_bytes())["site"] == self.key)
        except (OSError, ValueError, KeyError, TypeError):
            return False

    def _write_layer(self, layer: str) -> None:
        """The grid in the order of units and by score, and the pictures it shows of them."""
        home, cards = folder_name(layer), self.library.cards(layer)
        for by_score in (False, True):
            for number in range(1, n_pages(len(cards)) + 1):
                query = GridQuery(by_score=by_score, page=number)
                text = self.pages.layer(FileLinks(1), layer, query)
                self._write(f"{home}/{layer_file(by_score, number)}", text.encode())

    def _write_index(self, number: int, layer: str) -> None:
        """What the script of the search reads of one layer; a script, since files may not be fetched by pages."""
        units = [
            [
                *(card.unit, card.text, card.formula, None if card.score is None else round(card.score, 4)),
                *(int(card.dead), [s.image for s in self.library.shown(layer, card.unit, IN_GRID, 2)]),
                *(card.measure, card.reliable, card.withdrawn, int(card.has_formula)),
                None if card.interval is None else [round(bound, 4) for bound in card.interval],
                card.searched,
            ]
            for card in self.library.cards(layer)
        ]
        part = {"layer": layer, "folder": FileLinks(0).layer(layer).removesuffix("/index.html"), "units": units}
        content = f"window.describerIndex.push({json.dumps(part, allow_nan=False, separators=(',', ':'))});\n"
        self._write(f"assets/index-{number}.js", content.encode())

    def _write_picture(self, name: str, read: Callable[[], bytes]) -> None:
        if not (self.folder / name).exists():
            self._write(name, read())

    def _write(self, name: str, content: bytes) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, content, durable=False)


def _words_alone(telling: Telling) -> Telling:
    return replace(telling, candidates=(), examples=(), facts=telling.facts[:20])


def _fewer(n_shown: int) -> list[int]:
    """How many exemplars are tried, most first."""
    found = [n_shown]
    while found[-1] > 1:
        found.append(found[-1] * 3 // 4)
    return found


def _key(library: Library, alike: str) -> str:
    """A digest of all that decides what is written: what the atlas says, what knows which units mean the same, this
    package and its templates."""
    digest = hashlib.sha256(f"{FORMAT} {__version__} {library.atlas.stamp()} {alike}".encode())
    for folder in (TEMPLATES, ASSETS):
        for path in sorted(folder.iterdir()):
            if path.is_file() and not path.name.startswith(PART):
                digest.update(path.read_bytes())
    return digest.hexdigest()


def _silent(stage: str, done: int, total: int) -> None:
    """Progress for nobody."""
