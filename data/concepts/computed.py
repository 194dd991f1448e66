"""Labels that are computed from the pictures themselves: `colors`, `carried:segmenter` and `hf-seg:MODEL`.

    ColorConcepts(images).labels(7)                          # the basic colour term of every pixel
    CarriedConcepts(images).labels(7)                        # object, part and material, for drawn scenes
    SegmentedConcepts("hf-seg:folder", images).labels(7)     # what a segmentation model sees

Colour terms are the eleven of Berlin & Kay (1969), category "color". A model of Hugging Face labels pixels by the class
with the highest logit, category "object": as with all machine-made labels, no more is true than the model knows.
"""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL.Image import Image

from describer.data.concepts.labels import ConceptSet, ImageLabels, checked_names
from describer.data.images import ImageSet
from describer.data.scenes.palette import COLOR_TERMS, PROTOTYPES, name_colors
from describer.errors import WeightsError
from describer.scenesegmenter import carried_segmenter

CARRIED = "carried:segmenter"
BACKGROUND = ("background", "null", "unlabeled", "void")
"Classes of a model that say that there is none."


class ColorConcepts(ConceptSet):
    """Every pixel's colour term, for any pictures."""

    def __init__(self, images: ImageSet):
        self.source, self.images = "colors", images
        self.names = {"color": COLOR_TERMS}

    def _read(self, index: int) -> ImageLabels:
        return ImageLabels({"color": (name_colors(np.asarray(self.images.image(index))),)})

    def _digest(self) -> str:
        return str(PROTOTYPES)


class CarriedConcepts(ConceptSet):
    """What the carried segmenter sees in pictures that look like drawn scenes."""

    def __init__(self, images: ImageSet, device: str | torch.device = "cpu"):
        self.source, self.images = CARRIED, images
        self.model = carried_segmenter().to(device)
        self.names = checked_names(CARRIED, self.model.names)

    def _read(self, index: int) -> ImageLabels:
        found = self.model.labels(np.asarray(self.images.image(index))[None])
        return ImageLabels({category: (ids[0],) for category, ids in found.items()})

    def _digest(self) -> str:
        return weights_digest(self.model)


class SegmentedConcepts(ConceptSet):
    """What a semantic segmentation model of Hugging Face sees in any pictures."""

    def __init__(self, source: str, images: ImageSet, device: str | torch.device = "cpu"):
        self.source, self.images = source, images
        self.model, self.processor = _loaded(source)
        self.model.to(device)
        told = dict(self.model.config.id2label)
        listed = ["" if told[i].lower() in BACKGROUND else told[i] for i in sorted(told)]
        self.names = checked_names(source, {"object": ("", *listed)})

    @torch.inference_mode()
    def _read(self, index: int) -> ImageLabels:
        classes = self._classes(self.images.image(index))
        named = np.array([0, *(i if name else 0 for i, name in enumerate(self.names["object"]) if i)], np.int32)
        return ImageLabels({"object": (named[classes + 1],)})

    def _classes(self, picture: Image) -> np.ndarray:
        """(height, width) index of the highest logit, logits enlarged to the picture."""
        inputs = self.processor(images=picture, return_tensors="pt").to(self.model.device)
        logits = self.model(**inputs).logits.float()
        fine = torch.nn.functional.interpolate(logits, picture.size[::-1], mode="bilinear", align_corners=False)
        return fine[0].argmax(0).cpu().numpy()

    def _digest(self) -> str:
        return f"{self.processor.to_json_string()} {weights_digest(self.model)}"


def weights_digest(model: torch.nn.Module) -> str:
    """sha256 of the names and values of all weights."""
    digest = hashlib.sha256()
    for name, value in model.state_dict().items():
        digest.update(name.encode())
        digest.update(value.detach().cpu().reshape(-1).contiguous().view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _loaded(source: str) -> tuple[Any, Any]:
    """The model in eval mode and its processor; WeightsError where either cannot be had."""
    from transformers import AutoImageProcessor, AutoModelForSemanticSegmentation

    name = source.removeprefix("hf-seg:")
    where = {"local_files_only": True} if Path(name).is_dir() else {}
    try:
        model: Any = AutoModelForSemanticSegmentation.from_pretrained(name, use_safetensors=True, **where)
        processor: Any = AutoImageProcessor.from_pretrained(name, **where)
    except Exception as fault:
        first = (str(fault).splitlines() or [""])[0]
        message = f"{source} must be a semantic segmentation model. Got {type(fault).__name__}: {first}"
        raise WeightsError(f"{message}. Name a model of the hub or a folder with safetensors.") from fault
    return model.eval().requires_grad_(False), processor
