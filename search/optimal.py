"""The best form there is, with its proof, by branch and bound.

    chain, bound = proven(ground.unit(counts), chain, max_length=3)          # from the beam's chain
    bound == float(unit.ious(chain.sums))            # certified; else no form scores more than bound

To beat IoU p/q, a form must have sum(w) > p|M| for the weights w = q * overlap - p * (pixels - overlap) of its
signatures (Dinkelbach 1967): a sum of integers, without a quotient. Any part of a region weighs at most the sum of its
positive signatures, which bounds every form that is still to be decided there.

A chain, read from its last step, is a decision list: AND NOT c says 0 on c, OR c says 1 on c, AND c says 0 and OR NOT c
says 1 outside of c, and the rest of the chain decides the region that is left. So a node is a region and the weight
that is already won. Where two concepts are left to choose, the joint weights of all pairs in the region give all eight
ways to join each pair at once, exactly; a region without c has those of the region less those within c.

The proof holds for chains of distinct concepts: all forms of up to three concepts, and of longer ones those that can
be written without AND or OR of two composed forms.
"""

import heapq
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np
from jaxtyping import Bool, Int64
from scipy.sparse import csr_array

from describer.search.beam import Chain, Op
from describer.search.ground import AREA, OVERLAP, UnitGround

MAX_LEAVES = 3000
"of which pairs are weighed at once: 72 MB a matrix"
_LOW = np.iinfo(np.int64).min

Path = tuple[tuple[Op, int], ...]
"the last steps of a chain, the very last one first"


@dataclass(order=True)
class _Node:
    """A region that is still to be decided; the one that promises most comes first."""

    promise: int
    "minus the most that any form may weigh that ends with this path"
    path: Path = field(compare=False)
    won: int = field(compare=False)
    "weight of what the path has already decided"


def proven(
    unit: UnitGround, chain: Chain | None, max_length: int, penalty: float = 1.0, max_seconds: float | None = None
) -> tuple[Chain | None, float]:
    """The best chain and a bound on its score; they are equal where no better one is left when the time is over."""
    if chain is None:
        return None, 0.0
    search = _Search(unit, chain, max_length, penalty)
    deadline = None if max_seconds is None else time.monotonic() + max_seconds
    left = search.run(deadline)
    return search.best, max(search.score, left)


def ceiling(unit: UnitGround) -> float:
    """The highest IoU that any set of signatures has: no form of any length is better."""
    overlap = unit.values[:, OVERLAP]
    fired = np.flatnonzero(overlap)
    order = fired[np.argsort(-overlap[fired] / unit.values[fired, AREA], kind="stable")]
    hits, areas = overlap[order].cumsum(), unit.values[order, AREA].cumsum()
    return float((hits / (unit.area + areas - hits)).max(initial=0.0))


def chain_of(unit: UnitGround, steps: Path) -> Chain:
    """The chain of these steps, first one first, with its sums."""
    mask = np.ones(len(unit.values), bool)
    for op, leaf in steps:
        own = unit.mask(leaf)
        own = ~own if op in (Op.AND_NOT, Op.OR_NOT) else own
        mask = mask & own if op in (Op.AND, Op.AND_NOT) else mask | own
    return Chain(steps, unit.values[mask].sum(0))


