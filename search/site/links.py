"""Where pages lie: addresses on a server, or files of a folder that are opened without one.

    ServerLinks().unit("layer4", 483)                # "/layer4/483"
    FileLinks(depth=1).unit("layer4", 483)           # "../layer4/483/index.html", as seen from a layer's page

A layer's folder is its name, quoted where it could mean another place.
"""

import hashlib
from abc import ABC, abstractmethod
from urllib.parse import quote, urlencode

RESERVED = {"index.html", "site.json", "pictures", "examples", "assets", "con", "nul", "aux", "prn"}
"Names in the folder of a site that no layer may take; some systems keep the last ones."
LONGEST = 120
"Characters of a folder's name."


def folder_name(layer: str) -> str:
    """The name of a layer's folder: no separators, never hidden, never another layer's."""
    name = quote(layer, safe="")
    if name.startswith(".") or name.lower() in RESERVED:
        name = f"%{ord(name[0]):02X}{name[1:]}"
    if len(name) > LONGEST:
        name = f"{name[:LONGEST]}-{hashlib.sha256(layer.encode()).hexdigest()[:16]}"
    return name


class Links(ABC):
    """Addresses of everything a page shows or leads to, as seen from that page."""

    is_static: bool
    "whether pages are files, so that nothing answers to forms"

    @abstractmethod
    def home(self) -> str:
        """The first page."""

    @abstractmethod
    def layer(self, layer: str, by_score: bool = False, page: int = 1, **query: str) -> str:
        """One page of a layer's grid."""

    @abstractmethod
    def unit(self, layer: str, unit: int) -> str:
        """The page of a unit."""

    @abstractmethod
    def json(self, layer: str, unit: int) -> str:
        """The same unit for programs."""

    @abstractmethod
    def preview(self, layer: str, unit: int) -> str:
        """The picture that stands for a unit where its address is shared; empty: other sites could not reach it."""

    @abstractmethod
    def picture(self, image: int) -> str:
        """An exemplar image."""

    @abstractmethod
    def example(self, dissection: str, image: int) -> str:
        """A labelled picture."""

    @abstractmethod
    def asset(self, name: str) -> str:
        """A style sheet or script."""


class ServerLinks(Links):
    """Addresses on a server; `origin` (http://host:port) makes those of previews whole, as other sites want them."""

    is_static = False

    def __init__(self, origin: str = "") -> None:
        self.origin = origin

    def home(self) -> str:
        return "/"

    def layer(self, layer: str, by_score: bool = False, page: int = 1, **query: str) -> str:
        asked = {**({"sort": "score"} if by_score else {}), **query, **({"page": str(page)} if page > 1 else {})}
        return f"/{quote(layer, safe='')}" + (f"?{urlencode(asked)}" if asked else "")

    def unit(self, layer: str, unit: int) -> str:
        return f"/{quote(layer, safe='')}/{unit}"

    def json(self, layer: str, unit: int) -> str:
        return f"/api/{quote(layer, safe='')}/{unit}"

    def preview(self, layer: str, unit: int) -> str:
        return f"{self.origin}/{quote(layer, safe='')}/{unit}/preview.jpg"

    def picture(self, image: int) -> str:
        return f"/pictures/{image}.jpg"

    def example(self, dissection: str, image: int) -> str:
        return f"/examples/{dissection}/{image}.jpg"

    def asset(self, name: str) -> str:
        return f"/assets/{name}"


class FileLinks(Links):
    """Paths of files, from a page that lies `depth` folders below the first one."""

    is_static = True

    def __init__(self, depth: int) -> None:
        self.up = "../" * depth

    def home(self) -> str:
        return f"{self.up}index.html"

    def layer(self, layer: str, by_score: bool = False, page: int = 1, **query: str) -> str:
        return f"{self.up}{quote(folder_name(layer))}/{layer_file(by_score, page)}"

    def unit(self, layer: str, unit: int) -> str:
        return f"{self.up}{quote(folder_name(layer))}/{unit}/index.html"

    def json(self, layer: str, unit: int) -> str:
        return f"{self.up}{quote(folder_name(layer))}/{unit}/unit.json"

    def preview(self, layer: str, unit: int) -> str:
        return ""  # where the files will lie, and so the whole address that other sites want, is not known

    def picture(self, image: int) -> str:
        return f"{self.up}pictures/{image}.jpg"

    def example(self, dissection: str, image: int) -> str:
        return f"{self.up}examples/{dissection}/{image}.jpg"

    def asset(self, name: str) -> str:
        return f"{self.up}assets/{name}"


def layer_file(by_score: bool, page: int) -> str:
    """The name of one page of a layer's grid in its folder."""
    stem = "score" if by_score else "index"
    return f"{stem}.html" if page == 1 else f"{stem}-{page}.html"
