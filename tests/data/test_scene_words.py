"""The words of the drawn world: each phrase is true of exactly its pixels, by a slow reading of its key."""

import re
from collections import Counter
from random import Random

import numpy as np
import pytest

from describer.data.scenes import NAMES, Scene, Thing, captions, draw_scene, keys_of, mask_of, phrases, wordings
from describer.data.scenes.keys import COLOR_SHARE, FOCUS, SMALLEST, TEXTURE_SHARE
from describer.data.scenes.names import STUFF


@pytest.fixture(scope="module")
def world() -> list[Scene]:
    return [draw_scene(seed=3, index=index) for index in range(110)]


@pytest.fixture(scope="module")
def small_world() -> list[Scene]:
    return [draw_scene(seed=5, index=index, size=47) for index in range(14)]


def slow_term(scene: Scene, term: str, row: int, column: int) -> bool:
    category, name = term.split(":")
    if category == "scene":
        return NAMES["scene"][scene.scene_kind] == name
    if category == "light":
        return scene.light == name
    return NAMES[category][scene.labels[category][row, column]] == name


def slow_looks(scene: Scene, thing: Thing) -> set[str]:
    looks = {f"variant:{thing.variant}"}
    for category, least in (("color", COLOR_SHARE), ("texture", TEXTURE_SHARE)):
        counts: Counter[str] = Counter()
        for row in range(scene.size):
            for column in range(scene.size):
                part = NAMES["part"][scene.labels["part"][row, column]]
                if scene.things_map[row, column] == thing.number and part == FOCUS.get(thing.name, part):
                    counts[NAMES[category][scene.labels[category][row, column]]] += 1
        named = {name: count for name, count in counts.items() if name}
        if named and max(named.values()) >= least * counts.total():
            order = [name for name in NAMES[category] if name in named]
            looks.add(f"{category}:{max(order, key=lambda name: named[name])}")
    return looks


def slow_mask(scene: Scene, key: str) -> np.ndarray:
    chosen: set[int] = set()
    if "(" in key:
        name, look = re.fullmatch(r"object:([\w ]+)\((.+)\)", key).groups()
        chosen = {t.number for t in scene.things if t.name == name and look in slow_looks(scene, t)}
    elif "@" in key:
        name, support = re.fullmatch(r"object:([\w ]+)@object:([\w ]+)", key).groups()
        chosen = {t.number for t in scene.things if t.name == name and t.support == support}
    mask = np.zeros((scene.size, scene.size), dtype=bool)
    for row in range(scene.size):
        for column in range(scene.size):
            if "(" in key or "@" in key:
                mask[row, column] = scene.things_map[row, column] in chosen
            elif "|" in key:
                mask[row, column] = any(slow_term(scene, term, row, column) for term in key.split("|"))
            else:
                mask[row, column] = all(slow_term(scene, term, row, column) for term in key.split("&"))
    return mask


def test_phrases_mean_exactly_their_pixels(small_world):
    forms = Counter()
    for scene in small_world:
        found = phrases(scene)
        assert len({phrase.key for phrase in found}) == len(found)
        for phrase in found:
            forms.update(sign for sign in "&|@(" if sign in phrase.key)
            assert phrase.mask.any()
            assert phrase.mask.sum() >= max(1, round(SMALLEST * 47**2))
            assert (phrase.mask == slow_mask(scene, phrase.key)).all(), phrase.key
            assert (phrase.mask == mask_of(scene, phrase.key)).all()
            assert phrase.text in wordings(phrase.key)
    assert all(forms[sign] >= 10 for sign in "&|@(")


def test_texts_are_noun_phrases_in_lower_case(world):
    texts = {text for scene in world for key in keys_of(scene) for text in wordings(key)}
    texts |= {text for scene in world for text in scene.captions}
    assert len(texts) > 1000
    for text in texts:
        assert re.fullmatch(r"[a-z]+('s|-[a-z]+)?( [a-z]+(-[a-z]+)?)*", text), text


def test_every_key_has_words_and_many_have_several(world):
    keys = {key for scene in world for key in keys_of(scene)}
    assert all(wordings(key) for key in keys)
    assert np.mean([len(wordings(key)) > 1 for key in keys]) > 0.8


@pytest.mark.parametrize(
    ("key", "texts"),
    [
        ("texture:striped", {"striped objects", "stripes"}),
        ("object:sky|object:water", {"sky above water"}),
        ("part:wheel&object:car", {"wheels of cars", "car wheels"}),
        ("color:red&part:roof", {"red roofs"}),
        ("material:brick&part:facade", {"brick walls"}),
        ("object:sky", {"the sky"}),
        ("object:boat@object:water", {"boats on water"}),
        ("object:tree(color:green)", {"green trees"}),
        ("light:night", {"night scenes"}),
        ("object:ball(texture:dotted)", {"dotted balls"}),
        ("object:person(color:red)", {"people in red"}),
    ],
)
def test_wordings_people_would_use(key, texts):
    assert texts <= set(wordings(key))


def test_people_are_described_by_what_they_wear(world):
    for scene in world:
        for key in keys_of(scene):
            assert not re.search(r"(color|texture|material):\w+&(object:person|part:(head|arm|leg)$)", key)
        for caption in scene.captions:
            assert not re.search(r"(black|white|brown|yellow|red) (person|people)", caption)


def test_a_random_generator_varies_the_wording(world):
    texts = [[phrase.text for phrase in phrases(world[0], Random(seed))] for seed in range(2)]
    assert len(texts[0]) == len(texts[1])
    assert texts[0] != texts[1]
    assert [phrase.text for phrase in phrases(world[0])] == [phrase.text for phrase in phrases(world[0])]


def test_captions_count_right_and_name_the_kind(world):
    numbers = {"a": 1, "an": 1, "two": 2, "three": 3, "four": 4, "five": 5}
    words = {"boat": 1, "boats": 2, "house": 1, "houses": 2, "car": 1, "cars": 2, "dog": 1, "dogs": 2}
    counted = 0
    for scene in world:
        assert 2 <= len(captions(scene)) <= 4
        for caption in captions(scene)[1:]:
            for number, noun in re.findall(r"\b(a|an|two|three|four|five) (boats?|houses?|cars?|dogs?)\b", caption):
                things = [thing for thing in scene.things if thing.name == noun.rstrip("s")]
                assert len(things) == numbers[number] if number != "a" or " and " in caption else things
                assert (numbers[number] > 1) == (words[noun] > 1)
                counted += 1
    assert counted >= 20
    assert any("beach" in captions(scene)[0] for scene in world if scene.kind == "beach")


def test_things_stand_on_what_is_said(world):
    for scene in world:
        for thing in scene.things:
            assert thing.support in ("", *STUFF)
            if thing.name in ("cloud", "sun", "moon", "balloon"):
                assert thing.support == "sky"
    assert {"water", "grass", "sand", "snow", "road", "sidewalk", "pier"} <= {
        t.support for s in world for t in s.things
    }
