from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from describer.search.formulas import search_formulas
from describer.search.ground import SearchGround
from describer.search.optimal import _representable, ceiling, proven
from tests.search.drawn import UNITS, World
from tests.search.search_oracles import all_forms, chain_masks, ious, pixel_masks

seeds = st.integers(0, 2**32 - 1)


@given(seeds, st.integers(1, 3), st.sampled_from([1.0, 0.95, 0.5]))
@settings(max_examples=20, deadline=None)
def test_beam_is_at_most_the_optimum_which_is_that_of_trying_everything(seed: int, length: int, penalty: float) -> None:
    world = World(seed)
    table = world.table()
    counts = table.count(world.masks)
    forms = all_forms(table.names, length)
    masks, charged = pixel_masks(world, forms), np.array([penalty ** (form.length - 1) for form in forms])
    beam = search_formulas(table, counts, length, beam_size=1, length_penalty=penalty)
    optimal = search_formulas(table, counts, length, beam_size=1, optimal=True, length_penalty=penalty)
    for first, found in zip(beam, optimal, strict=True):
        best = float((ious(masks, world.masks[found.unit].reshape(-1)) * charged).max(initial=0))
        assert first.score <= found.score == pytest.approx(best, rel=1e-12)
        assert found.certified and found.upper_bound == found.score
        if found.formula is not None:
            assert found.iou == world.iou(found.unit, found.formula)


@given(seeds, st.sampled_from([0.0, 1e-3, 0.01]), st.sampled_from([1.0, 0.9]))
@settings(max_examples=20, deadline=None)
def test_the_bound_is_never_below_the_optimum(seed: int, seconds: float, penalty: float) -> None:
    world = World(seed)
    table = world.table()
    counts = table.count(world.masks)
    options = {"beam_size": 1, "optimal": True, "length_penalty": penalty}
    stopped = search_formulas(table, counts, 3, max_seconds=seconds, **options)
    ground = SearchGround(table)
    for early, whole in zip(stopped, search_formulas(table, counts, 3, **options), strict=True):
        assert early.score <= whole.score <= early.upper_bound
        assert whole.score <= ceiling(ground.unit(counts.counts[[early.unit]].toarray()[0])) + 1e-12
        assert early.certified == (early.score == early.upper_bound)


@given(seeds)
@settings(max_examples=5, deadline=None)
def test_chains_of_four_are_decided_too(seed: int) -> None:
    world = World(seed, n_images=3, n_units=3)
    table = world.table()
    counts = table.count(world.masks)
    masks = np.array(list(chain_masks(table, 4)))
    for found in search_formulas(table, counts, 4, beam_size=1, optimal=True):
        own = counts.counts[[found.unit]].toarray()[0]
        both, area = masks @ own, masks @ table.sizes
        best = (both / np.maximum(own.sum() + area - both, 1)).max(initial=0)
        assert found.certified and found.iou == best


def test_the_ceiling_is_that_of_all_sets_of_signatures() -> None:
    for seed in range(20):
        world = World(seed, n_images=1, n_units=2)
        table = world.table()
        counts = table.count(world.masks).counts.toarray()
        subsets = np.array([[n >> bit & 1 for bit in range(len(table))] for n in range(2 ** len(table))])
        for own in counts:
            both, area = subsets @ own, subsets @ table.sizes
            best = (both / np.maximum(own.sum() + area - both, 1)).max()
            assert ceiling(SearchGround(table).unit(own)) == pytest.approx(best, rel=1e-12)


def test_pairs_may_be_weighed_in_portions(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(1)
    table = world.table()
    counts = table.count(world.masks)
    whole = search_formulas(table, counts, optimal=True)
    monkeypatch.setattr("describer.search.optimal.MAX_PAIRS", 8)
    found = search_formulas(table, counts, optimal=True)
    assert [explanation.score for explanation in found] == [explanation.score for explanation in whole]
    assert all(explanation.certified for explanation in found)


def test_a_single_leaf_needs_no_pairs() -> None:
    world = World(2)
    table = type(world.table()).from_maps({"color": world.maps["color"]}, names={"color": {2: "red", 5: "blue"}})
    found = search_formulas(table, table.count(world.masks), 1, optimal=True)
    assert all(explanation.certified for explanation in found)
    assert proven(SearchGround(table).unit(np.zeros(len(table), np.int64)), None, 3) == (None, 0.0)


@pytest.mark.parametrize("total", [1, 10**6, 2**40])
def test_a_share_is_made_to_fit_from_below(total: int) -> None:
    for share in (Fraction(1, 3), Fraction(2**50 + 1, 2**51 + 3), Fraction(1), Fraction(0)):
        found = _representable(share, total)
        assert found <= share and share - found < Fraction(1, 2**20)
        assert found.denominator * total <= 2**61


def test_every_unit_is_decided() -> None:
    world = World(9)
    table = world.table()
    assert len(search_formulas(table, table.count(world.masks), optimal=True)) == UNITS
