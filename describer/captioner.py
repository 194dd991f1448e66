"""The captioner: p(d|E), what a person would say of an exemplar set E, and p(d), what people say anyway.

    captioner = Captioner.carried()                        # the weights in the package
    captioner = Captioner.from_pretrained("folder-or-hub-name")
    descriptions = captioner.describe(exemplars, images)   # best PMI first
    captioner.log_prob(["dogs", "grass"], memory, present) # (units, texts) nats, up to and with the end token
    captioner.log_prior(["dogs", "grass"])                 # (texts,) nats

Exemplar-set encoder -> transformer decoder (after MILAN, Hernandez 2022, with one model instead of two): in training
the exemplars are sometimes dropped and a learnt nothing is shown, so the same weights give p(d). Beside it a
contrastive head puts every exemplar and every text into one space (InfoNCE, van den Oord 2018: its best critic is PMI),
for search; and a phrase reader says of every exemplar alone which phrases of the inventory it speaks for. What it finds
generalises better to new photographs than the set as a whole, so both have a say.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from transformers import GenerationMixin, PreTrainedConfig, PreTrainedModel
from transformers.modeling_outputs import BaseModelOutput, Seq2SeqLMOutput

from describer.decoder import Decoder
from describer.encoder import EncoderSettings, ExemplarEncoder
from describer.errors import WeightsError
from describer.inventory import Inventory
from describer.phrasereader import PhraseReader, Reading
from describer.vocabulary import BOS, EOS, PAD, Vocabulary

CARRIED = Path(__file__).parent / "weights" / "captioner"


class CaptionerConfig(PreTrainedConfig):
    """The captioner's sizes; ``encoder`` holds the fields of EncoderSettings; ``n_phrases`` 0: no phrase reader."""

    model_type = "describer-captioner"

    def __init__(
        self,
        vocab_size: int = 64,
        encoder: dict[str, Any] | None = None,
        n_layers: int = 3,
        n_heads: int = 4,
        dropout: float = 0.1,
        max_length: int = 24,
        n_phrases: int = 0,
        phrase_width: int = 512,
        **kwargs: Any,
    ) -> None:
        self.vocab_size = vocab_size
        self.encoder = asdict(EncoderSettings(**(encoder or {})))
        self.hidden_size = self.encoder["width"]
        self.num_hidden_layers = self.n_layers = n_layers
        self.num_attention_heads = self.n_heads = n_heads
        self.dropout = dropout
        self.n_phrases, self.phrase_width = n_phrases, phrase_width
        self.max_text_length = kwargs.pop("max_text_length", max_length)
        special = {"pad_token_id": PAD, "bos_token_id": BOS, "eos_token_id": EOS, "decoder_start_token_id": BOS}
        super().__init__(**(kwargs | special | {"is_encoder_decoder": True}))


