"""What a message makes its listener believe, how far two beliefs are apart, and the nearest utterance to a message.

    source = gaussian_log_likelihood(messages, means)                     # log p(message | state)
    target = model_human.log_prob(states)                                 # log p(utterance | state)
    found = translate(source, target, direction="reverse", k=5)           # 5 utterances a message, best first
    units = translate(exemplar_log_likelihood(activations), label_log_likelihood(labels))

One convention: `log p(message | state)` has shape (messages, contexts, hypotheses). A context is a situation the
listener is in; the hypotheses are what the speaker's state may be there, and hypothesis 0 is the one that occurred.
With one context (a unit: all the data) every hypothesis occurred, as often as the prior says. Beliefs ask only for
likelihoods up to a factor a message, so densities serve as well as probabilities; -inf is what a speaker never says.
After Andreas, Dragan & Klein 2017, Translating Neuralese, eq. 3; no array of messages x utterances x contexts is made.
"""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from describer.errors import DescriberError
from describer.likelihoods import (
    LogLikelihood,
    checked,
    exemplar_log_likelihood,
    gaussian_log_likelihood,
    label_log_likelihood,
    normalised,
)

__all__ = (
    "LogLikelihood",
    "Translation",
    "beliefs",
    "divergence",
    "exemplar_log_likelihood",
    "gaussian_log_likelihood",
    "label_log_likelihood",
    "normalised",
    "translate",
)

Direction = Literal["forward", "reverse", "js"]
Weights = Literal["mixture", "product", "source", "uniform"]
Criterion = Literal["belief", "direct", "pmi", "random"]

CHUNK = 2**24
"Bytes of the messages that are compared at once: what fits a cache."


@dataclass(frozen=True, eq=False)
class Translation:
    """For every message of the source, the utterances of the target."""

    scores: Float[Tensor, "messages utterances"]
    "higher is better: minus the divergence in nats, log p(utterance | message), PMI in nats, or noise"
    indices: Int64[Tensor, "messages k"]
    "the k best utterances, best first; of equal ones the first in the lexicon"


def beliefs(
    log_likelihood: LogLikelihood, log_prior: Float[Tensor, "contexts hypotheses"] | None = None, lapse: float = 0.0
) -> LogLikelihood:
    """log p(hypothesis | message, context) by Bayes, in nats; the prior is uniform unless told, and need not be normal.

    `lapse` is the probability that a speaker says anything at all, as often as it is said: it moves each likelihood
    towards p(message). A message that no hypothesis of a context allows leaves the listener there with the prior.
    Raises DescriberError for NaN, +inf, no contexts, and a message that is impossible everywhere.
    """
    log_likelihood = checked(log_likelihood, "log-likelihoods")
    log_prior = _prior(log_likelihood, log_prior)
    return _beliefs(_lapsed(log_likelihood, log_prior, lapse), log_prior)


