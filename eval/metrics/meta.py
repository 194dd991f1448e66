"""Meta-AUPRC: how well a metric picks each unit's true description out of all others (Oikarinen et al. 2025).

    choice = meta_auprc("pearson", activations, concepts, own)    # (units, images), (concepts, images), (units,)
    choice.value, choice.alpha                                    # average precision, 0..1; the top that suits it best

Every unit is scored with every concept; all scores are ranked together, and a score counts as right where the concept
is the unit's own. By chance the value is about 1 / concepts. Equal scores are one step. Metrics that look at the top
of a unit have its size chosen on every twentieth unit (two at least), which do not count in the value.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int, Shaped

from describer.errors import DescriberError
from describer.eval.metrics.pairs import average_precision
from describer.eval.metrics.scoring import metric_of, score
from describer.eval.metrics.simulation import Metric

ALPHAS = (0.0001, 0.0005, 0.001, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5)
"Sizes of a top that are tried."
TUNING = 20
"Every so many units one that chooses among ALPHAS."


@dataclass(frozen=True)
class Choice:
    """How well one metric chooses."""

    value: float
    "average precision over all units and concepts, 0..1"
    alpha: float
    "share of images in the top of a unit"
    by_chance: float
    "what a metric that knows nothing has: the share of scores that are right"


def meta_auprc(
    metric: str | Metric,
    activations: Shaped[np.ndarray, "units images"],
    concepts: Shaped[np.ndarray, "concepts images"],
    own: Int[np.ndarray, " units"],
    alphas: Sequence[float] = ALPHAS,
) -> Choice:
    """The choice over the units that choose no alpha; DescriberError for fewer than three units or two concepts."""
    if len(activations) < 3 or len(concepts) < 2:
        message = "a choice must be among 2 concepts or more, for 3 units or more"
        raise DescriberError(f"{message}. Got {len(concepts)} and {len(activations)}. Give more.")
    chosen = metric if isinstance(metric, Metric) else metric_of(metric)
    tuning = np.zeros(len(activations), bool)
    tuning[:: min(TUNING, (len(activations) + 1) // 2)] = True
    rows = activations[tuning], concepts, own[tuning]
    alpha = max(alphas, key=lambda tried: ranked(score_table(chosen, *rows[:2], tried), rows[2]))
    table = score_table(chosen, activations[~tuning], concepts, alpha)
    return Choice(ranked(table, own[~tuning]), alpha, 1 / len(concepts))


def score_table(
    metric: Metric,
    activations: Shaped[np.ndarray, "units images"],
    concepts: Shaped[np.ndarray, "concepts images"],
    alpha: float,
) -> Float[np.ndarray, "units concepts"]:
    """What the metric says of every unit with every concept, a unit at a time."""
    name, found = metric.name, np.empty((len(activations), len(concepts)))
    for row, unit in enumerate(activations):
        found[row] = score(np.broadcast_to(unit, concepts.shape), concepts, [metric], alpha)[name]
    return found


def ranked(table: Float[np.ndarray, "units concepts"], own: Int[np.ndarray, " units"]) -> float:
    """Average precision of all scores for being those of the unit's own concept."""
    right = np.arange(table.shape[1]) == own[:, None]
    return float(average_precision(table.reshape(1, -1), right.reshape(1, -1))[0])
