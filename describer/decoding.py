"""Decoding by pointwise mutual information: log p(d|E) - weight * log p(d), in nats (MILAN, Hernandez 2022, eq. 3).

    candidates = describe_sets(captioner, features, present, DecodingSettings(weight=0.3))
    candidates[0][0].text          # the best text of the first unit

``rerank`` weighs whole texts exactly: those the beam finds and, from the inventory of human phrases, those that the
exemplars one by one speak for most; whatever their origin, PMI decides: that of the text and the set, and the mean of
those of the text and each exemplar, less what the other units of the layer have of it too; and to say of one more unit
what others say already costs some (``told_apart``). ``greedy``, ``beam`` and ``sample`` put the difference of the
set's into every step of ``generate``.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from itertools import chain, permutations
from math import inf, log
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from transformers import LogitsProcessor, LogitsProcessorList
from transformers.modeling_outputs import BaseModelOutput

from describer.description import Candidate
from describer.errors import DescriberError
from describer.phrasereader import common_of
from describer.vocabulary import EOS, PAD

if TYPE_CHECKING:
    from describer.captioner import Captioner
    from describer.phrasereader import Reading

COLUMNS = 8
"Texts a unit that are scored in one go."
STRATEGIES = ("rerank", "beam", "greedy", "sample")


@dataclass(frozen=True)
class DecodingSettings:
    """How a description is looked for."""

    strategy: str = "rerank"
    "rerank: exact PMI of beam and inventory; beam, greedy, sample: PMI within generate"
    weight: float = 0.3
    "lambda: how much of log p(d) is taken off; 0 is plain likelihood, 1 is PMI proper"
    beam: int = 8
    "width of the beam, or number of samples"
    max_length: int = 12
    "longest generated text, tokens"
    evidence: float = 4.0
    "weight of the mean over the exemplars of the PMI of text and exemplar; for rerank"
    contrast: float = 0.6
    "how much of what all units of the layer speak for is taken off the evidence; 0: nothing, not even its frequency"
    apart: float = 3.5
    "nats times log(1 + n / 2): what it costs to say what n units of the layer say already, the surest first"
    shortlist: int = 48
    "inventory phrases a unit that are weighed exactly"
    n_best: int = 5
    "candidates kept a unit"
    seed: int = 0
    "seed of sample"

    def __post_init__(self) -> None:
        if self.strategy not in STRATEGIES:
            raise DescriberError(f"decoding must be rerank, beam, greedy or sample. Got {self.strategy!r}.")
        from_zero = (self.weight, self.evidence, self.contrast, self.apart, self.shortlist)
        if min(from_zero) < 0 or min(self.beam, self.max_length, self.n_best) < 1:
            raise DescriberError(
                "lambda, evidence, contrast, apart and shortlist must be 0 or more, beam, length and n-best 1 or more. "
                f"Got {self}."
            )


class PMILogits(LogitsProcessor):
    """Turns the scores of a step into log p(w | prefix, E) - weight * log p(w | prefix)."""

    def __init__(self, captioner: "Captioner", weight: float) -> None:
        self.captioner, self.weight = captioner, weight

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """Scores (rows, vocabulary) of the token after input_ids (rows, length), in nats."""
        memory, present = self.captioner.unconditioned(1)
        prior = self.captioner.decoder(input_ids[None], memory, present)[0, :, -1].float()
        difference = torch.log_softmax(scores, -1) - self.weight * torch.log_softmax(prior, -1)
        # a word that nobody would say must not win on a tiny prior: only likely words may be weighed
        likely = torch.log_softmax(scores, -1) > scores.new_tensor(0.01).log() + torch.log_softmax(scores, -1).amax(
            -1, keepdim=True
        )
        return difference.masked_fill(~likely, -torch.inf)


@torch.inference_mode()
def generate_texts(
    captioner: "Captioner",
    memory: Float[Tensor, "units exemplars width"],
    present: Bool[Tensor, "units exemplars"],
    settings: DecodingSettings,
) -> list[list[str]]:
    """Texts that ``generate`` finds for each unit, best first, distinct, not empty, none that says a thing twice."""
    single = settings.strategy == "greedy"
    sample = settings.strategy == "sample"
    weight = 0.0 if settings.strategy == "rerank" else settings.weight
    n_texts = 1 if single else settings.beam
    with torch.random.fork_rng([memory.device] if memory.is_cuda else []):
        torch.manual_seed(settings.seed)
        generate: Any = captioner.generate  # type: ignore[misc]  # its stubs know only their own models
        ids = generate(
            encoder_outputs=BaseModelOutput(last_hidden_state=memory),
            attention_mask=present.long(),
            logits_processor=LogitsProcessorList([PMILogits(captioner, weight)] if weight else []),
            num_beams=1 if single or sample else settings.beam,
            do_sample=sample,
            num_return_sequences=n_texts,
            max_new_tokens=min(settings.max_length, captioner.config.max_text_length - 2),
            eos_token_id=EOS,
            pad_token_id=PAD,
            use_cache=False,
            **({} if single or sample else {"length_penalty": 0.0}),
        )
    texts = captioner.vocabulary.decode(ids)
    rows = [texts[start : start + n_texts] for start in range(0, len(texts), n_texts)]
    return [list(dict.fromkeys(text for text in row if text and not says_twice(text))) for row in rows]


def says_twice(text: str) -> bool:
    """Whether a text joins a thing to itself ("hills and brown hills", "water on water"): no more than is required."""
    parts = text.split(" and ")
    words = [part.split() for part in parts]
    within = any(one <= other for one, other in permutations(map(set, words), 2))
    return within or any(len(set(own)) < len(own) for own in words)


def says_more_than_is_likely(text: str, log_probs: Mapping[str, float]) -> bool:
    """Whether "A and B" is less likely than A alone or B alone.

    A joined text has a tiny p(d), so PMI with lambda above 0 would pay for every word added; the join must earn its
    place by plain likelihood.
    """
    parts = text.split(" and ")
    return len(parts) > 1 and any(log_probs.get(part, -inf) > log_probs[text] for part in parts)


@torch.inference_mode()
def shortlist(captioner: "Captioner", reading: "Reading", size: int) -> list[list[str]]:
    """The inventory phrases that the exemplars one by one speak for most."""
    phrases = captioner.inventory.phrases
    if not phrases or not size:
        return [[] for _ in reading.each]
    nearest = reading.evidence().topk(min(size, len(phrases)), dim=1).indices
    return [[phrases[position] for position in row] for row in nearest.tolist()]


@torch.inference_mode()
def score_texts(
    captioner: "Captioner", memory: Tensor, present: Tensor, texts: Sequence[Sequence[str]]
) -> tuple[list[list[float]], dict[str, float]]:
    """Exact log p(text | E) of every unit's own texts, and log p(text) of every distinct text, in nats."""
    width = max(map(len, texts), default=0)
    if not width:
        return [[] for _ in texts], {}
    distinct = list(dict.fromkeys(text for row in texts for text in row))
    ids = captioner.tokens(distinct)
    lengths = dict(zip(distinct, (ids != PAD).sum(1).tolist(), strict=True))
    row_of = {text: row for row, text in enumerate(distinct)}
    # long texts first and in columns of like length, so that little padding is scored
    ordered = [sorted(row, key=lambda text: -lengths[text]) for row in texts]
    parts = []
    for start in range(0, width, COLUMNS):
        part = [row[start : start + COLUMNS] for row in ordered]
        wide = max(map(len, part))
        longest = max(lengths[text] for row in part for text in row)
        chosen = torch.tensor([[row_of[text] for text in row] + [0] * (wide - len(row)) for row in part])
        parts.append(captioner.token_log_probs(ids[chosen.to(ids.device), :longest], memory, present))
    rows = torch.cat(parts, 1).tolist()
    scores = [dict(zip(own, row, strict=False)) for own, row in zip(ordered, rows, strict=True)]
    log_probs = [[found[text] for text in row] for found, row in zip(scores, texts, strict=True)]
    return log_probs, captioner.priors(distinct)


