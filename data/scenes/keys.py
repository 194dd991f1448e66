"""Concept keys: which there are in a scene, and exactly which pixels each one means.

    mask_of(scene, "color:red&part:roof")     # (size, size) bool
    keys_of(scene)                            # every key that covers enough of this scene

The forms of keys are listed in `words`. `&` is the intersection and `|` the union of label masks; `object:x(...)` and
`object:x@object:y` take whole things, as they are seen: a thing is red if red is the most frequent colour of its pixels
(for some things, of the part in `FOCUS`) and covers at least 45 in 100 of them, striped if stripes cover 45 in 100.
"""

import numpy as np
from jaxtyping import Bool

from describer.data.scenes.names import IDS, NAMES
from describer.data.scenes.scene import Scene, Thing
from describer.data.scenes.words import MADE_OF, SUPPORT_WORDS, VARIANT_WORDS

SMALLEST = 0.002
"""A concept covers at least this share of the picture to be spoken of."""
COLOR_SHARE, TEXTURE_SHARE = 0.45, 0.45
ABOVE = ("water", "grass", "sand", "snow", "mountain", "hill", "road", "pier", "building")
LOOK_SHARE = 0.25
"""A look must cover this share of all pixels of a noun to be said of it ("red roofs", not the red edge of one)."""
LIMBS = ("person", "head", "arm", "leg")
UNNATURAL = {
    "color": LIMBS,
    "texture": LIMBS,
    "material": (*LIMBS, "sidewalk", "road", "mountain", "rock", "window", "wheel", "snowman", "pole", "headlight"),
}
"""What nobody says a colour, pattern or material of; of people one says what they wear (see `FOCUS`)."""
PLAIN_PARTS = ("sail", "shirt", "canopy", "envelope", "cloth", "facade", "ball")
FOCUS = {
    "person": "shirt", "flower": "petal", "tree": "crown", "palm": "crown", "house": "facade", "building": "facade",
    "tower": "facade", "car": "body", "bus": "body", "bicycle": "body", "balloon": "envelope", "umbrella": "canopy",
    "flag": "cloth", "kite": "cloth", "bench": "seat", "tent": "canopy",
}  # fmt: skip
"""The part whose look is the look of the whole thing: a red car has a red body."""

Mask = Bool[np.ndarray, "size size"]


def _term_mask(scene: Scene, term: str) -> np.ndarray:
    category, name = term.split(":")
    if category == "scene":
        return np.full((scene.size, scene.size), scene.kind == name)
    if category == "light":
        return np.full((scene.size, scene.size), scene.light == name)
    return scene.labels[category] == IDS[category][name]


def _things_mask(scene: Scene, things: list[Thing]) -> np.ndarray:
    chosen = np.zeros(max((thing.number for thing in scene.things), default=0) + 1, dtype=bool)
    chosen[[thing.number for thing in things]] = True
    chosen[0] = False
    return chosen[scene.things_map]


def attributes(scene: Scene) -> dict[int, set[str]]:
    """Return what each thing, by its number, mostly is: {3: {"color:red", "texture:striped", "variant:sailboat"}}."""
    n_things, n_parts = max((thing.number for thing in scene.things), default=0) + 1, len(NAMES["part"])
    found: dict[int, set[str]] = {}
    for thing in scene.things:
        found[thing.number] = {f"variant:{thing.variant}"} if thing.variant in VARIANT_WORDS else set()
    focus = np.zeros((n_things, n_parts), dtype=bool)  # whether a thing's part counts for its look
    for thing in scene.things:
        focus[thing.number, IDS["part"][FOCUS[thing.name]] if thing.name in FOCUS else slice(None)] = True
    counted = focus[scene.things_map, scene.labels["part"]]
    for category, least in (("color", COLOR_SHARE), ("texture", TEXTURE_SHARE)):
        n_names = len(NAMES[category])
        joint = scene.things_map[counted].astype(np.int64) * n_names + scene.labels[category][counted]
        counts = np.bincount(joint, minlength=n_things * n_names).reshape(n_things, n_names)
        for thing in scene.things:
            row = counts[thing.number]
            best = int(row[1:].argmax()) + 1
            if row[best] >= max(1, least * row.sum()):
                found[thing.number].add(f"{category}:{NAMES[category][best]}")
    return found


