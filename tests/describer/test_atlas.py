"""The atlas: whole or not at all, one writer, one key, and readable wherever it lies."""

import errno
import json
import os
import resource
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from describer.atlas import THUMBNAIL, Atlas
from describer.description import Description
from describer.errors import AtlasError
from describer.manifest import FORMAT, Manifest, Source
from describer.unittable import GROUNDED_SCORES, JUDGED_SCORES
from tests.describer.worlds import LAYERS, K, Namer, Squares, make_exemplars, make_manifest

ROOT = Path(__file__).parents[2]
WRITE_ALL = "import sys; from tests.describer.test_atlas import write_all; write_all(sys.argv[1])"


def write_all(path: Path | str, stop_after: int = 99) -> None:
    """What a verb does: go over the layers, write what is not there yet."""
    with Atlas.create(path, make_manifest()) as atlas:
        for layer in [entry.name for entry in atlas.meta.layers if not entry.probed][:stop_after]:
            atlas.write_exemplars(make_exemplars(layer), Squares())
        for layer in [entry.name for entry in atlas.meta.layers if not entry.methods][:stop_after]:
            exemplars = atlas.exemplars(layer)
            atlas.write_descriptions(layer, "caption", Namer().describe(exemplars, Squares()))


def content(path: Path) -> dict[str, Any]:
    """All that an atlas says: its files as bytes, what safetensors and Lance hold (whose bytes vary) as values."""
    files: dict[str, Any] = {"units": Atlas.open(path).units()}
    for file in sorted(path.rglob("*")):
        if not file.is_file() or "units.lance" in file.parts or file.name == ".lock":
            continue
        tensors = load_file(file) if file.suffix == ".safetensors" else None
        content = {name: value.tolist() for name, value in tensors.items()} if tensors else file.read_bytes()
        files[str(file.relative_to(path))] = content
    return files


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("whole") / "atlas"
    write_all(path)
    return path


def test_reads_back_what_was_written(whole: Path) -> None:
    atlas = Atlas.open(whole)
    assert atlas.layers == list(LAYERS)
    for layer, (units, height, width) in LAYERS.items():
        read, wanted = atlas.exemplars(layer), make_exemplars(layer)
        assert torch.equal(read.images, wanted.images)
        assert torch.equal(read.maps, wanted.maps)
        assert read.maps.shape == (units, K, height, width)


def test_rows_are_the_descriptions_in_the_models_order(whole: Path) -> None:
    rows = Atlas.open(whole).units()
    wanted = []
    for layer in LAYERS:  # oracle: one description after the other
        exemplars = make_exemplars(layer)
        for description, row in zip(Namer().describe(exemplars, Squares()), range(len(exemplars)), strict=True):
            expected: dict[str, Any] = {"layer": layer, "unit": row, "id": f"{layer}:{row}", "method": "caption"}
            expected["description"] = description.text
            expected |= {name: description.scores.get(name) for name in ("pmi", "log_prob", "log_prior", "iou")}
            expected |= dict.fromkeys(("formula", "score", *JUDGED_SCORES, "reliable", "withdrawn", *GROUNDED_SCORES))
            expected["activation"] = max(exemplars.activations[row].tolist())
            expected |= {"threshold": exemplars.threshold[row].item(), "dead": row == 1}
            expected["scores"] = {k: v for k, v in description.scores.items() if k == "area"}
            expected["n_best"] = [vars(candidate) for candidate in description.n_best]
            expected["meanings"] = []
            wanted.append(expected)
    assert rows == wanted
    assert [list(row) for row in rows] == [list(wanted[0])] * len(rows)  # the keys come in the documented order
    json.dumps(rows, allow_nan=False)


def test_one_layer_can_be_asked_for(whole: Path) -> None:
    rows = Atlas.open(whole).units("body.0")
    assert [row["id"] for row in rows] == [f"body.0:{unit}" for unit in range(7)]


def test_thumbnails_show_every_exemplar_image_once(whole: Path) -> None:
    used = sorted({int(i) for layer in LAYERS for i in make_exemplars(layer).images.flatten()})
    assert sorted(int(file.stem) for file in (whole / "thumbnails").iterdir()) == used
    thumbnail = Atlas.open(whole).thumbnail(used[0])
    assert (thumbnail.mode, thumbnail.size) == ("RGB", (THUMBNAIL, THUMBNAIL))
    red = Squares().image(used[0]).getpixel((80, 88))
    assert abs(thumbnail.getpixel((92, 111))[0] - red[0]) < 12  # type: ignore[index]