@torch.inference_mode()
def describe_sets(
    captioner: "Captioner",
    features: Float[Tensor, "units exemplars features"],
    present: Bool[Tensor, "units exemplars"],
    settings: DecodingSettings,
    batch_size: int = 64,
    progress: Callable[[int], None] | None = None,
) -> list[list[Candidate]]:
    """The n best candidates of each exemplar set by exact PMI and evidence, best first.

    The sets are those of one layer: what many of them speak for is evidence for none (see ``contrast``). ``progress``
    is told how many sets are done since it was last told.
    """
    batches = list(zip(features.split(batch_size), present.split(batch_size), strict=True)) if len(features) else []
    common = None
    if settings.contrast and batches and captioner.inventory.phrases:
        common = common_of((captioner.read(*batch) for batch in batches), settings.contrast)
    result: list[list[Candidate]] = []
    for own, shown in batches:
        reading = captioner.read(own, shown)
        if common is not None:
            reading = reading.against(common)
        result += _describe_batch(captioner, captioner.encode(own, shown), shown, reading, settings)
        if progress:
            progress(len(own))
    evidence = settings.evidence if settings.strategy == "rerank" else 0.0
    return told_apart(result, evidence, settings.apart, settings.n_best)


def _describe_batch(
    captioner: "Captioner", memory: Tensor, present: Tensor, reading: "Reading", settings: DecodingSettings
) -> list[list[Candidate]]:
    generated = generate_texts(captioner, memory, present, settings)
    texts, known = generated, set(captioner.inventory.phrases)
    if settings.strategy == "rerank":
        phrases = shortlist(captioner, reading, settings.shortlist)
        parts = [[part for text in row if text not in known for part in text.split(" and ")] for row in generated]
        texts = [list(dict.fromkeys(chain(*rows))) for rows in zip(generated, phrases, parts, strict=True)]
    log_probs, priors = score_texts(captioner, memory, present, texts)
    spoken = evidence_of(captioner, reading, list(priors))
    result = []
    for own, scores, said in zip(texts, log_probs, spoken, strict=True):
        likely = dict(zip(own, scores, strict=True))
        result.append(
            [
                Candidate(
                    text,
                    score,
                    priors[text],
                    score - settings.weight * priors[text],
                    "phrase" if text in known else "beam",
                    said[text],
                )
                for text, score in likely.items()
                if text in known or not says_more_than_is_likely(text, likely)
            ]
        )
    return result


