"""Folders laid out as ADE20K's: images/, annotations/ with a grey PNG of the same name for each, and names.

    concepts = AdeConcepts("ADEChallengeData2016")

Names lie in objectInfo150.txt (tab-separated, with columns Idx and Name) or in labels.json; 0 is unlabelled.
sceneCategories.txt, where it is there, tells the scene of every picture: `ADE_train_00000001 airport_terminal`.
"""

import csv
from pathlib import Path

from describer.data.concepts.labelmap import read_map
from describer.data.concepts.labels import ConceptSet, ImageLabels, checked_names, refuse_other_size
from describer.data.concepts.tables import read_names
from describer.data.folder import FolderImages, digest_files
from describer.errors import ImagesError


class AdeConcepts(ConceptSet):
    """Objects of every pixel, and the scene where it is told."""

    def __init__(self, source: str):
        self.source, self.root = source, Path(source)
        self.images: FolderImages = FolderImages(str(self.root / "images"))
        self.maps = [self._map_of(path) for path in self.images.files]
        listed = self.root / "objectInfo150.txt"
        objects = _listed_names(listed) if listed.exists() else read_names(source, self.root)
        self._scenes = _scenes(self.root / "sceneCategories.txt")
        scenes = ("", *sorted(set(self._scenes.values())))
        self.names = checked_names(source, {"object": objects, "scene": scenes})
        self._scene_ids = {name: number for number, name in enumerate(scenes)}

    def _map_of(self, picture: Path) -> Path:
        inside = picture.relative_to(self.root / "images")
        path = (self.root / "annotations" / inside).with_suffix(".png")
        if not path.exists():
            message = f"Every picture of {self.source} must have its label map. Got none for {inside}"
            raise ImagesError(f"{message}. Add annotations/{inside.with_suffix('.png')} or remove the picture.")
        return path

    def _read(self, index: int) -> ImageLabels:
        ids = read_map(self.maps[index])
        refuse_other_size(self.source, index, ids.shape, self.images.image(index).size)
        scene = self._scene_ids[self._scenes.get(self.images.files[index].stem, "")]
        return ImageLabels({"object": (ids,)}, {"scene": (scene,)} if "scene" in self.names else {})

    def _digest(self) -> str:
        names = [str(path.relative_to(self.root).as_posix()) for path in self.maps]
        return digest_files(self.maps, names) + str(sorted(self._scenes.items()))


def _listed_names(path: Path) -> list[str]:
    """Names by id of objectInfo150.txt, all synonyms, as first ones repeat."""
    with open(path, newline="", encoding="utf-8") as file:
        rows = {int(row["Idx"]): row["Name"].strip() for row in csv.DictReader(file, delimiter="\t")}
    return ["", *(rows.get(number, "") for number in range(1, max(rows, default=0) + 1))]


def _scenes(path: Path) -> dict[str, str]:
    """Name of a picture, without suffix -> its scene."""
    if not path.exists():
        return {}
    lines = (line.split(maxsplit=1) for line in path.read_text(encoding="utf-8").splitlines())
    return {name: scene.strip().replace("_", " ") for name, scene in (line for line in lines if len(line) == 2)}
