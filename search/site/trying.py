"""What units make of a reader's own picture, by the model that the atlas is of.

    model = Model(library, "torchvision:resnet18")
    tried = model.tries(picture, "layer4", 483)
    tried.activation, tried.told                     # 3.1, "above its threshold, rank 3 among 200 probe images"

The atlas names its model. A model in a Python file is run only where the person who serves names it: an atlas may come
from somebody else, and with it a file to be run.
"""

import math
from dataclasses import dataclass
from typing import Any

from PIL.Image import Image

from describer.errors import AtlasError
from describer.search.site.library import FINE, Library
from describer.search.site.outlines import outline
from describer.search.site.sheet import Shown


@dataclass(frozen=True)
class Tried:
    """A unit on a reader's picture."""

    activation: float
    "its highest on the picture"
    told: str
    "how high that is for the unit"
    shown: Shown
    "the outline of its mask on the picture"
    seen: Image
    "the picture as the model saw it"


class Model:
    """The model of an atlas, loaded with the first picture; `source` overrides what the atlas says."""

    def __init__(self, library: Library, source: str | None = None) -> None:
        self._library, self._source = library, source
        self._target: Any = None

    @property
    def target(self) -> Any:
        """The loaded model; a DescriberError where it cannot be had, is another one, or takes no pictures."""
        if self._target is None:
            from describer.data.targets import load_target
            from describer.search.firing import target_of

            self._target = target_of(self._library.atlas, load_target(self._source) if self._source else None)
        return self._target

    def tries(self, picture: Image, layer: str, unit: int) -> Tried:
        """What one unit makes of a picture."""
        from describer.search.firing import firing
        from describer.upsample import upsample
        from describer.view import SeenImages

        found = firing(self._library.atlas, picture, target=self.target, layers=(layer,))
        fired = next((each for each in found if each.unit == unit), None)
        if fired is None:
            raise AtlasError(f"A unit must live to fire. Got {layer}:{unit}, which is dead. Try another.")
        line = outline(upsample(fired.map, FINE).numpy(), fired.threshold) if math.isfinite(fired.threshold) else ""
        seen = SeenImages(_One(picture), self.target.preprocess).image(0)
        told = ranked(fired.rank, fired.fires, fired.n_images)
        return Tried(fired.activation, told, Shown(0, line), seen)


def ranked(rank: float | None, fires: bool, n_images: int) -> str:
    """How high that is among the unit's own peaks."""
    side = "above" if fires else "below"
    place = "" if rank is None else f", rank {rank:,.0f} among {n_images:,} probe images"
    return f"{side} its threshold{place}"


@dataclass(frozen=True)
class _One:
    picture: Image

    def image(self, index: int, /) -> Image:
        return self.picture
