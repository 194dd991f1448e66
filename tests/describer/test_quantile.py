"""Streaming quantiles: rank error on hostile streams, exactness, merging, and going on from a saved state."""

import numpy as np
import pytest
import torch

from describer import quantile as module
from describer.quantile import RANK_ERROR, StreamingQuantile

UNITS = 5


def streams(n, seed=0):
    """name -> (UNITS, n) float32; each unit another stream."""
    dice = np.random.default_rng(seed)
    normal = dice.standard_normal((UNITS, n))
    spiky = np.sort(normal, axis=1)  # ascending with rare spikes: the largest values lie scattered among smaller ones
    spiky[:, :: n // 97] = 50 + dice.random((UNITS, len(range(0, n, n // 97))))
    found = {
        "normal": normal,
        "ascending": np.sort(normal, axis=1),
        "descending": -np.sort(normal, axis=1),
        "spiky": spiky,
        "constant": np.full((UNITS, n), 3.0),
        "relu": np.maximum(normal - 1.0, 0),
        "almost all zero": np.maximum(normal - 3.0, 0),
        "heavy tail": dice.standard_cauchy((UNITS, n)) ** 3,
        "few values": dice.integers(0, 7, (UNITS, n)),
        "negative": -np.abs(normal),
        "unlike units": normal * 10.0 ** np.arange(-3, 2)[:, None] + np.arange(UNITS)[:, None],
    }
    return {name: torch.from_numpy(x.astype(np.float32)) for name, x in found.items()}


def rank_error(values, found, quantile):
    """Distance, as a share of the stream, of the quantile from the ranks that each found value takes."""
    worst = 0.0
    for row, value in zip(values.tolist(), found.tolist(), strict=True):
        below = sum(x < value for x in row) / len(row)
        up_to = sum(x <= value for x in row) / len(row)
        worst = max(worst, below - quantile, quantile - up_to)
    return worst


def fed(values, sizes, **options):
    levels = StreamingQuantile(len(values), values.shape[1], **options)
    start, turn = 0, 0
    while start < values.shape[1]:
        step = sizes[turn % len(sizes)]
        levels.add(values[:, start : start + step])
        start, turn = start + step, turn + 1
    return levels


NAMES = list(streams(1000))


@pytest.mark.parametrize("name", NAMES)
def test_exact_while_it_fits_whatever_the_batches(name):
    values = streams(20_011)[name]
    ordered = values.sort(1).values
    for sizes in [(20_011,), (997, 31), (5_003,)]:
        levels = fed(values, sizes)
        assert levels.weight == 1
        for quantile in (0.99, 0.995, 0.9999, 1.0):
            want = ordered[:, int(np.ceil(quantile * 20_011 - 1e-6)) - 1]
            assert torch.equal(levels.result(quantile), want), (sizes, quantile)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("lowest", "exact"), [(0.99, 64), (0.5, 1000), (0.0, 1000)])
def test_rank_error_when_it_does_not_fit(name, lowest, exact):
    n = 200_003
    values = streams(n, seed=3)[name]
    levels = fed(values, (4_001, 17, 12_007), lowest=lowest, exact=exact)
    assert levels.pool.shape[1] < n / 3
    asked = [q for q in (0.001, 0.25, 0.5, 0.9, 0.99, 0.995, 1.0) if q >= lowest]
    for quantile in asked:
        found = levels.result(quantile)
        below = (values < found[:, None]).double().mean(1)
        up_to = (values <= found[:, None]).double().mean(1)
        error = torch.maximum(below - quantile, quantile - up_to).max().item()
        assert error <= RANK_ERROR, (quantile, error, levels.weight)


def test_a_thinned_stream_is_really_thinned():
    assert StreamingQuantile(2, 39_000_000).weight > 1
    assert StreamingQuantile(2, 39_000_000).pool.shape[1] < 25_000


