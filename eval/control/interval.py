"""A measured value with the interval of its draws, as the reports hold it.

interval(0.3, drawn)          # {"value": 0.3, "low": …, "high": …}
"""

import numpy as np

from describer.statistics import middle

Interval = dict[str, float | None]
"value, low, high; None where nothing can be said, as of the removal of what was not there"


def interval(value: float, drawn: np.ndarray) -> Interval:
    """A value with the middle 95 % of its draws; draws that are not finite are left out."""
    low, high = middle(drawn)
    if not np.isfinite(value) or np.isnan(low):
        return {"value": None, "low": None, "high": None}
    return {"value": float(value), "low": low, "high": high}
