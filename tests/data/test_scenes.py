"""The drawn world: the same picture every time, exact labels, and words that are true of their pixels."""

import os
import subprocess
import sys
from dataclasses import replace
from hashlib import sha256
from random import Random

import numpy as np
import pytest

from describer.data.scenes import (
    IDS,
    NAMES,
    PIXEL_CATEGORIES,
    Phrase,
    Scene,
    SceneSet,
    draw_scene,
    phrases,
)
from describer.data.scenes.canvas import Canvas, Paint, View
from describer.data.scenes.catalogue import ALOFT, ARTISTS, SIZES
from describer.data.scenes.lighting import LIGHTS
from describer.data.scenes.names import SCENES, STUFF, TEXTURES, THINGS
from describer.data.scenes.palette import COLOR_TERMS, PAINTS, PROTOTYPES, name_colors, parse_hex, pick_color
from describer.data.scenes.patterns import CELLS, LABELLED, pattern_mask
from describer.data.scenes.pen import Pen
from describer.data.scenes.places import PLACES
from describer.data.scenes.scene import Thing, develop
from describer.errors import ImagesError

DAY = replace(LIGHTS["day"][0], tint=(1.0, 1.0, 1.0))


@pytest.fixture(scope="module")
def world() -> list[Scene]:
    return [draw_scene(seed=3, index=index) for index in range(130)]


@pytest.fixture(scope="module")
def small_world() -> list[Scene]:
    return [draw_scene(seed=5, index=index, size=47) for index in range(14)]


def digest(seed: int, indices: range, size: int) -> str:
    total = sha256()
    for index in indices:
        scene = draw_scene(seed, index, size)
        for array in (scene.image, scene.things_map, *(scene.labels[c] for c in PIXEL_CATEGORIES)):
            total.update(array.tobytes())
        total.update(repr([(p.text, p.key, p.mask.sum()) for p in phrases(scene)]).encode())
        total.update(repr(scene.captions).encode())
    return total.hexdigest()


def test_two_processes_draw_the_same_bytes():
    code = (
        "from hashlib import sha256\n"
        "from describer.data.scenes import draw_scene, phrases, PIXEL_CATEGORIES\n"
        "total = sha256()\n"
        "for index in range(2, 9):\n"
        "    scene = draw_scene(11, index, 61)\n"
        "    for array in (scene.image, scene.things_map, *(scene.labels[c] for c in PIXEL_CATEGORIES)):\n"
        "        total.update(array.tobytes())\n"
        "    total.update(repr([(p.text, p.key, p.mask.sum()) for p in phrases(scene)]).encode())\n"
        "    total.update(repr(scene.captions).encode())\n"
        "print(total.hexdigest())\n"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "77"}
    there = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert there.stdout.strip() == digest(11, range(2, 9), 61)


def test_neighbours_differ():
    pictures = {draw_scene(seed, index, 31).image.tobytes() for seed in range(3) for index in range(7)}
    assert len(pictures) == 21


@pytest.mark.parametrize("size", [1, 2, 13, 97, 128])
def test_every_size_has_named_labels(size):
    for index in range(5):
        scene = draw_scene(1, index, size)
        assert scene.image.shape == (size, size, 3)
        assert scene.image.dtype == np.uint8
        assert 1 <= scene.scene_kind < len(NAMES["scene"])
        for category in PIXEL_CATEGORIES:
            labels = scene.labels[category]
            assert labels.shape == (size, size)
            assert labels.dtype == np.int16
            assert labels.min() >= 0
            assert labels.max() < len(NAMES[category])
        assert all(phrase.mask.any() for phrase in phrases(scene))
        assert scene.captions


def test_names_begin_with_the_unlabelled_and_are_unique():
    assert set(NAMES) == {*PIXEL_CATEGORIES, "scene"}
    for category, names in NAMES.items():
        assert names[0] == ""
        assert len(set(names)) == len(names)
        assert all(IDS[category][name] == index for index, name in enumerate(names))


def test_all_of_the_vocabulary_is_drawn(world):
    for category in PIXEL_CATEGORIES:
        seen = {NAMES[category][i] for scene in world for i in np.unique(scene.labels[category])}
        assert seen >= set(NAMES[category][1:]), category
    assert {scene.kind for scene in world} == set(SCENES)
    assert {scene.light for scene in world} == set(LIGHTS)


def test_objects_and_patterns_are_balanced():
    world = [draw_scene(9, index, 61) for index in range(300)]
    for category, names in (("object", (*STUFF, *THINGS)), ("texture", TEXTURES)):
        for name in names:
            share = np.mean([(scene.labels[category] == IDS[category][name]).sum() >= 4 for scene in world])
            assert share >= 0.03, f"{name} is in {share:.1%}"


def test_every_pixel_has_a_colour_and_an_object(world):
    for scene in world[:30]:
        assert (scene.labels["color"] > 0).all()
        assert (scene.labels["object"] > 0).all()


