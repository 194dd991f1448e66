"""Pages that were rendered, kept with their compressed form, so that many readers cost hardly more than one.

    kept = KeptPages()
    page = kept.get(("unit", "layer4", 483)) or kept.made(("unit", "layer4", 483), render)
    answer(request, page)

Rendered once, however many ask at the same time: the others wait for the first. Compressing a grid takes longer than
anything else in its answer, so that this is done once as well.
"""

import gzip
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from threading import Lock

from fastapi import Request
from fastapi.responses import HTMLResponse, Response

MOST = 256
"Pages in memory; a grid has some 150 kB, and 15 compressed."
LEVEL = 6
"Of the compression: 9 takes twice as long and saves a hundredth."
Key = tuple[Hashable, ...]


@dataclass(frozen=True)
class Page:
    """A page as it is sent."""

    plain: bytes
    zipped: bytes


class KeptPages:
    """The last MOST pages."""

    def __init__(self, most: int = MOST) -> None:
        self._most, self._lock = most, Lock()
        self._pages: OrderedDict[Key, Page] = OrderedDict()
        self._making: dict[Key, Lock] = {}

    def get(self, key: Key) -> Page | None:
        """A page that was made before."""
        with self._lock:
            if key in self._pages:
                self._pages.move_to_end(key)
            return self._pages.get(key)

    def made(self, key: Key, render: Callable[[], str]) -> Page:
        """The page, made now unless somebody else has done so meanwhile; what `render` raises is raised."""
        with self._lock:
            making = self._making.setdefault(key, Lock())
        try:
            with making:
                page = self.get(key)
                if page is None:
                    plain = render().encode()
                    page = Page(plain, gzip.compress(plain, LEVEL, mtime=0))
                    self._put(key, page)
                return page
        finally:
            with self._lock:
                self._making.pop(key, None)

    def _put(self, key: Key, page: Page) -> None:
        with self._lock:
            self._pages[key] = page
            while len(self._pages) > self._most:
                self._pages.popitem(last=False)


def answer(request: Request, page: Page) -> Response:
    """The page, compressed for those who take it so."""
    if "gzip" not in request.headers.get("accept-encoding", ""):
        return HTMLResponse(page.plain, headers={"vary": "accept-encoding"})
    return HTMLResponse(page.zipped, headers={"vary": "accept-encoding", "content-encoding": "gzip"})
