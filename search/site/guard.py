"""What stands before every page: which names the server answers to, how much it reads, and what browsers may do.

    app.add_middleware(Guard, hosts=("127.0.0.1", "localhost"), most_bytes=10_000_000)

Another site that a reader visits could point a name of its own at 127.0.0.1 and read the pages (DNS rebinding), or
post to them; hosts and Sec-Fetch-Site keep it out.
"""

from collections.abc import Sequence
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from describer.search.site.pages import POLICY

HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",  # no-referrer hides the origin of our own forms, which are refused then
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=()",
}
LOCAL = ("127.0.0.1", "localhost", "::1")
"Names by which a server on this machine is reached."


class Guard:
    """Refuses foreign hosts, posts from other sites and bodies that are too large; adds the headers.

    HEAD is answered as GET is, without the body.
    """

    def __init__(self, app: ASGIApp, hosts: Sequence[str] | None, most_bytes: int) -> None:
        self._app, self._hosts, self._most = app, hosts, most_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers, read = Headers(scope=scope), 0
        bodiless = scope["method"] == "HEAD"
        scope = {**scope, "method": "GET"} if bodiless else scope

        async def bounded() -> Message:
            nonlocal read
            message = await receive()
            read += len(message.get("body", b""))
            if read > self._most:
                raise HTTPException(413, f"A request must have at most {self._most // 1_000_000} MB. Got more.")
            return message

        async def marked(message: Message) -> None:
            if message["type"] == "http.response.start":
                answer = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    answer.setdefault(name, value)
            if message["type"] == "http.response.body" and bodiless:
                message = {**message, "body": b""}
            await send(message)

        refusal = self._refusal(scope["method"], headers)
        if refusal:
            await PlainTextResponse(refusal[1], refusal[0])(scope, receive, marked)
            return
        await self._app(scope, bounded, marked)

    def _refusal(self, method: str, headers: Headers) -> tuple[int, str] | None:
        if self._hosts is not None and _host(headers.get("host", "")) not in self._hosts:
            return 421, "This server must be asked by its own name."
        if method != "GET" and headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
            return 403, "A form must be sent from this server's own pages."
        origin = headers.get("origin")
        if method != "GET" and origin and urlsplit_host(origin) != headers.get("host"):
            return 403, "A form must be sent from this server's own pages."
        length = headers.get("content-length", "0")
        if not (length.isascii() and length.isdigit()) or int(length[:12]) > self._most or len(length) > 12:
            return 413, f"A request must have at most {self._most // 1_000_000} MB."
        return None


def urlsplit_host(origin: str) -> str | None:
    """host:port of an origin; None where it has none."""
    try:
        return urlsplit(origin).netloc or None
    except ValueError:
        return None


def _host(header: str) -> str:
    """The name in a Host header, without port and brackets."""
    try:
        return urlsplit(f"//{header}").hostname or ""
    except ValueError:
        return ""
