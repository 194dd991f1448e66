"""Streaming rankings against a sort of everything: ties, shares, and maps that follow their images."""

import pytest
import torch

from describer.ranking import Ranking

UNITS, HEIGHT, WIDTH = 7, 3, 5


def stream(n, levels, seed=0):
    """(n, UNITS, HEIGHT, WIDTH) maps with `levels` different values, so that few levels give many ties."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, levels, (n, UNITS, HEIGHT, WIDTH), generator=generator).float() - levels // 2


def by_loops(maps, k):
    """Images, activations and maps of each unit: highest first, equal ones by index."""
    images = []
    for unit in range(UNITS):
        peaks = [maps[i, unit].max().item() for i in range(len(maps))]
        images.append(sorted(range(len(maps)), key=lambda i, peaks=peaks: (-peaks[i], i))[:k])
    images = torch.tensor(images)
    found = torch.stack([maps[images[unit], unit] for unit in range(UNITS)])
    return images, found.amax((2, 3)), found


def ranked(maps, numbers, k, sizes):
    ranking = Ranking(UNITS, k, HEIGHT, WIDTH)
    start, turn = 0, 0
    while start < len(maps):
        part = slice(start, start + sizes[turn % len(sizes)])
        ranking.add(numbers[part], maps[part].amax((2, 3)), maps[part])
        start, turn = part.stop, turn + 1
    return ranking


@pytest.mark.parametrize("k", [1, 2, 11])
@pytest.mark.parametrize("levels", [2, 5, 10_000])
@pytest.mark.parametrize("sizes", [(1,), (13,), (97,), (2, 17)])
def test_against_a_sort_of_everything(k, levels, sizes):
    maps = stream(97, levels)
    ranking = ranked(maps, torch.arange(97), k, sizes)
    images, activations, found = by_loops(maps, k)
    assert torch.equal(ranking.images, images) and torch.equal(ranking.activations, activations)
    assert torch.equal(ranking.ordered_maps(), found)


@pytest.mark.parametrize("levels", [2, 5, 10_000])
def test_merged_shares_are_the_whole(levels):
    maps, numbers = stream(97, levels), torch.arange(97)
    shares = [ranked(maps[i::3], numbers[i::3], 11, (7,)) for i in range(3)]
    shares[2].merge(shares[0])
    shares[2].merge(shares[1])
    images, activations, found = by_loops(maps, 11)
    assert torch.equal(shares[2].images, images) and torch.equal(shares[2].activations, activations)
    assert torch.equal(shares[2].ordered_maps(), found)


def test_fewer_images_than_k():
    maps = stream(2, 100)
    ranking = ranked(maps, torch.arange(2), 5, (1,))
    assert (ranking.images[:, 2:] == -1).all() and (ranking.images[:, :2] >= 0).all()
    other = ranked(maps, torch.tensor([2, 3]), 5, (2,))
    ranking.merge(other)
    assert (ranking.images[:, 4] == -1).all() and ranking.images[:, :4].sort(1).values.tolist() == [
        [0, 1, 2, 3]
    ] * UNITS


def test_no_units():
    ranking = Ranking(0, 5, 2, 3)
    ranking.add(torch.arange(3), torch.zeros(3, 0), torch.zeros(3, 0, 2, 3))
    assert ranking.ordered_maps().shape == (0, 5, 2, 3)
