"""The methods concept and formula, by the call and by the verb: rows, resuming, examples, and inputs that cannot be."""

import json
import os
import socket
import subprocess
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from describer.atlas import Atlas
from describer.data.concepts import load_concepts
from describer.data.images import load_images
from describer.data.targets import load_target
from describer.describe import describe
from describer.errors import DescriberError
from describer.picture import exemplar_grid, unit_card
from describer.probe import ProbeSettings
from describer.search.describers import FormSettings, form_describers
from describer.search.dissect import DissectSettings
from describer.search.dissection import open_dissections
from describer.search.examples import KINDS, read_examples
from describer.search.forms import parse
from describer.search.formulas import search_formulas
from tests.data.labelled import encoded
from tests.describer.test_atlas import content
from tests.describer.test_cli import COMMAND, ROOT, refused, run
from tests.search.test_dissect import NET

SCENES = "scenes:13:5"
FEW = DissectSettings(quantile=0.9, size=31, k=3, n_shifts=3)


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("net") / "net.py"
    path.write_text(NET)
    return f"{path}:load"


def arguments(net: str, out: Path, *more: object) -> list[object]:
    return ["describe", net, "scenes:11:3", "--out", out, "--k", 3, "--device", "cpu", "--layers", "body", *more]


@pytest.fixture(scope="module")
def atlas(net: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("forms") / "atlas"
    forms = ("--method", "concept,formula", "--concepts", f"{SCENES}", "--max-length", 2, "--shifts", 3, "--optimal")
    done = run(*arguments(net, path, *forms))
    assert done.exit_code == 0, (done.stderr, done.exception)
    assert "7 units, concept:" in done.stdout and "7 units, formula:" in done.stdout
    return path


def test_rows_have_what_was_measured(atlas: Path) -> None:
    rows = Atlas.open(atlas).units()
    (dissection,) = open_dissections(atlas)
    layer, table = dissection.layer("body"), dissection.table
    names = ("iou", "detection_accuracy", "coverage", "chance_iou", "p_value")
    told = [row for row in rows if row["description"] is not None]
    assert {row["method"] for row in told} == {"concept", "formula"} and len(rows) == 14
    for row in told:
        form = parse(row["formula"])
        mask = table.mask(form)
        counts = layer.counts.counts[[row["unit"]]].toarray()[0]
        both, of_form, of_unit = int(counts[mask].sum()), int(table.sizes[mask].sum()), int(counts.sum())
        assert row["description"] == row["formula"] == str(form)
        assert row["iou"] == pytest.approx(both / (of_form + of_unit - both))
        assert row["detection_accuracy"] == pytest.approx(both / of_form)
        assert row["coverage"] == pytest.approx(both / of_unit)
        assert all(0 <= row[name] <= 1 for name in names) and row["p_value"] * 4 == int(row["p_value"] * 4)
        if row["method"] == "formula":
            assert row["upper_bound"] >= row["score"] == row["iou"] and form.length <= 2
        else:
            assert row["upper_bound"] is None and form.length == 1
            assert row["category_iou"] >= row["iou"] - 1e-12
    by_unit = {(row["unit"], row["method"]): row["iou"] for row in told}
    for (unit, method), iou in by_unit.items():
        assert method == "concept" or iou >= by_unit[unit, "concept"]


def test_forms_can_be_searched_again_without_model_or_pictures(atlas: Path) -> None:
    (dissection,) = open_dissections(atlas)
    longer = search_formulas(dissection.table, dissection.layer("body").counts, max_length=4)
    for row in Atlas.open(atlas).units():
        if row["method"] == "formula" and row["iou"] is not None:
            assert longer[row["unit"]].iou >= row["iou"] - 1e-12


def test_verb_and_call_are_one(net: str, atlas: Path, tmp_path: Path) -> None:
    concepts = load_concepts(SCENES)
    settings = FormSettings(max_length=2, optimal=True)
    describers = form_describers(concepts, ["concept", "formula"], settings, DissectSettings(n_shifts=3))
    stages: dict[str, tuple[int, int]] = {}

    def progress(stage: str, done: int, total: int) -> None:
        stages[stage] = (done, total)

    target, images = load_target(net), load_images("scenes:11:3")
    probing = ProbeSettings(k=3)
    made = describe(target, images, tmp_path / "a", describers, layers=["body"], settings=probing, progress=progress)
    assert made.units() == Atlas.open(atlas).units()
    assert stages["thresholds"] == stages["labels"] == stages["dissecting"] == (13, 13)
    assert stages["concept of body"] == stages["formula of body"]


def test_the_same_command_goes_on(net: str, atlas: Path, tmp_path: Path) -> None:
    """Killed after the dissection of one layer and the concepts of it: the end is the same."""
    forms = ("--method", "concept", "--concepts", SCENES, "--shifts", 3)
    first = run(*arguments(net, tmp_path / "a", *forms))
    assert first.exit_code == 0, first.stderr
    (before,) = open_dissections(tmp_path / "a")
    written = (before.folder / "table.safetensors").stat().st_mtime_ns
    more = ("--method", "concept,formula", "--concepts", SCENES, "--shifts", 3, "--max-length", 2, "--optimal")
    assert run(*arguments(net, tmp_path / "a", *more)).exit_code == 0
    assert Atlas.open(tmp_path / "a").units() == Atlas.open(atlas).units()
    assert (before.folder / "table.safetensors").stat().st_mtime_ns == written
    told = refused(*arguments(net, tmp_path / "a", *more[:-3], "--max-length", 3))
    assert "formula max_length=3 (the atlas: 2)" in told and "optimal" in told


class StoppedError(Exception):
    """As if the process had died."""


def test_stopped_at_any_stage_the_same_call_ends_with_the_same_atlas(net: str, tmp_path: Path) -> None:
    concepts, target, images = load_concepts(SCENES), load_target(net), load_images("scenes:11:3")
    settings = FormSettings(max_length=2)

    def made(path: Path, stop: str | None) -> None:
        def progress(stage: str, done: int, total: int) -> None:
            if stage == stop and done:
                raise StoppedError(stage)

        describers = form_describers(concepts, ["concept", "formula"], settings, FEW)
        layers = ["stem", "body"]
        describe(target, images, path, describers, layers=layers, settings=ProbeSettings(k=3), progress=progress)

    made(tmp_path / "whole", None)
    for stop in ("thresholds", "labels", "dissecting", "concept of body", "formula of stem", "formula of body"):
        with pytest.raises(StoppedError, match=stop):
            made(tmp_path / "stopped", stop)
    made(tmp_path / "stopped", None)
    assert content(tmp_path / "stopped") == content(tmp_path / "whole")


@pytest.mark.slow
def test_two_processes_end_with_the_same_atlas(net: str, tmp_path: Path) -> None:
    forms = ("--method", "concept,formula", "--concepts", SCENES, "--max-length", 2, "--shifts", 2, "--batch-size", 3)
    assert run(*arguments(net, tmp_path / "one", *forms)).exit_code == 0
    command = [*COMMAND, *map(str, arguments(net, tmp_path / "two", *forms))]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = os.environ | {
        "WORLD_SIZE": "2",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "OMP_NUM_THREADS": "1",
    }
    both = [subprocess.Popen(command, cwd=ROOT, env=shared | {"RANK": r, "LOCAL_RANK": r}) for r in "01"]
    assert [process.wait(timeout=300) for process in both] == [0, 0]
    (one,), (two,) = open_dissections(tmp_path / "one"), open_dissections(tmp_path / "two")
    assert one.folder.name == two.folder.name
    mine, theirs = one.layer("body"), two.layer("body")
    assert (mine.counts.counts != theirs.counts.counts).nnz == 0 and np.array_equal(mine.fires, theirs.fires)
    assert all((a.counts != b.counts).nnz == 0 for a, b in zip(mine.shifted, theirs.shifted, strict=True))
    assert Atlas.open(tmp_path / "one").units() == Atlas.open(tmp_path / "two").units()


def test_show_tells_and_draws_examples(atlas: Path, tmp_path: Path) -> None:
    row = next(r for r in Atlas.open(atlas).units() if r["method"] == "formula" and r["description"])
    (dissection,) = open_dissections(atlas)
    examples = read_examples(dissection, "body", "formula")
    assert examples is not None
    place = int(np.flatnonzero(examples.unit_ids == row["unit"])[0])
    done = run("show", atlas, row["id"], "--out", tmp_path / "unit.png")
    assert f"IoU {row['iou']:.4f}" in done.stdout
    told = json.loads(run("show", atlas, row["id"], "--json").stdout.splitlines()[1])
    for kind in KINDS:
        there = [image for image in examples.images[kind][place].tolist() if image >= 0]
        assert told["examples"][kind] == there
        line = next(line for line in done.stdout.splitlines()[::-1] if line.strip().startswith(kind.replace("_", " ")))
        assert line.split(":")[1].split() == (list(map(str, there)) or ["none"])
    with Image.open(tmp_path / "unit.png") as picture:
        alone = exemplar_grid(unit_card(Atlas.open(atlas), "body", row["unit"]))
        assert picture.height > alone.height + 80


def test_units_reports_unique_detectors(atlas: Path, tmp_path: Path) -> None:
    from describer.search.iou import best_by_category, category_ious

    done = run("units", atlas, "--report", tmp_path / "report.png")
    assert done.exit_code == 0, done.stderr
    (dissection,) = open_dissections(atlas)
    best = best_by_category(dissection.table, category_ious(dissection.table, dissection.layer("body").counts))
    expected: dict[str, set[str]] = {}
    for of_unit in best:
        if of_unit:
            category, (name, iou) = max(of_unit.items(), key=lambda each: each[1][1])
            if iou > 0.04:
                expected.setdefault(category, set()).add(name)
    lines = {line.split()[1]: line.split() for line in done.stdout.splitlines()[1:] if line.startswith("body")}
    assert {c: int(words[2]) for c, words in lines.items() if int(words[2])} == {c: len(n) for c, n in expected.items()}
    with Image.open(tmp_path / "report.png") as picture:
        assert picture.width > 400
    as_json = [
        json.loads(line) for line in run("units", atlas, "--report", tmp_path / "r.png", "--json").stdout.splitlines()
    ]
    assert {row["category"]: set(row["concepts"]) for row in as_json if row["concepts"]} == expected


# What cannot be


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (("--method", "formula"), "The method formula must have labelled pictures. Got no --concepts."),
        (("--method", "caption", "--concepts", SCENES), "must go with one of concept, formula, translation. Got"),
        (("--concepts", "none/", "--method", "concept"), "Got 'none/', with neither. Check the path."),
        (
            ("--concepts", SCENES, "--method", "formula", "--max-length", 0),
            "max_length and beam_size must be at least 1.",
        ),
        (("--concepts", SCENES, "--method", "formula", "--shifts", -1), "n_shifts at least 0"),
    ],
)
def test_options_that_cannot_be(net: str, tmp_path: Path, more: tuple[object, ...], told: str) -> None:
    assert told in refused(*arguments(net, tmp_path / "a", *more))
    assert not (tmp_path / "a").exists()


