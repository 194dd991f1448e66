"""The verbs: results on stdout, faults in one line on stderr with exit code 2, help at once and with an example."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from typer.testing import CliRunner

from describer import __version__
from describer.atlas import Atlas
from describer.cli import app
from tests.describer.worlds import LAYERS, Namer, Squares, make_exemplars, make_manifest

ROOT = Path(__file__).parents[2]
VERBS = ("demo", "layers", "describe", "units", "show", "train")
COMMAND = [sys.executable, "-c", "from describer.cli import main; main()"]


def run(*arguments: object) -> Any:
    """What a verb prints and answers; its stdout, stderr and exit_code."""
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def refused(*arguments: object) -> str:
    """The one line with which a verb refuses; nothing on stdout, no traceback, exit code 2."""
    done = run(*arguments)
    assert (done.exit_code, done.stdout) == (2, ""), (done.stdout, done.stderr, done.exception)
    assert done.stderr.startswith("describer: ") and done.stderr.endswith("\n") and done.stderr.count("\n") == 1
    return str(done.stderr).removeprefix("describer: ").rstrip("\n")


@pytest.fixture(scope="module")
def atlas(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("verbs") / "atlas"
    with Atlas.create(path, make_manifest()) as atlas:
        for layer in LAYERS:
            exemplars = make_exemplars(layer)
            atlas.write_layer(layer, exemplars, Namer().describe(exemplars, Squares()), Squares())
    return path


# Help


@pytest.mark.parametrize("verb", ["", *VERBS])
def test_help_ends_in_an_example(verb: str) -> None:
    done = run(*filter(None, [verb]), "--help")
    assert done.exit_code == 0
    last = [line for line in done.stdout.splitlines() if line.strip()][-1]
    assert last.strip().startswith(f"Example: describer {verb}")
    assert max(map(len, done.stdout.splitlines())) <= 100


def test_no_verb_is_help() -> None:
    assert run().stdout == run("--help").stdout


def test_version() -> None:
    assert run("--version").stdout == f"describer {__version__}\n"


def test_help_imports_nothing_heavy() -> None:
    heavy = "torch", "numpy", "rich", "PIL", "pyarrow"
    code = f"import sys, describer.cli; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=ROOT)
    assert done.stdout == "[]\n"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["units"], "Missing argument 'ATLAS'. See: describer units --help"),
        (["units", "a", "--jsno"], "No such option: --jsno Did you mean --json? See: describer units --help"),
        (["descibe"], "No such command 'descibe'. Did you mean 'describe'? See: describer --help"),
        (["describe", "m", "i"], "Missing option '--out'. See: describer describe --help"),
    ],
)
def test_wrong_usage_is_one_line(arguments: list[str], told: str) -> None:
    assert refused(*arguments).replace("(Possible options: --json)", "Did you mean --json?") == told


# units


def test_units_prints_one_line_a_unit(atlas: Path) -> None:
    lines = run("units", atlas).stdout.splitlines()
    rows = Atlas.open(atlas).units()
    assert lines[0].split() == ["unit", "description", "PMI", "peak"]
    assert len(lines) == 1 + len(rows)
    for line, row in zip(lines[1:], rows, strict=True):
        shown = row["description"] or ("(dead)" if row["dead"] else "(no reliable description)")
        numbers = [] if row["pmi"] is None else [f"{row['pmi']:.2f}"]
        assert line.split() == [row["id"], *shown.split(), *numbers, f"{row['activation']:.3g}"]


def test_units_as_json_are_the_rows(atlas: Path) -> None:
    for arguments, rows in (((), Atlas.open(atlas).units()), (("--layer", "head"), Atlas.open(atlas).units("head"))):
        done = run("units", atlas, "--json", *arguments)
        assert [json.loads(line) for line in done.stdout.splitlines()] == rows
        assert done.stderr == ""


def test_units_faults(atlas: Path, tmp_path: Path) -> None:
    told = refused("units", atlas, "--layer", "body.1")
    assert told.startswith(f"{atlas} must have the layer. Got 'body.1'. Nearest: body.0")
    told = refused("units", tmp_path / "none")
    assert told.endswith(
        f"Got no such folder. Make one with: describer describe MODEL IMAGES --out {tmp_path / 'none'}"
    )


# show


def test_show_prints_words_scores_and_candidates(atlas: Path) -> None:
    row = Atlas.open(atlas).units("body.0")[3]
    done = run("show", atlas, "body.0:3")
    assert done.stdout.splitlines()[:3] == [
        "body.0:3  caption",
        f"  {row['description']}",
        f"  PMI {row['pmi']:.2f} nats",
    ]
    for candidate in row["n_best"]:
        assert any(
            line.startswith(candidate["text"]) and f"{candidate['pmi']:.2f}" in line
            for line in done.stdout.splitlines()
        )


def test_show_draws_the_exemplar_grid(atlas: Path, tmp_path: Path) -> None:
    done = run("show", atlas, "body.0:3", "--out", tmp_path / "unit.png", "--json")
    assert json.loads(done.stdout) == Atlas.open(atlas).units("body.0")[3]
    assert done.stderr == f"Picture: {tmp_path / 'unit.png'}\n"
    with Image.open(tmp_path / "unit.png") as picture:
        assert picture.size[0] > 4 * 100


def test_show_faults(atlas: Path, tmp_path: Path) -> None:
    assert refused("show", atlas, "head:3") == (
        "head must have the unit. Got 3 of 3 described. Nearest: head:0, head:1, head:2."
    )
    assert "Nearest: head" in refused("show", atlas, "haed:3")
    assert refused("show", atlas, "head") == "a unit must be given as LAYER:UNIT. Got 'head'. Try stem:0."
    for name in ("unit.xyz", "no/such/folder/unit.png"):
        done = run("show", atlas, "head:0", "--out", tmp_path / name)
        assert done.exit_code == 2
        assert "--out must name a picture file to write" in done.stderr


# Ends


def test_traceback_on_request(atlas: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DESCRIBER_TRACEBACK", "1")
    done = run("show", atlas, "head:3")
    assert done.exit_code == 2
    assert "Traceback (most recent call last)" in done.stderr


def test_interrupt_is_one_line_and_130(atlas: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Atlas, "open", interrupted)
    done = run("units", atlas)
    assert (done.exit_code, done.stderr) == (130, "describer: stopped\n")
    monkeypatch.setattr("describer.training.train", interrupted)
    done = run("train", "recipe.yaml")
    assert (done.exit_code, done.stderr) == (130, "describer: stopped; the same command goes on from here\n")


def test_reader_that_stops_reading_is_no_fault(atlas: Path) -> None:
    command = [*COMMAND, "units", str(atlas), "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT) as process:
        assert process.stdout and process.stderr
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 0


def test_real_process_prints_results_and_faults_apart(atlas: Path) -> None:
    done = subprocess.run(
        [*COMMAND, "units", str(atlas), "--layer", "nope"],
        check=False, capture_output=True, text=True, cwd=ROOT, env=os.environ | {"COLUMNS": "40"},
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)


def test_train_faults(tmp_path: Path) -> None:
    assert refused("train", tmp_path / "none.yaml").startswith("a recipe must be a YAML file.")
