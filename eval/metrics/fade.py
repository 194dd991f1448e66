"""FADE and MIS: what a description does to its unit, given what somebody has rated; no judge is part of it.

    gini(activations_on_made, activations_on_others)     # clarity: does the unit tell what was made from the text?
    responsiveness(activations, ratings)                 # does it tell where the text holds (2) from where not (0)?
    purity(activations, ratings)                         # is it the text alone that drives it?
    faithfulness(shares, unmodified)                     # does pushing the unit bring the text about?
    mis(strong, weak, shown_strong, shown_weak, scale)   # can its exemplars tell what it does on others?

FADE (Puri et al. 2025) has a language model make inputs and rate them, 0, 1 or 2; here the ratings are given, by
people, labels or a listener. Ginis of areas under curves see neither how broad a text is nor the sign: they fail the
check of extra labels, and are diagnostics. MIS (Zimmermann et al. 2024) uses DreamSim, here any unit vectors will do.
"""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float, Int, Shaped

from describer.errors import DescriberError
from describer.eval.metrics.pairs import area_under_curve, average_precision

FACTORS = (-50.0, -10.0, -1.0, 0.0, 1.0, 10.0, 50.0)
"By which the unit is multiplied for faithfulness, as published."
HOLDS, FAILS = 2, 0
"Ratings that count; what is rated 1, partly, is left out."


def gini(
    positive: Shaped[np.ndarray, " _"] | Shaped[np.ndarray, " some"],
    negative: Shaped[np.ndarray, " _"] | Shaped[np.ndarray, " others"],
) -> float:
    """|2 AUROC - 1|, 0..1, ties half: FADE's clarity for inputs made from the text, and natural ones.

    DescriberError where either kind is missing.
    """
    if not len(positive) or not len(negative):
        message = f"activations must be of both kinds of inputs. Got {len(positive)} and {len(negative)}"
        raise DescriberError(f"{message}. Give more.")
    scores = np.concatenate((positive, negative)).astype(np.float64)[None]
    labels = np.arange(scores.shape[1])[None] < len(positive)
    return float(abs(2 * area_under_curve(scores, labels)[0] - 1))


def responsiveness(activations: Shaped[np.ndarray, " n"], ratings: Int[np.ndarray, " n"]) -> float:
    """Gini of inputs rated 2 beside those rated 0, 0..1; DescriberError where either is missing."""
    return gini(activations[ratings == HOLDS], activations[ratings == FAILS])


def purity(activations: Shaped[np.ndarray, " n"], ratings: Int[np.ndarray, " n"]) -> float:
    """Average precision of the activation for being rated 2 and not 0, 0..1; DescriberError as above."""
    told = (ratings == HOLDS) | (ratings == FAILS)
    labels = ratings[told] == HOLDS
    if labels.all() or not labels.any():
        raise DescriberError("ratings must hold 2 and 0. Got one of them alone, or neither. Rate more inputs.")
    return float(average_precision(activations[told].astype(np.float64)[None], labels[None])[0])


def faithfulness(shares: Mapping[float, float], unmodified: float) -> float:
    """max(0, max over factors of the share - unmodified) / (1 - unmodified), 0..1; 0 where it is always there.

    `shares`: factor by which the unit is multiplied (published: FACTORS) -> share of outputs rated 2; `unmodified`: the
    share where the unit is left alone. DescriberError where a share is none, or there are none.
    """
    if not shares or not all(0 <= share <= 1 for share in (*shares.values(), unmodified)):
        raise DescriberError(f"shares must lie in 0..1, at least one. Got {dict(shares)} and {unmodified}. Mend them.")
    return max(0.0, max(shares.values()) - unmodified) / (1 - unmodified) if unmodified < 1 else 0.0


def mis(
    strong: Float[np.ndarray, "tasks dims"],
    weak: Float[np.ndarray, "tasks dims"],
    shown_strong: Float[np.ndarray, "tasks k dims"],
    shown_weak: Float[np.ndarray, "tasks k dims"],
    scale: float = 10.0,
) -> float:
    """Mean chance of choosing right which of two images drives a unit more, from its strong and weak exemplars, 0..1.

    Of each task: the embedding of an image that drives the unit and of one that does not, and of k exemplars of either
    kind. An image leans to the exemplars that it is more like (mean cosine); the chance is the logistic function of
    `scale` times how much more the strong one leans. Exemplars that tell nothing give .5.
    """
    leans = [_leaning(query, shown_strong, shown_weak) for query in (strong, weak)]
    return float((1 / (1 + np.exp(-scale * (leans[0] - leans[1])))).mean())


def _leaning(query: np.ndarray, strong: np.ndarray, weak: np.ndarray) -> Float[np.ndarray, " tasks"]:
    return np.asarray(np.einsum("td,tkd->t", query, strong) / strong.shape[1]
                      - np.einsum("td,tkd->t", query, weak) / weak.shape[1])  # fmt: skip
