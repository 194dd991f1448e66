"""Any metrics of any number of units at once, in bounded memory.

    scores = score(activations, simulated)                         # {"pearson": (units,), "cosine": …, "auprc": …}
    score(activations, simulated, ["pearson"], alpha=0.01)["pearson"]

Both are (units, images): what each unit answers, and what its description foretells for it. Memory-mapped arrays are
read some units at a time.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Shaped
from torch import Tensor

from describer.errors import ActivationError, DescriberError
from describer.eval.metrics.pairs import ALPHA, Pairs, Scores
from describer.eval.metrics.simulation import METRICS, SOUND, Metric

MAX_NUMBERS = 2**20
"Activations that are scored at a time; some ten arrays of as many 8-byte numbers are alive then."


def score(
    activations: Shaped[np.ndarray, "_ _"] | Shaped[Tensor, "_ _"],
    simulated: Shaped[np.ndarray, "_ _"] | Shaped[Tensor, "_ _"],
    metrics: Sequence[str | Metric] = SOUND,
    alpha: float = ALPHA,
) -> dict[str, Scores]:
    """What every metric says of every unit; 0 for a unit that never changes.

    DescriberError for an unknown metric, shapes that differ, too few images or alpha outside 0..1; ActivationError
    where a number is not finite.
    """
    chosen = [metric if isinstance(metric, Metric) else metric_of(metric) for metric in metrics]
    a, c = np.asarray(activations), np.asarray(simulated)
    if a.shape != c.shape:
        raise DescriberError(f"simulated must have the shape {a.shape} of the activations. Got {c.shape}. Align them.")
    if a.shape[1] < 2:
        raise DescriberError(f"units must have answered at least 2 images. Got {a.shape[1]}. Give more.")
    if not 0 < alpha < 1:
        raise DescriberError(f"alpha must lie between 0 and 1. Got {alpha}. The usual one is {ALPHA}.")
    found: dict[str, list[Scores]] = {metric.name: [np.zeros(0)] for metric in chosen}
    step = max(1, MAX_NUMBERS // a.shape[1])
    for start in range(0, len(a), step):
        pairs = Pairs(_checked(a, start, step), _checked(c, start, step), alpha)
        for metric in chosen:
            found[metric.name].append(np.where(pairs.alive, metric.measure(pairs), 0.0))
    return {name: np.concatenate(parts) for name, parts in found.items()}


def metric_of(name: str) -> Metric:
    """The metric of that name; DescriberError where there is none."""
    if name not in METRICS:
        raise DescriberError(f"metric must be one of {', '.join(METRICS)}. Got {name!r}. Correct it.")
    return METRICS[name]


def _checked(values: np.ndarray, start: int, step: int) -> np.ndarray:
    part = np.asarray(values[start : start + step], np.float64)
    if not np.isfinite(part).all():
        row = start + int(np.flatnonzero(~np.isfinite(part).all(1))[0])
        raise ActivationError(f"values to be scored must be finite. Got others in row {row}. Leave the unit out.")
    return part
