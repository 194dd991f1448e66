"""What cutting units in given orders does to a classifier's accuracy, beside random orders.

    steps = Steps(most=0.2, step=0.02, draws=3)
    before, found = curves(target, images, truth, units, {"nouns": scores}, steps)
    found[1].less_random, found[1].less_layers      # accuracy over all steps, less that of random units

Random orders are of all units; those of the same layers have a unit of the same layer at every place, since
descriptions differ between layers and layers matter unequally. All cuts run on a batch of pictures before the next is
read, and a cut that two orders share runs once.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int64

from describer.data.images import ImageSet
from describer.data.targets import Target
from describer.errors import DescriberError
from describer.eval.control.ablation import predictions
from describer.eval.experiments.orders import matched, ordered
from describer.eval.experiments.sampling import Estimate
from describer.intervention import Edit
from describer.statistics import DRAWS, middle

Progress = Callable[[str, int, int], None]
RANDOM = "random"


@dataclass(frozen=True)
class Worded:
    """A unit with what is said of it."""

    layer: str
    unit: int
    text: str


@dataclass(frozen=True)
class Steps:
    """How much is cut, and how often."""

    most: float = 0.2
    "share of the units"
    step: float = 0.02
    "share of the units that one step adds"
    randoms: int = 5
    "random orders"
    draws: int = 3
    "orders of every property, with ties dealt anew, and random orders of the same layers"
    seed: int = 0
    batch_size: int = 32
    bf16: bool = False
    "whether the network computes in half precision, three times as fast on processors that can"

    def __post_init__(self) -> None:
        if not 0 < self.step <= self.most <= 1 or min(self.randoms, self.draws) < 1:
            raise DescriberError(f"step must lie in 0 to most, most in 0 to 1, draws above 0. Got {self}. Mend it.")

    @property
    def shares(self) -> list[float]:
        """Shares that are cut, ascending, without 0."""
        return [self.step * (i + 1) for i in range(round(self.most / self.step))]


@dataclass(frozen=True)
class Curve:
    """What one order does."""

    order: str
    shares: list[float]
    accuracy: list[float]
    "after each share, the mean over draws"
    mean: Estimate
    "accuracy over all shares and pictures"
    less_random: Estimate | None
    less_layers: Estimate | None
    "less random units of the same layers"
    class_less_layers: Estimate | None
    "the same on the pictures of the class that the units are like"
    layers: dict[str, float]
    "of what is cut in the end, the share from each layer"


def cut(units: Sequence[Worded], places: Sequence[int]) -> list[Edit]:
    """One ablation a layer."""
    by_layer: dict[str, list[int]] = {}
    for place in sorted(places):
        by_layer.setdefault(units[place].layer, []).append(units[place].unit)
    return [Edit(layer, tuple(own), "ablate") for layer, own in by_layer.items()]


def curves(
    target: Target,
    images: ImageSet,
    truth: Int64[np.ndarray, " images"],
    units: Sequence[Worded],
    scores: Mapping[str, Float[np.ndarray, " units"]],
    steps: Steps | None = None,
    classes: Mapping[str, int] | None = None,
    progress: Progress | None = None,
) -> tuple[Estimate, list[Curve]]:
    """Accuracy before, and what every order does; `classes` are the classes whose pictures an order is about."""
    steps = steps or Steps()
    orders, rivals = _orders([each.layer for each in units], scores, steps)
    sizes, ways = [round(share * len(units)) for share in steps.shares], _Ways(units)
    rows = {name: ways.rows(own, sizes) for name, own in orders.items()}
    rival_rows = {name: ways.rows(own, sizes) for name, own in rivals.items()}
    with _precision(target, steps.bf16):
        index, predicted = predictions(target, images, ways.edits, steps.batch_size, progress)
    known = truth[index] >= 0
    if not known.any():
        raise DescriberError(f"{images.source} must hold pictures of known classes. Got none. Check the labels.")
    kinds, right = truth[index][known], (predicted == truth[index]).astype(np.float64)[:, known]
    random, found = right[rows[RANDOM]].mean(1), []
    for name, own in rows.items():
        mean = right[own].mean(1)  # (draws, images)
        rival = right[rival_rows[name]].mean(1) if name != RANDOM else random
        about = kinds == (classes or {}).get(name, -1)
        curve = Curve(
            name,
            steps.shares,
            right[own].mean((0, 2)).tolist(),
            estimate(mean, None, steps.seed),
            estimate(mean, random, steps.seed) if name != RANDOM else None,
            estimate(mean, rival, steps.seed) if name != RANDOM else None,
            estimate(mean[:, about], rival[:, about], steps.seed) if about.any() else None,
            _shares([units[place].layer for order in orders[name] for place in order[: sizes[-1]]]),
        )
        found.append(curve)
    return estimate(right[:1], None, steps.seed), found


@contextmanager
def _precision(target: Target, bf16: bool) -> Iterator[None]:
    """Inside, convolutions compute in bfloat16 with their channels last; the weights are what they were."""
    if not bf16:
        yield
        return
    device = next((p.device.type for p in target.model.parameters()), "cpu")
    target.model.to(memory_format=torch.channels_last)
    try:
        with torch.autocast(device, torch.bfloat16):
            yield
    finally:
        target.model.to(memory_format=torch.contiguous_format)


Orders = dict[str, list[np.ndarray]]


def _orders(
    layers: Sequence[str], scores: Mapping[str, Float[np.ndarray, " units"]], steps: Steps
) -> tuple[Orders, Orders]:
    """By name, random ones first, all the orders; and for each but the random ones, those of the same layers."""
    dice = np.random.default_rng(steps.seed)
    seeds = iter(dice.integers(0, 2**31, 2 * steps.draws * len(scores) + steps.randoms).tolist())
    orders = {RANDOM: [ordered(np.zeros(len(layers)), next(seeds)) for _ in range(steps.randoms)]}
    rivals: Orders = {}
    for name, own in scores.items():
        orders[name] = [ordered(own, next(seeds)) for _ in range(steps.draws)]
        rivals[name] = [matched(order, layers, next(seeds)) for order in orders[name]]
    return orders, rivals


def _shares(names: Sequence[str]) -> dict[str, float]:
    return {name: number / len(names) for name, number in sorted(Counter(names).items())}


class _Ways:
    """Different cuts, each once; the first is none."""

    def __init__(self, units: Sequence[Worded]) -> None:
        self.units, self.edits = units, [list[Edit]()]
        self._row: dict[frozenset[int], int] = {frozenset(): 0}

    def rows(self, orders: Sequence[np.ndarray], sizes: Sequence[int]) -> Int64[np.ndarray, "draws sizes"]:
        """The row of what each order cuts at each size."""
        return np.array([[self._of(order[:size].tolist()) for size in sizes] for order in orders], np.int64)

    def _of(self, places: list[int]) -> int:
        key = frozenset(places)
        if key not in self._row:
            self._row[key] = len(self.edits)
            self.edits.append(cut(self.units, places))
        return self._row[key]


def estimate(
    own: Float[np.ndarray, "draws pictures"], rival: Float[np.ndarray, "rivals pictures"] | None, seed: int
) -> Estimate:
    """The mean, less the rival's where there is one; the interval draws pictures, and the draws of both."""
    n = own.shape[1]
    if not n:
        return Estimate(float("nan"), float("nan"), float("nan"), 0)
    dice = np.random.default_rng(seed)
    weights = dice.multinomial(n, np.full(n, 1 / n), DRAWS) / n  # (DRAWS, pictures)

    def drawn(values: np.ndarray) -> np.ndarray:
        share = dice.multinomial(len(values), np.full(len(values), 1 / len(values)), DRAWS) / len(values)
        return np.asarray(((weights @ values.T) * share).sum(1))

    if rival is None:
        return Estimate(float(own.mean()), *middle(drawn(own)), n)
    return Estimate(float(own.mean() - rival.mean()), *middle(drawn(own) - drawn(rival)), n)
