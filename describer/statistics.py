"""Correlations of many rows at once, bootstrap intervals, permutation p-values and the false discovery rate.

    pearson(simulated, real)                              # (units,) of two (units, images); a constant row gives 0
    pearson_table(texts_by_images, units_by_images)       # (texts, units), one matrix product
    bootstrap_interval(scores)                            # (low, high): 95 % interval of their mean
    bootstrap_interval(pairs, statistic=correlation_of)   # of anything that takes (draws, n, 2) and gives (draws,)
    permutation_p(observed, null)                         # never 0: (1 + how many are as high) / (1 + how many)
    benjamini_hochberg(p)                                 # q: those at most .05 hold 5 % false ones on average

Everything is computed in float64, whatever comes; arrays and CPU tensors are welcome. NaN is not: check it before.
"""

from collections.abc import Callable
from typing import Literal

import numpy as np
from jaxtyping import Float, Int64, Shaped
from torch import Tensor

DRAWS = 2000
"Bootstrap draws of every interval that the project prints."

MAX_DRAWN = 2**23
"Numbers that are drawn at a time, 64 MB, however long the sample is."

Statistic = Literal["mean", "median"] | Callable[[np.ndarray], np.ndarray]
"What is measured of every draw: a name, or a function from (draws, n, ...) to (draws,)."


def pearson(
    x: Shaped[np.ndarray, "rows n"] | Shaped[Tensor, "rows n"],
    y: Shaped[np.ndarray, "rows n"] | Shaped[Tensor, "rows n"],
) -> Float[np.ndarray, " rows"]:
    """Pearson's r of every row of x with the same row of y, in -1..1; 0 where either is constant or empty."""
    return np.clip(np.einsum("rn,rn->r", standardised(x), standardised(y)), -1.0, 1.0)


def pearson_table(
    x: Shaped[np.ndarray, "rows n"] | Shaped[Tensor, "rows n"],
    y: Shaped[np.ndarray, "columns n"] | Shaped[Tensor, "columns n"],
) -> Float[np.ndarray, "rows columns"]:
    """Pearson's r of every row of x with every row of y, in -1..1; 0 where either is constant or empty."""
    return np.clip(standardised(x) @ standardised(y).T, -1.0, 1.0)


def standardised(x: Shaped[np.ndarray, "rows n"] | Shaped[Tensor, "rows n"]) -> Float[np.ndarray, "rows n"]:
    """Rows less their mean, at length 1, so that their products are Pearson's r; constant rows become 0.

    A row counts as constant where all its numbers are equal, not where its computed spread is 0: rounding leaves
    some spread of the mean of equal numbers.
    """
    values = np.asarray(x).astype(np.float64)  # a copy
    if values.shape[1] == 0:
        return values
    constant = values.max(1) == values.min(1)
    values -= values.mean(1, keepdims=True)
    lengths = np.sqrt(np.einsum("rn,rn->r", values, values))
    constant |= lengths == 0  # of numbers so small that their squares vanish
    values[constant] = 0.0
    values /= np.where(constant, 1.0, lengths)[:, None]
    return values


def bootstrap_interval(
    values: Shaped[np.ndarray, "n *rest"] | Shaped[Tensor, "n *rest"],
    statistic: Statistic = "mean",
    level: float = 0.95,
    draws: int = DRAWS,
    seed: int = 0,
    groups: Shaped[np.ndarray, " n"] | None = None,
) -> tuple[float, float]:
    """The middle `level` of a statistic over samples drawn with replacement; NaN for an empty sample.

    Percentile bootstrap (Efron 1979). With `groups`, whole groups are drawn, as where values of a group depend on
    one another, and the statistic must be the mean.
    """
    sample = np.asarray(values, np.float64)
    if not len(sample):
        return float("nan"), float("nan")
    rng = np.random.default_rng(seed)
    if groups is not None:
        assert statistic == "mean" and sample.ndim == 1, "groups are drawn for the mean of plain numbers only"
        return middle(_group_means(sample, groups, draws, rng), level)
    measure = _STATISTICS[statistic] if isinstance(statistic, str) else statistic
    step = max(1, MAX_DRAWN // sample.size)
    found = [measure(sample[_drawn(rng, min(step, draws - start), len(sample))]) for start in range(0, draws, step)]
    return middle(np.concatenate(found), level)


def middle(drawn: Shaped[np.ndarray, " draws"], level: float = 0.95) -> tuple[float, float]:
    """The middle `level` of what was drawn, leaving out what is not finite; NaN where nothing is left."""
    known = np.asarray(drawn, np.float64)
    known = known[np.isfinite(known)]
    if not len(known):
        return float("nan"), float("nan")
    low, high = np.quantile(known, ((1 - level) / 2, (1 + level) / 2)).tolist()
    return low, high


def permutation_p(
    observed: float | Shaped[np.ndarray, " n"], null: Shaped[np.ndarray, " draws"] | Shaped[np.ndarray, "n draws"]
) -> Float[np.ndarray, "*n"]:
    """The chance of something at least as high where nothing is true: (1 + #{null >= observed}) / (1 + #null).

    One null for all, or a row of it for each; never 0 (Phipson & Smyth 2010), and ties count against the observed.
    """
    values, chance = np.asarray(observed, np.float64), np.asarray(null, np.float64)
    if chance.ndim == 1:
        above = len(chance) - np.searchsorted(np.sort(chance), values)
    else:
        above = (chance >= values[..., None]).sum(-1)
    return np.asarray((1 + above) / (1 + chance.shape[-1]), np.float64)


def benjamini_hochberg(p: Shaped[np.ndarray, " n"] | Shaped[Tensor, " n"]) -> Float[np.ndarray, " n"]:
    """Adjusted p-values in the order given: where q is at most x, on average at most x of such findings are false.

    Benjamini & Hochberg (1995): q of the i-th smallest is the least p_j n / j of all j from i on.
    """
    values = np.asarray(p, np.float64)
    order = np.argsort(values, kind="stable")
    scaled = values[order] * len(values) / np.arange(1, len(values) + 1)
    q = np.empty_like(values)
    q[order] = np.minimum.accumulate(scaled[::-1])[::-1].clip(max=1.0)
    return q


def _mean(drawn: np.ndarray) -> np.ndarray:
    return np.asarray(drawn.mean(1))


def _median(drawn: np.ndarray) -> np.ndarray:
    return np.asarray(np.median(drawn, 1))


_STATISTICS: dict[str, Callable[[np.ndarray], np.ndarray]] = {"mean": _mean, "median": _median}


def _drawn(rng: np.random.Generator, draws: int, n: int) -> Int64[np.ndarray, "draws n"]:
    return rng.integers(0, n, (draws, n))


def _group_means(
    values: Float[np.ndarray, " n"], groups: Shaped[np.ndarray, " n"], draws: int, rng: np.random.Generator
) -> Float[np.ndarray, " draws"]:
    """Means over whole groups, each draw as many groups as there are."""
    _, group = np.unique(groups, return_inverse=True)
    sums, sizes = np.bincount(group, values), np.bincount(group)
    drawn = _drawn(rng, draws, len(sums))
    return np.asarray(sums[drawn].sum(1) / sizes[drawn].sum(1))
