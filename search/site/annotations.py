"""What people say of units, kept the moment they say it.

    with Annotations("mine") as kept:                # a folder; one process at a time
        kept.say("ana", "layer4", 483, "dog faces")  # on the disk when this returns
        kept.skip("ana", "layer4", 484)
        kept.undo("ana")                             # her last word is taken back, and told
        kept.sentences("layer4")                     # {483: ["dog faces", …]} in the order of the annotators' names

Folder: log.jsonl, one event a line, only ever added to; what a crash left of a last line is cut off.
"""

import json
import os
import re
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from types import TracebackType

from describer.errors import DescriberError
from describer.files import disk_faults
from describer.lock import FolderLock

FILE = "log.jsonl"
LONGEST = 300
"Characters of a sentence; those of MILANNOTATIONS have at most some 200."
NAME = re.compile(r"[\w](?:[\w .@-]{0,38}[\w.])?")
Unit = tuple[str, int]


@dataclass(frozen=True)
class Word:
    """What one annotator did with one unit."""

    annotator: str
    layer: str
    unit: int
    text: str | None
    "None: skipped"


def clean_sentence(text: str) -> str:
    """The sentence in one line, without signs that cannot be seen; DescriberError for none or too long a one."""
    seen = "".join(" " if sign.isspace() else sign for sign in unicodedata.normalize("NFC", text))
    one = " ".join("".join(sign for sign in seen if unicodedata.category(sign)[0] != "C").split())
    if not any(sign.isalpha() for sign in one):
        raise DescriberError("A sentence must have words. Got none. Write what the outlined regions share, or skip.")
    if len(one) > LONGEST:
        raise DescriberError(f"A sentence must have at most {LONGEST} characters. Got {len(one)}. Say it shorter.")
    return one


def clean_name(text: str) -> str:
    """An annotator's name; DescriberError for what is none."""
    name = " ".join(unicodedata.normalize("NFC", text).split())
    if not NAME.fullmatch(name):
        raise DescriberError("A name must be 1 to 40 letters, digits, spaces or points. Got another. Mend it.")
    return name


class Annotations:
    """The annotations in a folder, new or begun before; DescriberError where it cannot be written or another does."""

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self._lock = Lock()
        self._words: dict[str, dict[Unit, Word]] = {}
        "Of each annotator, in the order in which they were said."
        with disk_faults(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            self._writer = FolderLock(self.folder)
            try:
                self._read()
                self._file = open(self.folder / FILE, "ab")  # noqa: SIM115, until close
            except BaseException:
                self._writer.release()
                raise

    def close(self) -> None:
        """Let another process write."""
        self._file.close()
        self._writer.release()

    def __enter__(self) -> "Annotations":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def say(self, annotator: str, layer: str, unit: int, text: str) -> Word:
        """Keep a sentence, in place of what the annotator said of the unit before."""
        return self._add(Word(clean_name(annotator), layer, unit, clean_sentence(text)))

    def skip(self, annotator: str, layer: str, unit: int) -> Word:
        """Keep that the annotator found nothing to say."""
        return self._add(Word(clean_name(annotator), layer, unit, None))

    def add(self, words: Sequence[Word]) -> None:
        """Keep many words that are clean already."""
        events = [{"annotator": w.annotator, "layer": w.layer, "unit": w.unit, "text": w.text} for w in words]
        with self._lock:
            self._write(*events)
            for word in words:
                self._keep(word)

    def undo(self, annotator: str) -> Word | None:
        """Take back the annotator's last word, and return it; None where there is none."""
        name = clean_name(annotator)
        with self._lock:
            words = self._words.get(name)
            if not words:
                return None
            last = next(reversed(words.values()))
            self._write({"annotator": name, "layer": last.layer, "unit": last.unit, "undo": True})
            del words[last.layer, last.unit]
            return last

    def of(self, annotator: str) -> dict[Unit, Word]:
        """What one annotator has said or skipped, in order."""
        with self._lock:
            return dict(self._words.get(clean_name(annotator), {}))

    def words(self) -> list[Word]:
        """All sentences that stand, annotators in the order of their names."""
        with self._lock:
            return [w for name in sorted(self._words) for w in self._words[name].values() if w.text is not None]

    def counts(self) -> Counter[Unit]:
        """How many sentences each unit has."""
        return Counter((word.layer, word.unit) for word in self.words())

    def annotators(self) -> dict[str, int]:
        """Name -> sentences that stand."""
        with self._lock:
            return {n: sum(w.text is not None for w in self._words[n].values()) for n in sorted(self._words)}

    def sentences(self, layer: str) -> dict[int, list[str]]:
        """The sentences on each unit of a layer."""
        found: dict[int, list[str]] = {}
        for word in self.words():
            if word.layer == layer and word.text is not None:
                found.setdefault(word.unit, []).append(word.text)
        return found

    def _add(self, word: Word) -> Word:
        self.add([word])
        return word

    def _keep(self, word: Word) -> None:
        words = self._words.setdefault(word.annotator, {})
        words.pop((word.layer, word.unit), None)  # said again it is the last word
        words[word.layer, word.unit] = word

    def _write(self, *events: Mapping[str, object]) -> None:
        with disk_faults(self.folder):
            self._file.write("".join(json.dumps(event, ensure_ascii=False) + "\n" for event in events).encode())
            self._file.flush()
            os.fsync(self._file.fileno())

    def _read(self) -> None:
        """Replay the log; a last line without its end was never answered for, and is cut off."""
        path = self.folder / FILE
        content = path.read_bytes() if path.exists() else b""
        whole = content[: content.rfind(b"\n") + 1]
        for number, line in enumerate(whole.splitlines(), 1):
            try:
                event = json.loads(line)
                word = Word(event["annotator"], event["layer"], int(event["unit"]), event.get("text"))
            except (ValueError, KeyError, TypeError) as fault:
                got = f"Got {type(fault).__name__} in line {number}"
                raise DescriberError(f"{path} must hold one event a line. {got}. Mend or move the file.") from None
            if event.get("undo"):
                self._words.get(word.annotator, {}).pop((word.layer, word.unit), None)
            else:
                self._keep(word)
        if len(whole) < len(content):
            with open(path, "r+b") as file:
                file.truncate(len(whole))
