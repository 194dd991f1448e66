"""High quantiles of many streams at once, in bounded memory.

    levels = StreamingQuantile(units=512, n_values=1000 * 14 * 14, lowest=0.99)
    for batch in batches:
        levels.add(batch)          # (units, n) each; at most n_values a unit in all
    levels.result(0.99)            # (units,): the least value with at least 99 % of the stream at or below it
    levels.merge(other)            # the same levels, fed with another share of the stream

Only what can still be above the quantile is stored. A unit's `bound` is the smallest of its largest `need` values so
far; anything at or below it is counted and dropped. While `need` fits into EXACT values the answer is exact, whatever
the order and the batches. For longer streams every full tray of S values is sorted and thinned to each w-th with a
seeded random offset, so that one value stands for w. A tray shifts a rank by less than w, hence w is chosen so that
all trays together stay within RANK_ERROR of the stream (the sampling step of Manku, Rajagopalan & Lindsay 1999).
Memory grows with the square root of n_values: 96 kB a unit for 39 million values at lowest=0.99.
"""

import math

import numpy as np
import torch
from jaxtyping import Float, Int, Num
from torch import Tensor

RANK_ERROR = 0.0005  # of the stream's length
EXACT = 16_384  # values of one unit kept as they are, 64 kB
TRAY = 256  # smallest number of new values gathered before they are ranked


