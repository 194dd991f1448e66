"""Many drawn scenes as an image set: `SceneSet(1000, seed=0)` draws each one when it is asked for.

scenes = SceneSet(1000)
scenes.image(3)                   # PIL image, RGB
scenes.scene(3)                   # the same picture with labels and words
"""

from functools import lru_cache
from hashlib import sha256

from PIL import Image

from describer.data.scenes.names import NAMES
from describer.data.scenes.scene import Scene, check_scene, draw_scene
from describer.errors import ImagesError

VERSION = 1
"""Counts up whenever a seed draws another picture than before."""


class SceneSet:
    """The first `n` scenes of the world `seed`, drawn on demand; the last few drawn are kept."""

    names = NAMES

    def __init__(self, n: int, seed: int = 0, size: int = 128):
        """Raise ImagesError for a negative number of scenes, a negative seed or a size below 1."""
        if n < 0:
            raise ImagesError(f"Number of scenes must be 0 or more. Got {n}. Do ask for scenes:N with a positive N.")
        check_scene(seed, 0, size)
        self.n, self.seed, self.size = n, seed, size
        self._draw = lru_cache(maxsize=8)(draw_scene)

    def __len__(self) -> int:
        """Return the number of scenes."""
        return self.n

    @property
    def source(self) -> str:
        """What to write on the command line to get these scenes."""
        return f"scenes:{self.n}:{self.seed}"

    @property
    def fingerprint(self) -> str:
        """A hash of everything that changes a picture."""
        return sha256(f"scenes version {VERSION} n {self.n} seed {self.seed} size {self.size}".encode()).hexdigest()

    def scene(self, index: int) -> Scene:
        """Return scene number `index`; raise ImagesError outside 0 ... n - 1."""
        if not 0 <= index < self.n:
            raise ImagesError(
                f"Scene index must be in 0 ... {self.n - 1}. Got {index}. Do stay below the number of scenes."
            )
        return self._draw(self.seed, index, self.size)

    def image(self, index: int) -> Image.Image:
        """Return the picture of scene number `index` as RGB."""
        return Image.fromarray(self.scene(index).image)
