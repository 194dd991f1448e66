"""The verb translate, with carried players and no data."""

import inspect
import json
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from describer import cli
from describer.errors import DescriberError


def test_translate_prints_tables_and_saves_a_picture(tmp_path: Path) -> None:
    out = tmp_path / "birds.png"
    done = CliRunner().invoke(
        cli.app, ["translate", "birds", "--seeds", "1", "--games", "53", "--data", str(tmp_path), "--out", str(out)]
    )
    assert done.exit_code == 0, done.exception
    for told in ("Translator in the loop (R agent, H model human)", "Belief evaluation", "belief, top 5", "53 games"):
        assert told in done.stdout
    with Image.open(out) as picture:
        assert picture.width > 300


def test_translate_as_json_is_one_object_a_line(tmp_path: Path) -> None:
    done = CliRunner().invoke(
        cli.app, ["translate", "birds", "--seeds", "1", "--games", "53", "--data", str(tmp_path), "--json"]
    )
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    told = {(row["speaker"], row["listener"], row["criterion"], row["k"]) for row in rows if row["kind"] == "row"}
    expected = {("R", "R", "native", 1), ("H", "H", "native", 1)}
    criteria = ("random", "direct", "pmi", "belief")
    expected |= {(*pair, name, k) for pair in (("R", "H"), ("H", "R")) for name in criteria for k in (1, 5)}
    assert told == expected
    assert all(row["low"] <= row["value"] <= row["high"] for row in rows if row["kind"] == "row")


def test_an_unknown_game_is_told() -> None:
    fault = CliRunner().invoke(cli.app, ["translate", "chess"]).exception
    assert isinstance(fault, (DescriberError, SystemExit))


def test_help_ends_in_an_example_and_demo_names_the_verb() -> None:
    last = CliRunner().invoke(cli.app, ["translate", "--help"]).stdout.rstrip().splitlines()[-1]
    assert last.strip() == "Example: describer translate colors --out colors.png"
    assert "describer translate colors" in inspect.getsource(cli.demo)


@pytest.mark.parametrize("option", [("--seeds", "0"), ("--games", "0")])
def test_wrong_numbers_are_refused(option: tuple[str, str]) -> None:
    assert CliRunner().invoke(cli.app, ["translate", "birds", *option]).exit_code == 2
