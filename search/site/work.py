"""Which unit an annotator sees next, and how much is done.

work = Work(library, annotations)
work.next_for("ana")                             # ("layer4", 483), None when she has seen all
"""

import hashlib
from collections.abc import Sequence
from urllib.parse import quote

from describer.errors import AtlasError
from describer.search.site.annotations import Annotations, Unit
from describer.search.site.library import Library

EVERY = 5
"One unit in so many goes to a second person before new ones do, so that a small team's agreement is measured early."


def query(unit: Unit) -> str:
    """The end of the address of a unit."""
    return f"/{quote(unit[0], safe='')}/{unit[1]}"


class Work:
    """The living units of an atlas, or of some of its layers, to be annotated."""

    def __init__(self, library: Library, kept: Annotations, layers: Sequence[str] = ()) -> None:
        self.library, self.kept = library, kept
        atlas = library.atlas
        chosen = [atlas.entry(name) for name in layers] or list(atlas.meta.layers)
        cards = [card for entry in chosen if entry.probed for card in library.cards(entry.name)]
        living = [(card.layer, card.unit) for card in cards if not card.dead]
        self.units: list[Unit] = sorted(living, key=_shuffled)
        "In an order that looks like chance, so that no layer is left to tired people; the same for all and always."
        self.shared = frozenset(self.units[::EVERY])
        "Those of which two people should speak soon."
        if not self.units:
            raise AtlasError(f"{library.path} must have living units. Got none. Describe a model first.")

    def next_for(self, annotator: str) -> Unit | None:
        """Of those that the annotator has not seen a shared unit that one has told, else one with fewest sentences."""
        seen, counts = self.kept.of(annotator), self.kept.counts()
        waiting = [unit for unit in self.units if unit not in seen]
        half_told = (unit for unit in waiting if unit in self.shared and counts[unit] == 1)
        return next(half_told, None) or min(waiting, key=lambda unit: counts[unit], default=None)

    def known(self, unit: Unit) -> Unit:
        """The unit, if it is one of those; AtlasError otherwise."""
        if unit not in set(self.units):
            raise AtlasError(f"A unit must be one of the {len(self.units)} that are asked. Got {unit[0]}:{unit[1]}.")
        return unit

    def seen(self, annotator: str) -> int:
        """How many of the units the annotator has seen."""
        of = self.kept.of(annotator)
        return sum(unit in of for unit in self.units)

    @property
    def with_sentences(self) -> list[int]:
        """Units with at least one, two and three sentences."""
        counts = self.kept.counts()
        return [sum(counts[unit] >= n for unit in self.units) for n in (1, 2, 3)]


def _shuffled(unit: Unit) -> bytes:
    return hashlib.sha256(f"{unit[0]}:{unit[1]}".encode()).digest()
