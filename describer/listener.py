"""The listener: how likely a text is of a picture, p(d|x), and which picture it makes one think of, p(x|d).

    listener = load_listener()                             # the carried one; or a folder, or a CLIP of the hub
    texts = listener.embed_texts(["striped objects", "a dog runs over the grass"])
    images = listener.embed_images(pictures)               # (images, dims), unit norm
    listener.simulate(texts, images)                       # (texts, images) probabilities that the text is true
    belief(listener, ["dogs"], pictures)                   # (texts, images) p(x | text): rows sum to 1

It judges and searches: it has learnt from other photographs than the captioner, and shares no weight with it.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Int
from PIL import Image
from torch import Tensor, nn
from transformers import PreTrainedConfig, PreTrainedModel

from describer.calibration import Calibration
from describer.errors import WeightsError
from describer.towers import ImageTower, TextTower
from describer.vocabulary import PAD, Vocabulary

CARRIED = Path(__file__).parent / "weights" / "listener"
MODEL_TYPE = "describer-listener"


@runtime_checkable
class ListenerLike(Protocol):
    """Whatever hears texts and sees pictures in one space."""

    @property
    def name(self) -> str:
        """What reports call it."""
        ...

    @property
    def key(self) -> Mapping[str, str | int | float | bool | None]:
        """All that changes its answers, for caches."""
        ...

    def embed_images(self, images: Sequence[Image.Image]) -> Float[Tensor, "images dims"]:
        """One vector a picture, unit norm, float32."""
        ...

    def embed_texts(self, texts: Sequence[str]) -> Float[Tensor, "texts dims"]:
        """One vector a text, unit norm, float32."""
        ...

    def simulate(
        self, text_embeddings: Float[Tensor, "texts dims"], image_embeddings: Float[Tensor, "images dims"]
    ) -> Float[Tensor, "texts images"]:
        """Calibrated probability that each text is true of each picture, in 0..1."""
        ...


def belief(
    listener: ListenerLike, texts: Sequence[str], images: Sequence[Image.Image]
) -> Float[Tensor, "texts images"]:
    """p(x | text) over these pictures by Bayes from p(text | x), all pictures alike before: rows sum to 1."""
    heard = listener.simulate(listener.embed_texts(texts), listener.embed_images(images)).double()
    heard = torch.where(heard.sum(1, keepdim=True) > 0, heard, 1.0)  # a text of no picture says nothing
    return (heard / heard.sum(1, keepdim=True)).float()


def _placed(listener: "Listener", device: str) -> "Listener":
    listener.to(torch.device(device))  # type: ignore[arg-type]  # transformers' wrapper hides what it takes
    return listener


def load_listener(name: str | None = None, device: str = "cpu") -> ListenerLike:
    """The carried listener, one of ours in a folder, or any CLIP or SigLIP by folder or hub name. WeightsError."""
    if name is None:
        return _placed(Listener.carried(), device)
    config = Path(name) / "config.json"
    if config.is_file() and json.loads(config.read_text(encoding="utf-8")).get("model_type") == MODEL_TYPE:
        return _placed(Listener.from_pretrained(name), device)
    from describer.hublistener import HubListener

    return HubListener(name, device)


def fingerprint(model: nn.Module, *others: bytes) -> str:
    """sha256 over names and values of all weights, and whatever else is given."""
    digest = hashlib.sha256(b"".join(others))
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


class ListenerConfig(PreTrainedConfig):
    """The listener's sizes, and its calibration."""

    model_type = MODEL_TYPE

    def __init__(
        self,
        vocab_size: int = 64,
        own: dict[str, Any] | None = None,
        width: int = 192,
        dims: int = 256,
        n_queries: int = 8,
        side: int = 4,
        n_layers: int = 2,
        n_heads: int = 4,
        dropout: float = 0.1,
        max_text_length: int = 48,
        scale: float = 20.0,
        bias: float = -0.25,
        **kwargs: Any,
    ) -> None:
        self.vocab_size, self.own, self.width, self.dims = vocab_size, own or {}, width, dims
        self.n_queries, self.side, self.n_layers, self.n_heads = n_queries, side, n_layers, n_heads
        self.dropout, self.max_text_length = dropout, max_text_length
        self.scale, self.bias = scale, bias
        super().__init__(**(kwargs | {"pad_token_id": PAD}))


