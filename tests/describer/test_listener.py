"""The listener against plain loops; hub CLIPs and SigLIPs against the library's own forward."""

import json
import math
import pickle

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import AutoModel, AutoProcessor

from describer.calibration import Calibration, calibration_error
from describer.errors import DescriberError, WeightsError
from describer.hublistener import HubListener
from describer.listener import CARRIED, Listener, ListenerLike, belief, load_listener, plain
from tests.describer.dualencoders import TEXTS, pictures, save_clip, save_siglip, small_listener


@pytest.fixture(scope="module")
def hubs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hub")
    return {"clip": save_clip(folder / "clip"), "siglip": save_siglip(folder / "siglip")}


def slow_simulation(listener, texts, images, scale, bias):
    """sigmoid(scale (cos + bias)) of every pair, one by one (Linear Explanations, metrics 4.3)."""
    rows = []
    for text in texts:
        t = listener.embed_texts([text])[0].double().tolist()
        row = []
        for image in images:
            x = listener.embed_images([image])[0].double().tolist()
            cosine = sum(a * b for a, b in zip(t, x, strict=True))
            cosine /= math.sqrt(sum(a * a for a in t)) * math.sqrt(sum(b * b for b in x))
            row.append(1 / (1 + math.exp(-scale * (cosine + bias))))
        rows.append(row)
    return torch.tensor(rows)


def test_it_simulates_as_defined_and_believes_by_bayes():
    listener, images = small_listener(), pictures(5)
    listener.config.scale, listener.config.bias = 3.0, -0.1
    simulated = listener.simulate(listener.embed_texts(TEXTS), listener.embed_images(images))
    slow = slow_simulation(listener, TEXTS, images, 3.0, -0.1)
    assert torch.allclose(simulated, slow, atol=1e-5)
    beliefs = belief(listener, TEXTS, images)
    assert beliefs.shape == (6, 5)
    for row, heard in zip(beliefs.tolist(), slow.tolist(), strict=True):
        assert row == pytest.approx([p / sum(heard) for p in heard], abs=1e-5)


def test_a_text_that_no_picture_bears_out_says_nothing():
    listener = small_listener()
    listener.config.scale, listener.config.bias = 1e4, -2.0
    assert torch.allclose(belief(listener, TEXTS[:2], pictures(3)), torch.full((2, 3), 1 / 3))


def test_embeddings_are_unit_vectors_and_do_not_depend_on_what_is_beside_them():
    listener, images = small_listener(), pictures(5)
    seen, heard = listener.embed_images(images, batch_size=2), listener.embed_texts(TEXTS, batch_size=4)
    assert torch.allclose(seen.norm(dim=1), torch.ones(5), atol=1e-5)
    assert torch.allclose(heard.norm(dim=1), torch.ones(6), atol=1e-5)
    assert torch.allclose(seen, torch.cat([listener.embed_images([image]) for image in images]), atol=1e-5)
    assert torch.allclose(heard, torch.cat([listener.embed_texts([text]) for text in TEXTS]), atol=1e-5)
    assert listener.embed_images([]).shape == listener.embed_texts([]).shape == (0, 7)


def test_case_and_full_stops_do_not_matter_but_order_does():
    listener = small_listener()
    one = listener.embed_texts(["red cars", " Red  cars .", "cars red"])
    assert torch.equal(one[0], one[1])
    assert not torch.allclose(one[0], one[2], atol=1e-3)
    assert plain("A Dog\nruns !") == "a dog runs"
    assert listener.tokens(["dogs " * 99]).shape[1] == 11


def test_the_grid_holds_the_mean_of_every_level_in_every_cell():
    listener = small_listener()
    pixels = torch.rand(2, 3, 128, 128, generator=torch.Generator().manual_seed(0))
    grid = listener.images.grid(pixels)
    with torch.inference_mode():
        levels = listener.images.backbone(pixels)
    assert grid.shape == (2, 64, listener.images.n_features)
    for row, column in ((0, 0), (3, 5), (7, 2)):
        expected = []
        for level in levels:
            step = level.shape[-1] / 8
            rows, columns = ([int(i * step), max(int(i * step) + 1, int((i + 1) * step))] for i in (row, column))
            expected.append(level[1, :, slice(*rows), slice(*columns)].mean((1, 2)))
        assert torch.allclose(grid[1, row * 8 + column], torch.cat(expected), atol=1e-4)


