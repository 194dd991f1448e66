"""Computed regions and colour words: true of pictures drawn so that the truth is known."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from describer.errors import ImagesError
from describer.training.corpus import split_of
from describer.training.sources.colours import COLOURS, FOCI, colour_map, dominant_colour, oklab
from describer.training.sources.computed import computed_regions, read_computed, turns_across
from tests.training.parquets import names_in, picture, struct, write


def found(image: Image.Image) -> dict[str, np.ndarray]:
    return {phrase: mask for mask, phrase in computed_regions(image)}


def stripes(angle: float, period: float = 11.0, low: int = 20, high: int = 235) -> Image.Image:
    """Stripes whose normal has this angle (degrees, 0 = vertical stripes) on the left half; grey on the right."""
    y, x = np.mgrid[:128, :128]
    phase = (x * np.cos(np.deg2rad(angle)) + y * np.sin(np.deg2rad(angle))) / period
    wave = np.where(np.sin(2 * np.pi * phase) > 0, high, low)
    wave[:, 64:] = 128
    return Image.fromarray(wave.astype(np.uint8))


@pytest.mark.parametrize(("angle", "word"), [(0, "vertical"), (90, "horizontal"), (45, "diagonal"), (135, "diagonal")])
def test_stripes_have_their_direction(angle: float, word: str) -> None:
    regions = found(stripes(angle))
    others = {"vertical", "horizontal", "diagonal"} - {word}
    assert f"{word} stripes" in regions
    mask = regions[f"{word} stripes"]
    assert mask[10:118, 10:54].mean() > 0.8
    assert mask[:, 75:].mean() < 0.05
    assert not any(f"{other} stripes" in regions for other in others)


@pytest.mark.parametrize(("word", "box"), [("vertical", (64, 0, 128, 128)), ("horizontal", (0, 64, 128, 128))])
def test_one_step_of_light_is_an_edge(word: str, box: tuple[int, int, int, int]) -> None:
    regions = found(picture(128, 128, ("white", box), ground="black"))
    assert f"{word} edges" in regions
    assert f"{word} lines" not in regions
    assert f"{word} stripes" not in regions
    along = regions[f"{word} edges"].mean(0 if word == "vertical" else 1)
    assert along[58:70].mean() > 0.8
    assert along[:40].max() == 0


def test_a_thin_bar_is_a_line() -> None:
    regions = found(picture(128, 128, ("black", (61, 0, 66, 128)), ground="white"))
    assert "vertical lines" in regions
    assert "vertical edges" not in regions


def test_a_grid_is_a_grid_and_stripes_are_none() -> None:
    lines = [("black", (i, 0, i + 3, 128)) for i in range(4, 128, 12)]
    lines += [("black", (0, i, 128, i + 3)) for i in range(4, 128, 12)]
    assert found(picture(128, 128, *lines))["grids"].mean() > 0.5
    assert "grids" not in found(stripes(0))


def test_noise_is_fine_texture_and_flat_is_smooth() -> None:
    noise = np.random.default_rng(5).integers(0, 255, (128, 128)).astype(np.uint8)
    noise[:, 64:] = 90
    regions = found(Image.fromarray(noise))
    assert regions["fine textures"][:, :50].mean() > 0.6
    assert regions["fine textures"][:, 80:].sum() == 0
    assert regions["smooth surfaces"][:, 80:].all()
    assert regions["smooth surfaces"][:, :56].sum() == 0


def test_colour_areas_are_the_pixels_of_the_colour() -> None:
    regions = found(picture(128, 128, ("red", (0, 0, 40, 30)), ("blue", (60, 60, 128, 128)), ground="lime"))
    truth = np.zeros((128, 128), bool)
    truth[:30, :40] = True
    assert (regions["red areas"] ^ truth).sum() < 20
    assert {"red areas", "blue areas", "green areas"} <= set(regions)
    assert "yellow areas" not in regions


def test_a_picture_of_one_colour_has_no_colour_area() -> None:
    assert not any(phrase.endswith(" areas") and "red" in phrase for phrase in found(picture(5, 7, ground="red")))


def test_spots_need_company() -> None:
    places = [(x, y, x + 7, y + 7) for x in (10, 40, 70, 100) for y in (12, 50, 90)]
    many = found(picture(128, 128, *(("white", box) for box in places), ground="#303030"))
    assert "bright spots" in many
    assert "dark spots" not in many
    few = found(picture(128, 128, *(("white", box) for box in places[:3]), ground="#303030"))
    assert "bright spots" not in few


def test_black_and_white_close_together_are_a_pattern() -> None:
    squares = [("black", (x, y, x + 6, y + 6)) for x in range(0, 64, 12) for y in range(0, 128, 12)]
    squares += [("black", (x + 6, y + 6, x + 12, y + 12)) for x in range(0, 60, 12) for y in range(0, 128, 12)]
    regions = found(picture(128, 128, *squares, ("orange", (66, 0, 128, 128))))
    assert regions["black and white patterns"][20:108, 20:44].all()
    assert regions["black and white patterns"][:, 90:].sum() == 0


@pytest.mark.parametrize("size", [(1, 1), (3, 200)])
def test_any_size_can_be_measured(size: tuple[int, int]) -> None:
    assert all(mask.shape == (128, 128) for mask, _ in computed_regions(Image.new("L", size, 7)))


def test_turns_across_are_counted_by_the_median_row() -> None:
    sign = np.array([[1, 0, -1, -1, 1], [1, 1, 1, 0, 1], [0, 0, 0, 0, 0], [1, -1, 1, -1, 1]])
    assert turns_across(sign) == 2
    assert turns_across(np.zeros((2, 3))) == 0
    assert turns_across(np.zeros((0, 3))) == 0


def test_read_computed_takes_folders_and_parquet(tmp_path: Path) -> None:
    image = picture(128, 128, ("red", (0, 0, 60, 60)))
    good, bad = names_in([1], 1)[0], names_in([9], 1)[0]
    (tmp_path / "photos" / "deep").mkdir(parents=True)
    for name in (good, bad):
        image.save(tmp_path / "photos" / "deep" / name.replace(".jpg", ".png"))
    folds = {split_of(good.replace(".jpg", ".png"))}
    path = write(tmp_path / "p" / "a.parquet", [{"image": struct(image, good)}, {"image": struct(image, bad)}])
    one = read_computed(path, folds=[1])
    assert len(one.images) == 1
    assert "red areas" in one.phrases
    assert one.texts[0] == (next(phrase for phrase, ids in one.phrases.items() if 0 in ids),)
    both = read_computed([tmp_path / "photos", path], folds=[*folds, 1])
    assert len(both.images) in (2, 3)
    assert len(read_computed([path, path], folds=[1, 9], limit=1).images) == 2
    (tmp_path / "empty").mkdir()
    with pytest.raises(ImagesError, match=r"empty must hold pictures or Parquet files\. Got none\."):
        read_computed(tmp_path / "empty", folds=[1])


def test_every_focal_colour_has_its_own_word() -> None:
    for word, codes in FOCI.items():
        right = [COLOURS[colour_map(Image.new("RGB", (1, 1), f"#{code}"))[0, 0]] == word for code in codes.split()]
        assert np.mean(right) > 0.7, word


def test_oklab_is_that_of_its_paper() -> None:
    white, red = oklab(np.array([[1.0, 1.0, 1.0], [1.0, 0.0, 0.0]]))
    assert np.allclose(white, [1, 0, 0], atol=1e-3)
    assert np.allclose(red, [0.628, 0.225, 0.126], atol=1e-3)


PIXELS = {
    ("red",) * 7 + ("blue",) * 3: "red",
    ("red",) * 5 + ("gray",) * 4 + ("blue",): "red",
    ("red",) * 3 + ("gray",) * 7: None,
    ("gray",) * 8 + ("red",) * 2: "gray",
    ("white",) * 5 + ("black",) * 5: "black and white",
    ("white",) * 4 + ("black",) * 3 + ("red",) * 3: None,
    (): None,
}


@pytest.mark.parametrize(("pixels", "expected"), PIXELS.items())
def test_the_dominant_colour(pixels: tuple[str, ...], expected: str | None) -> None:
    assert dominant_colour(np.array([COLOURS.index(pixel) for pixel in pixels], np.uint8)) == expected
