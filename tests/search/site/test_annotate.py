"""What people say of units: kept at once, taken back, measured, exported so that it can be trained on."""

import json
import math
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fastapi.testclient import TestClient
from typer.testing import CliRunner

from describer.atlas import THUMBNAIL, Atlas
from describer.captioner import Captioner
from describer.cli import app as verbs
from describer.data.milannotations import read_annotated_exemplars
from describer.errors import AtlasError, DescriberError
from describer.manifest import LayerEntry
from describer.search.site.agreement import Agreement, agreement, content_words
from describer.search.site.annotate import GUIDELINES, export_annotations, make_annotator, read_guidelines
from describer.search.site.annotations import Annotations, Word, clean_name, clean_sentence
from describer.search.site.library import Library
from describer.search.site.work import Work
from describer.training.recipe import read_recipe
from describer.training.sources.annotations import read_annotations
from tests.describer.captioners import small_captioner
from tests.describer.worlds import LAYERS, Squares, make_exemplars, make_manifest
from tests.search.site.sites import HOSTILE, Markup, write_atlas

HERE = "http://127.0.0.1:8000"
GUIDE = Path(__file__).parents[3] / "docs" / "annotate.md"
LIVING = [(layer, unit) for layer, (n_units, _, _) in LAYERS.items() for unit in range(n_units) if unit != 1]


