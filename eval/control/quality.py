"""How far drawn pictures lie from others of the same generator: the Fréchet distance, on the features of our captioner.

    features = PictureFeatures()
    frechet(features(edited), features(others))      # 0 for equal means and covariances

d² = |m₁ − m₂|² + tr(C₁ + C₂ − 2 (C₁ C₂)^½) (Heusel et al., NeurIPS 2017), on the spatial means of the backbone's
semantic level instead of Inception's. It grows as samples get fewer: compare only what has as many samples.
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image
from safetensors import safe_open

import describer

if TYPE_CHECKING:
    from describer.backbone import PyramidBackbone

CARRIED = Path(describer.__file__).parent / "weights" / "captioner"
PREFIX = "encoder.backbone."


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
