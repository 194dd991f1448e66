"""BERTScore with any encoder of Hugging Face, by name or folder, from safetensors; nothing is fetched unless named.

    score = BertScore("roberta-large")               # WeightsError where it is neither here nor to be had
    score(texts, references)                         # (texts,) F1, the highest over each text's references

Greedy matching of contextual token vectors (Zhang et al. 2020), last layer unless `layer` is given, without idf and
without rescaling: raw F1, whose differences are small and whose constant-string row must be read first.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from describer.errors import WeightsError
from describer.eval.metrics.texts import refuse_text


class BertScore:
    """One encoder; keeps the vectors of the texts that it has read."""

    def __init__(self, name: str, layer: int = -1, batch_size: int = 64):
        from transformers import AutoModel, AutoTokenizer

        self.name, self.layer, self.batch_size = name, layer, batch_size
        try:
            self.tokenizer: Any = AutoTokenizer.from_pretrained(name)
            self.model: Any = AutoModel.from_pretrained(name, use_safetensors=True).eval()
        except Exception as fault:
            first = (str(fault).splitlines() or [""])[0]
            message = f"the encoder of BERTScore must be a folder or a model of the hub. Got {name}: {first}"
            raise WeightsError(f"{message}. Name one that is here, or leave BERTScore out.") from fault
        self._known: dict[str, Float[Tensor, "tokens dims"]] = {}

    def __call__(self, texts: Sequence[str], references: Sequence[Sequence[str]]) -> Float[np.ndarray, " texts"]:
        """F1 of every text, the highest over its references."""
        lists = [refuse_text(own) for own in references]
        self._read(sorted({*texts, *(text for own in lists for text in own)}))
        pairs = zip(texts, lists, strict=True)
        return np.array([max(self._pair(text, other) for other in own) for text, own in pairs])

    def _pair(self, text: str, reference: str) -> float:
        cosines = self._known[text] @ self._known[reference].T  # (tokens, tokens of the reference)
        if 0 in cosines.shape:
            return 0.0
        precision, recall = float(cosines.amax(1).mean()), float(cosines.amax(0).mean())
        return 2 * precision * recall / (precision + recall) if precision + recall > 0 else 0.0

    @torch.inference_mode()
    def _read(self, texts: Sequence[str]) -> None:
        """Unit vectors of the tokens of new texts, without those that begin and end every text."""
        new = [text for text in texts if text not in self._known]
        for start in range(0, len(new), self.batch_size):
            part = new[start : start + self.batch_size]
            tokens = self.tokenizer(
                part, padding=True, truncation=True, return_tensors="pt", return_special_tokens_mask=True
            )
            meant = tokens.pop("special_tokens_mask") == 0
            hidden = self.model(**tokens, output_hidden_states=True).hidden_states[self.layer]
            vectors = torch.nn.functional.normalize(hidden.float(), dim=-1)  # (texts, tokens, dims)
            for text, own, kept in zip(part, vectors, meant & (tokens["attention_mask"] == 1), strict=True):
                self._known[text] = own[kept]