def test_rank_error_counts_by_plain_loops():
    values = torch.tensor([[1.0, 2.0, 2.0, 3.0]])
    assert rank_error(values, torch.tensor([2.0]), 0.5) == 0
    assert rank_error(values, torch.tensor([3.0]), 0.5) == pytest.approx(0.25)
    dice = torch.randn(UNITS, 3_001, generator=torch.Generator().manual_seed(0))
    assert rank_error(dice, fed(dice, (101,)).result(0.99), 0.99) == 0


def test_one_value():
    levels = StreamingQuantile(3, 1)
    levels.add(torch.tensor([[1.0], [-2.0], [0.0]]))
    assert levels.result(0.99).tolist() == [1.0, -2.0, 0.0] and levels.result(1.0).tolist() == [1.0, -2.0, 0.0]


def test_fewer_values_than_announced():
    values = streams(20_011)["normal"]
    levels = StreamingQuantile(UNITS, 30_000)
    levels.add(values)
    assert torch.equal(levels.result(0.99), values.sort(1).values[:, int(np.ceil(0.99 * 20_011)) - 1])


def test_no_units():
    levels = StreamingQuantile(0, 10)
    levels.add(torch.zeros(0, 10))
    assert levels.result(0.99).shape == (0,)


def test_maps_of_a_batch_are_the_same_stream():
    values = torch.randn(7, UNITS, 13, generator=torch.Generator().manual_seed(0))
    levels = StreamingQuantile(UNITS, 7 * 13, lowest=0.5)
    levels.add_maps(values[:3])
    levels.add_maps(values[3:])
    flat = values.transpose(0, 1).reshape(UNITS, -1).sort(1).values
    assert torch.equal(levels.result(0.75), flat[:, int(np.ceil(0.75 * 91)) - 1])


@pytest.mark.parametrize("exact", [16_384, 64])
@pytest.mark.parametrize("name", ["normal", "relu", "ascending"])
def test_merged_shares_are_the_whole(name, exact):
    values = streams(60_013)[name]
    parts = []
    for share in (values[:, :30_011], values[:, 30_011:40_009], values[:, 40_009:]):
        levels = StreamingQuantile(UNITS, 60_013, exact=exact)
        levels.add(share)
        parts.append(levels)
    before = parts[1].result(0.99)
    parts[0].merge(parts[1])
    parts[0].merge(parts[2])
    assert torch.equal(parts[1].result(0.99), before)
    assert parts[0].n_seen == 60_013
    assert rank_error(values, parts[0].result(0.99), 0.99) <= (0 if exact > 64 else RANK_ERROR)


@pytest.mark.parametrize("exact", [16_384, 64])
def test_goes_on_from_a_saved_state(exact):
    values = streams(60_013)["heavy tail"]
    whole, first = StreamingQuantile(UNITS, 60_013, exact=exact), StreamingQuantile(UNITS, 60_013, exact=exact)
    whole.add(values[:, :20_011])
    first.add(values[:, :20_011])
    second = StreamingQuantile(UNITS, 60_013, exact=exact)
    second.load_state_dict(first.state_dict())
    whole.add(values[:, 20_011:])
    second.add(values[:, 20_011:])
    assert torch.equal(second.result(0.99), whole.result(0.99)) and second.n_seen == 60_013


def test_the_paths_for_other_devices_agree():
    values = torch.randn(17, 13, generator=torch.Generator().manual_seed(0))
    bound = torch.linspace(-1, 1, 17)
    for rows in (torch.arange(17), torch.tensor([2, 3, 11])):
        values[[i for i in range(17) if i not in rows]] = -2.0
        found, row = module._above(values, bound, rows)
        slow, slow_row = module._above(values.double(), bound, rows)
        assert torch.equal(found, slow) and torch.equal(row, slow_row)
        places = [(i, j) for i in range(17) for j in range(13) if values[i, j] > bound[i]]
        assert row.tolist() == [i for i, _ in places] and found.tolist() == [values[i, j].item() for i, j in places]
    other = values.clone()
    assert torch.equal(module._first_least(other, 7), values.kthvalue(7, 1).values)
    assert torch.equal(other[:, :7].sort(1).values, values.sort(1).values[:, :7])
    assert torch.equal(module._sorted(values), values.sort(1).values)