def test_a_region_is_heard_without_what_is_outside():
    listener = small_listener()
    grid = torch.randn(3, 64, listener.images.n_features, generator=torch.Generator().manual_seed(0))
    inside = torch.zeros(3, 64)
    inside[:, 20:31] = 1
    changed = grid.clone()
    changed[:, 40:] = 0.0
    with torch.inference_mode():
        assert torch.allclose(listener.images(grid, inside), listener.images(changed, inside), atol=1e-2)
        assert not torch.allclose(listener.images(grid), listener.images(changed), atol=1e-2)
        assert torch.allclose(listener.images(grid), listener.images(grid, torch.ones(3, 64)), atol=1e-6)


def test_saved_and_loaded_it_is_the_same(tmp_path):
    listener = small_listener()
    listener.config.scale, listener.config.bias = 17.0, -0.3
    listener.save_pretrained(tmp_path)
    again = load_listener(str(tmp_path))
    assert torch.equal(listener.embed_texts(TEXTS), again.embed_texts(TEXTS))
    assert torch.equal(listener.embed_images(pictures(3)), again.embed_images(pictures(3)))
    assert again.key == listener.key
    assert again.key["scale"] == 17.0 and again.key["bias"] == -0.3
    assert json.loads((tmp_path / "config.json").read_text())["model_type"] == "describer-listener"
    assert isinstance(again, ListenerLike) and not list(tmp_path.glob("*.bin"))


def test_every_weight_word_and_calibration_is_in_the_key():
    keys = [small_listener().key, small_listener(seed=1).key]
    other = small_listener()
    other.config.bias = -0.5
    assert len({json.dumps(key) for key in [*keys, other.key, small_listener().key]}) == 3


