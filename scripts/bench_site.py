"""Measures the pages of an atlas: seconds until `describer serve` answers, and waits of readers who all come at once.

python scripts/bench_site.py atlas                   # 50 readers of 20 pages each, loopback, a fresh server
python scripts/bench_site.py atlas --rest 0          # who ask for the next page at once, as no reader does
python scripts/bench_site.py --units 1000000         # of a drawn atlas, which needs 4 GB of the temporary folder
"""

import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Barrier
from typing import Annotated
from urllib.parse import urlsplit

import typer

PATIENCE = 120
"Seconds until a server that does not answer is given up."


def main(
    atlas: Annotated[Path | None, typer.Argument()] = None,
    units: Annotated[int, typer.Option(help="of an atlas drawn for this, where none is named")] = 1_000_000,
    readers: int = 50,
    pages: int = 20,
    rest: Annotated[float, typer.Option(help="mean seconds from a page to the next one, exponential")] = 1.0,
    seed: int = 7,
    out: Annotated[Path | None, typer.Option(metavar="JSON", help="write the numbers here")] = None,
) -> None:
    """Seconds to the first page; then the median, p95 and longest wait of the first page of each reader and of all."""
    with TemporaryDirectory(prefix="describer-bench-") as passing:
        if atlas is None:
            from bench_search import DrawnAtlas

            atlas, drawn = Path(passing), DrawnAtlas(seed, units)
            drawn.write(atlas)
            drawn.write_index(atlas)
        measure(atlas, readers, pages, rest, seed, out)


def measure(atlas: Path, readers: int, pages: int, rest: float, seed: int, out: Path | None) -> None:
    """One server, its readers, and what they waited."""
    load, start = os.getloadavg()[0], time.perf_counter()
    command = [sys.executable, "-c", "from describer.cli import app; app()", "serve", str(atlas), "--port", "0"]
    server = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        assert server.stderr is not None
        place = urlsplit(server.stderr.readline().split()[0]).netloc
        said = time.perf_counter() - start
        fetch(HTTPConnection(place, timeout=PATIENCE), "/")
        answered = time.perf_counter() - start
        known = addresses(place)
        for address in ("/api/search?q=anything", known[-1]):  # until the search is ready, and what all units need
            fetch(HTTPConnection(place, timeout=PATIENCE), address)
        waits = everybody(place, known, readers, pages, rest, seed)
    finally:
        server.terminate()
        server.wait(PATIENCE)
    typer.echo(f"{readers} readers of {pages} pages each, each page followed by {rest:g} s of reading on average")
    first, every = [each[0] for each in waits], [wait for each in waits for wait in each]
    found = {"load": load, "said_s": said, "first_page_s": answered, "first": spread(first), "all": spread(every)}
    typer.echo(
        f"{os.cpu_count()} cores, load {load:.1f}; listens after {said:.2f} s, first page after {answered:.2f} s"
    )
    for told, waited in (("first pages", first), ("all pages", every)):
        half, most, longest = spread(waited)
        typer.echo(f"{readers} readers, {told}: median {half:.0f} ms, p95 {most:.0f} ms, longest {longest:.0f} ms")
    if out is not None:
        out.write_text(json.dumps(found))


def addresses(place: str) -> list[str]:
    """Pages of every layer and of its first units."""
    layers = json.loads(fetch(HTTPConnection(place, timeout=PATIENCE), "/api/layers"))
    probed = [each for each in layers if each["probed"]]
    found = ["/", *(each["url"] for each in probed), *(f"{each['url']}?sort=score" for each in probed)]
    return found + [f"{each['url']}/{unit}" for each in probed for unit in range(min(each["units"], 32))]


def everybody(place: str, known: Sequence[str], readers: int, pages: int, rest: float, seed: int) -> list[list[float]]:
    """Milliseconds that each of the readers waited for each of its pages; all begin within the time of one rest."""
    together = Barrier(readers)

    def reads(reader: int) -> list[float]:
        chance, connection, waits = (
            random.Random((seed, reader).__hash__()),
            HTTPConnection(place, timeout=PATIENCE),
            [],
        )
        together.wait()
        for _ in range(pages):
            time.sleep(chance.expovariate(1 / rest) if rest else 0)
            begun = time.perf_counter()
            fetch(connection, chance.choice(known))
            waits.append(1000 * (time.perf_counter() - begun))
        return waits

    with ThreadPoolExecutor(readers) as pool:
        return list(pool.map(reads, range(readers)))


def fetch(connection: HTTPConnection, address: str) -> bytes:
    """A page as it is sent; an address that a layer has no unit for counts as well."""
    connection.request("GET", address, headers={"accept-encoding": "gzip" if not address.startswith("/api") else ""})
    return connection.getresponse().read()


def spread(waits: Sequence[float]) -> tuple[float, float, float]:
    """Median, p95 and maximum."""
    ordered = sorted(waits)
    return ordered[len(ordered) // 2], ordered[min(int(0.95 * len(ordered)), len(ordered) - 1)], ordered[-1]


if __name__ == "__main__":
    typer.run(main)
