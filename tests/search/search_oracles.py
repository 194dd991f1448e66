"""What searches must find, by trying everything: slow, over masks of single pixels."""

import itertools
from collections.abc import Iterator
from functools import cache

import numpy as np

from describer.search.forms import Concept, Form
from describer.search.signatures import SignatureTable
from tests.search.drawn import World, holds


@cache
def all_forms(names: tuple[str, ...], max_length: int = 3) -> list[Form]:
    """Every form of at most three different concepts, in one order."""
    literals = {name: (Concept(name), ~Concept(name)) for name in names}
    found: set[Form] = set().union(*literals.values())
    for length in range(2, max_length + 1):
        for chosen in itertools.permutations(names, length):
            for terms in itertools.product(*(literals[name] for name in chosen)):
                if length == 2:
                    found |= {terms[0] & terms[1], terms[0] | terms[1]}
                else:
                    for pair in (terms[0] & terms[1], terms[0] | terms[1]):
                        found |= {pair & terms[2], pair | terms[2]}
    return sorted(found, key=str)


def pixel_masks(world: World, forms: list[Form]) -> np.ndarray:
    """(forms, pixels) where each form holds."""
    carried = [carried for *_, carried in world.pixels()]
    kinds = sorted(set(carried), key=sorted)
    by_kind = np.array([[holds(form, kind) for kind in kinds] for form in forms])
    return by_kind[:, [kinds.index(kind) for kind in carried]]


def ious(masks: np.ndarray, unit: np.ndarray) -> np.ndarray:
    """IoU of every mask (forms, pixels) with one unit's pixels."""
    both, either = (masks & unit).sum(1), (masks | unit).sum(1)
    return both / np.maximum(either, 1)


def chain_masks(table: SignatureTable, length: int) -> Iterator[np.ndarray]:
    """Where each chain of at most so many different concepts holds among the signatures."""
    names = table.names
    leaves = [table.mask(Concept(name)) for name in names]
    level: dict[tuple[frozenset[int], bytes], np.ndarray] = {}
    for concept, leaf in enumerate(leaves):
        for literal in (leaf, ~leaf):
            level[frozenset({concept}), literal.tobytes()] = literal
    for _ in range(length):
        yield from level.values()
        grown: dict[tuple[frozenset[int], bytes], np.ndarray] = {}
        for (used, _), mask in level.items():
            for concept, leaf in enumerate(leaves):
                if concept not in used:
                    for new in (mask & leaf, mask | leaf, mask & ~leaf, mask | ~leaf):
                        grown[used | {concept}, new.tobytes()] = new
        level = grown


class Published:
    """Mu & Andreas 2020 as their code does it: forms are kept by identity, NOT costs length, kept forms go on."""

    def __init__(self, world: World, names: tuple[str, ...], unit: int, penalty: float):
        self.labels = [(Concept(name), pixel_masks(world, [Concept(name)])[0]) for name in names]
        self.unit, self.penalty = world.masks[unit].reshape(-1), penalty

    def score(self, mask: np.ndarray, length: int) -> float:
        both, either = int((mask & self.unit).sum()), int((mask | self.unit).sum())
        return self.penalty ** (length - 1) * (both / (either + 1e-10))

    def search(self, max_length: int, beam_size: int) -> tuple[float, Form] | None:
        kept = [(self.score(mask, 1), form, mask, 1) for form, mask in self.labels]
        kept = sorted((row for row in kept if row[0] > 0), key=lambda row: -row[0])[:beam_size]
        for _ in range(max_length - 1):
            new = []
            for _, form, mask, length in kept:
                for label, own in self.labels:
                    new.append((form | label, mask | own, length + 1))
                    new.append((form & label, mask & own, length + 1))
                    new.append((form & ~label, mask & ~own, length + 2))
            rows = kept + [(self.score(mask, length), form, mask, length) for form, mask, length in new]
            kept = sorted(rows, key=lambda row: -row[0])[:beam_size]  # stable, as heapq.nlargest is
        return (kept[0][0], kept[0][1]) if kept else None
