"""`edit --optimize`: units found by what they do to a concept, not by what is said of them.

    learned = ace(target, "layer2", likeness, levels, AcePlan(insert=False))
    learned.alphas                    # (units,) 0..1, how much each takes part
    learned.objective[-1]             # what was minimised

The optimised average causal effect of GAN Dissection (Bau et al., ICLR 2019, eq. 5 to 7), with r the layer's maps, P
some of its places, k levels and s the share of the concept in a picture, over latents z and places P:

    x_a = f((1 - a) r on P, r elsewhere)      x_i = f(a k + (1 - a) r on P, r elsewhere)
    a* = argmin  -(E s(x_i) - E s(x_a)) / b + penalty |a|_2        a in [0, 1], clamped after each step of Adam

To cut units, x itself stands for x_i. b = max(E s(x), .01) makes the penalty a share of what the samples have.
P is a random rectangle, half of each side or more, another for every sample and step.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from describer.data.latents import draw_latent
from describer.data.targets import Target
from describer.errors import DescriberError, TargetError
from describer.eval.control.drawing import pixel_range
from describer.intervention import Edit, edited
from describer.layout import run
from describer.levels import activations

LEAST = 0.01
"Least share by which effects are divided."
Scores = Callable[[Float[Tensor, "batch 3 height width"]], Float[Tensor, "batch h w"]]


@dataclass(frozen=True)
class AcePlan:
    """How weights are learned."""

    insert: bool = False
    "whether units are raised to their levels; else they are cut"
    penalty: float = 0.1
    "of the norm of the weights"
    steps: int = 80
    batch_size: int = 8
    rate: float = 0.1
    "of Adam"
    start: float = 0.3
    "every weight at first"
    seed: int = 0
    "of latents and places"

    def __post_init__(self) -> None:
        if min(self.steps, self.batch_size) < 1 or self.penalty < 0 or not 0 < self.start <= 1:
            raise DescriberError("steps and batch_size must be 1 or more, penalty 0 or more. Got others. Correct them.")


@dataclass(frozen=True, eq=False)
class Learned:
    """What was learned of one layer."""

    alphas: Float[Tensor, " units"]
    objective: tuple[float, ...]
    "step by step, each on other latents"


def ace(
    target: Target,
    layer: str,
    likeness: Scores,
    levels: Float[Tensor, " units"],
    plan: AcePlan,
    progress: Callable[[int, int], None] | None = None,
) -> Learned:
    """The weights of the layer's units; TargetError where the objective is not finite."""
    device = next((p.device for p in target.model.parameters()), torch.device("cpu"))
    alphas = torch.full((len(levels),), plan.start, device=device, requires_grad=True)
    optimiser, dice = torch.optim.Adam([alphas], plan.rate), np.random.default_rng(plan.seed)
    found = []
    for step in range(plan.steps):
        first = step * plan.batch_size
        numbers = range(first, first + plan.batch_size)
        latents = torch.stack([draw_latent(plan.seed, i, target.input_shape) for i in numbers]).to(device)
        (seen,) = activations(target.model, [latents], layer)
        maps = seen.clone()  # what was seen in inference mode cannot be differentiated
        places = rectangles(len(maps), (maps.shape[2], maps.shape[3]), dice).to(maps)
        with torch.enable_grad():
            loss = objective(target, layer, likeness, latents, maps, places, alphas, levels.to(maps), plan)
            (slope,) = torch.autograd.grad(loss, alphas)
        found.append(float(loss.detach()))
        if not bool(torch.isfinite(slope).all()):
            raise TargetError(f"{target.name} must have finite slopes at {layer}. Got others. Choose another layer.")
        if not bool(alphas.any()) and float(slope.norm()) <= plan.penalty:
            break  # at 0 the norm has every slope up to the penalty: no unit is worth it
        alphas.grad = slope
        optimiser.step()
        with torch.no_grad():
            alphas.clamp_(0, 1)
        if progress:
            progress(step + 1, plan.steps)
    return Learned(alphas.detach().cpu(), tuple(found))


def objective(
    target: Target,
    layer: str,
    likeness: Scores,
    latents: Float[Tensor, "batch *latent"],
    maps: Float[Tensor, "batch units h w"],
    places: Float[Tensor, "batch h w"],
    alphas: Float[Tensor, " units"],
    levels: Float[Tensor, " units"],
    plan: AcePlan,
) -> Float[Tensor, ""]:
    """What is minimised, on these latents and places (1 inside P)."""
    weight = alphas[:, None, None] * places[:, None]  # (batch, units, h, w)
    cut = (1 - weight) * maps
    with torch.no_grad():
        plain = likeness(drawn(target, latents, [])).mean()
    without = likeness(drawn(target, latents, [_replaced(layer, cut)])).mean()
    if plan.insert:
        raised = cut + weight * levels[:, None, None]
        most = likeness(drawn(target, latents, [_replaced(layer, raised)])).mean()
    else:
        most = plain
    return -(most - without) / plain.clamp_min(LEAST) + plan.penalty * alphas.norm()


def drawn(target: Target, latents: Tensor, edits: list[Edit]) -> Float[Tensor, "batch 3 height width"]:
    """Pictures in 0..1, not rounded, so that slopes go through."""
    with edited(target.model, edits, target.input_shape):
        pictures = run(target.model, latents)
    low, high = pixel_range(target.model)
    return ((pictures.float() - low) / (high - low)).clamp(0, 1).expand(-1, 3, -1, -1)


def rectangles(number: int, size: tuple[int, int], dice: np.random.Generator) -> Float[Tensor, "number h w"]:
    """Random rectangles, 1 inside, with sides of half the map or more."""
    places = torch.zeros(number, *size)
    for place in places:
        sides = [int(dice.integers((side + 1) // 2, side + 1)) for side in size]
        top, left = (int(dice.integers(0, side - own + 1)) for side, own in zip(size, sides, strict=True))
        place[top : top + sides[0], left : left + sides[1]] = 1
    return places


def _replaced(layer: str, maps: Float[Tensor, "batch units h w"]) -> Edit:
    return Edit(layer, tuple(range(maps.shape[1])), "replace", maps)
