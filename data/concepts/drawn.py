"""The drawn world as a concept set: `scenes:N[:seed]`, whose labels are exact.

concepts = DrawnConcepts(load_images("scenes:100:7"))
"""

from describer.data.concepts.labels import ConceptSet, ImageLabels
from describer.data.drawn import DrawnImages
from describer.data.scenes import NAMES
from describer.data.scenes.sceneset import VERSION


class DrawnConcepts(ConceptSet):
    """Objects, parts, materials, textures and colours of every pixel, and the kind of the scene."""

    def __init__(self, images: DrawnImages):
        self.source, self.images, self.names = images.source, images, NAMES
        self._scenes = images.scenes

    def _read(self, index: int) -> ImageLabels:
        scene = self._scenes.scene(index)
        maps = {category: (ids,) for category, ids in scene.labels.items()}
        return ImageLabels(maps, {"scene": (scene.scene_kind,)})

    def _digest(self) -> str:
        return f"scenes version {VERSION}"
