"""How clear units are, without any text, from embeddings of the images that drive them most.

    clarity(embeddings)                 # (units,) of (units, exemplars, dims): mean cosine of different exemplars
    polysemanticity(embeddings)         # (units,) 1 less the cosine of the centres of the two halves of the exemplars
    redundancy(vectors)                 # how near the most similar other unit lies, on average
    monosemanticity(activations, image_embeddings)      # (units,) over all images, each pair weighted by activations

Embeddings have unit norm. clarity, polysemanticity and redundancy: SemanticLens (Dreyer et al. 2025);
monosemanticity: Pach et al. 2025, here in closed form, linear in the images.
"""

import numpy as np
from jaxtyping import Float
from scipy.cluster.vq import ClusterError, kmeans2

from describer.errors import DescriberError

SHARE = 2048
"Units whose cosines with all others are held at a time."


def clarity(embeddings: Float[np.ndarray, "units k dims"]) -> Float[np.ndarray, " units"]:
    """Mean cosine of different exemplars, k/(k-1) (|mean e|^2 - 1/k), -1/(k-1)..1; DescriberError for less than two."""
    k = embeddings.shape[1]
    if k < 2:
        raise DescriberError(f"clarity must have at least 2 exemplars a unit. Got {k}. Probe with a larger --k.")
    mean = _unit(embeddings).mean(1)
    return k / (k - 1) * (np.einsum("ud,ud->u", mean, mean) - 1 / k)


def polysemanticity(embeddings: Float[np.ndarray, "units k dims"], seed: int = 0) -> Float[np.ndarray, " units"]:
    """1 less the cosine of the centres of two clusters (k-means) of each unit's exemplars, 0..2.

    0 where one of the clusters has fewer than two members: one odd exemplar is no second meaning.
    """
    if embeddings.shape[1] < 4:
        return np.zeros(len(embeddings))
    return np.array([_split(rows, seed) for rows in _unit(embeddings)])


def redundancy(vectors: Float[np.ndarray, "units dims"]) -> float:
    """Mean over units of the highest cosine with another unit, -1..1; 0 for a single unit."""
    units = _unit(vectors)
    if len(units) < 2:
        return 0.0
    nearest = np.empty(len(units))
    for start in range(0, len(units), SHARE):
        cosines = units[start : start + SHARE] @ units.T
        rows = np.arange(len(cosines))
        cosines[rows, start + rows] = -np.inf  # not with itself
        nearest[start : start + SHARE] = cosines.max(1)
    return float(nearest.mean())


def monosemanticity(
    activations: Float[np.ndarray, "units images"], embeddings: Float[np.ndarray, "images dims"]
) -> Float[np.ndarray, " units"]:
    """Mean cosine of pairs of different images, weighted by the product of their activations scaled to 0..1.

    sum_(i<j) r_i r_j e_i·e_j = (|sum r_i e_i|^2 - sum r_i^2) / 2 for unit e, and with e = 1 the sum of weights: no
    pair is looked at. 0 for units that fire on fewer than two images, or always alike.
    """
    low, high = activations.min(1, keepdims=True), activations.max(1, keepdims=True)
    r = (activations.astype(np.float64) - low) / np.where(high > low, high - low, 1.0)
    drawn = r @ _unit(embeddings)  # (units, dims)
    squares, total = np.einsum("un,un->u", r, r), r.sum(1)
    weights = total**2 - squares
    known = weights > 1e-12 * np.maximum(squares, 1e-300)
    return np.where(known, (np.einsum("ud,ud->u", drawn, drawn) - squares) / np.where(known, weights, 1.0), 0.0)


def _unit(vectors: np.ndarray) -> np.ndarray:
    """At length 1 in float64: float32 embeddings have it to 1e-4 only, which squares to more than some differences."""
    values = vectors.astype(np.float64)
    lengths = np.linalg.norm(values, axis=-1, keepdims=True)
    return values / np.where(lengths > 0, lengths, 1.0)


def _split(rows: Float[np.ndarray, "k dims"], seed: int) -> float:
    if len(np.unique(rows, axis=0)) < 4:
        return 0.0  # k-means needs different points to begin with
    try:
        centres, member = kmeans2(rows, 2, minit="++", rng=np.random.default_rng(seed), missing="raise")
    except ClusterError:
        return 0.0
    if np.bincount(member, minlength=2).min() < 2:
        return 0.0
    a, b = _unit(centres)
    return float(1 - a @ b)
