"""The server of an atlas's pages.

    app = make_app("atlas")                          # an ASGI application: tests, or a server of your own
    serve("atlas", port=8000)                        # http://127.0.0.1:8000, until stopped

It writes nothing but the index of the search. It answers on this machine alone unless another host is named.
"""

import base64
import io
import re
import socket
from collections.abc import Callable, Hashable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from threading import Event, Lock, Semaphore, Thread
from typing import Annotated

from fastapi import Depends, FastAPI, Query, Request
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from PIL import Image
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException

from describer.errors import DescriberError
from describer.search.site.api import found_json, layers_json, unit_json
from describer.search.site.common import (
    KEPT_BRIEFLY,
    UNIT,
    answer_faults,
    answer_files,
    guarded,
    links_of,
    unit_by_id,
    unit_of,
)
from describer.search.site.finding import Finder, Found, MakeFinder, similar, told
from describer.search.site.grid import GridQuery, number
from describer.search.site.guard import LOCAL
from describer.search.site.kept import KeptPages, answer
from describer.search.site.library import Library
from describer.search.site.links import ServerLinks
from describer.search.site.pages import Pages
from describer.search.site.sheet import Beside, UnitSheet
from describer.search.site.trying import Model, Tried
from describer.search.site.uploads import MOST_BYTES, read_picture

N_FOUND = 24
MOST_FOUND = 200
FEW = 2
"Pages of units that are made at a time while each of them also looks for what means the same, in a large atlas 30 ms."
PATIENCE = 1.0
"Seconds that programs, and readers who try a picture, wait for other searches; pages do not wait."


class Site:
    """What the routes of one atlas share."""

    def __init__(self, path: str | Path, model: str | None, finder: MakeFinder) -> None:
        self.library = Library(path)
        self.pages = Pages(self.library)
        self._model = Model(self.library, model)
        self._finder = finder(self.library)
        self._one_at_a_time = Lock()  # indexes and models are made for one caller
        self._kept, self._few = KeptPages(), Semaphore(FEW)
        self.visited = Event()
        "Set with the first page."

    def find(self, text: str, k: int, layer: str, how: str, least: str = "") -> list[Found]:
        """Units by words, of the score `least` or a higher one; what is no number is no bound."""
        with self._one_at_a_time:
            return self._finder.by_text(text, k, layer, how, number(least))

    def find_picture(self, picture: Image.Image, layer: str) -> list[Found]:
        """Units by a picture."""
        with self._one_at_a_time:
            return self._finder.by_picture(picture, N_FOUND, layer, self._model)

    def similar(self, layer: str, unit: int, patience: float = 0.0) -> tuple[Beside, ...]:
        """Units that mean the same; none while the search is not ready, or busy for more than `patience` seconds."""
        if not self._one_at_a_time.acquire(timeout=patience):
            return ()
        try:
            return similar(self._finder, layer, unit)
        finally:
            self._one_at_a_time.release()

    def rendered(self, request: Request, key: tuple[Hashable, ...], render: Callable[[], str]) -> Response:
        """A page, rendered once as long as the atlas stays what it is."""
        key = (self.library.stamp, *key)
        page = self._kept.get(key) or self._kept.made(key, render)
        self.visited.set()
        return answer(request, page)

    def unit_page(self, request: Request, links: ServerLinks, layer: str, unit: int) -> Response:
        """The page of a unit; one that shows what means the same is final, one without was made in a crowd, or before
        the search was ready."""
        stamp, final = self.library.stamp, ("unit", links.origin, layer, unit, True)
        known = self._kept.get((stamp, *final))
        if known is not None:
            return answer(request, known)
        calm = self._few.acquire(blocking=False)
        try:
            near = self.similar(layer, unit) if calm else ()
            key = (*final[:-1], bool(near))
            return self.rendered(request, key, lambda: self.pages.unit(links, self.sheet(layer, unit, near)))
        finally:
            if calm:
                self._few.release()

    def sheet(self, layer: str, unit: int, near: tuple[Beside, ...]) -> UnitSheet:
        """All about a unit, with those that mean the same."""
        return replace(self.library.sheet(layer, unit), similar=near)

    def warm(self) -> None:
        """Get all that a unit's page and the search need, so that readers need not wait for it."""
        with suppress(DescriberError):
            probed = [entry.name for entry in self.library.meta.layers if entry.probed]
            for layer in probed[:1]:
                self.library.sheet(layer, int(self.library.exemplars(layer).unit_ids[0]))
            firsts = [(layer, int(self.library.exemplars(layer).unit_ids[0])) for layer in probed]
            self.library.cards_of(firsts, words=True)
        with suppress(DescriberError):
            self.find("anything", 1, "", "fused")

    def try_picture(self, picture: Image.Image, layer: str, unit: int) -> Tried:
        """What one unit makes of a picture."""
        with self._one_at_a_time:
            return self._model.tries(picture, layer, unit)


