"""The method `translation`: says of every unit what in a lexicon makes one believe the same inputs.

    lexicon = Lexicon(("dog", "grass", ...), label_log_likelihood(annotations, salience))    # over the probed images
    describer = TranslationDescriber(lexicon)
    descriptions = describer.describe(exemplars, images)      # one a unit, n-best with PMI in nats

A unit is a message with one context, all images, and p(image | unit) lies on its exemplars. Matching beliefs forward is
expected PMI: KL(p(x|unit) || p(x|d)) = const(unit) - E_{x~unit}[log p(d|x) - log p(d)]. So log_prob, log_prior and pmi
of a candidate are the two expectations and their difference, and candidates are in the order of the divergence.
"""

import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from describer.beliefs import translate
from describer.description import Candidate, Description, ImageSource
from describer.errors import DescriberError
from describer.exemplars import Exemplars

N_BEST = 10


@dataclass(frozen=True, eq=False)
class Lexicon:
    """What can be said, and how likely it is said of every probed image; DescriberError where the two do not fit."""

    texts: tuple[str, ...]
    log_likelihood: Float[Tensor, "texts 1 images"]
    "log p(text | image), as `label_log_likelihood` makes it"

    def __post_init__(self) -> None:
        if not self.texts or len(self.texts) != len(self.log_likelihood):
            got = f"{len(self.texts)} texts and {len(self.log_likelihood)} rows"
            raise DescriberError(f"a lexicon must have a row of likelihoods for each of its texts. Got {got}.")


class TranslationDescriber:
    """A lexicon with the share of a unit's firing that means nothing."""

    method = "translation"

    def __init__(self, lexicon: Lexicon, lapse: float = 0.01, batch_size: int = 256) -> None:
        if not 0 <= lapse < 1:
            raise DescriberError(f"lapse must be a probability below 1. Got {lapse}. Try 0.01.")
        self.lexicon, self.lapse, self.batch_size = lexicon, lapse, batch_size

    @property
    def key(self) -> dict[str, str | int | float | bool | None]:
        """Texts, likelihoods and lapse: all that changes the answer."""
        digest = hashlib.sha256("\n".join(self.lexicon.texts).encode())
        digest.update(self.lexicon.log_likelihood.contiguous().numpy().tobytes())
        return {"lexicon": digest.hexdigest(), "lapse": self.lapse}

    @torch.inference_mode()
    def describe(
        self, exemplars: Exemplars, images: ImageSource, progress: Callable[[int], None] | None = None
    ) -> list[Description]:
        """One description a unit, in the order of `exemplars`; dead units get none.

        DescriberError where the exemplars are of other images than the lexicon speaks of.
        """
        n_images = self.lexicon.log_likelihood.shape[2]
        if len(exemplars) and int(exemplars.images.max()) >= n_images:
            got = f"exemplar {int(exemplars.images.max())} and {n_images} images in the lexicon"
            raise DescriberError(f"a lexicon must speak of every probed image. Got {got}. Make it from these images.")
        result: list[Description] = []
        for start in range(0, len(exemplars), self.batch_size):
            part = exemplars.subset(range(start, min(start + self.batch_size, len(exemplars))))
            result += self._described(part)
            if progress:
                progress(len(part))
        return result

    def _described(self, exemplars: Exemplars) -> list[Description]:
        seen = exemplars.images >= 0
        alive = seen.any(1) & ~exemplars.dead
        says = self.lexicon.log_likelihood.double()
        fires = firing(exemplars.images, says.shape[2], self.lapse)
        told: dict[int, list[Candidate]] = {}
        divergences: dict[int, float] = {}
        if alive.any():
            found = translate(fires[alive], says, k=min(N_BEST, len(self.lexicon.texts)))
            rows = alive.nonzero().flatten().tolist()
            for row, scores, indices in zip(rows, found.scores, found.indices, strict=True):
                told[row] = self._candidates(fires[row, 0].exp(), indices.tolist())
                divergences[row] = -float(scores[indices[0]])
        units = exemplars.unit_ids.tolist()
        return [
            self._told(exemplars.layer, unit, told.get(row, []), divergences.get(row)) for row, unit in enumerate(units)
        ]

    def _candidates(self, belief: Float[Tensor, " images"], best: list[int]) -> list[Candidate]:
        says = self.lexicon.log_likelihood[best, 0].double()  # (best, images)
        prior = says.logsumexp(1) - math.log(says.shape[1])
        prob = (torch.where(belief > 0, says, 0.0) * belief).sum(1)
        return [
            Candidate(self.lexicon.texts[index], p, q, p - q, "phrase")
            for index, p, q in zip(best, prob.tolist(), prior.tolist(), strict=True)
        ]

    def _told(self, layer: str, unit: int, n_best: list[Candidate], divergence: float | None) -> Description:
        if not n_best or divergence is None:
            return Description(layer, unit, None, self.method)
        first = n_best[0]
        scores = {"log_prob": first.log_prob, "log_prior": first.log_prior, "pmi": first.pmi, "divergence": divergence}
        return Description(layer, unit, first.text, self.method, scores, tuple(n_best))


def firing(images: Tensor, n_images: int, lapse: float) -> Float[Tensor, "units 1 images"]:
    """log p(image | unit): alike on the exemplars, but for `lapse`, which is alike on all images."""
    seen = (images >= 0).double()
    counts = torch.zeros(len(images), n_images, dtype=torch.float64).scatter_add_(1, images.clamp(min=0), seen)
    share = counts / counts.sum(1, keepdim=True).clamp(min=1)
    return ((1 - lapse) * share + lapse / n_images).log()[:, None]
