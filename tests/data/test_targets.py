"""Target models from every source, and each way in which one can be wrong."""

import os
import pickle
import textwrap

import pytest
import torch
from PIL import Image

from describer.data import zoo
from describer.data.targets import load_target
from describer.errors import TargetError

NET = """
import torch
from torch import nn
{extra}
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 5, 3)
        nn.init.constant_(self.conv.weight, {value})
        nn.init.zeros_(self.conv.bias)
    def forward(self, x):
        return self.conv(x)

def preprocess(image):
    return torch.full((3, 11, 13), float(image.getpixel((0, 0))[0]))

def load():
    return Net(), preprocess, ["ant", "bee"]
"""


def written(folder, extra="", value=1.0, name="net.py"):
    path = folder / name
    path.write_text(textwrap.dedent(NET.format(extra=extra, value=value)))
    return path


def test_factory_with_all_three_parts(tmp_path):
    target = load_target(f"{written(tmp_path)}:load")
    assert target.input_shape == (3, 11, 13) and target.class_names == ["ant", "bee"] and not target.is_generator
    assert not target.model.training and not any(p.requires_grad for p in target.model.parameters())
    assert target.preprocess(Image.new("RGB", (4, 4), (7, 0, 0))).eq(7).all()
    assert target.notes == () and target.name.endswith("net.py:load")


def test_factory_without_preprocess_says_what_it_assumes(tmp_path):
    path = written(tmp_path, extra="def bare():\n    return Net()")
    target = load_target(f"{path}:bare")
    assert target.input_shape == (3, 224, 224) and "as for ImageNet" in target.notes[0]


def test_factory_may_import_its_neighbours(tmp_path):
    (tmp_path / "neighbour_of_net.py").write_text("WIDTH = 5")
    path = written(tmp_path, extra="from neighbour_of_net import WIDTH")
    assert load_target(f"{path}:load").model.conv.out_channels == 5


def test_fingerprint_holds_what_changes_the_answer(tmp_path):
    first, folder = written(tmp_path), tmp_path / "elsewhere"
    folder.mkdir()
    same, other = written(folder), written(folder, value=1.001, name="other.py")
    source = load_target(f"{first}:load").fingerprint
    assert load_target(f"{same}:load").fingerprint == source
    changed = folder / "net.py"
    changed.write_text(other.read_text())
    assert load_target(f"{changed}:load").fingerprint != source
    changed.write_text(first.read_text().replace("float(image.getpixel", "3 + float(image.getpixel"))
    assert load_target(f"{changed}:load").fingerprint != source


GENERATOR = """
class Generator(Net):
    latent_shape = {latent}
    output_range = {pixels}
def generator():
    return Generator()
"""


def generator(latent, pixels):
    return NET + GENERATOR.format(latent=latent, pixels=pixels)


def test_generator(tmp_path):
    path = tmp_path / "gan.py"
    path.write_text(generator("(7,)", "(-1.0, 1.0)").format(extra="", value=1.0))
    target = load_target(f"{path}:generator")
    assert target.is_generator and target.input_shape == (7,) and target.preprocess is None and target.notes == ()


@pytest.mark.parametrize(
    ("latent", "pixels"), [("(7,)", "None"), ("(7,)", "(1, -1)"), ("()", "(0, 1)"), ("7", "(0, 1)")]
)
def test_generator_that_does_not_say_what_it_takes(tmp_path, latent, pixels):
    path = tmp_path / "gan.py"
    path.write_text(generator(latent, pixels).format(extra="", value=1.0))
    with pytest.raises(TargetError, match="must have latent_shape"):
        load_target(f"{path}:generator")


FAULTS = {
    "def bad():\n    raise KeyError('weights')": "must return a model. Got KeyError: 'weights'",
    "def bad():\n    return 3": r"must return a model or \(model, preprocess, class_names\). Got \(int\)",
    "def bad():\n    return Net(), 3": "preprocess of .* must be callable. Got int",
    "def bad():\n    return Net(), lambda image: 1 / 0": "must take any RGB picture. Got ZeroDivisionError",
    "def bad():\n    return Net(), lambda image: torch.zeros(1, 3, 5, 7)": "Leave out the batch axis",
    "def bad():\n    return Net(), lambda image: torch.zeros(5, 7, 3)": r"Got \(5, 7, 3\) of torch.float32. Put",
    "def bad():\n    return Net(), lambda image: torch.zeros(3, 5, 7).byte()": "of torch.uint8",
    "def bad():\n    return Net(), lambda image: [1]": "Got list. Convert it",
    "def bad():\n    return Net(), lambda image: torch.zeros(3, *image.size)": "one size for every picture",
}


@pytest.mark.parametrize("extra", FAULTS)
def test_factories_that_go_wrong(tmp_path, extra):
    path = written(tmp_path)
    path.write_text(path.read_text() + "\n" + extra)
    with pytest.raises(TargetError, match=FAULTS[extra]) as told:
        load_target(f"{path}:bad")
    assert "\n" not in str(told.value)