def test_the_table_is_a_lancedb_table(whole: Path) -> None:
    import lancedb

    assert lancedb.connect(whole).open_table("units").count_rows() == sum(units for units, _, _ in LAYERS.values())


def test_same_command_again_changes_nothing(whole: Path, tmp_path: Path) -> None:
    before = content(whole)
    write_all(whole)
    assert content(whole) == before


def test_goes_on_layer_by_layer(whole: Path, tmp_path: Path) -> None:
    path = tmp_path / "atlas"
    for _ in range(2 * len(LAYERS)):
        write_all(path, stop_after=1)
    assert content(path) == content(whole)


@pytest.mark.slow
def test_killed_anywhere_the_same_command_ends_with_the_same_atlas(whole: Path, tmp_path: Path) -> None:
    """The writer is killed (SIGKILL) by itself at the n-th call that changes the disk, for every n."""
    killer = (
        "import os, sys\n"
        "import PIL.Image, safetensors.torch\n"
        "from tests.describer.test_atlas import write_all\n"
        "import describer.unittable as unittable\n"
        "left = int(sys.argv[2])\n"
        "def counting(real):\n"
        "    def call(*a, **k):\n"
        "        global left\n"
        "        left -= 1\n"
        "        if left == 0: os.kill(os.getpid(), 9)\n"
        "        result = real(*a, **k)\n"
        "        left -= 1\n"
        "        if left == 0: os.kill(os.getpid(), 9)\n"
        "        return result\n"
        "    return call\n"
        "os.replace = counting(os.replace)\n"
        "os.fsync = counting(os.fsync)\n"
        "unittable.UnitTable.replace = counting(unittable.UnitTable.replace)\n"
        "write_all(sys.argv[1])\n"
        "print(left)"
    )
    wanted, killed = content(whole), 0
    for call in (1, 66, 90, 95, 97, 101, 999):
        path = tmp_path / str(call)
        done = subprocess.run([sys.executable, "-c", killer, str(path), str(call)], check=False, cwd=ROOT)
        killed += done.returncode == -signal.SIGKILL
        write_all(path)
        assert content(path) == wanted, call
    assert killed == 6


@pytest.mark.parametrize("delay", [0.02, 0.06, 0.15, 0.3])
def test_killed_by_the_clock(whole: Path, tmp_path: Path, delay: float) -> None:
    path = tmp_path / "atlas"
    process = subprocess.Popen([sys.executable, "-c", WRITE_ALL, str(path)], cwd=ROOT)
    while not path.exists() and process.poll() is None:
        time.sleep(0.002)
    time.sleep(delay)
    process.kill()
    process.wait()
    write_all(path)
    assert content(path) == content(whole)


def test_rows_of_an_unfinished_layer_are_not_shown_and_are_replaced(whole: Path, tmp_path: Path) -> None:
    path = tmp_path / "atlas"
    with Atlas.create(path, make_manifest()) as atlas:
        for layer in LAYERS:
            atlas.write_exemplars(make_exemplars(layer), Squares())
        stale = [Description("stem", unit, "of a killed run", "caption") for unit in range(9)]
        from describer.unittable import make_row

        atlas._table.replace("stem", "caption", [make_row(d, None, None, False) for d in stale])
    assert Atlas.open(path).units() == []
    write_all(path)
    assert content(path) == content(whole)


def test_another_layer_and_another_method_join(whole: Path, tmp_path: Path) -> None:
    path = tmp_path / "atlas"
    with Atlas.create(path, make_manifest(layers=("head",))) as atlas:
        exemplars = make_exemplars("head")
        atlas.write_layer("head", exemplars, Namer().describe(exemplars, Squares()), Squares())
    write_all(path)  # head comes last in the model, though it was first here
    assert content(path) == content(whole)
    formulas = replace(make_manifest(layers=("stem",)), methods={"formula": {"length": 3}})
    with Atlas.create(path, formulas) as atlas:
        given = [Description("stem", unit, f"not {unit}", "formula", {"iou": 0.5}) for unit in range(5)]
        atlas.write_descriptions("stem", "formula", given)
    rows = Atlas.open(path).units("stem")
    assert [(row["unit"], row["method"]) for row in rows] == [
        (unit, method) for unit in range(5) for method in ("caption", "formula")
    ]


