"""What units and random directions answer on the images that judge, against one image after the other."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import Dataset

from describer.directions import Moments, random_directions
from describer.errors import ActivationError, AtlasError
from describer.layout import UnitLayout
from describer.probe import ProbeSettings, _joined, _Pass, _result, probe
from describer.processes import Processes
from describer.responses import ResponseFile, Responses, Watch

N_IMAGES, UNITS, DIRECTIONS, HEIGHT, WIDTH = 29, 5, 3, 7, 11
JUDGING = tuple(range(1, N_IMAGES, 2))
BROKEN = (4, 9)


class Noise(Dataset[tuple[int, torch.Tensor | None]]):
    """Image i is made of i alone; two cannot be read."""

    def __len__(self) -> int:
        return N_IMAGES

    def __getitem__(self, index: int) -> tuple[int, torch.Tensor | None]:
        if index in BROKEN:
            return index, None
        return index, torch.randn(3, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(index))


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, UNITS, 1)
        self.head = nn.Linear(UNITS, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(torch.relu(self.conv(x)).amax((2, 3)))


@pytest.fixture
def net() -> Net:
    torch.manual_seed(3)
    return Net().eval()


def test_responses_are_those_of_one_image_after_the_other(net: Net, tmp_path: Path) -> None:
    watch = Watch(JUDGING, tmp_path, DIRECTIONS, seed=7)
    units = [0, 2, 3]
    result = probe(net, Noise(), ["conv", "head"], ProbeSettings(k=4, batch_size=3), {"conv": units}, watch=watch)
    responses = result.responses("conv")
    shown = [index for index in JUDGING if index not in BROKEN]
    assert responses.images.tolist() == shown and responses.unit_ids.tolist() == units
    assert responses.peaks.shape == (3, len(shown)) and responses.random_means.shape == (DIRECTIONS, len(shown))
    with torch.inference_mode():
        maps = [net.conv(Noise()[index][1]) for index in range(N_IMAGES) if index not in BROKEN]  # type: ignore[arg-type]
        ranked = [m for i, m in zip([i for i in range(N_IMAGES) if i not in BROKEN], maps, strict=True) if i % 2 == 0]
        judged = [m for i, m in zip([i for i in range(N_IMAGES) if i not in BROKEN], maps, strict=True) if i % 2]
    for row, unit in enumerate(units):
        for column, each in enumerate(judged):
            assert responses.peaks[row, column] == pytest.approx(float(each[unit].max()), abs=1e-5)
            assert responses.means[row, column] == pytest.approx(float(each[unit].mean()), abs=1e-5)
    every = torch.stack(ranked).transpose(0, 1).flatten(1)  # fewer than are measured: all images that give exemplars
    mean, deviation = every.mean(1), every.std(1, correction=0)
    layout = UnitLayout("maps", UNITS, HEIGHT, WIDTH)
    directions = random_directions("conv", layout, mean, deviation, DIRECTIONS, seed=7)
    for row in range(DIRECTIONS):
        unit_vector = directions.weights[row] * deviation
        assert float(unit_vector.norm()) == pytest.approx(1, abs=1e-4)
        for column, each in enumerate(judged):
            told = sum(unit_vector[u] * (each[u] - mean[u]) / deviation[u] for u in range(UNITS))
            assert responses.random_peaks[row, column] == pytest.approx(float(told.max()), abs=1e-3)  # type: ignore[union-attr]
            assert responses.random_means[row, column] == pytest.approx(float(told.mean()), abs=1e-3)  # type: ignore[union-attr]
    assert result.responses("head").peaks.shape == (2, len(shown))
    assert list(tmp_path.iterdir()) == []  # the rows have gone into the responses


def test_images_that_judge_give_no_exemplars(net: Net, tmp_path: Path) -> None:
    watch = Watch(JUDGING, tmp_path, DIRECTIONS)
    result = probe(net, Noise(), ["conv"], ProbeSettings(k=4, batch_size=3), watch=watch)
    for exemplars in (result.exemplars["conv"], result.random["conv"]):
        assert not set(exemplars.images.flatten().tolist()) & set(JUDGING)
    assert len(result.random["conv"]) == DIRECTIONS
    alone = probe(net, Noise(), ["conv"], ProbeSettings(k=4, batch_size=3))
    assert set(alone.exemplars["conv"].images.flatten().tolist()) & set(JUDGING)
    assert alone.random == {} and result.n_images == alone.n_images == N_IMAGES - len(BROKEN)


def test_directions_are_the_same_for_the_same_seed_and_others_for_another() -> None:
    layout, mean, deviation = UnitLayout("vector", UNITS, 1, 1), torch.zeros(UNITS), torch.ones(UNITS)
    deviation[2] = 0
    first, again = (random_directions("a", layout, mean, deviation, 7, seed=1) for _ in range(2))
    assert first == again and hash(first) == hash(again)
    assert first != random_directions("a", layout, mean, deviation, 7, seed=2)
    assert first != random_directions("b", layout, mean, deviation, 7, seed=1)
    assert bool((first.weights[:, 2] == 0).all())  # a constant unit takes no part
    assert first(torch.ones(2, UNITS)).shape == (2, 7, 1, 1)


def test_moments_are_those_of_all_values() -> None:
    parts = [torch.randn(n, UNITS, 2, 3, generator=torch.Generator().manual_seed(n)) + 5 for n in (3, 1, 4)]
    for part in parts:
        part[:, 1] = 0.1
    moments = Moments()
    for part in parts:
        moments.add(part)
    every = torch.cat(parts).double().transpose(0, 1).flatten(1)
    mean, deviation = moments.result()
    assert torch.allclose(mean.double(), every.mean(1), atol=1e-5)
    assert torch.allclose(deviation[2:].double(), every[2:].std(1, correction=0), atol=1e-5)
    assert deviation[1] == 0  # rounding makes no deviation


def test_saved_and_read_again(tmp_path: Path) -> None:
    values = torch.arange(10.0)
    kept = (values[:4].view(2, 2), values[4:8].view(2, 2), values[:6].view(3, 2), values[2:8].view(3, 2))
    responses = Responses("a.b", torch.tensor([3, 8]), torch.tensor([1, 5]), *kept)
    responses.save(tmp_path / "r.safetensors")
    read = Responses.load(tmp_path / "r.safetensors")
    assert read.layer == "a.b" and torch.equal(read.random_means, responses.random_means)
    assert read.rows(torch.tensor([8])).peaks.tolist() == [[2.0, 3.0]]
    (tmp_path / "x.safetensors").write_bytes(b"no")
    with pytest.raises(AtlasError, match="must hold responses"):
        Responses.load(tmp_path / "x.safetensors")


def test_activations_that_are_no_numbers(tmp_path: Path) -> None:
    file = ResponseFile(Watch((0,), tmp_path, 1), "conv")
    maps = torch.zeros(1, 2, 3, 5)
    maps[0, 1, 2, 3] = np.nan
    with pytest.raises(ActivationError, match="'conv' must give finite activations"):
        file.add(maps, torch.zeros(1, 1, 3, 5))
    file.close()


def test_the_shares_of_two_processes_are_what_one_sees(net: Net, tmp_path: Path) -> None:
    settings = ProbeSettings(k=4, batch_size=3)
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    alone = probe(net, Noise(), ["conv"], settings, watch=Watch(JUDGING, tmp_path / "one", DIRECTIONS))
    watch = Watch(JUDGING, tmp_path / "two", DIRECTIONS)
    passes = [_Pass(net, ["conv"], settings, None, N_IMAGES, watch) for _ in range(2)]
    for each in passes:
        each.measure(Noise(), Processes(0, 1))
    shares = [each.over(Noise(), Processes(index, 2), None) for index, each in enumerate(passes)]
    with torch.inference_mode():
        together = _result(_joined(shares), ["conv"], settings, N_IMAGES)
    assert all(images for images, _ in together.parts)  # both have judging images
    assert torch.equal(together.exemplars["conv"].images, alone.exemplars["conv"].images)
    assert torch.equal(together.random["conv"].images, alone.random["conv"].images)
    one, two = alone.responses("conv"), together.responses("conv")
    assert torch.equal(one.images, two.images)
    for name in ("peaks", "means", "random_peaks", "random_means"):
        assert torch.allclose(getattr(one, name), getattr(two, name), atol=1e-5)
