"""How many clusters points fall into, where a single wide cluster must not count as several.

    labels = clusters_of(points, ClusterSettings(most=3))      # (points,) 0 … n - 1

Any cloud is better told by two centres than by one, also on points left out, and a long one much better. So a further
cluster has to gain more on points left out than it does on clouds of chance: Gaussians with the centres and covariances
of the clusters there are already (the null of SigClust, Liu et al. 2008; the yardstick of Tibshirani et al. 2001).
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Float64, Int64
from torch import Generator, Tensor

ROUNDS, STARTS = 10, 3
"Of k-means: rounds of moving centres, and starts of which the best is kept."
TURNS = 5
"Ways of cutting the points in halves, over which the gain is averaged."
FEWEST = 4
"Points a cluster, of which each half must tell two from one."

Clouds = Float64[Tensor, "clouds points dims"]


@dataclass(frozen=True)
class ClusterSettings:
    """When points fall into several clusters."""

    most: int = 3
    "clusters"
    margin: float = 1.1
    "deviations of the gains of chance by which a gain must exceed their mean"
    draws: int = 40
    "clouds of chance"
    seed: int = 0
    "of the starts, the halves and chance"


def clusters_of(points: Float[Tensor, "points dims"], settings: ClusterSettings | None = None) -> Int64[Tensor, " _"]:
    """The cluster of every point, 0 … n - 1, n as large as pays on points that were left out.

    What two centres do not tell three may: of three clusters as far from one another two centres find no two.
    """
    settings = settings or ClusterSettings()
    rng, cloud = Generator().manual_seed(settings.seed), _flattened(points)
    labels, count = torch.zeros(len(points), dtype=torch.int64), 1
    if cloud.shape[1] == 0:
        return labels  # all points in one place
    for more in range(2, min(settings.most, len(points) // FEWEST) + 1):
        gain = held_out_gain(_shuffled(cloud, rng), count, more, rng).mean()
        chance = held_out_gain(chance_clouds(cloud, labels, settings.draws, rng), count, more, rng)
        if gain > chance.mean() + settings.margin * chance.std():
            count, labels = more, nearest(cloud[None], centres(cloud[None], more, rng))[0]
    return labels


def held_out_gain(clouds: Clouds, count: int, more: int, rng: Generator) -> Float64[Tensor, " clouds"]:
    """The share of what `count` centres leave unexplained that `more` explain, on points left out; at most 1.

    Every second point makes the centres for the others, and the other way round.
    """
    left = [torch.zeros(len(clouds), dtype=torch.float64) for _ in range(2)]
    for turn in (0, 1):
        made, others = clouds[:, turn::2], clouds[:, 1 - turn :: 2]
        for place, n in enumerate((count, more)):
            left[place] += _squares(others, centres(made, n, rng)).amin(2).sum(1)
    return torch.where(left[0] > 0, 1 - left[1] / left[0], 0.0)


def chance_clouds(
    cloud: Float64[Tensor, "points dims"], labels: Int64[Tensor, " points"], draws: int, rng: Generator
) -> Float64[Tensor, "draws points dims"]:
    """As many points as each cluster has, drawn from the Gaussian of its centre and covariance."""
    drawn = cloud.expand(draws, *cloud.shape).clone()
    for label in labels.unique():
        own = labels == label
        centre, n = cloud[own].mean(0), int(own.sum())
        mixing = torch.randn(draws, n, n, generator=rng, dtype=torch.float64) / max(n - 1, 1) ** 0.5
        drawn[:, own] = centre + mixing @ (cloud[own] - centre)
    return drawn


def centres(clouds: Clouds, count: int, rng: Generator) -> Float64[Tensor, "clouds count dims"]:
    """k-means (Lloyd 1982) of every cloud from k-means++ starts (Arthur & Vassilvitskii 2007), the best of STARTS."""
    if count == 1:
        return clouds.mean(1, keepdim=True)
    n_clouds, n_points, _ = clouds.shape
    every = clouds.repeat(STARTS, 1, 1)  # (starts * clouds, points, dims)
    rows = torch.arange(len(every))
    found = every[rows, torch.randint(n_points, (len(every),), generator=rng)][:, None]
    while found.shape[1] < count:
        far = _squares(every, found).amin(2) + 1e-12
        found = torch.cat((found, every[rows, torch.multinomial(far, 1, generator=rng)[:, 0]][:, None]), 1)
    for _ in range(ROUNDS):
        member = torch.nn.functional.one_hot(nearest(every, found), count).double()
        size = member.sum(1)[..., None]
        found = torch.where(size > 0, member.transpose(1, 2) @ every / size.clamp(min=1), found)
    left = _squares(every, found).amin(2).sum(1).view(STARTS, n_clouds)
    return found.unflatten(0, (STARTS, n_clouds))[left.argmin(0), torch.arange(n_clouds)]


def nearest(clouds: Clouds, found: Float64[Tensor, "clouds count dims"]) -> Int64[Tensor, "clouds points"]:
    """The centre that lies nearest to every point."""
    return _squares(clouds, found).argmin(2)


def _squares(clouds: Tensor, found: Tensor) -> Float64[Tensor, "clouds points count"]:
    squares = clouds.square().sum(2, keepdim=True) + found.square().sum(2)[:, None]
    return (squares - 2 * clouds @ found.transpose(1, 2)).clamp(min=0)


def _flattened(points: Float[Tensor, "points dims"]) -> Float64[Tensor, "points rank"]:
    """The same distances in as many dimensions as the points span; none where they lie in one place."""
    cloud = points.double() - points.double().mean(0)
    if not len(cloud) or float(cloud.square().sum()) <= 1e-18 * float(points.double().square().sum()):
        return cloud[:, :0]
    left, values, _ = torch.linalg.svd(cloud, full_matrices=False)
    spans = values > 1e-9 * values[0]
    return left[:, spans] * values[spans]


def _shuffled(cloud: Float64[Tensor, "points dims"], rng: Generator) -> Float64[Tensor, "turns points dims"]:
    return torch.stack([cloud[torch.randperm(len(cloud), generator=rng)] for _ in range(TURNS)])
