"""Units near a unit: by the meaning of their exemplars, or by the images that drive both.

neighbours_of("layer4:483", indexes, asked, question)      # list of Hit, nearest first, without the unit itself

Meaning is the cosine of the exemplar sets' vectors. Coactivation is the share of the unit's exemplar images that are
exemplars of the other one too; only atlases of the same probe set have such images in common.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from torch import Tensor

from describer.errors import AtlasError
from describer.search.atlasindex import Index
from describer.search.query import Hit, Question


def neighbours_of(
    unit: str, indexes: Sequence[Index], asked: Sequence[tuple[Index, str | None]], question: Question
) -> list[Hit]:
    """The nearest units among those that are asked for; the unit is of the first atlas that has it."""
    home, place, vector = _located(indexes, unit)
    if vector is None:
        raise AtlasError(f"{unit} must have exemplars to have neighbours. Got a dead unit. Choose another.")
    if question.neighbours == "coactivation":
        return _by_coactivation(asked, home, place, question.depth)
    hits = []
    for index, where in asked:
        near = index.tables.by_vector(vector, where, question.depth + 1)
        near = [found for found in near if index is not home or found.place != place]
        rows = index.tables.taken([found.number for found in near])
        hits += [index.hit(rows[each.number], each.score, "meaning", {"cosine": each.score}) for each in near]
    return sorted(hits, key=lambda hit: -hit.score)[: question.depth]


def _by_coactivation(asked: Sequence[tuple[Index, str | None]], home: Index, place: int, depth: int) -> list[Hit]:
    own = home.tables.exemplar_images[[place]]
    hits: list[Hit] = []
    for index, where in asked:
        if index.atlas.meta.images.fingerprint != home.atlas.meta.images.fingerprint:
            continue
        theirs = index.tables.exemplar_images
        n_images = min(theirs.shape[1], own.shape[1])
        shared = (theirs[:, :n_images] @ own[:, :n_images].T).toarray()[:, 0] / own.nnz  # (units,)
        if index is home:
            shared[place] = 0
        passing = index.tables.passing(where)
        others = [other for other in np.flatnonzero(shared).tolist() if passing is None or other in passing]
        best = sorted(others, key=lambda other: (-shared[other], other))[:depth]
        rows = index.tables.rows_at(best, where)
        hits += [index.hit(rows[p], float(shared[p]), "coactivation", {"shared": float(shared[p])}) for p in best]
    return sorted(hits, key=lambda hit: -hit.score)[:depth]


def _located(indexes: Sequence[Index], unit: str) -> tuple[Index, int, Float[Tensor, " width"] | None]:
    """The first atlas that has the unit, its place there and its vector; AtlasError with the nearest names."""
    faults = []
    for index in indexes:
        try:
            found = index.tables.located(*index.atlas.locate(unit))
        except AtlasError as fault:
            faults.append(fault)
        else:
            assert found is not None, "the index holds every unit of the atlas"
            return index, *found
    raise faults[0]
