"""Logical forms over concepts: AND, OR, NOT and, for words, NEIGHBORS.

    form = parse('water AND NOT (blue OR "swimming pool")')
    str(form)                                       # 'water AND NOT blue AND NOT "swimming pool"'
    form == ~Concept("blue") & ~Concept("swimming pool") & Concept("water")     # True: one canonical form
    form.length                                     # 3, the number of concepts; NOT is free
    form.evaluate(lambda leaf: masks[leaf.name])    # the mask of the form from the masks of its leaves

Forms do not change. NOT stands before leaves only (De Morgan); the order, doubling and nesting of terms do not matter.
"""

import json
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import reduce
from operator import and_, or_

import numpy as np

from describer.errors import FormulaError

KEYWORDS = ("AND", "OR", "NOT", "NEIGHBORS")
BARE = re.compile(r'[^\s()"]+')
MAX_DEPTH = 100
"parentheses and NOTs within one another that a text may have"


class Form(ABC):
    """One logical form; `&`, `|` and `~` make canonical ones."""

    @property
    @abstractmethod
    def leaves(self) -> tuple["Leaf", ...]:
        """The concepts from left to right, each as often as it stands there."""

    @abstractmethod
    def evaluate(self, lookup: Callable[["Leaf"], np.ndarray]) -> np.ndarray:
        """The boolean mask of the form, as a new array, from the masks of its leaves."""

    @abstractmethod
    def __invert__(self) -> "Form": ...

    @property
    def length(self) -> int:
        """How many concepts stand in the form."""
        return len(self.leaves)

    def __and__(self, other: "Form") -> "Form":
        return _joined(And, (self, other))

    def __or__(self, other: "Form") -> "Form":
        return _joined(Or, (self, other))


@dataclass(frozen=True)
class Leaf(Form):
    """What is looked up by its name, one concept; FormulaError where the name is empty."""

    name: str

    def __post_init__(self) -> None:
        _named(self.name)

    @property
    def leaves(self) -> tuple["Leaf", ...]:
        return (self,)

    def evaluate(self, lookup: Callable[["Leaf"], np.ndarray]) -> np.ndarray:
        return np.array(lookup(*self.leaves), bool)

    def __invert__(self) -> Form:
        return Not(self)


class Concept(Leaf):
    """One concept by its name."""

    def __str__(self) -> str:
        return quoted(self.name)


class Neighbors(Leaf):
    """A word or any of those that lie near it in some embedding; one concept."""

    def __str__(self) -> str:
        return f"NEIGHBORS({quoted(self.name)})"


@dataclass(frozen=True)
class Not(Form):
    """Where a leaf is not; write ~form for the opposite of any form."""

    leaf: Leaf

    @property
    def leaves(self) -> tuple[Leaf, ...]:
        return (self.leaf,)

    def evaluate(self, lookup: Callable[[Leaf], np.ndarray]) -> np.ndarray:
        return ~self.leaf.evaluate(lookup)

    def __invert__(self) -> Form:
        return self.leaf

    def __str__(self) -> str:
        return f"NOT {self.leaf}"


@dataclass(frozen=True)
class And(Form):
    """Where all of two or more different terms are; write a & b for any terms."""

    terms: tuple[Form, ...]

    @property
    def leaves(self) -> tuple[Leaf, ...]:
        return tuple(leaf for term in self.terms for leaf in term.leaves)

    def evaluate(self, lookup: Callable[[Leaf], np.ndarray]) -> np.ndarray:
        return reduce(and_, (term.evaluate(lookup) for term in self.terms))

    def __invert__(self) -> Form:
        return _joined(Or, (~term for term in self.terms))

    def __str__(self) -> str:
        return " AND ".join(f"({term})" if isinstance(term, Or) else str(term) for term in self.terms)


@dataclass(frozen=True)
class Or(Form):
    """Where any of two or more different terms is; write a | b for any terms."""

    terms: tuple[Form, ...]

    @property
    def leaves(self) -> tuple[Leaf, ...]:
        return tuple(leaf for term in self.terms for leaf in term.leaves)

    def evaluate(self, lookup: Callable[[Leaf], np.ndarray]) -> np.ndarray:
        return reduce(or_, (term.evaluate(lookup) for term in self.terms))

    def __invert__(self) -> Form:
        return _joined(And, (~term for term in self.terms))

    def __str__(self) -> str:
        return " OR ".join(map(str, self.terms))


def _named(name: str) -> None:
    if not name.strip():
        raise FormulaError(f"a concept in a form must have a name. Got {name!r}. Name it.")