def mask_of(scene: Scene, key: str) -> Bool[np.ndarray, "size size"]:
    """Return the pixels of the scene that a key means."""
    if "|" in key:
        first, second = key.split("|")
        return _term_mask(scene, first) | _term_mask(scene, second)
    if "@" in key:
        name, support = (term.split(":")[1] for term in key.split("@"))
        return _things_mask(scene, [t for t in scene.things if t.name == name and t.support == support])
    if "(" in key:
        name, wanted = key[7:-1].split("(")
        had = attributes(scene)
        return _things_mask(scene, [t for t in scene.things if t.name == name and wanted in had[t.number]])
    masks = [_term_mask(scene, term) for term in key.split("&")]
    return np.logical_and.reduce(masks)


def _frequent(scene: Scene, first: str, second: str, least: int) -> dict[tuple[str, str], int]:
    """Return the pairs of names of two categories that share at least `least` pixels, with how many they share."""
    n_second = len(NAMES[second])
    joint = scene.labels[first].astype(np.int64) * n_second + scene.labels[second]
    counts = np.bincount(joint.ravel(), minlength=len(NAMES[first]) * n_second)
    pairs = [divmod(int(code), n_second) for code in np.flatnonzero(counts >= least)]
    return {(NAMES[first][a], NAMES[second][b]): int(counts[a * n_second + b]) for a, b in pairs if a and b}


def _pair_keys(scene: Scene, least: int) -> list[str]:
    keys = []
    for category in ("color", "texture", "material"):
        for noun_category in ("part", "object"):
            totals = np.bincount(scene.labels[noun_category].ravel(), minlength=len(NAMES[noun_category]))
            for (look, noun), count in _frequent(scene, category, noun_category, least).items():
                natural = noun not in UNNATURAL[category] and (look != "plain" or noun in PLAIN_PARTS)
                if natural and count >= LOOK_SHARE * totals[IDS[noun_category][noun]]:
                    keys.append(f"{category}:{look}&{noun_category}:{noun}")
    keys = [key for key in keys if not key.startswith("material") or key.split("&")[0][9:] in MADE_OF]
    return keys + [f"part:{part}&object:{name}" for part, name in _frequent(scene, "part", "object", least)]


def _relation_keys(scene: Scene, least: int) -> list[str]:
    def area_and_row(name: str) -> tuple[int, float]:
        rows = np.nonzero(scene.labels["object"] == IDS["object"][name])[0]
        return len(rows), float(rows.mean()) if len(rows) else 0.0

    keys = []
    sky, sky_row = area_and_row("sky")
    if sky >= 10 * least:
        for name in ABOVE:
            area, row = area_and_row(name)
            if area >= 10 * least and row > sky_row:
                keys.append(f"object:sky|object:{name}")
    keys += [f"object:{t.name}@object:{t.support}" for t in scene.things
             if t.support in SUPPORT_WORDS and t.name not in ("building", "sun", "moon")]  # fmt: skip
    for number, had in attributes(scene).items():
        name = next(t.name for t in scene.things if t.number == number)
        keys += [f"object:{name}({attribute})" for attribute in sorted(had) if attribute != "texture:plain"]
    return keys


def keys_of(scene: Scene) -> dict[str, Bool[np.ndarray, "size size"]]:
    """Return every key that covers at least `SMALLEST` of the scene, with its mask."""
    least = max(1, round(SMALLEST * scene.size**2))
    keys = [f"scene:{scene.kind}", f"light:{scene.light}"]
    for category, labels in scene.labels.items():
        counts = np.bincount(labels.ravel(), minlength=len(NAMES[category]))
        keys += [f"{category}:{NAMES[category][i]}" for i in np.flatnonzero(counts >= least) if i]
    keys += _pair_keys(scene, least) + _relation_keys(scene, least)
    masks = {key: mask_of(scene, key) for key in dict.fromkeys(keys)}
    return {key: mask for key, mask in masks.items() if mask.sum() >= least}
