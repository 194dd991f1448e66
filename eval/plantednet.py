"""A network whose units we have planted on the labels of drawn scenes: what each means is known.

    target, images = planted_network(scenes_of("scenes:400:7"), [PlantedUnit("dogs", ("object:dog",)), …])
    describe(target, images, "atlas", describers, layers=["planted"])

A unit is the area of its concepts, pixel by pixel, with as much noise as its level says; without a concept it is all
noise. Several concepts make a unit with several meanings, each with a strength of its own.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from describer.data.drawn import DrawnImages
from describer.data.scenes import SceneSet
from describer.data.scenes.keys import mask_of
from describer.data.scenes.words import wordings

CELLS = 16
"Cells of a unit's map a side."


@dataclass(frozen=True)
class PlantedUnit:
    """One unit with a known meaning."""

    keys: tuple[str, ...]
    "concept keys of `describer.data.scenes.keys`; none: noise alone"
    noise: float = 0.0
    "standard deviation of what is added to a map that is 0 or 1"
    strengths: tuple[float, ...] | None = None
    "how high it fires on each concept; default: 1"

    @property
    def words(self) -> list[str]:
        """The most usual wording of each concept."""
        return [wordings(key)[0] for key in self.keys]


class PlantedInputs(Dataset[tuple[int, Tensor]]):
    """The units' maps themselves as inputs."""

    def __init__(self, scenes: SceneSet, units: Sequence[PlantedUnit], jitter: float = 0.0) -> None:
        self.scenes, self.units, self.jitter = scenes, units, jitter

    def __len__(self) -> int:
        return len(self.scenes)

    def __getitem__(self, index: int) -> tuple[int, Tensor]:
        scene, step = self.scenes.scene(index), self.scenes.size // CELLS
        rng = np.random.default_rng((self.scenes.seed, index))
        chance = rng.standard_normal((len(self.units), CELLS, CELLS))
        maps = np.zeros((len(self.units), CELLS, CELLS))
        known: dict[str, np.ndarray] = {}
        for row, unit in enumerate(self.units):
            for key, strength in zip(unit.keys, unit.strengths or (1.0,) * len(unit.keys), strict=True):
                if key not in known:
                    cells = mask_of(scene, key).reshape(CELLS, step, CELLS, step)
                    known[key] = cells.mean((1, 3))
                maps[row] = np.maximum(maps[row], strength * known[key])
            maps[row] += unit.noise * chance[row]
        if self.jitter:
            maps += self.jitter * maps.std() * np.random.default_rng((index, 1)).standard_normal(maps.shape)
        return index, torch.from_numpy(maps).float()


class PlantedImages(DrawnImages):
    """Scenes that are shown as pictures and given to the network as labels."""

    units: Sequence[PlantedUnit] = ()

    def inputs(self, preprocess: object = None) -> Dataset[tuple[int, Tensor]]:  # type: ignore[override]
        """The units' maps of every scene."""
        return PlantedInputs(self.scenes, self.units)


@dataclass(frozen=True)
class PlantedTarget:
    """The network: one layer, `planted`, that passes its inputs on."""

    name: str
    model: nn.Module
    preprocess: None
    input_shape: tuple[int, int, int]
    fingerprint: str


def planted_network(n_scenes: int, seed: int, units: Sequence[PlantedUnit]) -> tuple[PlantedTarget, PlantedImages]:
    """The target and its probe set, to be given to `describe` with layers=["planted"]."""
    model = nn.Sequential()
    layer = nn.Conv2d(len(units), len(units), 1, bias=False)
    layer.weight.data = torch.eye(len(units))[:, :, None, None]
    model.add_module("planted", layer)
    model.eval().requires_grad_(False)
    images = PlantedImages(f"scenes:{n_scenes}:{seed}", n_scenes, seed)
    images.units = tuple(units)
    digest = hashlib.sha256(repr(tuple(units)).encode()).hexdigest()
    return PlantedTarget("planted", model, None, (len(units), CELLS, CELLS), digest), images
