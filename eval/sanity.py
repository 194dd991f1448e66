"""Does a metric see that a description is wrong? Five checks that any metric can be put to.

    for row in examine("auc"):              # a name, or Metric("mine", lambda pairs: …, "what it is")
        print(row.check, row.share, row.passed)
    print(sane("pearson"))                  # True: every check is passed

missing   half of the images on which the description holds are left out: c- = c Bernoulli(.5)
extra     as many images are added at random: c+ = clip(c + Bernoulli(sum c / (n - sum c)), 0, 1)
constant  the description holds everywhere
permuted  the unit is given another unit's description
random    the description is that of a unit, the activations are of none

A check is passed where at least 90 % of units score lower by more than .001 of the metric's range over the
descriptions at hand. Each runs on *flags* (a = c exactly, at the published frequencies .499, .1, .01, .001 and .0001;
there the top is as large as the concept) and on *planted* units whose activations follow labels of real or drawn
pictures with noise; their top is that of ALPHAS at which the metric lifts the true descriptions of every fifth unit
most above others. Missing and extra labels, flags and thresholds: Oikarinen et al. 2025; the rest is ours.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float

from describer.errors import DescriberError
from describer.eval.metrics.meta import ALPHAS, Choice, meta_auprc
from describer.eval.metrics.pairs import Pairs, Scores
from describer.eval.metrics.scoring import metric_of
from describer.eval.metrics.simulation import Metric

CHECKS = ("missing", "extra", "constant", "permuted", "random")
FREQUENCIES = (0.499, 0.1, 0.01, 0.001, 0.0001)
"How often planted flags are up, as published."
N_FLAGS, N_SEEDS = 100_000, 4
"Images of every flag, and flags of every frequency (published: 500,000 and 1,000)."
MARGIN, ENOUGH = 0.001, 0.9
"How much lower a wrong description must score, and for what share of units."
RARE, COMMON = 0.02, 0.25
"Shares of images between which a concept's must lie to plant a unit on it; it must be on 10 images, too."
N_REDRAWN = 20
"Wrong descriptions of each planted unit; which labels are missing is chance."

Rows = Float[np.ndarray, "units images"]


@dataclass(frozen=True)
class Outcome:
    """How one metric fared in one check."""

    metric: str
    check: str
    world: str
    "flags, at one frequency, or planted"
    share: float
    "of units that score lower with the wrong description, 0..1"
    passed: bool


@dataclass(frozen=True, eq=False)
class World:
    """Units whose true descriptions are known."""

    name: str
    activations: Rows
    labels: Rows
    "0 or 1: where each unit's true description holds"
    alpha: float | None = None
    "share of images in the top of a unit; None: chosen for each metric"

    def tuned(self, metric: Metric) -> "World":
        """With the top that suits a metric best."""
        if self.alpha is not None:
            return self
        a, true, false = self.activations[::5], self.labels[::5], np.roll(self.labels, 1, axis=0)[::5]
        pairs = [(Pairs(a, true, alpha), Pairs(a, false, alpha)) for alpha in ALPHAS]
        lifts = [float((metric.measure(mine) - metric.measure(other)).mean()) for mine, other in pairs]
        return replace(self, alpha=ALPHAS[int(np.argmax(lifts))])

    def pairs(self, activations: Rows | None = None, labels: Rows | None = None) -> Pairs:
        """Its units with their descriptions, or with others of either."""
        a = self.activations if activations is None else activations
        assert self.alpha is not None, "a top must be chosen before anything is compared"
        return Pairs(a, self.labels if labels is None else labels, self.alpha)


def flags(frequency: float, n: int = N_FLAGS, seeds: int = N_SEEDS, seed: int = 0) -> World:
    """Units that are exactly their concept, up on a share `frequency` of n images (at least one)."""
    rng = np.random.default_rng([seed, int(1e6 * frequency)])
    up = max(1, round(frequency * n))
    c = np.zeros((seeds, n))
    for row in c:
        row[rng.choice(n, up, replace=False)] = 1.0
    return World(f"flags {frequency:g}", c, c, up / n)


def planted(labels: Bool[np.ndarray, "concepts images"], noise: float = 0.3, seed: int = 0) -> World:
    """One unit for every concept that is neither rare nor common; DescriberError where there are fewer than three.

    Where the concept is, the unit answers a random strength (gamma, mean 1, deviation .5); everywhere it answers noise
    of this deviation, and what is below 0 is cut off.
    """
    n = labels.sum(1)
    usable = (n >= max(10, RARE * labels.shape[1])) & (n <= COMMON * labels.shape[1])
    if usable.sum() < 3:
        raise DescriberError(
            f"planted units must have at least 3 concepts that {100 * RARE:g} to {100 * COMMON:g} % of the images, and "
            f"at least 10, have. Got {usable.sum()}. Give more labelled pictures."
        )
    chosen = labels[usable].astype(np.float64)
    rng = np.random.default_rng(seed)
    strength = rng.gamma(4.0, 0.25, chosen.shape)
    return World("planted", np.maximum(chosen * strength + noise * rng.normal(size=chosen.shape), 0), chosen)


def examine(metric: str | Metric, worlds: Sequence[World] | None = None, seed: int = 0) -> list[Outcome]:
    """Every check of one metric in every world; without worlds, flags at all published frequencies."""
    chosen = metric if isinstance(metric, Metric) else metric_of(metric)
    given = [flags(frequency) for frequency in FREQUENCIES] if worlds is None else worlds
    return [outcome for world in given for outcome in _checks(chosen, world, seed)]


def chosen(metric: str | Metric, world: World) -> Choice:
    """How well a metric picks each planted unit's description out of those of all."""
    return meta_auprc(metric, world.activations, world.labels, np.arange(len(world.labels)), ALPHAS)


