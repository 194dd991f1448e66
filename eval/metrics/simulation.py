"""How well a description foretells what its unit answers: the five sound metrics and, labelled so, those that fail.

    METRICS["pearson"].measure(pairs)        # (units,)
    METRICS["recall"].sound                  # False: a diagnostic; its `fault` says which sanity check it fails

B: the unit fires (top alpha); C: the description holds (simulated value above its best cut, which of labels is .5, see
`pairs`); a, c: the values themselves.
Soundness as published in "Evaluating Neuron Explanations" (Oikarinen et al. 2025); `describer.eval.sanity` checks it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from describer.eval.metrics.pairs import Pairs, Scores, area_under_curve, average_precision, average_ranks, share
from describer.statistics import pearson as correlation

FLOOR = 1e-7
"Least share whose logarithm is taken."

N_SAMPLED = 50
"Top images, and random others, of the top-and-random correlation."

Measure = Callable[[Pairs], Scores]


@dataclass(frozen=True)
class Metric:
    """One way of comparing a unit's activations with what its description foretells."""

    name: str
    measure: Measure
    about: str
    "what is computed, with its tie rule"
    sound: bool = True
    "whether it passes the published sanity checks"
    fault: str = ""
    "of a diagnostic: the check that it fails"


def pearson(pairs: Pairs) -> Scores:
    """Pearson's r of a and c, -1..1; the default, as it has nothing to tune."""
    return correlation(pairs.activations, pairs.simulated)


def cosine(pairs: Pairs) -> Scores:
    """a·c / |a||c|, -1..1; only for activations that are never negative, as it changes with their zero."""
    a, c = pairs.activations, pairs.simulated
    lengths = np.sqrt(np.einsum("un,un->u", a, a) * np.einsum("un,un->u", c, c))
    return share(np.einsum("un,un->u", a, c), lengths)


def auprc(pairs: Pairs) -> Scores:
    """Average precision of the score c for the label B, 0..1; equal scores are one step."""
    return average_precision(pairs.simulated, pairs.fires)


def f1(pairs: Pairs) -> Scores:
    """2 |B and C| / (|B| + |C|), 0..1."""
    both, fires, holds = pairs.counts
    return share(2 * both, fires + holds)


def iou(pairs: Pairs) -> Scores:
    """|B and C| / |B or C|, 0..1."""
    both, fires, holds = pairs.counts
    return share(both, fires + holds - both)


def recall(pairs: Pairs) -> Scores:
    """|B and C| / |B|: a description that always holds has 1."""
    both, fires, _ = pairs.counts
    return share(both, fires)


def precision(pairs: Pairs) -> Scores:
    """|B and C| / |C|: a description of one thing among many has 1."""
    both, _, holds = pairs.counts
    return share(both, holds)


def accuracy(pairs: Pairs) -> Scores:
    """Share of images on which B and C agree: high for any two rare things."""
    both, fires, holds = pairs.counts
    return 1 - (fires + holds - 2 * both) / pairs.n_images


def balanced_accuracy(pairs: Pairs) -> Scores:
    """Mean of |B and C| / |B| and |not B and not C| / |not B|; 0 for the part that is empty."""
    both, fires, holds = pairs.counts
    neither = pairs.n_images - fires - holds + both
    return (share(both, fires) + share(neither, pairs.n_images - fires)) / 2


def auc(pairs: Pairs) -> Scores:
    """The chance that c is higher where the unit fires, ties half."""
    return area_under_curve(pairs.simulated, pairs.fires)


def inverse_auc(pairs: Pairs) -> Scores:
    """The chance that a is higher where the description holds, ties half."""
    return area_under_curve(pairs.activations, pairs.holds)


def inverse_auprc(pairs: Pairs) -> Scores:
    """Average precision of the score a for the label C."""
    return average_precision(pairs.activations, pairs.holds)


def mad(pairs: Pairs) -> Scores:
    """Mean of a where C less the mean elsewhere, in standard deviations of a over all images; 0 where C is empty."""
    a, holds = pairs.activations, pairs.holds
    inside, n = (a * holds).sum(1), holds.sum(1, dtype=np.float64)
    gap = share(inside, n) - share(a.sum(1) - inside, pairs.n_images - n)
    return np.where((n > 0) & (n < pairs.n_images), share(gap, a.std(1)), 0.0)


def wpmi(pairs: Pairs) -> Scores:
    """log of the mean of c where B, less the log of its mean everywhere: nats of PMI (lambda 1)."""
    _, fires, _ = pairs.counts
    inside = share((pairs.simulated * pairs.fires).sum(1), fires)
    return np.log(np.maximum(inside, FLOOR)) - np.log(np.maximum(pairs.simulated.mean(1), FLOOR))


def spearman(pairs: Pairs) -> Scores:
    """Pearson's r of the ranks, equals having the mean of theirs: what lies below the firing counts most."""
    return correlation(average_ranks(pairs.activations), average_ranks(pairs.simulated))


def top_and_random(pairs: Pairs) -> Scores:
    """Pearson's r over each unit's 50 highest images and 50 random others (seed 0), as published simulators score."""
    chosen = _top_and_random(pairs)
    return correlation(np.take_along_axis(pairs.activations, chosen, 1), np.take_along_axis(pairs.simulated, chosen, 1))


def _top_and_random(pairs: Pairs) -> np.ndarray:
    """(units, images) indices; equals in the order of the images."""
    n_top = min(N_SAMPLED, pairs.n_images)
    order = np.argsort(-pairs.activations, axis=1, kind="stable")
    rest = np.random.default_rng(0).permutation(pairs.n_images - n_top)[:N_SAMPLED]
    return np.concatenate((order[:, :n_top], order[:, n_top:][:, rest]), 1)


def _made(sound: Sequence[Measure], faulty: Mapping[Measure, str]) -> dict[str, Metric]:
    faults = dict.fromkeys(sound, "") | dict(faulty)
    made = [Metric(m.__name__, m, (m.__doc__ or "").splitlines()[0], not fault, fault) for m, fault in faults.items()]
    return {metric.name: metric for metric in made}


SOUND = ("pearson", "cosine", "auprc", "f1", "iou")
"Those that pass both published checks; the first is the default."

METRICS: dict[str, Metric] = _made(
    (pearson, cosine, auprc, f1, iou),
    {
        recall: "extra labels cost nothing",
        precision: "missing labels cost nothing",
        accuracy: "labels of rare things cost next to nothing",
        balanced_accuracy: "extra labels of rare things cost next to nothing",
        auc: "extra labels of rare things cost next to nothing",
        inverse_auc: "missing labels of rare things cost next to nothing",
        inverse_auprc: "a description that always holds scores highest",
        mad: "missing labels of rare things cost next to nothing",
        wpmi: "missing labels cost nothing",
        spearman: "published as failing on real units (it passes on planted ones)",
        top_and_random: "extra labels of rare things fall outside the sample",
    },
)
