"""Malformed requests are no fault of ours; `python -m tests.search.site.malformed 10000` sends more of them."""

import asyncio
from collections import Counter
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from tests.search.site.malformed import Sent, answered, both_apps, status

N = 400


def test_malformed_requests_are_no_fault_of_ours(tmp_path: Path) -> None:
    apps, kept = both_apps(tmp_path)
    with kept:
        found, faults = asyncio.run(answered(apps, N, seed=1))
    assert faults == []
    assert {200, 404, 405, 422} <= set(found) and found.total() == N
    assert found[200] > N / 20  # else nothing but the entrance is tried


def test_who_leaves_in_the_midst_of_a_form_makes_no_noise(tmp_path: Path) -> None:
    kind = (b"content-type", b"multipart/form-data; boundary=x")
    for target in (b"/", b"/stem/3", b"/undo"):
        sent = Sent("POST", target, ((b"host", b"127.0.0.1"), kind), (b"--x\r\n",), cut_off=True)
        apps, kept = both_apps(tmp_path / target.replace(b"/", b"_").decode())
        with kept:
            assert [asyncio.run(status(app, sent)) // 100 for app in apps] == [4, 4]


def test_a_fault_is_seen(capsys: pytest.CaptureFixture[str]) -> None:
    def home(request: Request) -> Response:
        return PlainTextResponse("3" if not request.query_params else str(int("nan")))

    app = Starlette(routes=[Route(path, home, methods=["GET", "POST"]) for path in ("/", "/stem")])
    found, faults = asyncio.run(answered([app], 3 * N, seed=1))
    assert found[599] == len(faults) > 0
    assert isinstance(found, Counter) and "ValueError" in capsys.readouterr().err
