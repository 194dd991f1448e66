"""Masks on other grids, by the overlap of every cell with every pixel."""

import pytest
import torch

from describer.area import laid


def slow_laid(mask, size):
    """Overlap of every cell with every pixel."""
    height, width = size
    found = torch.zeros(height, width, dtype=torch.float64)
    h, w = mask.shape
    for i in range(height):
        for j in range(width):
            for p in range(h):
                for q in range(w):
                    down = max(0.0, min((i + 1) / height, (p + 1) / h) - max(i / height, p / h))
                    across = max(0.0, min((j + 1) / width, (q + 1) / w) - max(j / width, q / w))
                    found[i, j] += float(mask[p, q]) * down * across * height * width
    return found


@pytest.mark.parametrize(
    ("shape", "size"), [((13, 17), (5, 7)), ((5, 7), (13, 17)), ((4, 6), (2, 3)), ((1, 1), (3, 2))]
)
def test_masks_are_laid_by_overlap_both_ways(shape, size):
    mask = torch.rand(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(5))
    found = laid(mask, size)
    torch.testing.assert_close(found, slow_laid(mask, size), atol=1e-12, rtol=0)
    assert found.mean().item() == pytest.approx(mask.mean().item())


@pytest.mark.parametrize("step", [0, 1, 3])
def test_a_mask_that_moves_by_a_cell_moves_one_cell(step):
    mask = torch.zeros(28, 35)  # cells of 4x7 pixels on a grid of 7x5
    mask[4:8, 7:14] = 1
    moved = mask.roll((4 * step, 7), (0, 1))
    cells = torch.zeros(7, 5)
    cells[1 + step, 2] = 1
    assert torch.allclose(laid(moved, (7, 5)), cells, atol=1e-6)
    assert torch.allclose(laid(cells, (28, 35)), moved, atol=1e-6)  # and back
    half = laid(mask.roll(2, 0), (7, 5))
    assert half[1:3, 1].tolist() == pytest.approx([0.5, 0.5])
