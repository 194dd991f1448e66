"""Discriminants beside plain loops, and what they are for: what no unit minds is left out."""

import numpy as np
import pytest
import torch

from describer.discriminant import DIRECTIONS, SHRINKAGE, discriminants, standardised, told_apart

UNITS, K, FEATURES = 37, 11, 23


@pytest.fixture
def layer() -> tuple[torch.Tensor, torch.Tensor]:
    """Units that differ along two features; their exemplars differ most along a third."""
    dice = np.random.default_rng(3)
    features = dice.normal(size=(UNITS, K, FEATURES))
    features[:, :, :2] += 6 * dice.normal(size=(UNITS, 1, 2))
    features[:, :, 2] *= 40
    present = dice.random((UNITS, K)) < 0.9
    return torch.from_numpy(features).float(), torch.from_numpy(present)


def test_discriminants_maximise_spread_between_units_over_that_within(layer) -> None:
    features, present = layer
    rows, owner = standardised(features[present]).numpy(), torch.nonzero(present)[:, 0].numpy()
    found = discriminants(torch.from_numpy(rows), torch.from_numpy(owner)).numpy()
    assert found.shape == (len(rows), DIRECTIONS)
    within = np.zeros((FEATURES, FEATURES))
    means = {unit: rows[owner == unit].mean(0) for unit in set(owner.tolist())}
    for row, unit in zip(rows, owner.tolist(), strict=True):  # oracle
        within += np.outer(row - means[unit], row - means[unit])
    within /= len(rows) - len(means)
    within = (1 - SHRINKAGE) * within + SHRINKAGE * np.eye(FEATURES) * np.trace(within) / FEATURES
    middle = np.mean([*means.values()], 0)
    between = sum(np.outer(mean - middle, mean - middle) for mean in means.values())
    best = np.sort(np.linalg.eigvals(np.linalg.inv(within) @ between).real)[::-1][:DIRECTIONS]
    own = {unit: found[owner == unit].mean(0) for unit in means}
    spreads = sum((mean - np.mean([*own.values()], 0)) ** 2 for mean in own.values())
    np.testing.assert_allclose(spreads, best, rtol=1e-6)  # Rayleigh's quotients are the eigenvalues


def test_what_differs_within_units_only_is_left_out(layer) -> None:
    features, present = layer
    found = told_apart(features, present)
    lengths = found.norm(dim=2)
    torch.testing.assert_close(lengths, present.double())
    strongest = found[present].var(0).argmax()
    told = np.corrcoef(features[present][:, 2], found[present][:, strongest])[0, 1]
    assert abs(told) < 0.2


def test_few_units_keep_all_that_is_seen(layer) -> None:
    features, present = layer[0][:5], layer[1][:5]
    features[:, :, 7] = 4.0
    found = told_apart(features, present)
    assert found.shape == (5, K, FEATURES) and not found[:, :, 7].any()
    wanted = standardised(features[present])
    torch.testing.assert_close(found[present], wanted / wanted.norm(dim=1, keepdim=True))
    assert told_apart(features, torch.zeros_like(present)).abs().sum() == 0
