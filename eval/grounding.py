"""Reads descriptions as logical forms over labelled concepts, so that labels judge them and no network does.

    grounder = Grounder(concepts.names)                     # of any set in describer.data.concepts
    told = grounder.read("red or blue cars without people, asphalt")
    str(told.form)                                          # 'asphalt AND (…) AND NOT person'
    told.unread                                             # words that no concept says
    held = where_held(readings, concepts)                   # (descriptions, images) 0 or 1: simulated activations

Understood are names of concepts, their plurals, the synonyms of eval/synonyms.yaml, "A and B", "A or B", "A without B"
(no, not, except, but not), lists with commas, and several concepts in one noun phrase: "red cars" holds where some
pixel is both, "cars and people" where a picture shows both. Words of place ("cars on roads") count as "and".
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, reduce
from itertools import pairwise
from operator import and_, or_

import numpy as np
from jaxtyping import Bool, Float

from describer.data.nouns import singular
from describer.eval.planted.naming import synonyms
from describer.search.counts import UnitCounts
from describer.search.forms import And, Concept, Form, Leaf, Not, Or
from describer.search.iou import score_forms
from describer.search.labels import ConceptNames, GridLabels, Maps, Names, Pictures, Scalars
from describer.search.signatures import SignatureTable

OF_LOOK = ("color", "texture", "material")
"Categories that tell how something looks: such a phrase before and, or takes the noun of the next."
NEGATIONS = frozenset({"without", "not", "no", "except", "excluding", "lacking", "nor"})
JOINS = frozenset(
    {"and", "with", "on", "in", "of", "at", "near", "above", "over", "under", "below", "behind", "beside", "by", "plus"}
    | {"against", "between", "along", "around", "inside", "from", "into", "wearing", "holding", "showing", "containing"}
)
ALTERNATIVES = frozenset({"or", "and/or", "nor"})
FILLERS = frozenset(
    {"a", "an", "the", "some", "many", "several", "various", "different", "multiple", "other", "any", "all", "mostly"}
    | {"thing", "object", "item", "area", "region", "surface", "pattern", "texture", "shape", "color", "colour"}
    | {"image", "picture", "photo", "photograph", "scene", "view", "part", "piece", "kind", "type", "set", "colored"}
    | {"is", "are", "that", "which", "there", "also", "but", "like", "such", "as", "to", "for", "it", "its", "their"}
)
_WORD = re.compile(r"and/or|[^\W\d_]+|,")
_SUFFIX = re.compile(r"-[cs]$")


@dataclass(frozen=True)
class Reading:
    """What one description says of the concepts at hand."""

    text: str
    pictures: Form | None
    "over pictures; each leaf is a noun phrase, named by its form over pixels. None where no word is a concept"
    phrases: Mapping[str, Form]
    "the form over pixels of every noun phrase, by name"
    unread: tuple[str, ...]
    "words with meaning that say no concept at hand, in their order"

    @cached_property
    def form(self) -> Form | None:
        """The same over concepts alone, as shown and as compared with masks of pixels."""
        return None if self.pictures is None else _flat(self.pictures, self.phrases)


class Grounder:
    """Reads texts over one set of concepts."""

    def __init__(self, names: Names):
        self.concepts = ConceptNames(names)
        self._places = _places(self.concepts)
        self._by_words: dict[tuple[str, ...], list[str]] = {}
        for leaf, (category, number) in self._places.items():
            for said in _wordings(self.concepts.label_names[category][number]):
                self._by_words.setdefault(said, []).append(leaf)
        self._longest = max(map(len, self._by_words), default=0)

    def read(self, text: str) -> Reading:
        """The form that a text says; words that it cannot read are kept aside."""
        return _Reader(self, text).reading()

    def place(self, leaf: str) -> tuple[str, int]:
        """(category, label id) of a concept."""
        return self._places[leaf]

    def of_look(self, leaf: str) -> bool:
        """Whether a concept is a colour, a texture or a material."""
        return self._places[leaf][0] in OF_LOOK

    def matched(self, words: Sequence[str]) -> tuple[int, list[str]]:
        """How many of the first words name concepts, and these: the longest name counts, synonyms last."""
        for n in range(min(self._longest, len(words)), 0, -1):
            if found := self._by_words.get(tuple(map(singular, words[:n]))):
                return n, found
        for word in _kin(words[0]):
            if found := self._by_words.get((word,)):
                return 1, found
        return 0, []


@dataclass
class _Phrase:
    """One noun phrase: each concept is a list of namesakes of different categories."""

    concepts: list[list[str]]
    join: str
    "how it is tied to what stands before: and, or"
    negated: bool


class _Reader:
    """One text on its way to a form."""

    def __init__(self, grounder: Grounder, text: str):
        self.grounder, self.text = grounder, text
        self.unread: list[str] = []

    def reading(self) -> Reading:
        phrases = [phrase for phrase in self._shared(self._phrases()) if phrase.concepts]
        forms: dict[str, Form] = {}
        clauses: list[list[Form]] = []
        for phrase in phrases:
            form = reduce(and_, (reduce(or_, map(Concept, names)) for names in phrase.concepts))
            leaf: Form = Concept(str(form))
            forms[str(form)] = form
            leaf = ~leaf if phrase.negated else leaf
            if (phrase.join == "or" and not phrase.negated) or not clauses:
                clauses.append([leaf])
            else:
                clauses[-1].append(leaf)
        pictures = reduce(or_, (reduce(and_, clause) for clause in clauses)) if clauses else None
        return Reading(self.text, pictures, forms, tuple(self.unread))

    def _phrases(self) -> list[_Phrase]:
        """Noun phrases between the words that join them; "without A or B" denies both."""
        words = _listed(_WORD.findall(self.text.lower()))
        found, position = [_Phrase([], "and", False)], 0
        while position < len(words):
            word, last = words[position], found[-1]
            taken, names = self.grounder.matched(words[position:])
            if names:
                last.concepts.append(names)
            elif word in ALTERNATIVES:
                found.append(_Phrase([], "or", word == "nor" or last.negated))
            elif word in NEGATIONS:
                found.append(_Phrase([], "and", True))
            elif word in JOINS:
                found.append(_Phrase([], "and", last.negated and not last.concepts))
            elif singular(word) not in FILLERS:
                self.unread.append(word)
            position += max(taken, 1)
        return found

    def _shared(self, phrases: list[_Phrase]) -> list[_Phrase]:
        """ "red or blue cars": a phrase of looks alone takes over the nouns of the next that begins with a look."""
        for phrase, following in reversed([*pairwise(phrases)]):
            looks = [self._is_look(names) for names in following.concepts]
            alone = phrase.concepts and all(map(self._is_look, phrase.concepts))
            if alone and looks and looks[0] and not all(looks) and not following.negated:
                phrase.concepts += [names for names, look in zip(following.concepts, looks, strict=True) if not look]
        return phrases

    def _is_look(self, names: Sequence[str]) -> bool:
        return all(map(self.grounder.of_look, names))


def where_held(
    readings: Sequence[Reading],
    pictures: Pictures,
    images: Iterable[int] | None = None,
    size: tuple[int, int] = (56, 56),
    progress: Callable[[int, int], None] | None = None,
) -> Float[np.ndarray, "descriptions images"]:
    """1 where a description holds of a labelled picture, else 0; 0 for what could not be read.

    Labels are looked at on a grid of `size`; `images` are all of the set, or some in the order wanted.
    """
    chosen = list(range(len(pictures)) if images is None else images)
    grid, names = GridLabels(pictures, size), Grounder(pictures.names)
    phrases = {name: form for reading in readings for name, form in reading.phrases.items()}
    shown = {name: np.zeros(len(chosen), bool) for name in phrases}
    for column, image in enumerate(chosen):
        masks = _masks(names, *grid.labels(image), size)
        for name, form in phrases.items():
            shown[name][column] = form.evaluate(masks).any()
        if progress is not None:
            progress(column + 1, len(chosen))
    held = np.zeros((len(readings), len(chosen)))
    for row, reading in enumerate(readings):
        if reading.pictures is not None:
            held[row] = reading.pictures.evaluate(lambda leaf: shown[leaf.name])
    return held


def pixel_ious(readings: Sequence[Reading], table: SignatureTable, counts: UnitCounts) -> Float[np.ndarray, " units"]:
    """IoU over pixels of every unit's mask with its own description, one reading a unit; 0 for what was not read."""
    return np.array([score.iou for score in score_forms(table, counts, [reading.form for reading in readings])])


