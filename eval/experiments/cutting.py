"""What a classifier gets right without some of its units: one alone, one more at a time, a chosen number.

    bench = Bench(stages, head, inputs, labels)            # stages: {"layer1": module, …}, run one after another
    bench.right([("layer2", 3), ("layer4", 5)])            # (pictures,) bool with these two silent
    order = ordered(units, [*singles(bench, units)])       # first the unit without which most is right
    curve = ladder(bench, order, 30)                       # accuracy without the first 0, 1 … 30
    best_number(curve)

Every stage's output is kept, so that a cut costs no more than what comes behind it, and every answer, as orders often
begin alike.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float, Float64, Int64
from torch import Tensor, nn

from describer.scenenet import SceneClassifier

Unit = tuple[str, int]
"A layer and the index of one of its units."
AT_A_TIME = 100
"Pictures in a batch."


class Bench:
    """Pictures on their way through a chain of stages."""

    def __init__(
        self,
        stages: Mapping[str, nn.Module],
        head: Callable[[Tensor], Tensor],
        inputs: Float[Tensor, "pictures channels height width"],
        labels: Int64[np.ndarray, " pictures"],
    ) -> None:
        self.stages, self.head, self.labels = dict(stages), head, labels
        self.layers = list(stages)
        self.kept: dict[str, list[Tensor]] = {}
        self._known: dict[frozenset[Unit], np.ndarray] = {}
        batches = list(inputs.split(AT_A_TIME))
        with torch.inference_mode():
            for layer, stage in self.stages.items():
                batches = [stage(batch) for batch in batches]
                self.kept[layer] = batches

    @classmethod
    def of(
        cls,
        model: SceneClassifier,
        inputs: Float[Tensor, "pictures 3 height width"],
        labels: Int64[np.ndarray, " pictures"],
    ) -> "Bench":
        """The bench of a scene classifier in eval mode, its four stages before pooling and the last layer."""
        stages = {f"layer{number}": model.get_submodule(f"layer{number}") for number in range(1, 5)}
        return cls(stages, lambda x: model.classes((x.mean((2, 3)) + x.amax((2, 3))) / 2), inputs, labels)

    @property
    def units(self) -> list[Unit]:
        """All units, stage by stage."""
        return [(layer, unit) for layer in self.layers for unit in range(self.kept[layer][0].shape[1])]

    def peaks(self) -> Float[np.ndarray, "pictures units"]:
        """Every unit's highest activation in every picture, in the order of `units`."""
        found = [torch.cat([maps.amax((2, 3)) for maps in self.kept[layer]]) for layer in self.layers]
        return torch.cat(found, 1).numpy()

    def right(self, cut: Iterable[Unit] = ()) -> Bool[np.ndarray, " pictures"]:
        """Which pictures are told right while these units give 0; of a set that was asked before, what was found."""
        asked = frozenset(cut)
        if asked not in self._known:
            self._known[asked] = self._right(asked)
        return self._known[asked]

    @torch.inference_mode()
    def _right(self, cut: frozenset[Unit]) -> Bool[np.ndarray, " pictures"]:
        silent: dict[str, list[int]] = {}
        for layer, unit in cut:
            silent.setdefault(layer, []).append(unit)
        first = min((self.layers.index(layer) for layer in silent), default=len(self.layers) - 1)
        told = [self._from(first, batch.clone(), silent).argmax(1) for batch in self.kept[self.layers[first]]]
        return torch.cat(told).numpy() == self.labels

    def _from(self, first: int, maps: Tensor, silent: Mapping[str, list[int]]) -> Tensor:
        """Logits of the maps that a stage has given."""
        for place in range(first, len(self.layers)):
            layer = self.layers[place]
            maps = maps if place == first else self.stages[layer](maps)
            if layer in silent:
                maps[:, silent[layer]] = 0
        return self.head(maps)


def singles(bench: Bench, units: Sequence[Unit]) -> Float64[np.ndarray, " units"]:
    """Accuracy, 0..1, without each of the units alone."""
    return np.array([bench.right([unit]).mean() for unit in units], np.float64)


def ordered(units: Sequence[Unit], without: Sequence[float]) -> list[Unit]:
    """First the units without which accuracy is highest; of equal ones the first given."""
    return [units[place] for place in np.argsort(-np.asarray(without), kind="stable")]


def ladder(bench: Bench, order: Sequence[Unit], most: int) -> Float64[np.ndarray, " steps"]:
    """Accuracy without the first 0, 1, 2 … of these units, at most `most`."""
    return np.array([bench.right(order[:n]).mean() for n in range(min(most, len(order)) + 1)], np.float64)


def best_number(curve: Float64[np.ndarray, " steps"]) -> int:
    """How many units to cut: the fewest that reach the highest accuracy."""
    return int(np.argmax(curve))


def random_cuts(cut: Sequence[Unit], among: Sequence[Unit], draws: int, seed: int) -> list[list[Unit]]:
    """So many draws of other units, of every layer as many as are cut (or as there are)."""
    found = []
    for draw in range(draws):
        rng, drawn = np.random.default_rng((seed, draw)), []
        for layer in dict.fromkeys(layer for layer, _ in cut):
            others = [unit for unit in among if unit[0] == layer and unit not in cut]
            wanted = min(sum(own == layer for own, _ in cut), len(others))
            drawn += [others[place] for place in rng.choice(len(others), wanted, replace=False)] if wanted else []
        found.append(drawn)
    return found
