"""How high units stand, by plain loops."""

import pytest
import torch
from torch import nn

from describer.errors import ActivationError
from describer.levels import activations, present_means, quantile_levels


def maps(seed, shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def net():
    torch.manual_seed(2)
    return nn.Sequential(nn.Conv2d(5, 7, 3, padding=1), nn.Tanh(), nn.Conv2d(7, 2, 3, padding=1))


@pytest.fixture
def x():
    return maps(1, (3, 5, 11, 11))


def test_levels_of_units(net, x):
    units, layer = [5, 1], "1"
    rows = net[:2](x)[:, units].transpose(0, 1).flatten(1)
    for quantile in (0.0, 0.5, 0.99, 1.0):
        found = quantile_levels(net, x.split(2), layer, units, quantile)
        for level, row in zip(found.tolist(), rows.tolist(), strict=True):
            least = min(v for v in row if sum(u <= v for u in row) >= quantile * len(row))
            assert level == pytest.approx(least)
    with pytest.raises(ActivationError):
        quantile_levels(net, [], layer, units, 0.5)
    with pytest.raises(ActivationError):
        quantile_levels(net, [x], layer, units, 99.0)


def test_what_follows_in_place_does_not_change_the_maps(x):
    torch.manual_seed(3)
    net = nn.Sequential(nn.Conv2d(5, 7, 3), nn.ReLU(inplace=True), nn.Conv2d(7, 2, 3)).requires_grad_(False)
    (maps,) = activations(net, [x], "0")
    assert torch.equal(maps, net[0](x)) and (maps < 0).any()


def test_means_where_something_is_present():
    units, present = maps(3, (2, 3, 5, 7)), torch.zeros(2, 10, 14)
    present[1, 2:4, 4:6], present[0, 0, 0] = 1, 1  # one cell, and a quarter of another
    wanted = (units[1, :, 1, 2] + 0.25 * units[0, :, 0, 0]) / 1.25
    assert torch.allclose(present_means(units, present), wanted, atol=1e-6)
    assert not present_means(units, present * 0).any()
