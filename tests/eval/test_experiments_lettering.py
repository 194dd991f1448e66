"""Painted words and the pictures they are painted into, against plain loops."""

import io

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from describer.data.concepts.labels import ConceptSet, ImageLabels
from describer.data.images import load_images
from describer.errors import ImagesError
from describer.eval.control.segmenter import HeldPictures
from describer.eval.experiments.lettering import LetteredConcepts, LetteredImages, own_words, paint, wrong_words
from describer.eval.experiments.pupils import Lessons, PupilRecipe, prepared
from describer.eval.experiments.worlds import Sizes, blurred, photo_world, scenes_world

# The painter


def test_the_mask_is_what_the_letters_changed():
    picture = np.random.default_rng(3).integers(1, 255, (61, 83, 3)).astype(np.uint8)
    painted, mask = paint(picture, "city wall", np.random.default_rng(0))
    for y in range(61):
        for x in range(83):
            assert mask[y, x] == any(painted[y, x, c] != picture[y, x, c] for c in range(3))
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    assert 8 <= rows[-1] - rows[0] + 1 <= 18 and columns[-1] - columns[0] + 1 >= 30  # of a font of 12 pixels
    assert {*map(int, painted[mask].min(0))} == {0} and {*map(int, painted[mask].max(0))} == {255}


def test_words_lie_anywhere_whole_and_get_smaller_where_they_are_long():
    grey = np.full((64, 64, 3), 128, np.uint8)
    sizes = set()
    places = set()
    for seed in range(11):
        mask = paint(grey, "dog", np.random.default_rng(seed))[1]
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        sizes.add((int(np.ptp(rows)), int(np.ptp(columns))))
        places.add((int(rows[0]), int(columns[0])))
    assert len(sizes) == 1 and len(places) > 7
    long = paint(grey, "automobiles", np.random.default_rng(0))[1]
    assert np.ptp(np.flatnonzero(long.any(1))) < next(iter(sizes))[0] + 1
    with pytest.raises(ImagesError, match=r"A word must fit into a picture of 13x17 pixels. Got 'automobiles'"):
        paint(np.zeros((17, 13, 3), np.uint8), "automobiles", np.random.default_rng(0))


def test_words_are_own_in_a_share_and_never_own_where_they_are_wrong():
    names = ["a", "b", "c", "d", "e"]
    labels = np.random.default_rng(0).integers(0, 5, 997)
    own, wrong = own_words(labels, names, 0.5, 7), wrong_words(labels, names, 7)
    assert sum(word is not None for word in own) == 498  # half of 997, rounded to even
    assert all(word in (None, names[label]) for word, label in zip(own, labels, strict=True))
    for label, name in enumerate(names):
        said = {word for word, shown in zip(wrong, labels, strict=True) if shown == label}
        assert said == {*names} - {name}
    assert own_words(labels, names, 0.0) == [None] * 997 and None not in own_words(labels, names, 1.0)
    assert own_words(labels, names, 0.5, 8) != own and wrong_words(labels, names, 8) != wrong


class Floor(ConceptSet):
    """The lower half of every picture is grass."""

    def __init__(self, images):
        self.source, self.images, self.names = "floor", images, {"object": ("", "grass"), "scene": ("", "park")}

    def _read(self, index):
        floor = np.zeros((128, 96), np.int32)  # finer than the picture
        floor[64:] = 1
        return ImageLabels({"object": (floor,)}, {"scene": (1,)})

    def _digest(self):
        return "floor"


@pytest.fixture
def grey():
    return HeldPictures(np.full((5, 32, 32, 3), 128, np.uint8))


def test_text_is_a_concept_that_hides_what_is_below(grey):
    images = LetteredImages(grey, ["dog", None, "ship", "cat", None], 64, 3)
    concepts = LetteredConcepts(images, Floor(images))
    assert concepts.names["object"] == ("", "grass", "text") and "white" in concepts.names["color"]
    for index in range(5):
        painted, mask = images.painted(index)
        labels, box = concepts.labels(index), images.box(index)
        assert painted.shape == (64, 64, 3) and (box >= mask).all() and box.any() == (index not in (1, 4))
        if box.any():
            ys, xs = np.nonzero(box)
            assert box.sum() == (np.ptp(ys) + 1) * (np.ptp(xs) + 1)
            assert mask[ys.min()].any() and mask[ys.max()].any() and mask[:, xs.min()].any() and mask[:, xs.max()].any()
        for y in range(64):
            for x in range(64):
                assert labels.maps["object"][0][y, x] == (2 if box[y, x] else 1 if y >= 32 else 0)
        assert labels.scalars == {"scene": (1,)}
    alone = LetteredConcepts(images)
    assert [*alone.names] == ["object", "color"] and alone.names["object"] == ("", "text")
    assert (alone.labels(0).maps["object"][0] == images.box(0)).all()
    same = LetteredImages(grey, ["dog", None, "ship", "cat", None], 64, 3)
    assert same.fingerprint == images.fingerprint and same.image(2).tobytes() == images.image(2).tobytes()
    assert LetteredImages(grey, ["dog", None, "ship", "cat", None], 64, 4).fingerprint != images.fingerprint


