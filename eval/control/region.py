"""Where an edit acts, as the user says it: a mask file, or wherever the segmenter sees a class.

region_of("mask.png", before, segmenter)           # (height, width), white = 1
region_of("class:sky", before, segmenter)          # (samples, height, width), from the pictures before
"""

from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image
from torch import Tensor

from describer.area import laid
from describer.errors import ConceptsError, ImagesError
from describer.eval.control.segmenter import Labels, Segmenter


def region_of(
    told: str, pictures: UInt8[np.ndarray, "samples height width 3"], segmenter: Segmenter, labels: Labels | None = None
) -> Float[Tensor, "*samples height width"]:
    """The region in image coordinates, 0..1; ImagesError or ConceptsError for one that does not fit."""
    if told.startswith("class:"):
        concept = segmenter.concept(told.removeprefix("class:"))
        if concept is None:
            names = ", ".join(name for by_id in segmenter.names.values() for name in by_id if name)
            raise ConceptsError(f"class: must name a class of {segmenter.source}. Got {told!r}. It has: {names}.")
        present = segmenter.present(labels or segmenter.labels(pictures), concept)
        return torch.from_numpy(present.astype(np.float32))
    try:
        with Image.open(Path(told)) as picture:
            mask = torch.from_numpy(np.asarray(picture.convert("L"), np.float32) / 255)
    except OSError as fault:
        raise ImagesError(f"--where must be a mask picture or class:NAME. Got {told!r}: {fault}. Correct it.") from None
    height, width = pictures.shape[1:3]
    if mask.shape[0] * width != mask.shape[1] * height:
        message = f"A mask must have the aspect of the pictures, {width}x{height}"
        raise ImagesError(f"{message}. Got {mask.shape[1]}x{mask.shape[0]}. Crop it.")
    return laid(mask, (height, width))
