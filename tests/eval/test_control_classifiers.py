"""Classifiers without units and predictions through units: known units, slow oracles, a patched network read back."""

import json
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image
from torch import nn
from typer.testing import CliRunner

from describer.cli import app
from describer.data.classes import class_labels
from describer.data.images import load_images
from describer.data.targets import load_target
from describer.describe import describe
from describer.description import Description
from describer.errors import AtlasError, DescriberError, ImagesError, TargetError
from describer.eval.control.ablation import AblatePlan, ablate, accuracies, cuts, predictions
from describer.eval.control.choice import named_units
from describer.eval.control.explanation import ExplainPlan, contributions, explain
from describer.eval.control.export import export
from describer.eval.control.printing import trust_cells
from describer.intervention import Edit, edited
from describer.probe import ProbeSettings
from tests.eval.described import OPPOSED, PAINTER, SORTER, describe_colors, write_photos

ROOT = Path(__file__).parents[2]


def darkened(name, i, pixels):
    """Some columns grey, more in each further picture."""
    pixels[:, : 2 + i] = 60


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    return write_photos(tmp_path_factory.mktemp("photos"), {"red": 5, "green": 7, "blue": 3}, darkened)


@pytest.fixture(scope="module")
def target():
    return load_target(SORTER)


@pytest.fixture(scope="module")
def atlas(target, photos, tmp_path_factory):
    return describe_colors(target, load_images(str(photos)), tmp_path_factory.mktemp("sorter") / "atlas", 0.7, 0.7)


# True classes


def test_classes_of_folders(photos):
    images = load_images(str(photos))
    wanted = [["red", "green", "blue"].index(file.parent.name) for file in images.files]
    assert class_labels(images, ["Red", "green", "blue"]).tolist() == wanted
    assert set(class_labels(images, ["green", "red"]).tolist()) == {0, 1, -1}
    with pytest.raises(ImagesError, match="Rename them"):
        class_labels(images, ["cats", "dogs"])
    with pytest.raises(ImagesError, match="class names"):
        class_labels(images, None)
    with pytest.raises(ImagesError, match="a folder for each class"):
        class_labels(load_images(str(photos / "red")), ["red"])


@pytest.mark.parametrize(("labels", "wanted"), [(["b", "a", "x"], [1, 0, -1]), ([4, 0, 2], [4, 0, 2])])
def test_classes_of_columns(tmp_path, photos, labels, wanted):
    content = (photos / "red" / "00.png").read_bytes()
    cells = [{"bytes": content, "path": None}] * 3
    pq.write_table(pa.table({"image": cells, "label": labels}), tmp_path / "p.parquet", row_group_size=2)
    pq.write_table(pa.table({"image": cells}), tmp_path / "q.parquet")
    assert class_labels(load_images(str(tmp_path / "p.parquet")), ["a", "b"]).tolist() == wanted
    with pytest.raises(ImagesError, match="Add the labels"):
        class_labels(load_images(str(tmp_path / "q.parquet")), ["a", "b"])


def test_classes_of_scenes():
    images, carried = load_images("scenes:11:3"), load_target("carried:scenes")
    kinds = [carried.class_names[label] for label in class_labels(images, carried.class_names)]
    assert all(kind in carried.class_names for kind in kinds) and len(set(kinds)) > 2


# Ablation


def test_what_a_class_rests_on(target, atlas, photos):
    report = ablate(target, atlas, load_images(str(photos)), AblatePlan(query="green", top=1))
    assert [unit["id"] for unit in report["units"]] == ["layer1:1"] and report["accuracy"]["before"]["value"] == 1
    assert report["classes"]["green"]["n"] == 7 and report["classes"]["green"]["after"]["value"] == 0
    assert report["classes"]["red"]["after"]["value"] == report["classes"]["blue"]["after"]["value"] == 1
    assert report["accuracy"]["change"]["value"] == pytest.approx(-7 / 15)
    assert report["accuracy"]["change"]["low"] < -7 / 15 < report["accuracy"]["change"]["high"] < 0
    assert json.loads(json.dumps(report, allow_nan=False)) == json.loads(json.dumps(report))


