"""What tells the units of a layer apart, out of all that is seen in their exemplars.

    points = told_apart(features, present)           # (units, k, directions), unit vectors

Pictures differ in much that no unit of the layer minds: light, place, what stands around. What tells exemplars of one
unit from those of another, beside how exemplars of one unit differ among themselves, is Fisher's linear discriminant
(1936, here of many classes: Rao 1948). Two meanings of a unit are far from each other in it, two looks of one are not.
"""

import torch
from jaxtyping import Bool, Float, Float64
from torch import Tensor

AXES = 64
"Principal axes of the layer's exemplars in which discriminants are sought."
DIRECTIONS = 16
"Discriminants that are kept."
SHRINKAGE = 0.1
"Share of a round covariance that is mixed into that within units, as they have few exemplars."


def told_apart(
    features: Float[Tensor, "units k features"], present: Bool[Tensor, "units k"]
) -> Float64[Tensor, "units k directions"]:
    """Unit vectors along the discriminants of the layer's units, 0 for absent exemplars.

    With so few units that there are hardly more than directions, all features are kept, each at its deviation.
    """
    found = standardised(features[present])
    owner = torch.nonzero(present)[:, 0]
    if len(owner.unique()) > 2 * DIRECTIONS:
        found = discriminants(found, owner)
    found = found / found.norm(dim=1, keepdim=True).clamp(min=1e-9)
    laid = torch.zeros(*present.shape, found.shape[1], dtype=torch.float64)
    laid[present] = found
    return laid


def standardised(rows: Float[Tensor, "rows features"]) -> Float64[Tensor, "rows features"]:
    """Every feature less its mean, at deviation 1; those that never change are 0."""
    values = rows.double() - rows.double().mean(0)
    deviation = values.square().mean(0).sqrt()
    return values / torch.where(deviation > 1e-6, deviation, torch.inf)


def discriminants(rows: Float64[Tensor, "rows features"], owner: Tensor) -> Float64[Tensor, "rows directions"]:
    """The rows along the DIRECTIONS that differ most between owners, where each owner's rows differ by 1 on average."""
    _, axes = torch.linalg.eigh(rows.T @ rows)
    rows = rows @ axes.flip(1)[:, :AXES]  # (rows, axes)
    _, owner, n = owner.unique(return_inverse=True, return_counts=True)
    means = torch.zeros(len(n), rows.shape[1], dtype=rows.dtype).index_add(0, owner, rows) / n[:, None]
    inner = rows - means[owner]
    within = inner.T @ inner / max(len(rows) - len(n), 1)
    round_ = torch.eye(len(within), dtype=rows.dtype) * within.diagonal().mean()
    spread, axes = torch.linalg.eigh((1 - SHRINKAGE) * within + SHRINKAGE * round_)
    whitening = axes / spread.clamp(min=1e-12).sqrt()  # (axes, whitened)
    whitened = means @ whitening
    _, _, directions = torch.linalg.svd(whitened - whitened.mean(0), full_matrices=False)
    return rows @ whitening @ directions[:DIRECTIONS].T
