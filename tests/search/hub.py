"""A hub on this machine that computes: repositories in memory behind the few addresses that huggingface_hub asks."""

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit


class Hub(ThreadingHTTPServer):
    """Datasets by name: files by path. `private` keeps what was asked for at creation."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answers)
        self.files: dict[str, dict[str, bytes]] = {}
        self.asked: dict[str, dict[str, Any]] = {}

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def commit(self, repo: str) -> str:
        told = sorted((path, hashlib.sha1(content).hexdigest()) for path, content in self.files[repo].items())
        return hashlib.sha1(json.dumps(told).encode()).hexdigest()


class Answers(BaseHTTPRequestHandler):
    """create, preupload, commit, info, tree and resolve."""

    server: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing on stderr."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        path = unquote(urlsplit(self.path).path)
        if path == "/api/repos/create":
            asked = json.loads(body)
            name = f"{asked['organization']}/{asked['name']}"
            self.server.asked.setdefault(name, asked)
            known = name in self.server.files
            self.server.files.setdefault(name, {})
            url = f"{self.server.address}/datasets/{name}"
            return self._json({"url": url, "name": name, "id": name}, 409 if known else 200)
        if path == "/api/validate-yaml":
            return self._json({"errors": [], "warnings": []})
        _, _, _, owner, name, verb, *_ = path.split("/")
        repo = f"{owner}/{name}"
        if verb == "preupload":
            files = json.loads(body)["files"]
            modes = [{"path": f["path"], "uploadMode": "regular", "shouldIgnore": False} for f in files]
            return self._json({"files": modes})
        if verb == "commit":
            return self._commit(repo, body)
        return self._json({"error": path}, 404)

    def _commit(self, repo: str, body: bytes) -> None:
        files = self.server.files[repo]
        for line in body.splitlines():
            told = json.loads(line)
            value = told["value"]
            if told["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif told["key"] == "deletedFile":
                del files[value["path"]]
        commit = self.server.commit(repo)
        url = f"{self.server.address}/datasets/{repo}/commit/{commit}"
        self._json({"success": True, "commitOid": commit, "commitUrl": url, "hookOutput": ""})

    def do_GET(self) -> None:
        self._answer(whole=True)

    def do_HEAD(self) -> None:
        self._answer(whole=False)

    def _answer(self, whole: bool) -> None:
        parts = unquote(urlsplit(self.path).path).strip("/").split("/")
        api = parts[0] == "api"
        repo = "/".join(parts[2:4] if api else parts[1:3])
        if repo not in self.server.files:
            return self._json({"error": "Repository not found"}, 404, {"X-Error-Code": "RepoNotFound"})
        files, commit = self.server.files[repo], self.server.commit(repo)
        tree = [
            {"type": "file", "path": p, "size": len(c), "oid": hashlib.sha1(c).hexdigest()} for p, c in files.items()
        ]
        if api and "tree" in parts:
            return self._json(tree)
        if api:
            return self._json({"id": repo, "sha": commit, "siblings": [{"rfilename": path} for path in files]})
        content = files.get("/".join(parts[5:])) if "resolve" in parts else files.get("/".join(parts[3:]))
        if content is None:
            return self._json({"error": "Entry not found"}, 404, {"X-Error-Code": "EntryNotFound"})
        about = {"ETag": f'"{hashlib.sha1(content).hexdigest()}"', "X-Repo-Commit": commit}
        self._send(content if whole else b"", 200, about | {"Content-Length": str(len(content))})
        return None

    def _json(self, told: Any, status: int = 200, headers: dict[str, str] | None = None) -> None:
        content = json.dumps(told).encode()
        about = {"Content-Type": "application/json", "Content-Length": str(len(content)), **(headers or {})}
        self._send(b"" if self.command == "HEAD" else content, status, about)

    def _send(self, content: bytes, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)


@contextmanager
def running_hub() -> Iterator[Hub]:
    """A hub that answers until the body ends."""
    hub = Hub()
    thread = threading.Thread(target=hub.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        hub.shutdown()
        hub.server_close()
        thread.join()
