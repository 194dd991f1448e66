"""Search as the pages use it: units by words, by a picture, or like another unit, as cards to be shown.

finder = Finder(library)
finder.by_text("dog faces", 24)[0].card.told
finder.by_picture(picture, 24)[0].note           # "stronger than on 99.6 % of the probe images"
"""

from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from PIL.Image import Image

from describer.errors import AtlasError, DescriberError
from describer.search.site.library import Card, Library
from describer.search.site.trying import Model, ranked

WAYS = {"fused": "words and meaning", "reranked": "the captioner's own PMI (slower)", "words": "words alone"}
"How texts are compared -> what a reader is told of it."
NAMES = {"pmi": "PMI {:.2f}", "shared": "{:.0%} of the pictures shared", "cosine": "likeness {:.2f}"}


@dataclass(frozen=True)
class Found:
    """A unit that was found."""

    card: Card
    note: str
    "why it is here, in a few words"


@runtime_checkable
class UnitFinder(Protocol):
    """What the pages ask of a search."""

    def by_text(self, text: str, k: int, layer: str, how: str) -> list[Found]:
        """At most k units by words, of one layer or, where that is empty, of all."""
        ...

    def by_picture(self, picture: Image, k: int, layer: str, model: Model) -> list[Found]:
        """At most k units by a picture."""
        ...


class Finder:
    """Searches one atlas; indexes and models are read with the first query and kept."""

    def __init__(self, library: Library) -> None:
        self._library = library
        self._searcher: Any = None

    def by_text(self, text: str, k: int, layer: str, how: str) -> list[Found]:
        """The units that words mean; DescriberError where they cannot be searched."""
        return self._search(k, text, layers=(layer,) if layer else (), how=how if how in WAYS else "fused")

    def by_picture(self, picture: Image, k: int, layer: str, model: Model) -> list[Found]:
        """The units that fire on a picture, those first for which it is rarest."""
        return self._search(k, None, image=picture, layers=(layer,) if layer else (), target=model.target)

    def like(self, layer: str, unit: int, k: int) -> list[Found]:
        """Units that mean the same."""
        return self._search(k, None, unit=f"{layer}:{unit}", neighbours="meaning")

    def _search(self, k: int, text: str | None, **options: Any) -> list[Found]:
        if self._searcher is None:
            from describer.search.index import Searcher

            self._searcher = Searcher(self._library.path)
        hits = self._searcher.search(text, k=k, **options)
        found = []
        for hit in hits:
            try:
                found.append(Found(self._library.card(hit.layer, hit.unit), _note(hit)))
            except AtlasError:  # an index may be younger than what is kept here
                continue
        return found


def _note(hit: Any) -> str:
    parts = hit.parts
    if "activation" in parts:
        return f"{parts['activation']:.3g}, {ranked(parts.get('rank'), bool(parts.get('fires')))}"
    return next((form.format(parts[name]) for name, form in NAMES.items() if parts.get(name) is not None), "")


def told(fault: DescriberError) -> str:
    """A fault as a reader of a page is told it."""
    return " ".join(str(fault).split())