# Other keys


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"model": Source("nets.py:other", "model-2")}, "model nets.py:other (the atlas: nets.py:small)"),
        ({"model": Source("nets.py:small", "model-2")}, "model nets.py:small with another content than then"),
        ({"images": Source("circles", "images-2")}, "images circles (the atlas: squares)"),
        ({"options": {"k": 7, "quantile": 0.99}}, "k=7 (the atlas: 4)"),
        ({"options": {"k": 4, "quantile": 0.99, "compat": "milan"}}, "compat=milan (the atlas: none)"),
        ({"methods": {"caption": {"describer": "namer", "lambda": 1.0}}}, "caption lambda=1.0 (the atlas: 0.5)"),
        ({"package": "9.9"}, "version=9.9 (the atlas: 0.1.0)"),
    ],
)
def test_what_differs_is_named(whole: Path, change: dict[str, Any], told: str) -> None:
    with pytest.raises(AtlasError) as caught:
        Atlas.create(whole, replace(make_manifest(), **change))
    assert str(caught.value) == (
        f"{whole} must be continued with what it was begun with. Got {told}. Repeat what it has, or name another --out."
    )


def test_what_came_to_nothing_does_not_bind(tmp_path: Path) -> None:
    Atlas.create(tmp_path / "a", make_manifest()).close()
    other = make_manifest({"k": 7})
    with Atlas.create(tmp_path / "a", other) as atlas:
        assert atlas.meta == other


@pytest.mark.parametrize(("format", "advice"), [(FORMAT + 1, "Install a newer describer."), (0, "Describe the model")])
def test_another_format_is_one_line(whole: Path, tmp_path: Path, format: int, advice: str) -> None:
    text = json.loads((whole / "atlas.json").read_text()) | {"format": format, "novel": 1}
    (tmp_path / "atlas.json").write_text(json.dumps(text))
    for action in (lambda: Atlas.open(tmp_path), lambda: Atlas.create(tmp_path, make_manifest())):
        with pytest.raises(AtlasError, match=rf"must be an atlas of format 1. Got format {format}. {advice}") as caught:
            action()
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"format": 1}', '{"format": 1, "model": {"nam": ""}}'])
def test_broken_json_is_one_line(tmp_path: Path, text: str) -> None:
    (tmp_path / "atlas.json").write_text(text)
    with pytest.raises(AtlasError) as caught:
        Atlas.open(tmp_path)
    assert "\n" not in str(caught.value)


def test_no_atlas_there(tmp_path: Path) -> None:
    with pytest.raises(AtlasError, match=r"must be an atlas. Got no such folder. Make one with: describer describe"):
        Atlas.open(tmp_path / "none")
    with pytest.raises(AtlasError, match=r"Got a folder without atlas.json"):
        Atlas.open(tmp_path)


def test_foreign_folders_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("x")
    with pytest.raises(AtlasError, match=r"must be new, empty or an atlas. Got a folder with thesis.tex"):
        Atlas.create(tmp_path, make_manifest())
    with pytest.raises(AtlasError, match=r"must be a folder. Got a file"):
        Atlas.create(tmp_path / "thesis.tex", make_manifest())
    assert [file.name for file in tmp_path.iterdir()] == ["thesis.tex"]


def test_missing_table_or_exemplars_are_told(whole: Path, tmp_path: Path) -> None:
    (tmp_path / "atlas.json").write_bytes((whole / "atlas.json").read_bytes())
    with pytest.raises(AtlasError, match=r"must hold its table units.lance"):
        Atlas.open(tmp_path).units()
    with pytest.raises(AtlasError, match=r"must hold exemplars"):
        Atlas.open(tmp_path).exemplars("stem")
    with pytest.raises(AtlasError, match=r"must hold the thumbnail of image 3"):
        Atlas.open(tmp_path).thumbnail(3)


# Writers


def test_second_writer_is_refused_here_and_elsewhere(tmp_path: Path) -> None:
    path = tmp_path / "atlas"
    with Atlas.create(path, make_manifest()):
        with pytest.raises(AtlasError, match=f"must have one writer. Got a second: process {os.getpid()}"):
            Atlas.create(path, make_manifest())
        other = subprocess.run(
            [sys.executable, "-c", WRITE_ALL, str(path)], check=False, cwd=ROOT, capture_output=True, text=True
        )
        assert f"process {os.getpid()} is writing it" in other.stderr
    write_all(path)


def test_opened_to_read_cannot_be_written(whole: Path) -> None:
    with pytest.raises(AtlasError, match=r"opened with Atlas.create"):
        Atlas.open(whole).write_exemplars(make_exemplars("stem"), Squares())


