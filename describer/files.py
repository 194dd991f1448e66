"""Files that are there whole or not at all, and faults of the disk told in one sentence.

write_atomically(folder / "atlas.json", content)      # killed halfway: the old file is still there
with disk_faults(folder):                             # disk full, read-only …: one AtlasError
    ...
"""

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from describer.errors import AtlasError

PART = ".part-"
"Begins the name of every file that is not whole yet; what a killed run left of them may be deleted."


def write_atomically(path: Path, content: bytes, durable: bool = True) -> None:
    """Put `content` at `path` by renaming; `durable` waits until the disk has it, as power may fail."""
    with renamed(path, durable) as part:
        part.write_bytes(content)


@contextmanager
def renamed(path: Path, durable: bool = True) -> Iterator[Path]:
    """A path to write to; it becomes `path` when the body ends, and is deleted when the body raises."""
    part = path.with_name(PART + path.name)
    try:
        yield part
        part.chmod(path.parent.stat().st_mode & 0o666)  # safetensors lets nobody but its writer read
        if durable:
            _sync(part)
        os.replace(part, path)
    except BaseException:
        with suppress(OSError):
            part.unlink()
        raise
    if durable:
        _sync(path.parent)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def disk_faults(
    folder: Path, rest: str = "Finished layers are kept. {advice}, then repeat the same command to go on."
) -> Iterator[None]:
    """Turn what the disk refuses while `folder` is written into one AtlasError that ends in `rest`; other faults pass.

    Lance and safetensors raise classes of their own, with the system's error number in the text.
    """
    try:
        yield
    except Exception as fault:
        cause = fault.__cause__ if isinstance(fault, AtlasError) else fault
        number = cause.errno if isinstance(cause, OSError) else _number_in(str(cause))
        if number is None:
            raise
        full = number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        advice = "Make room" if full else "Make the folder writable"
        message = f"{folder} could not be written: {os.strerror(number)}"
        raise AtlasError(f"{message}. {rest.format(advice=advice)}") from fault


def _number_in(text: str) -> int | None:
    found = re.search(r"\(os error (\d+)\)", text)
    return int(found[1]) if found else None