def _masks(
    names: Grounder, maps: Maps, scalars: Scalars, size: tuple[int, int]
) -> Callable[[Leaf], Bool[np.ndarray, "height width"]]:
    """The mask of a concept in one picture, made when it is asked for and kept."""
    made: dict[str, np.ndarray] = {}

    def mask(leaf: Leaf) -> np.ndarray:
        if leaf.name not in made:
            category, number = names.place(leaf.name)
            whole = bool(np.isin(number, scalars.get(category, 0)))
            layers = (layer == number for layer in maps.get(category, ()))
            made[leaf.name] = reduce(or_, layers, np.full(size, whole))
        return made[leaf.name]

    return mask


def _flat(form: Form, phrases: Mapping[str, Form]) -> Form:
    """The form with every phrase written out."""
    if isinstance(form, Not):
        return ~phrases[form.leaf.name]
    if isinstance(form, And | Or):
        return reduce(and_ if isinstance(form, And) else or_, (_flat(term, phrases) for term in form.terms))
    return phrases[form.leaves[0].name]


def _listed(words: list[str]) -> list[str]:
    """Commas as the "and" or "or" that ends their list; "and" where there is none."""
    said, joint = [], "and"
    for word in reversed(words):
        joint = word if word in ("and", "or") else joint
        said.append(joint if word == "," else word)
    return said[::-1]


def _places(concepts: ConceptNames) -> dict[str, tuple[str, int]]:
    """Every concept's category and label id."""
    numbered = [(category, i) for category, given in concepts.label_names.items() for i in given]
    return dict(zip(concepts.names, numbered, strict=True))


def _wordings(name: str) -> list[tuple[str, ...]]:
    """What says a name: ADE20K lists synonyms with commas, Broden ends colours in -c and scenes in -s."""
    told = [re.findall(r"[^\W\d_]+", _SUFFIX.sub("", part.strip()).lower()) for part in re.split("[,;]", name)]
    return [tuple(map(singular, words)) for words in told if words]


def _kin(word: str) -> list[str]:
    """Listed synonyms of a word, then what "wooden", "sandy" and "snowy" are made of."""
    one = singular(word)
    return [*sorted(synonyms().get(one, ())), *(word[: -len(end)] for end in ("en", "y") if word.endswith(end))]
