import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from describer.errors import ConceptsError, FormulaError
from describer.search.counts import UnitCounts
from describer.search.forms import Concept, Neighbors, parse
from describer.search.iou import best_by_category, category_ious, global_ious, score_form, score_forms
from describer.search.labels import ArrayLabels, GridLabels
from describer.search.signatures import SignatureTable, TableBuilder
from tests.search.drawn import HEIGHT, IMAGES, NAMES, UNITS, WIDTH, World, holds

seeds = st.integers(0, 2**32 - 1)
FORM = parse('red AND NOT ("swimming pool" OR dog) OR beach')


def read(table: SignatureTable) -> dict[frozenset[str], int]:
    """What a table says, without its numbering."""
    found: dict[frozenset[str], int] = {}
    for row, size in enumerate(table.sizes.tolist()):
        carried = frozenset(table.names[concept] for concept in table.matrix[[row]].indices)
        found[carried] = found.get(carried, 0) + size
    return found


@given(seeds)
@settings(max_examples=20, deadline=None)
def test_a_signature_is_counted_as_pixel_loops_count_it(seed: int) -> None:
    world = World(seed)
    table = world.table()
    assert read(table) == world.signatures()
    assert len(table) == len(world.signatures())
    assert (table.n_images, table.n_pixels) == (IMAGES, IMAGES * HEIGHT * WIDTH)
    areas = {name: sum(name in carried for *_, carried in world.pixels()) for name in table.names}
    assert dict(zip(table.names, table.areas.tolist(), strict=True)) == areas


def test_concepts_are_numbered_category_by_category() -> None:
    table = World(0).table()
    assert table.names == ("sky", "dog", "swimming pool", "red", "blue", "beach", "street")
    assert table.categories == ("object",) * 3 + ("color",) * 2 + ("scene",) * 2


@given(seeds)
@settings(max_examples=20, deadline=None)
def test_masks_are_counted_as_pixel_loops_count_them(seed: int) -> None:
    world = World(seed)
    table = world.table()
    counts = table.count(world.masks)
    assert counts.shape == (UNITS, len(table))
    held = counts.counts.toarray()
    for unit in range(UNITS):
        found: dict[frozenset[str], int] = {carried: 0 for carried in world.signatures()}
        for image, row, column, carried in world.pixels():
            found[carried] += int(world.masks[unit, image, row, column])
        rows = [frozenset(table.names[c] for c in table.matrix[[row]].indices) for row in range(len(table))]
        assert dict(zip(rows, held[unit].tolist(), strict=True)) == found
    assert counts.areas.tolist() == world.masks.sum((1, 2, 3)).tolist()


@given(seeds, st.integers(1, IMAGES - 1))
@settings(max_examples=20, deadline=None)
def test_two_halves_make_the_whole(seed: int, cut: int) -> None:
    world, halves = World(seed), []
    for part in (slice(cut), slice(cut, None)):
        maps = {category: ids[part] for category, ids in world.maps.items()}
        table = SignatureTable.from_maps(maps, {"scene": world.scalars["scene"][part]}, NAMES)
        halves.append((table, table.count(world.masks[:, part])))
    whole = world.table()
    (one, own), (other, others) = halves
    for merged in (one.merge(other), other.merge(one)):
        assert merged.same(whole) and merged.n_images == whole.n_images
        sums = merged.lift(one, own) + merged.lift(other, others)
        real = whole.count(world.masks)
        assert np.array_equal(sums.counts.toarray(), real.counts.toarray())
        assert np.array_equal(sums.category_areas, real.category_areas)
    counted = one.merge(other).with_source(whole.source).count(world.masks)
    assert np.array_equal(counted.counts.toarray(), whole.count(world.masks).counts.toarray())


@given(seeds)
@settings(max_examples=20, deadline=None)
def test_a_counter_takes_masks_in_any_order_and_portion(seed: int) -> None:
    world, dice = World(seed), np.random.default_rng(seed)
    table = world.table()
    counter = table.counter(UNITS)
    counter.add_batch(np.array([3, 1]), world.masks[:, [3, 1]].swapaxes(0, 1))
    for image in (4, 0, 2):
        units = dice.permutation(UNITS)
        for part in (units[:3], units[3:]):
            counter.add(image, world.masks[part, image], part)
    whole = table.count(world.masks)
    assert np.array_equal(counter.result().counts.toarray(), whole.counts.toarray())
    assert np.array_equal(counter.result().category_areas, whole.category_areas)


