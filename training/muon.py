"""Muon: momentum, orthogonalised, for the filters of convolutions (Jordan 2024); AdamW for all else.

    optimizer = Muon(filters=[...], others=[...], rate=0.05)

Each step turns a filter's momentum, a matrix (out, in * h * w), into the nearest one whose singular values are all 1
(its polar factor) and moves the filter by ``rate`` of its own norm in that direction. The norm itself never changes:
before a batch norm it says nothing. The optimizers of the libraries iterate in bfloat16: seconds a filter on CPUs that
have none, where this takes hundredths.
"""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

MOMENTUM = 0.9
RATE, DECAY = 2e-3, 0.05
"Learning rate and weight decay of AdamW."
LEAST = 1e-6
"Singular values are told apart down to the root of this, as a share of the greatest."


def polar(matrix: Float[Tensor, "rows columns"]) -> Float[Tensor, "rows columns"]:
    """U V' of the matrix's U S V'; directions too weak to be told shrink to zero instead."""
    if matrix.shape[0] > matrix.shape[1]:
        return polar(matrix.T).T
    values, vectors = torch.linalg.eigh(matrix @ matrix.T)
    scale = (values.clamp_min(0) + LEAST * values[-1] + torch.finfo(values.dtype).tiny).rsqrt()
    return (vectors * scale) @ (vectors.T @ matrix)


class Muon(torch.optim.AdamW):
    """Filters by orthogonalised momentum, ``rate`` of their norm a step; others, the second group, by AdamW."""

    def __init__(self, filters: Iterable[nn.Parameter], others: Iterable[nn.Parameter], rate: float) -> None:
        groups: list[dict[str, Any]] = [{"params": list(filters), "lr": rate}, {"params": list(others)}]
        super().__init__(groups, RATE, weight_decay=DECAY)

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:  # type: ignore[override]
        """One step; the filters' gradients are gone after it."""
        group = self.param_groups[0]
        for weight in group["params"]:
            if weight.grad is None:
                continue
            state = self.state[weight]
            state.setdefault("step", torch.tensor(0.0))  # what is loaded into an AdamW must have one
            momentum = state.setdefault("momentum", torch.zeros_like(weight))
            norm = weight.norm()
            momentum.mul_(MOMENTUM).add_(weight.grad)
            ahead = weight.grad.add(momentum, alpha=MOMENTUM)  # Nesterov
            way = polar(ahead.flatten(1)).view_as(weight)
            weight.sub_(way * (group["lr"] * norm / way.norm().clamp_min(1e-12)))
            weight.mul_(norm / weight.norm())
            weight.grad = None  # AdamW passes over it
        return super().step(closure)