def test_accuracies_by_loops():
    right = np.random.default_rng(0).integers(0, 2, (4, 23)).astype(float)
    told = accuracies(right, 0)
    assert told["before"]["value"] == pytest.approx(sum(right[0]) / 23)
    assert told["random"]["value"] == pytest.approx((sum(right[2]) + sum(right[3])) / 46)
    assert told["change_beyond_random"]["value"] == pytest.approx((right[1] - (right[2] + right[3]) / 2).mean())


def test_predictions_are_those_of_each_way(target, photos):
    images = load_images(str(photos))
    (photos / "red" / "broken.png").write_bytes(b"none")
    broken = load_images(str(photos))
    (photos / "red" / "broken.png").unlink()
    ways = [[], [Edit("layer1", (0,), "ablate")]]
    index, found = predictions(target, images, ways, batch_size=4)
    for i in range(len(images)):
        x = target.preprocess(images.image(i))[None]
        seen = torch.relu(target.model.colors(x)).mean((2, 3))
        for way, units in enumerate(((), (0,))):
            kept = seen.clone()
            kept[:, list(units)] = 0
            assert found[way, i] == (torch.tanh(3 * kept[:, :3]) + 0.01 * kept[:, 3:4]).argmax()
    assert index.tolist() == list(range(15)) and len(predictions(target, broken, ways[:1], 4)[0]) == 15


def test_refusals(target, atlas, photos, tmp_path):
    images = load_images(str(photos))
    with pytest.raises(DescriberError, match="--query or --units"):
        AblatePlan()
    with pytest.raises(AtlasError, match="none of 7"):
        ablate(target, atlas, images, AblatePlan(query="purple haze"))
    with pytest.raises(AtlasError, match="Describe this network"):
        ablate(load_target("carried:scenes"), atlas, images, AblatePlan(query="red"))
    with pytest.raises(TargetError, match="Got a generator"):
        painter = load_target(PAINTER)
        ablate(painter, atlas, images, AblatePlan(query="red"))


# The patched network


