"""One writer a folder: a lock the system takes back by itself when its process dies.

lock = FolderLock(folder)      # AtlasError where another process, or this one, writes the folder already
lock.release()
"""

import fcntl
import os
from pathlib import Path

from describer.errors import AtlasError

FILE = ".lock"

_held_here: set[Path] = set()
"A record lock does not keep a process out of its own folder; this does."


class FolderLock:
    """The right to write `folder`, until release().

    A record lock (fcntl), not flock: the worker processes of a data loader would inherit a flock and hold the folder
    for seconds after their parent was killed, when the user already repeats the command.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder.resolve()
        if self._folder in _held_here:
            raise _taken(folder, str(os.getpid()))
        self._handle = os.open(self._folder / FILE, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.lockf(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            holder = os.read(self._handle, 32).decode(errors="replace").strip()
            os.close(self._handle)
            raise _taken(folder, holder) from None
        _held_here.add(self._folder)
        os.ftruncate(self._handle, 0)
        os.write(self._handle, f"{os.getpid()}\n".encode())

    def release(self) -> None:
        """Let others write; a second call does nothing."""
        if self._folder in _held_here:
            _held_here.remove(self._folder)
            os.close(self._handle)


def _taken(folder: Path, holder: str) -> AtlasError:
    return AtlasError(
        f"{folder} must have one writer. Got a second: process {holder or 'unknown'} is writing it. "
        "Wait for it, or name another --out."
    )