def test_shifted_counts_are_of_masks_on_the_labels_of_other_images() -> None:
    world = World(3)
    table = world.table()
    counter = table.counter(UNITS, shifts=(1, 3))
    for image in range(IMAGES):
        counter.add(image, world.masks[:, image])
    for shift, found in zip((1, 3), counter.shifted(), strict=True):
        assert np.array_equal(found.counts.toarray(), table.count(np.roll(world.masks, shift, axis=1)).counts.toarray())


@given(seeds)
@settings(max_examples=20, deadline=None)
def test_the_mask_of_a_form_is_that_of_pixel_loops(seed: int) -> None:
    world = World(seed)
    table = world.table()
    assert table.area(FORM) == sum(holds(FORM, carried) for *_, carried in world.pixels())
    masks = [table.image_mask(FORM, image) for image in range(IMAGES)]
    assert masks[0].shape == (HEIGHT, WIDTH)
    for image, row, column, carried in world.pixels():
        assert masks[image][row, column] == holds(FORM, carried)


@given(seeds)
@settings(max_examples=20, deadline=None)
def test_global_iou_is_that_of_pixel_loops(seed: int) -> None:
    world = World(seed)
    table = world.table()
    counts = table.count(world.masks)
    found = global_ious(table, counts)
    scores = score_form(table, counts, FORM)
    for unit in range(UNITS):
        assert found[unit].tolist() == [world.iou(unit, Concept(name)) for name in table.names]
        assert scores[unit].iou == world.iou(unit, FORM)
    first = scores[0]
    both = sum(bool(world.masks[0, i, r, c]) and holds(FORM, carried) for i, r, c, carried in world.pixels())
    assert first.overlap == both
    assert first.detection_accuracy == both / max(table.area(FORM), 1)
    assert first.coverage == both / max(int(world.masks[0].sum()), 1)
    assert score_forms(table, counts, [FORM] * 6 + [None])[1] == scores[1]
    assert score_forms(table, counts, [FORM] * 6 + [None])[6].iou == 0


@given(seeds)
@settings(max_examples=20, deadline=None)
def test_category_iou_is_that_of_netdissect(seed: int) -> None:
    """Bau et al. 2017, as published: the unit's pixels count in images where it meets a label of the category."""
    world = World(seed)
    table = world.table()
    found = category_ious(table, table.count(world.masks))
    for unit in range(UNITS):
        for concept, (name, category) in enumerate(zip(table.names, table.categories, strict=True)):
            own = {n for n, c in zip(table.names, table.categories, strict=True) if c == category}
            overlap = area = unit_area = 0
            for image in range(IMAGES):
                pixels = [(r, c, s) for i, r, c, s in world.pixels() if i == image]
                fires = [(r, c, s) for r, c, s in pixels if world.masks[unit, image, r, c]]
                unit_area += len(fires) * any(own & carried for *_, carried in fires)
                overlap += sum(name in carried for *_, carried in fires)
                area += sum(name in carried for *_, carried in pixels)
            union = unit_area + area - overlap
            assert found[unit, concept] == (overlap / union if union else 0)


def test_the_best_concept_of_every_category() -> None:
    table = World(1).table()
    ious = np.array([[0.1, 0.3, 0.2, 0, 0, 0.5, 0.5], [0] * 7])
    assert best_by_category(table, ious) == [{"object": ("dog", 0.3), "scene": ("beach", 0.5)}, {}]


def test_neighbors_hold_where_any_of_the_words_does() -> None:
    world = World(5)
    table = world.table().with_neighbors({"dog": ["sky", "red"], "red": []})
    form = Neighbors("dog") & ~Concept("beach")
    joined = (Concept("dog") | Concept("sky") | Concept("red")) & ~Concept("beach")
    assert table.leaves[-2:] == (Neighbors("dog"), Neighbors("red"))
    assert np.array_equal(table.mask(form), table.mask(joined))
    assert np.array_equal(table.mask(Neighbors("red")), table.mask(Concept("red")))
    assert all(np.array_equal(table.image_mask(form, i), table.image_mask(joined, i)) for i in range(IMAGES))
    with pytest.raises(ConceptsError, match=r"neighbors must be concepts. Got 'cat'. Leave it out."):
        table.with_neighbors({"dog": ["cat"]})


