"""Shares and correlations with their 95 % bootstrap intervals.

share([1.0, 0.0, 1.0, 1.0], groups=[0, 0, 1, 1])       # Estimate(value=.75, low=…, high=…, n=4): whole groups are drawn
correlation(ious, accuracies).pearson          # r with its interval
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from describer.statistics import DRAWS, bootstrap_interval, middle, pearson


@dataclass(frozen=True)
class Estimate:
    """A number with its 95 % bootstrap interval."""

    value: float
    low: float
    high: float
    n: int
    "how many values it is the mean of"

    def __str__(self) -> str:
        return f"{self.value:.3f} ({self.low:.3f}–{self.high:.3f})"


@dataclass(frozen=True)
class Correlation:
    """How two numbers of every unit go together."""

    pearson: Estimate
    "r, its interval over units"
    p_value: float
    "of Pearson's r, two-sided"
    spearman: float
    "of the ranks"


def share(values: Sequence[float] | np.ndarray, groups: Sequence[int] | np.ndarray, seed: int = 0) -> Estimate:
    """The mean of all values; its interval draws whole groups, since values within a group depend on each other."""
    values, groups = np.asarray(values, np.float64), np.asarray(groups)
    if not len(values):
        return Estimate(float("nan"), float("nan"), float("nan"), 0)
    return Estimate(float(values.mean()), *bootstrap_interval(values, seed=seed, groups=groups), len(values))


def correlation(x: Sequence[float] | np.ndarray, y: Sequence[float] | np.ndarray, seed: int = 0) -> Correlation | None:
    """Pearson and Spearman of two samples; None where there are fewer than three or one of them never changes."""
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    if len(x) < 3 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return None
    found = stats.pearsonr(x, y)
    drawn = np.random.default_rng(seed).integers(0, len(x), (DRAWS, len(x)))
    changing = (np.ptp(x[drawn], 1) > 0) & (np.ptp(y[drawn], 1) > 0)
    interval = middle(pearson(x[drawn[changing]], y[drawn[changing]]))
    r = Estimate(float(found.statistic), *interval, len(x))
    return Correlation(r, float(found.pvalue), float(stats.spearmanr(x, y).statistic))
