"""Malformed requests by the thousand, straight into an application: each must get an answer that is no fault of ours.

    python -m tests.search.site.malformed 10000      # of the pages and of annotate, in turn; prints the answers

Seeded; what is sent is what a server passes on: any path that can be quoted, any bytes in headers, broken bodies.
"""

import asyncio
import random
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from starlette.types import ASGIApp

METHODS = ("GET", "GET", "GET", "POST", "POST", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH", "BREW")
PIECES = (
    "stem", "body.0", "head", "/", "/", "/", "3", "0", "99", "%00", "%ff", "%C3%A9", "..", "%2e%2e%2f", "api", "search",
    "layers", "pictures", "examples", "assets", ".jpg", "site.css", "?", "&", "=", "q", "page", "min", "k", "how",
    "sort=score", "kind=reliable", "layer=body.0", "nan", "inf", "1e999", "{", "}", "%3Cb%3E", "%", "%u0000", "'",
    "preview.jpg", "-1", "99999999999", "%E2%80%A8", "next", "say", "undo", "done", "who", "ana", "+", ";", "%0d%0a",
)  # fmt: skip
SOUND = (
    "/", "/?q=red&min=", "/stem", "/stem?sort=score&page=", "/stem/3", "/stem/3/preview.jpg", "/api/stem/3",
    "/api/layers",
    "/api/search?q=red&k=", "/pictures/3.jpg", "/examples/0123456789abcdef/3.jpg", "/assets/site.css",
    "/say/stem/3?who=ana",
    "/next?who=ana", "/done?who=ana", "/say/stem/3", "/undo",
)  # fmt: skip
"Addresses that something follows."
KINDS = (
    b"multipart/form-data", b"multipart/form-data; boundary=x", b"multipart/form-data; boundary=", b"multipart/\xff",
    b"application/x-www-form-urlencoded", b"application/json", b"text/plain; charset=\xff", b"", b";;;",
    b"multipart/form-data; boundary=x; charset=nonsense", b"application/x-www-form-urlencoded; charset=utf-7",
)  # fmt: skip
NAMES = (
    b"accept", b"accept-encoding", b"cookie", b"range", b"if-none-match", b"origin", b"referer", b"sec-fetch-site",
    b"content-length", b"content-encoding", b"transfer-encoding", b"x-forwarded-for", b"expect", b"host",
)  # fmt: skip
VALUES = (
    b"gzip", b"*", b"\xff\xfe", b"a" * 9000, b"bytes=0-", b"bytes=9-1", b"none", b"same-origin", b"http://[", b"-1",
    b"127.0.0.1:8000", b"[::1", b"localhost:99999", b"http://127.0.0.1:8000", b"", b"0", b"=;=;", b"chunked",
)  # fmt: skip
PARTS = (
    b"--x\r\n", b"--x--\r\n", b"\r\n", b"\r\n\r\n", b"--x",
    b'Content-Disposition: form-data; name="picture"; filename="a"',
    b'Content-Disposition: form-data; name="who"', b"Content-Disposition: form-data", b"Content-Type: image/png",
    b"\x89PNG\r\n\x1a\n", b"GIF89a\xff\xff\xff\xff", b"\xff\xd8\xff", b"who=ana&text=", b"text=%ff%00", b"&action=skip",
    b"who",
    b"ana", b"\x00" * 40, b"=", b"&" * 30, b'{"who": [', b"%", b"filename*=utf-8''%ff",
)  # fmt: skip


@dataclass(frozen=True)
class Sent:
    """One request."""

    method: str
    target: bytes
    headers: tuple[tuple[bytes, bytes], ...]
    body: tuple[bytes, ...]
    "in the chunks in which it comes"
    cut_off: bool
    "whether the sender goes away before the end of the body"


def drawn(chance: random.Random) -> Sent:
    """A request that nobody should send."""
    start = chance.choice(SOUND) if chance.random() < 0.6 else "/"
    target = start + "".join(chance.choices(PIECES, k=chance.randrange(4 if start != "/" else 8)))
    body = b"".join(chance.choices(PARTS, k=chance.randrange(9)))
    if chance.random() < 0.2:
        body = chance.randbytes(chance.randrange(200))
    headers = [(b"host", b"127.0.0.1:8000")] if chance.random() < 0.95 else []
    if chance.random() < 0.8:
        headers.append((b"content-type", chance.choice(KINDS)))
    for _ in range(chance.choice((0, 0, 0, 1, 2))):
        value = chance.choice(VALUES) if chance.random() < 0.7 else chance.randbytes(9).translate(None, b"\r\n\0")
        headers.append((chance.choice(NAMES), value))
    cut = sorted(chance.randrange(len(body) + 1) for _ in range(chance.randrange(3)))
    chunks = tuple(body[a:b] for a, b in zip([0, *cut], [*cut, len(body)], strict=True))
    return Sent(chance.choice(METHODS), target.encode(), tuple(headers), chunks, chance.random() < 0.05)


async def status(app: ASGIApp, sent: Sent) -> int:
    """What the application answers; 599 where it raises, 0 where nobody is there any more to be answered."""
    path, _, query = sent.target.partition(b"?")
    scope: dict[str, Any] = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": sent.method, "scheme": "http",
        "path": unquote(path.decode()), "raw_path": path, "query_string": query, "root_path": "",
        "headers": list(sent.headers), "client": ("127.0.0.1", 9), "server": ("127.0.0.1", 8000),
    }  # fmt: skip
    ends = [{"type": "http.disconnect"}]
    parts = [{"type": "http.request", "body": part, "more_body": True} for part in sent.body]
    if not sent.cut_off:
        parts.append({"type": "http.request", "body": b"", "more_body": False})
    codes: list[int] = []

    async def receive() -> Any:
        return (parts or ends).pop(0) if parts else ends[0]

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            codes.append(message["status"])

    try:
        await app(scope, receive, send)
    except Exception as fault:
        sys.stderr.write(f"{sent}\n{type(fault).__name__}: {fault}\n")
        return 599
    return codes[0] if codes else 0


