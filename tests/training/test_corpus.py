"""The corpus: exact masks, folds, putting together, saving."""

from fractions import Fraction
from hashlib import md5
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from describer.errors import RecipeError
from describer.training.corpus import Corpus, CorpusBuilder, check_folds, concat, coverage, image_array, split_of


def colour(red: int, size: tuple[int, int] = (7, 5)) -> Image.Image:
    return Image.new("RGB", size, (red, 11, 13))


def small(source: str, reds: tuple[int, ...]) -> Corpus:
    builder = CorpusBuilder(source)
    for red in reds:
        place = builder.add_image(colour(red))
        region = builder.add_region(place, None, [f"{source} {red}"], ["all", f"red {red}"])
        builder.add_region(place, np.full((32, 32), red, np.uint8), [], ["all"])
        builder.add_set([region, region + 1], [f"both of {red}", "two"])
    return builder.corpus()


def slow_coverage(mask: np.ndarray) -> np.ndarray:
    """Every cell, every pixel that it meets, exact fractions."""
    height, width = mask.shape
    cells = np.zeros((32, 32))
    for i in range(32):
        for j in range(32):
            covered = Fraction(0)
            for y in range(i * height // 32, -(-(i + 1) * height // 32)):
                tall = min(Fraction((i + 1) * height, 32), y + 1) - max(Fraction(i * height, 32), y)
                for x in range(j * width // 32, -(-(j + 1) * width // 32)):
                    wide = min(Fraction((j + 1) * width, 32), x + 1) - max(Fraction(j * width, 32), x)
                    covered += tall * wide if mask[y, x] else 0
            cells[i, j] = float(covered * 32 * 32 / (height * width) * 255)
    return cells


@pytest.mark.parametrize("shape", [(7, 11), (37, 41), (1, 1), (32, 32)])
def test_coverage_is_the_exact_area_average(shape: tuple[int, int]) -> None:
    mask = np.random.default_rng(3).random(shape) < 0.4
    assert np.abs(coverage(mask).astype(float) - slow_coverage(mask)).max() <= 0.51


def test_coverage_of_all_and_nothing() -> None:
    assert (coverage(np.ones((13, 17), bool)) == 255).all()
    assert (coverage(np.zeros((13, 17), bool)) == 0).all()


def test_split_is_md5_of_the_name_modulo_ten() -> None:
    assert split_of("a.jpg") == int(md5(b"a.jpg").hexdigest(), 16) % 10
    assert split_of(b"a.jpg") == split_of("a.jpg")
    assert {split_of(f"{i}.jpg") for i in range(200)} == set(range(10))


@pytest.mark.parametrize("folds", [[], [10], [-1, 3]])
def test_folds_must_be_of_ten(folds: list[int]) -> None:
    with pytest.raises(RecipeError, match=r"^folds must be some of 0\.\.9\. Got \["):
        check_folds(folds)


def test_a_picture_is_squashed_and_its_channels_stay() -> None:
    image = Image.new("RGB", (6, 3), "red")
    image.paste((0, 0, 255), (3, 0, 6, 3))
    array = image_array(image)
    assert array.shape == (3, 160, 160)
    assert array.dtype == np.uint8
    assert array[:, 80, 10].tolist() == [255, 0, 0]
    assert array[:, 80, 150].tolist() == [0, 0, 255]
    assert image_array(Image.new("L", (2, 5), 77))[:, 0, 0].tolist() == [77, 77, 77]


def test_an_empty_corpus_has_shapes() -> None:
    corpus = CorpusBuilder("none").corpus()
    assert (corpus.images.shape, corpus.region_mask.shape, len(corpus)) == ((0, 3, 160, 160), (0, 32, 32), 0)
    assert len(concat([])) == len(concat([corpus, corpus])) == 0


def test_concat_keeps_a_picture_once_and_moves_every_number() -> None:
    first, second = small("a", (3, 5)), small("b", (5, 7, 3))
    both = concat([first, second])
    assert len(both.images) == 3
    assert len(both) == len(first) + len(second) == 10
    for start, part in ((0, first), (len(first), second)):
        for region in range(len(part)):
            got = both.images[both.region_image[start + region]]
            assert (got == part.images[part.region_image[region]]).all()
            assert (both.region_mask[start + region] == part.region_mask[region]).all()
            assert both.texts[start + region] == part.texts[region]
            assert both.source[start + region] == part.source[region]
    assert both.phrases["all"].tolist() == list(range(10))
    assert both.phrases["red 5"].tolist() == [2, 4]
    assert [ids.tolist() for ids, _ in both.sets] == [[0, 1], [2, 3], [4, 5], [6, 7], [8, 9]]
    assert both.sets[3][1] == ("both of 7", "two")


@pytest.mark.parametrize("corpus", [small("a", (3, 5)), CorpusBuilder("none").corpus()], ids=["small", "empty"])
def test_save_and_load_give_the_same(corpus: Corpus, tmp_path: Path) -> None:
    corpus.save(tmp_path / "deep" / "v1.0")
    loaded = Corpus.load(tmp_path / "deep" / "v1.0")
    for name in ("images", "region_image", "region_mask"):
        assert (getattr(loaded, name) == getattr(corpus, name)).all()
        assert getattr(loaded, name).dtype == getattr(corpus, name).dtype
    assert (loaded.texts, loaded.source) == (corpus.texts, corpus.source)
    assert {k: v.tolist() for k, v in loaded.phrases.items()} == {k: v.tolist() for k, v in corpus.phrases.items()}
    assert [(i.tolist(), t) for i, t in loaded.sets] == [(i.tolist(), t) for i, t in corpus.sets]
    assert sorted(path.name for path in (tmp_path / "deep").iterdir()) == ["v1.0.json", "v1.0.npz"]


def test_a_corpus_of_another_format_is_refused(tmp_path: Path) -> None:
    small("a", (3,)).save(tmp_path / "c")
    written = tmp_path / "c.json"
    written.write_text(written.read_text().replace('"version": 1', '"version": 99'))
    with pytest.raises(RecipeError, match=r"must have format 1\. Got 99\. Do delete it\.$"):
        Corpus.load(tmp_path / "c")
