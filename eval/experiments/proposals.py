"""What a form and the class weights propose: make the form of a unit hold, and the class it speaks for should be said.

    for proposal in propose(subject, found, n_units=3):
        proposal.class_index, proposal.unit, proposal.formula, proposal.leaf

Of every class the units of the greatest positive weight; of each one's form the concepts that it wants (those under no
NOT) in the order of their IoU with the unit.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from describer.eval.experiments.subject import Subject
from describer.search.forms import And, Form, Leaf, Not, Or
from describer.search.formulas import Explanation


@dataclass(frozen=True)
class Proposal:
    """To say the class, make this leaf of the unit's form hold (or no longer hold)."""

    class_index: int
    unit: int
    "of the layer"
    weight: float
    "of the unit to the class"
    formula: Form
    leaf: Leaf
    "what is put in, or taken out"
    wanted: bool
    "True: put in; False: taken out, since the form has it under NOT"
    iou: float
    "of the form and the unit"


def literals(form: Form, wanted: bool = True) -> list[tuple[Leaf, bool]]:
    """Leaves from left to right, each with whether the form wants it or its absence."""
    if isinstance(form, Not):
        return literals(form.leaf, not wanted)
    if isinstance(form, And | Or):
        return [pair for term in form.terms for pair in literals(term, wanted)]
    assert isinstance(form, Leaf)
    return [(form, wanted)]


def propose(
    subject: Subject,
    found: Sequence[Explanation],
    n_units: int = 3,
    least_iou: float = 0.04,
    can_edit: Callable[[Leaf, bool], bool] = lambda leaf, wanted: wanted,
    classes: Sequence[int] | None = None,
) -> list[Proposal]:
    """One proposal for each of the `n_units` units of greatest positive weight of every class, where one can be made.

    Its leaf is the one that `can_edit` allows and whose IoU with the unit is highest (of the absence, for NOT).
    `least_iou` is the threshold below which units are not called detectors (Bau et al. 2017).
    """
    weights = subject.weights.numpy()[:, subject.rows]  # (classes, rows)
    proposals = []
    for number in range(len(weights)) if classes is None else classes:
        good = [row for row, each in enumerate(found) if each.formula is not None and each.iou >= least_iou]
        order = sorted((row for row in good if weights[number, row] > 0), key=lambda row: -weights[number, row])
        for row in order[:n_units]:
            formula = found[row].formula
            assert formula is not None
            leaves = [pair for pair in literals(formula) if can_edit(*pair)]
            if not leaves:
                continue
            leaf, wanted = max(leaves, key=lambda pair: _iou(subject, row, *pair))
            unit, weight = int(subject.rows[row]), float(weights[number, row])
            proposals.append(Proposal(number, unit, weight, formula, leaf, wanted, found[row].iou))
    return proposals


def _iou(subject: Subject, row: int, leaf: Leaf, wanted: bool) -> float:
    """IoU of a leaf, or of its absence, with a unit."""
    held = subject.laid.table.mask(leaf)
    mask = held if wanted else ~held
    counts = subject.laid.layer(subject.layer).counts.subset(subject.rows[[row]])
    both = int((counts.counts @ mask.astype(np.int64))[0])
    return both / max(int(counts.areas[0]) + int(subject.laid.table.sizes[mask].sum()) - both, 1)
