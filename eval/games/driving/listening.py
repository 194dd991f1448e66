"""Belief evaluation: from a message, in translation or not, who of two states was the speaker's?

    tongues = Tongues.over(drivers, states, codes, seed=0)   # both languages over the same states
    tongues.to_codes("belief", k=10)                         # (terms, 10, 64): what each term sounds like
    robot_hears(drivers, states, codes)                      # (messages, 2): log p of either state

Chance is .5: the other state is anywhere on the road of the same map. Several translations are heard together: their
mean log-likelihood counts.
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from describer.beliefs import Criterion, gaussian_log_likelihood, translate
from describer.eval.games.driving.drivers import Drivers
from describer.eval.games.driving.speech import with_strangers


@dataclass(frozen=True)
class Tongues:
    """Two languages over the same states: of robots, some codes that were heard, and of humans, the lexicon."""

    drivers: Drivers
    codes: Float[Tensor, "codes message"]
    contexts: Int[Tensor, "contexts 2 5"]
    robots: Float[Tensor, "codes contexts 2"]
    "log p(code | state)"
    humans: Float[Tensor, "terms contexts 2"]
    "log p(term | state)"
    seed: int

    @classmethod
    @torch.no_grad()
    def over(
        cls,
        drivers: Drivers,
        states: Int[Tensor, "states 5"],
        codes: Float[Tensor, "codes message"],
        seed: int,
        n_contexts: int = 1024,
    ) -> "Tongues":
        """Both languages over states drawn from these, each beside a random one."""
        rng = np.random.default_rng((seed, 11))
        drawn = states[torch.from_numpy(rng.choice(len(states), min(n_contexts, len(states)), replace=False))]
        contexts = with_strangers(drawn, rng)
        humans = drivers.humans.speaker(contexts).movedim(-1, 0).contiguous()
        return cls(drivers, codes, contexts, _robots(drivers, codes, contexts), humans, seed)

    @torch.no_grad()
    def to_terms(
        self, heard: Float[Tensor, "messages message"], criterion: Criterion, k: int
    ) -> Int[Tensor, "messages k"]:
        """Robots' messages as terms."""
        source = _robots(self.drivers, heard, self.contexts)
        return _translated(source, self.humans, criterion, k, self.seed)

    @torch.no_grad()
    def to_codes(self, criterion: Criterion, k: int) -> Float[Tensor, "terms k message"]:
        """Every term of the lexicon as codes."""
        return self.codes[_translated(self.humans, self.robots, criterion, k, self.seed)]


def _translated(source: Tensor, target: Tensor, criterion: Criterion, k: int, seed: int) -> Int[Tensor, "messages k"]:
    """The k best; beliefs are compared in reverse and contexts weighed by both, as in the published code."""
    found = translate(source, target, criterion=criterion, k=k, seed=seed, direction="reverse", weights="mixture")
    return found.indices


def _robots(
    drivers: Drivers, heard: Float[Tensor, "messages message"], states: Int[Tensor, "contexts 2 5"]
) -> Float[Tensor, "messages contexts 2"]:
    return gaussian_log_likelihood(heard, drivers.speaker(states), drivers.speaker.deviation)


@torch.no_grad()
def robot_hears(
    drivers: Drivers, states: Int[Tensor, "messages 2 5"], codes: Float[Tensor, "messages k message"]
) -> Float[Tensor, "messages 2"]:
    """How likely each of the two states makes a robot say these codes, up to a number that both share."""
    apart = codes[:, None] - drivers.speaker(states)[:, :, None]  # (messages, states, k, message)
    return -apart.square().sum(-1).mean(-1) / (2 * drivers.speaker.deviation**2)


@torch.no_grad()
def human_hears(
    drivers: Drivers, states: Int[Tensor, "messages 2 5"], shares: Float[Tensor, "messages terms"]
) -> Float[Tensor, "messages 2"]:
    """How likely each of the two states makes a human say these terms, in their shares."""
    return (drivers.humans.speaker(states) * shares[:, None]).sum(-1)


def shares_of(terms: Int[Tensor, "messages k"], n_terms: int) -> Float[Tensor, "messages n_terms"]:
    """Terms in equal shares."""
    return torch.zeros(len(terms), n_terms).scatter_add_(1, terms, torch.full(terms.shape, 1 / terms.shape[1]))
