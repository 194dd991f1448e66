"""Diffusion models of the package diffusers as generators whose units are looked at step by step.

    target = load_target("diffusers:google/ddpm-cifar10-32")           # a hub name, or a folder with a pipeline
    target = load_target("diffusers:folder#a red house")               # text to image, one text for all samples
    target.model(latents)                                              # (batch, 3, height, width) in -1..1

Layers `mid.step0`, `up0.step0` … are the U-Net's mid and up blocks at each step of sampling, units the channels there;
an edit of one acts at that step. An edit of `unet.mid_block` or `unet.up_blocks.0` acts at all steps. Sampling is DDIM
without noise (Song et al. 2021, eta = 0), so that a latent has one picture. For other numbers of steps let a factory
return `DiffusionGenerator(pipeline, steps=50)`.
"""

from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from describer.errors import TargetError

STEPS = 10
"Of sampling, unless a factory says otherwise."
GUIDANCE = 7.5
"How far pictures go from no text towards the text (Ho & Salimans 2022)."


class Tap(nn.MaxPool2d):
    """One block's maps at one step, unchanged; a pooling of single places, so that its maps are known for maps."""

    def __init__(self) -> None:
        super().__init__(1)


class DiffusionGenerator(nn.Module):
    """A pipeline's U-Net, and its decoder of latents where it has one, as one function from noise to pictures."""

    output_range = (-1.0, 1.0)
    timesteps: Tensor
    text: Tensor | None
    no_text: Tensor | None

    def __init__(self, pipeline: Any, text: str = "", steps: int = STEPS, guidance: float = GUIDANCE) -> None:
        super().__init__()
        from diffusers import DDIMScheduler

        parts: dict[str, Any] = dict(pipeline.components)
        self.unet, self.decoder = _unet(parts), parts.get("vae") or parts.get("vqvae")
        config = self.unet.config
        side = config.sample_size
        self.latent_shape = (config.in_channels, *((side, side) if isinstance(side, int) else side))
        self.scheduler = DDIMScheduler.from_config(parts["scheduler"].config)
        self.scheduler.set_timesteps(steps)
        self.guidance = guidance if text else 1.0
        self.register_buffer("timesteps", self.scheduler.timesteps.clone())  # a weight: other steps, other pictures
        self.register_buffer("text", _encoded(parts, text))
        self.register_buffer("no_text", _encoded(parts, "") if text else None)
        self._step: int | None = None
        blocks = {"mid": self.unet.mid_block, **{f"up{i}": block for i, block in enumerate(self.unet.up_blocks)}}
        for block_name, block in blocks.items():
            self.add_module(block_name, nn.ModuleDict({f"step{step}": Tap() for step in range(steps)}))
            block.register_forward_hook(self._tapped(block_name))

    def forward(self, latents: Float[Tensor, "batch channels h w"]) -> Float[Tensor, "batch 3 height width"]:
        """Pictures drawn from standard normal noise."""
        x = latents * self.scheduler.init_noise_sigma
        try:
            for step, time in enumerate(self.timesteps.tolist()):
                noise = self._noise(x, time, self.text, step)
                if self.no_text is not None:
                    without = self._noise(x, time, self.no_text, None)
                    noise = without + self.guidance * (noise - without)
                x = self.scheduler.step(noise, time, x, eta=0.0).prev_sample
        finally:
            self._step = None
        if self.decoder is not None:
            x = self.decoder.decode(x / self.decoder.config.scaling_factor).sample
        return x.clamp(*self.output_range)

    def _noise(self, x: Tensor, time: int, text: Tensor | None, step: int | None) -> Tensor:
        """What the U-Net takes for noise; the taps see it as step `step`, or not at all."""
        self._step = step
        named = {} if text is None else {"encoder_hidden_states": text.expand(len(x), -1, -1)}
        found: Tensor = self.unet(self.scheduler.scale_model_input(x, time), time, **named).sample
        return found

    def _tapped(self, name: str) -> Any:
        def tap(_module: nn.Module, _inputs: Any, output: Tensor) -> Tensor | None:
            if self._step is None:
                return None
            found: Tensor = self.get_submodule(f"{name}.step{self._step}")(output)
            return found

        return tap


def load_diffusion(name: str, pretrained: bool = True) -> DiffusionGenerator:
    """The generator of NAME or NAME#TEXT; TargetError where diffusers is not there or the pipeline does not fit."""
    try:
        from diffusers import DiffusionPipeline
    except ImportError:
        message = f"diffusers:{name} must be loaded by the package diffusers. Got none installed"
        raise TargetError(f"{message}. Install describer[diffusion].") from None
    source, _, text = name.partition("#")
    where = {"local_files_only": True} if Path(source).is_dir() else {}
    pipeline = DiffusionPipeline.from_pretrained(source, use_safetensors=True, **where)
    if not pretrained:
        unet = _unet(dict(pipeline.components))
        pipeline.register_modules(unet=type(unet).from_config(unet.config))
    return DiffusionGenerator(pipeline, text)


def _unet(parts: dict[str, Any]) -> Any:
    """The pipeline's U-Net; TargetError for one that takes more than noise, a step and a text."""
    unet = parts.get("unet")
    if unet is None or getattr(unet, "mid_block", None) is None or getattr(unet, "up_blocks", None) is None:
        raise TargetError(f"A pipeline must have a U-Net with mid and up blocks. Got {', '.join(parts)}. Take another.")
    config = unet.config
    asked = ("class_embed_type", "num_class_embeds", "addition_embed_type")
    more = next((key for key in asked if getattr(config, key, None) is not None), None)
    if more is not None or config.in_channels != config.out_channels:
        got = more or f"{config.in_channels} channels in and {config.out_channels} out"
        raise TargetError(f"A U-Net must take noise and at most one text. Got {got}. Wrap it in a factory.")
    return unet


def _encoded(parts: dict[str, Any], text: str) -> Float[Tensor, "1 tokens dims"] | None:
    """The text as the U-Net reads it; None where it reads none."""
    encoder, tokenizer = parts.get("text_encoder"), parts.get("tokenizer")
    if encoder is None or tokenizer is None:
        if text:
            raise TargetError(f"A pipeline must read text. Got none that encodes {text!r}. Leave out what follows #.")
        return None
    length = tokenizer.model_max_length
    tokens = tokenizer(text, padding="max_length", max_length=length, truncation=True, return_tensors="pt")
    with torch.no_grad():
        found: Tensor = encoder.eval()(tokens.input_ids)[0]
    return found