# Exactness


def bare_canvas(size: int = 37) -> Canvas:
    return Canvas(size, View(), DAY, "park", 0.5)


def test_the_front_outline_has_the_pixel():
    canvas = bare_canvas(size=20)
    house = Pen(canvas, "house", 0.0, 1.0, 0.05, thing=1)  # one metre is one pixel; y counts from the bottom
    house.box(0, 0, 20, 20, Paint((200, 40, 40), "brick"), "facade")
    house.box(4, 4, 8, 12, Paint((40, 40, 200), "glass"), "window")
    Pen(canvas, "person", 0.0, 1.0, 0.05, thing=2).box(6, 2, 13, 9, Paint((30, 160, 60), "cloth"), "shirt")
    image, regions, table = canvas.finish()
    maps = table.T[:, regions]
    for row in range(20):
        for column in range(20):
            x, y = column + 0.5, 20 - row - 0.5
            if 6 < x < 13 and 2 < y < 9:
                wanted, color = ("person", "shirt", "cloth", 2), (30, 160, 60)
            elif 4 < x < 8 and 4 < y < 12:
                wanted, color = ("house", "window", "glass", 1), (40, 40, 200)
            else:
                wanted, color = ("house", "facade", "brick", 1), (200, 40, 40)
            found = tuple(NAMES[c][maps[i][row, column]] for i, c in enumerate(("object", "part", "material")))
            assert (*found, maps[4][row, column]) == wanted, (row, column)
            if all(abs(v - edge) > 1 for v, edges in ((x, (4, 6, 8, 13)), (y, (2, 4, 9, 12))) for edge in edges):
                assert tuple(image[row, column]) == color, (row, column)


def test_a_hidden_thing_is_not_listed():
    canvas = bare_canvas()
    Pen(canvas, "dog", 0.5, 0.6, 0.1, thing=1).box(-1, 0, 1, 1, Paint((90, 60, 40), "fur"), "body")
    Pen(canvas, "wall", 0.5, 1.0, 1, thing=0).box(-1, -1, 1, 2, Paint((90, 60, 40), "brick"))
    things = (Thing(1, "dog", "dog", "grass"),)
    assert develop(canvas, Random(0), IDS["scene"]["park"], things).things == ()


def test_a_flip_mirrors_picture_and_labels():
    def draw(flip: bool) -> Scene:
        canvas = bare_canvas()
        Pen(canvas, "grass", 0.5, 1, 1).box(-1, -1, 1, 2, Paint((80, 160, 60)))
        Pen(canvas, "ball", 0.2, 0.6, 0.3, thing=1).oval(0, 0.5, 0.5, 0.5, Paint((220, 30, 30), "rubber", "plain"))
        return develop(canvas, Random(1), IDS["scene"]["park"], (Thing(1, "ball", "ball", "grass"),), flip)

    plain, mirrored = draw(False), draw(True)
    for category in ("object", "part", "material", "texture"):
        assert (plain.labels[category][:, ::-1] == mirrored.labels[category]).all()
    assert (plain.things_map[:, ::-1] == mirrored.things_map).all()
    assert mirrored.image[20, 28].argmax() == 0  # the red ball is on the right now
    assert plain.image[20, 8].argmax() == 0


def test_marks_change_colours_and_no_labels():
    canvas = bare_canvas()
    pen = Pen(canvas, "ball", 0.5, 0.5, 0.1, thing=1)
    pen.box(-3, -3, 3, 3, Paint((100, 100, 100), "rubber", "plain"))
    before, regions, _ = canvas.finish()
    before, regions = before.copy(), regions.copy()
    pen.mark_oval(0, 0, 2, 2, (255, 255, 255), 0.5)
    pen.halo(0, 0, 4, (255, 255, 0), 0.5)
    after, regions_after, _ = canvas.finish()
    assert (regions == regions_after).all()
    assert (before != after).any()


@pytest.mark.parametrize("pattern", [name for name in CELLS if name.partition("-")[0] in LABELLED])
def test_a_pattern_is_labelled_where_it_can_be_seen(pattern):
    canvas = bare_canvas(128)
    paint = Paint((220, 30, 30), "cloth", pattern, (255, 255, 255))
    Pen(canvas, "flag", 0.0, 0.5, 1, thing=1).box(0, 0, 0.5, 0.5, paint, "cloth")
    Pen(canvas, "flag", 0.75, 0.75, 1, thing=2).box(0, 0, 0.05, 0.05, paint, "cloth")  # six pixels
    image, regions, table = canvas.finish()
    textures = table.T[3][regions]
    assert NAMES["texture"][textures[30, 30]] == pattern.partition("-")[0]
    assert NAMES["texture"][textures[92, 99]] == "plain"
    square = image[2:60, 2:60].reshape(-1, 3)
    assert 0.15 < (square[:, 1] > 180).mean() < 0.85
    assert (image[90:94, 98:101, 1] < 60).all()


