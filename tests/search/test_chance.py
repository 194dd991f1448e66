import numpy as np
import pytest

from describer.errors import ConceptsError
from describer.search.chance import chance, draw_shifts
from describer.search.formulas import search_formulas
from describer.search.signatures import SignatureTable

IMAGES, SIZE = 41, (3, 5)
NAMES = {"object": ["", *"abcdefg"], "scene": ["", *"xyz"]}


class Case:
    """One unit that fires on an object, one that fires anywhere, and one that never does."""

    def __init__(self) -> None:
        dice = np.random.default_rng(11)
        self.objects = dice.integers(0, 8, (IMAGES, *SIZE))
        self.scenes = dice.integers(0, 4, IMAGES)
        masks = [self.objects == 3, dice.random((IMAGES, *SIZE)) < 0.1, np.zeros((IMAGES, *SIZE), bool)]
        self.masks = np.stack(masks)
        self.table = SignatureTable.from_maps({"object": self.objects}, {"scene": self.scenes}, NAMES)


def test_a_unit_with_a_meaning_is_beyond_chance_and_noise_is_not() -> None:
    case = Case()
    shifts = draw_shifts(IMAGES, 19, seed=3)
    counter = case.table.counter(3, shifts)
    for image in range(IMAGES):
        counter.add(image, case.masks[:, image])
    found = search_formulas(case.table, counter.result(), 2)
    null = chance(case.table, counter.shifted(), found, max_length=2)
    assert [len(own.ious) for own in null] == [19] * 3
    assert found[0].iou == 1 and null[0].p_value == 1 / 20 and null[0].highest < 0.5
    assert null[1].p_value > 1 / 20 and 0 < null[1].mean <= null[1].highest
    assert null[2].p_value == 1 and null[2].mean == 0


def test_chance_is_the_search_on_rolled_labels() -> None:
    case = Case()
    shifts = draw_shifts(IMAGES, 3)
    counter = case.table.counter(3, shifts)
    counter.add_batch(np.arange(IMAGES), case.masks.swapaxes(0, 1))
    found = search_formulas(case.table, counter.result(), 2)[1:]
    null = chance(case.table, counter.shifted(), found, max_length=2)
    for place, shift in enumerate(shifts):
        labels = {"object": np.roll(case.objects, -shift, axis=0)}
        rolled = SignatureTable.from_maps(labels, {"scene": np.roll(case.scenes, -shift)}, NAMES)
        slow = search_formulas(rolled, rolled.count(case.masks), 2)
        assert [own.ious[place] for own in null] == [explanation.iou for explanation in slow[1:]]
    counted = [1 + sum(iou >= found[0].iou for iou in null[0].ious), 1 + len(shifts)]
    assert null[0].p_value == counted[0] / counted[1]


def test_shifts_differ_and_are_drawn_from_a_seed() -> None:
    assert draw_shifts(41, 19, seed=1) == draw_shifts(41, 19, seed=1) != draw_shifts(41, 19, seed=2)
    assert sorted(draw_shifts(5, 19)) == [1, 2, 3, 4]
    assert len(set(draw_shifts(41, 19))) == 19 and 0 not in draw_shifts(41, 19)
    with pytest.raises(ConceptsError, match=r"chance must have at least 2 images. Got 1. "):
        draw_shifts(1)


def test_chance_needs_shifts_of_the_same_units() -> None:
    case = Case()
    counts = case.table.count(case.masks)
    found = search_formulas(case.table, counts, 1)
    with pytest.raises(ConceptsError, match=r"chance must have at least one shift. Got none. "):
        chance(case.table, [], found)
    with pytest.raises(ConceptsError, match=r"shifted counts must have unit 2. Got 2. "):
        chance(case.table, [counts.subset([0, 1])], found)
    assert chance(case.table, [counts], []) == []
