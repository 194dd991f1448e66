"""log p(message | state) from what is at hand: a noisy channel, the activations of units, the labels of inputs.

    gaussian_log_likelihood(messages, means)          # (messages, contexts, hypotheses): an agent's vectors
    exemplar_log_likelihood(activations)              # (units, 1, inputs): a unit is a message, the data its context
    label_log_likelihood(annotations, salience)       # (labels, 1, inputs): what people would say of every input

All answer in the one convention of `describer.beliefs`, which translates between any two of them.
"""

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from describer.errors import DescriberError

LogLikelihood = Float[Tensor, "messages contexts hypotheses"]
"log p(message | state), in nats; hypothesis 0 of a context is the state that occurred"


def normalised(log_likelihood: LogLikelihood, tolerance: float = 1e-3) -> LogLikelihood:
    """The log-likelihoods of a whole lexicon, as they came; raises DescriberError unless they sum to 1 in every state.

    Beliefs do not need it; `direct` compares utterances with one another, so there a score that is no log-probability
    would be translated wrongly and in silence.
    """
    log_likelihood = checked(log_likelihood, "log-likelihoods")
    off = (log_likelihood.logsumexp(0).exp() - 1).abs().max().item()
    if not off <= tolerance:
        raise DescriberError(
            f"probabilities of all utterances must sum to 1 in every state. Got sums that are off by {off:.3g}. "
            "Apply log_softmax over the lexicon."
        )
    return log_likelihood


def gaussian_log_likelihood(
    messages: Float[Tensor, "messages size"], means: Float[Tensor, "contexts hypotheses size"], deviation: float = 0.3
) -> LogLikelihood:
    """log p(message | state) of a channel that adds Gaussian noise of this deviation to every number of the mean."""
    flat = means.flatten(0, 1)  # (contexts * hypotheses, size)
    squares = messages.square().sum(1, keepdim=True) + flat.square().sum(1) - 2 * messages @ flat.T
    constant = messages.shape[1] * (0.5 * math.log(2 * math.pi) + math.log(deviation))
    return (-squares.clamp(min=0) / (2 * deviation**2) - constant).unflatten(1, means.shape[:2])


def exemplar_log_likelihood(
    activations: Float[Tensor, "units inputs"], quantile: float = 0.995, floor: float = 1e-3
) -> LogLikelihood:
    """log p(unit fires | input), one context: 1 - floor where the activation is above the unit's quantile, else floor.

    A unit whose activations are all alike fires nowhere, that is anywhere: its belief is the prior.
    """
    _refuse_unless(activations.ndim == 2 and activations.shape[1] > 0, "activations", activations)
    _refuse_unless(bool(torch.isfinite(activations).all()), "activations", activations)
    rank = min(max(math.ceil(quantile * activations.shape[1]), 1), activations.shape[1])
    level = torch.kthvalue(activations, rank, dim=1, keepdim=True).values if len(activations) else activations[:, :1]
    fires = torch.where(activations > level, 1 - floor, floor).to(activations)
    return fires.log()[:, None]  # (units, 1, inputs)


def label_log_likelihood(
    annotations: Bool[Tensor, "labels inputs"],
    salience: Float[Tensor, "labels inputs"] | None = None,
    floor: float = 1e-3,
) -> LogLikelihood:
    """log p(label | input), one context: a describer says one label of the input, by salience, or any with p = floor.

    It sums to 1 over labels; of an input without labels anything is said alike.
    """
    _refuse_unless(annotations.ndim == 2 and annotations.numel() > 0, "annotations", annotations)
    said = annotations.to(salience.dtype if salience is not None else torch.get_default_dtype())
    if salience is not None:
        _refuse_unless(bool((torch.isfinite(salience) & (salience >= 0)).all()), "salience", salience)
        said = said * salience
    total, any_label = said.sum(0), 1 / len(said)
    share = torch.where(total > 0, said / torch.where(total > 0, total, 1), any_label)
    return ((1 - floor) * share + floor * any_label).log()[:, None]  # (labels, 1, inputs)


def checked(log_likelihood: Tensor, name: str) -> LogLikelihood:
    """The same, where it is sound: the right shape, no NaN, nothing above finite, no message impossible everywhere."""
    whole = log_likelihood.ndim == 3 and log_likelihood.shape[1] > 0 and log_likelihood.shape[2] > 0
    if not whole or not log_likelihood.is_floating_point():
        raise DescriberError(
            f"{name} must be of shape (messages, contexts, hypotheses), none of the last two 0. "
            f"Got {tuple(log_likelihood.shape)} {log_likelihood.dtype}. Give log p(message | state)."
        )
    highest = log_likelihood.flatten(1).amax(1)  # NaN where there is one
    if not bool((highest < torch.inf).all()):
        raise DescriberError(f"{name} must be log-likelihoods below inf. Got NaN or inf. Look at their logarithms.")
    if impossible := highest.isneginf().nonzero().flatten().tolist():
        raise DescriberError(
            f"{name} must be possible somewhere. Got -inf in every state for number {impossible[0]}. Leave it out."
        )
    return log_likelihood


def _refuse_unless(sound: bool, name: str, value: Tensor) -> None:
    if not sound:
        wanted = {"activations": "finite, (units, inputs)", "annotations": "(labels, inputs), neither of them 0"}
        raise DescriberError(
            f"{name} must be {wanted.get(name, 'finite, at least 0')}. Got shape {tuple(value.shape)}. "
            "Look at what was computed."
        )
