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

CHUNK = 2**26
"Bytes of the largest array made on the way."


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
    left, right = (_Side.of(_lapsed(side, log_prior, lapse), log_prior) for side in (source, target))
    if direction == "reverse":
        return _kl(right, left, "right" if weights == "source" else weights, chunk).T.contiguous()
    if direction == "js":
        return _jensen_shannon(left, right, weights, chunk)
    return _kl(left, right, "left" if weights == "source" else weights, chunk)


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
    """One side of a divergence, contexts and hypotheses flat in the last axis."""

    log_belief: Float[Tensor, "messages cells"]
    weight: Float[Tensor, "messages contexts"]
    "p(message | what occurred), normal over contexts"

    @classmethod
    def of(cls, log_likelihood: LogLikelihood, log_prior: Tensor) -> "_Side":
        occurred = log_likelihood[..., 0]
        if occurred.shape[1] == 1:
            occurred = torch.zeros_like(occurred)
        never = occurred.isneginf().all(1, keepdim=True)  # it occurred in none of these contexts: they weigh alike
        weight = torch.where(never, 0.0, occurred).softmax(1)
        return cls(_beliefs(log_likelihood, log_prior).flatten(1), weight)

    def rows(self, part: slice) -> "_Side":
        return _Side(self.log_belief[part], self.weight[part])

    def alike(self) -> "_Side":
        return _Side(self.log_belief, torch.ones_like(self.weight))

    def by_context(self, values: Tensor) -> Float[Tensor, "messages contexts hypotheses"]:
        return values.unflatten(1, (self.weight.shape[1], -1))

    def weighted(self, values: Tensor) -> Float[Tensor, "messages cells"]:
        return (self.by_context(values) * self.weight[..., None]).flatten(1)

    @property
    def mass(self) -> Float[Tensor, "messages cells"]:
        return self.weighted(self.log_belief.exp())

    @property
    def negentropy(self) -> Float[Tensor, "messages contexts"]:
        belief = self.log_belief.exp()
        return self.by_context(torch.xlogy(belief, belief)).sum(2) * self.weight


_TERMS: dict[str, tuple[tuple[float, bool, bool], ...]] = {
    "mixture": ((0.5, True, False), (0.5, False, True)),
    "product": ((1.0, True, True),),
    "left": ((1.0, True, False),),
    "right": ((1.0, False, True),),
    "uniform": ((1.0, False, False),),
}
"Weights over contexts as sums of (share, times the left side's, times the right side's)."


def _kl(left: _Side, right: _Side, weights: str, chunk: int) -> Float[Tensor, "left right"]:
    """Weighted KL(left || right): sum_s w [ sum_d p log p - sum_d p log q ], both parts matrix products."""
    impossible = right.log_belief.isneginf()
    logs = torch.where(impossible, 0.0, right.log_belief)  # 0 log 0 is 0; p log 0 is put in below
    mask = impossible.to(logs) if impossible.any() else None
    terms = [(share, by_left, right if by_right else right.alike()) for share, by_left, by_right in _TERMS[weights]]
    given = [
        (share, by_left, side.weight, side.weighted(logs), None if mask is None else side.weighted(mask))
        for share, by_left, side in terms
    ]
    out = logs.new_zeros(len(left.log_belief), len(logs))
    n_rows = max(chunk // max(logs[:1].nbytes, 1), 1)
    for start in range(0, len(out), n_rows):
        rows = slice(start, start + n_rows)
        part = left.rows(rows)
        for share, by_left, weight, weighted_logs, forbidden in given:
            side = part if by_left else part.alike()
            value = side.negentropy @ weight.T - side.mass @ weighted_logs.T
            if weights == "product":
                common = side.weight @ weight.T
                value = torch.where(common > 0, value / common, torch.inf)  # never sent where the other is said
            if forbidden is not None:
                value[side.mass @ forbidden.T > 0] = torch.inf
            out[rows] += share * value
    return out / (left.weight.shape[1] if weights == "uniform" else 1)


def _jensen_shannon(left: _Side, right: _Side, weights: Weights, chunk: int) -> Float[Tensor, "left right"]:
    """Weighted Jensen-Shannon divergence; it is no matrix product, so in blocks of contexts, message by message."""
    ours, theirs = (side.by_context(side.log_belief.exp()) for side in (left, right))
    own = [torch.xlogy(belief, belief).sum(2) for belief in (ours, theirs)]  # (messages, contexts)
    out, norm = (theirs.new_zeros(len(ours), len(theirs)) for _ in range(2))
    span = max(chunk // max(theirs[:, :1].nbytes, 1), 1)
    for start in range(0, theirs.shape[1], span):
        cut = slice(start, start + span)
        for row, belief in enumerate(ours):
            mean = (belief[cut] + theirs[:, cut]) / 2  # (right, span, hypotheses)
            apart = (own[0][row, cut] + own[1][:, cut]) / 2 - torch.xlogy(mean, mean).sum(2)
            weight = _joint(left.weight[row, cut], right.weight[:, cut], weights)
            out[row] += (apart * weight).sum(1)
            norm[row] += weight.sum(1)
    return torch.where(norm > 0, out / norm, torch.inf)


def _joint(left: Float[Tensor, " span"], right: Float[Tensor, "right span"], weights: Weights) -> Tensor:
    kinds = {"product": left * right, "mixture": (left + right) / 2, "source": left.expand_as(right)}
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
    joint = log_likelihood + log_prior
    impossible = joint.isneginf().all(2, keepdim=True)
    return torch.where(impossible, log_prior, joint).log_softmax(2)


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
