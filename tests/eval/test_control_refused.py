"""What an edit refuses, as a person meets it: one line on stderr, nothing on stdout, exit 2."""

import json
from pathlib import Path
from typing import ClassVar

import pytest
from PIL import Image
from typer.testing import CliRunner

from describer.cli import app
from describer.data.images import load_images
from describer.describe import describe
from describer.description import Description
from describer.eval.control.edit import EditPlan, edit
from describer.probe import ProbeSettings
from tests.eval.described import PAINTER

UNFIT = f"{Path(__file__).parent / 'unfit.py'}:make"


class Vague:
    """A describer that says the same of every unit."""

    method = "caption"
    key: ClassVar = {"describer": "vague"}

    def describe(self, exemplars, images, progress=None):
        return [Description(exemplars.layer, unit, "things", self.method) for unit in exemplars.unit_ids.tolist()]


@pytest.fixture(scope="module")
def vague(target, tmp_path_factory):
    """An atlas in which every unit is said to be the same."""
    images, settings = load_images("latents:97:5", target), ProbeSettings(k=3)
    path = tmp_path_factory.mktemp("vague") / "atlas"
    return describe(target, images, path, [Vague()], layers=["layer1"], settings=settings).path


def refused(*arguments):
    """The one line that is said."""
    done = CliRunner().invoke(app, list(arguments))
    assert (done.exit_code, done.stdout, done.stderr.count("\n")) == (2, "", 1), done.output
    return done.stderr


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--query", "bwon"], "none of 11 does. The nearest descriptions: brown"),
        (["--query", "and"], "must have words"),
        (["--query", "brown", "--units", "layer1:0"], "Got both or none"),
        (["--units", "layer1:1", "--min-score", ".1", "--how", "meaning"], "Got --how, --min-score too"),
        (["--query", "brown", "--penalty", ".3"], "must come with --optimize"),
        (["--units", "layer1:11"], "Got 11 of 11 described. Nearest: layer1:8"),
        (["--query", "brown", "--where", "class:boats"], "It has: black"),
        (["--query", "brown", "--where", "nowhere.png"], "mask picture or class:NAME"),
        (["--query", "brown", "--scale", "nan"], "must be a number or insert"),
        (["--query", "brown", "--top", "1", "--scale", "1e39"], "must draw finite pixels"),
    ],
)
def test_edits_that_cannot_be_done(atlas, options, told):
    assert told in refused("edit", PAINTER, "--atlas", str(atlas.path), *options)


def test_a_mask_of_another_aspect(atlas, tmp_path):
    Image.new("L", (30, 20), 255).save(tmp_path / "wide.png")
    said = refused(
        "edit", PAINTER, "--atlas", str(atlas.path), "--query", "brown", "--where", str(tmp_path / "wide.png")
    )
    assert "aspect of the pictures, 20x20. Got 30x20" in said


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--query", "brown", "--out", "x.foo"], "an ending that stands for no kind of picture: '.foo'"),
        (["--query", "brown", "--out", "nowhere/x.png"], "a folder that is not there"),
        (["--query", "brown", "--out", ""], "no file's name"),
        (["--query", "brown", "--how", "trial", "--scale", "4"], "whole cuts do. Got --scale 4"),
        (["--query", "brown", "--how", "trial", "--where", "class:red"], "whole cuts do. Got --where"),
        (["--replay", "w.json", "--scale", "0", "--query", "brown"], "file decides. Got --atlas, --query, --scale."),
    ],
)
def test_what_is_refused_before_anything_is_loaded(options, told):
    assert told in refused("edit", "nowhere.py:make", "--atlas", "nowhere", *options)


def test_dials_that_ignore_options():
    said = refused("dials", "nowhere.py:make", "--atlas", "nowhere", "--steps", "steps.json", "--seed", "0")
    assert "--steps must come without what its file decides. Got --seed." in said


@pytest.fixture(scope="module")
def report(target, atlas):
    plan = EditPlan(query="brown", top=1, samples=3, draws=1)
    return json.loads(json.dumps(edit(target, atlas, plan).report))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda report: [report], "a list instead of an object"),
        (lambda report: {**report, "mask": [[1.0, 0.0], [1.0]]}, "what edit --json prints"),
        (lambda report: {**report, "mask": [1.0]}, "a mask of another kind"),
        (lambda report: {**report, "plan": {**report["plan"], "seed": -4}}, "seed 0 or more"),
        (lambda report: {**report, "plan": {**report["plan"], "samples": 2.5}}, "what edit --json prints"),
        (lambda report: {name: value for name, value in report.items() if name != "effect"}, "without 'effect'"),
        (lambda report: {**report, "quality": {"before": 1.0}}, "without 'after'"),
        (lambda report: {**report, "units": 3}, "what edit --json prints"),
        (lambda report: {**report, "generator": "other"}, "what edit --json prints"),
    ],
)
def test_reports_that_are_none(report, tmp_path, change, told):
    (tmp_path / "report.json").write_text(json.dumps(change(report)))
    assert told in refused("edit", PAINTER, "--replay", str(tmp_path / "report.json"))


def test_a_query_that_all_units_answer(vague):
    assert "which all 11 units answer" in refused(
        "edit", PAINTER, "--atlas", str(vague), "--query", "things", "--top", "7"
    )
    assert "Choose fewer" in refused(
        "edit", PAINTER, "--atlas", str(vague), "--query", "things"
    )  # none left to compare


def test_what_is_no_generator(atlas):
    assert "must be a generator" in refused("edit", "carried:scenes", "--atlas", str(atlas.path), "--query", "brown")


def test_latents_that_do_not_fit(atlas, tmp_path):
    said = refused(
        "describe", UNFIT, "latents:64:0", "--method", "concept", "--concepts", "colors", "--out", str(tmp_path / "a")
    )
    assert "inputs of shape (64, 7)" in said and "latent_shape" in said
