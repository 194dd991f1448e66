"""Which phrases of the inventory an exemplar speaks for, read alone: one free output a phrase.

    reader = PhraseReader(n_features=2115, n_phrases=2352)
    reader(standardised)                               # (..., phrases) nats: log p(phrase | x) / p(phrase)
    reading = Reading(each, present, log_prior)
    reading.evidence([(3,), (3, 7)])                   # (units, texts) nats: of phrase 3, and of "3 and 7"
    reading.against(common_of([reading], 0.6))         # told beside the other units of the layer

Over the exemplars of a unit this is naive Bayes. A phrase needs no vector that suits its words, so that a few
photographs are learnt by heart less than by a head that compares vectors.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

FEW = 16
"Other units of a layer at which half of the contrast counts: one unit has nothing to be told apart from."


class PhraseReader(nn.Module):
    """Two layers and a softmax over the phrases, of which the phrases' own frequency is taken off."""

    log_prior: Tensor

    def __init__(self, n_features: int, n_phrases: int, width: int = 512, dropout: float = 0.5) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(n_features, width), nn.GELU(), nn.Dropout(dropout), nn.Linear(width, n_phrases)
        )
        self.register_buffer("log_prior", torch.zeros(n_phrases))

    def forward(self, standard: Float[Tensor, "*exemplars features"]) -> Float[Tensor, "*exemplars phrases"]:
        """log p(phrase | x) - log p(phrase) in nats of exemplars x by their standardised features."""
        return self.layers(standard).log_softmax(-1) - self.log_prior


@dataclass(frozen=True)
class Reading:
    """What the exemplars of units say one by one."""

    each: Float[Tensor, "units exemplars phrases"]
    "log p(phrase | x) / p(phrase), nats"
    present: Bool[Tensor, "units exemplars"]
    log_prior: Float[Tensor, " phrases"]
    "log p(phrase), nats"

    def evidence(self, texts: Sequence[Sequence[int]] | None = None) -> Float[Tensor, "units texts"]:
        """Mean over the exemplars x of log p(d|x) / p(d) in nats; texts: the places of the phrases each is made of.

        "A and B" is true of an exemplar that is either, as sets of both are told so: p(d|x) is the sum of both. A text
        of no phrases has no evidence: 0. Without ``texts``: of every phrase.

        Up to a constant this is minus the KL divergence between what drives the unit and what a listener believes on
        hearing d (Andreas 2017, eq. 3): matching beliefs is expected PMI.
        """
        if texts is None:
            return self._mean(self.each)
        found = self.each.new_zeros(*self.each.shape[:2], len(texts))
        single = [column for column, own in enumerate(texts) if len(own) == 1]
        found[..., single] = self.each[..., [texts[column][0] for column in single]]
        for column, own in enumerate(texts):
            if len(own) > 1:
                prior = self.log_prior[list(own)]
                found[..., column] = (self.each[..., list(own)] + prior).logsumexp(-1) - prior.logsumexp(-1)
        return self._mean(found)

    def against(self, common: Float[Tensor, " phrases"]) -> "Reading":
        """The same with what is ``common`` taken off every phrase: p(d) becomes p(d) times exp(common)."""
        return Reading(self.each - common, self.present, self.log_prior + common)

    def _mean(self, each: Float[Tensor, "units exemplars texts"]) -> Float[Tensor, "units texts"]:
        weight = self.present[..., None].to(each.dtype)
        return (each * weight).sum(1) / weight.sum(1).clamp_min(1)


def common_of(readings: Iterable[Reading], weight: float) -> Float[Tensor, " phrases"]:
    """What the units of a layer, read in batches, have in common: nats to be taken off the evidence for every phrase.

    Two things. How much likelier the phrase is of the layer's exemplars than p(d) has it, so that p(d) becomes its
    frequency there (Saerens 2002, one step); and, times ``weight``, the log of the mean over units of exp of the
    evidence that is left: evidence less this is what a listener believes who knows the layer and hears the phrase,
    namely that it is said of this unit and not of another (Frank & Goodman 2012), up to the number of units. Of few
    units less is taken, of one nothing: see FEW.
    """
    evidence, sums, n_exemplars = [], [], 0
    for reading in readings:
        evidence.append(reading.evidence())
        sums.append(reading.each[reading.present].logsumexp(0))
        n_exemplars += int(reading.present.sum())
    n_units = sum(map(len, evidence))
    share = (n_units - 1) / (n_units - 1 + FEW)
    frequent = share * (torch.stack(sums).logsumexp(0) - math.log(max(n_exemplars, 1)))
    told = (torch.cat(evidence) - frequent).logsumexp(0) - math.log(n_units)
    return frequent + weight * share * told