def divergence(
    source: LogLikelihood,
    target: Float[Tensor, "utterances _ _"],
    *,
    direction: Direction = "forward",
    weights: Weights = "mixture",
    lapse: float = 0.0,
    log_prior: Float[Tensor, "contexts hypotheses"] | None = None,
    chunk: int = CHUNK,
) -> Float[Tensor, "messages utterances"]:
    """Expected divergence of the beliefs that two messages induce, in nats; at least 0 but for rounding, may be inf.

    forward is KL(source || target), reverse KL(target || source), js Jensen-Shannon (at most log 2). The expectation
    is over contexts: `source` weighs them by p(message | what occurred), `product` by that times the same of the
    utterance (the paper), `mixture` by their mean (the published code: a sum), `uniform` all alike. Each of the two
    is normal over contexts. Log-beliefs of a listener may be given as they are with `weights="uniform"`.
    """
    source, target, log_prior = _checked_pair(source, target, log_prior)
    kind: str = weights if weights != "source" else "right" if direction == "reverse" else "left"
    other = _Side.of(target, log_prior, lapse)
    blocks = []
    for part in source.split(max(chunk // max(target[0].nbytes, 1), 1)) if len(source) else ():
        side = _Side.of(part, log_prior, lapse)
        if direction == "js":
            blocks.append(_jensen_shannon(side, other, kind, chunk))
        else:
            blocks.append(_kl(other, side, kind).T if direction == "reverse" else _kl(side, other, kind))
    return torch.cat(blocks) if blocks else source.new_zeros(0, len(target))


def translate(
    source: LogLikelihood,
    target: Float[Tensor, "utterances _ _"],
    *,
    criterion: Criterion = "belief",
    k: int = 1,
    seed: int = 0,
    direction: Direction = "forward",
    weights: Weights = "mixture",
    lapse: float = 0.0,
    log_prior: Float[Tensor, "contexts hypotheses"] | None = None,
    chunk: int = CHUNK,
) -> Translation:
    """The k utterances of the target that say what each message of the source says.

    belief: the least divergence. direct: the most probable utterance where the message is sent,
    log sum_x p(u | x) p(x | z). pmi: the same less log p(u). random: any, by `seed`.
    Raises DescriberError for an empty lexicon and a k that is larger than it.
    """
    source, target, log_prior = _checked_pair(source, target, log_prior)
    if not 1 <= k <= len(target):
        raise DescriberError(f"k must lie in 1-{len(target)}, the utterances there are. Got {k}. Ask for fewer.")
    if criterion == "belief":
        scores = -divergence(
            source, target, direction=direction, weights=weights, lapse=lapse, log_prior=log_prior, chunk=chunk
        )
    elif criterion == "random":
        noise = torch.rand(len(source), len(target), generator=torch.Generator().manual_seed(seed))
        scores = noise.to(source)
    else:
        scores = _co_occurrence(source, target, log_prior, lapse, pmi=criterion == "pmi")
    return Translation(scores, torch.sort(scores, dim=1, descending=True, stable=True).indices[:, :k])


@dataclass(frozen=True, eq=False)
class _Side:
    """The beliefs of one side; a cell is a hypothesis of a context, all contexts of the first hypothesis first."""

    logs: Float[Tensor, "messages cells"]
    "log p(hypothesis | message, context); 0 where that is impossible"
    belief: Float[Tensor, "messages cells"]
    impossible: Float[Tensor, "messages cells"] | None
    "1 where the belief is 0 for certain; None: nowhere"
    weight: Float[Tensor, "messages contexts"]
    "p(message | what occurred), normal over contexts"

    @classmethod
    def of(cls, log_likelihood: LogLikelihood, log_prior: Tensor, lapse: float) -> "_Side":
        log_likelihood = _lapsed(log_likelihood, log_prior, lapse)
        occurred = log_likelihood[..., 0] if len(log_prior) > 1 else torch.zeros_like(log_likelihood[..., 0])
        if occurred.numel() and occurred.amax(1).amin() == -torch.inf:  # it occurred in none of these contexts
            occurred = torch.where(occurred.isneginf().all(1, keepdim=True), 0.0, occurred)
        log_belief = _beliefs(log_likelihood, log_prior).mT.flatten(1)  # (messages, cells)
        belief, impossible = log_belief.exp(), None
        if log_belief.numel() and log_belief.amin() == -torch.inf:
            mask = log_belief.isneginf()
            log_belief, impossible = torch.where(mask, 0.0, log_belief), mask.to(log_belief)
        return cls(log_belief, belief, impossible, occurred.softmax(1))

    def by_context(self, values: Tensor) -> Float[Tensor, "messages hypotheses contexts"]:
        return values.unflatten(1, (-1, self.weight.shape[1]))

    def weighted(self, values: Tensor) -> Float[Tensor, "messages cells"]:
        return (self.by_context(values) * self.weight[:, None]).flatten(1)

    @cached_property
    def negentropy(self) -> Float[Tensor, "messages contexts"]:
        return self.by_context(self.belief * self.logs).sum(1)

    @cached_property
    def weighted_belief(self) -> Float[Tensor, "messages cells"]:
        return self.weighted(self.belief)

    @cached_property
    def weighted_logs(self) -> Float[Tensor, "messages cells"]:
        return self.weighted(self.logs)

    @cached_property
    def weighted_impossible(self) -> Float[Tensor, "messages cells"] | None:
        return None if self.impossible is None else self.weighted(self.impossible)


_TERMS: dict[str, tuple[tuple[float, bool, bool], ...]] = {
    "mixture": ((0.5, True, False), (0.5, False, True)),
    "product": ((1.0, True, True),),
    "left": ((1.0, True, False),),
    "right": ((1.0, False, True),),
    "uniform": ((1.0, False, False),),
}
"Weights over contexts as sums of (share, times the left side's, times the right side's)."


def _kl(left: _Side, right: _Side, weights: str) -> Float[Tensor, "left right"]:
    """Weighted KL(left || right): sum_s w [ sum_d p log p - sum_d p log q ], both parts matrix products."""
    total = left.logs.new_zeros(len(left.logs), len(right.logs))
    everywhere = torch.ones_like(left.weight[:1])
    for share, by_left, by_right in _TERMS[weights]:
        belief = left.weighted_belief if by_left else left.belief
        negentropy = left.negentropy * left.weight if by_left else left.negentropy
        logs = right.weighted_logs if by_right else right.logs
        value = negentropy @ (right.weight if by_right else everywhere).T - belief @ logs.T
        if weights == "product":
            common = left.weight @ right.weight.T
            value = torch.where(common > 0, value / common, torch.inf)  # never sent where the other is said
        impossible = right.weighted_impossible if by_right else right.impossible
        if impossible is not None:
            value = torch.where(belief @ impossible.T > 0, torch.inf, value)
        total += share * value
    return total / (left.weight.shape[1] if weights == "uniform" else 1)


def _jensen_shannon(left: _Side, right: _Side, weights: str, chunk: int) -> Float[Tensor, "left right"]:
    """Weighted Jensen-Shannon divergence; it is no matrix product, so in blocks of contexts, message by message."""
    ours, theirs = left.by_context(left.belief), right.by_context(right.belief)
    out, norm = (theirs.new_zeros(len(ours), len(theirs)) for _ in range(2))
    span = max(chunk // max(theirs[..., :1].nbytes, 1), 1)
    for start in range(0, theirs.shape[2], span):
        cut = slice(start, start + span)
        for row, belief in enumerate(ours):
            mean = (belief[:, cut] + theirs[..., cut]) / 2  # (right, hypotheses, span)
            own = (left.negentropy[row, cut] + right.negentropy[:, cut]) / 2
            apart = own - torch.xlogy(mean, mean).sum(1)  # (right, span)
            weight = _joint(left.weight[row, cut], right.weight[:, cut], weights)
            out[row] += (apart * weight).sum(1)
            norm[row] += weight.sum(1)
    return torch.where(norm > 0, out / norm, torch.inf)


def _joint(left: Float[Tensor, " span"], right: Float[Tensor, "right span"], weights: str) -> Tensor:
    kinds = {"product": left * right, "mixture": (left + right) / 2, "left": left.expand_as(right)}
    return kinds.get(weights, torch.ones_like(right))


def _co_occurrence(
    source: LogLikelihood,
    target: Float[Tensor, "utterances contexts hypotheses"],
    log_prior: Tensor,
    lapse: float,
    pmi: bool,
) -> Float[Tensor, "messages utterances"]:
    """log p(u | z), or log p(u, z) / p(u) p(z), over the states that occurred."""
    left, right = (_occurred(_lapsed(side, log_prior, lapse)) for side in (source, target))
    p_state = log_prior if source.shape[1] == 1 else torch.full_like(left[:1], -math.log(left.shape[1]))
    posterior = torch.where(left.isneginf().all(1, keepdim=True), p_state, left + p_state).log_softmax(1)  # p(x | z)
    high = right.amax(1, keepdim=True).clamp(min=torch.finfo(right.dtype).min)
    scores = (posterior.exp() @ (right - high).exp().T).log() + high.T
    if pmi:
        scores = torch.where(scores.isneginf(), scores, scores - (right + p_state).logsumexp(1))
    return scores


def _occurred(log_likelihood: LogLikelihood) -> Float[Tensor, "messages states"]:
    """The states that occurred: hypothesis 0 of every context, or all hypotheses of the only one."""
    return log_likelihood[..., 0] if log_likelihood.shape[1] > 1 else log_likelihood[:, 0]


def _beliefs(log_likelihood: LogLikelihood, log_prior: Tensor) -> LogLikelihood:
    joint = (log_likelihood + log_prior).mT.contiguous()  # (messages, hypotheses, contexts): quicker, as these are few
    if joint.numel() and joint.amax(1).amin() == -torch.inf:
        joint = torch.where(joint.isneginf().all(1, keepdim=True), log_prior.T, joint)
    return joint.log_softmax(1).mT


def _lapsed(log_likelihood: LogLikelihood, log_prior: Tensor, lapse: float) -> LogLikelihood:
    if not 0 <= lapse < 1:
        raise DescriberError(f"lapse must be a probability below 1. Got {lapse}. Try 0.1.")
    if lapse == 0:
        return log_likelihood
    marginal = (log_likelihood + log_prior).flatten(1).logsumexp(1) - math.log(log_likelihood.shape[1])
    anything = (marginal + math.log(lapse))[:, None, None].expand_as(log_likelihood)
    return torch.logaddexp(log_likelihood + math.log1p(-lapse), anything)


def _prior(log_likelihood: Tensor, log_prior: Tensor | None) -> Float[Tensor, "contexts hypotheses"]:
    """The prior as log-probabilities that sum to 1 in every context."""
    if log_prior is None:
        return torch.full_like(log_likelihood[0], -math.log(log_likelihood.shape[2]))
    if log_prior.shape != log_likelihood.shape[1:] or log_prior.isnan().any() or log_prior.isneginf().all(1).any():
        raise DescriberError(
            f"log_prior must be (contexts, hypotheses)={tuple(log_likelihood.shape[1:])} with something possible in "
            f"each context. Got shape {tuple(log_prior.shape)}. Leave it out for a uniform one."
        )
    return log_prior.to(log_likelihood).log_softmax(1)


def _checked_pair(source: Tensor, target: Tensor, log_prior: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
    if target.ndim == 3 and len(target) == 0:
        raise DescriberError("a lexicon must hold an utterance. Got an empty one. Give some utterances.")
    source, target = checked(source, "messages"), checked(target, "utterances")
    if source.shape[1:] != target.shape[1:] or source.dtype != target.dtype:
        raise DescriberError(
            "messages and utterances must share contexts, hypotheses and dtype. Got "
            f"{tuple(source.shape[1:])} {source.dtype} and {tuple(target.shape[1:])} {target.dtype}. "
            "Compute both for the same states."
        )
    return source, target, _prior(target, log_prior)
