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
Memory grows with the square root of n_values: 90 kB a unit for 39 million values at lowest=0.99.
"""

import math

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

RANK_ERROR = 0.0005  # of the stream's length
EXACT = 16_384  # values of one unit kept as they are, 64 kB
TRAY = 256  # smallest number of new values gathered before they are ranked


class StreamingQuantile:
    """Quantiles from `lowest` to 1 of `units` streams of equal length, n_values at most; NaN must be kept out."""

    def __init__(
        self, units: int, n_values: int, lowest: float = 0.99, device: torch.device | str = "cpu", exact: int = EXACT
    ):
        assert 0 <= lowest < 1 and n_values >= 1, (lowest, n_values)
        self.units, self.n_values, self.lowest = units, n_values, lowest
        self.weight, n_kept, n_tray = _sizes(n_values, lowest, exact)
        self.n_seen = 0
        self.bound = torch.full((units,), -math.inf, device=device)
        self.fill = torch.zeros(units, dtype=torch.int64, device=device)
        self.kept = torch.full((units, n_kept), -math.inf, device=device)
        self.tray = torch.full((units, n_tray), -math.inf, device=device)
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
        rows = (peaks > self.bound).flatten().nonzero()[:, 0]  # image by image, unit by unit
        found, counts = _above(values.flatten(0, 1), self.bound.repeat(len(values)), rows)
        counts = counts.unflatten(0, peaks.shape)  # (batch, units)
        ends = counts.cumsum(0)
        full = self.fill + ends[-1] > self.tray.shape[1]
        if bool(full.any()):
            self._flush((full & (self.fill > 0)).nonzero()[:, 0])
            if int(ends[-1].max()) > self.tray.shape[1]:
                self._add_parts(values, peaks)
                return
        place = torch.arange(self.units, device=peaks.device) * self.tray.shape[1] + self.fill
        first = (place + ends - counts).flatten()  # (rows,): where each row goes in the trays laid end to end
        counts = counts.flatten()
        moved = torch.repeat_interleave(first - (counts.cumsum(0) - counts), counts, output_size=len(found))
        self.tray.view(-1)[moved + torch.arange(len(found), device=moved.device)] = found
        self.fill += ends[-1]

    def _add_parts(self, values: Float[Tensor, "batch units n"], peaks: Float[Tensor, "batch units"]) -> None:
        """Adds so few images at a time that a tray holds them, or, where it does not hold one, parts of an image."""
        n_images = self.tray.shape[1] // values.shape[2]
        if n_images:
            for part, tops in zip(values.split(n_images), peaks.split(n_images), strict=True):
                self._add(part, tops)
        else:
            for image in values.split(1):
                for part in image.split(self.tray.shape[1], 2):
                    self._add(part, part.amax(2))

    def _flush(self, rows: Int[Tensor, " rows"]) -> None:
        """Ranks the trays of these units, keeps their largest values and raises their bounds."""
        new = self.tray[rows]
        if self.weight > 1:
            offset = torch.randint(self.weight, (len(rows), 1), generator=self._dice)
            step = torch.arange(0, new.shape[1], self.weight)
            new = _sort_down(new).gather(1, (step + offset).to(new.device))  # (rows, n_tray / weight)
        kept = _largest(torch.cat((self.kept[rows], new), 1), self.kept.shape[1])
        self.kept[rows] = kept
        self.bound[rows] = torch.maximum(self.bound[rows], kept.amin(1))
        self.tray[rows] = -math.inf
        self.fill[rows] = 0

    def result(self, quantile: float) -> Float[Tensor, " units"]:
        """The least value with at least that share of the stream at or below it; leaves the state as it is."""
        assert self.lowest <= quantile <= 1 and self.n_seen, (quantile, self.n_seen)
        rank = self.n_seen - max(1, math.ceil(quantile * self.n_seen - 1e-6))  # from the top, 0 is the largest
        pool = torch.cat((self.kept, self.tray), 1)
        if self.weight == 1:
            return _largest(pool, rank + 1).amin(1)
        values, order = pool.sort(1, descending=True)
        weight = torch.where(order < self.kept.shape[1], self.weight, 1).cumsum(1)
        place = (weight <= rank).sum(1, keepdim=True).clamp(max=pool.shape[1] - 1)
        return values.gather(1, place)[:, 0]

    def merge(self, other: "StreamingQuantile") -> None:
        """Takes over what `other`, made with the same arguments, has seen; `other` stays as it is."""
        mine, theirs = (self.units, self.n_values, self.lowest), (other.units, other.n_values, other.lowest)
        assert mine == theirs and self.weight == other.weight, (mine, theirs)
        kept = torch.cat((self.kept, other.kept.to(self.kept.device)), 1)
        self.kept = _largest(kept, self.kept.shape[1])
        self.bound = torch.maximum(self.bound, self.kept.amin(1))
        self.n_seen += other.n_seen
        tray = other.tray.to(self.tray.device)[None]
        if self.units:
            self._add(tray, tray.amax(2))

    def state_dict(self) -> dict[str, Tensor]:
        """All that is needed to go on later, as tensors."""
        state = {"bound": self.bound, "fill": self.fill, "kept": self.kept, "tray": self.tray}
        return state | {"n_seen": torch.tensor(self.n_seen), "dice": self._dice.get_state()}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Goes on from a state of levels that were made with the same arguments."""
        for name in ("bound", "fill", "kept", "tray"):
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
) -> tuple[Float[Tensor, " found"], Int[Tensor, " rows"]]:
    """Values above their row's bound, row after row, and how many each row has; only `rows` have any.

    On the CPU numpy compares and selects five times faster than torch.
    """
    counts = torch.zeros(len(values), dtype=torch.int64, device=values.device)
    if len(rows) < 0.7 * len(values):
        values, bound = values[rows], bound[rows]
    else:
        rows = torch.arange(len(values), device=values.device)
    if values.device.type == "cpu" and values.dtype == torch.float32:
        mask = values.numpy() > bound.numpy()[:, None]
        counts[rows] = torch.from_numpy(mask.sum(1))
        return torch.from_numpy(values.numpy()[mask]), counts
    above = values > bound[:, None]
    counts[rows] = above.sum(1)
    return values.masked_select(above).float(), counts


def _largest(values: Float[Tensor, "rows n"], k: int) -> Float[Tensor, "rows k"]:
    """The k largest of every row in no order; numpy's partition is seven times faster on the CPU than torch's."""
    if values.device.type == "cpu":
        top = np.partition(values.numpy(), values.shape[1] - k, axis=1)[:, values.shape[1] - k :]
        return torch.from_numpy(np.ascontiguousarray(top))
    return values.topk(k, 1, sorted=False).values


def _sort_down(values: Float[Tensor, "rows n"]) -> Float[Tensor, "rows n"]:
    """Every row from large to small."""
    if values.device.type == "cpu":
        return torch.from_numpy(np.sort(values.numpy(), axis=1)).flip(1)
    return values.sort(1, descending=True).values
