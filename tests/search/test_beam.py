import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from describer.errors import ConceptsError
from describer.search.beam import Op, _distinct, _literals, best_chain
from describer.search.forms import Concept, Neighbors, parse
from describer.search.formulas import search_formulas
from describer.search.ground import AREA, OVERLAP, PRINT, SearchGround
from describer.search.optimal import chain_of
from tests.search.drawn import UNITS, World
from tests.search.search_oracles import Published, all_forms, ious, pixel_masks

seeds = st.integers(0, 2**32 - 1)


@given(seeds, st.integers(1, 3), st.sampled_from([1, 3, 50]))
@settings(max_examples=20, deadline=None)
def test_a_beam_finds_no_more_than_there_is_and_tells_its_iou_exactly(seed: int, length: int, beam: int) -> None:
    world = World(seed)
    table = world.table()
    forms = all_forms(table.names, length)
    masks = pixel_masks(world, forms)
    for found in search_formulas(table, table.count(world.masks), length, beam):
        unit = world.masks[found.unit]
        if found.formula is None:
            assert not unit.any()
            continue
        best = ious(masks, unit.reshape(-1)).max()
        assert found.iou == world.iou(found.unit, found.formula) <= best
        assert found.length == found.formula.length <= length and found.score == found.iou
        assert found.upper_bound is None and not found.certified
        singles = [world.iou(found.unit, Concept(name)) for name in table.names]
        assert found.concept_iou == max(singles)
        if length == 1 or beam == 50:
            assert found.iou >= max(singles)
        if length <= 2 and beam == 50:  # every literal is extended: nothing can be missed
            assert found.iou == best


@given(seeds)
@settings(max_examples=20, deadline=None)
def test_areas_and_shares_are_those_of_the_form(seed: int) -> None:
    world = World(seed)
    table = world.table()
    for found in search_formulas(table, table.count(world.masks), 3):
        assert found.unit_area == world.masks[found.unit].sum()
        if found.formula is not None:
            assert found.formula_area == table.area(found.formula)
            assert found.iou == found.overlap / (found.unit_area + found.formula_area - found.overlap)
            assert found.detection_accuracy == found.overlap / found.formula_area
            assert found.coverage == found.overlap / found.unit_area


@given(seeds, st.integers(1, 4), st.sampled_from([1, 2, 5]), st.sampled_from([1.0, 0.9]))
@settings(max_examples=20, deadline=None)
def test_the_published_search_is_repeated_exactly(seed: int, length: int, beam: int, penalty: float) -> None:
    world = World(seed)
    table = world.table()
    counts = table.count(world.masks)
    for found in search_formulas(table, counts, length, beam, compat="compexp", length_penalty=penalty):
        wanted = Published(world, table.names, found.unit, penalty).search(length, beam)
        if wanted is None:
            assert found.formula is None and found.iou == 0
        else:
            assert found.formula == wanted[1]
            assert found.iou == world.iou(found.unit, wanted[1])


@given(seeds, st.lists(st.tuples(st.sampled_from(Op), st.integers(0, 6)), min_size=1, max_size=5))
@settings(max_examples=30, deadline=None)
def test_sums_of_steps_are_those_of_masks(seed: int, steps: list[tuple[Op, int]]) -> None:
    world = World(seed)
    table = world.table()
    unit = SearchGround(table).unit(table.count(world.masks).counts[[3]].toarray()[0])
    (op, leaf), *others = steps
    chain = chain_of(unit, ((Op.AND_NOT if op % 2 else Op.AND, leaf), *others))
    mask = table.mask(chain.form(table.leaves))
    assert chain.sums.tolist() == unit.values[mask].sum(0).tolist()
    assert chain.sums[AREA] == table.sizes[mask].sum()


