"""Search as the pages use it: units by words, by a picture, or like another unit, as cards to be shown.

finder = Finder(library)
finder.by_text("dog faces", 24)[0].card.told
finder.by_picture(picture, 24)[0].note           # "3.1, above its threshold, rank 2 among 200 probe images"
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from glob import escape
from typing import Any, Protocol, runtime_checkable

from PIL.Image import Image

from describer.errors import DescriberError
from describer.search.query import Hit
from describer.search.site.cards import Card
from describer.search.site.library import Library
from describer.search.site.sheet import Beside
from describer.search.site.trying import Model, ranked

WAYS = {"fused": "words and meaning", "reranked": "what pictures speak for (slower)", "words": "words alone"}
"How texts are compared -> what a reader is told of it."
ORDERS = {
    "fused": "Those whose words share yours and those whose pictures are like them (likeness 1 at best), as one list",
    "reranked": "PMI (how much a unit's pictures speak for your words, in nats) "
    "plus 30 times the likeness of pictures and words",
    "words": "Those whose words share yours",
}
"How texts are compared -> what a reader is told of the order."
NAMES = {"pmi": "PMI {:.2f} of your words", "shared": "{:.0%} of the pictures shared", "cosine": "likeness {:.2f}"}

N_SIMILAR = 8
"Units that mean the same on the page of one."
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Found:
    """A unit that was found."""

    card: Card
    note: str
    "why it is here, in a few words"
    likeness: float | None = None
    "the cosine of what it means and what another unit means"


@runtime_checkable
class UnitFinder(Protocol):
    """What the pages ask of a search."""

    def by_text(self, text: str, k: int, layer: str, how: str, least: float | None = None) -> list[Found]:
        """At most k units by words, of one layer or (empty) of all, whose score is at least `least`."""
        ...

    def by_picture(self, picture: Image, k: int, layer: str, model: Model) -> list[Found]:
        """At most k units by a picture."""
        ...

    def ready(self) -> str:
        """Get all that `like` needs; returns what changes whenever its answers may. DescriberError: not to be had."""
        ...

    def like(self, layer: str, unit: int, k: int) -> list[Found]:
        """At most k units that mean the same as one, their words alone; none where that would take long."""
        ...


MakeFinder = Callable[[Library], UnitFinder]


def similar(finder: UnitFinder, layer: str, unit: int) -> tuple[Beside, ...]:
    """Units that mean the same as one, as its page shows them."""
    try:
        found = finder.like(layer, unit, N_SIMILAR)
    except DescriberError:  # a dead unit is like none
        return ()
    return tuple(Beside(each.card.layer, each.card.unit, each.card.told, each.likeness) for each in found)


class Finder:
    """Searches one atlas; indexes and models are read with the first query and kept."""

    def __init__(self, library: Library, progress: Progress | None = None) -> None:
        self._library, self._progress = library, progress
        self._kept: tuple[Any, Any] | None = None
        self._ready = False
        self._alike: Any = None

    @property
    def _searcher(self) -> Any:
        """Of the atlas as it is now; loaded late, as it brings the captioner's libraries."""
        from describer.search.index import Searcher

        if self._kept is None or self._kept[0] is not self._library.atlas:
            self._kept = self._library.atlas, Searcher(self._library.atlas, progress=self._progress)
            self._ready, self._alike = False, None
        return self._kept[1]

    def by_text(self, text: str, k: int, layer: str, how: str, least: float | None = None) -> list[Found]:
        """The units that words mean; DescriberError where they cannot be searched."""
        how = how if how in WAYS else "fused"
        hits = self._searcher.search(text, k=k, layers=_only(layer), how=how, min_score=least)
        self._ready = True
        return self._cards(hits)

    def by_picture(self, picture: Image, k: int, layer: str, model: Model) -> list[Found]:
        """The units that fire on a picture, those first for which it is rarest."""
        self._searcher.targets[model.target.fingerprint] = model.target
        return self._cards(self._searcher.search(image=picture, k=k, layers=_only(layer)))

    def ready(self) -> str:
        """Make or read the index."""
        searcher = self._searcher
        self._ready = bool(searcher.indexes)
        return str(searcher.meanings.key)

    def like(self, layer: str, unit: int, k: int) -> list[Found]:
        """Units that mean the same; none before the first search, which reads the index."""
        from describer.search.site.neighbours import Alike
        from describer.search.tables import EXACT

        searcher = self._searcher
        if not self._ready:
            return []
        tables = searcher.indexes[0].tables
        if len(tables) > EXACT:
            hits = searcher.search(unit=f"{layer}:{unit}", k=k, neighbours="meaning")
            cards = self._library.cards_of([(hit.layer, hit.unit) for hit in hits], words=True)
            return [Found(card, _note(hit), hit.score) for card, hit in zip(cards, hits, strict=True)]
        self._alike = self._alike or Alike(tables)
        near = self._alike.of(layer, unit, k)
        cards = self._library.cards_of([(each.layer, each.unit) for each in near])
        notes = (NAMES["cosine"].format(each.likeness) for each in near)
        return [Found(card, note, each.likeness) for card, note, each in zip(cards, notes, near, strict=True)]

    def _cards(self, hits: Sequence[Hit]) -> list[Found]:
        cards = self._library.cards_of([(hit.layer, hit.unit) for hit in hits])
        return [Found(card, _note(hit)) for card, hit in zip(cards, hits, strict=True)]


def _only(layer: str) -> tuple[str, ...]:
    """The layer as a pattern that fits it alone."""
    return (escape(layer),) if layer else ()


def _note(hit: Hit) -> str:
    parts = hit.parts
    if "activation" in parts:
        fires = parts["activation"] > parts["threshold"]
        return f"{parts['activation']:.3g}, {ranked(parts.get('rank'), fires, int(parts['n_images']))}"
    return ", ".join(form.format(parts[name]) for name, form in NAMES.items() if name in parts)


def told(fault: DescriberError) -> str:
    """A fault as a reader of a page is told it."""
    return " ".join(str(fault).split())