async def _sent(request: Request) -> bytes:
    """The file of a form; 422 where it has none."""
    async with request.form(max_files=1, max_fields=8) as form:
        picture = form.get("picture")
        if not isinstance(picture, UploadFile):
            raise HTTPException(422, "The form must have a file called picture. Got none. Choose one.")
        return await picture.read()


SentPicture = Annotated[bytes, Depends(_sent)]
Least = Annotated[str, Query(alias="min")]


def make_app(
    path: str | Path,
    hosts: tuple[str, ...] | None = LOCAL,
    model: str | None = None,
    finder: MakeFinder = Finder,
) -> FastAPI:
    """The application; `hosts` are the names it answers to, None for all; `model` overrides what the atlas names.

    AtlasError where `path` is no atlas.
    """
    site = Site(path, model, finder)
    app = guarded(hosts, MOST_BYTES + 100_000)
    app.state.site = site
    answer_faults(app, site.pages)
    _answer_programs(app, site)
    answer_files(app, site.library)
    _answer_home(app, site)
    _answer_atlas(app, site)
    return app


def _answer_programs(app: FastAPI, site: Site) -> None:
    @app.get("/api/layers")
    def layers(request: Request) -> Response:
        return JSONResponse(layers_json(links_of(request), site.library))

    @app.get("/api/search")
    def search(
        request: Request, q: str = "", layer: str = "", how: str = "fused", k: str = "", least: Least = ""
    ) -> Response:
        n_wanted = min(int(k), MOST_FOUND) if re.fullmatch("[1-9][0-9]{0,5}", k) else N_FOUND
        found = site.find(q[:200], n_wanted, layer, how, least) if q.strip() else []
        return JSONResponse(found_json(links_of(request), found))

    @app.get("/api/{path:path}")
    def unit(request: Request, path: str) -> Response:
        if named := unit_by_id(site.library, path):
            return RedirectResponse(links_of(request).json(*named), 301)
        layer, index = unit_of(path)
        sheet = site.sheet(layer, index, site.similar(layer, index, PATIENCE))
        site.visited.set()
        return JSONResponse(unit_json(links_of(request), site.library, sheet))


def _answer_home(app: FastAPI, site: Site) -> None:
    @app.get("/")
    def home(request: Request, q: str = "", layer: str = "", how: str = "fused", least: Least = "") -> Response:
        q, found, fault = q[:200].strip(), None, ""
        if q:
            try:
                found = site.find(q, N_FOUND, layer, how, least)
            except DescriberError as error:
                found, fault = [], told(error)
        links = links_of(request)
        if not q:
            return site.rendered(request, ("home", links.origin), lambda: site.pages.home(links))
        asked = {"q": q, "layer": layer, "how": how, "least": least[:20], "fault": fault}
        return HTMLResponse(site.pages.home(links, found, **asked))

    @app.post("/")
    def by_picture(request: Request, picture: SentPicture, layer: str = "") -> Response:
        found: list[Found] = []
        fault, shown, status = "", "", 200
        try:
            seen = read_picture(picture)
            shown = embedded(seen)
            found = site.find_picture(seen, layer)
        except DescriberError as error:
            fault, status = told(error), 422
        return HTMLResponse(site.pages.home(links_of(request), found, layer=layer, fault=fault, picture=shown), status)


