"""The drawn world: whole scenes with their captions, and the regions of which a phrase is true.

corpus = read_scenes(2000, folds=range(6), seed=1)
corpus.phrases["red roofs"], corpus.phrases["sky above water"]

Truth is exact. A scene's fold is that of its name "scenes:seed:index".
"""

import re
from collections.abc import Collection
from random import Random

from describer.training.corpus import IMAGE_SIZE, Corpus, CorpusBuilder, check_folds, coverage, split_of

PLAIN_WEIGHT = 6.0
"how many times as often a plain concept (trees) is taken as a compound one (green trees, boats on water)"


def is_plain(key: str) -> bool:
    """Whether a concept's key is one label, not a combination."""
    return not any(mark in key for mark in "&|@(")


def implied(key: str) -> list[str]:
    """The plain concepts that are true of a compound's pixels: trees of green trees, boats of boats on water."""
    if is_plain(key) or "|" in key:
        return []
    first = re.split(r"[@(]", key, maxsplit=1)[0]
    return [part for part in first.split("&") if not part.startswith("color:")]


def read_scenes(
    n: int,
    folds: Collection[int],
    *,
    seed: int = 0,
    regions_per_scene: int = 12,
    min_share: float = 0.004,
    size: int = IMAGE_SIZE,
) -> Corpus:
    """At most `regions_per_scene` regions of each of the first `n` scenes in the folds, rare concepts first.

    `min_share` is the least share of the picture. A concept is one phrase (its first wording), whatever its text says;
    what it implies is said of the region too.
    """
    from describer.data.scenes import SceneSet, phrases, wordings

    builder, wanted, scenes = CorpusBuilder("scenes"), check_folds(folds), SceneSet(n, seed, size)
    seen: dict[str, float] = {}
    for index in range(n):
        if split_of(f"scenes:{seed}:{index}") not in wanted:
            continue
        scene = scenes.scene(index)
        place = builder.add_image(scenes.image(index))
        builder.add_region(place, None, scene.captions)
        found = [phrase for phrase in phrases(scene) if phrase.mask.mean() >= min_share]
        Random(f"{seed}:{index}").shuffle(found)
        found.sort(key=lambda phrase: seen.get(phrase.key, 0.0))
        for phrase in found[:regions_per_scene]:
            seen[phrase.key] = seen.get(phrase.key, 0.0) + (1.0 if is_plain(phrase.key) else PLAIN_WEIGHT)
            true = [
                wordings(key)[0].removeprefix("the ") for key in [phrase.key, *implied(phrase.key)] if wordings(key)
            ]
            builder.add_region(place, coverage(phrase.mask), [phrase.text], true)
    return builder.corpus()
