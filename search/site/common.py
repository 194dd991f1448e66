"""What every server of ours answers alike: faults, pictures, styles and scripts.

app = guarded(hosts, most_bytes)
answer_faults(app, pages)
answer_files(app, library)
"""

import re
from collections.abc import Sequence
from pathlib import Path

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, Response
from starlette.exceptions import HTTPException
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import ClientDisconnect

from describer.errors import AtlasError, DescriberError
from describer.search.site.finding import told
from describer.search.site.guard import Guard
from describer.search.site.kept import LEVEL
from describer.search.site.library import Library
from describer.search.site.links import ServerLinks
from describer.search.site.pages import ASSET_NAMES, ASSETS, Pages

NUMBER = re.compile(r"0|[1-9][0-9]{0,11}")
UNIT = re.compile(r"(.+)/(0|[1-9][0-9]{0,8})")
ID = re.compile(r"(.+):(0|[1-9][0-9]{0,8})/?")
KINDS = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
KEPT_BRIEFLY = {"cache-control": "private, max-age=3600"}


def guarded(hosts: Sequence[str] | None, most_bytes: int) -> FastAPI:
    """An application behind a Guard, without the pages of FastAPI's own."""
    app = FastAPI(title="describer", docs_url=None, redoc_url=None, openapi_url=None)
    app.add_middleware(GZipMiddleware, minimum_size=1000, compresslevel=LEVEL)
    app.add_middleware(Guard, hosts=hosts, most_bytes=most_bytes)
    return app


def links_of(request: Request) -> ServerLinks:
    """Addresses as the reader sees the server."""
    return ServerLinks(str(request.base_url).rstrip("/"))


def unit_of(path: str) -> tuple[str, int]:
    """(layer, unit) of LAYER/INDEX; 404 for other paths. A layer's name may have any characters."""
    place = UNIT.fullmatch(path)
    if place is None:
        raise HTTPException(404, "A unit must be given as LAYER/INDEX.")
    return place[1], int(place[2])


def unit_by_id(library: Library, path: str) -> tuple[str, int] | None:
    """(layer, unit) of a path that is a unit's name, LAYER:INDEX; None for others, and where a layer is called so."""
    name = ID.fullmatch(path)
    if name is None or library.meta.layer(path.removesuffix("/")) or not library.meta.layer(name[1]):
        return None
    return name[1], int(name[2])


def answer_faults(app: FastAPI, pages: Pages) -> None:
    """What cannot be answered is told in one sentence, as a page or as JSON."""

    def page(request: Request, status: int, text: str) -> Response:
        if request.url.path.startswith("/api/"):
            return JSONResponse({"error": text}, status)
        return HTMLResponse(pages.fault(links_of(request), status, text), status)

    @app.exception_handler(HTTPException)
    def refused(request: Request, fault: HTTPException) -> Response:
        return page(request, fault.status_code, str(fault.detail))

    @app.exception_handler(RequestValidationError)
    def misunderstood(request: Request, fault: RequestValidationError) -> Response:
        return page(request, 422, "The form must have all its fields. Got others. Go back and send it again.")

    @app.exception_handler(ClientDisconnect)
    def gone(request: Request, fault: ClientDisconnect) -> Response:
        return Response(status_code=400)  # read by nobody: who sent half a form has left

    @app.exception_handler(DescriberError)
    def impossible(request: Request, fault: DescriberError) -> Response:
        return page(request, 404 if isinstance(fault, AtlasError) else 422, told(fault))


def answer_files(app: FastAPI, library: Library) -> None:
    """Pictures of the atlas by number, styles and scripts by name; no other file, whatever is asked for."""

    @app.get("/assets/{stem}.{kind}")
    def asset(stem: str, kind: str) -> Response:
        name = f"{stem}.{kind}"
        if name not in ASSET_NAMES:
            raise HTTPException(404, "There is no such file.")
        return Response((ASSETS / name).read_bytes(), media_type=KINDS[Path(name).suffix], headers=KEPT_BRIEFLY)

    @app.get("/pictures/{number}.jpg")
    def picture(number: str) -> Response:
        return Response(library.picture(_number(number)), media_type="image/jpeg", headers=KEPT_BRIEFLY)

    @app.get("/examples/{dissection}/{number}.jpg")
    def example(dissection: str, number: str) -> Response:
        return Response(library.example(dissection, _number(number)), media_type="image/jpeg", headers=KEPT_BRIEFLY)


def _number(text: str) -> int:
    if not NUMBER.fullmatch(text):
        raise HTTPException(404, "There is no such picture.")
    return int(text)
