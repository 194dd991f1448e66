"""What a description of a planted unit says, in terms of the concepts at hand: its form, and which of its words hold.

    reader = Reader(world.table)
    reader.form("red cars or trees")                       # car AND red OR tree
    reader.false_words("red cars", truth)                  # 0, if what the unit fires on is red for the better half

Texts are read as `describer.eval.grounding` reads them, but for pixels: a noun phrase is the AND of its concepts, and
several are joined by OR, since a pixel is of one thing or the other; what is denied is joined by AND NOT.
"""

from functools import cached_property, reduce
from operator import and_, or_

import numpy as np
from jaxtyping import Float64

from describer.eval.grounding import Grounder
from describer.eval.planted.naming import content_words, synonyms
from describer.search.forms import And, Concept, Form, Leaf, Not, Or
from describer.search.signatures import SignatureTable

HOLDS = 0.5
"A word holds if it is true of this share of what the unit should fire on."


class Reader:
    """Descriptions against the concepts of one table."""

    def __init__(self, table: SignatureTable) -> None:
        self.table, self.grounder = table, Grounder(table.label_names)

    @cached_property
    def words(self) -> dict[str, frozenset[str]]:
        """Every concept that has a name of its own, with the content words of the name."""
        told = {name: content_words(name) for name in self.table.names if ":" not in name}
        return {name: words for name, words in told.items() if words}

    def form(self, text: str) -> Form | None:
        """The form a description says of pixels; None where it names no concept."""
        reading = self.grounder.read(text)
        literals = () if reading.pictures is None else leaves_of(reading.pictures)
        held = [reading.phrases[leaf.name] for leaf in literals if isinstance(leaf, Leaf)]
        absent = [~reading.phrases[leaf.leaf.name] for leaf in literals if isinstance(leaf, Not)]
        return reduce(and_, absent, reduce(or_, held)) if held else None

    def false_words(self, said: str | Form, truth: Form | None) -> int:
        """How many words, or concepts of a form, hold for less than half of what the unit should fire on.

        Words of the truth hold; words that name no concept do not. Of a unit without meaning all are false.
        """
        if isinstance(said, Form):
            return sum(not self._holds(literal, truth) for literal in leaves_of(said))
        return sum(not self._word_holds(word, truth) for word in content_words(said))

    def _word_holds(self, word: str, truth: Form | None) -> bool:
        concepts = [name for name, words in self.words.items() if any(word in _alike(own) for own in words)]
        return any(self._holds(Concept(name), truth) for name in concepts)

    def _holds(self, literal: Form, truth: Form | None) -> bool:
        if truth is None:
            return False
        if literal in leaves_of(truth):
            return True
        there = self._mask(truth)
        share = self._mask(literal) @ there / max(float(there.sum()), 1.0)
        return bool(share >= HOLDS)

    def _mask(self, form: Form) -> Float64[np.ndarray, " signatures"]:
        """Square roots of pixels where the form holds, so that products of two masks are pixels."""
        return np.asarray(self.table.mask(form) * np.sqrt(self.table.sizes), np.float64)

    def same(self, said: Form | None, truth: Form | None) -> bool:
        """Whether both hold on the same pixels: nothing that was seen could tell them apart."""
        if said is None or truth is None:
            return said is truth
        return bool(np.array_equal(self.table.mask(said), self.table.mask(truth)))


def leaves_of(form: Form) -> tuple[Form, ...]:
    """The concepts of a form, each with its NOT."""
    if isinstance(form, Leaf | Not):
        return (form,)
    assert isinstance(form, And | Or)
    return tuple(leaf for term in form.terms for leaf in leaves_of(term))


def _alike(word: str) -> frozenset[str]:
    return synonyms().get(word, frozenset()) | {word}
