"""Hits as a picture: one row a unit, its words and the query's score on the left, its exemplars on the right.

hit_sheet(hits, searcher, "dog faces").save("grid.png")
"""

from collections.abc import Sequence
from dataclasses import replace

from PIL import Image

from describer.picture import UnitCard, cards, contact_sheet
from describer.search.index import Searcher
from describer.search.query import Hit

N_EXEMPLARS = 7


def hit_sheet(hits: Sequence[Hit], searcher: Searcher, title: str) -> Image.Image:
    """A contact sheet of the hits in their order."""
    subtitle = f"{len(hits)} units of {', '.join(searcher.names)}"
    return contact_sheet(hit_cards(hits, searcher), title, subtitle, N_EXEMPLARS)


def hit_cards(hits: Sequence[Hit], searcher: Searcher) -> list[UnitCard]:
    """The cards of the hits in their order; the first note is what they are ordered by."""
    atlases = dict(zip(searcher.names, searcher.atlases, strict=True))
    shown = []
    for hit in hits:
        about = {"unit": hit.unit, "id": hit.id, "description": hit.description, "n_best": [], "dead": False}
        about |= {"pmi": hit.parts.get("pmi"), "iou": None, "activation": hit.parts.get("activation")}
        (card,) = cards(atlases[hit.atlas], hit.layer, [about], N_EXEMPLARS)
        text = f"not reliable: {hit.withdrawn}" if hit.withdrawn and not hit.description else hit.description
        shown.append(replace(card, text=text, notes=(f"score {hit.score:.3g}", *card.notes)))
    return shown