@pytest.mark.parametrize("name", sorted(CELLS))
def test_patterns_repeat_with_their_period(name):
    mask = np.asarray(pattern_mask(name, 11, 43, 29))
    assert mask.shape == (29, 43)
    for row in range(29 - 11):
        for column in range(43 - 11):
            assert mask[row, column] == mask[row + 11, column] == mask[row, column + 11]
    assert 0 < (mask == 255).mean() < 1


def test_stripes_of_period_four():
    assert np.asarray(pattern_mask("striped", 4, 7, 2)).tolist() == [[255, 255, 0, 0, 255, 255, 0]] * 2


# Colours


def slow_lab(color: tuple[float, ...]) -> tuple[float, float, float]:
    linear = [v / 255 / 12.92 if v / 255 <= 0.04045 else ((v / 255 + 0.055) / 1.055) ** 2.4 for v in color]
    weights = ((0.4124564, 0.3575761, 0.1804375), (0.2126729, 0.7151522, 0.072175), (0.0193339, 0.119192, 0.9503041))
    roots = []
    for row, white in zip(weights, (0.95047, 1.0, 1.08883), strict=True):
        value = sum(w * v for w, v in zip(row, linear, strict=True)) / white
        roots.append(value ** (1 / 3) if value > 216 / 24389 else (24389 / 27 * value + 16) / 116)
    x, y, z = roots
    return 116 * y - 16, 500 * (x - y), 200 * (y - z)


def slow_color(pixel: np.ndarray) -> str:
    lab = slow_lab(tuple(int(value) // 4 * 4 + 2.0 for value in pixel))
    best, name = float("inf"), ""
    for term, codes in PROTOTYPES.items():
        for code in codes.split():
            other = slow_lab(parse_hex(code))
            distance = sum((a - b) ** 2 for a, b in zip(lab, other, strict=True))
            if distance < best:
                best, name = distance, term
    return name


def test_colours_are_the_nearest_terms_of_the_finished_picture(small_world):
    rng = Random(2)
    for scene in small_world:
        for _ in range(17):
            row, column = rng.randrange(47), rng.randrange(47)
            assert NAMES["color"][scene.labels["color"][row, column]] == slow_color(scene.image[row, column])


def test_paints_have_the_colour_of_their_term():
    rng = Random(4)
    for term in PAINTS:
        picked = np.array([pick_color(rng, term) for _ in range(101)], dtype=np.uint8)
        assert (name_colors(picked) == COLOR_TERMS.index(term)).mean() >= 0.95, term


# Tables and doors


def test_tables_know_the_same_things():
    assert set(ARTISTS) == set(SIZES) == set(THINGS)
    assert set(PLACES) == set(SCENES)
    for place in PLACES.values():
        for role in place.cast:
            assert role.name in ARTISTS
            assert role.zone != "sky" or role.name in ALOFT


def test_a_scene_set_is_its_scenes():
    scenes = SceneSet(7, seed=2, size=29)
    assert len(scenes) == 7
    assert scenes.names is NAMES
    image = scenes.image(6)
    assert (image.mode, image.size) == ("RGB", (29, 29))
    assert (np.asarray(image) == draw_scene(2, 6, 29).image).all()
    assert (scenes.scene(6).image == draw_scene(2, 6, 29).image).all()
    assert isinstance(phrases(scenes.scene(6))[0], Phrase)


def test_a_fingerprint_holds_everything_that_changes_a_picture():
    sets = [SceneSet(7), SceneSet(8), SceneSet(7, seed=1), SceneSet(7, size=64)]
    assert len({scenes.fingerprint for scenes in sets}) == 4
    assert SceneSet(7).fingerprint == SceneSet(7).fingerprint
    assert SceneSet(7, seed=3).source == "scenes:7:3"


def test_no_scene_and_one_scene():
    assert len(SceneSet(0)) == 0
    with pytest.raises(ImagesError, match=r"Scene index must be in 0 \.\.\. -1\. Got 0\."):
        SceneSet(0).scene(0)
    assert SceneSet(1, size=5).image(0).size == (5, 5)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: draw_scene(0, 0, 0), r"Scene size must be at least 1 pixel\. Got 0\."),
        (lambda: draw_scene(0, -1), r"Scene index must be 0 or more\. Got -1\."),
        (lambda: draw_scene(-2, 0), r"Scene seed must be 0 or more\. Got -2\."),
        (lambda: SceneSet(-1), r"Number of scenes must be 0 or more\. Got -1\."),
        (lambda: SceneSet(3, size=0), r"Scene size must be at least 1 pixel\. Got 0\."),
        (lambda: SceneSet(3).image(3), r"Scene index must be in 0 \.\.\. 2\. Got 3\."),
        (lambda: SceneSet(3).image(-1), r"Scene index must be in 0 \.\.\. 2\. Got -1\."),
    ],
)
def test_faults_are_told_in_one_sentence(call, message):
    with pytest.raises(ImagesError, match=message):
        call()
