"""How well concepts and forms agree with units' masks, by either of the two published definitions.

    global_ious(table, counts)          # (units, concepts): over all pixels, as in Compositional Explanations
    category_ious(table, counts)        # the same, as in NetDissect: the unit only where the category is labelled
    best_by_category(table, ious)[3]    # {"color": ("red", 0.12), "object": ("car", 0.08)} of unit 3
    score_form(table, counts, parse("car AND NOT red"))[3].coverage

Numbers of the two are not comparable: NetDissect divides by less wherever a unit fires in images that are not labelled
in the category of the concept.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int64

from describer.errors import ConceptsError
from describer.search.counts import UnitCounts
from describer.search.forms import Form
from describer.search.signatures import SignatureTable


@dataclass(frozen=True)
class FormScore:
    """How well one form agrees with one unit's mask M; L is where the form holds."""

    iou: float
    "|M and L| / |M or L|; 0 where both are empty"
    detection_accuracy: float
    "|M and L| / |L|; 0 where L is empty"
    coverage: float
    "|M and L| / |M|; 0 where M is empty"
    overlap: int
    "pixels of M and L"
    formula_area: int
    "pixels of L"


def global_ious(table: SignatureTable, counts: UnitCounts) -> Float64[np.ndarray, "units concepts"]:
    """|M and L| / |M or L| over the pixels of all images (Mu & Andreas 2020); 0 where both are empty."""
    overlaps = _overlaps(table, counts)
    return _shares(overlaps, counts.areas[:, None] + table.areas - overlaps)


def category_ious(table: SignatureTable, counts: UnitCounts) -> Float64[np.ndarray, "units concepts"]:
    """|M and L| / |M' or L|, M' being M in images where it meets any label of the category (Bau et al. 2017)."""
    if counts.category_areas.shape[1] != len(table.category_names):
        raise ConceptsError(
            f"counts must have areas of {len(table.category_names)} categories. "
            f"Got {counts.category_areas.shape[1]}. Count the masks on this table."
        )
    overlaps = _overlaps(table, counts)
    columns = [table.category_names.index(category) for category in table.categories]
    return _shares(overlaps, counts.category_areas[:, columns] + table.areas - overlaps)


def best_by_category(
    table: SignatureTable, ious: Float64[np.ndarray, "units concepts"]
) -> list[dict[str, tuple[str, float]]]:
    """Per unit the best concept of every category and its IoU; categories without any overlap are left out."""
    found: list[dict[str, tuple[str, float]]] = [{} for _ in ious]
    for category in table.category_names:
        columns = np.flatnonzero(np.array(table.categories) == category)
        for own, row in zip(found, ious[:, columns], strict=True):
            best = int(row.argmax())
            if row[best] > 0:
                own[category] = (table.names[columns[best]], float(row[best]))
    return found


def score_form(table: SignatureTable, counts: UnitCounts, form: Form) -> list[FormScore]:
    """The scores of one form for every unit; FormulaError where it names a concept that the table does not have."""
    _checked(table, counts)
    mask = table.mask(form)
    area, overlaps = int(table.sizes[mask].sum()), (counts.counts @ mask.astype(np.int64)).tolist()
    return [_scored(overlap, area, own) for overlap, own in zip(overlaps, counts.areas.tolist(), strict=True)]


def score_forms(table: SignatureTable, counts: UnitCounts, forms: Sequence[Form | None]) -> list[FormScore]:
    """The scores of one form a unit, in their order; a unit without a form scores 0."""
    if len(forms) != counts.shape[0]:
        raise ConceptsError(f"forms must be one a unit, {counts.shape[0]}. Got {len(forms)}. Give None for none.")
    nothing = FormScore(0.0, 0.0, 0.0, 0, 0)
    return [
        nothing if form is None else score_form(table, counts.subset([unit]), form)[0]
        for unit, form in enumerate(forms)
    ]


def _scored(overlap: int, area: int, unit_area: int) -> FormScore:
    union = area + unit_area - overlap
    return FormScore(overlap / max(union, 1), overlap / max(area, 1), overlap / max(unit_area, 1), overlap, area)


def _checked(table: SignatureTable, counts: UnitCounts) -> None:
    if counts.shape[1] != len(table):
        raise ConceptsError(
            f"counts must be (units, {len(table)} signatures). Got {counts.shape}. Count the masks on this table."
        )


def _overlaps(table: SignatureTable, counts: UnitCounts) -> Int64[np.ndarray, "units concepts"]:
    """Pixels of every unit's mask on every concept."""
    _checked(table, counts)
    return (counts.counts @ table.matrix).toarray().astype(np.int64, copy=False)


def _shares(
    overlaps: Int64[np.ndarray, "units concepts"], unions: Int64[np.ndarray, "units concepts"]
) -> Float64[np.ndarray, "units concepts"]:
    return overlaps / np.maximum(unions, 1)