async def answered(apps: Sequence[ASGIApp], n: int, seed: int, tell: int = 0) -> tuple[Counter[int], list[Sent]]:
    """How often each status was answered, and the requests that were answered with a fault of ours."""
    chance, found, faults = random.Random(seed), Counter[int](), list[Sent]()
    for number in range(n):
        sent = drawn(chance)
        code = await status(apps[number % len(apps)], sent)
        found[code] += 1
        if code >= 500:
            faults.append(sent)
        if tell and (number + 1) % tell == 0:
            sys.stdout.write(f"{number + 1}: {len(faults)} faults\n")
            sys.stdout.flush()
    return found, faults


def both_apps(folder: Path) -> tuple[list[ASGIApp], Any]:
    """The pages and annotate on a small atlas; what the second keeps is to be closed."""
    from describer.search.site.annotate import make_annotator
    from describer.search.site.annotations import Annotations
    from describer.search.site.app import make_app
    from tests.search.site.sites import WordFinder, write_atlas

    atlas, kept = write_atlas(folder / "atlas"), Annotations(folder / "mine")
    return [make_app(atlas, finder=WordFinder), make_annotator(atlas, kept)], kept


def main(n: int, seed: int = 0) -> int:
    """Sends n requests; 1 where one of them was answered with a fault of ours."""
    with tempfile.TemporaryDirectory() as folder:
        apps, kept = both_apps(Path(folder))
        with kept:
            found, faults = asyncio.run(answered(apps, n, seed, tell=500))
    told = ", ".join(f"{code}: {times}" for code, times in sorted(found.items()))
    sys.stdout.write(f"{n} requests, seed {seed}; {told}\n")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000))
