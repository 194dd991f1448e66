"""CoSy: does a unit answer more to images made from its description than to others?

    shown = source.images("striped cats", 50, seed=0)                   # see `sources`
    found = cosy(control, answers, source.name)                         # activations of one unit, (images,) each
    found.auc, found.mad, found.source                                  # .5 and 0 where the text says nothing

A0: activations on control images, A1: on images made from the text (Kopf et al. 2024). The area under the curve says
nothing of how broad a text is, and so fails the check of extra labels: report it beside Pearson's r or IoU.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from describer.errors import DescriberError


@dataclass(frozen=True)
class Cosy:
    """How one unit answers to images made from a text."""

    auc: float
    "P(A1 > A0) + P(A1 = A0) / 2: ties count half, 0..1"
    mad: float
    "(mean A1 - mean A0) / std A0; 0 where A0 never changes"
    source: str
    "where the images came from"
    n_control: int
    n_shown: int


def cosy(control: Float[np.ndarray, " _"], shown: Float[np.ndarray, " _"], source: str) -> Cosy:
    """Both numbers for one unit; DescriberError where either kind of image is missing."""
    a0, a1 = np.sort(control.astype(np.float64)), shown.astype(np.float64)
    if not len(a0) or not len(a1):
        message = f"CoSy must have control images and images of the text. Got {len(a0)} and {len(a1)}"
        raise DescriberError(f"{message}. Give more.")
    below, not_above = np.searchsorted(a0, a1, "left"), np.searchsorted(a0, a1, "right")
    auc = float((below + not_above).mean() / (2 * len(a0)))
    spread = float(a0.std())
    constant = a0[0] == a0[-1]
    mad = 0.0 if constant or spread == 0 else float((a1.mean() - a0.mean()) / spread)
    return Cosy(auc, mad, source, len(a0), len(a1))
