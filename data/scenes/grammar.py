"""What people would say of a scene and of its parts.

    phrases(scene)            # [Phrase("red roofs", mask, "color:red&part:roof"), ...], one for each concept
    captions(scene)           # ["a beach at sunset", "two boats on water", "sky above water"]
    wordings(key)             # every wording of a concept, for sets of pictures that share it

Texts are noun phrases in lower case without a full stop; each is true of exactly the pixels of its mask.
"""

from collections import Counter
from dataclasses import dataclass
from random import Random
from zlib import crc32

import numpy as np
from jaxtyping import Bool

from describer.data.scenes.keys import attributes, keys_of
from describer.data.scenes.names import IDS, THINGS
from describer.data.scenes.scene import Scene
from describer.data.scenes.words import SUPPORT_WORDS, adjective, plural, singular, wordings

NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven")
TIMES = {"day": ("by day", "in daylight"), "cloudy": ("under a gray sky", "on a cloudy day"),
         "sunset": ("at sunset", "in the evening"), "night": ("at night", "in the dark")}  # fmt: skip
SCENE_NOUNS = {"mountain": "mountain landscape", "open sky": "open sky", "street wall": "wall beside a sidewalk",
               "night city": "city street"}  # fmt: skip
CLEARLY_SEEN = 0.004
"""A thing covers at least this share of the picture to be counted in a caption."""


@dataclass(frozen=True, eq=False)
class Phrase:
    """A text and the pixels it is true of."""

    text: str
    mask: Bool[np.ndarray, "size size"]
    key: str


def scene_rng(scene: Scene) -> Random:
    """Return a random generator that depends on the picture alone."""
    return Random(crc32(scene.image.tobytes()))


def phrases(scene: Scene, rng: Random | None = None) -> list[Phrase]:
    """Return one phrase for every concept that can be seen in the scene, in a fixed order of concepts.

    Which wording is taken depends on the picture, or on `rng` if given.
    """
    rng = rng or scene_rng(scene)
    found = []
    for key, mask in keys_of(scene).items():
        texts = wordings(key)
        if texts:
            found.append(Phrase(rng.choice(texts), mask, key))
    return found


def _counted(name: str, count: int, certain: bool) -> str:
    if count == 1 and certain:
        return singular(name)
    if not certain or count >= len(NUMBERS):
        return plural("object", name)
    return f"{NUMBERS[count]} {plural('object', name)}"


def _things_caption(scene: Scene, rng: Random) -> str | None:
    """Return what things are clearly seen, two kinds at most, those that cover most first."""
    areas = np.bincount(scene.things_map.ravel(), minlength=1)
    least = max(1, round(CLEARLY_SEEN * scene.size**2))
    seen = [thing for thing in scene.things if areas[thing.number] >= least]
    counts = Counter(thing.name for thing in scene.things)
    biggest = sorted(seen, key=lambda thing: -areas[thing.number])
    names = list(dict.fromkeys(thing.name for thing in biggest))[:2]
    if not names:
        return None
    rng.shuffle(names)
    far = scene.labels["object"][scene.things_map == 0]  # rows of trees and buildings far away are not counted
    return " and ".join(_counted(name, counts[name], not bool((far == IDS["object"][name]).any())) for name in names)


def _detail_caption(scene: Scene, rng: Random) -> str | None:
    """Return one thing with what it mostly looks like and where it stands."""
    areas = np.bincount(scene.things_map.ravel(), minlength=1)
    least = max(1, round(CLEARLY_SEEN * scene.size**2))
    seen = [thing for thing in scene.things if areas[thing.number] >= least and thing.name in THINGS]
    if not seen:
        return None
    thing = rng.choice(seen)
    looks = sorted(
        look for look in attributes(scene)[thing.number] if not look.startswith("variant") and look != "texture:plain"
    )
    if thing.name == "person":
        return (
            f"a person in {adjective(*looks[0].split(':'))}{'' if 'color' in looks[0] else ' clothes'}"
            if looks
            else None
        )
    words = [adjective(*look.split(":")) for look in looks]
    article, _, noun = singular(thing.name).partition(" ")
    if article != "the":
        article = "an" if (words or [noun])[0][0] in "aeiou" else "a"
    stands = thing.support in SUPPORT_WORDS and thing.name not in ("building", "sun", "moon")
    place = [SUPPORT_WORDS[thing.support]] if stands else []
    return " ".join([article, *words, noun, *place])


def captions(scene: Scene) -> list[str]:
    """Return one to four short descriptions of a whole scene, each true of it."""
    rng = scene_rng(scene)
    noun = SCENE_NOUNS.get(scene.kind, scene.kind)
    article = "an" if noun[0] in "aeiou" else "a"
    lines = [f"{article} {noun} {rng.choice(TIMES[scene.light])}"]
    lines += [line for line in (_things_caption(scene, rng), _detail_caption(scene, rng)) if line]
    masks = keys_of(scene)
    pairs = [key for key in masks if "|" in key]
    if pairs:
        lines.append(rng.choice(wordings(rng.choice(pairs))))
    looks = [key for key in masks if key.startswith("color") and "&object" in key]
    if looks and len(lines) < 3:
        lines.append(rng.choice(wordings(max(looks, key=lambda key: int(masks[key].sum())))))
    return list(dict.fromkeys(lines))