def test_descriptions_must_be_those_of_the_units(tmp_path: Path) -> None:
    with Atlas.create(tmp_path / "atlas", make_manifest()) as atlas:
        atlas.write_exemplars(make_exemplars("head"), Squares())
        for given in ([], [Description("head", 0, "x", "caption")] * 3, [Description("head", 3, "x", "caption")]):
            with pytest.raises(ValueError, match=r"must get one caption description a unit"):
                atlas.write_descriptions("head", "caption", given)
        with pytest.raises(AtlasError, match=r"must be probed"):
            atlas.write_descriptions("stem", "caption", [])


def test_read_only_atlas_is_readable(whole: Path) -> None:
    reader = (
        "import lancedb, os, sys; from describer.atlas import Atlas\n"
        "if os.geteuid() == 0: os.setuid(65534)\n"  # root may write anywhere
        "atlas = Atlas.open(sys.argv[1])\n"
        "read = len(atlas.units()), atlas.thumbnail(3).size, len(atlas.exemplars('head'))\n"
        "print(os.access(sys.argv[1], os.W_OK), *read)"
    )
    folders = [whole, *(folder for folder in whole.rglob("*") if folder.is_dir())]
    for folder in [*(folder for folder in whole.parents if "pytest" in str(folder)), *folders]:
        folder.chmod(0o755)
    for folder in folders:
        folder.chmod(0o555)
    try:
        command = [sys.executable, "-c", reader, str(whole)]
        done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=ROOT)
    finally:
        for folder in folders:
            folder.chmod(0o755)
    assert done.stdout.strip() == "False 15 (112, 112) 3", done.stderr


# Disk


@pytest.mark.parametrize("failing", [1, 2, 3, 25, 30, 34])
def test_full_disk_is_one_sentence_and_keeps_finished_layers(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: int
) -> None:
    path, real, calls = tmp_path / "atlas", os.replace, 0

    def full(source: Any, target: Any) -> None:
        nonlocal calls
        calls += 1
        if calls >= failing:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(source, target)

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(AtlasError) as caught:
        write_all(path)
    assert str(caught.value) == (
        f"{path} could not be written: No space left on device. Finished layers are kept. "
        "Make room, then repeat the same command to go on."
    )
    assert not list(path.rglob(".part-*"))
    monkeypatch.undo()
    write_all(path)
    assert content(path) == content(whole)


def test_full_disk_while_the_table_is_written(whole: Path, tmp_path: Path) -> None:
    path = tmp_path / "atlas"
    with Atlas.create(path, make_manifest()) as atlas:
        for layer in LAYERS:
            atlas.write_exemplars(make_exemplars(layer), Squares())
    done = subprocess.run(
        [sys.executable, "-c", WRITE_ALL, str(path)],
        check=False, cwd=ROOT, capture_output=True, text=True,
        env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1"},  # else compiled modules are cut short too
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000)),
    )  # fmt: skip
    assert f"AtlasError: {path} could not be written: File too large. Finished layers are kept." in done.stderr
    write_all(path)
    assert content(path) == content(whole)


# Finding units


def test_locate(whole: Path) -> None:
    atlas = Atlas.open(whole)
    assert atlas.locate("body.0:6") == ("body.0", 6)
    for unit_id, told in {
        "body.0:7": r"body.0 must have the unit. Got 7 of 7 described. Nearest: body.0:4, body.0:5, body.0:6.",
        "bdy.0:1": r"must have the layer. Got 'bdy.0'. Nearest: body.0",
        "body.0": r"a unit must be given as LAYER:UNIT. Got 'body.0'. Try stem:0.",
        "body.0:x": r"a unit must be given as LAYER:UNIT. Got 'body.0:x'. Try stem:0.",
    }.items():
        with pytest.raises(AtlasError, match=told):
            atlas.locate(unit_id)


def test_manifest_reads_what_it_wrote(tmp_path: Path) -> None:
    (manifest := replace(make_manifest(), skipped=(3, 5))).write(tmp_path)
    assert Manifest.read(tmp_path) == manifest


def test_empty_layer_and_no_layers(tmp_path: Path) -> None:
    with Atlas.create(tmp_path / "atlas", make_manifest()) as atlas:
        atlas.write_layer("head", make_exemplars("head").subset([]), [], Squares())
        atlas.write_descriptions("head", "caption", [])
    assert Atlas.open(tmp_path / "atlas").units() == []
