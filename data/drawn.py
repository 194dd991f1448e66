"""The drawn world as an image set: `scenes:N[:seed]`.

    images = DrawnImages("scenes:1000:0", 1000, 0)

Opened by `describer.data.images.load_images`.
"""

import hashlib

from PIL.Image import Image

from describer.data.images import ImageSet


class DrawnImages(ImageSet):
    """N scenes of one seed, drawn when asked for."""

    def __init__(self, source: str, number: int, seed: int):
        from describer.data.scenes import SceneSet

        self.source, self.number, self.seed = source, number, seed
        self.scenes = SceneSet(number, seed)

    def __len__(self) -> int:
        return self.number

    def image(self, index: int) -> Image:
        """Scene `index`."""
        return self.scenes.image(index)

    def _digest(self) -> str:
        """Number, seed, and how this version draws the first scenes."""
        digest = hashlib.sha256(f"{self.number}\0{self.seed}".encode())
        for index in range(min(3, self.number)):
            digest.update(self.image(index).tobytes())
        return digest.hexdigest()
