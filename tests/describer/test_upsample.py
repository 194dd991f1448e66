"""Enlarged maps: both paddings against plain loops, and the published border fault."""

import pytest
import torch

from describer.upsample import upsample


def sample(grid, y, x, padding):
    """Bilinear value of a list of lists at (y, x), beyond the rim by `padding`."""
    total = 0.0
    for row in (int(y // 1), int(y // 1) + 1):
        for column in (int(x // 1), int(x // 1) + 1):
            weight = (1 - abs(y - row)) * (1 - abs(x - column))
            inside = 0 <= row < len(grid) and 0 <= column < len(grid[0])
            if padding == "border":
                value = grid[min(max(row, 0), len(grid) - 1)][min(max(column, 0), len(grid[0]) - 1)]
            else:
                value = grid[row][column] if inside else 0.0
            total += weight * value
    return total


@pytest.mark.parametrize("padding", ["border", "zeros"])
@pytest.mark.parametrize("shape", [(5, 7), (1, 3), (1, 1)])
def test_against_plain_loops(padding, shape):
    maps = torch.randn(2, 3, *shape, generator=torch.Generator().manual_seed(0))
    fine = upsample(maps, (11, 17), padding)
    assert fine.shape == (2, 3, 11, 17)
    for unit in range(2):
        for rank in range(3):
            grid = maps[unit, rank].tolist()
            for i in range(11):
                for j in range(17):
                    y, x = (i + 0.5) * shape[0] / 11 - 0.5, (j + 0.5) * shape[1] / 17 - 0.5
                    want = sample(grid, y, x, padding)
                    assert fine[unit, rank, i, j].item() == pytest.approx(want, abs=1e-5)


def test_zero_padding_pulls_a_constant_map_down_as_published():
    fine = upsample(torch.ones(7, 7), 224, "zeros")
    assert fine[0, 0].item() == pytest.approx(0.27, abs=0.005)
    assert fine[0, 112].item() == pytest.approx(0.52, abs=0.005)
    assert (fine < 1 - 1e-4).float().mean().item() == pytest.approx(0.265, abs=0.001)


def test_border_padding_keeps_a_constant_map():
    assert torch.equal(upsample(torch.ones(7, 7), 224), torch.ones(224, 224))


def test_half_precision_comes_out_as_float32():
    assert upsample(torch.ones(2, 3, 3, dtype=torch.float16), 5).dtype == torch.float32


def test_no_maps():
    assert upsample(torch.zeros(0, 3, 7, 7), 11).shape == (0, 3, 11, 11)
