"""Exemplar sets and texts in one space, and what the captioner gives a text for a set.

    meanings = Meanings(Captioner.carried())
    memory, vectors, present = meanings.sets(exemplars, pictures)  # what the decoder looks at, kept by the index
    vectors @ meanings.text_vectors(["dog faces", "red"]).T        # (units, texts) cosines
    meanings.log_probs(["dog faces", "red"], memory, present)      # (units, texts) nats
    meanings.spoken("grey dog")                                    # "gray dogs", as the captioner would say it

With templates ("{}", "many {}") a query is a mixture: its vector is the mean of the templates' vectors, its
probability the mean of their probabilities.
"""

import math
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from describer.caption import CaptionDescriber
from describer.captioner import Captioner
from describer.data.nouns import canonical
from describer.description import ImageSource
from describer.errors import DescriberError
from describer.exemplars import Exemplars
from describer.regions import EncodedImages, exemplar_features

Templates = tuple[str, ...]
PLAIN: Templates = ("{}",)
AT_ONCE = 64
"Exemplar sets that are encoded at a time."


class Meanings:
    """A captioner as a space of meanings."""

    def __init__(self, captioner: Captioner) -> None:
        self.captioner = captioner
        self._encoded: EncodedImages | None = None

    @classmethod
    def of(cls, captioner: "Captioner | str | Path | None") -> "Meanings":
        """Of a captioner, of one in a folder or of the hub, or (None) of the carried one."""
        if isinstance(captioner, Captioner):
            return cls(captioner)
        return cls(Captioner.carried() if captioner is None else Captioner.from_pretrained(captioner))

    @cached_property
    def key(self) -> str:
        """A digest of weights and vocabulary: all of the captioner that changes an answer."""
        return str(CaptionDescriber(self.captioner).key["captioner"])

    @property
    def width(self) -> int:
        """Numbers of a vector."""
        return int(self.captioner.config.hidden_size)

    @torch.inference_mode()
    def sets(
        self, exemplars: Exemplars, pictures: ImageSource
    ) -> tuple[Float[Tensor, "units k width"], Float[Tensor, "units width"], Bool[Tensor, "units k"]]:
        """What the decoder looks at for every unit, float16, its vector, and which exemplars there are.

        Dead units have no exemplars, and NaN for a vector.
        """
        if self._encoded is None or self._encoded.images is not pictures:
            self._encoded = EncodedImages(self.captioner.encoder, pictures)
        features, present = exemplar_features(self._encoded, exemplars)
        present = present & ~exemplars.dead[:, None].to(present.device)
        memory = torch.zeros(*present.shape, self.width, dtype=torch.float16)
        living = present.any(1).nonzero()[:, 0]
        for rows in living.split(AT_ONCE):
            memory[rows.cpu()] = self.captioner.encode(features[rows], present[rows]).half().cpu()
        return memory, self.vectors(features, present), present.cpu()

    @torch.inference_mode()
    def vectors(
        self, features: Float[Tensor, "units k features"], present: Bool[Tensor, "units k"]
    ) -> Float[Tensor, "units width"]:
        """Unit vectors of exemplar sets; NaN where a set has no exemplars."""
        found = F.normalize(self.captioner.set_embedding(features, present), dim=-1).cpu()
        return found.masked_fill(~present.cpu().any(1, keepdim=True), math.nan)

    def spoken(self, text: str) -> str:
        """The text as people write of sets, if the captioner's phrases know its last word so; else as it is."""
        form = canonical(text)
        return form if form.split()[-1:] and form.split()[-1] in self._known else text

    @cached_property
    def _known(self) -> frozenset[str]:
        return frozenset(word for phrase in self.captioner.inventory.phrases for word in phrase.split())

    @torch.inference_mode()
    def text_vectors(self, queries: Sequence[str], templates: Templates = PLAIN) -> Float[Tensor, "queries width"]:
        """Unit vectors of texts, each the mean over the templates."""
        texts = filled(queries, templates)
        each = self.captioner.text_embedding(self.captioner.tokens(texts))
        return F.normalize(each.unflatten(0, (len(queries), len(templates))).mean(1), dim=-1).cpu()

    @torch.inference_mode()
    def log_probs(
        self,
        queries: Sequence[str],
        memory: Float[Tensor, "units k width"],
        present: Bool[Tensor, "units k"],
        templates: Templates = PLAIN,
    ) -> Float[Tensor, "units queries"]:
        """log p(query | exemplars) in nats, the mean probability over the templates."""
        device, texts = self.captioner.device, filled(queries, templates)
        each = self.captioner.log_prob(texts, memory.float().to(device), present.to(device))  # (units, texts)
        return self._mixed(each, len(queries), len(templates))

    @torch.inference_mode()
    def log_priors(self, queries: Sequence[str], templates: Templates = PLAIN) -> Float[Tensor, " queries"]:
        """log p(query) in nats, the mean probability over the templates."""
        each = self.captioner.log_prior(filled(queries, templates))
        return self._mixed(each[None], len(queries), len(templates))[0]

    @staticmethod
    def _mixed(each: Tensor, n_queries: int, n_templates: int) -> Tensor:
        grouped = each.unflatten(-1, (n_queries, n_templates))
        return (grouped.logsumexp(-1) - math.log(n_templates)).float().cpu()


def filled(queries: Sequence[str], templates: Templates) -> list[str]:
    """Every query in every template, the templates of one query beside one another."""
    odd = [template for template in templates if template.count("{}") != 1]
    if odd or not templates:
        raise DescriberError(f"a template must hold {{}} once. Got {odd[:1] or 'none'}. Try '{{}}' or 'many {{}}'.")
    return [template.replace("{}", query) for query in queries for template in templates]