class _Search:
    """The search of one unit: the best chain so far, the weights that must be beaten, and the open nodes."""

    def __init__(self, unit: UnitGround, chain: Chain, max_length: int, penalty: float):
        self.unit, self.best, self.before = unit, chain, chain
        self.max_length, self.penalty = max_length, penalty
        self.area, self.matrix = unit.area, unit.ground.matrix
        self.n_leaves = self.matrix.shape[1]
        self.ceiling = ceiling(unit)
        self.shortest = self.longest = 2  # lengths that are decided in this pass
        self.share, self.weights = Fraction(0), unit.values[:, OVERLAP]
        self.heaviest = 0  # of the forms of this pass that may have hidden others behind them

    @property
    def score(self) -> float:
        """IoU of the best chain times what its length is charged."""
        return float(self.unit.ious(self.best.sums)) * self.penalty ** (len(self.best.steps) - 1)

    def target(self) -> Fraction:
        """The IoU that a form must exceed to score more than the best."""
        hits, area = int(self.best.sums[OVERLAP]), int(self.best.sums[AREA])
        charged = Fraction(self.penalty) ** (len(self.best.steps) - self.shortest)
        return Fraction(hits, self.area + area - hits) * charged

    def need(self) -> int:
        """What a form must weigh more than, to score more than the best."""
        return int(self.share.denominator * self.target() * self.area)  # rounds down

    def run(self, deadline: float | None) -> float:
        """Searches until all is decided or the deadline; returns the most that what is left may score.

        Weights are those of one IoU, so that lengths which are charged differently have passes of their own.
        """
        for length in range(2 if self.penalty < 1 else max(2, self.max_length), self.max_length + 1):
            self.shortest, self.longest = (length, length) if self.penalty < 1 else (2, length)
            left = self._decided(deadline)
            if left > 0:
                return max(left, self.ceiling * self.penalty**length if length < self.max_length else 0.0)
        return 0.0

    def _decided(self, deadline: float | None) -> float:
        """Passes over all forms of these lengths until one finds nothing better; as `run`.

        The heaviest of several better forms need not be the best, but none is better when none is heavier.
        """
        total = int(self.unit.total[AREA])
        overlap = self.unit.values[:, OVERLAP]
        false = self.unit.values[:, AREA] - overlap
        while True:
            self.before, self.heaviest = self.best, 0
            self.share = _representable(self.target(), total)
            self.weights = self.share.denominator * overlap - self.share.numerator * false
            left = self._passed(deadline)
            if left > 0 or self.best is self.before:
                return left

    def _passed(self, deadline: float | None) -> float:
        """Decides every form once, most promising regions first."""
        root = _Node(-int(self.weights[self.weights > 0].sum()), (), 0)
        if self.n_leaves > MAX_LEAVES:
            return self._promised(-root.promise)
        heap = [root]
        while heap and -heap[0].promise > self.need():
            node = heapq.heappop(heap)
            for promise in self._expanded(node, heap):
                if deadline is not None and time.monotonic() > deadline:
                    return self._promised(max(promise, self.heaviest, *(-other.promise for other in heap[:1])))
        return 0.0

    def _promised(self, weight: int) -> float:
        """The most that a form of at most this weight may score."""
        iou = min(weight / (self.share.denominator * self.area), self.ceiling)
        return iou * self.penalty ** (self.shortest - 1)

    def _expanded(self, node: _Node, heap: list[_Node]) -> Iterator[int]:
        """Decides forms with two more concepts, then all shorter regions; says before each what is open at most."""
        yield -node.promise
        region, depth = self._region(node.path), len(node.path)
        rows = np.flatnonzero(region)
        joint = self._joint(rows)
        total = int(self.weights[rows].sum())
        if depth + 2 >= self.shortest:
            self._decide(joint, total, node.won, node.path)
        if depth + 2 >= self.longest:
            return
        for child, within in self._children(node, rows, joint, total):
            if -child.promise <= self.need():
                break
            if depth + 3 < self.longest:
                heapq.heappush(heap, child)
                continue
            yield -child.promise
            leaf = child.path[-1][1]
            inside = self.unit.rows(leaf)
            part = self._joint(inside[region[inside]])
            own, held = part if within else joint - part, int(joint[leaf, leaf])
            self._decide(own, held if within else total - held, child.won, child.path)

    def _region(self, path: Path) -> Bool[np.ndarray, " signatures"]:
        """What the steps of a path leave undecided."""
        region = np.ones(len(self.weights), bool)
        for op, leaf in path:
            mask = self.unit.mask(leaf)
            region &= mask if op in (Op.AND, Op.OR_NOT) else ~mask
        return region

    def _joint(self, rows: Int64[np.ndarray, " rows"]) -> Int64[np.ndarray, "leaves leaves"]:
        """Weights of every two leaves together within the rows; the diagonal has each leaf's own."""
        part = self.matrix[rows]
        weights = np.repeat(self.weights[rows], np.diff(part.indptr))
        weighted = csr_array((weights, part.indices, part.indptr), shape=part.shape)
        return (part.T @ weighted).toarray()

    def _children(
        self, node: _Node, rows: Int64[np.ndarray, " rows"], joint: Int64[np.ndarray, "leaves leaves"], total: int
    ) -> list[tuple[_Node, bool]]:
        """The two regions that each further leaf leaves, and whether it is the one within; most promising first.

        Of the two things to say on the other side, 0 and 1, the heavier one is as good as both.
        """
        used = {leaf for _, leaf in node.path}
        own = np.diagonal(joint)
        gains = np.maximum(self.weights[rows], 0)
        most = int(gains.sum())
        positive = rows[gains > 0]
        inside = self.matrix[positive].T @ self.weights[positive]
        found = []
        for leaf in range(self.n_leaves):
            if leaf in used:
                continue
            within, beyond = int(own[leaf]), total - int(own[leaf])
            one, other = max(beyond, 0), max(within, 0)
            for op, won, promise, side in (
                (Op.OR_NOT if one else Op.AND, one, int(inside[leaf]), True),
                (Op.OR if other else Op.AND_NOT, other, most - int(inside[leaf]), False),
            ):
                child = _Node(-(node.won + won + promise), (*node.path, (op, leaf)), node.won + won)
                found.append((child, side))
        return sorted(found, key=lambda pair: pair[0].promise)

    def _decide(self, joint: Int64[np.ndarray, "leaves leaves"], total: int, won: int, path: Path) -> None:
        """Takes the heaviest way to join two leaves in a region, where that beats the best.

        With J the weight of both, these are J, c - J, c + d - J, R - J and, of the opposites, R - d + J, R - c - d + J.
        """
        own, used = np.diagonal(joint), [leaf for _, leaf in path]
        with_both = joint + np.maximum(np.maximum(total - own, 0), (total - own) - own[:, None])
        with_both[used], with_both[:, used] = _LOW, _LOW
        np.fill_diagonal(with_both, _LOW)
        without = np.maximum(np.maximum(own, total)[:, None], own[:, None] + own) - joint
        without[used], without[:, used] = _LOW, _LOW
        np.fill_diagonal(without, _LOW)
        for heaviest in (with_both, without):
            self._try(heaviest, joint, total, won, path)

    def _try(
        self,
        heaviest: Int64[np.ndarray, "leaves leaves"],
        joint: Int64[np.ndarray, "leaves leaves"],
        total: int,
        won: int,
        path: Path,
    ) -> None:
        """Takes the heaviest pair that is heavy enough; where rounding made it so and it is not better, the next."""
        while True:
            place = int(heaviest.argmax())
            weight = won + int(heaviest.reshape(-1)[place])
            if weight <= self.need():
                return
            self.heaviest = max(self.heaviest, weight)
            better = self._take(divmod(place, self.n_leaves), joint, total, path)
            if better or self.best is not self.before:
                return  # there will be another pass, with weights of the new best
            heaviest.reshape(-1)[place] = _LOW

    def _take(self, pair: tuple[int, int], joint: Int64[np.ndarray, "leaves leaves"], total: int, path: Path) -> bool:
        """Makes the heaviest join of a pair the best chain, if its score is higher; says whether it was."""
        (c, d), own = pair, np.diagonal(joint)
        both, alone, other = int(joint[c, d]), int(own[c]), int(own[d])
        joins = {
            (Op.AND, Op.AND): both,
            (Op.AND, Op.AND_NOT): alone - both,
            (Op.AND, Op.OR): alone + other - both,
            (Op.AND_NOT, Op.AND_NOT): total - alone - other + both,
            (Op.AND, Op.OR_NOT): total - other + both,
            (Op.AND_NOT, Op.OR_NOT): total - both,
        }
        first, second = max(joins, key=lambda ops: joins[ops])
        chain = chain_of(self.unit, ((first, c), (second, d), *reversed(path)))
        before, kept = self.best, self.score
        self.best = chain
        better = self.score > kept
        self.best = chain if better else before
        return better


def _representable(share: Fraction, total: int) -> Fraction:
    """The largest share of this or less whose weights of `total` pixels fit into 64 bits."""
    limit = 2**61 // max(total, 1)
    if share.denominator <= limit:
        return share
    return Fraction(int(share * limit), limit)
