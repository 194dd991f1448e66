"""The ablation score: does the network work as well when a unit's activations are those that its description foretells?

    values = matched(simulated, real)                    # mean and spread of the unit's, scaled by their correlation
    losses = replaced_losses(model, "layer4", 3, inputs, classes, values)
    ablation_score(real_losses, losses, mean_losses)     # 1: as with the real ones; 0: as with the mean; below: worse

score = 1 - sum |L(simulated) - L| / sum |L(mean) - L| over images, L the cross-entropy at temperature 1.1 (Oikarinen &
Weng 2024, "Linear Explanations"). `matched` is their mean + deviation · r · z(simulated), the least-squares fit;
`fitted` finds scale and offset by gradient on other images than those that are scored:

    fit = fitted(model, "layer4", 3, validation, classes, simulated, real)
    losses = replaced_losses(model, "layer4", 3, inputs, classes, fit(simulated_for_inputs))
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from describer.errors import DescriberError
from describer.intervention import Edit, edited
from describer.layout import list_layers
from describer.statistics import pearson

TEMPERATURE = 1.1
STEPS, RATE, EVERY = 100, 0.01, 10
"Of Adam: steps and learning rate as published, and after how many steps the fit is tried on all images."


def ablation_score(
    real: Float[Tensor, " images"] | Float[np.ndarray, " images"],
    simulated: Float[Tensor, " images"] | Float[np.ndarray, " images"],
    mean: Float[Tensor, " images"] | Float[np.ndarray, " images"],
) -> float:
    """1 - sum |simulated - real| / sum |mean - real| of losses; 0 where the unit does not matter at all."""
    true, foretold, middle = (np.asarray(each, np.float64) for each in (real, simulated, mean))
    matter = float(np.abs(middle - true).sum())
    return 1 - float(np.abs(foretold - true).sum()) / matter if matter > 0 else 0.0


def matched(
    simulated: Float[np.ndarray, " images"], real: Float[np.ndarray, " images"]
) -> Float[np.ndarray, " images"]:
    """Simulated values on the unit's scale: mean + std · r · z; the mean everywhere where either never changes."""
    r = float(pearson(simulated[None], real[None])[0])
    z = simulated - simulated.mean()
    spread = float(z.std())
    return real.mean() + (real.std() * r * z / spread if r else 0.0 * z)


@dataclass(frozen=True)
class Fit:
    """scale · simulated + offset, on the unit's scale."""

    scale: float
    offset: float

    def __call__(self, simulated: Float[np.ndarray, " images"]) -> Float[np.ndarray, " images"]:
        return self.scale * simulated + self.offset


def fitted(
    model: nn.Module,
    layer: str,
    unit: int,
    inputs: Float[Tensor, "images 3 h w"],
    classes: Int64[Tensor, " images"],
    simulated: Float[np.ndarray, " images"],
    real: Float[np.ndarray, " images"],
    batch_size: int = 64,
) -> Fit:
    """The fit that changes the losses of these images least: mean |L(fit) - L|, by Adam from `matched` on ("optim").

    STEPS steps at RATE, a batch each; scale and offset are counted in deviations of the unit. The best fit over all
    images is kept, so that none is worse there than `matched`. The model's weights must not ask for gradients.
    """
    height, width = next((i.height, i.width) for i in list_layers(model, inputs[:1]) if i.name == layer)
    middle, spread = float(simulated.mean()), float(simulated.std()) or 1.0
    z = torch.from_numpy((simulated - middle) / spread).float()
    mean, deviation = float(real.mean()), float(real.std())
    wanted = replaced_losses(model, layer, unit, inputs, classes)
    batches = [each.split(batch_size) for each in (inputs, classes, z, wanted)]

    def off(fit: Tensor, x: Tensor, y: Tensor, told: Tensor, real_losses: Tensor) -> Float[Tensor, " batch"]:
        """|L(fit) - L| of every image."""
        values = mean + deviation * (fit[0] * told + fit[1])
        maps = values[:, None, None, None].expand(-1, 1, height, width)
        with edited(model, [Edit(layer, (unit,), "replace", maps)]):
            logits = model(x)
        return (nn.functional.cross_entropy(logits / TEMPERATURE, y, reduction="none") - real_losses).abs()

    def over_all(fit: Tensor) -> float:
        with torch.no_grad():
            return sum(float(off(fit, *batch).sum()) for batch in zip(*batches, strict=True))

    fit = torch.tensor([float(pearson(simulated[None], real[None])[0]), 0.0], requires_grad=True)
    adam, best, least = torch.optim.Adam([fit], RATE), fit.detach().clone(), over_all(fit)
    for step in range(STEPS):
        adam.zero_grad()
        off(fit, *(each[step % len(each)] for each in batches)).mean().backward()
        adam.step()
        if (step + 1) % EVERY == 0 and (now := over_all(fit)) < least:
            best, least = fit.detach().clone(), now
    scale = deviation * float(best[0]) / spread
    return Fit(scale, mean + deviation * float(best[1]) - scale * middle)


def replaced_losses(
    model: nn.Module,
    layer: str,
    unit: int,
    inputs: Float[Tensor, "images 3 h w"],
    classes: Int64[Tensor, " _"],
    values: Float[np.ndarray, " _"] | None = None,
    batch_size: int = 64,
) -> Float[Tensor, " images"]:
    """The classifier's losses with one unit set to one value an image at every place; as it is without values.

    DescriberError where there is not a class and a value for every image.
    """
    if len(classes) != len(inputs) or (values is not None and len(values) != len(inputs)):
        raise DescriberError(f"images must each have a class and a value. Got {len(inputs)} images. Align them.")
    found = []
    for start in range(0, len(inputs), batch_size):
        batch = inputs[start : start + batch_size]
        if values is None:
            logits = _logits(model, batch)
        else:
            own = torch.from_numpy(values[start : start + batch_size]).float()
            logits = torch.cat(
                [_set_to(model, layer, unit, image, float(value)) for image, value in zip(batch, own, strict=True)]
            )
        wanted = classes[start : start + batch_size]
        found.append(nn.functional.cross_entropy(logits / TEMPERATURE, wanted, reduction="none"))
    return torch.cat(found)


@torch.inference_mode()
def _logits(model: nn.Module, batch: Float[Tensor, "batch 3 h w"]) -> Float[Tensor, "batch classes"]:
    return model(batch)


def _set_to(
    model: nn.Module, layer: str, unit: int, image: Float[Tensor, "3 h w"], value: float
) -> Float[Tensor, "1 classes"]:
    with edited(model, [Edit(layer, (unit,), "set", value)]):
        return _logits(model, image[None])
