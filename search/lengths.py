"""The best form of every length in one search: how much longer forms say.

by_length = search_lengths(table, counts, max_length=10)
by_length[0][3].iou, by_length[9][3].iou         # of unit 3: the best concept or its absence; up to ten concepts
"""

from collections.abc import Callable

import numpy as np

from describer.search.beam import Chain, chains_by_length
from describer.search.formulas import Counts, Explanation, checked, explained
from describer.search.ground import SearchGround
from describer.search.signatures import SignatureTable


def search_lengths(
    table: SignatureTable,
    counts: Counts,
    max_length: int = 10,
    beam_size: int = 10,
    progress: Callable[[int, int], None] | None = None,
) -> list[list[Explanation]]:
    """For every length from 1 the explanations that `search_formulas` of up to that length gives, one a unit.

    Raises ConceptsError as that does.
    """
    held = checked(table, counts, max_length, beam_size, False, None, 1.0)
    ground = SearchGround(table)
    found: list[list[Explanation]] = [[] for _ in range(max_length)]
    for row in range(held.shape[0]):
        unit = ground.unit(held[[row]].toarray()[0].astype(np.int64, copy=False))
        best: Chain | None = None
        chains = iter(chains_by_length(unit, max_length, beam_size) if unit.area else ())
        for explanations in found:
            chain = next(chains, None)
            if chain is not None and (best is None or unit.ious(chain.sums) > unit.ious(best.sums)):
                best = chain
            explanations.append(explained(table, row, unit, best, None, 1.0))
        if progress is not None:
            progress(row + 1, held.shape[0])
    return found
