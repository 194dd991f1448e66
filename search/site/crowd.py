"""Sentences that a crowd has written elsewhere, cleaned and put among the annotations of an atlas.

    crowd = read_crowd("results.csv", {("layer4", 483), …})
    crowd.words, crowd.told                # "kept 57 of 60 sentences; dropped 2 empty, 1 rejected"
    import_crowd("atlas", "mine", "results.csv")

Two forms of CSV are read: what Amazon Mechanical Turk gives for the tasks of MILANNOTATIONS (`Input.layer`,
`Input.unit`, `Answer.summary`, `RejectionTime` and `WorkerId`; Hernandez et al. 2022), and the published
`layer,unit,summary`, which names nobody: there the n-th sentence of a unit is that of "crowd n".
"""

import csv
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from describer.atlas import Atlas
from describer.errors import DescriberError
from describer.search.site.annotations import Annotations, Unit, Word, clean_name, clean_sentence

FORMS = (("Input.layer", "Input.unit", "Answer.summary"), ("layer", "unit", "summary"))
"Columns of the layer, the unit and the sentence."
_NOTHING = """n/a, na, n.a, none, nothing, no, nil, null, nan, idk, i don't know, i dont know, don't know, dont know,
unknown, unclear, unsure, not sure, no idea, not clear, nothing in common, no common, no pattern, no image, no images,
test, good, nice, ok, okay, yes"""
NOTHING = frozenset(text.strip() for text in _NOTHING.split(","))
"What people write in place of a description."
AGAIN, MOST_SAME = 5, 0.5
"One who says the same of this many units, and of more than this share of all, has not looked."


@dataclass(frozen=True)
class Crowd:
    """What a file holds."""

    words: tuple[Word, ...]
    "what is left, in the order of the file"
    n_rows: int
    dropped: dict[str, int]
    "why rows were left out -> how many, in the order in which they are looked for"

    @property
    def told(self) -> str:
        """What was kept and what was not, in one line."""
        left_out = ", ".join(f"{n} {why}" for why, n in self.dropped.items() if n)
        units, people = {(w.layer, w.unit) for w in self.words}, {w.annotator for w in self.words}
        of_whom = f"on {_counted(len(units), 'unit')} by {_counted(len(people), 'annotator')}"
        return f"kept {len(self.words)} of {_counted(self.n_rows, 'sentence')}, {of_whom}; dropped {left_out or 'none'}"


def read_crowd(path: str | Path, units: Collection[Unit], known: Collection[tuple[str, Unit]] = ()) -> Crowd:
    """The sentences of a CSV on these units; `known` are (annotator, unit) who have already said something of it.

    DescriberError for a file that is no such CSV.
    """
    dropped = dict.fromkeys(
        ("rejected", "of other or dead units", "empty", "too long", "that say nothing", "said twice", "known"), 0
    )
    seen, words, n_rows = set(known), [], 0
    for n_rows, (name, unit, text, rejected) in enumerate(_people(_rows(Path(path))), 1):  # noqa: B007, counted
        sentence, why = _cleaned(text)
        if rejected:
            why = "rejected"
        elif unit not in units:
            why = "of other or dead units"
        elif not why and (name, unit) in seen:
            why = "known" if (name, unit) in known else "said twice"
        if why:
            dropped[why] += 1
            continue
        seen.add((name, unit))
        words.append(Word(name, *unit, sentence))
    honest = _without_repeaters(words)
    dropped["of one who says the same of everything"] = len(words) - len(honest)
    return Crowd(tuple(honest), n_rows, dropped)


def import_crowd(atlas: str | Path, folder: str | Path, file: str | Path) -> Crowd:
    """Put the sentences of a CSV into the annotations in `folder`; what is there already stays and is not repeated.

    DescriberError where no sentence is on a living unit of the atlas.
    """
    opened = Atlas.open(atlas)
    units: set[Unit] = set()
    for entry in opened.meta.layers:
        if entry.probed:
            exemplars = opened.exemplars(entry.name)
            units |= {(entry.name, unit) for unit in exemplars.unit_ids[~exemplars.dead].tolist()}
    read_crowd(file, units)  # what cannot be read leaves no folder behind
    with Annotations(folder) as kept:
        known = {(name, unit) for name in kept.annotators() for unit in kept.of(name)}
        crowd = read_crowd(file, units, known)
        if not crowd.words and not crowd.dropped["known"]:
            raise DescriberError(f"{file} must have sentences on units of {atlas}. Got: {crowd.told}. Name another.")
        kept.add(crowd.words)
    return crowd


def _rows(path: Path) -> Iterator[tuple[Mapping[str, str], tuple[str, str, str]]]:
    """(row, its columns of layer, unit and sentence) of a file in either form."""
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            rows = csv.DictReader(file, restval="")
            names = rows.fieldnames or ()
            form = next((form for form in FORMS if set(form) <= set(names)), None)
            if form is None:
                wanted = " or ".join(",".join(form) for form in FORMS)
                got = ",".join(names)[:200] or "none"
                raise DescriberError(f"{path} must have the columns {wanted}. Got {got}. Rename them.")
            yield from ((row, form) for row in rows)
    except (OSError, ValueError, csv.Error) as fault:
        raise DescriberError(f"{path} must be a CSV in UTF-8. Got: {fault}. Save it anew.") from None


def _people(
    rows: Iterable[tuple[Mapping[str, str], tuple[str, str, str]]],
) -> Iterator[tuple[str, Unit, str, bool]]:
    """(annotator, unit, sentence, whether it was rejected) of every row."""
    n_said: Counter[Unit] = Counter()
    for row, (layer, unit, text) in rows:
        number = row[unit].strip()
        of = (row[layer].strip(), int(number) if re.fullmatch(r"[0-9]{1,9}", number) else -1)
        rejected = bool(row.get("RejectionTime", "").strip()) or row.get("AssignmentStatus", "") == "Rejected"
        worker = re.sub(r"[^\w .@-]", "", row.get("WorkerId", "")).strip(" .@-")[:40].rstrip(" .@-")
        n_said[of] += 1
        yield clean_name(worker or f"crowd {n_said[of]}"), of, row[text], rejected


def _cleaned(text: str) -> tuple[str, str]:
    """(sentence, why it is none): trimmed, in one line, without quotation marks and full stops around it."""
    bare = text.strip().strip("\"'“”‘’`").strip(" \t\r\n.,;:-*")
    if not any(sign.isalpha() for sign in bare):
        return "", "empty"
    if bare.lower() in NOTHING:
        return "", "that say nothing"
    try:
        return clean_sentence(bare), ""
    except DescriberError:
        return "", "too long"


def _without_repeaters(words: list[Word]) -> list[Word]:
    """Without the one sentence that somebody says of nearly everything; "crowd n" is nobody."""
    by_name = Counter(word.annotator for word in words)
    said = Counter((word.annotator, (word.text or "").lower()) for word in words)
    spam = {
        (name, text)
        for (name, text), n in said.items()
        if n >= AGAIN and n > MOST_SAME * by_name[name] and not re.fullmatch(r"crowd \d+", name)
    }
    return [word for word in words if (word.annotator, (word.text or "").lower()) not in spam]


def _counted(n: int, what: str) -> str:
    return f"{n:,} {what}{'' if n == 1 else 's'}"