def test_pickled_weights_are_refused(tmp_path):
    small_listener().save_pretrained(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    (tmp_path / "pytorch_model.bin").write_bytes(pickle.dumps({"weights": 1}))
    with pytest.raises(WeightsError, match=r"must hold model\.safetensors \(pickled weights are not read\)"):
        load_listener(str(tmp_path))


def test_a_name_that_is_nowhere_is_told_in_one_sentence(monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(WeightsError, match=r"or a CLIP or SigLIP by folder or hub name. Got 'no-such/listener'"):
        load_listener("no-such/listener")


# Of the hub


@pytest.mark.parametrize(("kind", "dims"), [("clip", 6), ("siglip", 8)])
def test_a_hub_model_is_heard_as_its_library_hears_it(hubs, kind, dims):
    listener, images = load_listener(str(hubs[kind])), pictures(5)
    assert isinstance(listener, ListenerLike) and isinstance(listener, HubListener)
    texts, seen = listener.embed_texts(TEXTS), listener.embed_images(images)
    assert texts.shape == (6, dims) and seen.shape == (5, dims)
    model, processor = AutoModel.from_pretrained(hubs[kind]).eval(), AutoProcessor.from_pretrained(hubs[kind])
    for i, text in enumerate(TEXTS):
        for j, image in enumerate(images):
            words = {"padding": "max_length", "max_length": 13} if kind == "siglip" else {"max_length": 23}
            inputs = processor(text=[text], images=[image], return_tensors="pt", truncation=True, **words)
            with torch.inference_mode():
                logit = model(**inputs).logits_per_image
                cosine = (logit - getattr(model, "logit_bias", 0.0)) / model.logit_scale.exp()
            assert float(texts[i] @ seen[j]) == pytest.approx(float(cosine), abs=1e-5)
    assert listener.embed_texts([]).shape == listener.embed_images([]).shape == (0, dims)
    assert torch.allclose(belief(listener, TEXTS, images).sum(1), torch.ones(6))


def test_a_siglip_brings_its_sigmoid_and_a_clip_that_of_its_family(hubs):
    siglip, clip = HubListener(str(hubs["siglip"])), HubListener(str(hubs["clip"]))
    assert siglip.key["scale"] == pytest.approx(11) and siglip.key["bias"] == pytest.approx(-2 / 11)
    assert (clip.key["scale"], clip.key["bias"]) == (58.0, -0.25)
    assert HubListener(str(hubs["clip"]), scale=7.0, bias=-0.5).key["scale"] == 7


def test_a_hub_model_is_calibrated_to_what_is_true(hubs):
    listener, images = HubListener(str(hubs["clip"])), pictures(7)
    cosines = listener.embed_texts(TEXTS) @ listener.embed_images(images).T
    truth = cosines > cosines.median()
    fitted = listener.calibrated(TEXTS, images, truth)
    assert listener.key["scale"] == 58.0, "the one it came from stays as it was"
    said = fitted.simulate(fitted.embed_texts(TEXTS), fitted.embed_images(images))
    assert ((said > 0.5) == truth).float().mean() > 0.9


def test_what_is_no_dual_encoder_is_refused(tmp_path):
    from transformers import ViTConfig, ViTModel

    sizes = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2}
    ViTModel(ViTConfig(image_size=20, patch_size=5, **sizes)).save_pretrained(tmp_path)
    with pytest.raises(WeightsError, match="a listener must be a folder of ours"):
        load_listener(str(tmp_path))


# Calibration


def slow_loss(x, truth, scale, bias):
    total = 0.0
    for value, true in zip(x, truth, strict=True):
        p = 1 / (1 + math.exp(-scale * (value + bias)))
        total -= math.log(p if true else 1 - p)
    return total / len(x)


def test_the_fitted_sigmoid_finds_the_one_that_made_the_data_and_no_neighbour_is_better():
    rng = np.random.default_rng(0)
    x = rng.normal(0.1, 0.15, 7919)
    truth = rng.random(len(x)) < 1 / (1 + np.exp(-23 * (x - 0.3)))
    fitted = Calibration.fitted(torch.tensor(x).float(), torch.tensor(truth))
    assert fitted.scale == pytest.approx(23, rel=0.1) and fitted.bias == pytest.approx(-0.3, abs=0.02)
    best = slow_loss(x, truth, fitted.scale, fitted.bias)
    for scale, bias in ((1.05, 0), (0.95, 0), (1, 0.01), (1, -0.01)):
        assert slow_loss(x, truth, fitted.scale * scale, fitted.bias + bias) > best


def test_separable_pairs_do_not_run_away():
    fitted = Calibration.fitted(torch.tensor([0.1, 0.2, 0.8, 0.9]), torch.tensor([False, False, True, True]))
    assert math.isfinite(fitted.scale) and fitted.scale > 0


@pytest.mark.parametrize(
    ("cosines", "truth", "said"),
    [
        ([0.1, 0.2], [True, True], "pairs must be true and false ones. Got 2 and 0"),
        ([], [], "Got 0 and 0"),
        ([0.9, 0.8, 0.2, 0.1, 0.3], [False, False, True, True, False], "must have higher cosines than false ones"),
    ],
)
def test_what_cannot_be_calibrated_is_told(cosines, truth, said):
    with pytest.raises(DescriberError, match=said):
        Calibration.fitted(torch.tensor(cosines), torch.tensor(truth, dtype=torch.bool))


def test_calibration_error_by_hand():
    said = torch.tensor([0.1, 0.2, 0.3, 0.8, 0.9, 0.95])
    truth = torch.tensor([False, False, True, True, True, False])
    by_hand = (3 * abs(0.2 - 1 / 3) + 3 * abs(2.65 / 3 - 2 / 3)) / 6
    assert calibration_error(said, truth, n_bins=2) == pytest.approx(by_hand, abs=1e-6)
    sure = torch.cat([torch.zeros(50), torch.ones(50)])
    assert calibration_error(sure, sure > 0.5, n_bins=10) == 0.0


@pytest.mark.skipif((CARRIED / "model.safetensors").is_file(), reason="the package carries a listener")
def test_without_carried_weights_it_says_so():
    with pytest.raises(WeightsError, match=r"training/recipes/listener\.yaml"):
        load_listener()


@pytest.mark.skipif(not (CARRIED / "model.safetensors").is_file(), reason="the package carries no listener")
def test_the_carried_one_tells_colours_apart():
    listener = Listener.carried()
    red, green = (Image.new("RGB", (64, 64), colour) for colour in ((210, 20, 20), (30, 150, 30)))
    said = listener.embed_texts(["red areas", "green areas"]) @ listener.embed_images([red, green]).T
    assert said[0, 0] > said[0, 1] and said[1, 1] > said[1, 0]
    assert (CARRIED / "model.safetensors").stat().st_size <= 14_000_000