def _joined(kind: type[And] | type[Or], terms: Iterable[Form]) -> Form:
    """Terms of terms of the same kind lifted, doubles left out, in the one order."""
    flat: dict[Form, None] = {}
    for term in terms:
        flat |= dict.fromkeys(term.terms if isinstance(term, kind) else (term,))
    return kind(tuple(sorted(flat, key=_order))) if len(flat) > 1 else next(iter(flat))


def _order(form: Form) -> tuple[int, list[str], str]:
    """Leaves first, then their opposites, then longer terms, each by the alphabet."""
    return (Concept, Neighbors, Not, And, Or).index(type(form)), [leaf.name for leaf in form.leaves], str(form)


def quoted(name: str) -> str:
    """The name as it stands in a form: bare where that can be read back, else as a JSON string."""
    bare = BARE.fullmatch(name) and name.upper() not in KEYWORDS
    return name if bare else json.dumps(name, ensure_ascii=False)


def parse(text: str) -> Form:
    """The form a text says; AND binds more than OR; FormulaError with a caret under the fault."""
    reader = _Reader(text)
    form = reader.either(0)
    if reader.kind:
        raise reader.fault("AND, OR or the end")
    return form


def affirmed(text: str) -> str:
    """The concepts that a form says are there, without NOT's: 'water AND NOT blue' -> 'water'; no form: the text."""
    try:
        return " ".join(leaf.name for leaf in _affirmed(parse(text)))
    except FormulaError:
        return text


def _affirmed(form: Form) -> list[Leaf]:
    if isinstance(form, And | Or):
        return [leaf for term in form.terms for leaf in _affirmed(term)]
    return [] if isinstance(form, Not) else [*form.leaves]


_TOKEN = re.compile(r'\s*(?:(?P<mark>[()])|(?P<string>"(?:[^"\\]|\\.)*")|(?P<word>[^\s()"]+)|(?P<bad>"))', re.DOTALL)


class _Reader:
    """A text, read token by token; `kind` is that of the next: a keyword, a mark, "name", or "" at the end."""

    def __init__(self, text: str):
        self.text, self.kind, self.value, self.start, self.end = text, "", "", 0, 0
        self.next()

    def next(self) -> str:
        """Steps over one token and returns what it said."""
        said = self.value
        found = _TOKEN.match(self.text, self.end)
        if found is None:
            self.kind = self.value = ""
            self.start = len(self.text.rstrip())
            return said
        self.start, self.end = found.start(found.lastgroup or 0), found.end()
        self.value = found[found.lastgroup or 0]
        if found["bad"]:
            raise self.fault("a closing quotation mark")
        upper = self.value.upper()
        self.kind = upper if found["word"] and upper in KEYWORDS else self.value if found["mark"] else "name"
        if found["string"]:
            try:
                self.value = json.loads(self.value, strict=False)
            except ValueError:
                raise self.fault("a string as in JSON") from None
        return said

    def fault(self, wanted: str) -> FormulaError:
        """What to raise where the next token is not what was wanted."""
        line = re.sub(r"\s", " ", self.text)
        got = f"{line[self.start : self.end]!r}" if self.start < len(line) else "the end"
        said = f"a form must have {wanted} at character {self.start + 1}. Got {got}. Mend it at the mark:"
        return FormulaError(f"{said}\n  {line}\n  {' ' * self.start}^")

    def either(self, depth: int) -> Form:
        """term OR term …"""
        terms = [self.both(depth)]
        while self.kind == "OR":
            self.next()
            terms.append(self.both(depth))
        return _joined(Or, terms)

    def both(self, depth: int) -> Form:
        """factor AND factor …"""
        terms = [self.factor(depth)]
        while self.kind == "AND":
            self.next()
            terms.append(self.factor(depth))
        return _joined(And, terms)

    def factor(self, depth: int) -> Form:
        """NOT factor, (form), NEIGHBORS(name) or name."""
        if depth > MAX_DEPTH:
            raise self.fault(f"at most {MAX_DEPTH} levels")
        if self.kind == "NOT":
            self.next()
            return ~self.factor(depth + 1)
        if self.kind == "(":
            self.next()
            form = self.either(depth + 1)
            self.take(")")
            return form
        if self.kind == "NEIGHBORS":
            self.next()
            self.take("(")
            form = Neighbors(self.name())
            self.take(")")
            return form
        return Concept(self.name())

    def take(self, mark: str) -> None:
        """Steps over this mark."""
        if self.kind != mark:
            raise self.fault(repr(mark))
        self.next()

    def name(self) -> str:
        """Steps over a name that is not empty."""
        if self.kind != "name" or not self.value.strip():
            raise self.fault("a concept")
        return self.next()
