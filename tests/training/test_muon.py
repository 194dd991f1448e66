"""Muon against the singular value decomposition, and against AdamW where it is AdamW."""

import pytest
import torch
from torch import nn

from describer.training.muon import DECAY, MOMENTUM, RATE, Muon, polar


@pytest.mark.parametrize("shape", [(5, 13), (13, 5), (7, 7)])
def test_the_polar_factor_is_that_of_the_singular_values(shape):
    torch.manual_seed(0)
    matrix = torch.randn(shape)
    u, _, v = torch.linalg.svd(matrix, full_matrices=False)
    torch.testing.assert_close(polar(matrix), u @ v, atol=2e-3, rtol=0)


def test_what_cannot_be_told_from_nothing_shrinks():
    torch.manual_seed(0)
    u, _, v = torch.linalg.svd(torch.randn(3, 7, dtype=torch.float64), full_matrices=False)
    found = torch.linalg.svdvals(polar(u @ torch.diag(torch.tensor([1.0, 1e-1, 1e-4]).double()) @ v))
    torch.testing.assert_close(found[:2], torch.ones(2).double(), atol=1e-3, rtol=0)
    assert found[2] == pytest.approx(1e-4 / (1e-8 + 1e-6) ** 0.5, rel=1e-3)
    assert torch.equal(polar(torch.zeros(3, 7)), torch.zeros(3, 7))


def test_filters_move_by_a_share_of_their_norm_along_the_polar_factor():
    torch.manual_seed(0)
    weight = nn.Parameter(torch.randn(5, 3, 2, 2))
    start, norm = weight.detach().clone(), weight.detach().norm()
    optimizer = Muon([weight], [], rate=0.1)
    momentum = torch.zeros(5, 12)
    for gradient in torch.randn(3, 5, 3, 2, 2):
        weight.grad = gradient.clone()
        optimizer.step()
        flat = gradient.flatten(1)
        momentum = MOMENTUM * momentum + flat
        u, _, v = torch.linalg.svd(flat + MOMENTUM * momentum, full_matrices=False)
        start = start - 0.1 * norm * ((u @ v) / (u @ v).norm()).view_as(start)
        start = start * norm / start.norm()
        torch.testing.assert_close(weight.detach(), start, atol=2e-3, rtol=0)
        assert weight.grad is None
    assert float(weight.detach().norm()) == pytest.approx(float(norm), rel=1e-5)


def test_all_else_moves_as_by_adamw():
    torch.manual_seed(0)
    mine, filters = nn.Parameter(torch.randn(7)), nn.Parameter(torch.randn(3, 2, 1, 1))
    theirs = nn.Parameter(mine.detach().clone())
    optimizer = Muon([filters], [mine], rate=0.1)
    other = torch.optim.AdamW([theirs], RATE, weight_decay=DECAY)
    for gradient in torch.randn(5, 7):
        mine.grad, theirs.grad = gradient.clone(), gradient.clone()
        filters.grad = torch.randn(3, 2, 1, 1)
        optimizer.step()
        other.step()
    assert torch.equal(mine, theirs)


def test_a_state_that_was_kept_goes_on_as_if_unbroken():
    torch.manual_seed(0)
    gradients = torch.randn(4, 5, 3, 2, 2)
    weights = [nn.Parameter(torch.ones(5, 3, 2, 2)) for _ in range(2)]
    unbroken, broken = (Muon([weight], [], rate=0.1) for weight in weights)
    for index, gradient in enumerate(gradients):
        if index == 2:
            kept, broken = broken.state_dict(), Muon([weights[1]], [], rate=0.1)
            broken.load_state_dict(kept)
        for weight, optimizer in zip(weights, (unbroken, broken), strict=True):
            weight.grad = gradient.clone()
            optimizer.step()
    assert torch.equal(*weights)
