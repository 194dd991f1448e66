"""Small labelled worlds and masks, drawn, and slow readings of them by plain loops over pixels."""

from collections import Counter

import numpy as np
from hypothesis import strategies as st

from describer.search.forms import And, Concept, Form, Neighbors, Not, Or
from describer.search.signatures import SignatureTable

OBJECTS = ["", "sky", "dog", "swimming pool"]
COLORS = {0: "", 2: "red", 5: "blue"}
SCENES = ["", "beach", "street"]
NAMES = {"object": OBJECTS, "color": {2: "red", 5: "blue"}, "scene": SCENES}
IMAGES, HEIGHT, WIDTH, UNITS = 5, 2, 3, 7


class World:
    """Labels and masks of a few images, every axis of another length."""

    def __init__(self, seed: int, n_images: int = IMAGES, n_units: int = UNITS):
        dice = np.random.default_rng(seed)
        shape = (n_images, HEIGHT, WIDTH)
        self.maps = {
            "object": dice.integers(0, 4, (n_images, 2, HEIGHT, WIDTH)),
            "color": np.array(list(COLORS))[dice.integers(0, 3, shape)],
        }
        self.scalars = {"scene": dice.integers(0, 3, n_images)}
        rates = dice.choice([0.0, 0.1, 0.5, 0.9, 1.0], n_units, p=[0.1, 0.3, 0.3, 0.2, 0.1])
        self.masks = dice.random((n_units, *shape)) < rates[:, None, None, None]

    def table(self, **options) -> SignatureTable:
        return SignatureTable.from_maps(self.maps, self.scalars, NAMES, **options)

    def carried(self, image: int, row: int, column: int) -> frozenset[str]:
        """Names of all that one pixel carries."""
        objects = [OBJECTS[layer[row, column]] for layer in self.maps["object"][image]]
        color = COLORS[int(self.maps["color"][image, row, column])]
        return frozenset(filter(None, [*objects, color, SCENES[self.scalars["scene"][image]]]))

    def pixels(self):
        """(image, row, column, what it carries) of every pixel."""
        for image in range(len(self.scalars["scene"])):
            for row in range(HEIGHT):
                for column in range(WIDTH):
                    yield image, row, column, self.carried(image, row, column)

    def iou(self, unit: int, form: Form) -> float:
        """Intersection over union, pixel by pixel."""
        both = either = 0
        for image, row, column, carried in self.pixels():
            fires, holds_ = bool(self.masks[unit, image, row, column]), holds(form, carried)
            both += fires and holds_
            either += fires or holds_
        return both / either if either else 0.0

    def signatures(self) -> Counter[frozenset[str]]:
        return Counter(carried for *_, carried in self.pixels())


def holds(form: Form, carried: frozenset[str]) -> bool:
    """Whether a form holds for what a pixel carries."""
    match form:
        case Concept(name):
            return name in carried
        case Not(leaf):
            return not holds(leaf, carried)
        case And(terms):
            return all(holds(term, carried) for term in terms)
        case Or(terms):
            return any(holds(term, carried) for term in terms)
        case Neighbors():
            raise AssertionError("a pixel does not know its neighbors")
    raise AssertionError(form)


names = st.text(min_size=1, max_size=8).filter(str.strip)
trees = st.recursive(
    st.tuples(st.sampled_from(("concept", "neighbors")), names),
    lambda inner: st.one_of(st.tuples(st.just("not"), inner), st.tuples(st.sampled_from(("and", "or")), inner, inner)),
    max_leaves=7,
)
"What `planted` makes forms of: shape checks draw at random, which strategies must not."


def planted(tree: tuple) -> Form:
    """The form of a drawn tree."""
    match tree:
        case ("concept", name):
            return Concept(name)
        case ("neighbors", name):
            return Neighbors(name)
        case ("not", inner):
            return ~planted(inner)
        case ("and", one, other):
            return planted(one) & planted(other)
        case ("or", one, other):
            return planted(one) | planted(other)
    raise AssertionError(tree)
