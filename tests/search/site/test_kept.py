"""Pages are rendered once for all who ask at the same time, and sent compressed to those who take it so."""

import gzip
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from describer.search.site.app import FEW, make_app
from describer.search.site.kept import KeptPages
from tests.search.site.sites import WordFinder, write_atlas

ROOT = Path(__file__).parents[3]


def test_many_who_ask_at_once_wait_for_one() -> None:
    kept, rendered = KeptPages(), []

    def render() -> str:
        rendered.append(1)
        time.sleep(0.05)
        return "page"

    with ThreadPoolExecutor(17) as readers:
        pages = list(readers.map(lambda _: kept.made(("a",), render), range(17)))
    assert len(rendered) == 1 and {id(page) for page in pages} == {id(kept.get(("a",)))}
    assert gzip.decompress(pages[0].zipped) == pages[0].plain == b"page"
    assert kept._making == {}


def test_the_last_pages_are_kept_and_what_fails_is_not() -> None:
    kept = KeptPages(most=3)
    for name in "abc":
        kept.made((name,), lambda: "x")
    assert kept.get(("a",)) is not None  # asked for again
    kept.made(("d",), lambda: "x")
    assert [kept.get((name,)) is not None for name in "abcd"] == [True, False, True, True]

    def fails() -> str:
        raise ValueError

    for _ in range(2):
        with pytest.raises(ValueError):
            kept.made(("e",), fails)
    assert kept.get(("e",)) is None and kept._making == {}


def test_pages_are_the_same_compressed_and_plain(tmp_path: Path) -> None:
    client = TestClient(make_app(write_atlas(tmp_path / "atlas"), finder=WordFinder), base_url="http://127.0.0.1:8000")
    for address in ("/", "/stem", "/stem/3"):
        zipped, plain = (client.get(address, headers={"accept-encoding": way}) for way in ("gzip", "identity"))
        assert zipped.headers["content-encoding"] == "gzip" and "content-encoding" not in plain.headers
        assert zipped.text == plain.text and "accept-encoding" in zipped.headers["vary"].lower()
        assert int(zipped.headers["content-length"]) < len(plain.content) / 2
    assert "Units that mean the same" in client.get("/stem/3").text


def test_the_first_page_needs_no_torch(tmp_path: Path) -> None:
    write_atlas(tmp_path / "atlas")
    code = f"""
import asyncio, sys
from describer.search.site.app import FEW, make_app
from tests.search.site.malformed import Sent, status
app = make_app({str(tmp_path / "atlas")!r})
for target in (b"/", b"/api/layers", b"/assets/site.css"):
    print(asyncio.run(status(app, Sent("GET", target, ((b"host", b"127.0.0.1"),), (), False))))
print([name for name in ("torch", "transformers", "matplotlib", "scipy") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True)
    assert done.stdout.splitlines() == ["200", "200", "200", "[]"]


def test_in_a_crowd_pages_do_not_wait_for_what_means_the_same(tmp_path: Path) -> None:
    app = make_app(write_atlas(tmp_path / "atlas"), finder=WordFinder)
    client, few = TestClient(app, base_url="http://127.0.0.1"), app.state.site._few
    for _ in range(FEW):
        assert few.acquire(blocking=False)
    crowded = client.get("/stem/3").text
    few.release()
    alone = client.get("/stem/3").text
    assert "mean the same" not in crowded and "mean the same" in alone
    assert few.acquire(blocking=False), "a page that was made is no longer one of the few"
    assert client.get("/stem/3").text == alone, "what was made once stays"