class StreamingQuantile:
    """Quantiles from `lowest` to 1 of `units` streams of equal length, n_values at most; NaN must be kept out.

    A unit's pool holds negated values, so that the largest come first: `n_kept` that stand for `weight` each, then a
    tray of single ones.
    """

    def __init__(
        self, units: int, n_values: int, lowest: float = 0.99, device: torch.device | str = "cpu", exact: int = EXACT
    ):
        assert 0 <= lowest < 1 and n_values >= 1, (lowest, n_values)
        self.units, self.n_values, self.lowest = units, n_values, lowest
        self.weight, self.n_kept, n_tray = _sizes(n_values, lowest, exact)
        self.n_seen = 0
        self.bound = torch.full((units,), -math.inf, device=device)
        self.pool = torch.full((units, self.n_kept + n_tray), math.inf, device=device)
        self.fill = torch.full((units,), 0 if self.weight == 1 else self.n_kept, device=device)
        self._dice = torch.Generator().manual_seed(0)

    def add(self, values: Float[Tensor, "units n"]) -> None:
        """Takes the next n values of every unit."""
        self.add_maps(values[None])

    def add_maps(
        self, values: Float[Tensor, "batch units n"], peaks: Float[Tensor, "batch units"] | None = None
    ) -> None:
        """Takes the next batch * n values of every unit: `add` without moving the unit axis to the front.

        `peaks`, the maxima over n, spare a look at values where they are known.
        """
        n_new = values.shape[0] * values.shape[2]
        assert self.n_seen + n_new <= self.n_values, "more values than were announced"
        self.n_seen += n_new
        if n_new and self.units:
            self._add(values, values.amax(2) if peaks is None else peaks)

    def _add(self, values: Float[Tensor, "batch units n"], peaks: Float[Tensor, "batch units"]) -> None:
        if self._add_all(values):
            return
        n_tray, n_new = self.pool.shape[1] - self.n_kept, values.shape[0] * values.shape[2]
        if n_new > n_tray and n_new * self.n_kept > n_tray * self.n_seen:  # too many would pass the bound at once
            self._add_parts(values, peaks)
            return
        rows = (peaks > self.bound).flatten().nonzero()[:, 0]  # image by image, unit by unit
        found, row = _above(values.flatten(0, 1), self.bound.repeat(len(values)), rows)
        counts = torch.bincount(row, minlength=peaks.numel())
        ends = counts.view(peaks.shape).cumsum(0)  # (batch, units)
        full = self.fill + ends[-1] > self.pool.shape[1]
        if bool(full.any()):
            self._flush((full & (self.fill > self.n_kept)).nonzero()[:, 0])
            if int((self.fill + ends[-1]).max()) > self.pool.shape[1]:
                self._add_parts(values, peaks)
                return
        start = torch.arange(self.units, device=row.device) * self.pool.shape[1] + self.fill + ends  # (batch, units)
        place = _taken(start.flatten() - counts.cumsum(0), row) + torch.arange(len(row), device=row.device)
        _put(self.pool.view(-1), place, -found)
        self.fill += ends[-1]

    def _add_all(self, values: Float[Tensor, "batch units n"]) -> bool:
        """Copies whole maps while there are no bounds yet and every pool has the same room for them."""
        start, end = int(self.fill.amin()), int(self.fill.amax()) + values.shape[0] * values.shape[2]
        if end > self.pool.shape[1] or start != int(self.fill.amax()) or bool((self.bound > -math.inf).any()):
            return False
        self.pool[:, start:end] = -values.transpose(0, 1).flatten(1)
        self.fill += end - start
        return True

    def _add_parts(self, values: Float[Tensor, "batch units n"], peaks: Float[Tensor, "batch units"]) -> None:
        """Adds so few images at a time that a tray holds them, or, where it does not hold one, parts of an image."""
        n_tray = self.pool.shape[1] - self.n_kept
        n_images = n_tray // values.shape[2]
        if n_images:
            for part, tops in zip(values.split(n_images), peaks.split(n_images), strict=True):
                self._add(part, tops)
        else:
            for image in values.split(1):
                for part in image.split(n_tray, 2):
                    self._add(part, part.amax(2))

    def _flush(self, rows: Int[Tensor, " rows"]) -> None:
        """Ranks the trays of these units, keeps their largest values and raises their bounds."""
        if len(rows) == 0:
            return
        pool = self.pool if len(rows) == self.units else self.pool[rows]
        kept, tray = pool[:, : self.n_kept], pool[:, self.n_kept :]
        if self.weight > 1:
            offset = torch.randint(self.weight, (len(rows), 1), generator=self._dice)
            step = torch.arange(0, tray.shape[1], self.weight)
            tray[:, : len(step)] = _sorted(tray).gather(1, (step + offset).to(tray.device))
            last = _first_least(pool[:, : self.n_kept + len(step)], self.n_kept)
        else:
            last = _first_least(pool, self.n_kept)
        tray.fill_(math.inf)
        self.bound[rows] = torch.maximum(self.bound[rows], -last)
        self.fill[rows] = self.n_kept
        if pool is not self.pool:
            self.pool[rows] = torch.cat((kept, tray), 1)

    def result(self, quantile: float) -> Float[Tensor, " units"]:
        """The least value with at least that share of the stream at or below it; leaves the state as it is."""
        assert self.lowest <= quantile <= 1 and self.n_seen, (quantile, self.n_seen)
        rank = self.n_seen - max(1, math.ceil(quantile * self.n_seen - 1e-6))  # from the top, 0 is the largest
        if self.weight == 1:
            return -_first_least(self.pool.clone(), rank + 1)
        values, order = self.pool.sort(1)
        weight = torch.where(order < self.n_kept, self.weight, 1).cumsum(1)
        place = (weight <= rank).sum(1, keepdim=True).clamp(max=values.shape[1] - 1)
        return -values.gather(1, place)[:, 0]

    def merge(self, other: "StreamingQuantile") -> None:
        """Takes over what `other`, made with the same arguments, has seen; `other` stays as it is."""
        mine, theirs = (self.units, self.n_values, self.lowest), (other.units, other.n_values, other.lowest)
        assert mine == theirs and self.weight == other.weight, (mine, theirs)
        self.n_seen += other.n_seen
        if not self.units:
            return
        pool = other.pool.to(self.pool.device)
        if self.weight > 1:
            both = torch.cat((self.pool[:, : self.n_kept], pool[:, : self.n_kept]), 1)
            self.bound = torch.maximum(self.bound, -_first_least(both, self.n_kept))
            self.pool[:, : self.n_kept] = both[:, : self.n_kept]
            pool = pool[:, self.n_kept :]
        values = -pool[None]
        self._add_parts(values, values.amax(2))

    def state_dict(self) -> dict[str, Tensor]:
        """All that is needed to go on later, as tensors."""
        state = {"bound": self.bound, "fill": self.fill, "pool": self.pool}
        return state | {"n_seen": torch.tensor(self.n_seen), "dice": self._dice.get_state()}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Goes on from a state of levels that were made with the same arguments."""
        for name in ("bound", "fill", "pool"):
            getattr(self, name).copy_(state[name])
        self.n_seen = int(state["n_seen"])
        self._dice.set_state(state["dice"])


def _sizes(n_values: int, lowest: float, exact: int) -> tuple[int, int, int]:
    """(weight of a kept value, kept values, tray): exact while it fits, else as small as the rank error allows."""
    share = 1 - lowest
    need = min(n_values, math.floor(share * n_values + 1e-6) + 1)
    if need <= exact:
        return 1, need, max(need // 2, min(TRAY, n_values))
    error = RANK_ERROR * n_values
    passing = min(n_values, need * (2 + math.log2(1 / share)))  # need, and once more whenever the stream doubles
    tray = math.sqrt(2 * need * passing / error)  # smallest sum of tray and kept
    weight = max(1, math.floor(error * tray / (2 * passing)))  # 2 * passing / tray flushes, each off by < weight
    return weight, math.ceil((need + error) / weight) + 1, math.ceil(tray / weight) * weight


def _above(
    values: Float[Tensor, "rows n"], bound: Float[Tensor, " rows"], rows: Int[Tensor, " some"]
) -> tuple[Float[Tensor, " found"], Int[Tensor, " found"]]:
    """Values above their row's bound, row after row, and their rows; only `rows` have any."""
    if len(rows) < 0.5 * len(values):
        values, bound = _taken(values, rows), _taken(bound, rows)
    else:
        rows = torch.arange(len(values), device=values.device)
    if values.device.type == "cpu" and values.dtype == torch.float32:
        where = np.flatnonzero(values.numpy() > bound.numpy()[:, None])
        place, row = torch.from_numpy(where), torch.from_numpy(where // values.shape[1])
    else:
        place = (values > bound[:, None]).flatten().nonzero()[:, 0]
        row = place // values.shape[1]
    return _taken(values.flatten(), place).float(), _taken(rows, row)


# On one core of a CPU numpy does each of these three to ten times faster than torch.


def _taken(values: Num[Tensor, "n *rest"], index: Int[Tensor, " m"]) -> Num[Tensor, "m *rest"]:
    """values[index]."""
    if values.device.type == "cpu" and values.dtype != torch.bfloat16:
        return torch.from_numpy(values.numpy().take(index.numpy(), axis=0))
    return values[index]


def _put(values: Float[Tensor, " n"], index: Int[Tensor, " m"], new: Float[Tensor, " m"]) -> None:
    """values[index] = new."""
    if values.device.type == "cpu":
        values.numpy()[index.numpy()] = new.numpy()
    else:
        values[index] = new


def _first_least(values: Float[Tensor, "rows n"], k: int) -> Float[Tensor, " rows"]:
    """The k-th least of every row; the k least are moved to the front."""
    if values.device.type == "cpu":
        values.numpy().partition(k - 1, axis=1)
        return values[:, k - 1].clone()
    values[:, :k] = values.topk(k, 1, largest=False, sorted=False).values
    return values[:, :k].amax(1)


def _sorted(values: Float[Tensor, "rows n"]) -> Float[Tensor, "rows n"]:
    """Every row from small to large."""
    if values.device.type == "cpu":
        return torch.from_numpy(np.sort(values.numpy(), axis=1))
    return values.sort(1).values
