"""Diffusion models as generators: tiny random pipelines, sampling by hand, units step by step, edits at one step."""

import sys

import numpy as np
import pytest
import torch

from describer.data.images import load_images
from describer.data.latents import draw_latent
from describer.data.targets import load_target
from describer.errors import TargetError
from describer.eval.control.drawing import Samples
from describer.intervention import Edit, edited
from describer.layout import list_layers
from describer.probe import ProbeSettings, probe


def test_without_the_package(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "diffusers", None)
    with pytest.raises(TargetError, match=r"Got none installed. Install describer\[diffusion\]"):
        load_target(f"diffusers:{tmp_path}")


diffusers = pytest.importorskip("diffusers", reason="diffusers is not installed: pip install 'describer[diffusion]'")
pytestmark = pytest.mark.filterwarnings("ignore")  # of diffusers
BLOCKS = {"block_out_channels": (8, 12), "norm_num_groups": 4, "layers_per_block": 1}


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """A pipeline that draws 3x8x8 pictures from noise."""
    torch.manual_seed(0)
    kinds = {"down_block_types": ("DownBlock2D",) * 2, "up_block_types": ("UpBlock2D",) * 2}
    unet = diffusers.UNet2DModel(sample_size=8, in_channels=3, out_channels=3, attention_head_dim=4, **kinds, **BLOCKS)
    folder = tmp_path_factory.mktemp("plain") / "ddpm"
    diffusers.DDPMPipeline(unet, diffusers.DDPMScheduler(100)).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def target(plain):
    return load_target(f"diffusers:{plain}")


def by_hand(target, latents):
    """DDIM with eta = 0 (Song et al. 2021, eq. 12), by its formula."""
    alphas = torch.cumprod(1 - torch.linspace(1e-4, 0.02, 100, dtype=torch.float64), 0)
    x = latents.double()
    times = list(range(90, -1, -10))
    for time in times:
        noise = target.model.unet(x.float(), time).sample.double()
        a, b = alphas[time], alphas[time - 10] if time >= 10 else torch.ones((), dtype=torch.float64)
        start = ((x - (1 - a).sqrt() * noise) / a.sqrt()).clamp(-1, 1)
        x = b.sqrt() * start + (1 - b).sqrt() * noise
    return x


def test_a_generator_of_pictures(target, plain):
    assert target.is_generator and target.input_shape == (3, 8, 8) and "10 steps" in target.notes[0]
    latents = torch.stack([draw_latent(0, i, (3, 8, 8)) for i in range(2)])
    pictures = target.model(latents)
    assert pictures.shape == (2, 3, 8, 8) and float(pictures.abs().max()) <= 1
    assert torch.equal(pictures, target.model(latents))
    other = load_target(f"diffusers:{plain}", pretrained=False)
    assert other.fingerprint != target.fingerprint == load_target(f"diffusers:{plain}").fingerprint


def test_sampling_by_hand(target):
    latents = torch.stack([draw_latent(3, i, (3, 8, 8)) for i in range(2)])
    assert target.model.timesteps.tolist() == list(range(90, -1, -10))
    wanted = by_hand(target, latents).clamp(-1, 1).float()
    assert torch.allclose(target.model(latents), wanted, atol=1e-3)


def test_units_are_those_of_each_step(target):
    infos = {info.name: info for info in list_layers(target.model, torch.randn(2, 3, 8, 8))}
    blocks = [name.split(".")[0] for name in infos if ".step" in name]
    assert {name: blocks.count(name) for name in set(blocks)} == {"mid": 10, "up0": 10, "up1": 10}
    assert (infos["mid.step3"].units, infos["mid.step3"].height, infos["mid.step3"].kind) == (12, 4, "maps")
    assert (infos["up1.step9"].units, infos["up1.step9"].height) == (8, 8)
    assert "unet.mid_block" not in infos  # runs ten times
    seen = []
    handle = target.model.unet.mid_block.register_forward_hook(lambda _m, _i, output: seen.append(output.clone()))
    tapped = []
    tap = target.model.mid.step3.register_forward_hook(lambda _m, _i, output: tapped.append(output.clone()))
    target.model(torch.randn(2, 3, 8, 8))
    handle.remove()
    tap.remove()
    assert len(seen) == 10 and len(tapped) == 1 and torch.equal(seen[3], tapped[0])


def test_probing_a_step(target):
    images = load_images("latents:7:0", target)
    found = probe(target.model, images.inputs(None), ["mid.step2", "up1.step9"], ProbeSettings(k=3))
    assert found.exemplars["mid.step2"].maps.shape == (12, 3, 4, 4) and images.image(2).size == (8, 8)


