"""The same for programs: a unit's JSON at /api/LAYER/INDEX, layers at /api/layers, search at /api/search?q=…

unit_json(ServerLinks(), library, library.sheet("layer4", 483))["descriptions"][0]["description"]
"""

import math
from typing import Any

from describer.search.site.finding import Found
from describer.search.site.library import Library
from describer.search.site.links import Links
from describer.search.site.sheet import UnitSheet


def unit_json(links: Links, library: Library, sheet: UnitSheet) -> dict[str, Any]:
    """All that the atlas knows of a unit: its rows as `describer units --json` has them, exemplars, neighbours."""
    from describer.search.examples import with_examples  # brings torch

    rows = library.rows_of(sheet.layer, sheet.unit)
    exemplars = [
        {"image": shown.image, "activation": shown.activation, "picture": links.picture(shown.image)}
        for shown in sheet.exemplars
    ]
    alike = [
        {"id": f"{each.layer}:{each.unit}", "likeness": each.likeness, "url": links.unit(each.layer, each.unit)}
        for each in sheet.similar
    ]
    near = [
        {"id": f"{each.layer}:{each.unit}", "shared": each.likeness, "url": links.unit(each.layer, each.unit)}
        for each in sheet.neighbours
    ]
    found = {
        "id": sheet.id,
        "layer": sheet.layer,
        "unit": sheet.unit,
        "url": links.unit(sheet.layer, sheet.unit),
        "dead": sheet.dead,
        "threshold": sheet.threshold,
        "activation": sheet.peak,
        "levels": list(sheet.levels),
        "descriptions": [with_examples(library.path, row) for row in rows],
        "exemplars": exemplars,
        "judging": _judging(links, sheet),
        "similar": alike,
        "neighbours": near,
    }
    return plain(found)


def _judging(links: Links, sheet: UnitSheet) -> dict[str, Any] | None:
    """What the unit answers on the images that judge its descriptions."""
    if sheet.evidence is None:
        return None
    shown = [
        {"image": each.image, "mean": each.activation, "picture": links.picture(each.image)}
        for each in sheet.evidence.shown
    ]
    return {"images": sheet.evidence.n_images, "median": sheet.evidence.middle, "strongest": shown}


def layers_json(links: Links, library: Library) -> list[dict[str, Any]]:
    """The layers of the atlas in the order of the model."""
    return [
        {
            **{"layer": each.name, "units": each.units, "height": each.height, "width": each.width},
            **{"probed": each.probed, "methods": list(each.methods), "url": links.layer(each.name)},
        }
        for each in library.meta.layers
    ]


def found_json(links: Links, found: list[Found]) -> list[dict[str, Any]]:
    """Units that were found, best first."""
    return [
        {
            **{"id": each.card.id, "layer": each.card.layer, "unit": each.card.unit, "why": each.note},
            **{"description": each.card.text, "formula": each.card.formula, "score": each.card.score},
            **{"measure": each.card.measure, "reliable": each.card.reliable, "withdrawn": each.card.withdrawn},
            "url": links.unit(each.card.layer, each.card.unit),
        }
        for each in found
    ]


def plain(value: Any) -> Any:
    """The same value with None for numbers that JSON does not have."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {name: plain(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in value]
    return value