def sane(metric: str | Metric, worlds: Sequence[World] | None = None, seed: int = 0) -> bool:
    """Whether a metric passes every check in every world."""
    return all(outcome.passed for outcome in examine(metric, worlds, seed))


def _checks(metric: Metric, untuned: World, seed: int) -> Iterator[Outcome]:
    world, rng = untuned.tuned(metric), np.random.default_rng(seed)
    drawn = N_REDRAWN if untuned.alpha is None else 1
    for name in CHECKS:
        lower = [drops(metric, world, _WRONG[name](world, rng)) < -MARGIN for _ in range(drawn)]
        share = float(np.concatenate(lower).mean())
        yield Outcome(metric.name, name, world.name, share, share >= ENOUGH)


def drops(metric: Metric, world: World, wrong: Pairs) -> Scores:
    """How much higher each unit scores with the wrong description, as a share of the metric's range for that unit.

    The range is over the true and the wrong description, the opposite of the true one and one at random.
    """
    shuffled = np.random.default_rng(0).permuted(world.labels, axis=1)
    compared = (world.pairs(), wrong, world.pairs(labels=1 - world.labels), world.pairs(labels=shuffled))
    scores = np.stack([metric.measure(each) for each in compared])
    span = scores.max(0) - scores.min(0)
    return np.where(span > 0, (scores[1] - scores[0]) / np.where(span > 0, span, 1.0), 0.0)


def missing_labels(world: World, rng: np.random.Generator) -> Pairs:
    """Each label is kept with a chance of one half."""
    return world.pairs(labels=world.labels * (rng.random(world.labels.shape) < 0.5))


def extra_labels(world: World, rng: np.random.Generator) -> Pairs:
    """As many labels again, on average, where there are none."""
    total = world.labels.sum(1, keepdims=True)
    chance = total / (world.labels.shape[1] - total)
    return world.pairs(labels=np.clip(world.labels + (rng.random(world.labels.shape) < chance), 0, 1))


def constant_text(world: World, _rng: np.random.Generator) -> Pairs:
    """A description that holds everywhere."""
    return world.pairs(labels=np.ones_like(world.labels))


def permuted_text(world: World, rng: np.random.Generator) -> Pairs:
    """Every unit has the description of another."""
    n = len(world.labels)
    return world.pairs(labels=world.labels[(np.arange(n) + rng.integers(1, n)) % n])


def random_unit(world: World, rng: np.random.Generator) -> Pairs:
    """A unit with the same activations on other images."""
    return world.pairs(activations=rng.permuted(world.activations, axis=1))


_WRONG: dict[str, Callable[[World, np.random.Generator], Pairs]] = {
    "missing": missing_labels,
    "extra": extra_labels,
    "constant": constant_text,
    "permuted": permuted_text,
    "random": random_unit,
}
