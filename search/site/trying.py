"""What units make of a reader's own picture, by the model that the atlas is of.

    model = Model(library, "torchvision:resnet18")
    tried = model.tries(picture, "layer4", 483)
    tried.activation, tried.told                     # 3.1, "higher than on 98.5 % of the probe images"

The atlas names its model. A model in a Python file is run only where the person who serves names it: an atlas may come
from somebody else, and with it a file to be run.
"""

from dataclasses import dataclass
from typing import Any

from PIL.Image import Image

from describer.errors import AtlasError, TargetError
from describer.search.site.library import FINE, Library
from describer.search.site.outlines import outline
from describer.search.site.sheet import Shown
from describer.upsample import upsample
from describer.view import SeenImages


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
        """The loaded model; AtlasError or TargetError where it cannot be had, or is another one."""
        if self._target is None:
            from describer.data.targets import load_target

            meta = self._library.atlas.meta.model
            source = self._source or meta.name
            if self._source is None and ".py" in source:
                got = f"Got {source}, which the atlas names"
                raise AtlasError(f"A model in a Python file must be named by you. {got}. Use --model.")
            target = load_target(source)
            if target.fingerprint != meta.fingerprint:
                raise TargetError(f"The model must be the atlas's own. Got another {source}. Use --model.")
            self._target = target
        if self._target.preprocess is None:
            raise TargetError("The model must take pictures. Got a generator. Search by words.")
        return self._target

    def tries(self, picture: Image, layer: str, unit: int) -> Tried:
        """What one unit makes of a picture."""
        from describer.search.firing import firing

        target = self.target
        fired = next(f for f in firing(self._library.atlas, picture, target=target, layers=(layer,)) if f.unit == unit)
        threshold = self._library.threshold(layer, unit)
        fine = upsample(_tensor(fired.map), FINE).numpy()
        line = "" if threshold is None else outline(fine, threshold)
        seen = SeenImages(_One(picture), target.preprocess).image(0)
        return Tried(float(fired.activation), ranked(fired.rank, fired.fires), Shown(0, line), seen)


def ranked(rank: float | None, fires: bool) -> str:
    """How high that is among the unit's own peaks."""
    above = "" if rank is None else f", higher than on {rank:.1%} of the probe images"
    return f"{'above' if fires else 'below'} its threshold{above}"


@dataclass(frozen=True)
class _One:
    picture: Image

    def image(self, index: int, /) -> Image:
        return self.picture


def _tensor(values: Any) -> Any:
    import torch

    return torch.as_tensor(values).float()
