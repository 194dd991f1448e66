"""The server of an atlas's pages.

    app = make_app("atlas")                          # an ASGI application: tests, or a server of your own
    serve("atlas", port=8000)                        # http://127.0.0.1:8000, until stopped

It reads the atlas and writes nothing. It answers on this machine alone unless another host is named.
"""

import base64
import io
import re
import socket
from collections.abc import Callable
from pathlib import Path
from threading import Lock
from typing import Annotated

from fastapi import Depends, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, Response
from PIL import Image
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.middleware.gzip import GZipMiddleware

from describer.errors import AtlasError, DescriberError
from describer.search.site.api import found_json, layers_json, unit_json
from describer.search.site.finding import Finder, Found, UnitFinder, told
from describer.search.site.grid import GridQuery
from describer.search.site.guard import LOCAL, Guard
from describer.search.site.library import Library
from describer.search.site.links import ServerLinks
from describer.search.site.pages import ASSET_NAMES, ASSETS, Pages
from describer.search.site.preview import preview
from describer.search.site.trying import Model, Tried
from describer.search.site.uploads import MOST_BYTES, read_picture

N_FOUND = 24
MOST_FOUND = 200
UNIT = re.compile(r"(.+)/(0|[1-9][0-9]{0,8})")
PICTURE = re.compile(r"(0|[1-9][0-9]{0,11})\.jpg")
KINDS = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
MakeFinder = Callable[[Library], UnitFinder]
KEPT_BRIEFLY = {"cache-control": "private, max-age=3600"}


class Site:
    """What the routes of one atlas share."""

    def __init__(self, path: str | Path, model: str | None, finder: MakeFinder) -> None:
        self.library = Library(path)
        self.pages = Pages(self.library)
        self._model = Model(self.library, model)
        self._finder = finder(self.library)
        self._one_at_a_time = Lock()  # indexes and models are made for one caller

    def find(self, text: str, k: int, layer: str, how: str) -> list[Found]:
        """Units by words."""
        with self._one_at_a_time:
            return self._finder.by_text(text, k, layer, how)

    def find_picture(self, picture: Image.Image, layer: str) -> list[Found]:
        """Units by a picture."""
        with self._one_at_a_time:
            return self._finder.by_picture(picture, N_FOUND, layer, self._model)

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
    app = FastAPI(title="describer", docs_url=None, redoc_url=None, openapi_url=None)
    app.add_middleware(GZipMiddleware, minimum_size=1000)
    app.add_middleware(Guard, hosts=hosts, most_bytes=MOST_BYTES + 100_000)
    _answer_faults(app, site)
    _answer_programs(app, site)
    _answer_pictures(app, site)
    _answer_home(app, site)
    _answer_atlas(app, site)
    return app


def _links(request: Request) -> ServerLinks:
    return ServerLinks(str(request.base_url).rstrip("/"))


def _answer_faults(app: FastAPI, site: Site) -> None:
    """What cannot be answered is told in one sentence, as a page or as JSON."""

    def page(request: Request, status: int, text: str) -> Response:
        if request.url.path.startswith("/api/"):
            return JSONResponse({"error": text}, status)
        return HTMLResponse(site.pages.fault(_links(request), status, text), status)

    @app.exception_handler(HTTPException)
    def refused(request: Request, fault: HTTPException) -> Response:
        return page(request, fault.status_code, str(fault.detail))

    @app.exception_handler(RequestValidationError)
    def misunderstood(request: Request, fault: RequestValidationError) -> Response:
        return page(request, 422, "The form must have all its fields. Got others. Go back and send it again.")

    @app.exception_handler(DescriberError)
    def impossible(request: Request, fault: DescriberError) -> Response:
        return page(request, 404 if isinstance(fault, AtlasError) else 422, told(fault))


def _answer_programs(app: FastAPI, site: Site) -> None:
    @app.get("/api/layers")
    def layers(request: Request) -> Response:
        return JSONResponse(layers_json(_links(request), site.library))

    @app.get("/api/search")
    def search(request: Request, q: str = "", layer: str = "", how: str = "fused", k: str = "") -> Response:
        n_wanted = min(int(k), MOST_FOUND) if re.fullmatch("[1-9][0-9]{0,5}", k) else N_FOUND
        found = site.find(q[:200], n_wanted, layer, how) if q.strip() else []
        return JSONResponse(found_json(_links(request), found))

    @app.get("/api/{path:path}")
    def unit(request: Request, path: str) -> Response:
        layer, index = _unit_of(path)
        return JSONResponse(unit_json(_links(request), site.library, site.library.sheet(layer, index)))


