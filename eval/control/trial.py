"""Units whose cut takes a concept away and spares the rest, found by trial on samples that nothing is measured on.

    trials = Trials(Samples(target, seed=1, n_samples=48), Segmenter("colors"))
    trials.fewest(choose_units(atlas, "brown", 100), ("color", 11), top=20, width=WIDTH)

A set grows until it removes the goal, or is full. With a width of 0 units come in the order in which they were found.
Else the `width` units that the concept then rests on most (see `slopes`) are each cut beside those that were taken
before, and that is taken which removes most of the concept, less SPARING times what it relabels elsewhere; none that
relabels more than `harm`. Where none is left, the set is done.
"""

from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Float
from torch import Tensor

from describer.errors import AtlasError
from describer.eval.control.choice import Chosen, by_layer
from describer.eval.control.drawing import Samples
from describer.eval.control.effects import MEASURES, measure
from describer.eval.control.likeness import Likeness
from describer.eval.control.segmenter import Concept, Segmenter
from describer.eval.control.slopes import slopes
from describer.intervention import Edit

GOAL = 0.7
"Share of the concept's pixels that a set must remove on the samples that choose."
WIDTH = 6
"Units that are tried for each that is taken."
SPARING = 3.0
"Concept removed, as a share, that is worth as much as relabelling a share of all other pixels."
CHOOSING = 48
"Samples that choose, in an edit."
HARM = 0.1
"Share of the other pixels that a set may relabel there."
STEP = 2
"Units by which sets grow where none is tried."


class Trials:
    """Samples before any cut, and what cuts do to them."""

    def __init__(self, samples: Samples, segmenter: Segmenter, device: str = "cpu") -> None:
        self.samples, self.segmenter, self.device = samples, segmenter, device
        self.before = samples.draw()
        self.labels = segmenter.labels(self.before)

    def cut(
        self, chosen: Sequence[Chosen], concept: Concept, where: Float[Tensor, "*samples height width"] | None = None
    ) -> tuple[float, float]:
        """The share of the concept that goes without the units (NaN where there was none), and of the rest that is
        relabelled.
        """
        edits = [Edit(layer, units, "ablate") for layer, units in by_layer(chosen).items()]
        effect = measure(self.before, self.samples.draw(edits, where), self.segmenter, concept, self.labels)
        everything = np.arange(len(effect.before))[None]
        return float(MEASURES["removed"](effect, everything)[0]), float(effect.relabelled.mean())

    def fewest(
        self,
        found: Sequence[Chosen],
        concept: Concept,
        top: int,
        goal: float = GOAL,
        width: int = 0,
        harm: float = HARM,
        where: Float[Tensor, "samples height width"] | None = None,
        tell: Callable[[int, int], None] | None = None,
    ) -> list[Chosen]:
        """At most `top` of the units, and no more than remove the goal; AtlasError where none spares the rest."""
        most, chosen, rest = min(top, len(found)), list[Chosen](), list(found)
        likeness = Likeness(self.segmenter.source, concept, self.device) if width else None
        while len(chosen) < most:
            if likeness is None:
                chosen, rest = (chosen + rest[:STEP])[:most], rest[STEP:]
                removed = self.cut(chosen, concept, where)[0]
            else:
                falls = slopes(self.samples.target, self.samples.latents, likeness, rest, chosen, where)
                rest = [rest[i] for i in np.argsort(-falls, kind="stable")]
                ends = [self.cut([*chosen, each], concept, where) for each in rest[:width]]
                worth = [np.nan_to_num(gone) - SPARING * lost if lost <= harm else -np.inf for gone, lost in ends]
                place = int(np.argmax(worth))
                if np.isinf(worth[place]):
                    if not chosen:
                        message = f"A unit's cut must relabel at most {harm:g} of the rest. Got none of {len(found)}"
                        raise AtlasError(f"{message}. Find units by words.")
                    break
                chosen.append(rest.pop(place))
                removed = ends[place][0]
            if tell:
                tell(len(chosen), most)
            if removed >= goal:
                break
        return chosen
