"""What a method says of one unit, and what anything that describes units must offer.

    description = Description("layer4", 483, "dog faces", "caption", {"pmi": 3.1})
    description.id                                   # "layer4:483"
    Description("layer4", 484, None, "caption")      # dead, or nothing that can be relied on

A unit is known by (layer, unit), never by its text: two units may share a description.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol, runtime_checkable

from PIL.Image import Image

from describer.errors import WeightsError

if TYPE_CHECKING:
    from describer.exemplars import Exemplars


@dataclass(frozen=True)
class Candidate:
    """One text that was weighed for a unit, with its exact scores in nats."""

    text: str
    log_prob: float
    "log p(text | exemplars) up to and with the end token; at most 0"
    log_prior: float
    "log p(text) of the language model; at most 0"
    pmi: float
    "log_prob - weight * log_prior (Hernandez et al. 2022, eq. 3)"
    origin: Literal["beam", "phrase"]
    "beam: found by generating; phrase: taken from the inventory of human phrases"
    evidence: float | None = None
    "mean over the exemplars of log p(text | exemplar) / p(text), nats, each read alone, less what the layer has of it"


@dataclass(frozen=True)
class Meaning:
    """One of several things that a unit fires on."""

    text: str | None
    "None: no description of it can be relied on"
    share: float
    "of the unit's activation that lies here, 0..1; those of a unit add up to 1 at most"
    pmi: float | None
    "of the text, in nats"
    score: float | None = None
    "Pearson's r with what the unit answers on images that no exemplar is from; None where it is not judged"
    low: float | None = None
    high: float | None = None
    "the 95 % interval of the score"
    p: float | None = None
    q: float | None = None
    "p adjusted for all meanings of the layer"
    reliable: bool | None = None
    "whether the text was found to say more than chance does; None: not judged"
    withdrawn: str | None = None
    "the text that was not"


@dataclass(frozen=True)
class Description:
    """What one method says of one unit; raises WeightsError where a score is NaN."""

    layer: str
    "dotted name of the module"
    unit: int
    "index within the layer, from 0"
    text: str | None
    "None: the unit is dead, or no description can be relied on"
    method: str
    "caption, formula, concept, …"
    scores: Mapping[str, float] = field(default_factory=dict)
    "log_prob, log_prior and pmi in nats, iou as a fraction, and whatever else the method measures"
    n_best: tuple[Candidate, ...] = ()
    "every candidate worth keeping, best first; the first is the text"
    formula: str | None = None
    "the logical form, where the method has one"
    reliable: bool | None = None
    "whether the text was found to say more than chance does; None: not judged"
    withdrawn: str | None = None
    "the text that was not"
    meanings: tuple[Meaning, ...] = ()
    "where there are several; the largest share first"

    def __post_init__(self) -> None:
        if self.unit < 0 or not self.layer or not self.method:
            raise ValueError(f"a description must name its layer, unit and method. Got {self!r}.")
        if self.text is not None and not self.text.strip():
            raise ValueError(f"text must have words, or be None. Got {self.text!r} for {self.id}.")
        if any(math.isnan(score) for score in self.scores.values()):
            told = ", ".join(f"{name}={score}" for name, score in self.scores.items())
            raise WeightsError(f"scores of {self.id} must be numbers. Got {told}. Use a describer with sound weights.")

    @property
    def id(self) -> str:
        """The name of the unit, "layer:unit"."""
        return f"{self.layer}:{self.unit}"

    def score(self, name: str) -> float | None:
        """The score of that name, or None where the method has none or it is not finite."""
        value = self.scores.get(name)
        return float(value) if value is not None and math.isfinite(value) else None


@runtime_checkable
class ImageSource(Protocol):
    """Anything that shows the probe set's images by index."""

    def image(self, index: int, /) -> Image:
        """Image `index` as an RGB picture."""
        ...


@runtime_checkable
class Describer(Protocol):
    """A method: one choice of language and of distance between a unit and what its words mean."""

    @property
    def method(self) -> str:
        """The name under which its descriptions are kept."""
        ...

    @property
    def key(self) -> Mapping[str, str | int | float | bool | None]:
        """All that changes its answer: weights, decoding, weight of the prior …; part of the atlas's key."""
        ...

    def describe(
        self, exemplars: "Exemplars", images: ImageSource, progress: Callable[[int], None] | None = None
    ) -> list[Description]:
        """One description a unit of `exemplars`, in their order; `progress` is told how many more are done."""
        ...
