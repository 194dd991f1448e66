"""The best form there is, with its proof, by branch and bound.

    chain, bound = proven(ground.unit(counts), chain, max_length=3)          # from the beam's chain
    bound == float(unit.ious(chain.sums))            # certified; else no form scores more than bound

To beat IoU p/q, a form must have sum(w) > p|M| for the weights w = q * overlap - p * (pixels - overlap) of its
signatures (Dinkelbach 1967): a sum of integers, without a quotient. Any part of a region weighs at most the sum of its
positive signatures, which bounds every form that is still to be decided there.

A chain, read from its last step, is a decision list: AND NOT c says 0 on c, OR c says 1 on c, AND c says 0 and OR NOT c
says 1 outside of c, and the rest of the chain decides the region that is left. So a node is a region and the weight
that is already won. Where two concepts are left to choose, the joint weight of a pair in the region gives all eight
ways to join it, exactly, and one of the two must bring more than half of what is wanted: few do, few pairs are weighed.

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
from describer.search.ground import AREA, OVERLAP, UnitGround, leaf_sums

MAX_PAIRS = 1 << 21
"pairs that are weighed at once: 16 MB a matrix"
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


@dataclass(frozen=True, eq=False)
class _Region:
    """Signatures that are still to be decided, with their sums of weights and of those above 0."""

    mask: Bool[np.ndarray, " signatures"]
    total: Int64[np.ndarray, " 2"]
    leaves: Int64[np.ndarray, "leaves 2"]
    "the same sums of every leaf within the region"


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
        self.values = unit.values[:, :2]
        self.need = 0
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

    def _aim(self) -> None:
        """Sets what a form must weigh more than, to score more than the best."""
        self.need = int(self.share.denominator * self.target() * self.area)  # rounds down

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
            self._aim()
            left = self._passed(deadline)
            if left > 0 or self.best is self.before:
                return left

    def _passed(self, deadline: float | None) -> float:
        """Decides every form once, most promising regions first."""
        gains = np.maximum(self.weights, 0)
        self.values = np.stack((self.weights, gains), 1)  # (signatures, 2)
        heap = [_Node(-int(gains.sum()), (), 0)]
        while heap and -heap[0].promise > self.need:
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
        mask, depth = self._region(node.path), len(node.path)
        rows = np.flatnonzero(mask)
        region = _Region(mask, self.values[rows].sum(0), leaf_sums(self.matrix, rows, self.values))
        if depth + 2 >= self.shortest:
            self._decide(region, node.won, node.path)
        if depth + 2 >= self.longest:
            return
        for child in self._children(node, region):
            if -child.promise <= self.need:
                break
            if depth + 3 < self.longest:
                heapq.heappush(heap, child)
            else:
                yield -child.promise
                self._decide(self._part(region, child.path[-1]), child.won, child.path)

    def _region(self, path: Path) -> Bool[np.ndarray, " signatures"]:
        """What the steps of a path leave undecided."""
        region = np.ones(len(self.weights), bool)
        for op, leaf in path:
            mask = self.unit.mask(leaf)
            region &= mask if op in (Op.AND, Op.OR_NOT) else ~mask
        return region

    def _part(self, region: _Region, step: tuple[Op, int]) -> _Region:
        """What one more step leaves of a region; without a leaf, its sums are those of the region less the leaf's."""
        op, leaf = step
        inside = self.unit.rows(leaf)
        inside = inside[region.mask[inside]]
        held, sums = region.leaves[leaf], leaf_sums(self.matrix, inside, self.values)
        if op in (Op.AND, Op.OR_NOT):
            mask = np.zeros_like(region.mask)
            mask[inside] = True
            return _Region(mask, held, sums)
        mask = region.mask.copy()
        mask[inside] = False
        return _Region(mask, region.total - held, region.leaves - sums)

    def _children(self, node: _Node, region: _Region) -> list[_Node]:
        """The two regions that each further leaf leaves, most promising first.

        Of the two things to say on the other side, 0 and 1, the heavier one is as good as both.
        """
        used, found = {leaf for _, leaf in node.path}, []
        total, most = region.total.tolist()
        for leaf, (within, gain) in enumerate(region.leaves.tolist()):
            if leaf not in used:
                one, other = max(total - within, 0), max(within, 0)
                for op, won, promise in (
                    (Op.OR_NOT if one else Op.AND, one, gain),
                    (Op.OR if other else Op.AND_NOT, other, most - gain),
                ):
                    found.append(_Node(-(node.won + won + promise), (*node.path, (op, leaf)), node.won + won))
        return sorted(found)

    def _decide(self, region: _Region, won: int, path: Path) -> None:
        """Takes the heaviest way to join two leaves in a region, where that beats the best.

        A join of c and d gains at most what c and d gain; its opposite, at most what they lose beyond the whole region.
        """
        need, total = self.need - won, int(region.total[0])
        gains, losses = region.leaves[:, 1], region.leaves[:, 1] - region.leaves[:, 0]
        strong = np.flatnonzero((2 * gains > need) | (2 * losses > need - total))
        strong = strong[~np.isin(strong, [leaf for _, leaf in path])]
        width = max(1, MAX_PAIRS // self.n_leaves)
        for start in range(0, len(strong), width):
            self._weigh(region, strong[start : start + width], won, path)

    def _weigh(self, region: _Region, strong: Int64[np.ndarray, " strong"], won: int, path: Path) -> None:
        """Takes the heaviest join of one of these leaves and any other, where that beats the best.

        With J the weight of both c and d, the joins are J, c - J, d - J, c + d - J and, of the opposites, R - J,
        R - c + J, R - d + J, R - c - d + J.
        """
        joint, total, own = self._joint(region, strong), int(region.total[0]), region.leaves[:, 0]
        c, d = own[strong, None], own[None]
        with_both = joint + np.maximum(np.maximum(0, total - np.minimum(c, d)), total - c - d)
        without = np.maximum(np.maximum(total, np.maximum(c, d)), c + d) - joint
        for heaviest in (with_both, without):
            heaviest[:, [leaf for _, leaf in path]] = _LOW
            heaviest[np.arange(len(strong)), strong] = _LOW
            self._try(heaviest, joint, region, strong, won, path)

    def _joint(self, region: _Region, strong: Int64[np.ndarray, " strong"]) -> Int64[np.ndarray, "strong leaves"]:
        """Weights of these leaves together with every leaf, within the region."""
        there = np.zeros_like(region.mask)
        for leaf in strong.tolist():
            there[self.unit.rows(leaf)] = True
        rows = np.flatnonzero(there & region.mask)
        part = self.matrix[rows]
        weights = np.repeat(self.weights[rows], np.diff(part.indptr))
        weighted = csr_array((weights, part.indices, part.indptr), shape=part.shape)
        return (part[:, strong].T @ weighted).toarray()

    def _try(
        self,
        heaviest: Int64[np.ndarray, "strong leaves"],
        joint: Int64[np.ndarray, "strong leaves"],
        region: _Region,
        strong: Int64[np.ndarray, " strong"],
        won: int,
        path: Path,
    ) -> None:
        """Takes the heaviest pair that is heavy enough; where rounding made it so and it is not better, the next."""
        while True:
            place = divmod(int(heaviest.argmax()), self.n_leaves)
            weight = won + int(heaviest[place])
            if weight <= self.need:
                return
            self.heaviest = max(self.heaviest, weight)
            pair = int(strong[place[0]]), place[1]
            if self._take(pair, int(joint[place]), region, path) or self.best is not self.before:
                return  # there will be another pass, with weights of the new best
            heaviest[place] = _LOW

    def _take(self, pair: tuple[int, int], both: int, region: _Region, path: Path) -> bool:
        """Makes the heaviest join of a pair the best chain, if its score is higher; says whether it was."""
        total = int(region.total[0])
        joins: dict[tuple[tuple[Op, int], tuple[Op, int]], int] = {}
        for c, d in (pair, pair[::-1]):
            one, other = int(region.leaves[c, 0]), int(region.leaves[d, 0])
            joins |= {
                ((Op.AND, c), (Op.AND, d)): both,
                ((Op.AND, c), (Op.AND_NOT, d)): one - both,
                ((Op.AND, c), (Op.OR, d)): one + other - both,
                ((Op.AND_NOT, c), (Op.AND_NOT, d)): total - one - other + both,
                ((Op.AND, c), (Op.OR_NOT, d)): total - other + both,
                ((Op.AND_NOT, c), (Op.OR_NOT, d)): total - both,
            }
        steps = max(joins, key=lambda steps: joins[steps])
        chain = chain_of(self.unit, (*steps, *reversed(path)))
        before, kept = self.best, self.score
        self.best = chain
        better = self.score > kept
        self.best = chain if better else before
        self._aim()
        return better


def _representable(share: Fraction, total: int) -> Fraction:
    """The largest share of this or less whose weights of `total` pixels fit into 64 bits."""
    limit = 2**61 // max(total, 1)
    if share.denominator <= limit:
        return share
    return Fraction(int(share * limit), limit)
