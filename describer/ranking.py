"""The strongest images of every unit, kept while a stream of images passes.

    ranking = Ranking(units=512, k=15, height=14, width=14)
    for images, maps in batches:                       # indices that grow, (batch, 512, 14, 14)
        ranking.add(images, maps.amax((2, 3)), maps)
    ranking.images, ranking.activations                # (512, 15), strongest first; equal ones by index
    ranking.ordered_maps()                             # (512, 15, 14, 14)

Only maps of images that enter a unit's ranking are copied; they stay where they were put (`slots` says where).
"""

import torch
from jaxtyping import Float, Int64
from torch import Tensor


class Ranking:
    """Top-k images of `units` units by their activations, with their maps; -1 where there are fewer than k."""

    def __init__(self, units: int, k: int, height: int, width: int, device: torch.device | str = "cpu"):
        self.k = k
        self.activations = torch.full((units, k), -torch.inf, device=device)
        self.images = torch.full((units, k), -1, device=device)
        self.slots = torch.arange(k, device=device).repeat(units, 1)
        self.maps = torch.zeros(units, k, height, width, device=device)

    def add(
        self,
        images: Int64[Tensor, " batch"],
        peaks: Float[Tensor, "batch units"],
        maps: Float[Tensor, "batch units height width"],
    ) -> None:
        """Takes images whose indices are above all earlier ones, so that the earlier of two equals stays ahead."""
        rows = (peaks > self.activations[:, -1]).any(0).nonzero()[:, 0]
        if len(rows) == 0:
            return
        pool = torch.cat((self.activations[rows], peaks[:, rows].T), 1)
        values, order = torch.sort(pool, dim=1, descending=True, stable=True)
        order = order[:, : self.k]  # (rows, k): below k an old place, above it an image of the batch
        numbers = torch.cat((self.images[rows], images.expand(len(rows), -1)), 1)
        slots, is_new = self._moved(self.slots[rows], order)
        self.activations[rows] = values[:, : self.k]
        self.images[rows] = numbers.gather(1, order)
        self.slots[rows] = slots
        row, place = is_new.nonzero(as_tuple=True)
        self.maps[rows[row], slots[row, place]] = maps[order[row, place] - self.k, rows[row]].float()

    def _moved(
        self, slots: Int64[Tensor, "rows k"], order: Int64[Tensor, "rows k"]
    ) -> tuple[Int64[Tensor, "rows k"], Tensor]:
        """Slots in the new order, new images getting those that fell out; and which are new."""
        is_new = order >= self.k
        stays = torch.zeros_like(order).scatter_add(1, order.clamp(max=self.k - 1), (~is_new).long())
        free = slots.gather(1, torch.argsort(stays, dim=1, stable=True))
        kept = slots.gather(1, order.clamp(max=self.k - 1))
        return torch.where(is_new, free.gather(1, (is_new.cumsum(1) - 1).clamp(min=0)), kept), is_new

    def ordered_maps(self) -> Float[Tensor, "units k height width"]:
        """The maps, strongest first."""
        return self.maps[torch.arange(len(self.slots), device=self.slots.device)[:, None], self.slots]

    def merge(self, other: "Ranking") -> None:
        """Takes over another share of the images; equal activations come in the order of the indices."""
        images = torch.cat((self.images, other.images), 1)
        by_image = torch.argsort(images, dim=1, stable=True)
        pool = torch.cat((self.activations, other.activations), 1).gather(1, by_image)
        values, by_value = torch.sort(pool, dim=1, descending=True, stable=True)
        order = by_image.gather(1, by_value)[:, : self.k]
        maps = torch.cat((self.ordered_maps(), other.ordered_maps()), 1)
        self.maps = maps[torch.arange(len(maps), device=maps.device)[:, None], order]
        self.activations, self.images = values[:, : self.k].contiguous(), images.gather(1, order)
        self.slots = torch.arange(self.k, device=maps.device).repeat(len(maps), 1)
