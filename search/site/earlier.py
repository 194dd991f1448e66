"""What an earlier export wrote into a folder: told by its site.json, and removed where its pages are no longer right.

earlier = read_mark(Path("site"))                # None where no export has written
remove_export(Path("site"), earlier)             # whatever else lies in the folder stays
"""

import json
import os
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from describer.files import PART

MARK = "site.json"
SHARED = re.compile(r"assets/index(-[0-9]+)?\.js|pictures/[0-9]+\.jpg|examples/[^/]+/[0-9]+\.jpg")
OF_LAYER = re.compile(r"[^/]+/((index|score)(-[0-9]+)?\.html|[0-9]+/(index\.html|preview\.jpg|unit\.json))")
LAYER = re.compile(r"[^./\\][^/\\]*")
"The name of a layer's folder; a mark that somebody else has made leads to no other place."


def read_mark(folder: Path) -> dict[str, Any] | None:
    """What an export has noted of itself in `folder`: format, key, layers (their folders), whole; None without one."""
    try:
        mark = json.loads((folder / MARK).read_bytes())
    except (OSError, ValueError):
        return None
    return mark if isinstance(mark, dict) and {"format", "key"} <= mark.keys() else None


def remove_export(folder: Path, mark: dict[str, Any]) -> None:
    """Delete all pages and pictures of the export that `mark` tells of, and the folders that are empty then."""
    layers = [name for name in mark.get("layers", []) if LAYER.fullmatch(name)]
    (folder / "index.html").unlink(missing_ok=True)  # first, as it leads to the others
    emptied: set[Path] = set()
    for name in ("assets", "pictures", "examples", *layers):
        for path in _files(folder / name):
            inside = path.relative_to(folder).as_posix().replace(f"/{PART}", "/")
            if (OF_LAYER if name in layers else SHARED).fullmatch(inside):
                path.unlink()
                emptied.update(path.relative_to(folder).parents[:-1])
    for inner in sorted(emptied, reverse=True):  # the deepest ahead of what they lie in
        with suppress(OSError):  # it holds something of somebody else's
            (folder / inner).rmdir()


def _files(folder: Path) -> Iterator[Path]:
    """All files in a folder that is one of its own; where links lead nothing is ours."""
    if not folder.is_symlink():
        for inner, _, names in os.walk(folder, topdown=False):
            yield from (Path(inner) / name for name in names)