class Listener(PreTrainedModel):
    """Our dual encoder. ``vocabulary`` lies beside the weights and comes and goes with them."""

    config_class = ListenerConfig
    main_input_name = "grid"
    base_model_prefix = ""
    vocabulary: Vocabulary
    name = "listener"

    def __init__(self, config: ListenerConfig) -> None:
        super().__init__(config)
        self.images = ImageTower(config.own, config.side, config.width, config.dims, config.n_queries, config.dropout)
        self.texts = TextTower(
            config.vocab_size,
            config.width,
            config.dims,
            config.n_layers,
            config.n_heads,
            config.max_text_length,
            config.dropout,
        )
        self.post_init()

    @property
    def key(self) -> dict[str, str | int | float | bool | None]:
        """Weights, words and calibration."""
        return {
            "listener": fingerprint(self, self.vocabulary.model),
            "scale": self.config.scale,
            "bias": self.config.bias,
        }

    @property
    def calibration(self) -> Calibration:
        """How a cosine becomes a probability."""
        return Calibration(self.config.scale, self.config.bias)

    @torch.inference_mode()
    def embed_images(self, images: Sequence[Image.Image], batch_size: int = 32) -> Float[Tensor, "images dims"]:
        """Unit vectors of pictures of any size, squashed to 128 x 128."""
        rows = [
            self.images(self.images.grid(self._pixels(images[start : start + batch_size])))
            for start in range(0, len(images), batch_size)
        ]
        return torch.cat(rows) if rows else torch.zeros(0, self.config.dims, device=self.device)

    @torch.inference_mode()
    def embed_texts(self, texts: Sequence[str], batch_size: int = 256) -> Float[Tensor, "texts dims"]:
        """Unit vectors of texts; case and a full stop at the end do not matter."""
        rows = [
            self.texts(self.tokens(texts[start : start + batch_size])) for start in range(0, len(texts), batch_size)
        ]
        return torch.cat(rows) if rows else torch.zeros(0, self.config.dims, device=self.device)

    def simulate(
        self, text_embeddings: Float[Tensor, "texts dims"], image_embeddings: Float[Tensor, "images dims"]
    ) -> Float[Tensor, "texts images"]:
        """Calibrated probability that each text is true of each picture, in 0..1."""
        return self.calibration.probability(text_embeddings @ image_embeddings.T)

    def tokens(self, texts: Sequence[str], longest: int | None = None) -> Int[Tensor, "texts length"]:
        """Token ids of texts on this model's device, cut to ``longest`` words, at most what the tower can hold."""
        longest = min(longest or self.config.max_text_length, self.config.max_text_length - 2)
        return self.vocabulary.encode([plain(text) for text in texts], longest).to(self.device)

    def _pixels(self, images: Sequence[Image.Image]) -> Float[Tensor, "images 3 h w"]:
        size = (self.images.backbone.size,) * 2
        small = [np.asarray(i.convert("RGB").resize(size, Image.Resampling.BICUBIC)) for i in images]
        return torch.from_numpy(np.stack(small)).permute(0, 3, 1, 2).to(self.device).float() / 255

    # --------------------------------------------------------------- on disk

    def save_pretrained(self, save_directory: str | Path, **kwargs: Any) -> None:  # type: ignore[override]
        """Config, safetensors and vocabulary into one folder."""
        super().save_pretrained(save_directory, **kwargs)
        self.vocabulary.save(save_directory)

    @classmethod
    def from_pretrained(cls, folder: str | Path, *args: Any, **kwargs: Any) -> "Listener":  # type: ignore[override]
        """A listener of ours in eval mode from a folder; safetensors only. WeightsError where there is none."""
        if not (Path(folder) / "model.safetensors").is_file():
            raise WeightsError(
                f"a listener's folder must hold model.safetensors (pickled weights are not read). Got {folder}, which "
                "does not. Train one with training/recipes/listener.yaml, or name a CLIP to load_listener."
            )
        listener = super().from_pretrained(folder, *args, use_safetensors=True, **kwargs)
        listener.vocabulary = Vocabulary.load(folder)
        listener.name = Path(folder).name
        return listener.float().eval()

    @classmethod
    def carried(cls) -> "Listener":
        """The listener in the package; WeightsError where the package carries none."""
        return cls.from_pretrained(CARRIED)


def plain(text: str) -> str:
    """The text as the vocabulary knows it: lower case, single spaces, no full stop at the end."""
    return " ".join(text.lower().split()).strip(" .!")
