"""What units answer beside what their descriptions foretell, with the ranks and cuts that metrics share.

    pairs = Pairs(activations, simulated, alpha=0.005)       # both (units, images)
    pairs.fires                                              # B: the top alpha of every unit, ties included
    pairs.holds                                              # C: where the simulated value is above its best cut

C is cut where the description fares best, at the highest F1 with B, and never below all values: a listener's
probabilities of a thing that is seldom clear do not reach the published .5, and a cut at the unit's own rate cannot see
that half of a broad description is missing. Of values that are 0 or 1, as labels are, this is the published cut. A
value that is the same everywhere is cut at .5. As the cut is chosen on the images that are scored, wrong texts gain a
little, too: compare with shuffled ones.

Ties. The top alpha holds every image as high as the ceil(alpha n)-th, so that no order of the images matters; it is
more than alpha where many are equal. Areas under curves take equal scores as one step; ranks of equals are their mean.
A unit whose activations are all equal has no top and scores 0 in every metric.
"""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float

ALPHA = 0.005
"Share of images on which a unit counts as firing, NetDissect's; with few images at least one."

Rows = Float[np.ndarray, "units images"]
Flags = Bool[np.ndarray, "units images"]
Scores = Float[np.ndarray, " units"]


@dataclass(frozen=True, eq=False)
class Pairs:
    """Activations of some units and the values simulated for them, float64."""

    activations: Rows
    simulated: Rows
    "0..1: how sure the description is that the unit fires"
    alpha: float = ALPHA

    @property
    def n_images(self) -> int:
        return self.activations.shape[1]

    @cached_property
    def fires(self) -> Flags:
        """B, the top alpha of every unit with all that are as high as the last of them."""
        return top(self.activations, self.alpha)

    @cached_property
    def holds(self) -> Flags:
        """C, where the description holds: all values from the cut on at which F1 with B is highest, none the lowest."""
        c = self.simulated
        order = np.argsort(-c, axis=1)
        ordered = np.take_along_axis(c, order, 1)
        hits = np.cumsum(np.take_along_axis(self.fires, order, 1), 1, dtype=np.float64)
        n_held = np.arange(1, c.shape[1] + 1)
        f1 = 2 * hits / (hits[:, -1:] + n_held)
        within = np.zeros(c.shape, bool)
        within[:, :-1] = ordered[:, 1:] != ordered[:, :-1]  # equal values hold together, and the lowest never
        best = np.where(within, f1, -1.0).argmax(1)[:, None]
        cut = np.take_along_axis(ordered, best, 1)
        return np.asarray(np.where(within.any(1, keepdims=True), c >= cut, c >= 0.5))

    @cached_property
    def counts(self) -> tuple[Scores, Scores, Scores]:
        """|B and C|, |B|, |C|."""
        both = (self.fires & self.holds).sum(1, dtype=np.float64)
        return both, self.fires.sum(1, dtype=np.float64), self.holds.sum(1, dtype=np.float64)

    @cached_property
    def alive(self) -> Bool[np.ndarray, " units"]:
        """Whether the unit's activations differ at all."""
        return np.asarray(self.activations.max(1) > self.activations.min(1))


def top(values: Rows, alpha: float) -> Flags:
    """The ceil(alpha n) highest of every row, at least one, with all that are as high as the lowest of them."""
    n = values.shape[1]
    n_top = min(n, max(1, math.ceil(round(alpha * n, 9))))  # rounded: 0.1 * 30 is more than 3
    least = np.partition(values, n - n_top, axis=1)[:, n - n_top]
    return np.asarray(values >= least[:, None])


def share(part: Scores, whole: Scores) -> Scores:
    """part / whole, 0 where the whole is nothing."""
    return np.where(whole > 0, part / np.where(whole > 0, whole, 1.0), 0.0)


def average_precision(scores: Rows, labels: Flags) -> Scores:
    """Area under the precision-recall curve as sum (R_k - R_(k-1)) P_k over different scores; 0 without labels."""
    order = np.argsort(-scores, axis=1)
    sorted_scores = np.take_along_axis(scores, order, 1)
    hits = np.take_along_axis(labels, order, 1)
    ends = run_ends(sorted_scores)
    precision = np.take_along_axis(np.cumsum(hits, 1, dtype=np.float64), ends, 1) / (ends + 1)
    return share((precision * hits).sum(1), hits.sum(1, dtype=np.float64))


def area_under_curve(scores: Rows, labels: Flags) -> Scores:
    """The chance that a labelled image scores above one that is not, ties half; .5 where either kind is missing."""
    n, hits = scores.shape[1], labels.sum(1, dtype=np.float64)
    below = (average_ranks(scores) * labels).sum(1) - hits * (hits + 1) / 2
    pairs = hits * (n - hits)
    return np.where(pairs > 0, below / np.where(pairs > 0, pairs, 1.0), 0.5)


def average_ranks(values: Rows) -> Rows:
    """Ranks from 1 in every row, equal values having the mean of theirs."""
    order = np.argsort(values, axis=1)
    ordered = np.take_along_axis(values, order, 1)
    n = values.shape[1]
    ends, starts = run_ends(ordered), n - 1 - run_ends(ordered[:, ::-1])[:, ::-1]
    ranks = np.empty_like(values)
    np.put_along_axis(ranks, order, (starts + ends) / 2 + 1, 1)
    return ranks


def run_ends(ordered: Rows) -> np.ndarray:
    """(units, images) of rows in order: the last place of every value's run of equals."""
    n = ordered.shape[1]
    places = np.broadcast_to(np.arange(n), ordered.shape)
    last = np.ones(ordered.shape, bool)
    last[:, :-1] = ordered[:, 1:] != ordered[:, :-1]
    ends = np.where(last, places, n)
    return np.asarray(np.minimum.accumulate(ends[:, ::-1], axis=1)[:, ::-1])