def test_equal_masks_are_one_form() -> None:
    """Two labels that always stand together fill one place of a beam."""
    labels = np.array([[[1, 1, 2, 2, 3, 3]]])
    names = {"object": ["", "a", "b", "c"], "part": ["", "twin of a"]}
    table = type(World(0).table()).from_maps({"object": labels, "part": labels == 1}, names=names)
    ground = SearchGround(table)
    counts = table.count(np.array([[[[True, True, False, False, False, False]]]]))
    unit = ground.unit(counts.counts[[0]].toarray()[0])
    chain = best_chain(unit, 1, 10)
    assert chain is not None and chain.form(table.leaves) == Concept("a")
    prints = unit.leaf_sums[:, PRINT]
    assert prints[0] == prints[3] and len(set(prints.tolist())) == 3
    assert unit.leaf_sums[0, OVERLAP] == 2
    chosen = _distinct(unit.ious(_literals(unit)), _literals(unit)[..., PRINT], set(), 10)
    assert [place[1:] for place in chosen] == [(Op.AND, 0), (Op.AND_NOT, 1), (Op.AND_NOT, 2)]


@given(seeds)
@settings(max_examples=10, deadline=None)
def test_many_parts_are_searched_like_one(seed: int) -> None:
    world = World(seed)
    whole, parts = world.table(), world.table(max_signatures=4, say=lambda _: None)
    assert len(parts.row_starts) > 2
    found = [search_formulas(table, table.count(world.masks), 2, 50, optimal=True) for table in (whole, parts)]
    assert [explanation.iou for explanation in found[0]] == [explanation.iou for explanation in found[1]]


def test_neighbors_may_stand_anywhere_in_a_form() -> None:
    world = World(8)
    table = world.table().with_neighbors({"dog": ["sky"], "beach": []})
    wanted = parse("red AND NOT NEIGHBORS(dog)")
    masks = np.stack([table.image_mask(wanted, image) for image in range(table.n_images)])[None]
    found = search_formulas(table, table.count(masks), 2)[0]
    assert found.iou == 1 and Neighbors("dog") in found.formula.leaves and found.length == 2
    assert found.best_concept in table.names


def test_a_unit_that_never_fires_has_no_form() -> None:
    world = World(0)
    table = world.table()
    for options in ({}, {"optimal": True}, {"compat": "compexp"}):
        found = search_formulas(table, table.count(np.zeros_like(world.masks)), **options)
        assert [explanation.formula for explanation in found] == [None] * UNITS
        assert {(explanation.iou, explanation.length, explanation.best_concept) for explanation in found} == {
            (0, 0, None)
        }


def test_an_empty_concept_is_never_needed() -> None:
    names = {"object": ["", "sky", "unicorn"]}
    table = type(World(0).table()).from_maps({"object": np.array([[[1, 1, 0]]])}, names=names)
    assert table.areas.tolist() == [2, 0]
    found = search_formulas(
        table, table.count(np.array([[[[True, True, False]]], [[[False, False, True]]]])), optimal=True
    )
    assert [str(explanation.formula) for explanation in found] == ["sky", "NOT sky"]
    assert [explanation.iou for explanation in found] == [1, 1]


def test_without_images_nothing_fires() -> None:
    world = World(0, n_images=0)
    table = world.table()
    assert [found.formula for found in search_formulas(table, table.count(world.masks))] == [None] * UNITS


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"max_length": 0}, "max_length and beam_size must be at least 1. Got 0 and 10. "),
        ({"beam_size": 0}, "max_length and beam_size must be at least 1. Got 3 and 0. "),
        ({"length_penalty": 0.0}, "length_penalty must be above 0 and at most 1. Got 0.0. "),
        ({"compat": "compexp", "optimal": True}, "optimal must be without compat. Got both. "),
    ],
)
def test_what_cannot_be_searched_is_told_in_one_line(options: dict, said: str) -> None:
    table = World(0).table()
    with pytest.raises(ConceptsError) as fault:
        search_formulas(table, np.zeros((1, len(table)), int), **options)
    assert str(fault.value).startswith(said)


def test_counts_of_another_table_are_refused() -> None:
    table = World(0).table()
    with pytest.raises(ConceptsError, match=rf"counts must be \(units, {len(table)} signatures\). Got \(2, 3\)."):
        search_formulas(table, np.ones((2, 3), int))


def test_counts_may_be_any_array_and_progress_is_told() -> None:
    world, told = World(4), list[tuple[int, int]]()
    table = world.table()
    counts = table.count(world.masks)
    found = search_formulas(table, counts, progress=lambda *done: told.append(done))
    assert found == search_formulas(table, counts.counts.toarray()) == search_formulas(table, counts.counts)
    assert told == [(n, UNITS) for n in range(1, UNITS + 1)]