class Captioner(PreTrainedModel, GenerationMixin):
    """An exemplar-set captioner. ``vocabulary`` and ``inventory`` lie beside the weights and come and go with them."""

    config_class = CaptionerConfig
    main_input_name = "features"
    base_model_prefix = ""
    method = "caption"
    vocabulary: Vocabulary
    inventory: Inventory
    _embedded: Tensor | None

    def __init__(self, config: CaptionerConfig) -> None:
        super().__init__(config)
        settings = EncoderSettings(**config.encoder)
        width = settings.width
        self.encoder = ExemplarEncoder(settings)
        self.nothing = nn.Parameter(torch.randn(1, 1, width) * 0.02)
        self.decoder = Decoder(
            config.vocab_size, width, config.n_layers, config.n_heads, config.dropout, config.max_text_length
        )
        self.reader = nn.Sequential(
            nn.Linear(self.encoder.n_features, 2 * width),
            nn.GELU(),
            nn.Dropout(3 * config.dropout),
            nn.Linear(2 * width, width),
        )
        self.text_words = nn.Embedding(config.vocab_size, width, padding_idx=PAD)
        self.text_head = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))
        self.log_scale = nn.Parameter(torch.tensor(2.5))
        self.phrase_reader: PhraseReader | None = None
        if config.n_phrases:
            self.phrase_reader = PhraseReader(self.encoder.n_features, config.n_phrases, config.phrase_width)
        self.register_buffer("_embedded", None, persistent=False)
        self._priors: dict[str, float] = {}
        self.post_init()

    # ------------------------------------------------------------------ sets

    def encode(
        self, features: Float[Tensor, "units exemplars features"], present: Bool[Tensor, "units exemplars"]
    ) -> Float[Tensor, "units exemplars width"]:
        """What the decoder looks at: one vector an exemplar."""
        return self.encoder(features, present)

    def unconditioned(self, n_units: int) -> tuple[Tensor, Tensor]:
        """The memory that stands for no exemplars at all, and its ``present``."""
        memory = self.nothing.expand(n_units, 1, -1)
        return memory, torch.ones(n_units, 1, dtype=torch.bool, device=memory.device)

    # ----------------------------------------------------------------- texts

    def token_log_probs(
        self, tokens: Int[Tensor, "units texts length"], memory: Tensor, present: Tensor
    ) -> Float[Tensor, "units texts"]:
        """log p of whole token sequences in nats: every token after BOS up to and with EOS, padding not counted."""
        logits = self.decoder(tokens[..., :-1], memory, present).float()
        target = tokens[..., 1:]
        each = logits.gather(-1, target[..., None])[..., 0] - logits.logsumexp(-1)
        return each.masked_fill(target == PAD, 0.0).sum(-1)

    @torch.inference_mode()
    def log_prob(
        self,
        texts: Sequence[str],
        memory: Float[Tensor, "units exemplars width"],
        present: Bool[Tensor, "units exemplars"],
    ) -> Float[Tensor, "units texts"]:
        """Exact log p(text | exemplars) in nats up to and with the end token, for every unit and text."""
        tokens = self.tokens(texts)
        rows = [
            self.token_log_probs(tokens.expand(len(m), -1, -1), m, p)
            for m, p in zip(memory.split(16), present.split(16), strict=True)
        ]
        return torch.cat(rows) if rows else memory.new_zeros(0, len(texts))

    @torch.inference_mode()
    def log_prior(self, texts: Sequence[str]) -> Float[Tensor, " texts"]:
        """Exact log p(text) in nats up to and with the end token."""
        return self.log_prob(texts, *self.unconditioned(1))[0]

    def tokens(self, texts: Sequence[str]) -> Int[Tensor, "texts length"]:
        """Token ids of texts on this model's device, cut to what the decoder can hold."""
        return self.vocabulary.encode(texts, self.config.max_text_length - 2).to(self.device)

    # ------------------------------------------------ exemplars one by one

    def standard(self, features: Float[Tensor, "*exemplars features"]) -> Float[Tensor, "*exemplars features"]:
        """Features less their mean, in units of their spread."""
        return (features - self.encoder.feature_mean) / self.encoder.feature_std

    def exemplar_embedding(self, features: Float[Tensor, "*exemplars features"]) -> Float[Tensor, "*exemplars width"]:
        """Unit vector of each exemplar, which knows nothing of the others."""
        return F.normalize(self.reader(self.standard(features)), dim=-1)

    def set_embedding(
        self, features: Float[Tensor, "units exemplars features"], present: Bool[Tensor, "units exemplars"]
    ) -> Float[Tensor, "units width"]:
        """Mean of the exemplars' vectors: the longer (at most 1), the more they agree. One dot product a phrase."""
        weight = present[..., None].to(features.dtype)
        return (self.exemplar_embedding(features) * weight).sum(1) / weight.sum(1).clamp_min(1)

    def take_reader(self, reader: PhraseReader | None) -> None:
        """Reads the phrases of the inventory with ``reader`` from now on; None: with its vectors."""
        self.phrase_reader = reader
        self.config.n_phrases = 0 if reader is None else len(reader.log_prior)
        if reader is not None:
            self.config.phrase_width = reader.layers[0].out_features

    @torch.inference_mode()
    def read(
        self, features: Float[Tensor, "units exemplars features"], present: Bool[Tensor, "units exemplars"]
    ) -> Reading:
        """What the exemplars say one by one of every phrase of the inventory.

        A captioner without a phrase reader answers by the vectors of its texts, all phrases alike a priori.
        """
        if self.phrase_reader is not None:
            return Reading(self.phrase_reader(self.standard(features)), present, self.phrase_reader.log_prior)
        scores = self.log_scale.exp() * self.exemplar_embedding(features) @ self.inventory_embedding().T
        even = scores.new_full((len(self.inventory),), -math.log(max(len(self.inventory), 1)))
        return Reading(scores.log_softmax(-1) - even, present, even)

    @torch.inference_mode()
    def phrases_of(self, texts: Sequence[str]) -> list[tuple[int, ...]]:
        """Places in the inventory of each text or, of "A and B", of its parts; of other texts, of the phrase nearest
        by vector. Nothing without an inventory."""
        if not len(self.inventory):
            return [() for _ in texts]
        places = {phrase: place for place, phrase in enumerate(self.inventory.phrases)}
        parts = [[text] if text in places else text.split(" and ") for text in texts]
        if strange := list(dict.fromkeys(part for own in parts for part in own if part not in places)):
            vectors = torch.cat([self.text_embedding(ids) for ids in self.tokens(strange).split(1024)])
            nearest = (vectors @ self.inventory_embedding().T).argmax(1).tolist()
            places |= dict(zip(strange, nearest, strict=True))
        return [tuple(places[part] for part in own) for own in parts]

    def text_embedding(self, tokens: Int[Tensor, "texts length"]) -> Float[Tensor, "texts width"]:
        """Unit vector of a text."""
        weight = (tokens > EOS).to(self.text_words.weight.dtype)[..., None]
        mean = (self.text_words(tokens) * weight).sum(1) / weight.sum(1).clamp_min(1)
        return F.normalize(self.text_head(mean), dim=-1)

    @torch.inference_mode()
    def inventory_embedding(self) -> Float[Tensor, "phrases width"]:
        """Embeddings of the inventory, computed once."""
        if self._embedded is None or len(self._embedded) != len(self.inventory):
            self._embedded = torch.cat(
                [self.text_embedding(ids) for ids in self.tokens(self.inventory.phrases).split(1024)]
            )
        return self._embedded

    def priors(self, texts: Sequence[str]) -> dict[str, float]:
        """log p(text) of every text in nats, each computed once for the life of this object."""
        new = [text for text in dict.fromkeys(texts) if text not in self._priors]
        for start in range(0, len(new), 512):
            part = new[start : start + 512]
            self._priors |= dict(zip(part, self.log_prior(part).tolist(), strict=True))
        return {text: self._priors[text] for text in texts}

    # --------------------------------------------------- transformers' generate

    def get_encoder(self, modality: str | None = None) -> nn.Module:
        """The exemplar-set encoder."""
        return self.encoder

    def forward(
        self,
        decoder_input_ids: Int[Tensor, "units length"],
        encoder_outputs: BaseModelOutput | tuple[Tensor, ...],
        attention_mask: Tensor | None = None,
        **_: Any,
    ) -> Seq2SeqLMOutput:
        """Logits of one text a unit; ``encoder_outputs`` holds the memory, ``attention_mask`` what of it is present."""
        memory = encoder_outputs[0]
        present = (
            torch.ones(memory.shape[:2], dtype=torch.bool, device=memory.device)
            if attention_mask is None
            else attention_mask.bool()
        )
        return Seq2SeqLMOutput(logits=self.decoder(decoder_input_ids[:, None], memory, present)[:, 0])

    def prepare_inputs_for_generation(self, input_ids: Tensor, **kwargs: Any) -> dict[str, Any]:  # type: ignore[override]
        """Whole prefixes every step: texts are short, a cache would not pay."""
        return {
            "decoder_input_ids": input_ids,
            "encoder_outputs": kwargs["encoder_outputs"],
            "attention_mask": kwargs.get("attention_mask"),
        }

    # --------------------------------------------------------------- on disk

    def save_pretrained(self, save_directory: str | Path, **kwargs: Any) -> None:  # type: ignore[override]
        """Config, safetensors, vocabulary and inventory into one folder."""
        super().save_pretrained(save_directory, **kwargs)
        self.vocabulary.save(save_directory)
        self.inventory.save(save_directory)

    @classmethod
    def from_pretrained(cls, folder: str | Path, *args: Any, **kwargs: Any) -> "Captioner":  # type: ignore[override]
        """A captioner in eval mode from a folder or a hub name; safetensors only."""
        path = Path(folder)
        if not path.is_dir():
            from huggingface_hub import snapshot_download

            try:
                path = Path(snapshot_download(str(folder)))
            except Exception as fault:
                raise WeightsError(
                    f"a captioner must be a folder or a hub name. Got {str(folder)!r}, which is neither here nor "
                    f"reachable ({type(fault).__name__}). Check the name."
                ) from fault
        if not (path / "model.safetensors").is_file():
            raise WeightsError(
                f"a captioner's folder must hold model.safetensors (pickled weights are not read). "
                f"Got {folder}, which does not. Save it again with save_pretrained."
            )
        captioner = super().from_pretrained(path, *args, use_safetensors=True, **kwargs)
        captioner.vocabulary = Vocabulary.load(path)
        captioner.inventory = Inventory.load(path)
        if captioner.config.n_phrases not in (0, len(captioner.inventory)):
            raise WeightsError(
                f"inventory.txt must hold the {captioner.config.n_phrases} phrases that the weights read. "
                f"Got {len(captioner.inventory)} in {folder}. Take it from where the weights are from."
            )
        return captioner.float().eval()

    @classmethod
    def carried(cls) -> "Captioner":
        """The captioner in the package."""
        return cls.from_pretrained(CARRIED)