def test_a_factory_that_loads_a_pickle_is_told(tmp_path):
    class Wicked:
        def __reduce__(self):
            return (open, (str(tmp_path / "pwned"), "w"))

    with open(tmp_path / "weights.pt", "wb") as file:
        pickle.dump({"conv": Wicked()}, file, protocol=2)
    path = written(tmp_path)
    path.write_text(path.read_text() + f"\ndef bad():\n    return torch.load({str(tmp_path / 'weights.pt')!r})")
    with pytest.raises(TargetError, match=r"must return a model\. Got UnpicklingError"):
        load_target(f"{path}:bad")
    assert not (tmp_path / "pwned").exists()


def test_files_that_are_no_source(tmp_path):
    path = written(tmp_path)
    with pytest.raises(TargetError, match="the nearest: load"):
        load_target(f"{path}:laod")
    with pytest.raises(TargetError, match="the nearest: load"):
        load_target(str(path))
    with pytest.raises(TargetError, match="file must exist"):
        load_target(f"{tmp_path}/none.py:load")
    path.write_text("import no_such_package_anywhere")
    with pytest.raises(TargetError, match=r"must be Python that imports\. Got ModuleNotFoundError"):
        load_target(f"{path}:load")


@pytest.mark.parametrize(
    ("source", "nearest"),
    [
        ("torchvision:resnet5O", "resnet50"),
        ("timm:convnext_ato", "convnext_atto"),
        ("torchvison:resnet50", "torchvision:"),
    ],
)
def test_unknown_names_offer_the_nearest(source, nearest):
    with pytest.raises(TargetError, match=nearest):
        load_target(source, pretrained=False)


def test_carried_models_that_are_not_there():
    with pytest.raises(TargetError, match=r"carried must hold the model asked for\. Got 'no-such'"):
        load_target("carried:no-such")


def test_torchvision():
    target = load_target("torchvision:squeezenet1_0", pretrained=False)
    assert target.input_shape == (3, 224, 224) and target.class_names[1] == "goldfish"


def test_timm():
    target = load_target("timm:test_resnet", pretrained=False)
    assert target.input_shape == (3, 160, 160) and len(target.class_names) == 1000


def test_a_download_that_fails_is_told(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")  # nobody listens: no network is touched
    with pytest.raises(TargetError, match=r"torchvision:resnet18 must load with its weights\. Got URLError.* download"):
        load_target("torchvision:resnet18")


def hub_folder(folder, classifies=True):
    from transformers import ViTConfig, ViTForImageClassification, ViTImageProcessor, ViTModel

    config = ViTConfig(
        hidden_size=12, num_hidden_layers=1, num_attention_heads=2, intermediate_size=13, image_size=32, patch_size=8
    )
    config.id2label, config.label2id = {0: "ant", 1: "bee"}, {"ant": 0, "bee": 1}
    model = ViTForImageClassification(config) if classifies else ViTModel(config)
    model.save_pretrained(folder)
    ViTImageProcessor(size={"height": 32, "width": 32}).save_pretrained(folder)
    return model


@pytest.mark.parametrize("classifies", [True, False])
def test_hub_folder(tmp_path, classifies):
    model = hub_folder(tmp_path, classifies)
    target = load_target(f"hf:{tmp_path}")
    assert target.input_shape == (3, 32, 32) and target.class_names == (["ant", "bee"] if classifies else None)
    theirs = model.state_dict()
    assert all(torch.equal(value, theirs[name]) for name, value in target.model.state_dict().items())
    assert load_target(f"hf:{tmp_path}", pretrained=False).fingerprint != target.fingerprint


def test_hub_image_tower(tmp_path):
    from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel, CLIPTextConfig, CLIPVisionConfig

    small = {"hidden_size": 12, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 13}
    text = CLIPTextConfig(vocab_size=17, max_position_embeddings=7, **small)
    vision = CLIPVisionConfig(image_size=32, patch_size=8, **small)
    CLIPModel(CLIPConfig(text_config=text.to_dict(), vision_config=vision.to_dict(), projection_dim=5)).save_pretrained(
        tmp_path
    )
    CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}).save_pretrained(tmp_path)
    target = load_target(f"hf:{tmp_path}")
    assert target.model(torch.zeros(1, *target.input_shape)).last_hidden_state.shape == (1, 17, 12)


def test_hub_weights_that_are_pickles_run_no_code(tmp_path):
    hub_folder(tmp_path)
    (tmp_path / "model.safetensors").unlink()

    class Wicked:
        def __reduce__(self):
            return (open, (str(tmp_path / "pwned"), "w"))

    with open(tmp_path / "pytorch_model.bin", "wb") as file:
        pickle.dump({"classifier.weight": Wicked()}, file, protocol=2)
    with pytest.raises(TargetError, match=r"must load with its weights") as told:
        load_target(f"hf:{tmp_path}")
    assert "\n" not in str(told.value) and not (tmp_path / "pwned").exists()


def test_unknown_hub_names_are_told(monkeypatch):
    with pytest.raises(TargetError, match=r"hf:\./no-such-folder must load"):
        load_target("hf:./no-such-folder")


def test_loading_leaves_the_environment_alone(monkeypatch):
    monkeypatch.setenv("TORCH_FORCE_WEIGHTS_ONLY_LOAD", "0")
    with pytest.raises(TargetError):
        zoo.fetch("timm:none", pretrained=False)
    assert os.environ["TORCH_FORCE_WEIGHTS_ONLY_LOAD"] == "0"