def _answer_atlas(app: FastAPI, site: Site) -> None:
    """Layers, units and their previews: the last routes, since layers have any names."""

    @app.get("/{path:path}")
    def page(request: Request, path: str) -> Response:
        return at(request, path, site)

    @app.post("/{path:path}")
    def try_own(request: Request, path: str, picture: SentPicture) -> Response:
        layer, index = unit_of(path)
        sheet, tried, fault = site.sheet(layer, index, site.similar(layer, index, PATIENCE)), None, ""
        try:
            tried = site.try_picture(read_picture(picture), layer, index)
        except DescriberError as error:
            fault = told(error)
        shown = "" if tried is None else embedded(tried.seen)
        text = site.pages.unit(links_of(request), sheet, tried=tried, tried_picture=shown, fault=fault)
        return HTMLResponse(text, 422 if fault else 200)


def at(request: Request, path: str, site: Site) -> Response:
    """The page of a unit or of a layer, or a unit's preview; a unit's name leads to its page.

    A layer's name may have any characters.
    """
    library, links = site.library, links_of(request)
    place = UNIT.fullmatch(path.removesuffix("/preview.jpg"))
    if place and library.meta.layer(place[1]) is not None:
        layer, index = place[1], int(place[2])
        if path.endswith("/preview.jpg"):
            from describer.search.site.preview import preview  # brings matplotlib

            return Response(preview(library, layer, index), media_type="image/jpeg", headers=KEPT_BRIEFLY)
        return site.unit_page(request, links, layer, index)
    if named := unit_by_id(library, path):
        return RedirectResponse(links.unit(*named), 301)
    name, query = path.removesuffix("/"), GridQuery.read(dict(request.query_params))
    return site.rendered(request, ("layer", name, query), lambda: site.pages.layer(links, name, query))


def embedded(picture: Image.Image, side: int = 224) -> str:
    """A small copy of a picture as a data: address, so that nothing that readers send is kept."""
    small, file = picture.copy(), io.BytesIO()
    small.thumbnail((side, side))
    small.save(file, "JPEG", quality=85)
    return "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode()


def serve(
    path: str | Path,
    host: str = "127.0.0.1",
    port: int = 8000,
    model: str | None = None,
    say: Callable[[str], None] = print,
) -> None:
    """Answer until stopped; DescriberError where the port is taken. port 0: any free one."""
    local = host in LOCAL or host.startswith("127.")
    app = make_app(path, (*LOCAL, host) if local else None, model)
    run_app(app, host, port, say, app.state.site.warm, app.state.site.visited)


def run_app(
    app: FastAPI,
    host: str,
    port: int,
    say: Callable[[str], None],
    warm: Callable[[], None] | None = None,
    visited: Event | None = None,
) -> None:
    """Run an application on its own socket, which tells early and in one line that a port is taken.

    `warm` runs beside it once `visited` is set, as the first page should not wait for it; it is waited for at the end,
    as libraries it is in the midst of abort where they are left.
    """
    import uvicorn

    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)  # named, or asyncio leaves Nagle on: 40 ms
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(2048)  # who comes before the server is ready waits, and is not refused
    except (OSError, OverflowError) as fault:
        listener.close()
        raise DescriberError(f"--host and --port must be free to listen on. Got {fault}. Choose another.") from None
    shown = f"[{host}]" if ":" in host else host
    say(f"http://{shown}:{listener.getsockname()[1]}/ (stop with Ctrl-C)")
    config = uvicorn.Config(app, log_level="warning", server_header=False, lifespan="off", timeout_keep_alive=30)
    begin, ended = visited or Event(), Event()

    def warm_up() -> None:
        begin.wait()
        if warm is not None and not ended.is_set():
            warm()

    warming = Thread(target=warm_up, daemon=True)
    warming.start()
    try:
        uvicorn.Server(config).run(sockets=[listener])
    finally:
        ended.set()
        begin.set()
        warming.join(timeout=60)
