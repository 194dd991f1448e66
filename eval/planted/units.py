"""Units with a known meaning over any labelled pictures: what they fire on is a form that we draw.

    world = World(load_concepts("scenes:200:9"), side=56)
    units = draw_units(world, per_kind=7, seed=0)
    units[0].kind, str(units[0].truth)                     # "and_not", "tree AND NOT green"

Seven kinds: a single concept; A OR B; A AND B; A AND NOT B; a colour and a thing; two meanings, of which one drives the
unit more than the other; and noise, which means nothing. A form is drawn only where every concept in it counts: without
it, what the unit fires on would be another by a fifth or more (IoU at most .8).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float64, Int64

from describer.data.concepts import ConceptSet
from describer.errors import ConceptsError
from describer.search.counts import MaskCounter, UnitCounts
from describer.search.forms import Concept, Form, Leaf, Not
from describer.search.labels import GridLabels
from describer.search.sampled import KeptGround
from describer.search.signatures import SignatureTable

KINDS = ("single", "or", "and", "and not", "colour", "two", "noise")
COLOURS = "color"
"The category whose concepts are colours, as in Broden."
LEAST_SHARE, MOST_SHARE = 0.0015, 0.3
"Of all pixels, what a unit may fire on."
LEAST_CELLS = 0.004
"Of one picture's pixels, what counts as being in it."
LEAST_PICTURES = 8
MOST_ALIKE = 0.8
"Highest IoU of a form and of one of its parts."


@dataclass(frozen=True)
class PlantedForm:
    """One unit: what it means."""

    kind: str
    truth: Form | None
    "None: it means nothing"
    weak: Form | None = None
    "of two meanings, the one that drives the unit less"

    @property
    def held(self) -> tuple[str, ...]:
        """The concepts that have to be there."""
        return literals(self.truth, holds=True)


def literals(form: Form | None, holds: bool) -> tuple[str, ...]:
    """Names of the concepts of a form that have to be there, or of those that must not."""
    if form is None or isinstance(form, Leaf | Not):
        leaf = form.leaf if isinstance(form, Not) else form
        return (leaf.name,) if isinstance(leaf, Leaf) and isinstance(form, Not) != holds else ()
    return tuple(name for term in form.terms for name in literals(term, holds))  # type: ignore[attr-defined]


class World:
    """Labelled pictures on one grid, with the signatures of all pixels."""

    def __init__(self, concepts: ConceptSet, side: int = 56) -> None:
        self.concepts, self.side = concepts, side
        self.table = SignatureTable.from_source(GridLabels(concepts, (side, side)))
        self.ground = KeptGround(self.table)

    @cached_property
    def pictures(self) -> UnitCounts:
        """(pictures, signatures) pixels: what is in every picture."""
        counter = MaskCounter(self.ground, self.table.n_images)
        whole = np.ones((1, self.side, self.side), bool)
        for image in range(self.table.n_images):
            counter.add(image, whole, np.array([image]))
        return counter.result()

    def masks(self, form: Form) -> Bool[np.ndarray, "images side side"]:
        """Where the form holds in every picture."""
        holds = self.table.mask(form)
        return np.stack([self._laid(image, holds) for image in range(self.table.n_images)])

    def _laid(self, image: int, holds: Bool[np.ndarray, " signatures"]) -> Bool[np.ndarray, "side side"]:
        index, rows = self.ground.rows_of(image)
        return holds[rows][index]

    def n_pictures(self, form: Form) -> int:
        """Pictures in which the form holds somewhere that can be seen."""
        areas = self.pictures.counts @ self.table.mask(form).astype(np.int64)
        return int((areas >= LEAST_CELLS * self.side**2).sum())

    @cached_property
    def joint(self) -> Int64[np.ndarray, "concepts concepts"]:
        """Pixels of every two concepts together."""
        matrix = self.table.matrix.astype(np.int64)
        weighted = matrix.multiply(self.table.sizes[:, None]).tocsr()
        return np.asarray((matrix.T @ weighted).toarray(), np.int64)

    @cached_property
    def usable(self) -> list[int]:
        """Concepts that words can tell apart, neither too rare nor too frequent."""
        n = self.table.n_pixels
        fit = [i for i, a in enumerate(self.table.areas.tolist()) if LEAST_SHARE * n <= a <= MOST_SHARE * n]
        told = [i for i in fit if ":" not in self.table.names[i]]  # two categories have a concept of that name
        return [i for i in told if self.n_pictures(Concept(self.table.names[i])) >= LEAST_PICTURES]


def draw_units(world: World, per_kind: int = 7, seed: int = 0) -> list[PlantedForm]:
    """`per_kind` units of every kind, of different concepts; fewer where there are no more. ConceptsError for none."""
    if per_kind < 1:
        raise ConceptsError(f"units of a kind must be 1 or more. Got {per_kind}. Raise it.")
    rng = np.random.default_rng(seed)
    units: list[PlantedForm] = []
    for kind in KINDS[:-1]:
        found: list[PlantedForm] = []
        used: set[str] = set()
        for unit in _drawn(world, kind, rng):
            assert unit.truth is not None, "only noise means nothing"
            own = {leaf.name for leaf in unit.truth.leaves}
            if not own & used and world.n_pictures(unit.truth) >= LEAST_PICTURES:
                used |= own
                found.append(unit)
            if len(found) == per_kind:
                break
        units += found
    if not units:
        message = f"concepts must cover {LEAST_SHARE:.2%} of the pixels or more in {LEAST_PICTURES} pictures or more"
        raise ConceptsError(f"{message}. Got none in {world.concepts.source}. Give more pictures.")
    return [*units, *(PlantedForm("noise", None) for _ in range(per_kind))]


def _drawn(world: World, kind: str, rng: np.random.Generator) -> Iterator[PlantedForm]:
    """Units of a kind in random order; each pair of concepts at most once."""
    names, categories = world.table.names, world.table.categories
    if kind == "single":
        yield from (PlantedForm(kind, Concept(names[i])) for i in rng.permutation(world.usable).tolist())
        return
    fits = _fitting(world, kind)
    pairs = np.argwhere(fits)
    for a, b in rng.permutation(pairs).tolist() if len(pairs) else []:
        one, other = Concept(names[a]), Concept(names[b])
        if kind in ("and", "colour"):
            coloured, apart = (categories[a] == COLOURS, categories[b] == COLOURS), categories[a] != categories[b]
            if apart and coloured == (kind == "colour", False):
                yield PlantedForm(kind, one & other)
        elif kind == "and not":
            yield PlantedForm(kind, one & ~other)
        else:
            yield PlantedForm(kind, one | other, other if kind == "two" else None)


def _fitting(world: World, kind: str) -> Bool[np.ndarray, "concepts concepts"]:
    """Which pairs make a unit of this kind that is neither too large nor too small and nearly no other."""
    joint = world.joint.astype(np.float64)
    areas = world.table.areas.astype(np.float64)
    a, b = np.broadcast_arrays(areas[:, None], areas[None])
    area = {"and": joint, "colour": joint, "and not": a - joint}.get(kind, a + b - joint)
    with_a, with_b = {
        "and": (_share(joint, a), _share(joint, b)),
        "colour": (_share(joint, a), _share(joint, b)),
        "and not": (_share(a - joint, a), np.zeros_like(a)),
    }.get(kind, (_share(a, area), _share(b, area)))
    n = world.table.n_pixels
    fits = (area >= LEAST_SHARE * n) & (area <= MOST_SHARE * n) & (with_a <= MOST_ALIKE) & (with_b <= MOST_ALIKE)
    known = np.zeros(len(a), bool)
    known[world.usable] = True
    different = ~np.eye(len(a), dtype=bool)
    return np.asarray(fits & known[:, None] & known[None] & different)


def _share(part: Float64[np.ndarray, "a b"], whole: Float64[np.ndarray, "a b"]) -> Float64[np.ndarray, "a b"]:
    return np.asarray(part / np.maximum(whole, 1.0), np.float64)
