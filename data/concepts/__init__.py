"""Pictures whose pixels are labelled with concepts: what units are compared with.

    load_concepts("scenes:400:7")                         # the drawn world, exact labels
    load_concepts("clothing/")                            # Parquet: image and mask, or image and texture
    load_concepts("segments/@photos/")                    # masks that name their pictures, and the pictures
    load_concepts("broden1_224")                          # a Broden folder, or one laid out as ADE20K's
    load_concepts("clothing/,textures/,colors")           # several: their pictures joined, colour terms upon all
    load_concepts("hf-seg:nvidia/segformer-b0-finetuned-ade-512-512,colors", images)     # labels computed for `images`

`colors`, `carried:segmenter` (of drawn scenes) and `hf-seg:MODEL` label whatever pictures the other parts bring; alone,
they label `images`.
"""

from pathlib import Path

import torch

from describer.data.concepts.ade import AdeConcepts
from describer.data.concepts.broden import BrodenConcepts
from describer.data.concepts.computed import CARRIED, CarriedConcepts, ColorConcepts, SegmentedConcepts
from describer.data.concepts.drawn import DrawnConcepts
from describer.data.concepts.joined import JoinedConcepts, LayeredConcepts
from describer.data.concepts.labels import ConceptSet as ConceptSet
from describer.data.concepts.labels import ImageLabels as ImageLabels
from describer.data.concepts.tables import NamedMasks, TableConcepts, holds_names_only
from describer.data.drawn import DrawnImages
from describer.data.images import ImageSet, load_images
from describer.errors import ImagesError

COLORS = ("colors", "colours")

__all__ = ["ConceptSet", "ImageLabels", "load_concepts"]


def load_concepts(source: str, images: ImageSet | None = None, device: str | torch.device = "cpu") -> ConceptSet:
    """The concept set behind `source`, parts with commas between; ImagesError where a part cannot be read.

    `images` are labelled where no part brings pictures of its own; `device` is where a segmentation model runs.
    """
    parts = [part.strip() for part in source.split(",") if part.strip()]
    if not parts:
        raise ImagesError("Concepts must be named. Got nothing. Try scenes:400:7, a folder, or colors.")
    own = [_own(part, images) for part in parts if not _is_computed(part)]
    base = _joined(own) if own else None
    pictures = base.images if base is not None else images
    if pictures is None:
        raise ImagesError(f"Concepts that are computed must have pictures. Got {source!r} alone. Give the images.")
    computed = [_computed(part, pictures, device) for part in parts if _is_computed(part)]
    layers = [*([base] if base is not None else []), *computed]
    found = layers[0] if len(layers) == 1 else LayeredConcepts(layers)
    found.source = source
    if len(found) == 0:
        raise ImagesError(f"{source} must hold at least one picture. Got none. Check the path.")
    return found


def _is_computed(part: str) -> bool:
    return part in (*COLORS, CARRIED) or part.startswith("hf-seg:")


def _computed(part: str, images: ImageSet, device: str | torch.device) -> ConceptSet:
    if part in COLORS:
        return ColorConcepts(images)
    return CarriedConcepts(images, device) if part == CARRIED else SegmentedConcepts(part, images, device)


def _joined(parts: list[ConceptSet]) -> ConceptSet:
    """Parts of the same pictures are laid upon each other, the others follow one another."""
    groups: dict[str, list[ConceptSet]] = {}
    for part in parts:
        groups.setdefault(part.images.fingerprint, []).append(part)
    layered = [same[0] if len(same) == 1 else LayeredConcepts(same) for same in groups.values()]
    return layered[0] if len(layered) == 1 else JoinedConcepts(layered)


def _own(part: str, images: ImageSet | None) -> ConceptSet:
    """A part that lies on the disk or is drawn."""
    if part.startswith("scenes:"):
        drawn = load_images(part)
        assert isinstance(drawn, DrawnImages)
        return DrawnConcepts(drawn)
    path, at, pictures = part.partition("@")
    files = _parquet_files(Path(path))
    if files and holds_names_only(files[0]):
        given = load_images(pictures) if at else images
        if given is None:
            raise ImagesError(f"Masks without pictures must be joined to some. Got {part!r}. Write {part}@PICTURES.")
        return NamedMasks(part, files, given)
    if files:
        return TableConcepts(part, files)
    if Path(path, "index.csv").is_file():
        return BrodenConcepts(path)
    if Path(path, "annotations").is_dir():
        return AdeConcepts(path)
    kinds = f"Parquet files, a Broden or ADE20K folder, scenes:N, colors, {CARRIED} or hf-seg:MODEL"
    message = f"Concepts must be {kinds}"
    raise ImagesError(f"{message}. Got {part!r}, with neither. Check the path.")


def _parquet_files(path: Path) -> list[Path]:
    """The Parquet files of a folder, of a pattern, or the one named."""
    if path.is_dir():
        return sorted(path.glob("*.parquet"))
    return sorted(path.parent.glob(path.name)) if path.suffix == ".parquet" else []
