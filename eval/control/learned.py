"""Units of a layer by learned weights, with what the report of `edit --optimize` says of how they were learned.

told, units = learned_units(target, atlas, EditPlan(query="brown", optimize=True), Segmenter("colors"))
told["alphas"]                      # {"layer1:0": 1.0, …}, those above ACTIVE, greatest first
"""

from collections import Counter
from typing import TYPE_CHECKING, Any

import torch

from describer.atlas import Atlas
from describer.data.targets import Target
from describer.errors import AtlasError, DescriberError
from describer.eval.control.ace import AcePlan, ace
from describer.eval.control.choice import WAYS, Chosen, told_units
from describer.eval.control.likeness import Likeness
from describer.eval.control.segmenter import Segmenter

if TYPE_CHECKING:
    from describer.eval.control.edit import EditPlan, Progress

ACTIVE = 0.01
"Least weight of a unit that takes part."
OTHER_SEED = 2_000_003
"Added to the seed: weights are learned on latents that nothing is measured on."


def learned_units(
    target: Target, atlas: Atlas, plan: "EditPlan", segmenter: Segmenter, device: str, tell: "Progress"
) -> tuple[dict[str, Any], list[Chosen]]:
    """What was learned, and the units of the greatest weights, at most `plan.top`; DescriberErrors."""
    concept = segmenter.needed(plan.query or "", "--optimize")
    layer = layer_of(atlas, plan)
    exemplars = atlas.exemplars(layer)
    n_units = int(exemplars.unit_ids.max()) + 1
    levels = torch.zeros(n_units)
    levels[exemplars.unit_ids] = exemplars.threshold.nan_to_num(0.0, 0.0, 0.0)
    way = AcePlan(insert=plan.scale == "insert", penalty=plan.penalty, seed=plan.seed + OTHER_SEED)
    likeness = Likeness(plan.segmenter, concept, device)
    found = ace(target, layer, likeness, levels, way, lambda done, total: tell("learning", done, total))
    words, alphas = told_units(atlas), found.alphas.tolist()
    order = sorted(exemplars.unit_ids.tolist(), key=lambda unit: (-alphas[unit], unit))
    active = [unit for unit in order if alphas[unit] > ACTIVE]
    if not active:
        message = f"Some unit of {layer} must be worth its penalty. Got none at {plan.penalty}"
        raise DescriberError(f"{message}. Lower --penalty, or name other --layers.")
    told = {
        "layer": layer,
        "units": len(exemplars),
        "active": len(active),
        "alphas": {f"{layer}:{unit}": alphas[unit] for unit in active},
        "objective": list(found.objective),
        "steps": way.steps,
        "batch_size": way.batch_size,
    }
    texts = [words[layer, unit].text if (layer, unit) in words else None for unit in active]
    return told, [Chosen(layer, unit, text, "ace", alphas[unit]) for unit, text in zip(active, texts, strict=True)][
        : plan.top
    ]


def layer_of(atlas: Atlas, plan: "EditPlan") -> str:
    """The layer named, else that of most units that the query finds by description; AtlasError where neither is."""
    if len(plan.layers) == 1 and plan.layers[0] in atlas.layers:
        return plan.layers[0]
    assert plan.query is not None
    try:
        found = WAYS[plan.how](atlas, plan.query, plan.top, plan.min_score, plan.layers)
    except AtlasError as fault:
        raise AtlasError(f"{fault} Or name the layer to learn at: --layers {atlas.layers[-1]}.") from None
    return Counter(each.layer for each in found).most_common(1)[0][0]
