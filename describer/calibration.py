"""From a cosine to a probability: sigmoid(scale * (cosine + bias)), fitted to what people said (metrics: simulation).

calibration = Calibration.fitted(cosines, truth)      # (pairs,) cosines and (pairs,) True where the text is true
calibration.probability(cosines)                      # in 0..1
calibration_error(calibration.probability(cosines), truth)
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from describer.errors import DescriberError


@dataclass(frozen=True)
class Calibration:
    """The two numbers of Oikarinen & Weng's simulation (Linear Explanations 2024): alpha and beta there."""

    scale: float
    "how much a cosine counts, in nats; positive"
    bias: float
    "added to the cosine: minus the cosine at which a text is as likely true as not"

    def probability(self, cosines: Float[Tensor, "*pairs"]) -> Float[Tensor, "*pairs"]:
        """Probability that the text is true of the picture."""
        return torch.sigmoid(self.scale * (cosines + self.bias))

    @classmethod
    def fitted(cls, cosines: Float[Tensor, " pairs"], truth: Bool[Tensor, " pairs"], steps: int = 100) -> "Calibration":
        """The two numbers of least binary cross-entropy, by Newton's method (Platt 1999, with his soft targets).

        DescriberError unless both true and false pairs are given, and the true ones have higher cosines.
        """
        n_true, n_false = int(truth.sum()), int((~truth).sum())
        if not n_true or not n_false:
            raise DescriberError(f"pairs must be true and false ones. Got {n_true} and {n_false}. Give more pairs.")
        x = cosines.double()
        target = torch.where(truth, (n_true + 1) / (n_true + 2), 1 / (n_false + 2)).double()
        slope, offset = x.new_tensor(1.0), x.new_tensor(n_true / n_false).log()
        for _ in range(steps):
            slope, offset, moved = _newton(x, target, slope, offset)
            if moved < 1e-10:
                break
        if not slope > 0:
            raise DescriberError(
                f"true pairs must have higher cosines than false ones. Got a slope of {float(slope):.3g}. "
                "Calibrate a trained listener."
            )
        return cls(float(slope), float(offset / slope))


def _newton(x: Tensor, target: Tensor, slope: Tensor, offset: Tensor) -> tuple[Tensor, Tensor, float]:
    """One step, halved until the loss does not rise; the last number is how far it went."""
    p = torch.sigmoid(slope * x + offset)
    rest, spread = p - target, (p * (1 - p)).clamp_min(1e-12)
    gradient = torch.stack([(rest * x).sum(), rest.sum()])
    cross = (spread * x).sum()
    curvature = torch.stack([torch.stack([(spread * x * x).sum(), cross]), torch.stack([cross, spread.sum()])])
    step = torch.linalg.solve(curvature + 1e-9 * torch.eye(2, dtype=x.dtype), gradient)
    before = _loss(x, target, slope, offset)
    for _ in range(30):
        if _loss(x, target, slope - step[0], offset - step[1]) <= before:
            break
        step = step / 2
    return slope - step[0], offset - step[1], float(step.abs().max())


def _loss(x: Tensor, target: Tensor, slope: Tensor, offset: Tensor) -> Tensor:
    return torch.nn.functional.binary_cross_entropy_with_logits(slope * x + offset, target, reduction="sum")


def calibration_error(probability: Float[Tensor, " pairs"], truth: Bool[Tensor, " pairs"], n_bins: int = 15) -> float:
    """Expected calibration error, 0..1: mean distance of said and found share over bins of equally many pairs.

    Nguyen & O'Connor 2015: bins of equal width would put almost all pairs, which are false, into the first.
    """
    order = probability.argsort(stable=True)
    parts = [part for part in order.tensor_split(n_bins) if len(part)]
    apart = [(probability[p].double().mean() - truth[p].double().mean()).abs() * len(p) for p in parts]
    return float(sum(apart, torch.zeros((), dtype=torch.float64)) / max(len(order), 1))
