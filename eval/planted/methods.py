"""The methods that are run side by side on planted units; each says of every unit a text or a form, or nothing.

    tellers = {"formula": formula(world.table), "caption": by_describer(CaptionDescriber(captioner), world)}
    tellers["formula"](planted)                            # one Said a unit

`concept` and `formula` search in the very labels that the truth was drawn from; the others see pictures alone.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from describer.description import Describer
from describer.eval.planted.firing import Planted
from describer.eval.planted.reading import Reader
from describer.eval.planted.units import World
from describer.search.chance import chance
from describer.search.forms import Concept, Form
from describer.search.formulas import search_formulas
from describer.search.iou import global_ious
from describer.search.signatures import SignatureTable


@dataclass(frozen=True)
class Said:
    """What one method says of one unit."""

    text: str | None
    "None: no description, or none that beats chance"
    form: Form | None
    "None where the text names no concept at hand"
    is_form: bool = False
    "whether the method speaks in forms, so that the text is one"


Teller = Callable[[Planted], list[Said]]
NOTHING = Said(None, None)


def concept(table: SignatureTable) -> Teller:
    """The concept of highest IoU (Bau et al. 2017); nothing where as much is found in the labels of other pictures."""

    def tell(planted: Planted) -> list[Said]:
        ious = global_ious(table, planted.counts)
        drawn = [global_ious(table, counts).max(1) for counts in planted.shifted]
        by_chance = np.max(drawn, 0) if drawn else np.zeros(len(ious))
        best = zip(ious.argmax(1).tolist(), (ious.max(1) > by_chance).tolist(), strict=True)
        return [_form(Concept(table.names[column])) if beats else NOTHING for column, beats in best]

    return tell


def formula(table: SignatureTable, max_length: int = 3, beam_size: int = 10, penalty: float = 1.0) -> Teller:
    """The form of highest IoU (Mu & Andreas 2020); nothing where as much is found in the labels of other pictures."""

    def tell(planted: Planted) -> list[Said]:
        found = search_formulas(table, planted.counts, max_length, beam_size, length_penalty=penalty)
        said = [NOTHING if each.formula is None else _form(each.formula) for each in found]
        if planted.shifted:
            drawn = chance(table, planted.shifted, found, max_length, beam_size, penalty)
            pairs = zip(said, found, drawn, strict=True)
            said = [each if own.iou > by_chance.highest else NOTHING for each, own, by_chance in pairs]
        return said

    return tell


def by_describer(describer: Describer, world: World) -> Teller:
    """Any describer of exemplars, on the pictures as they are."""
    reader = Reader(world.table)

    def tell(planted: Planted) -> list[Said]:
        told = describer.describe(planted.exemplars, world.concepts.images)
        return [NOTHING if each.text is None else Said(each.text, reader.form(each.text)) for each in told]

    return tell


def constant(planted: Planted) -> list[Said]:
    """The concept that most of the units have in what they mean, said of all: the best that one text can do."""
    held = [name for unit in planted.units for name in unit.held]
    best = min(set(held), key=lambda name: (-held.count(name), name))
    return [_form(Concept(best))] * len(planted.units)


def shuffled(said: Sequence[Said], seed: int = 0) -> list[Said]:
    """Every unit is given what was said of another: each once, none its own (Sattolo 1986)."""
    order, rng = list(range(len(said))), np.random.default_rng(seed)
    for place in range(len(order) - 1, 0, -1):
        other = int(rng.integers(0, place))
        order[place], order[other] = order[other], order[place]
    return [said[place] for place in order]


def _form(form: Form) -> Said:
    return Said(str(form), form, True)