def test_words_are_painted_anew_elsewhere_and_the_same_again_for_a_step(grey):
    words = ["dog", None, "ship", "cat", None]
    images = LetteredImages(grey, words, 64, 3)
    first, second, again = (images.anew(np.random.default_rng(seed)) for seed in (1, 2, 1))
    assert first.words == images.words and first.image(0).tobytes() == again.image(0).tobytes()
    assert len({each.image(0).tobytes() for each in (images, first, second)}) == 3
    assert first.image(1).tobytes() == images.image(1).tobytes()
    kept = images.image(0).tobytes()
    for anew in (False, True):
        lessons = Lessons(images, np.arange(5), PupilRecipe((3, 5, 5, 7), 64, batch=7, anew=anew))
        one, same, other = lessons([11]), lessons([11]), lessons([12])
        assert one["images"].shape == (7, 3, 64, 64) and torch.equal(one["images"], same["images"])
        assert torch.equal(one["labels"], same["labels"]) and not torch.equal(one["labels"], other["labels"])
        for x, label in zip(one["images"], one["labels"].tolist(), strict=True):
            assert torch.equal(x, prepared(images.image(label), 64)) == (not anew or words[label] is None)
    assert images.image(0).tobytes() == kept


# The pictures and the pupils


def test_photographs_are_dealt_to_parts_that_share_none(tmp_path):
    pixels = np.arange(23, dtype=np.uint8)[:, None, None, None] * np.ones((1, 8, 8, 3), np.uint8)
    cells = [{"bytes": _png(picture), "path": None} for picture in pixels]
    names = [("bird", "frog", "cat")[number % 3] for number in range(23)]
    pq.write_table(pa.table({"image": cells, "label": names}), tmp_path / "a.parquet")
    world = photo_world(str(tmp_path / "a.parquet"), Sizes(11, 5, 3, 2), seed=1)
    assert world.class_names == ["bird", "cat", "frog"]
    seen = []
    for part, n in ((world.train, 11), (world.probe, 5), (world.validation, 3), (world.test, 2)):
        assert len(part.images) == len(part.labels) == n
        for index in range(n):
            level = np.asarray(part.images.image(index))[0, 0, 0]
            assert world.class_names[part.labels[index]] == names[level]
            seen.append(int(level))
    assert len({*seen}) == 21
    with pytest.raises(ImagesError, match=r"must hold 30 pictures for all parts\. Got 23"):
        photo_world(str(tmp_path / "a.parquet"), Sizes(11, 5, 7, 7))
    with pytest.raises(ImagesError, match="must be Parquet files with a column of class names"):
        photo_world("scenes:3", Sizes(1, 1, 1, 0))


def _png(picture):
    kept = io.BytesIO()
    Image.fromarray(picture).save(kept, "PNG")
    return kept.getvalue()


def test_scenes_are_drawn_once_and_are_of_no_other_seed(tmp_path):
    world = scenes_world(Sizes(2, 3, 1, 2), tmp_path)
    assert world.probe.concepts is not None and len(world.probe.concepts) == 3
    other = load_images("scenes:3:701")
    assert all(world.probe.images.image(i).tobytes() == other.image(i).tobytes() for i in range(3))
    kinds = [other.scenes.scene(i).kind for i in range(3)]
    assert [world.class_names[label] for label in world.probe.labels] == kinds
    assert world.train.images.image(0).tobytes() != other.image(0).tobytes()
    files = {file: file.stat().st_mtime_ns for file in tmp_path.iterdir()}
    again = scenes_world(Sizes(2, 3, 1, 2), tmp_path)
    assert files == {file: file.stat().st_mtime_ns for file in tmp_path.iterdir()} and len(files) == 4
    assert again.test.images.image(1).tobytes() == world.test.images.image(1).tobytes()
    soft = scenes_world(Sizes(2, 3, 1, 2), tmp_path, grain=4)
    assert soft.test.images.image(1).tobytes() == Image.fromarray(blurred(world.test.images.pixels[1], 4)).tobytes()


def test_scenes_out_of_focus_are_means_of_cells_enlarged():
    picture = np.random.default_rng(0).integers(0, 255, (14, 21, 3)).astype(np.uint8)
    means = np.zeros((7, 7, 3), np.uint8)
    for y in range(7):
        for x in range(7):
            cell = picture[2 * y : 2 * y + 2, 3 * x : 3 * x + 3].reshape(-1, 3)
            means[y, x] = np.floor(cell.mean(0) + 0.5)
    wanted = np.asarray(Image.fromarray(means).resize((21, 14), Image.Resampling.BICUBIC), np.int64)
    assert np.abs(blurred(picture, 7).astype(np.int64) - wanted).max() <= 3  # Pillow rounds twice on the way
