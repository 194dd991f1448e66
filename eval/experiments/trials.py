"""Edits that were tried, each beside a random edit of the same size on the same input, and what came of them.

outcome = judge(trials)
outcome.flipped, outcome.random_flipped, outcome.difference       # shares with 95 % intervals over proposals
"""

from collections.abc import Sequence
from dataclasses import dataclass

from describer.eval.experiments.proposals import Proposal
from describer.eval.experiments.sampling import Estimate, share


@dataclass(frozen=True)
class Tried:
    """What the classifier does after one edit."""

    flipped: bool
    "it says the class of the proposal, which it did not say before"
    gained: float
    "log odds of the class after the edit, less those before, in nats"
    fired: bool
    "the unit is active after the edit"


@dataclass(frozen=True)
class Trial:
    """One edit of one input, and the random edit of the same size."""

    proposal: Proposal
    index: int
    "of the input"
    size: float
    "share of the picture's pixels, or number of words"
    told: str
    "the edit in words"
    proposed: Tried
    random: Tried


@dataclass(frozen=True)
class Outcome:
    """Shares over all trials; intervals draw whole proposals, since trials of one proposal depend on each other."""

    proposals: int
    trials: int
    flipped: Estimate
    random_flipped: Estimate
    difference: Estimate
    "of the two shares, trial by trial"
    gained: Estimate
    random_gained: Estimate
    fired: Estimate
    random_fired: Estimate
    fired_flipped: Estimate
    "flips among the trials in which the proposed edit made the unit fire"
    fired_random_flipped: Estimate
    "flips by the random edits of these trials"


def judge(trials: Sequence[Trial], seed: int = 0) -> Outcome:
    """How often proposed and random edits flip the prediction to the class."""
    order: dict[Proposal, int] = {}
    groups = [order.setdefault(trial.proposal, len(order)) for trial in trials]

    def estimate(values: Sequence[float]) -> Estimate:
        return share(values, groups, seed)

    def where_fired(values: Sequence[float]) -> Estimate:
        kept = [place for place, trial in enumerate(trials) if trial.proposed.fired]
        return share([values[place] for place in kept], [groups[place] for place in kept], seed)

    flips = [float(trial.proposed.flipped) for trial in trials]
    random_flips = [float(trial.random.flipped) for trial in trials]

    return Outcome(
        len(order),
        len(trials),
        estimate(flips),
        estimate(random_flips),
        estimate([one - other for one, other in zip(flips, random_flips, strict=True)]),
        estimate([trial.proposed.gained for trial in trials]),
        estimate([trial.random.gained for trial in trials]),
        estimate([float(trial.proposed.fired) for trial in trials]),
        estimate([float(trial.random.fired) for trial in trials]),
        where_fired(flips),
        where_fired(random_flips),
    )


def by_proposal(trials: Sequence[Trial]) -> list[tuple[Proposal, int, float, float]]:
    """(proposal, trials, share flipped, share flipped by random edits), the most successful first."""
    groups: dict[Proposal, list[Trial]] = {}
    for trial in trials:
        groups.setdefault(trial.proposal, []).append(trial)
    rows = [
        (
            proposal,
            len(own),
            sum(trial.proposed.flipped for trial in own) / len(own),
            sum(trial.random.flipped for trial in own) / len(own),
        )
        for proposal, own in groups.items()
    ]
    return sorted(rows, key=lambda row: -row[2])
