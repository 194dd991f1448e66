"""The page of a generator: a slider a word, samples, a region to paint, undo; all of one person's own machine.

    app = make_dialboard(Dials(target, atlas, n=9))        # an ASGI application: tests, or a server of your own
    serve_dials(dials, port=8000)                          # http://127.0.0.1:8000, until stopped

The server holds one set of dials, the same for everybody who opens it. What it says of faults is one sentence.
"""

import base64
import io
import json
from collections.abc import Callable
from pathlib import Path
from threading import Lock
from typing import Annotated, Any

from fastapi import Body, FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, Response
from jinja2 import Environment, StrictUndefined
from PIL import Image
from starlette.exceptions import HTTPException
from starlette.requests import Request

from describer import __version__
from describer.errors import DescriberError
from describer.eval.control.dials import Dials
from describer.search.site.app import run_app
from describer.search.site.common import KEPT_BRIEFLY, KINDS, guarded
from describer.search.site.finding import told
from describer.search.site.guard import LOCAL
from describer.search.site.pages import ASSETS

STATIC = Path(__file__).parent / "static"
FILES = {"dials.js": STATIC, "dials.css": STATIC, "site.css": ASSETS, "site.js": ASSETS, "icon.svg": ASSETS}
SLIDERS = 40
"Words with a slider of their own; others are typed."
MOST_BYTES = 10_000
Words = Annotated[str, Body(max_length=200)]
Number = Annotated[float, Body(allow_inf_nan=False)]
Corner = tuple[float, float, float, float]


def make_dialboard(dials: Dials, hosts: tuple[str, ...] | None = LOCAL) -> FastAPI:
    """The application; `hosts` are the names it answers to, None for all."""
    app, one_at_a_time = guarded(hosts, MOST_BYTES), Lock()
    page = Environment(autoescape=True, undefined=StrictUndefined).from_string(
        (STATIC / "dials.html").read_text("utf-8")
    )
    _answer_faults(app)

    def moved(move: Callable[[], Any]) -> Response:
        with one_at_a_time:
            move()  # refused: all is as it was
            return JSONResponse(state_of(dials))

    @app.get("/")
    def home() -> Response:
        names = dials.names()
        about = {"name": dials.target.name, "version": __version__}
        about |= {name: getattr(dials, name) for name in ("seed", "n", "top", "how")}
        return HTMLResponse(page.render(sliders=names[:SLIDERS], names=names, **about))

    @app.get("/assets/{name}")
    def asset(name: str) -> Response:
        if name not in FILES:
            raise HTTPException(404, "There is no such file.")
        return Response((FILES[name] / name).read_bytes(), media_type=KINDS[Path(name).suffix], headers=KEPT_BRIEFLY)

    @app.get("/api/state")
    def state() -> Response:
        return moved(lambda: None)

    @app.post("/api/set")
    def turn(words: Words, value: Number) -> Response:
        return moved(lambda: dials.set(words, value))

    @app.post("/api/paint")
    def paint(
        words: Words,
        level: Number = 1.0,
        box: Annotated[Corner | None, Body()] = None,
        sample: Annotated[int | None, Body()] = None,
    ) -> Response:
        return moved(lambda: dials.paint(words, box, level, sample))

    @app.post("/api/undo")
    def undo() -> Response:
        return moved(dials.undo)

    @app.post("/api/redo")
    def redo() -> Response:
        return moved(dials.redo)

    @app.get("/steps.json")
    def steps() -> Response:
        with one_at_a_time:
            text = json.dumps(dials.told(), indent=1)
        headers = {"content-disposition": 'attachment; filename="steps.json"'}
        return Response(text, media_type="application/json", headers=headers)

    return app


def state_of(dials: Dials) -> dict[str, Any]:
    """What the page shows: samples as data addresses, where the dials stand, the steps in words."""
    pictures = dials.pictures()
    return {
        "pictures": [_address(Image.fromarray(pixels)) for pixels in pictures],
        "height": pictures.shape[1],
        "width": pictures.shape[2],
        "values": dials.values,
        "steps": [{"kind": each.kind, "words": each.words, "value": each.value} for each in dials.steps],
        "undone": dials.undone,
    }


def serve_dials(dials: Dials, host: str = "127.0.0.1", port: int = 8000, say: Callable[[str], None] = print) -> None:
    """Answer until stopped; DescriberError where the port is taken. port 0: any free one."""
    local = host in LOCAL or host.startswith("127.")
    run_app(make_dialboard(dials, (*LOCAL, host) if local else None), host, port, say)


def _answer_faults(app: FastAPI) -> None:
    @app.exception_handler(HTTPException)
    def refused(request: Request, fault: HTTPException) -> Response:
        return JSONResponse({"error": str(fault.detail)}, fault.status_code)

    @app.exception_handler(RequestValidationError)
    def misunderstood(request: Request, fault: RequestValidationError) -> Response:
        return JSONResponse({"error": "A move must have words and numbers. Got others. Load the page anew."}, 422)

    @app.exception_handler(DescriberError)
    def impossible(request: Request, fault: DescriberError) -> Response:
        return JSONResponse({"error": told(fault)}, 422)


def _address(picture: Image.Image) -> str:
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
