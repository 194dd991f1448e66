"""Hits as a picture: one row a unit, its words and the query's score on the left, its exemplars on the right.

hit_sheet(hits, searcher, "dog faces").save("grid.png")
"""

from collections.abc import Sequence

from PIL import Image

from describer.picture import cards, contact_sheet
from describer.search.index import Searcher
from describer.search.query import Hit

N_EXEMPLARS = 7


def hit_sheet(hits: Sequence[Hit], searcher: Searcher, title: str) -> Image.Image:
    """A contact sheet of the hits in their order."""
    atlases = dict(zip(searcher.names, searcher.atlases, strict=True))
    shown = []
    for hit in hits:
        about = {"unit": hit.unit, "id": hit.id, "description": hit.description, "n_best": [], "dead": False}
        about |= {"pmi": hit.parts.get("pmi"), "iou": None, "activation": hit.parts.get("activation")}
        shown += cards(atlases[hit.atlas], hit.layer, [about], N_EXEMPLARS)
    subtitle = f"{len(hits)} units of {', '.join(searcher.names)}"
    return contact_sheet(shown, title, subtitle, N_EXEMPLARS)
