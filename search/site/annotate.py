"""The server on which people say what units respond to, and their sentences in the MILANNOTATIONS layout.

    annotate("atlas", "mine")                        # http://127.0.0.1:8000, until stopped
    export_annotations("atlas", "mine", "dataset")   # what `describer train` reads

People see exemplars and masks, never what a method says, which would lead them. Everybody gets the units with the
fewest sentences first, but every fifth goes to a second person before that, so that agreement is measured early.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated
from urllib.parse import urlencode

from fastapi import FastAPI, Form, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from PIL import Image

from describer.atlas import THUMBNAIL, Atlas
from describer.data.milannotations import write_exemplars
from describer.errors import DescriberError
from describer.search.site.agreement import agreement
from describer.search.site.annotations import Annotations, Unit, Word, clean_name
from describer.search.site.app import run_app
from describer.search.site.common import answer_faults, answer_files, guarded, links_of, unit_of
from describer.search.site.finding import told
from describer.search.site.guard import LOCAL
from describer.search.site.library import Library
from describer.search.site.pages import Pages
from describer.search.site.work import Work, query

GUIDELINES = (
    "Look at the outlined regions of all pictures: what do they have in common?",
    "Say it in a few words: things, parts, materials, colours, patterns, or what is done (“wheels of cars”).",
    "Say what is in the regions, not what is around them, and not where they lie.",
    "If most regions share something and a few do not, say what most share; join two kinds with “and”.",
    "Be as exact as the pictures allow: “dog faces” rather than “animals”, if they are all of dogs.",
    "If you see nothing in common, skip.",
)
"""What annotators are asked; in the spirit of the instructions of MILANNOTATIONS (Hernandez et al. 2022)."""
MOST_BYTES = 50_000
"Of a form with a sentence."
Text = Annotated[str, Form()]


def make_annotator(
    path: str | Path,
    kept: Annotations,
    layers: Sequence[str] = (),
    guidelines: Sequence[str] = GUIDELINES,
    hosts: tuple[str, ...] | None = LOCAL,
) -> FastAPI:
    """The application; `layers` are those that are shown, default all. AtlasError where there is none of them."""
    library = Library(path)
    work, pages = Work(library, kept, layers), Pages(library)
    app = guarded(hosts, MOST_BYTES)
    answer_faults(app, pages)
    answer_files(app, library)
    _answer_start(app, pages, work, guidelines)
    _answer_words(app, pages, work, guidelines)
    return app


def _answer_start(app: FastAPI, pages: Pages, work: Work, guidelines: Sequence[str]) -> None:
    @app.get("/")
    def start(request: Request) -> Response:
        found = agreement(work.kept.words())
        values = {"work": work, "agreement": found, "guidelines": guidelines}
        return HTMLResponse(pages.other("annotate.html", links_of(request), **values))

    @app.get("/next")
    def following(who: str) -> Response:
        name = clean_name(who)
        unit = work.next_for(name)
        return _to("/done" if unit is None else _place(unit), who=name)

    @app.get("/done")
    def done(request: Request, who: str) -> Response:
        values = {"who": clean_name(who), "work": work}
        return HTMLResponse(pages.other("annotated.html", links_of(request), **values))


def _answer_words(app: FastAPI, pages: Pages, work: Work, guidelines: Sequence[str]) -> None:
    def page(request: Request, who: str, unit: Unit, text: str, fault: str = "") -> Response:
        shown = work.library.shown(*unit)
        values = {"who": who, "unit": unit, "shown": shown, "text": text, "fault": fault, "work": work}
        html = pages.other("say.html", links_of(request), guidelines=guidelines, **values)
        return HTMLResponse(html, 422 if fault else 200)

    @app.get("/say/{path:path}")
    def ask(request: Request, path: str, who: str, text: str = "") -> Response:
        name, unit = clean_name(who), work.known(unit_of(path))
        before = work.kept.of(name).get(unit)
        return page(request, name, unit, text[:MOST_BYTES] or (before and before.text) or "")

    @app.post("/say/{path:path}")
    def say(request: Request, path: str, who: Text, text: Text = "", action: Text = "say") -> Response:
        name, unit = clean_name(who), work.known(unit_of(path))
        try:
            work.kept.skip(name, *unit) if action == "skip" else work.kept.say(name, *unit, text)
        except DescriberError as fault:  # also of the disk: what was written stays on the page
            return page(request, name, unit, text, told(fault))
        return _to("/next", who=name)

    @app.post("/undo")
    def undo(who: Text) -> Response:
        last: Word | None = work.kept.undo(who)
        if last is None:
            return _to("/next", who=clean_name(who))
        return _to(_place((last.layer, last.unit)), who=last.annotator, **({"text": last.text} if last.text else {}))


def _place(unit: Unit) -> str:
    return f"/say{query(unit)}"


def _to(place: str, **asked: str) -> Response:
    return RedirectResponse(f"{place}?{urlencode(asked)}", 303)


def annotate(
    path: str | Path,
    folder: str | Path,
    layers: Sequence[str] = (),
    guidelines: Sequence[str] = GUIDELINES,
    host: str = "127.0.0.1",
    port: int = 8000,
    say: Callable[[str], None] = print,
) -> None:
    """Collect sentences into `folder` until stopped; DescriberError where another process does."""
    local = host in LOCAL or host.startswith("127.")
    Atlas.open(path)  # else a wrong name would leave a folder behind
    with Annotations(folder) as kept:
        app = make_annotator(path, kept, layers, guidelines, (*LOCAL, host) if local else None)
        run_app(app, host, port, say)


def read_guidelines(path: Path) -> tuple[str, ...]:
    """The lines of a text file that are not empty; DescriberError where there are none."""
    try:
        lines = tuple(line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip())
    except (OSError, ValueError) as fault:
        raise DescriberError(f"--guidelines must be a text file. Got {fault}. Name another.") from None
    if not lines:
        raise DescriberError(f"--guidelines must have a line. Got none in {path}. Write what people are asked.")
    return lines


class Thumbnails:
    """The exemplar images of an atlas as it keeps them: as the model saw them, THUMBNAIL pixels a side."""

    def __init__(self, atlas: Atlas) -> None:
        self._atlas = atlas

    def image(self, index: int, /) -> Image.Image:
        """One picture, RGB."""
        return self._atlas.thumbnail(index)


def export_annotations(path: str | Path, folder: str | Path, out: str | Path) -> list[Path]:
    """Write every layer with sentences in the MILANNOTATIONS layout, its units that have some; their folders.

    Pictures and masks are THUMBNAIL pixels a side. DescriberError where nobody has said anything yet.
    """
    atlas, written = Atlas.open(path), []
    with Annotations(folder) as kept:
        for layer in (entry.name for entry in atlas.meta.layers if entry.probed):
            said = kept.sentences(layer)
            if said:
                exemplars = atlas.exemplars(layer)
                rows = [row for row, unit in enumerate(exemplars.unit_ids.tolist()) if unit in said]
                part = exemplars.subset(rows)
                written.append(write_exemplars(out, part, Thumbnails(atlas), THUMBNAIL, said))
    if not written:
        raise DescriberError(f"{folder} must hold sentences. Got none. Collect some with: describer annotate {path}")
    return written