def test_methods_that_are_none() -> None:
    with pytest.raises(DescriberError, match=r"method must be concept or formula\. Got 'caption'"):
        form_describers(load_concepts("scenes:2:1"), ["caption"])


def flat(root: Path, ids: np.ndarray, names: dict[str, str]) -> Path:
    """One kind of mask under five grey pictures."""
    root.mkdir()
    images = [encoded(np.full((17, 19, 3), 20 * i, np.uint8)) for i in range(5)]
    pq.write_table(pa.table({"image": images, "mask": [encoded(ids)] * 5}), root / "a.parquet")
    (root / "labels.json").write_text(json.dumps(names))
    return root


def test_no_unit_fires_and_an_empty_concept(net: str, tmp_path: Path) -> None:
    """Units that are the same everywhere on the labelled pictures have no form; a concept nowhere is never told."""
    ids = np.zeros((17, 19), np.uint8)
    ids[3:9, 4:] = 1
    source = flat(tmp_path / "flat", ids, {"1": "band", "2": "nowhere"})
    forms = ("--concepts", source, "--method", "concept,formula", "--shifts", 1)
    done = run(*arguments(net, tmp_path / "a", *forms))
    assert done.exit_code == 0, done.stderr
    rows = Atlas.open(tmp_path / "a").units()
    assert rows and not any("nowhere" in (row["formula"] or "") for row in rows)
    (dissection,) = open_dissections(tmp_path / "a")
    silent = dissection.layer("body").counts.areas == 0
    assert silent.any()
    for row in rows:
        if silent[row["unit"]]:
            assert row["description"] is None and row["iou"] is None and row["formula"] is None


def test_ids_without_names_and_masks_of_another_size(net: str, tmp_path: Path) -> None:
    ids = np.full((17, 19), 7, np.uint8)
    source = flat(tmp_path / "unnamed", ids, {"1": "band"})
    told = refused(*arguments(net, tmp_path / "a", "--concepts", source, "--method", "concept"))
    assert "Every label must have a name. Got object 7 in picture 0" in told
    source = flat(tmp_path / "small", ids[:-1], {"7": "band"})
    told = refused(*arguments(net, tmp_path / "b", "--concepts", source, "--method", "concept"))
    assert "A mask must be as large as its picture, 19x17. Got 19x16 for picture 0" in told
