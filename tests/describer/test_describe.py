"""From a model and images to an atlas, by the call and by the verb: resumed, killed, refused."""

import json
import os
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch import nn

from describer.atlas import Atlas
from describer.caption import CaptionDescriber
from describer.captioner import Captioner
from describer.data.images import load_images
from describer.data.targets import load_target
from describer.describe import default_layers, describe, parse_units
from describer.errors import AtlasError, TargetError
from describer.layout import list_layers
from describer.probe import ProbeSettings
from tests.describer.captioners import small_captioner
from tests.describer.test_atlas import content
from tests.describer.test_cli import COMMAND, ROOT, refused, run
from tests.describer.worlds import Namer, Squares

NET = """
from collections import OrderedDict
import torch
from PIL import Image
from torch import nn
from torchvision.transforms import v2

def load():
    torch.manual_seed(0)
    stem = nn.Sequential(nn.Conv2d(3, 5, 5, 3), nn.ReLU())
    body = nn.Sequential(nn.Conv2d(5, 7, 3, 2), nn.ReLU())
    nn.init.constant_(body[0].weight[3], 0.0)
    nn.init.constant_(body[0].bias[3:4], -1.0)
    rest = [("pool", nn.AdaptiveAvgPool2d(1)), ("flat", nn.Flatten()), ("head", nn.Linear(7, 11))]
    model = nn.Sequential(OrderedDict([("stem", stem), ("body", body), *rest]))
    return model, v2.Compose([v2.Resize((61, 61)), v2.ToImage(), v2.ToDtype(torch.float32, scale=True)])

def other():
    model, preprocess = load()
    nn.init.normal_(model.head.weight)
    return model, preprocess

def raises():
    raise RuntimeError("no such checkpoint")

def batched():
    model, preprocess = load()
    return model, lambda image: preprocess(image)[None]
"""
N_READABLE = 23


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with net.py, photos/ (one of them broken), one/ (a single photo), empty/ and captioner/."""
    root = tmp_path_factory.mktemp("world")
    (root / "net.py").write_text(NET)
    for folder, n in (("photos", N_READABLE), ("one", 1), ("empty", 0)):
        (root / folder).mkdir()
        for index in range(n):
            Squares().image(index).save(root / folder / f"{index:02}.png")
    (root / "photos" / "07-broken.png").write_bytes(b"not a picture")
    small_captioner().save_pretrained(root / "captioner")
    return root


def arguments(world: Path, out: Path | str, *more: object) -> list[object]:
    """The words of the verb describe over this world."""
    basic = ["describe", f"{world / 'net.py'}:load", world / "photos", "--out", out, "--describer", world / "captioner"]
    return [*basic, "--k", 4, "--batch-size", 5, "--device", "cpu", *more]


@pytest.fixture(scope="module")
def whole(world: Path) -> Path:
    done = run(*arguments(world, world / "whole"))
    assert done.exit_code == 0, (done.stderr, done.exception)
    return world / "whole"


def test_default_layers_are_the_stages(whole: Path) -> None:
    entries = Atlas.open(whole).meta.layers
    assert [(entry.name, entry.units, entry.height, entry.width) for entry in entries] == [
        ("stem", 5, 19, 19),
        ("body", 7, 9, 9),
    ]


def test_verb_and_call_are_one(world: Path, whole: Path, tmp_path: Path) -> None:
    target, images = load_target(f"{world / 'net.py'}:load"), load_images(str(world / "photos"))
    captioner = CaptionDescriber(Captioner.from_pretrained(world / "captioner"))
    stages: dict[str, tuple[int, int]] = {}

    def progress(stage: str, done: int, total: int) -> None:
        stages[stage] = (done, total)

    settings = ProbeSettings(k=4, batch_size=5)
    describe(target, images, tmp_path / "atlas", [captioner], settings=settings, progress=progress)
    assert content(tmp_path / "atlas") == content(whole)
    n = N_READABLE + 1
    assert stages["probing"] == (n, n)
    assert stages["describing stem"] == (5, 5)
    assert stages["describing body"] == (6, 6)  # unit 3 is dead


def test_what_the_verb_prints(world: Path, whole: Path) -> None:
    done = run(*arguments(world, whole))
    too_few = "Descriptions are not judged: that takes 40 images or more.\n"
    skipped = f"1 of {N_READABLE + 1} images could not be read and were left out.\n"
    assert done.stderr == too_few + skipped
    assert run(*arguments(world, whole, "--judge", "none")).stderr == skipped
    lines = done.stdout.splitlines()
    assert lines[1].startswith("stem:0 ")
    assert "12 units: 11 described, 1 dead, 0 without a reliable description." in lines
    assert lines[-2:] == [f"  describer show {whole} stem:0 --out unit.png", f"  describer units {whole}"]
    as_json = run(*arguments(world, whole, "--json"))
    assert [json.loads(line) for line in as_json.stdout.splitlines()] == Atlas.open(whole).units()


def test_dead_unit_is_marked_and_not_described(whole: Path) -> None:
    rows = Atlas.open(whole).units("body")
    assert [row["unit"] for row in rows if row["dead"]] == [3]
    assert rows[3]["description"] is None and rows[3]["n_best"] == []


def test_exemplars_are_the_images_with_the_highest_maxima(world: Path, whole: Path) -> None:
    target, images = load_target(f"{world / 'net.py'}:load"), load_images(str(world / "photos"))
    assert target.preprocess is not None
    peaks: dict[int, list[float]] = {}
    for index in range(len(images)):  # oracle: one image after the other
        try:
            picture = images.image(index)
        except Exception:
            continue
        with torch.inference_mode():
            stem = target.model.get_submodule("stem")(target.preprocess(picture)[None])[0]
        peaks[index] = [float(stem[unit].max()) for unit in range(5)]
    exemplars = Atlas.open(whole).exemplars("stem")
    for unit in range(5):
        wanted = sorted(peaks, key=lambda index: (-peaks[index][unit], index))[:4]
        assert exemplars.images[unit].tolist() == wanted


def test_layers_and_units_can_be_chosen(world: Path, tmp_path: Path) -> None:
    chosen = ("--layers", "bod*,head", "--units", "1,3-4")
    assert run(*arguments(world, tmp_path / "a", *chosen)).exit_code == 0
    rows = Atlas.open(tmp_path / "a").units()
    assert [row["id"] for row in rows] == [f"{layer}:{unit}" for layer in ("body", "head") for unit in (1, 3, 4)]
    same = ("--layers", "body", "--layers", "head", "--units", "1,3,4")
    assert run(*arguments(world, tmp_path / "a", *same)).exit_code == 0
    told = refused(*arguments(world, tmp_path / "a", "--layers", "body", "--units", "0-6"))
    assert "Got units=0-6 (the atlas: 1,3-4)." in told


def test_layers_can_be_added_later(world: Path, whole: Path, tmp_path: Path) -> None:
    for layer in ("body", "stem"):
        assert run(*arguments(world, tmp_path / "a", "--layers", layer)).exit_code == 0
    assert content(tmp_path / "a") == content(whole)


def test_finished_layers_are_not_run_again(world: Path, whole: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = content(whole)

    def run_again(*_: object, **__: object) -> None:
        raise AssertionError

    monkeypatch.setattr("describer.describe.probe", run_again)
    monkeypatch.setattr(CaptionDescriber, "describe", run_again)
    assert run(*arguments(world, whole)).exit_code == 0
    assert content(whole) == before


@pytest.mark.slow
def test_killed_at_random_the_same_command_ends_with_the_same_atlas(world: Path, whole: Path, tmp_path: Path) -> None:
    path, killed = tmp_path / "atlas", 0
    command = [*COMMAND, *map(str, arguments(world, path))]
    for delay in (0.0, 0.05, 0.2, 0.4):
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)
        while not path.exists() and process.poll() is None:
            time.sleep(0.005)
        time.sleep(delay)
        process.kill()
        killed += process.wait() == -signal.SIGKILL
    assert killed
    subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    assert content(path) == content(whole)


def alike(one: object, other: object) -> bool:
    """Equal but for the last digits of scores: how a sum is cut into threads differs between processes."""
    if isinstance(one, float) and isinstance(other, float):
        return one == pytest.approx(other, abs=1e-3)
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(alike(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(alike, one, other))
    return one == other


@pytest.mark.slow
def test_two_processes_end_with_the_same_atlas(world: Path, whole: Path, tmp_path: Path) -> None:
    command = [*COMMAND, *map(str, arguments(world, tmp_path / "atlas"))]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}
    ranks = [os.environ | place | {"RANK": rank, "LOCAL_RANK": rank, "ACCELERATE_USE_CPU": "1"} for rank in "01"]
    processes = [subprocess.Popen(command, cwd=ROOT, env=env, stdout=subprocess.PIPE, text=True) for env in ranks]
    printed = [process.communicate()[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    assert printed[0].startswith("unit ") and printed[1] == ""
    assert alike(content(tmp_path / "atlas"), content(whole))


# Bad input


@pytest.mark.parametrize(
    ("model", "told"),
    [
        ("torchvision:resnet5", "resnet50"),
        ("resnet50", "torchvision:"),
        ("{world}/net.py:lod", "load"),
        ("{world}/net.py:raises", "no such checkpoint"),
        ("{world}/net.py:batched", "Leave out the batch axis."),
        ("{world}/none.py:load", "must exist"),
    ],
)
def test_models_that_cannot_be_used(world: Path, tmp_path: Path, model: str, told: str) -> None:
    line = refused("describe", model.format(world=world), world / "photos", "--out", tmp_path / "a",
                   "--describer", world / "captioner", "--device", "cpu")  # fmt: skip
    assert told in line
    assert told in refused("layers", model.format(world=world))
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (("--layers", "bodi"), "body"),
        (("--units", "9-"), "units must be ranges such as 0-63 or 3,5,8-11. Got '9-'."),
        (("--units", "70-80"), "units of stem must lie in 0-4. Got 70-80."),
        (("--method", "magic"), "method must be of caption, concept, formula"),
        (("--device", "abacus"), "device must be auto, cpu or a device of this machine. Got 'abacus'."),
        (("--lambda", "-1"), "lambda"),
        (("--k", "0"), "k "),
        (("--quantile", "1.5"), "quantile"),
        (("--decoding", "magic"), "Invalid value for '--decoding'"),
        (("--describer", "{world}/photos"), "must hold model.safetensors (pickled weights are not read)"),
    ],
)
def test_options_that_cannot_be(world: Path, tmp_path: Path, more: tuple[str, str], told: str) -> None:
    line = refused(*arguments(world, tmp_path / "a", more[0], more[1].format(world=world)))
    assert told in line
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize("images", ["empty", "none", "net.py", "photos/07-broken.png"])
def test_images_that_cannot_be_read(world: Path, tmp_path: Path, images: str) -> None:
    line = refused(*(str(word).replace("photos", images) for word in arguments(world, tmp_path / "a")))
    assert images in line


def test_one_image_is_enough(world: Path, tmp_path: Path) -> None:
    words = [str(word).replace("photos", "one") for word in arguments(world, tmp_path / "a", "--k", "1")]
    assert run(*words).exit_code == 0


def test_k_beyond_the_images(world: Path, tmp_path: Path) -> None:
    line = refused(*arguments(world, tmp_path / "a", "--k", "97"))
    assert line.startswith("k must be at most the number of images. Got k=97 and 24")
    assert run(*arguments(world, tmp_path / "a")).exit_code == 0  # what came to nothing does not bind


def test_atlas_of_another_model(world: Path, whole: Path) -> None:
    words = [str(word).replace(":load", ":other") for word in arguments(world, whole)]
    line = refused(*words)
    assert f"{whole} must be continued with what it was begun with. Got model {world}/net.py:other" in line


def test_atlas_of_other_options(world: Path, whole: Path) -> None:
    assert "Got k=5 (the atlas: 4)." in refused(*arguments(world, whole, "--k", "5"))
    assert "Got caption weight=0.25 (the atlas: " in refused(*arguments(world, whole, "--lambda", "0.25"))


# The parts


def test_parse_units() -> None:
    assert parse_units(None) is None
    assert parse_units("0-3") == [0, 1, 2, 3]
    assert parse_units("7, 3,5-6,5") == [3, 5, 6, 7]
    for text in ("", "a", "3-1", "-1", "1--2", "1,,2", "²"):
        with pytest.raises(TargetError, match="units must be ranges"):
            parse_units(text)


class Wrapped(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Conv2d(3, 5, 3), nn.BatchNorm2d(5), nn.ReLU(), nn.Sequential(nn.Conv2d(5, 7, 3)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.net(x)


def test_default_layers_look_into_a_wrapper() -> None:
    model = Wrapped().eval()
    assert default_layers(model, list_layers(model, torch.zeros(1, 3, 17, 19))) == ["net.0", "net.3"]


def test_default_layers_of_vectors() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 3)).eval()
    assert default_layers(model, list_layers(model, torch.zeros(1, 3, 1, 2))) == ["1", "3"]


def test_two_methods_side_by_side(world: Path, tmp_path: Path) -> None:
    target, images = load_target(f"{world / 'net.py'}:load"), load_images(str(world / "photos"))
    other = Namer()
    other.method = "name"
    for describers in ([Namer()], [Namer(), other]):
        atlas = describe(target, images, tmp_path / "a", describers, layers=["head"], settings=ProbeSettings(k=3))
    rows = atlas.units()
    assert [(row["unit"], row["method"]) for row in rows] == [(u, m) for u in range(11) for m in ("caption", "name")]
    with pytest.raises(AtlasError, match=r"caption lambda=0.7 \(the atlas: 0.5\)"):
        describe(target, images, tmp_path / "a", [Namer(0.7)], layers=["head"], settings=ProbeSettings(k=3))


def test_generator(world: Path, tmp_path: Path) -> None:
    (tmp_path / "gan.py").write_text(
        "import torch\nfrom torch import nn\n"
        "class G(nn.Sequential):\n    latent_shape, output_range = (13, 1, 1), (-1.0, 1.0)\n"
        "def load():\n    torch.manual_seed(0)\n"
        "    return G(nn.ConvTranspose2d(13, 5, 7), nn.ReLU(), nn.ConvTranspose2d(5, 3, 4, 2), nn.Tanh())\n"
    )
    target: Any = load_target(f"{tmp_path / 'gan.py'}:load")
    images = load_images("latents:19:3", target)
    atlas = describe(target, images, tmp_path / "a", [Namer()], layers=["0"], settings=ProbeSettings(k=3))
    assert [row["id"] for row in atlas.units()] == [f"0:{unit}" for unit in range(5)]
    assert atlas.thumbnail(int(atlas.exemplars("0").images[0, 0])).size == (112, 112)


def test_layers_verb(world: Path) -> None:
    done = run("layers", f"{world / 'net.py'}:load", "--json")
    infos = [json.loads(line) for line in done.stdout.splitlines()]
    assert {"name": "body", "units": 7, "height": 9, "width": 9} in [
        {name: info[name] for name in ("name", "units", "height", "width")} for info in infos
    ]
    table = run("layers", f"{world / 'net.py'}:load").stdout.splitlines()
    assert table[0].split() == ["layer", "module", "kind", "units", "height", "width"]
    assert len(table) == 1 + len(infos)


def test_demo(world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The verb with a small network and captioner in the place of the carried ones."""
    target, captioner = load_target(f"{world / 'net.py'}:load"), Captioner.from_pretrained(world / "captioner")
    monkeypatch.setattr("describer.data.targets.load_target", lambda source: target)
    monkeypatch.setattr(Captioner, "carried", lambda: captioner)
    done = run("demo", "--out", tmp_path / "demo", "--images", 19)
    assert (done.exit_code, done.stderr) == (0, ""), done.exception
    lines = done.stdout.splitlines()
    rows = Atlas.open(tmp_path / "demo" / "atlas").units()
    best = max((row for row in rows if row["pmi"] is not None), key=lambda row: row["pmi"])
    assert lines[1].startswith(best["id"])
    assert f"Contact sheet: {tmp_path / 'demo' / 'units.png'}" in lines
    assert f"  describer show {tmp_path / 'demo' / 'atlas'} {best['id']} --out unit.png" in lines
    with Image.open(tmp_path / "demo" / "units.png") as sheet:
        assert sheet.width > 800
    as_json = run("demo", "--out", tmp_path / "demo", "--images", 19, "--json")
    assert [json.loads(line) for line in as_json.stdout.splitlines()] == rows