def test_a_table_is_kept_and_read_back(tmp_path) -> None:
    world = World(2)
    table = world.table().with_neighbors({"dog": ["sky"]})
    table.save(tmp_path / "table.safetensors")
    found = SignatureTable.load(tmp_path / "table.safetensors", table.source)
    assert found.same(table) and found.leaves == table.leaves and found.n_images == table.n_images
    counts = table.count(world.masks)
    assert np.array_equal(found.count(world.masks).counts.toarray(), counts.counts.toarray())
    counts.save(tmp_path / "counts.safetensors")
    kept = UnitCounts.load(tmp_path / "counts.safetensors")
    assert np.array_equal(kept.counts.toarray(), counts.counts.toarray())
    assert np.array_equal(kept.category_areas, counts.category_areas)
    for load in (SignatureTable.load, UnitCounts.load):
        with pytest.raises(ConceptsError, match="must hold"):
            load(tmp_path / "nothing.safetensors")
    with pytest.raises(ConceptsError, match="must be of format describer-signatures-1"):
        SignatureTable.load(tmp_path / "counts.safetensors")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["counts.safetensors", "table.safetensors"]


@given(seeds, st.integers(1, 9))
@settings(max_examples=20, deadline=None)
def test_a_table_of_too_many_signatures_says_so_and_stays_exact(seed: int, limit: int) -> None:
    world, said = World(seed), list[str]()
    whole, table = world.table(), world.table(max_signatures=limit, say=said.append)
    assert read(table) == read(whole)
    assert len(said) == (len(table.row_starts) > 2) == (table.disk is not None)
    counts = table.count(world.masks)
    assert np.array_equal(global_ious(table, counts), global_ious(whole, whole.count(world.masks)))
    assert table.area(FORM) == whole.area(FORM)
    assert all(np.array_equal(table.image_mask(FORM, i), whole.image_mask(FORM, i)) for i in range(IMAGES))
    doubled = table.merge(table, max_signatures=limit, say=lambda _: None)
    assert read(doubled) == {carried: 2 * size for carried, size in read(whole).items()}


def test_a_table_on_disk_warns_by_default_and_leaves_nothing_behind() -> None:
    with pytest.warns(ResourceWarning, match=r"signatures must be at most 3 to lie in memory"):
        table = World(0).table(max_signatures=3)
    assert table.disk is not None
    folder = table.disk.folder
    assert folder.exists() and isinstance(table.sizes, np.memmap)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        del table
    assert not folder.exists()


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.uint16, np.int8, np.int64])
def test_labels_may_be_of_any_integers(dtype: type) -> None:
    assert SignatureTable.from_maps({"object": np.array([[[0, 1, 1]]], dtype)}).areas.tolist() == [2]


def test_sentences_are_images_of_one_pixel() -> None:
    builder = TableBuilder({"token": ["", "a", "dog", "runs"]})
    for tokens in ([1, 2], [2, 1, 1], [], [3]):
        builder.add({}, {"token": tokens})
    table = builder.table()
    assert read(table) == {frozenset({"a", "dog"}): 2, frozenset(): 1, frozenset({"runs"}): 1}
    assert table.areas.tolist() == [2, 2, 1]


def test_labels_without_names_are_numbered() -> None:
    table = SignatureTable.from_maps({"object": np.array([[[0, 3], [7, 3]]])})
    assert table.names == ("object-3", "object-7") and table.areas.tolist() == [2, 1]


class Pictures:
    """One picture with maps of two resolutions."""

    def __init__(self) -> None:
        self.names = {"object": ["", *"abcde"], "scene": ["", "beach"]}
        self.maps = {"object": (np.array([[1, 1, 2, 2], [3, 3, 4, 4]]), np.array([[5]]))}
        self.scalars = {"scene": (1,)}

    def __len__(self) -> int:
        return 1

    def labels(self, index: int) -> "Pictures":
        return self


def test_labels_of_any_size_are_laid_on_one_grid() -> None:
    maps, scalars = GridLabels(Pictures(), (2, 2)).labels(0)
    assert [layer.tolist() for layer in maps["object"]] == [[[1, 2], [3, 4]], [[5, 5], [5, 5]]]
    assert scalars == {"scene": (1,)}
    table = SignatureTable.from_source(GridLabels(Pictures(), (3, 2)))
    assert table.areas.tolist() == [1, 1, 2, 2, 6, 6]


def test_equal_names_in_two_categories_are_told_apart() -> None:
    names = {"object": ["", "water", "red"], "material": ["", "water"]}
    table = SignatureTable.from_maps({"object": np.array([[[1, 2]]]), "material": np.array([[[1, 0]]])}, names=names)
    assert table.names == ("object:water", "red", "material:water")


def of(names: dict, labels: list) -> SignatureTable:
    return SignatureTable.from_maps({"object": np.array(labels)}, names=names)


