"""Descriptions are read as forms, and hold where the labels say so."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pytest

from describer.data.concepts import load_concepts
from describer.eval.grounding import Grounder, pixel_ious, where_held
from describer.search.forms import parse
from describer.search.signatures import SignatureTable

NAMES = {
    "object": ("", "car", "person", "swimming pool", "water", "dog", "airplane", "door, double door"),
    "material": ("", "water", "wood"),
    "color": ("", "red-c", "blue-c"),
    "texture": ("", "striped"),
    "scene": ("", "street-s"),
}


@dataclass(frozen=True)
class Labels:
    maps: Mapping[str, Sequence[np.ndarray]]
    scalars: Mapping[str, Sequence[int]]


class Pictures:
    """Three pictures of 3 x 5 pixels: a red car and a person; a red car with a blue dog; a street without anything."""

    names = NAMES

    def __len__(self) -> int:
        return 3

    def labels(self, index: int, /) -> Labels:
        objects, colors = np.zeros((2, 3, 5), np.int32)
        if index == 0:
            objects[0, 0], objects[1, 1], colors[0, 0] = 1, 2, 1
        elif index == 1:
            objects[0, 0], objects[2, 2], colors[0, 0], colors[2, 2] = 1, 5, 1, 2
        return Labels({"object": (objects,), "color": (colors,)}, {"scene": (1,) if index == 2 else ()})


@pytest.fixture(scope="module")
def grounder() -> Grounder:
    return Grounder(NAMES)


@pytest.mark.parametrize(
    ("text", "form", "unread"),
    [
        ("cars", "car", ""),
        ("A dog.", "dog", ""),
        ("puppies", "dog", ""),
        ("red cars", "car AND red-c", ""),
        ("cars that are red", "car AND red-c", ""),
        ("cars and people", "car AND person", ""),
        ("cars or dogs", "car OR dog", ""),
        ("cars without people", "car AND NOT person", ""),
        ("cars, but not dogs or people", "car AND NOT dog AND NOT person", ""),
        ("cars, dogs or planes", "airplane OR car OR dog", ""),
        ("cars, dogs and planes", "airplane AND car AND dog", ""),
        ("red or blue cars", "blue-c AND car OR car AND red-c", ""),
        ("swimming pools", '"swimming pool"', ""),
        ("water", "material:water OR object:water", ""),
        ("wooden double doors", '"door, double door" AND wood', ""),
        ("stripes on cars", "car AND striped", ""),
        ("dogs on streets", "dog AND street-s", ""),
        ("the color red", "red-c", ""),
        ("shiny cars", "car", "shiny"),
        ("things without people", "NOT person", ""),
        ("gibberish of nothing", None, "gibberish nothing"),
        ("", None, ""),
    ],
)
def test_a_text_is_read_as_a_form(grounder: Grounder, text: str, form: str | None, unread: str) -> None:
    told = grounder.read(text)
    assert told.form == (None if form is None else parse(form))
    assert " ".join(told.unread) == unread


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("cars", [1, 1, 0]),
        ("red cars", [1, 1, 0]),
        ("blue cars", [0, 0, 0]),  # there is blue, and there is a car, but no blue car
        ("blue things and cars", [0, 1, 0]),
        ("cars and dogs", [0, 1, 0]),
        ("cars without dogs", [1, 0, 0]),
        ("dogs or people", [1, 1, 0]),
        ("streets", [0, 0, 1]),
        ("things without cars", [0, 0, 1]),
        ("nonsense", [0, 0, 0]),
    ],
)
def test_a_description_holds_where_labels_say_so(grounder: Grounder, text: str, where: list[int]) -> None:
    assert where_held([grounder.read(text)], Pictures(), size=(3, 5)).tolist() == [where]
    assert where_held([grounder.read(text)], Pictures(), [2, 0], (3, 5)).tolist() == [[where[2], where[0]]]


def test_many_descriptions_are_told_apart(grounder: Grounder) -> None:
    readings = [grounder.read(text) for text in ("dogs", "streets", "cars", "dogs", "xyz")]
    np.testing.assert_array_equal(
        where_held(readings, Pictures(), size=(3, 5)), [[0, 1, 0], [0, 0, 1], [1, 1, 0], [0, 1, 0], [0, 0, 0]]
    )


def test_masks_of_units_are_compared_with_their_own_descriptions() -> None:
    objects = np.zeros((2, 3, 5), np.int64)
    objects[0, 0], objects[1, :2] = 1, 2
    table = SignatureTable.from_maps({"object": objects}, names={"object": ["", "car", "dog"]})
    grounder = Grounder({"object": ["", "car", "dog"]})
    masks = np.stack((objects == 1, objects == 1, (objects == 2) & (np.arange(5) < 2), objects == 2))
    readings = [grounder.read(text) for text in ("cars", "dogs", "puppies", "unknown")]
    np.testing.assert_allclose(pixel_ious(readings, table, table.count(masks)), [1, 0, 0.4, 0])


def test_the_drawn_world_can_be_read() -> None:
    concepts = load_concepts("scenes:2:3")
    grounder = Grounder(concepts.names)
    for text in ("red roofs", "sandy beaches", "hills or meadows", "striped umbrellas on sand", "street lamps"):
        told = grounder.read(text)
        assert told.form is not None, text
    held = where_held([grounder.read("sky, mountains or red things")], concepts)
    assert held.shape == (1, 2) and set(held.flatten()) <= {0, 1}