def _answer_pictures(app: FastAPI, site: Site) -> None:
    @app.get("/assets/{name}")
    def asset(name: str) -> Response:
        if name not in ASSET_NAMES:
            raise HTTPException(404, "There is no such file.")
        return Response((ASSETS / name).read_bytes(), media_type=KINDS[Path(name).suffix], headers=KEPT_BRIEFLY)

    @app.get("/pictures/{name}")
    def picture(name: str, request: Request) -> Response:
        if not PICTURE.fullmatch(name):
            return at(request, f"pictures/{name}", site)
        content = site.library.picture(int(name.removesuffix(".jpg")))
        return Response(content, media_type="image/jpeg", headers=KEPT_BRIEFLY)

    @app.get("/examples/{dissection}/{name}")
    def example(dissection: str, name: str) -> Response:
        if not PICTURE.fullmatch(name):
            raise HTTPException(404, "There is no such picture.")
        content = site.library.example(dissection, int(name.removesuffix(".jpg")))
        return Response(content, media_type="image/jpeg", headers=KEPT_BRIEFLY)


def _answer_home(app: FastAPI, site: Site) -> None:
    @app.get("/")
    def home(request: Request, q: str = "", layer: str = "", how: str = "fused") -> Response:
        q, found, fault = q[:200].strip(), None, ""
        if q:
            try:
                found = site.find(q, N_FOUND, layer, how)
            except DescriberError as error:
                found, fault = [], told(error)
        return HTMLResponse(site.pages.home(_links(request), found, q=q, layer=layer, how=how, fault=fault))

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
        return HTMLResponse(site.pages.home(_links(request), found, layer=layer, fault=fault, picture=shown), status)


def _answer_atlas(app: FastAPI, site: Site) -> None:
    """Layers, units and their previews: the last routes, since layers have any names."""

    @app.get("/{path:path}")
    def page(request: Request, path: str) -> Response:
        return at(request, path, site)

    @app.post("/{path:path}")
    def try_own(request: Request, path: str, picture: SentPicture) -> Response:
        layer, index = _unit_of(path)
        sheet, tried, fault = site.library.sheet(layer, index), None, ""
        try:
            tried = site.try_picture(read_picture(picture), layer, index)
        except DescriberError as error:
            fault = told(error)
        shown = "" if tried is None else embedded(tried.seen)
        text = site.pages.unit(_links(request), sheet, tried=tried, tried_picture=shown, fault=fault)
        return HTMLResponse(text, 422 if fault else 200)


def at(request: Request, path: str, site: Site) -> Response:
    """The page of a unit or of a layer, or a unit's preview; a layer's name may have any characters."""
    library, links = site.library, _links(request)
    place = UNIT.fullmatch(path.removesuffix("/preview.jpg"))
    if place and place[1] in library.atlas.layers:
        layer, index = place[1], int(place[2])
        if path.endswith("/preview.jpg"):
            return Response(preview(library, layer, index), media_type="image/jpeg", headers=KEPT_BRIEFLY)
        return HTMLResponse(site.pages.unit(links, library.sheet(layer, index)))
    name = path.removesuffix("/")
    return HTMLResponse(site.pages.layer(links, name, GridQuery.read(dict(request.query_params))))


def _unit_of(path: str) -> tuple[str, int]:
    place = UNIT.fullmatch(path)
    if place is None:
        raise HTTPException(404, "A unit must be given as LAYER/INDEX.")
    return place[1], int(place[2])


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
    run_app(make_app(path, (*LOCAL, host) if local else None, model), host, port, say)


def run_app(app: FastAPI, host: str, port: int, say: Callable[[str], None]) -> None:
    """Run an application on its own socket, which tells early and in one line that a port is taken."""
    import uvicorn

    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except (OSError, OverflowError) as fault:
        listener.close()
        raise DescriberError(f"--host and --port must be free to listen on. Got {fault}. Choose another.") from None
    shown = f"[{host}]" if ":" in host else host
    say(f"http://{shown}:{listener.getsockname()[1]}/ (stop with Ctrl-C)")
    config = uvicorn.Config(app, log_level="warning", server_header=False, lifespan="off")
    uvicorn.Server(config).run(sockets=[listener])