@pytest.mark.parametrize(
    ("names", "labels", "said"),
    [
        ({"object": ["", "a"]}, [[[2, 1]]], "every label of object must have a name. Got id 2 in image 0. "),
        ({"object": {3: "a"}}, [[[0, 3]], [[1, 3]]], "every label of object must have a name. Got id 1 in image 1. "),
        ({"object": ["", "a"]}, [[[-1, 1]]], "every label of object must have a name. Got id -1 in image 0. "),
        ({"object": ["", "a", " "]}, [[[2, 1]]], "every label of object must have a name. Got id 2 in image 0. "),
        ({"part": ["", "a"]}, [[[1, 1]]], "category 'object' must have names. Got ['part'] in image 0. "),
        ({"object": [""]}, [[[0, 0]]], "category object must have labels. Got none. "),
        (
            {"object": ["", "a", "a"]},
            [[[1, 2]]],
            "names within a category must differ. Got 'a' more than once in object. ",
        ),
        ({"object": {-4: "a"}}, [[[1, 2]]], "label ids must be at least 0. Got ('object', -4). "),
        (
            {"object": ["", "a"]},
            [[[1.0, 0.0]]],
            "a map must be (height, width) of integers",
        ),
    ],
)
def test_labels_that_do_not_fit_are_told_in_one_line(names: dict, labels: list, said: str) -> None:
    with pytest.raises(ConceptsError) as fault:
        of(names, labels)
    assert str(fault.value).startswith(said) and "\n" not in str(fault.value)


def test_a_clash_of_told_apart_names_is_refused() -> None:
    with pytest.raises(ConceptsError, match=r"names of concepts must differ. Got 'object:a' more than once"):
        of({"object": ["", "a"], "part": ["", "a", "object:a"]}, [[[1]]])


def test_maps_of_one_image_must_be_of_one_size() -> None:
    source = ArrayLabels({"object": np.ones((2, 3, 5), int), "part": np.ones((2, 5, 3), int)})
    with pytest.raises(ConceptsError, match=r"maps of an image must be of one size. Got \[\(3, 5\)"):
        SignatureTable.from_source(source)
    with pytest.raises(ConceptsError, match="labels must be of the same images"):
        ArrayLabels({"object": np.ones((2, 3, 5), int)}, {"scene": np.ones(3, int)})


@pytest.mark.parametrize(
    ("masks", "said"),
    [
        (
            np.zeros((UNITS, IMAGES, WIDTH, HEIGHT), bool),
            r"masks must be \(2, 3\), as the labels of image 0 are. Got \(3, 2\)",
        ),
        (np.zeros((UNITS, IMAGES, HEIGHT, WIDTH), np.float32), r"of bool. Got \(7, 2, 3\) of float32. Compare"),
        (np.zeros((UNITS, IMAGES + 1, HEIGHT, WIDTH), bool), r"masks must be \(units, 5 images, height, width\)"),
    ],
)
def test_masks_that_do_not_fit_are_told_in_one_line(masks: np.ndarray, said: str) -> None:
    with pytest.raises(ConceptsError, match=said):
        World(0).table().count(masks)


def test_a_counter_refuses_what_it_does_not_know() -> None:
    counter, mask = World(0).table().counter(3), np.zeros((1, HEIGHT, WIDTH), bool)
    with pytest.raises(ConceptsError, match=r"image must be below 5. Got 5. "):
        counter.add(5, mask, np.array([0]))
    with pytest.raises(ConceptsError, match=r"masks must be \(units, height, width\)=\(1, …\) of bool. Got \(2, 2"):
        counter.add(0, np.zeros((2, HEIGHT, WIDTH), bool), np.array([1]))
    with pytest.raises(ConceptsError, match=r"units must be below 3. Got 3. "):
        counter.add(0, mask, np.array([3]))


def test_a_table_without_labels_cannot_count() -> None:
    table = World(0).table().with_source(None)
    with pytest.raises(ConceptsError, match=r"masks must be counted on labels. Got a table without. "):
        table.count(World(0).masks)
    with pytest.raises(ConceptsError, match=r"labels must be those of the table, 5 images. Got 6"):
        table.with_source(World(0, n_images=6).table().source)
    other = table.with_source(World(1).table().source)
    with pytest.raises(ConceptsError, match=r"labels must be those of the table. Got others in image"):
        other.count(World(0).masks)


def test_a_form_of_unknown_concepts_names_the_nearest() -> None:
    with pytest.raises(FormulaError, match=r"a form must name concepts of the table. Got skye. Try sky."):
        World(0).table().mask(parse("skye AND dog"))


@pytest.mark.parametrize("n_images", [0, 1])
def test_no_image_and_one_image(n_images: int) -> None:
    world = World(0, n_images=n_images)
    table = world.table()
    assert table.n_pixels == n_images * HEIGHT * WIDTH
    assert table.count(world.masks).areas.tolist() == world.masks.sum((1, 2, 3)).tolist()
    assert table.merge(table).n_pixels == 2 * table.n_pixels
