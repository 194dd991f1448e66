"""How far drawn pictures lie from others of the same generator: the Fréchet distance, on the features of our captioner.

    features = PictureFeatures()
    frechet(features(edited), features(others))      # 0 for equal means and covariances
    distances(before, edited, [random], others, features)     # all that an edit's report tells

d² = |m₁ − m₂|² + tr(C₁ + C₂ − 2 (C₁ C₂)^½) (Heusel et al., NeurIPS 2017), on the spatial means of the backbone's
semantic level instead of Inception's. It grows as samples get fewer: compare only what has as many samples.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image
from safetensors import safe_open

import describer
from describer.eval.control.interval import interval

if TYPE_CHECKING:
    from describer.backbone import PyramidBackbone

CARRIED = Path(describer.__file__).parent / "weights" / "captioner"
PREFIX = "encoder.backbone."
BOOTSTRAPS = 40
"Fréchet distances are slow: enough for a rough interval."
FAR = 0.2
"Growth, in spreads: units of the carried generator times 2 move its pictures by .15 or less, times 4 by .15 to .94."


class PictureFeatures:
    """Features of pictures; the carried captioner's backbone, without the captioner, which takes seconds to import."""

    def __init__(self, device: str = "cpu", batch_size: int = 32) -> None:
        self.backbone = carried_backbone().to(device)
        self.device, self.batch_size = device, batch_size

    @torch.inference_mode()
    def __call__(
        self, pictures: UInt8[np.ndarray, "pictures height width 3"]
    ) -> Float[np.ndarray, "pictures channels"]:
        """Spatial means of the semantic level, float64."""
        size, found = self.backbone.size, []
        for start in range(0, len(pictures), self.batch_size):
            part = pictures[start : start + self.batch_size]
            fine = [Image.fromarray(picture).resize((size, size), Image.Resampling.BICUBIC) for picture in part]
            pixels = torch.from_numpy(np.stack([np.asarray(picture, np.float32) for picture in fine]) / 255)
            level = self.backbone.learnt(pixels.permute(0, 3, 1, 2).to(self.device))[-1]
            found.append(level.mean((2, 3)).double().cpu().numpy())
        return np.concatenate(found)


def carried_backbone(folder: Path = CARRIED) -> "PyramidBackbone":
    """The backbone of the captioner in the folder, in eval mode."""
    from describer.backbone import PyramidBackbone  # takes seconds

    about = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    backbone = PyramidBackbone(**about["encoder"]["own"])
    with safe_open(folder / "model.safetensors", "pt") as file:
        names = [name for name in file.keys() if name.startswith(PREFIX)]  # noqa: SIM118
        backbone.load_state_dict({name.removeprefix(PREFIX): file.get_tensor(name).float() for name in names})
    return backbone.eval().requires_grad_(False)


def frechet(first: Float[np.ndarray, "n channels"], second: Float[np.ndarray, "m channels"]) -> float:
    """Squared Fréchet distance of two samples' normal distributions; covariances divide by the number of samples.

    The trace of (C₁ C₂)^½ is the sum of the singular values of X₁ X₂ᵀ / √(n m), X centred: no root of a matrix.
    """
    means = first.mean(0), second.mean(0)
    x, y = (first - means[0]) / np.sqrt(len(first)), (second - means[1]) / np.sqrt(len(second))
    common = np.linalg.svd(x @ y.T, compute_uv=False).sum()
    return float(max(((means[0] - means[1]) ** 2).sum() + (x**2).sum() + (y**2).sum() - 2 * common, 0.0))


def distances(
    before: UInt8[np.ndarray, "samples height width 3"],
    after: UInt8[np.ndarray, "samples height width 3"],
    rivals: Sequence[UInt8[np.ndarray, "samples height width 3"]],
    others: UInt8[np.ndarray, "samples height width 3"],
    features: PictureFeatures,
    seed: int = 0,
) -> dict[str, Any]:
    """Distances to other samples of the generator: unedited, edited, randomly edited; JSON.

    `spread` is the mean squared distance of the other samples from their mean.
    """
    reference, unedited, own = features(others), features(before), features(after)
    each = [features(rival) for rival in rivals]
    told: dict[str, Any] = {
        "before": frechet(unedited, reference),
        "after": frechet(own, reference),
        "random": float(np.mean([frechet(rival, reference) for rival in each])),
        "spread": float(reference.var(0).sum()),
    }
    dice, n = np.random.default_rng(seed), len(own)
    spread = []
    for _ in range(BOOTSTRAPS):
        rows, rival = dice.integers(0, n, n), each[dice.integers(0, len(each))]
        spread.append(frechet(own[rows], reference) - frechet(rival[rows], reference))
    told["after_beyond_random"] = interval(told["after"] - told["random"], np.array(spread))
    return told


def is_far(told: Mapping[str, Any]) -> bool:
    """Whether an edit has moved pictures far from what the generator draws, by its `distances`.

    Their growth is set against the spread, not against the distance before, which depends on how many samples are.
    """
    return bool(told["after"] - told["before"] > FAR * told["spread"])