def test_edits_of_one_step_and_of_all(target):
    latents = torch.stack([draw_latent(1, i, (3, 8, 8)) for i in range(2)])
    seen = {}

    def keep(_module, inputs):
        seen.setdefault("up", []).append(inputs[0].clone())

    def inputs_of_up(edits):
        seen.clear()
        handle = target.model.unet.up_blocks[0].register_forward_pre_hook(
            lambda _m, args, named: keep(_m, (args or (named["hidden_states"],))), with_kwargs=True
        )
        with edited(target.model, edits):
            target.model(latents)
        handle.remove()
        return [bool((x[:, :5] == 0).all()) for x in seen["up"]]

    units = tuple(range(5))
    assert inputs_of_up([Edit("mid.step3", units, "ablate")]) == [step == 3 for step in range(10)]
    assert inputs_of_up([Edit("unet.mid_block", units, "ablate")]) == [True] * 10
    assert inputs_of_up([]) == [False] * 10
    samples = Samples(target, 0, 3)
    assert (samples.draw() != samples.draw([Edit("up1.step9", (0, 1, 2), "set", 5.0)])).any()


def texts():
    """A text encoder with a vocabulary of letters, and its tokenizer."""
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

    letters = [chr(code) for code in range(ord("a"), ord("z") + 1)]
    words = [*letters, *(f"{letter}</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    vocab = {word: number for number, word in enumerate(words)}
    tokenizer = CLIPTokenizer(vocab=vocab, merges=[], model_max_length=7)
    config = CLIPTextConfig(
        vocab_size=len(words), hidden_size=8, intermediate_size=11, num_hidden_layers=1, num_attention_heads=2,
        max_position_embeddings=7, bos_token_id=52, eos_token_id=53, pad_token_id=53,
    )  # fmt: skip
    return CLIPTextModel(config), tokenizer


@pytest.fixture(scope="module")
def worded(tmp_path_factory):
    """A pipeline that draws 3x16x16 pictures of a text, through latents of 4x8x8."""
    folder = tmp_path_factory.mktemp("worded")
    torch.manual_seed(1)
    encoder, tokenizer = texts()
    kinds = {"down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D")}
    kinds |= {"up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D")}
    unet = diffusers.UNet2DConditionModel(sample_size=8, cross_attention_dim=8, attention_head_dim=2, **kinds, **BLOCKS)
    vae = diffusers.AutoencoderKL(
        block_out_channels=(8, 12), norm_num_groups=4, latent_channels=4, sample_size=16,
        down_block_types=("DownEncoderBlock2D",) * 2, up_block_types=("UpDecoderBlock2D",) * 2,
    )  # fmt: skip
    parts = {"vae": vae, "text_encoder": encoder, "tokenizer": tokenizer, "unet": unet}
    parts |= {"safety_checker": None, "feature_extractor": None, "image_encoder": None}
    pipeline = diffusers.StableDiffusionPipeline(
        scheduler=diffusers.PNDMScheduler(100, skip_prk_steps=True), requires_safety_checker=False, **parts
    )
    pipeline.save_pretrained(folder / "sd")
    return folder / "sd"


def test_a_text_is_drawn_with_guidance(worded):
    red, bare = (load_target(f"diffusers:{worded}{text}") for text in ("#red", ""))
    assert red.input_shape == (4, 8, 8) and red.fingerprint != bare.fingerprint
    latents = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(2))
    pictures = red.model(latents)
    assert pictures.shape == (2, 3, 16, 16) and not torch.allclose(pictures, bare.model(latents))
    seen = []
    handle = red.model.mid.step4.register_forward_hook(lambda _m, _i, output: seen.append(len(output)))
    red.model(latents)
    handle.remove()
    assert seen == [2]  # the pass without a text is not tapped
    model = red.model
    noise = [
        model.unet(latents, model.timesteps[0], text.expand(2, -1, -1)).sample for text in (model.text, model.no_text)
    ]
    wanted = model.scheduler.step(noise[1] + 7.5 * (noise[0] - noise[1]), model.timesteps[0], latents).prev_sample
    found = []
    handle = model.unet.register_forward_pre_hook(lambda _m, inputs: found.append(inputs[0]))
    model(latents)
    handle.remove()
    assert torch.allclose(found[2], wanted, atol=1e-5)


def test_refusals(plain, worded, tmp_path):
    with pytest.raises(TargetError, match="Leave out what follows #"):
        load_target(f"diffusers:{plain}#red")
    with pytest.raises(TargetError, match="must load with its weights"):
        load_target(f"diffusers:{tmp_path}")
    unet = diffusers.UNet2DModel(
        sample_size=8, num_class_embeds=3, down_block_types=("DownBlock2D",) * 2, up_block_types=("UpBlock2D",) * 2,
        attention_head_dim=4, **BLOCKS,
    )  # fmt: skip
    diffusers.DDPMPipeline(unet, diffusers.DDPMScheduler(10)).save_pretrained(tmp_path / "classes")
    with pytest.raises(TargetError, match="num_class_embeds"):
        load_target(f"diffusers:{tmp_path / 'classes'}")
    assert np.isfinite(Samples(load_target(f"diffusers:{worded}"), 0, 2).draw()).all()
