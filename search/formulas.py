"""The logical form that says best where each unit fires.

    for explanation in search_formulas(table, counts, max_length=3):
        explanation.formula, explanation.iou          # water AND NOT blue, 0.27
    search_formulas(table, counts, optimal=True)[0].certified       # no form of up to 3 concepts scores more

IoU is of all pixels of the data set, as in Compositional Explanations (Mu & Andreas 2020); for NetDissect's, which
differs by category, see `describer.search.iou`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from scipy.sparse import csr_array, sparray

from describer.errors import ConceptsError
from describer.search.beam import Chain, Compat, best_chain
from describer.search.counts import UnitCounts
from describer.search.forms import Form
from describer.search.ground import AREA, OVERLAP, SearchGround, UnitGround
from describer.search.signatures import SignatureTable

Counts: TypeAlias = UnitCounts | np.ndarray | sparray
"(units, signatures) mask pixels, as they were counted or in any array"


@dataclass(frozen=True)
class Explanation:
    """What a form says of one unit, and how well."""

    unit: int
    "row of the counts"
    formula: Form | None
    "None where the unit never fires, or with compat where no concept is where it fires"
    iou: float
    "|M and L| / |M or L|, 0 to 1; M is the unit's mask, L the form's"
    length: int
    "concepts in the form; 0 without one"
    score: float
    "iou * length_penalty ** (length - 1): what was searched for"
    upper_bound: float | None
    "no form up to max_length scores more; None where that was not asked"
    detection_accuracy: float
    "|M and L| / |L|: how much of the form the unit finds"
    coverage: float
    "|M and L| / |M|: how much of the unit the form tells"
    unit_area: int
    "pixels of M"
    formula_area: int
    "pixels of L"
    overlap: int
    "pixels of both"
    best_concept: str | None
    "the best single concept without NOT, whatever the form"
    concept_iou: float
    "its IoU"

    @property
    def certified(self) -> bool:
        """True where the score is proven to be the highest there is."""
        return self.upper_bound is not None and self.score >= self.upper_bound


def search_formulas(
    table: SignatureTable,
    counts: Counts,
    max_length: int = 3,
    beam_size: int = 10,
    optimal: bool = False,
    compat: Compat = None,
    length_penalty: float = 1.0,
    max_seconds: float | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> list[Explanation]:
    """One explanation a unit, in the order of the counts; ConceptsError where the counts are of another table.

    `optimal` goes on from the beam until the best is proven or `max_seconds` a unit are over.
    """
    held = checked(table, counts, max_length, beam_size, optimal, compat, length_penalty)
    ground = SearchGround(table)
    found = []
    for unit in range(held.shape[0]):
        own = ground.unit(held[[unit]].toarray()[0].astype(np.int64, copy=False))
        chain, bound = best_chain(own, max_length, beam_size, length_penalty, compat), None
        if optimal:
            from describer.search.optimal import proven

            chain, bound = proven(own, chain, max_length, length_penalty, max_seconds)
        found.append(explained(table, unit, own, chain, bound, length_penalty))
        if progress is not None:
            progress(unit + 1, held.shape[0])
    return found


def checked(
    table: SignatureTable,
    counts: Counts,
    max_length: int,
    beam_size: int,
    optimal: bool,
    compat: Compat,
    length_penalty: float,
) -> csr_array:
    """The counts as a sparse matrix; ConceptsError for what cannot be searched."""
    held = csr_array(counts.counts if isinstance(counts, UnitCounts) else counts)
    if held.shape[1] != len(table):
        raise ConceptsError(
            f"counts must be (units, {len(table)} signatures). Got {held.shape}. Count the masks on this table."
        )
    if max_length < 1 or beam_size < 1:
        told = f"Got {max_length} and {beam_size}"
        raise ConceptsError(f"max_length and beam_size must be at least 1. {told}. Raise them.")
    if not 0 < length_penalty <= 1:
        raise ConceptsError(f"length_penalty must be above 0 and at most 1. Got {length_penalty}. Try 0.97.")
    if compat not in (None, "compexp"):
        raise ConceptsError(f"compat must be compexp or nothing. Got {compat!r}. Leave it out.")
    if compat is not None and optimal:
        raise ConceptsError("optimal must be without compat. Got both. Leave one out.")
    return held


def explained(
    table: SignatureTable, unit: int, ground: UnitGround, chain: Chain | None, bound: float | None, penalty: float
) -> Explanation:
    """What a chain says of one unit; without a chain, that nothing does."""
    alone = ground.ious(ground.leaf_sums[: len(table.names)])
    best = int(alone.argmax()) if len(alone) and alone.max() > 0 else None
    concept = (None, 0.0) if best is None else (table.names[best], float(alone[best]))
    if chain is None:
        return Explanation(unit, None, 0.0, 0, 0.0, bound, 0.0, 0.0, ground.area, 0, 0, *concept)
    form, iou = chain.form(table.leaves), float(ground.ious(chain.sums))
    area, overlap = int(chain.sums[AREA]), int(chain.sums[OVERLAP])
    score = iou * penalty ** (len(chain.steps) - 1)
    shares = overlap / max(area, 1), overlap / max(ground.area, 1)
    return Explanation(unit, form, iou, form.length, score, bound, *shares, ground.area, area, overlap, *concept)
