"""The method `clip`: the word of a list that a listener sees in a unit's exemplars and not in those of other units.

    describer = WordListDescriber(load_listener(), read_words("words.txt"))
    descriptions = describer.describe(exemplars, images)     # soft weighted PMI in nats, n-best

SoftWPMI of CLIP-Dissect (Oikarinen & Weng 2023, section 3.2): p(d|x) is a softmax over the words of the list, an
exemplar belongs to the unit with a probability that falls with its rank, and p(d) is the mean of p(d|E) over the units
that are described together. So the answer depends on the list and on the layer's other units: a unit alone has none to
differ from, and is given the word of highest p(d|E). Whole pictures are seen, without masks, as published.
"""

import hashlib
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from jaxtyping import Bool, Float, Float64, Int64
from torch import Tensor

from describer.description import Candidate, Description, ImageSource
from describer.errors import DescriberError
from describer.exemplars import Exemplars
from describer.listener import ListenerLike

EPSILON = 1e-7
"What the published code adds to a probability before its logarithm."


@dataclass(frozen=True)
class WordListSettings:
    """How words are weighed; the defaults are the published ones."""

    weight: float = 1.0
    "lambda: how much of log p(d) is taken off"
    sharpness: float = 10.0
    "a: cosines are multiplied by it before the softmax over the words"
    first: float = 0.998
    "probability that the strongest exemplar belongs to the unit"
    last: float = 0.97
    "what it falls to, in even steps, behind the weakest"
    n_best: int = 5
    "candidates kept a unit"

    def __post_init__(self) -> None:
        if self.weight < 0 or self.sharpness <= 0 or self.n_best < 1 or not 0 < self.last <= self.first <= 1:
            wanted = "lambda must be 0 or more, sharpness above 0, n_best 1 or more, 0 < last <= first <= 1"
            raise DescriberError(f"{wanted}. Got {self}. Correct it.")


def read_words(path: str | Path) -> list[str]:
    """The words of a file, one a line; blank lines and repetitions are left out here and nowhere else.

    Filtering before the words are embedded but not where they are named is a published bug: every label behind a
    blank line becomes the one before it. DescriberError for a file that cannot be read or holds no word.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as fault:
        raise DescriberError(f"a word list must be a text file. Got {path}: {fault}. Check the path.") from fault
    words = list(dict.fromkeys(line.strip() for line in lines if line.strip()))
    if not words:
        raise DescriberError(f"a word list must have words, one a line. Got none in {path}. Fill it.")
    return words


def soft_log_prob(
    cosines: Float[Tensor, "images words"],
    chosen: Int64[Tensor, "units k"],
    present: Bool[Tensor, "units k"],
    settings: WordListSettings,
) -> Float64[Tensor, "units words"]:
    """log p(d|E) in nats: the sum over exemplars x of log(1 + p(x in E) (p(d|x) - 1)); absent ones add nothing."""
    likely = torch.softmax(cosines.double() * settings.sharpness, 1)  # (images, words)
    k = chosen.shape[1]
    total = likely.new_zeros(len(chosen), likely.shape[1])
    for rank in range(k):
        belongs = settings.first - rank / k * (settings.first - settings.last)
        seen = present[:, rank]
        total[seen] += (1 + belongs * (likely[chosen[seen, rank]] - 1) + EPSILON).log()
    return total


class WordListDescriber:
    """A listener and a list of words; keeps pictures embedded between the layers of one image source."""

    method = "clip"

    def __init__(
        self,
        listener: ListenerLike,
        words: Sequence[str],
        settings: WordListSettings | None = None,
        batch_size: int = 64,
    ) -> None:
        self.words = list(dict.fromkeys(words))
        if not self.words or not all(word.strip() for word in self.words):
            raise DescriberError(f"words must be at least one, none blank. Got {len(self.words)}. Use read_words.")
        self.listener, self.settings, self.batch_size = listener, settings or WordListSettings(), batch_size
        self._heard: Tensor | None = None
        self._seen: dict[int, Tensor] = {}
        self._images: ImageSource | None = None

    @property
    def key(self) -> dict[str, str | int | float | bool | None]:
        """Listener, words and settings: all that changes the answer."""
        words = hashlib.sha256("\n".join(self.words).encode()).hexdigest()
        listener = {f"listener_{name}": value for name, value in self.listener.key.items()}
        return {"listener": self.listener.name, **listener, "words": words, **asdict(self.settings)}

    @torch.inference_mode()
    def describe(
        self, exemplars: Exemplars, images: ImageSource, progress: Callable[[int], None] | None = None
    ) -> list[Description]:
        """One description a unit, in the order of `exemplars`; dead units get none and do not count in the prior."""
        present = (exemplars.images >= 0) & ~exemplars.dead[:, None]
        living = present.any(1).nonzero()[:, 0]
        found: dict[int, list[Candidate]] = {}
        if len(living):
            distinct, place = torch.unique(exemplars.images[living].clamp_min(0), return_inverse=True)
            needed = set(exemplars.images[living][present[living]].tolist())
            cosines = self._cosines([int(i) for i in distinct.tolist()], needed, images)
            log_prob = soft_log_prob(cosines, place, present[living], self.settings)
            log_prior = log_prob.logsumexp(0) - math.log(len(living))
            for row, own in zip(living.tolist(), log_prob, strict=True):
                found[row] = self._best(own, log_prior, alone=len(living) == 1)
        if progress:
            progress(len(exemplars))
        units = exemplars.unit_ids.tolist()
        return [self._told(exemplars.layer, unit, found.get(row, [])) for row, unit in enumerate(units)]

    def _cosines(self, indices: list[int], needed: set[int], images: ImageSource) -> Float[Tensor, "images words"]:
        """Of these pictures with all words; pictures that are not needed stand in for absent ones and are 0."""
        if self._images is not images:
            self._images, self._seen = images, {}
        missing = [index for index in indices if index in needed and index not in self._seen]
        for start in range(0, len(missing), self.batch_size):
            part = missing[start : start + self.batch_size]
            vectors = self.listener.embed_images([images.image(index).convert("RGB") for index in part])
            self._seen |= dict(zip(part, vectors, strict=True))
        if self._heard is None:
            batches = range(0, len(self.words), 512)
            self._heard = torch.cat([self.listener.embed_texts(self.words[start : start + 512]) for start in batches])
        nothing = torch.zeros_like(self._heard[0])
        return torch.stack([self._seen.get(index, nothing) for index in indices]) @ self._heard.T

    def _best(
        self, log_prob: Float64[Tensor, " words"], log_prior: Float64[Tensor, " words"], alone: bool
    ) -> list[Candidate]:
        """The best words by PMI; those first in the list of equal ones."""
        pmi = log_prob - self.settings.weight * log_prior
        order = torch.sort(log_prob if alone else pmi, descending=True, stable=True).indices
        best = order[: self.settings.n_best].tolist()
        return [
            Candidate(self.words[i], float(log_prob[i]), float(log_prior[i]), float(pmi[i]), "phrase") for i in best
        ]

    def _told(self, layer: str, unit: int, n_best: list[Candidate]) -> Description:
        if not n_best:
            return Description(layer, unit, None, self.method)
        first = n_best[0]
        scores = {"log_prob": first.log_prob, "log_prior": first.log_prior, "pmi": first.pmi}
        return Description(layer, unit, first.text, self.method, scores, tuple(n_best))