@pytest.fixture(scope="module")
def atlas(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_atlas(tmp_path_factory.mktemp("annotated") / "atlas")


@pytest.fixture(scope="module")
def path_of_many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An atlas of one layer with 127 living units."""
    path, many = tmp_path_factory.mktemp("many") / "atlas", make_exemplars("head").subset([0] * 127)
    manifest = replace(make_manifest(), layers=(LayerEntry("head", 0, 127, 1, 1),))
    with Atlas.create(path, manifest) as atlas:
        atlas.write_exemplars(replace(many, unit_ids=torch.arange(127)), Squares())
    return path


# The log


def test_what_is_said_stays(tmp_path: Path) -> None:
    with Annotations(tmp_path / "mine") as kept:
        kept.say("ana", "stem", 3, "  red\tsquares\u200b ")
        kept.say("bo", "stem", 3, "blue circles")
        kept.skip("ana", "stem", 2)
        kept.say("ana", "4", 3, "layers may be digits")
        kept.say("ana", "stem", 3, "red squares, said anew")
    with Annotations(tmp_path / "mine") as kept:
        assert kept.sentences("stem") == {3: ["red squares, said anew", "blue circles"]}
        assert kept.sentences("4") == {3: ["layers may be digits"]}
        assert kept.annotators() == {"ana": 2, "bo": 1}
        assert kept.counts() == {("stem", 3): 2, ("4", 3): 1}
        assert kept.of("ana").keys() == {("stem", 2), ("4", 3), ("stem", 3)}


def test_words_are_taken_back_one_by_one(tmp_path: Path) -> None:
    with Annotations(tmp_path) as kept:
        for unit, text in ((5, "five"), (7, None), (11, "eleven")):
            kept.skip("ana", "stem", unit) if text is None else kept.say("ana", "stem", unit, text)
        kept.say("bo", "stem", 5, "other people's words stay")
        assert kept.undo("ana") == Word("ana", "stem", 11, "eleven")
        assert kept.undo("ana") == Word("ana", "stem", 7, None)
    with Annotations(tmp_path) as kept:
        assert kept.undo("ana") == Word("ana", "stem", 5, "five")
        assert kept.undo("ana") is None
        assert kept.sentences("stem") == {5: ["other people's words stay"]}


@pytest.mark.parametrize("text", ["", "  \n", "...!?", "\u200b", "x" * 301, "12 34"])
def test_what_is_no_sentence_is_refused(tmp_path: Path, text: str) -> None:
    with Annotations(tmp_path) as kept:
        with pytest.raises(DescriberError, match="A sentence must have"):
            kept.say("ana", "stem", 3, text)
        assert kept.words() == []
    assert (tmp_path / "log.jsonl").read_bytes() == b""


@pytest.mark.parametrize("name", ["", " ", "a" * 41, "<b>", "a/b", "a\x00b", "-a", "=1+1"])
def test_what_is_no_name_is_refused(name: str) -> None:
    with pytest.raises(DescriberError, match="A name must be 1 to 40"):
        clean_name(name)


def test_names_and_sentences_are_cleaned() -> None:
    assert [clean_name(name) for name in (" Ana  B. ", "é", "x@y.z", "李")] == ["Ana B.", "é", "x@y.z", "李"]
    assert clean_sentence("a\u0301\r\nb\x07 \u202ec") == "á b c"


def test_a_line_that_was_cut_off_is_lost_alone(tmp_path: Path) -> None:
    with Annotations(tmp_path) as kept:
        kept.say("ana", "stem", 3, "whole")
    with open(tmp_path / "log.jsonl", "ab") as file:
        file.write(b'{"annotator": "ana", "layer": "stem", "unit": 5, "te')
    with Annotations(tmp_path) as kept:
        assert kept.sentences("stem") == {3: ["whole"]}
        kept.say("ana", "stem", 7, "afterwards")
    assert [json.loads(line)["unit"] for line in (tmp_path / "log.jsonl").read_text().splitlines()] == [3, 7]


def test_a_foreign_log_is_refused(tmp_path: Path) -> None:
    (tmp_path / "log.jsonl").write_text('{"annotator": "ana"}\n')
    with pytest.raises(DescriberError, match=r"must hold one event a line\. Got KeyError in line 1"):
        Annotations(tmp_path)
    (tmp_path / "log.jsonl").unlink()
    Annotations(tmp_path).close()  # the folder is free again


def test_one_process_at_a_time(tmp_path: Path) -> None:
    with Annotations(tmp_path), pytest.raises(AtlasError, match="must have one writer"):
        Annotations(tmp_path)


def test_killed_while_people_write_nothing_is_lost(tmp_path: Path) -> None:
    code = f"""
from describer.search.site.annotations import Annotations
kept = Annotations({str(tmp_path / "mine")!r})
for unit in range(10_000):
    kept.say("ana", "stem", unit, f"sentence {{unit}}")
    print(unit, flush=True)
"""
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    told = [int(process.stdout.readline()) for _ in range(23)]
    time.sleep(0.05)
    os.kill(process.pid, signal.SIGKILL)
    told += [int(line) for line in process.stdout.read().split("\n")[:-1]]
    process.stdout.close()
    process.wait()
    with Annotations(tmp_path / "mine") as kept:
        said = kept.sentences("stem")
    assert set(told) <= said.keys() and len(said) <= len(told) + 1
    assert all(texts == [f"sentence {unit}"] for unit, texts in said.items())


# Agreement


def test_agreement_is_that_of_all_pairs_one_by_one() -> None:
    chance = np.random.default_rng(0)
    vocabulary = ["red", "blue", "dogs", "doors", "sky", "wheels", "the"]
    words = [
        Word(name, "stem", unit, " ".join(chance.choice(vocabulary, 3)))
        for name, unit in product(("ana", "bo", "cy"), range(5))
        if chance.random() < 0.8
    ]
    same, different = [], []
    for i in range(len(words)):
        for j in range(i):
            a, b = (content_words(words[n].text or "") for n in (i, j))
            if words[i].annotator != words[j].annotator:
                common = sum(word in b for word in a)
                group = same if words[i].unit == words[j].unit else different
                group.append(2 * common / (len(a) + len(b)) if a or b else 1.0)
    found = agreement(words)
    assert found.pairs == len(same) > 4
    assert found.same == pytest.approx(sum(same) / len(same))
    assert found.chance == pytest.approx(sum(different) / len(different))


def test_agreement_of_one_voice_and_of_few() -> None:
    texts = ["red dogs", "blue doors", "wheels of cars"]
    everybody = [Word(name, "stem", unit, texts[unit]) for name in ("ana", "bo") for unit in range(3)]
    assert agreement(everybody).corrected == pytest.approx(1.0)
    assert agreement([]) == Agreement(None, None, 0)
    assert agreement(everybody[:3]) == Agreement(None, None, 0)
    assert agreement([Word("ana", "stem", 0, "Dogs"), Word("bo", "stem", 0, "the dog")]).same == 1.0
    twice = [Word("ana", "stem", 0, "dogs"), Word("ana", "body.0", 0, "dogs"), Word("bo", "stem", 0, None)]
    assert agreement(twice).pairs == 0


def test_chance_of_many_is_sampled() -> None:
    words = [Word(f"p{n % 3}", "stem", n // 3, ("red", "blue")[n % 2]) for n in range(300)]
    found = agreement(words)
    assert found.chance is not None and math.isclose(found.chance, 0.5, abs_tol=0.02)
    assert agreement(words) == found


# Who sees what


def test_everybody_sees_every_living_unit_once_and_lone_ones_first(atlas: Path, tmp_path: Path) -> None:
    with Annotations(tmp_path) as kept:
        work = Work(Library(atlas), kept)
        assert sorted(work.units) == sorted(LIVING) and work.units != LIVING
        for unit in work.units[:4]:
            kept.say("ana", *unit, "words")
        assert work.next_for("ana") == work.units[4]
        assert work.next_for("bo") == work.units[0], "the first is shared"
        seen = []
        while (unit := work.next_for("bo")) is not None:
            seen.append(unit)
            kept.skip("bo", *unit)
        assert seen == work.units[:1] + work.units[4:] + work.units[1:4]
        assert work.with_sentences == [4, 0, 0]
        assert {layer for layer, _ in Work(Library(atlas), kept, ["head"]).units} == {"head"}
        with pytest.raises(AtlasError, match="must have the layer"):
            Work(Library(atlas), kept, ["nose"])


@pytest.mark.parametrize("people", [["ana", "bo"], ["ana", "bo", "cy"]])
@pytest.mark.parametrize("turns", [True, False])  # side by side, or one after the other
def test_a_small_team_shares_a_fifth_of_what_it_tells(
    path_of_many: Path, tmp_path: Path, people: list[str], turns: bool
) -> None:
    with Annotations(tmp_path) as kept:
        work, n_each = Work(Library(path_of_many), kept), 43
        assert len(work.units) == 127 and len(work.shared) == 26
        for n in range(n_each * len(people)):
            person = people[n % len(people) if turns else n // n_each]
            unit = work.next_for(person)
            assert unit is not None and unit not in kept.of(person)
            kept.say(person, *unit, "red squares")
        counts = kept.counts()
        assert sum(counts.values()) == n_each * len(people)
        twice = {unit for unit, count in counts.items() if count == 2}
        assert twice <= work.shared and max(counts.values()) == 2, "all others have one sentence, or none yet"
        before = len(counts) - 1 if turns else n_each  # units told when the last person still looks at old ones
        assert agreement(kept.words()).pairs == len(twice) >= before // 5
        assert agreement(kept.words()).same == 1


# Pages


def test_a_person_says_skips_and_undoes(atlas: Path, tmp_path: Path) -> None:
    with Annotations(tmp_path) as kept:
        client = TestClient(make_annotator(atlas, kept), base_url=HERE, follow_redirects=True)
        start = client.get("/")
        assert start.status_code == 200 and "Agreement is told once" in start.text
        assert all(line in start.text for line in GUIDELINES)
        page = client.get("/next", params={"who": "ana"})
        first = page.url.path
        layer, unit = first.removeprefix("/say/").split("/")
        assert page.status_code == 200
        caption = next(row for row in Atlas.open(atlas).units(layer) if row["unit"] == int(unit))["description"]
        assert caption is None or caption not in page.text  # it would lead people
        page = client.post(first, data={"who": "ana", "text": HOSTILE})
        assert page.status_code == 200 and page.url.path.startswith("/say/") and page.url.path != first
        assert kept.sentences(layer) == {int(unit): [clean_sentence(HOSTILE)]}
        second = page.url.path
        page = client.post(second, data={"who": "ana", "action": "skip", "text": "lost"})
        assert page.url.path not in (first, second)
        assert client.post("/undo", data={"who": "ana"}).url.path == second
        page = client.post("/undo", data={"who": "ana"})
        assert page.url.path == first
        given = [each["value"] for tag, each in Markup(page.text).tags if tag == "input" and each.get("name") == "text"]
        assert given == [clean_sentence(HOSTILE)]
        assert "<script>alert" not in page.text
        assert kept.words() == []
        page = client.post(first, data={"who": "ana", "text": " ?! "})
        assert page.status_code == 422 and "A sentence must have words" in page.text
        client.post(first, data={"who": "ana", "text": "red squares"})
        client.post(first, data={"who": "bo", "text": "squares of red"})
        assert "100 % of their words on the same unit" in client.get("/").text


def test_all_seen_is_told(atlas: Path, tmp_path: Path) -> None:
    with Annotations(tmp_path) as kept:
        client = TestClient(make_annotator(atlas, kept, ["head"]), base_url=HERE, follow_redirects=True)
        for _ in range(2):
            place = client.get("/next", params={"who": "ana"}).url.path
            client.post(place, data={"who": "ana", "text": "squares"})
        page = client.get("/next", params={"who": "ana"})
        assert page.url.path == "/done" and "You have seen all 2 units" in page.text
        for link in Markup(page.text).links:
            assert client.get(link).status_code in (200, 405)


@pytest.mark.parametrize(
    ("address", "data", "status"),
    [
        ("/say/stem/1", {"who": "ana", "text": "dead"}, 404),
        ("/say/stem/99", {"who": "ana", "text": "x"}, 404),
        ("/say/..%2fstem/3", {"who": "ana", "text": "x"}, 404),
        ("/say/stem/3", {"text": "x"}, 422),
        ("/say/stem/3", {"who": "<b>", "text": "x"}, 422),
        ("/undo", {}, 422),
        ("/next", {"who": "ana"}, 405),
        ("/say/stem/3", {"who": "ana", "text": "x" * 60_000}, 413),
    ],
)
def test_what_cannot_be_said(atlas: Path, tmp_path: Path, address: str, data: dict[str, str], status: int) -> None:
    with Annotations(tmp_path) as kept:
        client = TestClient(make_annotator(atlas, kept), base_url=HERE)
        assert client.post(address, data=data).status_code == status
        assert client.post("/say/stem/3", data=data, headers={"origin": "http://evil.example"}).status_code == 403
        assert kept.words() == []


# Export


def test_exported_layers_are_read_back(atlas: Path, tmp_path: Path) -> None:
    with Annotations(tmp_path / "mine") as kept:
        for name, unit, text in (("bo", 3, "blue"), ("ana", 3, "red, and “more”"), ("ana", 0, "sky")):
            kept.say(name, "body.0", unit, text)
        kept.skip("ana", "stem", 3)
    (folder,) = export_annotations(atlas, tmp_path / "mine", tmp_path / "out")
    read = read_annotated_exemplars(tmp_path / "out", "body.0")
    assert folder == tmp_path / "out" / "body.0"
    assert read.unit_ids.tolist() == [0, 3]
    assert read.annotations == [["sky"], ["red, and “more”", "blue"]]
    opened = Atlas.open(atlas)
    exemplars = opened.exemplars("body.0")
    assert read.ids is not None and read.ids[1].tolist() == exemplars.images[3].tolist()
    assert read.images is not None
    wanted = np.asarray(opened.thumbnail(int(exemplars.images[3, 2]))).transpose(2, 0, 1)
    assert (read.images[1, 2] == wanted).all()
    assert (read.masks[1, :, 0] == exemplars.masks(THUMBNAIL, [3])[0].numpy()).all()


def test_exported_layers_can_be_trained_on(atlas: Path, tmp_path: Path) -> None:
    with Annotations(tmp_path / "mine") as kept:
        for layer, unit in LIVING:
            kept.say("ana", layer, unit, f"squares of {layer}")
    folders = export_annotations(atlas, tmp_path / "mine", tmp_path / "out")
    assert [folder.name for folder in folders] == list(LAYERS)
    corpus = read_annotations(tmp_path / "out", folds=range(10))
    assert sorted(texts[0] for _, texts in corpus.sets) == sorted(f"squares of {layer}" for layer, _ in LIVING)
    assert corpus.images.shape[1:] == (3, 160, 160)


@pytest.mark.parametrize(("held_out", "judged"), [(8, False), (4, True)])  # fold 4 has two units of stem, fold 8 none
def test_a_captioner_learns_from_the_sentences_of_one_person(
    atlas: Path,
    tmp_path: Path,
    held_out: int,
    judged: bool,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("DESCRIBER_DATA", raising=False)
    with Annotations(tmp_path / "mine") as kept:
        for unit in (0, 2, 3, 4):
            kept.say("ana", "stem", unit, "red squares")
    export_annotations(atlas, tmp_path / "mine", tmp_path / "dataset")
    small_captioner().save_pretrained(tmp_path / "start")
    (tmp_path / "mine.yaml").write_text(re.findall(r"```yaml\n(.*?)```", GUIDE.read_text(), re.DOTALL)[0])
    sizes: dict[str, Any] = {"n_sets": 5, "steps": 2, "every": 1, "phrase_steps": 2}
    folds = {"folds": [5, 7], "held_out_folds": [held_out]}
    places = {"data": str(tmp_path), "out": str(tmp_path / "run"), "start": str(tmp_path / "start")}
    captioner = Captioner.from_pretrained(read_recipe(tmp_path / "mine.yaml", **places, **sizes, **folds).train())
    assert sorted(captioner.inventory.phrases) == ["red squares", "squares"]
    log = json.loads((tmp_path / "run" / "log.json").read_text())
    assert (log["steps"], log["best"] is not None) == (2, judged)
    assert ("No held-out set: no phrase that is taught" in capsys.readouterr().err) is not judged


def test_nothing_said_is_no_data_set(atlas: Path, tmp_path: Path) -> None:
    with pytest.raises(DescriberError, match=r"must hold sentences\. Got none"):
        export_annotations(atlas, tmp_path / "mine", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_verb_exports(atlas: Path, tmp_path: Path) -> None:
    with Annotations(tmp_path / "mine") as kept:
        kept.say("ana", "head", 0, "squares")
    options = ["--out", str(tmp_path / "mine"), "--export", str(tmp_path / "out")]
    done = CliRunner().invoke(verbs, ["annotate", str(atlas), *options])
    assert (done.exit_code, done.stdout) == (0, f"{tmp_path / 'out' / 'head'}\n")
    last = CliRunner().invoke(verbs, ["annotate", "--help"]).stdout.rstrip().splitlines()[-1]
    assert last.strip().startswith("Example: describer annotate ")


def test_a_wrong_atlas_leaves_no_folder(tmp_path: Path) -> None:
    for options in ([], ["--export", str(tmp_path / "out")]):
        done = CliRunner().invoke(verbs, ["annotate", str(tmp_path / "none"), *options])
        assert done.exit_code == 2 and "must be an atlas" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_guidelines_of_ones_own(tmp_path: Path) -> None:
    (tmp_path / "g.txt").write_text("Name the cell type.\n\n  Be brief. \n", encoding="utf-8")
    assert read_guidelines(tmp_path / "g.txt") == ("Name the cell type.", "Be brief.")
    (tmp_path / "g.txt").write_bytes(b"\xff\n")
    for name in ("g.txt", "none.txt"):
        with pytest.raises(DescriberError, match="must be a text file"):
            read_guidelines(tmp_path / name)
