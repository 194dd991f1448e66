"""Any CLIP or SigLIP as a listener, by hub name or local folder.

    listener = HubListener("google/siglip2-base-patch16-256")
    listener.simulate(listener.embed_texts(["dogs"]), listener.embed_images(pictures))
    listener = HubListener("folder", scale=58, bias=-0.13)         # calibrated elsewhere
    listener = listener.calibrated(texts, pictures, truth)         # or here

Uncalibrated, a SigLIP is heard with its own scale and bias (Zhai 2023, which it was trained with), and a CLIP, which
has no bias, with those fitted to CLIP ViT-L/14 (Oikarinen & Weng 2024: 58 and -0.25).
"""

from collections.abc import Sequence
from copy import copy
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from PIL import Image
from torch import Tensor

from describer.calibration import Calibration
from describer.errors import WeightsError
from describer.listener import fingerprint

CLIP = Calibration(58.0, -0.25)


class HubListener:
    """A dual encoder of the transformers library: AutoModel with AutoProcessor. Safetensors only."""

    def __init__(self, name: str, device: str = "cpu", scale: float | None = None, bias: float | None = None) -> None:
        self.name = name
        self.model, self.processor = _loaded(name, device)
        own = own_calibration(self.model)
        self.calibration = Calibration(own.scale if scale is None else scale, own.bias if bias is None else bias)
        config = self.model.config
        # a SigLIP was trained on padded texts: it reads the last place, whatever stands there
        padding = "max_length" if config.model_type.startswith("siglip") else True
        longest = config.text_config.max_position_embeddings
        self._texts: dict[str, Any] = {"padding": padding, "truncation": True, "max_length": longest}

    @property
    def key(self) -> dict[str, str | int | float | bool | None]:
        """Weights, name (whose processor reads texts and pictures) and calibration."""
        return {
            "listener": self.name,
            "weights": fingerprint(self.model),
            "scale": self.calibration.scale,
            "bias": self.calibration.bias,
        }

    @torch.inference_mode()
    def embed_images(self, images: Sequence[Image.Image], batch_size: int = 32) -> Float[Tensor, "images dims"]:
        """Unit vectors of pictures, prepared as the model's processor does."""
        rows = []
        for start in range(0, len(images), batch_size):
            part = [image.convert("RGB") for image in images[start : start + batch_size]]
            inputs = self.processor(images=part, return_tensors="pt").to(self.model.device)
            rows.append(_unit(self.model.get_image_features(pixel_values=inputs["pixel_values"])))
        return torch.cat(rows) if rows else torch.zeros(0, self._dims(), device=self.model.device)

    @torch.inference_mode()
    def embed_texts(self, texts: Sequence[str], batch_size: int = 256) -> Float[Tensor, "texts dims"]:
        """Unit vectors of texts, cut to what the model can hold."""
        rows = []
        for start in range(0, len(texts), batch_size):
            part = list(texts[start : start + batch_size])
            inputs = self.processor(text=part, return_tensors="pt", **self._texts).to(self.model.device)
            rows.append(_unit(self.model.get_text_features(**inputs)))
        return torch.cat(rows) if rows else torch.zeros(0, self._dims(), device=self.model.device)

    def simulate(
        self, text_embeddings: Float[Tensor, "texts dims"], image_embeddings: Float[Tensor, "images dims"]
    ) -> Float[Tensor, "texts images"]:
        """Probability that each text is true of each picture, in 0..1, as well as it is calibrated."""
        return self.calibration.probability(text_embeddings @ image_embeddings.T)

    def calibrated(
        self, texts: Sequence[str], images: Sequence[Image.Image], truth: Bool[Tensor, "texts images"]
    ) -> "HubListener":
        """This listener with its sigmoid fitted to which texts are true of which pictures."""
        cosines = self.embed_texts(texts) @ self.embed_images(images).T
        other = copy(self)
        other.calibration = Calibration.fitted(cosines.flatten().cpu(), truth.flatten().cpu())
        return other

    def _dims(self) -> int:
        return int(getattr(self.model.config, "projection_dim", None) or self.model.config.text_config.hidden_size)


def own_calibration(model: Any) -> Calibration:
    """Scale and bias that a model brings: sigmoid(scale * cos + logit_bias) of a SigLIP; else those of CLIP."""
    offset = getattr(model, "logit_bias", None)
    if offset is None:
        return CLIP
    scale = float(model.logit_scale.detach().exp())
    return Calibration(scale, float(offset.detach()) / scale)


def _loaded(name: str, device: str) -> tuple[Any, Any]:
    from transformers import AutoModel, AutoProcessor

    wanted = "a listener must be a folder of ours, or a CLIP or SigLIP by folder or hub name"
    try:
        model = AutoModel.from_pretrained(name, use_safetensors=True)
        processor = AutoProcessor.from_pretrained(name)
    except ImportError as fault:  # a SigLIP of the first kind reads its vocabulary with protobuf
        missing = next(filter(None, str(fault).splitlines()), "a library is missing")
        raise WeightsError(f"{wanted}. Got {name!r}: {missing}") from fault
    except Exception as fault:
        raise WeightsError(
            f"{wanted}. Got {name!r}, which is neither here nor reachable ({type(fault).__name__}). Check the name."
        ) from fault
    if not all(callable(getattr(model, f"get_{kind}_features", None)) for kind in ("image", "text")):
        raise WeightsError(f"{wanted}. Got {name!r}, a {type(model).__name__}. Name a dual encoder.")
    return model.float().eval().requires_grad_(False).to(device), processor


def _unit(features: Any) -> Tensor:
    pooled = getattr(features, "pooler_output", features)  # transformers 5 answers with an object
    return F.normalize(pooled.float(), dim=-1)
