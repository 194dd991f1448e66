"""Planted units: forms that are what they say, noise that is as large as it says, exemplars as a probe gives them."""

import numpy as np
import pytest
import torch

from describer.errors import ConceptsError
from describer.eval.planted.firing import NOISE, NOISE_SHARE, THRESHOLD, fire, spoilt
from describer.eval.planted.units import KINDS, LEAST_SHARE, MOST_ALIKE, MOST_SHARE, PlantedForm, World, draw_units
from describer.search.forms import Concept, parse
from tests.eval.planting import COLORS, OBJECTS, SIDE, BlockConcepts, cells


@pytest.fixture(scope="module")
def world() -> World:
    return World(BlockConcepts(), side=SIDE * 2)


def slow_mask(world: World, text: str) -> np.ndarray:
    """The mask of a form of two names from the labels themselves, in plain Python."""
    found = []
    for index in range(len(world.concepts)):
        colours, objects, _ = cells(index)
        there = {name: colours == number for number, name in enumerate(COLORS) if number}
        there |= {name: objects == number for number, name in enumerate(OBJECTS) if number}
        one, _, rest = text.partition(" ")
        how, _, other = rest.rpartition(" ")
        mask = there[one]
        mask = {"OR": mask | there.get(other, mask), "AND": mask & there.get(other, mask)}.get(how, mask)
        found.append(there[one] & ~there[other] if how == "AND NOT" else mask)
    return np.stack(found)


@pytest.mark.parametrize("text", ["dog", "dog OR car", "red AND tree", "sky AND NOT blue"])
def test_masks_are_those_of_the_labels(world: World, text: str) -> None:
    assert np.array_equal(world.masks(parse(text)), slow_mask(world, text))


def test_every_kind_is_drawn_and_every_concept_in_it_counts(world: World) -> None:
    units = draw_units(world, per_kind=2, seed=3)
    assert [unit.kind for unit in units] == [kind for kind in KINDS for _ in range(2)]
    n = world.table.n_pixels
    for unit in units[:-2]:
        assert unit.truth is not None
        mask = world.masks(unit.truth)
        assert LEAST_SHARE * n <= mask.sum() <= MOST_SHARE * n
        for leaf in unit.truth.leaves if unit.truth.length > 1 else ():
            if unit.kind == "and not" and leaf.name not in unit.held:
                continue  # what is taken away is not to be like what is left, by being taken away
            own = world.masks(leaf)
            assert (mask & own).sum() / (mask | own).sum() <= MOST_ALIKE
        categories = dict(zip(world.table.names, world.table.categories, strict=True))
        kinds = sorted(categories[leaf.name] for leaf in unit.truth.leaves)
        if unit.kind == "colour":
            assert kinds[0] == "color" != kinds[1] and str(unit.truth).count("AND") == 1
        assert (unit.weak is not None) == (unit.kind == "two")
        assert len(unit.held) == (1 if unit.kind in ("single", "and not") else 2)
    assert units[-1].truth is None and units[-1].held == ()
    assert draw_units(world, 2, 3) == units != draw_units(world, 2, 4)
    for kind in KINDS[:-1]:
        own = [leaf.name for unit in units if unit.kind == kind and unit.truth for leaf in unit.truth.leaves]
        assert len(own) == len(set(own))


def test_what_cannot_be_drawn_is_refused(world: World) -> None:
    with pytest.raises(ConceptsError, match="units of a kind must be 1 or more"):
        draw_units(world, 0)


@pytest.mark.parametrize("wrong", NOISE)
def test_noise_is_as_large_as_it_says(wrong: float) -> None:
    rng = np.random.default_rng(0)
    truth = rng.random((5, 13, 13)) < 0.2
    lost, added = (rng.random((5, 13, 13)).astype(np.float32) for _ in range(2))
    mask = spoilt(truth, lost, added, wrong)
    n = round(wrong * truth.sum())
    assert (truth & ~mask).sum() == n == (mask & ~truth).sum()
    assert n == 0 or lost[truth & ~mask].min() >= lost[truth & mask].max()
    assert n == 0 or added[mask & ~truth].min() >= added[~mask & ~truth].max()


def test_more_noise_is_the_same_noise_and_more(world: World) -> None:
    units = [PlantedForm("single", Concept("dog")), PlantedForm("noise", None)]
    less, more = (fire(world, units, wrong, seed=5) for wrong in (0.2, 0.4))
    assert not np.array_equal(less.counts.counts[[0]].toarray(), more.counts.counts[[0]].toarray())
    assert np.array_equal(less.counts.counts[[1]].toarray(), more.counts.counts[[1]].toarray()), "noise is noise"
    assert less.counts.areas[1] == pytest.approx(NOISE_SHARE * world.table.n_pixels, rel=0.02)
    again = fire(world, units, 0.2, seed=5)
    assert torch.equal(again.exemplars.maps, less.exemplars.maps)


def test_exemplars_are_the_pictures_that_drive_a_unit_most(world: World) -> None:
    units = [PlantedForm("and", parse("red AND dog")), PlantedForm("two", parse("car OR sky"), Concept("sky"))]
    planted = fire(world, units, 0.0, k=5, n_shifts=3)
    exemplars = planted.exemplars
    assert exemplars.maps.shape == (2, 5, 28, 28) and not exemplars.dead.any() and len(planted.shifted) == 3
    assert (exemplars.activations.diff(dim=1) <= 0).all()
    for row, unit in enumerate(units):
        assert unit.truth is not None
        truth = torch.from_numpy(world.masks(unit.truth))
        assert torch.equal(exemplars.maps[row] > THRESHOLD, truth[exemplars.images[row]])
        assert planted.counts.areas[row] == int(truth.sum())
    strong = torch.from_numpy(world.masks(Concept("car")))[exemplars.images[1]]
    assert exemplars.maps[1][strong].min() > exemplars.maps[1][~strong].max() * 0.8
    assert strong.flatten(1).any(1).all(), "the stronger meaning makes the exemplars"
