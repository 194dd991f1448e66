"""What a crowd has written elsewhere: both forms of CSV, cleaned, with a line that says what was dropped."""

import csv
from pathlib import Path

import pytest
from typer.testing import CliRunner

from describer.cli import app as verbs
from describer.data.milannotations import read_annotated_exemplars
from describer.errors import DescriberError
from describer.search.site.annotations import Annotations, Word
from describer.search.site.crowd import import_crowd, read_crowd
from tests.search.site.sites import write_atlas

UNITS = {("stem", unit) for unit in (0, 2, 3, 4)} | {("4", unit) for unit in range(7)}
TURK = ("HITId", "WorkerId", "AssignmentStatus", "RejectionTime", "Input.layer", "Input.unit", "Answer.summary")


@pytest.fixture(scope="module")
def atlas(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_atlas(tmp_path_factory.mktemp("crowd") / "atlas")


def turk(path: Path, rows: list[tuple[str, str, str, str]], rejected: str = "") -> Path:
    """Rows of (worker, layer, unit, sentence) as Mechanical Turk gives them."""
    with open(path, "w", newline="", encoding="utf-8-sig") as file:
        written = csv.writer(file)
        written.writerow(TURK)
        for worker, layer, unit, text in rows:
            written.writerow(("H", worker, "Approved", rejected, layer, unit, text))
    return path


def test_the_form_of_mechanical_turk(tmp_path: Path) -> None:
    rows = [
        ("A1", "stem", "3", "  \u201cRed squares.\u201d "),
        ("A2", "stem", "3", "red\n squares"),
        ("A1", "4", " 5", "dogs"),
    ]
    crowd = read_crowd(turk(tmp_path / "a.csv", rows), UNITS)
    assert crowd.words == (
        Word("A1", "stem", 3, "Red squares"), Word("A2", "stem", 3, "red squares"), Word("A1", "4", 5, "dogs"),
    )  # fmt: skip
    assert crowd.told == "kept 3 of 3 sentences, on 2 units by 2 annotators; dropped none"
    assert read_crowd(turk(tmp_path / "r.csv", rows, "Mon Nov 23"), UNITS).dropped["rejected"] == 3


def test_the_published_form_names_nobody(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("layer,unit,summary\n4,0,grass\n4,0,grass\n4,0,green things\n4,1,sky\n")
    crowd = read_crowd(tmp_path / "a.csv", UNITS)
    assert [(w.annotator, w.unit, w.text) for w in crowd.words] == [
        ("crowd 1", 0, "grass"), ("crowd 2", 0, "grass"), ("crowd 3", 0, "green things"), ("crowd 1", 1, "sky"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("row", "why"),
    [
        (("A", "nose", "0", "dogs"), "of other or dead units"),
        (("A", "stem", "1", "dogs"), "of other or dead units"),
        (("A", "stem", "-3", "dogs"), "of other or dead units"),
        (("A", "stem", "3.0", "dogs"), "of other or dead units"),
        (("A", "stem", "9" * 40, "dogs"), "of other or dead units"),
        (("A", "stem", "3", ""), "empty"),
        (("A", "stem", "3", " .- \u200b"), "empty"),
        (("A", "stem", "3", "12"), "empty"),
        (("A", "stem", "3", "N/A."), "that say nothing"),
        (("A", "stem", "3", "I don't know"), "that say nothing"),
        (("A", "stem", "3", "x" * 301), "too long"),
        (("A", "stem", "0", "said again"), "said twice"),
    ],
)
def test_what_is_dropped_and_why(tmp_path: Path, row: tuple[str, str, str, str], why: str) -> None:
    crowd = read_crowd(turk(tmp_path / "a.csv", [("A", "stem", "0", "dogs"), row]), UNITS)
    assert [word.text for word in crowd.words] == ["dogs"]
    assert {reason: n for reason, n in crowd.dropped.items() if n} == {why: 1}
    assert crowd.told.endswith(f"dropped 1 {why}")


def test_one_who_says_the_same_of_everything_is_not_heard(tmp_path: Path) -> None:
    same = [("spam", "4", str(unit), "Animal" if unit % 2 else "animal") for unit in range(5)]
    rows = [
        *same,
        ("spam", "stem", "0", "wheels"),
        *((("fair"), "4", str(u), f"thing {'abcdefg'[u]}") for u in range(7)),
    ]
    crowd = read_crowd(turk(tmp_path / "a.csv", rows), UNITS)
    assert crowd.dropped["of one who says the same of everything"] == 5
    assert [word.text for word in crowd.words if word.annotator == "spam"] == ["wheels"]
    fewer = read_crowd(turk(tmp_path / "b.csv", same[:4]), UNITS)
    assert len(fewer.words) == 4
    half = [*same, *(("spam", "stem", str(u), f"w{u}") for u in (0, 2, 3, 4)), ("spam", "4", "5", "v")]
    assert len(read_crowd(turk(tmp_path / "c.csv", half), UNITS).words) == 10


@pytest.mark.parametrize("worker", ["", "=cmd|' /C'!A0", "<b>x</b>", "a" * 99, "  . ", "-A-"])
def test_names_of_workers_are_made_fit(tmp_path: Path, worker: str) -> None:
    rows = [(worker, "stem", "3", "dogs")]
    (word,) = read_crowd(turk(tmp_path / "a.csv", rows), UNITS).words
    with Annotations(tmp_path / "mine") as kept:
        assert kept.say(word.annotator, "stem", 3, "as a person").annotator == word.annotator


@pytest.mark.parametrize(
    ("content", "told"),
    [(b"a,b\n1,2\n", "must have the columns"), (b"", "must have the columns"),
     (b"layer,unit,summary\n\xff,0,x\n", "UTF-8"),
     (b'layer,unit,summary\nstem,3,"' + b"x" * 200_000 + b'"\n', "must be a CSV")],
)  # fmt: skip
def test_what_is_no_such_file(tmp_path: Path, atlas: Path, content: bytes, told: str) -> None:
    (tmp_path / "a.csv").write_bytes(content)
    for file in ("a.csv", "none.csv"):
        with pytest.raises(DescriberError, match=told if file == "a.csv" else "must be a CSV"):
            import_crowd(atlas, tmp_path / "mine", tmp_path / file)
    assert not (tmp_path / "mine").exists()


def test_imported_twice_is_there_once_beside_what_people_said(atlas: Path, tmp_path: Path) -> None:
    file = turk(
        tmp_path / "a.csv", [("ana", "stem", "3", "red"), ("bo", "stem", "3", "blue"), ("bo", "head", "0", "sky")]
    )
    with Annotations(tmp_path / "mine") as kept:
        kept.say("ana", "stem", 3, "said on the page")
    first, second = (import_crowd(atlas, tmp_path / "mine", file) for _ in range(2))
    assert first.told == "kept 2 of 3 sentences, on 2 units by 1 annotator; dropped 1 known"
    assert second.dropped["known"] == 3 and second.words == ()
    with Annotations(tmp_path / "mine") as kept:
        assert kept.sentences("stem") == {3: ["said on the page", "blue"]}
    assert len((tmp_path / "mine" / "log.jsonl").read_text().splitlines()) == 3
    stranger = turk(tmp_path / "b.csv", [("bo", "nose", "3", "red")])
    with pytest.raises(DescriberError, match="must have sentences on units of"):
        import_crowd(atlas, tmp_path / "mine", stranger)


def test_the_verb_imports_and_exports(atlas: Path, tmp_path: Path) -> None:
    file = turk(tmp_path / "a.csv", [("ana", "head", "0", "red"), ("bo", "head", "0", "n/a")])
    told = ["--out", str(tmp_path / "mine"), "--import", str(file), "--export", str(tmp_path / "data")]
    done = CliRunner().invoke(verbs, ["annotate", str(atlas), *told])
    assert done.exit_code == 0, done.stderr
    assert "kept 1 of 2 sentences, on 1 unit by 1 annotator; dropped 1 that say nothing." in done.stderr
    assert read_annotated_exemplars(tmp_path / "data", "head").annotations == [["red"]]
