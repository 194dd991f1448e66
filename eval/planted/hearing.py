"""The captioner's contrastive head as a listener, so that `clip` can be run with another one than the judge's.

    listener = CaptionerListener(Captioner.carried())
    WordListDescriber(listener, captioner.inventory.phrases)

It has learnt from the captioner's photographs, not from the judge's, and a picture is to it an exemplar that is seen
whole. Its probabilities are not calibrated: words are ranked by it, nothing is judged.
"""

import hashlib
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from describer.captioner import Captioner


class CaptionerListener:
    """By the protocol of listeners."""

    name = "captioner"

    def __init__(self, captioner: Captioner) -> None:
        self.captioner = captioner

    @property
    def key(self) -> dict[str, str | int | float | bool | None]:
        """The digest of the head's weights, which are trained with all others."""
        digest = hashlib.sha256()
        for name, tensor in sorted(self.captioner.reader.state_dict().items()):
            digest.update(name.encode() + tensor.detach().cpu().numpy().tobytes())
        return {"captioner": digest.hexdigest()}

    @torch.inference_mode()
    def embed_images(self, images: Sequence[Image.Image]) -> Float[Tensor, "images dims"]:
        """One unit vector a picture."""
        encoder = self.captioner.encoder
        size = encoder.backbone.size
        sized = [image.convert("RGB").resize((size, size), Image.Resampling.BICUBIC) for image in images]
        pixels = torch.from_numpy(np.stack([np.asarray(image, np.float32) / 255 for image in sized]))
        maps = encoder.maps(pixels.permute(0, 3, 1, 2).to(self.captioner.device))  # of (images, 3, size, size)
        whole = torch.ones(len(images), 8, 8, device=self.captioner.device)
        features = encoder.region_features(maps, whole, torch.arange(len(images), device=self.captioner.device))
        return self.captioner.exemplar_embedding(features).float().cpu()

    @torch.inference_mode()
    def embed_texts(self, texts: Sequence[str]) -> Float[Tensor, "texts dims"]:
        """One unit vector a text."""
        return self.captioner.text_embedding(self.captioner.tokens(texts)).float().cpu()

    def simulate(
        self, text_embeddings: Float[Tensor, "texts dims"], image_embeddings: Float[Tensor, "images dims"]
    ) -> Float[Tensor, "texts images"]:
        """Sigmoid of the scaled cosine, in 0..1; not calibrated."""
        return torch.sigmoid(self.captioner.log_scale.exp().float().cpu() * (text_embeddings @ image_embeddings.T))
