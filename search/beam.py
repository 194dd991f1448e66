"""Beam search for the form that agrees best with a unit's mask, all candidates of a step at once.

    chain = best_chain(ground.unit(counts), max_length=3, beam_size=10)      # None where the unit never fires
    chain.form(table.leaves), chain.sums

A chain is a leaf or its opposite, then one step after the other that joins a leaf: AND c, OR c, AND NOT c, OR NOT c.
The sums of a form and a leaf together give those of all four steps, so that extending a form by every concept costs
two sparse products (I = f·counts, A = f·sizes), and only over signatures that carry the leaf that was joined last.

By default no two forms of a search have the same mask, a concept stands in a form once, and NOT may stand before every
leaf. `compat="compexp"` repeats the published search (Mu & Andreas 2020, github.com/jayelm/compexp, vision/search of
2020) exactly: forms that were kept are extended again and again, equal forms crowd the beam, NOT stands before leaves
that are joined with AND only, and costs as much length as a concept.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float64, Int64

from describer.search.forms import Form
from describer.search.ground import PRINT, UnitGround

Compat = Literal["compexp"] | None


class Op(IntEnum):
    """How a leaf c joins a form f; the first of a chain has AND or AND_NOT: c or NOT c."""

    AND = 0
    OR = 1
    AND_NOT = 2
    OR_NOT = 3


PUBLISHED = (Op.OR, Op.AND, Op.AND_NOT)
"The steps of the published code in its order, which decides ties."
EPSILON = 1e-10
"What the published code adds to a union."


@dataclass(frozen=True, eq=False)
class Chain:
    """One form as the steps that make it, with its sums."""

    steps: tuple[tuple[Op, int], ...]
    "(how it joins, leaf), the first one first"
    sums: Int64[np.ndarray, " 3"]
    "pixels, fingerprint and overlap with the unit"

    def form(self, leaves: Sequence[Form]) -> Form:
        """The form itself."""
        return form_of(self.steps, leaves)


def form_of(steps: Sequence[tuple[Op, int]], leaves: Sequence[Form]) -> Form:
    """The form of these steps; its canonical length may be shorter where a concept came twice."""
    (first, leaf), *others = steps
    form = ~leaves[leaf] if first == Op.AND_NOT else leaves[leaf]
    for op, leaf in others:
        literal = ~leaves[leaf] if op in (Op.AND_NOT, Op.OR_NOT) else leaves[leaf]
        form = form & literal if op in (Op.AND, Op.AND_NOT) else form | literal
    return form


@dataclass(frozen=True, eq=False)
class _State:
    """A chain that is extended: where it holds, and its sums together with every leaf."""

    chain: Chain
    mask: Bool[np.ndarray, " signatures"]
    joint: Int64[np.ndarray, "leaves 3"]


def best_chain(
    unit: UnitGround,
    max_length: int = 3,
    beam_size: int = 10,
    length_penalty: float = 1.0,
    compat: Compat = None,
) -> Chain | None:
    """The chain of the highest IoU * length_penalty ** (length - 1) that the beam meets; the first of equal ones."""
    if not unit.area:
        return None
    if compat is not None:
        return _published(unit, max_length, beam_size, length_penalty)
    best, best_score = None, 0.0
    for number, chain in enumerate(chains_by_length(unit, max_length, beam_size)):
        score = float(unit.ious(chain.sums)) * length_penalty**number
        if best is None or score > best_score:
            best, best_score = chain, score
    return best


def chains_by_length(unit: UnitGround, max_length: int, beam_size: int = 10) -> Iterator[Chain]:
    """The chain of the highest IoU that the beam meets at length 1, 2, … of itself; ends early where none is left."""
    seen = set[int]()
    states: list[_State] = []
    for length in range(1, max_length + 1):
        sums = _extended(unit, states) if states else _literals(unit)
        chosen = _distinct(unit.ious(sums), sums[..., PRINT], seen, beam_size)
        chains = [_stepped(states, place, sums) for place in chosen]
        if not chains:
            return
        yield chains[0]
        if length < max_length:
            states = [_grown(unit, states, place, chain) for place, chain in zip(chosen, chains, strict=True)]


def _literals(unit: UnitGround) -> Int64[np.ndarray, "1 4 leaves 3"]:
    """Sums of every leaf and of its opposite, laid out as the steps from a form that holds everywhere."""
    sums = np.zeros((1, 4, *unit.leaf_sums.shape), np.int64)
    sums[0, Op.AND], sums[0, Op.AND_NOT] = unit.leaf_sums, unit.total - unit.leaf_sums
    return sums


def _extended(unit: UnitGround, states: Sequence[_State]) -> Int64[np.ndarray, "states 4 leaves 3"]:
    """Sums of every step from every state; steps that change nothing or name a concept again have overlap 0."""
    sums = np.stack([steps_from(unit, state.chain.sums, state.joint) for state in states])
    for state, own in zip(states, sums, strict=True):
        own[own[..., PRINT] == state.chain.sums[PRINT]] = 0
        own[:, [leaf for _, leaf in state.chain.steps]] = 0
    return sums


def steps_from(
    unit: UnitGround, own: Int64[np.ndarray, " 3"], joint: Int64[np.ndarray, "leaves 3"]
) -> Int64[np.ndarray, "4 leaves 3"]:
    """Sums of f AND c, f OR c, f AND NOT c, f OR NOT c for all c, from those of f and of f together with c."""
    alone = unit.leaf_sums
    return np.stack((joint, own + alone - joint, own - joint, unit.total - alone + joint))


def _distinct(
    scores: Float64[np.ndarray, "states 4 leaves"],
    prints: Int64[np.ndarray, "states 4 leaves"],
    seen: set[int],
    n: int,
) -> list[tuple[int, ...]]:
    """Where the best n scores above 0 stand whose masks were not seen before, best first; `seen` is told of them."""
    flat, chosen = scores.reshape(-1), []
    n_asked, n_looked = 4 * n, 0
    while True:
        n_asked = min(n_asked, len(flat))
        bound = max(np.partition(flat, len(flat) - n_asked)[len(flat) - n_asked], np.finfo(float).tiny)
        there = np.flatnonzero(flat >= bound)
        order = there[np.argsort(-flat[there], kind="stable")]
        for place in order[n_looked:].tolist():
            fingerprint = int(prints.reshape(-1)[place])
            if fingerprint not in seen:
                seen.add(fingerprint)
                chosen.append(tuple(map(int, np.unravel_index(place, scores.shape))))
                if len(chosen) == n:
                    return chosen
        if len(order) < n_asked or n_asked == len(flat):
            return chosen
        n_looked, n_asked = len(order), 4 * n_asked


def _stepped(states: Sequence[_State], place: Sequence[int], sums: Int64[np.ndarray, "_ _ leaves 3"]) -> Chain:
    """The chain of a chosen step."""
    before, op, leaf = place
    steps = states[before].chain.steps if states else ()
    return Chain((*steps, (Op(op), leaf)), sums[before, op, leaf])


def _grown(unit: UnitGround, states: Sequence[_State], place: Sequence[int], chain: Chain) -> _State:
    """The state of a chosen step; sums are taken over no more than the signatures of its leaf."""
    before, op, leaf = place
    rows = unit.rows(leaf)
    if not states:
        joint, mask = unit.within(rows), unit.mask(leaf)
        return _State(chain, mask, joint) if op == Op.AND else _State(chain, ~mask, unit.leaf_sums - joint)
    return _State(chain, *_joined(unit, states[before], Op(op), rows))


def _joined(
    unit: UnitGround, state: _State, op: Op, rows: Int64[np.ndarray, " rows"]
) -> tuple[Bool[np.ndarray, " signatures"], Int64[np.ndarray, "leaves 3"]]:
    """The mask after a step, and its sums together with every leaf."""
    inside = state.mask[rows]
    if op in (Op.AND, Op.AND_NOT):
        both = rows[inside]  # c within f
        part = unit.within(both)
        if op == Op.AND_NOT:
            mask, joint = state.mask.copy(), state.joint - part
            mask[both] = False
        else:
            mask, joint = np.zeros_like(state.mask), part
            mask[both] = True
        return mask, joint
    outside = rows[~inside]  # c beyond f
    part = unit.within(outside)
    if op == Op.OR:
        mask, joint = state.mask.copy(), state.joint + part
        mask[outside] = True
    else:
        mask, joint = np.ones_like(state.mask), unit.leaf_sums - part
        mask[outside] = False
    return mask, joint


# The published search


def _published(unit: UnitGround, max_length: int, beam_size: int, penalty: float) -> Chain | None:
    """The best chain of the published search, with its duplicates, order of ties and lengths."""
    alone = unit.leaf_sums
    scores = unit.ious(alone, EPSILON)
    order = np.argsort(-scores, kind="stable")[:beam_size]
    kept: list[tuple[float, Chain]] = [
        (float(scores[leaf]), Chain(((Op.AND, leaf),), alone[leaf])) for leaf in order.tolist() if scores[leaf] > 0
    ]
    grown = dict(_states_of(unit, [], [chain for _, chain in kept]))
    for _ in range(max_length - 1):
        states = [grown[id(chain)] for _, chain in kept]
        if not states:
            break
        sums = np.stack([steps_from(unit, s.chain.sums, s.joint)[list(PUBLISHED)] for s in states])
        sums = sums.swapaxes(1, 2)  # (states, leaves, steps, 3): the published order
        lengths = np.array([_published_length(state.chain) for state in states])
        powers = lengths[:, None, None] + np.array([op == Op.AND_NOT for op in PUBLISHED])
        found = unit.ious(sums, EPSILON) * penalty**powers
        scores = np.concatenate(([score for score, _ in kept], found.reshape(-1)))
        order = np.argsort(-scores, kind="stable")[:beam_size]
        new: list[tuple[float, Chain]] = []
        for place in order.tolist():
            if place < len(kept):
                new.append(kept[place])
                continue
            before, leaf, op = map(int, np.unravel_index(place - len(kept), found.shape))
            steps = (*states[before].chain.steps, (PUBLISHED[op], leaf))
            new.append((float(scores[place]), Chain(steps, sums[before, leaf, op])))
        kept = new
        grown |= dict(_states_of(unit, states, [chain for _, chain in kept if id(chain) not in grown]))
    return kept[0][1] if kept else None


def _published_length(chain: Chain) -> int:
    """Concepts and NOTs."""
    return len(chain.steps) + sum(op == Op.AND_NOT for op, _ in chain.steps)


def _states_of(unit: UnitGround, states: Sequence[_State], chains: Sequence[Chain]) -> Iterator[tuple[int, _State]]:
    """States of chains that extend those of `states`, by identity."""
    before = {state.chain.steps: place for place, state in enumerate(states)}
    for chain in chains:
        op, leaf = chain.steps[-1]
        yield id(chain), _grown(unit, states, (before.get(chain.steps[:-1], 0), op, leaf), chain)
