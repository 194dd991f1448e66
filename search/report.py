"""Network Dissection's report: how many different concepts the units of a layer detect, category by category.

    found = detectors(dissection, "layer4")
    found[0].category, found[0].concepts             # "object", {"tree": 3, "sky": 1}: units that detect it
    draw_report(found).save("report.png")

A unit detects the concept of highest IoU, as NetDissect counts it (the unit's mask only in pictures where it meets a
label of the category), if that is above .04; the number of unique detectors is that of different concepts (Bau et al.
2017).
"""

import io
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image

from describer.atlas import Atlas
from describer.errors import DescriberError
from describer.search.dissection import Dissection, open_dissections
from describer.search.iou import best_by_category, category_ious

THRESHOLD = 0.04
"IoU above which a unit counts as a detector (Bau et al. 2017)."
SHADES = ("#4878a8", "#c8553d", "#5b8c5a", "#8d6a9f", "#d9a441", "#5aa0a0", "#8a8a8a")


@dataclass(frozen=True)
class Detectors:
    """What the units of a layer detect in one category."""

    layer: str
    category: str
    concepts: dict[str, int]
    "concept -> units that detect it, most first"
    n_units: int
    "of the layer"

    @property
    def unique(self) -> int:
        """Different concepts detected."""
        return len(self.concepts)

    @property
    def row(self) -> dict[str, object]:
        """As one JSON object."""
        detecting = sum(self.concepts.values())
        return {
            **{"layer": self.layer, "category": self.category, "unique": self.unique, "detectors": detecting},
            **{"units": self.n_units, "concepts": self.concepts},
        }


def detectors(dissection: Dissection, layer: str, threshold: float = THRESHOLD) -> list[Detectors]:
    """The detectors of a dissected layer, one entry a category of the concept set."""
    table, counts = dissection.table, dissection.layer(layer).counts
    found: dict[str, Counter[str]] = {category: Counter() for category in table.category_names}
    for of_unit in best_by_category(table, category_ious(table, counts)):
        if of_unit:
            category, (name, iou) = max(of_unit.items(), key=lambda each: each[1][1])
            if iou > threshold:
                found[category][name] += 1
    return [Detectors(layer, category, dict(told.most_common()), counts.shape[0]) for category, told in found.items()]


def report_of(atlas: Atlas, layer: str | None = None) -> list[Detectors]:
    """The detectors of an atlas's layers, or of one; DescriberError where none was compared with concepts."""
    layers = atlas.layers if layer is None else [atlas.entry(layer).name]
    dissections = open_dissections(atlas.path)
    found = [each for d in dissections for name in layers if d.has(name) for each in detectors(d, name)]
    if not found:
        message = "A report must be of units that were compared with concepts. Got none of them"
        raise DescriberError(f"{message}. Describe with --concepts.")
    return found


def draw_report(found: Sequence[Detectors]) -> Image.Image:
    """A bar a concept, as high as the units that detect it, category by category; a row of bars a layer."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    layers = list(dict.fromkeys(each.layer for each in found))
    n_bars = max((sum(each.unique for each in found if each.layer == layer) for layer in layers), default=1)
    figure = Figure(figsize=(min(max(6.0, 0.19 * n_bars + 1.5), 60.0), 3.4 * max(len(layers), 1)), dpi=110)
    FigureCanvasAgg(figure)
    for number, layer in enumerate(layers):
        axes, start = figure.add_subplot(len(layers), 1, number + 1), 0
        names: list[str] = []
        for shade, each in enumerate(each for each in found if each.layer == layer):
            heights = list(each.concepts.values())
            places = range(start, start + len(heights))
            told = f"{each.category}: {each.unique}"
            axes.bar(places, heights, color=SHADES[shade % len(SHADES)], label=told, width=0.8)
            names, start = names + list(each.concepts), start + len(heights)
        n_units = next(each.n_units for each in found if each.layer == layer)
        axes.set_xticks(range(len(names)), names, rotation=90, fontsize=7)
        axes.set_ylabel("units")
        axes.set_title(f"{layer}: {start} unique detectors among {n_units} units (IoU > {THRESHOLD})", fontsize=10)
        axes.legend(frameon=False, fontsize=8, ncols=7)
        axes.spines[["top", "right"]].set_visible(False)
        axes.margins(x=0.01)
    figure.tight_layout()
    file = io.BytesIO()
    figure.savefig(file, format="png")
    return Image.open(file).convert("RGB")
