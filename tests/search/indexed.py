"""A small described atlas with known words, for the tests of search."""

from pathlib import Path

from describer.atlas import Atlas
from describer.description import Description
from tests.describer.worlds import LAYERS, Squares, make_exemplars, make_manifest

WORDS = {
    "stem": ["red cars", "dead", "wheels of red cars", None, "red cars"],
    "body.0": [
        "brown dogs",
        "dead",
        "dogs",
        "grass",
        "striped objects",
        "sky above water and red sky",
        "dogs on grass",
    ],
    "head": ["water", "dead", "brown grass"],
}
"layer -> the caption of every unit; unit 1 is dead, unit 3 of stem has none that is reliable."
FORMS = {0: ("dog AND brown", 0.3), 2: ("dog", 0.2), 4: ("striped", 0.01)}
"Units of body.0 that have a formula, with its IoU."
LIVING = [f"{layer}:{unit}" for layer, (units, _, _) in LAYERS.items() for unit in range(units) if unit != 1]


def captions(layer: str) -> list[Description]:
    """PMI grows with the unit; what was said of unit 3 of stem was withdrawn."""
    texts = [None if text == "dead" else text for text in WORDS[layer]]
    told = [Description(layer, unit, t, "caption", {"pmi": unit + 0.5} if t else {}) for unit, t in enumerate(texts)]
    if layer == "stem":
        told[3] = Description(layer, 3, None, "caption", reliable=False, withdrawn="roofs")
    return told


def formulas(layer: str) -> list[Description]:
    """Of FORMS; other units have none."""
    known = {unit: FORMS.get(unit) if layer == "body.0" else None for unit in range(len(WORDS[layer]))}
    return [
        Description(layer, unit, form[0], "formula", {"iou": form[1], "score": form[1]}, formula=form[0])
        if form
        else Description(layer, unit, None, "formula")
        for unit, form in known.items()
    ]


def write_atlas(path: Path, layers: tuple[str, ...] = tuple(LAYERS), seed: int = 0, forms: bool = True) -> Path:
    """An atlas of these layers with captions, and formulas in body.0."""
    with Atlas.create(path, make_manifest({"seed": seed}, layers)) as atlas:
        for layer in layers:
            atlas.write_exemplars(make_exemplars(layer, seed), Squares())
            atlas.write_descriptions(layer, "caption", captions(layer))
            if forms and layer == "body.0":
                atlas.write_descriptions(layer, "formula", formulas(layer))
    return path