def test_the_reader_needs_nothing_of_ours(target, atlas, photos, tmp_path):
    edits = cuts(named_units(atlas, "layer1:2,layer1:0"))
    folder = export(target, edits, tmp_path / "patched")
    x = torch.rand(3, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    with edited(target.model, edits), torch.no_grad():
        wanted = target.model(x)
    code = f"""
import sys, torch
sys.path[:0] = [{str(folder)!r}, {str(Path(__file__).parent)!r}]
import reader, sorter
model = sorter.make()[0].eval()
torch.nn.init.zeros_(model.colors.weight)
x = torch.rand(3, 3, 8, 8, generator=torch.Generator().manual_seed(1))
undo = reader.patch(model)
print(model(x).tolist())
undo()
print(model(x).tolist())
print([name for name in sys.modules if name.startswith("describer")])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)
    patched, undone, ours = done.stdout.splitlines()
    assert torch.allclose(torch.tensor(json.loads(patched)), wanted) and ours == "[]"
    assert torch.allclose(torch.tensor(json.loads(undone)), target.model(x))
    with pytest.raises(TargetError, match="must be ablations"):
        export(target, [Edit("layer1", (0,), "scale", 2.0)], tmp_path / "other")


# Contributions


def slow_contributions(model, x, steps):
    """Midpoint rule over the path of the whole layer, gradients by central differences, float64."""
    model = model.double()
    with torch.no_grad():
        h = torch.relu(model.colors(x.double()))[0]

    def output(maps):
        seen = maps.mean((1, 2))
        return float(torch.tanh(3 * seen[1]) + 0.01 * seen[3])

    found = torch.zeros_like(h)
    for step in range(steps):
        alpha = (step + 0.5) / steps
        for unit in range(h.shape[0]):
            bump = torch.zeros_like(h)
            bump[unit, 0, 0] = 1e-5  # every place counts the same in a mean
            slope = (output(alpha * h + bump) - output(alpha * h - bump)) / 2e-5
            found[unit] += h[unit] * slope / steps
    model.float()
    return found


def test_contributions_are_the_integral_and_complete(target):
    x = torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(2))
    (found,), (end,), (start,) = contributions(target.model, x, "layer1", [1], steps=17)
    torch.testing.assert_close(found.double(), slow_contributions(target.model, x, 200), atol=1e-6, rtol=1e-3)
    assert float(found.sum()) == pytest.approx(float(end - start), abs=1e-5) and abs(float(start)) < 1e-6


def test_contributions_are_complete_where_the_network_goes_around_the_layer():
    class Around(nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(1)
            self.a, self.b, self.head = nn.Conv2d(3, 5, 3), nn.Conv2d(5, 5, 3, padding=1), nn.Linear(5, 2)

        def forward(self, x):
            y = torch.tanh(self.a(x))
            return self.head(torch.tanh(y + 3 * self.b(y)).mean((2, 3)))

    net = Around().eval().requires_grad_(False)
    x = torch.rand(7, 3, 11, 13, generator=torch.Generator().manual_seed(3))
    found, end, start = contributions(net, x, "b", [1, 0, 1, 1, 0, 0, 1], steps=33)
    assert found.shape == (7, 5, 9, 11) and (start - end).abs().min() > 1e-3
    torch.testing.assert_close(found.sum((1, 2, 3)), end - start, atol=1e-5, rtol=0)
    alone, *_ = contributions(net, x[4:5], "b", [0], steps=33)
    torch.testing.assert_close(found[4:5], alone, atol=1e-6, rtol=1e-4)


def test_contributions_are_complete_where_the_network_goes_on_in_place():
    class InPlace(nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(1)
            self.a, self.norm, self.act = nn.Conv2d(3, 5, 3), nn.BatchNorm2d(5), nn.SiLU(inplace=True)
            self.b, self.head = nn.Conv2d(5, 5, 3, padding=1), nn.Linear(5, 2)

        def forward(self, x):
            y = self.a(x)
            z = self.norm(self.b(y))
            z += y
            return self.head(self.act(z).mean((2, 3)))

    net = InPlace().eval().requires_grad_(False)
    x = torch.rand(3, 3, 11, 13, generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        y = net.a(x)
        given, silent = net.norm(net.b(y)), torch.nn.functional.silu(y).mean((2, 3))
        wanted = net.head(torch.nn.functional.silu(given + y).mean((2, 3)))
    found, end, start = contributions(net, x, "norm", [1, 0, 1], steps=33)
    torch.testing.assert_close(end, wanted[range(3), [1, 0, 1]])
    torch.testing.assert_close(start, net.head(silent)[range(3), [1, 0, 1]])
    torch.testing.assert_close(found.sum((1, 2, 3)), end - start, atol=1e-5, rtol=0)


def test_a_prediction_through_its_units(target, atlas, photos):
    picture = load_images(str(photos / "green")).image(0)
    told = explain(target, atlas, picture, ExplainPlan(top=2))
    best = told.report["units"][0]
    assert told.report["class"] == "green" and (best["id"], best["text"]) == ("layer1:1", "green")
    assert abs(told.report["completeness"]["missing"]) < 1e-4
    assert told.report["verified"]["drop"] > 10 * abs(told.report["verified"]["random_drop"]["value"])
    assert told.regions.shape == (2, 8, 8) and told.regions[0][:, 1:].mean() > 0.8  # all but the grey rim
    json.dumps(told.report, allow_nan=False)
    assert explain(target, atlas, picture, ExplainPlan(class_name="0")).report["class"] == "red"
    assert explain(target, atlas, picture, ExplainPlan(class_name="Red")).report["class"] == "red"
    with pytest.raises(TargetError, match=r"one of the network's 3 classes. Got 'grene'. Nearest: green"):
        explain(target, atlas, picture, ExplainPlan(class_name="grene"))
    with pytest.raises(AtlasError, match="Nearest: layer1"):
        explain(target, atlas, picture, ExplainPlan(layer="layer9"))


def test_units_that_raise_and_units_that_lower_a_class_are_cut_apart(tmp_path):
    """Together their cuts cancel."""
    photos = write_photos(tmp_path, {"red": 5, "green": 7, "blue": 3}, darkened)
    target, images = load_target(OPPOSED), load_images(str(photos))
    layers = ["layer1", "aside"]
    atlas = describe(target, images, tmp_path / "opposed", [Judged("caption", 1, "r")], layers=layers,
                     settings=ProbeSettings(k=3))  # fmt: skip
    picture = load_images(str(photos / "green")).image(6)
    told = explain(target, atlas, picture, ExplainPlan(layer="layer1", top=3)).report
    x = target.preprocess(picture)[None]
    seen = torch.relu(target.model.colors(x)).mean((2, 3))[0]
    assert {unit["id"] for unit in told["units"]} == {"layer1:1", "layer1:4", "layer1:5"}
    raising, lowering = told["verified"], told["verified_lowering"]
    assert (raising["units"], lowering["units"]) == (1, 2) == (raising["random_units"], lowering["random_units"])
    assert raising["drop"] == pytest.approx(3 * float(seen[1]), abs=1e-5) and raising["drop"] > 0.2
    assert lowering["drop"] == pytest.approx(-30 * float(seen[4] + seen[5]), abs=1e-5) and lowering["drop"] < -0.2
    for part in (raising, lowering):
        assert part["random_drop"]["value"] == pytest.approx(0, abs=1e-6)  # none of the told ones
    args = ["explain", OPPOSED, str(photos / "green" / "06.png"), "--atlas", str(atlas.path), "--top", "3"]
    said = " ".join(CliRunner().invoke(app, [*args, "--layer", "layer1"]).stdout.split())
    assert f"Without the 1 of these that raise it the logit falls by {raising['drop']:.3f}, without as many" in said
    assert f"Without the 2 of these that lower it the logit rises by {-lowering['drop']:.3f}, without as many" in said
    assert "(95 % of 20 draws: 0.000 to 0.000)" in said
    done = CliRunner().invoke(app, [*args, "--layer", "aside"])
    assert (done.exit_code, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert "Got aside, without whose units the logit stays" in done.stderr


class Judged:
    """A describer of the first units, whose texts were judged, and hold for one; the next unit's was not judged."""

    def __init__(self, method, holds, *texts):
        self.method, self.holds, self.texts = method, holds, texts
        self.key = {"describer": method}

    def describe(self, exemplars, images, progress=None):
        return [self.told(exemplars.layer, unit) for unit in exemplars.unit_ids.tolist()]

    def told(self, layer, unit):
        text = self.texts[unit] if unit < len(self.texts) else None
        if unit >= len(self.texts) - 1:
            return Description(layer, unit, text, self.method)
        numbers, holds = {"score": 0.125 * unit, "low": 0.0, "high": 0.5, "p": 0.01, "q": 0.02}, unit == self.holds
        stands, withdrawn = (text, None) if holds else (None, text)
        return Description(layer, unit, stands, self.method, numbers, reliable=holds, withdrawn=withdrawn)


def test_words_carry_their_trust(target, photos, tmp_path):
    images, first = load_images(str(photos)), Judged("caption", 1, "reds", "greens", "blues", "coal")
    told = describe(target, images, tmp_path / "judged", [first], layers=["layer1"], settings=ProbeSettings(k=3))
    green = load_images(str(photos / "green")).image(0)
    units = {each["id"]: each for each in explain(target, told, green, ExplainPlan(top=7)).report["units"]}
    assert units["layer1:1"]["trust"] == {"r": 0.125, "low": 0.0, "high": 0.5, "q": 0.02, "reliable": True}
    assert (units["layer1:0"]["text"], units["layer1:0"]["withdrawn"]) == ("reds", True)
    assert [trust_cells(units[f"layer1:{n}"]) for n in range(2)] == [["0.00", "withdrawn"], ["0.12", "reliable"]]
    (unjudged,) = named_units(told, "layer1:3")
    assert trust_cells(asdict(unjudged)) == ["", "not judged"] and trust_cells({"trust": None, "text": None})[1] == ""
    args = ["explain", SORTER, str(photos / "green" / "00.png"), "--atlas", str(told.path)]
    done = CliRunner().invoke(app, [*args, "--out", str(tmp_path / "why.png")])
    assert done.exit_code == 0 and "reliable" in done.stdout and "withdrawn" in done.stdout


def test_words_that_stand_are_told_before_withdrawn_ones(target, photos, tmp_path):
    images = load_images(str(photos))
    both = [Judged("concept", 1, "red", "green", "blue", "coal"), Judged("caption", 2, "r", "g", "b", "dark")]
    told = describe(target, images, tmp_path / "two", both, layers=["layer1"], settings=ProbeSettings(k=3))
    assert [named_units(told, f"layer1:{n}")[0].text for n in range(4)] == ["red", "green", "b", "coal"]


# The verbs


def test_all_units_of_a_layer_leave_none_to_compare_with(atlas, photos):
    cut = ["ablate", SORTER, "--atlas", str(atlas.path), "--data", str(photos)]
    everything = [*cut, "--units", ",".join(f"layer1:{unit}" for unit in range(7))]
    told = json.loads(CliRunner().invoke(app, [*everything, "--json"]).stdout)
    assert told["random_units"] == 0 and told["accuracy"]["after"]["value"] < 1
    for name in ("random", "change_beyond_random"):
        assert told["accuracy"][name] == told["classes"]["red"][name] == {"value": None, "low": None, "high": None}
    assert "no random units to compare with" in CliRunner().invoke(app, everything).stdout
    most = CliRunner().invoke(app, [*cut, "--units", ",".join(f"layer1:{unit}" for unit in range(5)), "--draws", "2"])
    assert "random: 2 draws of 2 units, all that are left" in " ".join(most.stdout.split()), most.stderr


def test_an_export_replaces_nothing_but_an_export(atlas, photos, tmp_path):
    cut = ["ablate", SORTER, "--atlas", str(atlas.path), "--units", "layer1:0", "--draws", "1", "--data"]
    own = tmp_path / "own"
    own.mkdir()
    (own / "model.safetensors").write_bytes(b"precious")
    done = CliRunner().invoke(app, [*cut, "nowhere", "--export", str(own)])  # before anything is read
    assert (done.exit_code, done.stdout, done.stderr.count("\n")) == (2, "", 1), done.output
    assert f"Got {own} with another model.safetensors. Name another folder." in done.stderr
    (own / "patch.json").write_text("[]")
    assert CliRunner().invoke(app, [*cut, "nowhere", "--export", str(own)]).stderr == done.stderr
    assert (own / "model.safetensors").read_bytes() == b"precious"
    for _ in range(2):
        done = CliRunner().invoke(app, [*cut, str(photos), "--export", str(tmp_path / "fresh")])
        assert done.exit_code == 0, done.stderr


def test_an_export_that_fails_leaves_the_report(atlas, photos, tmp_path):
    (tmp_path / "file").write_text("")
    cut = ["ablate", SORTER, "--atlas", str(atlas.path), "--data", str(photos), "--units", "layer1:0", "--draws", "1"]
    done = CliRunner().invoke(app, [*cut, "--json", "--export", str(tmp_path / "file" / "patched")])
    assert done.exit_code == 2 and json.loads(done.stdout)["random_units"] == 1
    assert done.stderr.endswith("could not be written: Not a directory. Make the folder writable, then export again.\n")


def test_the_verbs(atlas, photos, tmp_path):
    run = CliRunner().invoke
    cut = ["ablate", SORTER, "--atlas", str(atlas.path), "--data", str(photos), "--query", "green", "--top", "1"]
    done = run(app, [*cut, "--export", str(tmp_path / "patched")])
    assert done.exit_code == 0 and "green" in done.stdout, done.stderr
    assert sorted(path.name for path in (tmp_path / "patched").iterdir()) == [
        "model.safetensors",
        "patch.json",
        "reader.py",
    ]
    assert json.loads(run(app, [*cut, "--json"]).stdout)["classes"]["green"]["after"]["value"] == 0
    for option in ("--goal", "--cost"):
        done = run(app, [*cut, option, "0.2"])
        assert (done.exit_code, done.stdout) == (2, "") and f"Got {option} without it" in done.stderr
    why = ["explain", SORTER, str(photos / "blue" / "01.png"), "--atlas", str(atlas.path)]
    done = run(app, [*why, "--out", str(tmp_path / "why.png")])
    assert done.exit_code == 0 and "blue" in done.stdout, done.stderr
    with Image.open(tmp_path / "why.png") as sheet:
        assert sheet.width > 300
    assert json.loads(run(app, [*why, "--json", "--class", "red"]).stdout)["class"] == "red"
    assert run(app, ["explain", SORTER, "none.png", "--atlas", str(atlas.path)]).exit_code == 2