def evidence_of(captioner: "Captioner", reading: "Reading", texts: Sequence[str]) -> list[dict[str, float]]:
    """Per unit the evidence for every text, nats."""
    found = reading.evidence(captioner.phrases_of(texts)).tolist()
    return [dict(zip(texts, row, strict=True)) for row in found]


def told_apart(
    units: Sequence[Iterable[Candidate]], evidence: float, apart: float, n_best: int
) -> list[list[Candidate]]:
    """The n best of each unit by PMI and evidence; what n others say already costs ``apart`` log(1 + n / 2) nats.

    The unit whose best is worth most chooses first, then the one whose best is worth most after that. A speaker says
    what lets a listener pick the unit out (Frank & Goodman 2012), and a text that was said of others lets them less:
    a little where two say the same, much where thirty do.
    Ties by text, so that the order never depends on where candidates came from.
    """
    score = [{each: each.pmi + evidence * (each.evidence or 0.0) for each in own} for own in units]
    said: Counter[str] = Counter()

    def ranked(unit: int) -> list[tuple[float, str, Candidate]]:
        worth = ((apart * log(1 + said[each.text] / 2) - value, each.text, each) for each, value in score[unit].items())
        return sorted(worth, key=lambda item: item[:2])

    found: list[list[Candidate]] = [[] for _ in units]
    waiting = [(ranked(unit)[0][:2], unit) for unit, own in enumerate(score) if own]
    heapify(waiting)
    while waiting:
        first, unit = heappop(waiting)
        order = ranked(unit)
        if order[0][:2] != first:  # others have said it since
            heappush(waiting, (order[0][:2], unit))
            continue
        found[unit] = [each for _, _, each in order[:n_best]]
        said[first[1]] += 1
    return found
