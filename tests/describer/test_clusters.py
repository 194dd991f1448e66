"""Clusters against plain loops, and how often chance splits what is one."""

from itertools import product

import numpy as np
import pytest
import torch

from describer.clusters import ClusterSettings, centres, chance_clouds, clusters_of, held_out_gain


def clouds(*sizes: int, apart: float = 6.0, dims: int = 17, seed: int = 0) -> torch.Tensor:
    """Points around as many centres, mixed as ranks are."""
    rng = np.random.default_rng(seed)
    points = [rng.standard_normal((n, dims)) + apart * np.eye(dims)[place] for place, n in enumerate(sizes)]
    return torch.from_numpy(np.concatenate(points)[rng.permutation(sum(sizes))])


def rng() -> torch.Generator:
    return torch.Generator().manual_seed(3)


def test_centres_are_those_of_the_best_split() -> None:
    points = clouds(4, 3, apart=3.0, dims=2)
    best = np.inf
    for labels in product((0, 1), repeat=len(points)):  # oracle: every split there is
        mode = np.array(labels)
        if 0 < mode.sum() < len(points):
            halves = [points.numpy()[mode == m] for m in (0, 1)]
            best = min(best, sum(((half - half.mean(0)) ** 2).sum() for half in halves))
    many = torch.stack((points + 5, points, -points))  # a cloud's centres are its own
    for cloud, found in zip(many, centres(many, 2, rng()), strict=True):
        squares = ((cloud[:, None] - found[None]) ** 2).sum(2).min(1).values
        assert float(squares.sum()) == pytest.approx(best)


def test_the_gain_is_that_of_points_left_out_one_by_one() -> None:
    cloud = clouds(9, 8, dims=3)
    before = after = 0.0
    for turn in (0, 1):  # oracle
        made, others = cloud[turn::2].numpy(), cloud[1 - turn :: 2].numpy()
        two = centres(torch.from_numpy(made)[None], 2, rng())[0].numpy()
        for point in others:
            before += sum((x - m) ** 2 for x, m in zip(point, made.mean(0), strict=True))
            after += min(sum((x - m) ** 2 for x, m in zip(point, centre, strict=True)) for centre in two)
    assert float(held_out_gain(cloud[None], 1, 2, rng())) == pytest.approx(1 - after / before)
    assert float(held_out_gain(torch.ones(1, 11, 5, dtype=torch.float64), 1, 2, rng())) == 0


def test_chance_has_the_centres_and_covariances_of_the_clusters() -> None:
    cloud = clouds(23, 19, dims=3) * torch.tensor([4.0, 1.0, 0.2])
    labels = (cloud[:, 0] > 12).long()
    drawn = chance_clouds(cloud, labels, 3000, rng())
    for label in (0, 1):
        own, theirs = cloud[labels == label], drawn[:, labels == label].flatten(0, 1)
        torch.testing.assert_close(theirs.mean(0), own.mean(0), atol=0.1, rtol=0)
        torch.testing.assert_close(theirs.T.cov(), own.T.cov(), atol=0.3, rtol=0.05)


@pytest.mark.parametrize(("sizes", "count"), [((41,), 1), ((23, 19), 2), ((17, 13, 11), 3), ((2,), 1), ((1,), 1)])
def test_as_many_as_there_are(sizes: tuple[int, ...], count: int) -> None:
    labels = clusters_of(clouds(*sizes))
    assert sorted(np.bincount(labels).tolist()) == sorted(sizes if count > 1 else [sum(sizes)])
    assert torch.equal(labels, clusters_of(clouds(*sizes)))  # nothing is left to chance but by its seed
    assert torch.equal(labels, clusters_of(clouds(*sizes).float() * 5 - 3))


def test_points_in_one_place_are_one_and_none_are_none() -> None:
    assert clusters_of(torch.full((11, 5), 0.1)).tolist() == [0] * 11
    assert clusters_of(torch.zeros(0, 5)).tolist() == []


def test_a_long_cloud_is_one_and_a_smaller_gain_is_two() -> None:
    """Two centres always explain a part of a long cloud: a fixed share of it, .15 once, splits what is one."""
    stretch = torch.ones(7, dtype=torch.float64)
    stretch[0] = 6.0
    split, gained = [], []
    for seed in range(23):
        long = clouds(43, dims=7, seed=seed) * stretch
        split.append(clusters_of(long, ClusterSettings(margin=2.0)).max() > 0)
        gained.append(float(held_out_gain(long[None], 1, 2, rng())))
    assert np.mean(np.array(gained) > 0.15) > 0.9  # the mistake: all of them would be split
    assert np.mean(split) <= 0.1
    two = clouds(23, 19, apart=4.0, dims=31)
    assert float(held_out_gain(two[None], 1, 2, rng())) < 0.25 and clusters_of(two).max() == 1
