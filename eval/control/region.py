"""Where an edit acts, as the user says it: a mask file, or wherever the segmenter sees a class.

read_mask("mask.png")                              # (height, width), white = 1, black or transparent = 0
region_of("mask.png", before, segmenter)           # the same on the pictures' grid
region_of("class:sky", before, segmenter)          # (samples, height, width), from the pictures before
"""

import warnings
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image
from torch import Tensor

from describer.area import laid
from describer.data.decoding import rgb
from describer.errors import ConceptsError, ImagesError
from describer.eval.control.segmenter import Concept, Labels, Segmenter

CLASS = "class:"


def region_of(
    told: str, pictures: UInt8[np.ndarray, "samples height width 3"], segmenter: Segmenter, labels: Labels | None = None
) -> Float[Tensor, "*samples height width"]:
    """The region in image coordinates, 0..1; ImagesError or ConceptsError for one that does not fit or is empty."""
    concept = class_of(told, segmenter)
    if concept is not None:
        present = segmenter.present(labels or segmenter.labels(pictures), concept)
        if not present.any():
            name = segmenter.names[concept[0]][concept[1]]
            message = f"--where must find {name} in the samples. Got none in {len(present)} of them"
            raise ConceptsError(f"{message}. Measure more samples, or name another class.")
        return torch.from_numpy(present.astype(np.float32))
    mask, (height, width) = read_mask(Path(told)), pictures.shape[1:3]
    if mask.shape[0] * width != mask.shape[1] * height:
        message = f"A mask must have the aspect of the pictures, {width}x{height}"
        raise ImagesError(f"{message}. Got {mask.shape[1]}x{mask.shape[0]}. Crop it.")
    return laid(mask, (height, width))


def class_of(told: str, segmenter: Segmenter) -> Concept | None:
    """The class that class:NAME takes, None for a mask file; ConceptsError for a name that the segmenter has not."""
    if not told.startswith(CLASS):
        return None
    concept = segmenter.concept(told.removeprefix(CLASS))
    if concept is None:
        names = ", ".join(name for by_id in segmenter.names.values() for name in by_id if name)
        raise ConceptsError(f"class: must name a class of {segmenter.source}. Got {told!r}. It has: {names}.")
    return concept


def read_mask(path: Path) -> Float[Tensor, "height width"]:
    """The shares of a mask file; ImagesError for one that is no picture, too large or all black."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of large pictures; the largest are refused
            with Image.open(path) as picture:
                shares = shares_of(picture)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as fault:
        message = f"--where must be a mask picture or class:NAME. Got '{path}': {str(fault).rstrip('.')}"
        raise ImagesError(f"{message}. Correct it.") from None
    if not shares.any():
        raise ImagesError(f"A mask must be white where the edit acts. Got {path}, which is all black. Paint it.")
    return torch.from_numpy(shares)


def shares_of(mask: Image.Image) -> Float[np.ndarray, "height width"]:
    """How white every pixel is, 0..1; what is transparent counts as black, 16 bits are scaled."""
    if not mask.has_transparency_data:
        return np.asarray(rgb(mask).convert("L"), np.float32) / 255
    layer = mask.convert("RGBA")
    white, opaque = (np.asarray(each, np.float32) / 255 for each in (layer.convert("L"), layer.getchannel("A")))
    return white * opaque
