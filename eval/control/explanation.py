"""The verb `explain`: one prediction told through the described units of a layer.

    told = explain(target, Atlas.open("atlas"), picture, ExplainPlan(layer="layer4"))
    told.report["units"][0]           # {"id": "layer4:7", "text": "green hills", "contribution": 2.31, …}
    told.report["completeness"]       # what all units add up to, and what they should
    told.report["verified"]           # how far the logit falls without the told units that raise it

A unit's contribution is activation × gradient, integrated while the whole layer rises from silence to what it gives
(integrated gradients of Sundararajan et al., ICML 2017, with the layer as the input and 0 as the baseline). All units
together add up to the class's logit minus its logit with the layer silent, whatever the network does besides. They are
verified by cuts: of those told that raise the logit, and, apart, of those that lower it (`verified_lowering`).
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from difflib import get_close_matches
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor, nn

from describer import __version__
from describer.atlas import Atlas
from describer.data.targets import Target
from describer.errors import TargetError
from describer.eval.control.ablation import checked, cuts
from describer.eval.control.choice import Chosen, named_units, random_draws
from describer.eval.control.interval import interval
from describer.intervention import Edit, edited
from describer.layout import first_tensor, run
from describer.levels import activations
from describer.upsample import upsample

BATCH = 16
"Points of the path at a time, times images."
UNMOVED = 1e-6
"Share of the logit's size below which what a layer does to it is rounding."


@dataclass(frozen=True)
class ExplainPlan:
    """What is explained, and how finely."""

    layer: str | None = None
    "a layer of the atlas; None: its last"
    class_name: str | None = None
    "name or number; None: the predicted one"
    top: int = 8
    "units told, at most half of those in the atlas"
    steps: int = 48
    "points of the path (Gauss-Legendre)"
    draws: int = 20
    "draws of random units to verify against"
    seed: int = 0


@dataclass(frozen=True, eq=False)
class Explanation:
    """The numbers, and what a picture needs."""

    report: dict[str, Any] = field(repr=False)
    regions: Float[np.ndarray, "units height width"]
    "where each told unit is above its threshold, 0 or 1, on the model's input"
    ids: tuple[str, ...]


def contributions(
    model: nn.Module, x: Float[Tensor, "images *input"], layer: str, outputs: Sequence[int], steps: int = 48
) -> tuple[Float[Tensor, "images units h w"], Float[Tensor, " images"], Float[Tensor, " images"]]:
    """Every unit's contribution place by place to one output an image, that output, and it with the layer silent."""
    (maps,) = activations(model, [x], layer)
    points, weights = np.polynomial.legendre.leggauss(steps)
    alphas = torch.tensor((points + 1) / 2, dtype=maps.dtype, device=maps.device)[:, None, None, None, None]
    shares = torch.tensor(weights / 2, dtype=maps.dtype, device=maps.device)[:, None, None, None, None]
    chosen = torch.tensor(outputs, device=maps.device)[:, None]
    units, total, at_once = tuple(range(maps.shape[1])), torch.zeros_like(maps), max(BATCH // len(x), 1)
    for part, share in zip(alphas.split(at_once), shares.split(at_once), strict=True):
        raised = (part * maps).flatten(0, 1).requires_grad_()  # (steps * images, units, h, w)
        logits = _logits(model, torch.cat([x] * len(part)), [Edit(layer, units, "replace", raised)])
        wanted = logits.gather(1, chosen.repeat(len(part), 1)).sum()
        if wanted.requires_grad:  # else the layer is not read
            (gradient,) = torch.autograd.grad(wanted, raised, materialize_grads=True)
            total += (share * gradient.unflatten(0, (len(part), len(x)))).sum(0)
    with torch.no_grad():
        end = _logits(model, x, []).gather(1, chosen)[:, 0]
        start = _logits(model, x, [Edit(layer, units, "ablate")]).gather(1, chosen)[:, 0]
    return total * maps, end, start


def predicted(model: nn.Module, x: Float[Tensor, "images *input"]) -> list[int]:
    """The class of the highest logit of each image."""
    with torch.no_grad():
        return _logits(model, x, []).argmax(1).tolist()


def _logits(model: nn.Module, x: Tensor, edits: Sequence[Edit]) -> Float[Tensor, "batch classes"]:
    with edited(model, edits, tuple(x.shape[1:])):
        logits = first_tensor(run(model, x))
    if logits is None or logits.ndim != 2:
        raise TargetError("The network must give (batch, classes). Got other outputs. Use a classifier.")
    return logits.float()


def explain(target: Target, atlas: Atlas, picture: Image.Image, plan: ExplainPlan) -> Explanation:
    """The prediction for one picture through one layer's units. Raises DescriberErrors."""
    checked(target, atlas)
    assert target.preprocess is not None
    model, layer = target.model, atlas.entry(plan.layer or atlas.layers[-1]).name
    device = next((p.device for p in model.parameters()), torch.device("cpu"))
    x = target.preprocess(picture.convert("RGB"))[None].to(device)
    with torch.no_grad():
        logits = _logits(model, x, [])[0]
    output = _output(plan.class_name, target.class_names, logits)
    places, (end,), (start,) = contributions(model, x, layer, [output], plan.steps)
    by_unit = places[0].sum((1, 2)).cpu()  # (units,)
    _refuse_unmoved(layer, by_unit, float(end), float(start))
    whole, exemplars = float(by_unit.sum()), atlas.exemplars(layer)
    order = by_unit[exemplars.unit_ids].abs().argsort(descending=True)
    n_told = min(plan.top, max(len(exemplars) // 2, 1))  # as many again are what they are verified against
    described = exemplars.unit_ids[order[:n_told]].tolist()
    chosen = named_units(atlas, ",".join(f"{layer}:{unit}" for unit in described))
    (maps,) = activations(model, [x], layer)
    threshold = {int(unit): float(level) for unit, level in zip(exemplars.unit_ids, exemplars.threshold, strict=True)}
    levels = torch.tensor([threshold[unit] for unit in described])[:, None, None]
    regions = upsample(maps[0, described].cpu(), (x.shape[-2], x.shape[-1])) > levels
    report = {
        "package": __version__,
        "model": {"name": target.name, "fingerprint": target.fingerprint},
        "plan": asdict(plan),
        "layer": layer,
        "class": _name(output, target.class_names),
        "probability": float(logits.softmax(0)[output]),
        "completeness": {
            "logit": float(end),
            "silent": float(start),
            "sum": whole,
            "missing": float(end - start) - whole,
        },
        "units": [_told(each, by_unit, maps, region) for each, region in zip(chosen, regions, strict=True)],
        **_verified(target, atlas, x, output, chosen, by_unit, plan),
    }
    return Explanation(report, regions.float().numpy(), tuple(each.id for each in chosen))


def _told(
    chosen: Chosen, by_unit: Float[Tensor, " all"], maps: Float[Tensor, "1 all h w"], region: Tensor
) -> dict[str, Any]:
    activation = float(maps[0, chosen.unit].max())
    told = {"id": chosen.id, **{name: value for name, value in asdict(chosen).items() if name not in ("layer", "unit")}}
    return told | {
        "contribution": float(by_unit[chosen.unit]),
        "activation": activation,
        "region": float(region.float().mean()),
    }


def _verified(
    target: Target,
    atlas: Atlas,
    x: Tensor,
    output: int,
    told: Sequence[Chosen],
    by_unit: Float[Tensor, " all"],
    plan: ExplainPlan,
) -> dict[str, Any]:
    """How far the logit falls without the told units that raise it, and, apart, without those that lower it.

    Beside them as many random units that were not told; the interval is the middle 95 % of their draws, not of their
    mean. None where there is nothing to cut.
    """

    def drop(units: Sequence[Chosen]) -> float:
        with torch.no_grad():
            return before - float(_logits(target.model, x, cuts(units))[0, output])

    with torch.no_grad():
        before = float(_logits(target.model, x, [])[0, output])
    found = {}
    for name, sign in (("verified", 1), ("verified_lowering", -1)):
        own = [each for each in told if sign * by_unit[each.unit] > 0]
        draws = random_draws(atlas, own, plan.seed, plan.draws, told)
        random = np.array([drop(units) for units in draws])
        found[name] = {
            "units": len(own),
            "drop": drop(own) if own else None,
            "random_units": len(draws[0]) if draws else 0,
            "random_drop": interval(float(random.mean()) if draws else np.nan, random),
        }
    return found


def _refuse_unmoved(layer: str, by_unit: Float[Tensor, " units"], end: float, start: float) -> None:
    """TargetError where neither the layer nor any unit of it does anything to the logit."""
    if max(float(by_unit.abs().max()), abs(end - start)) <= UNMOVED * max(abs(end), 1.0):
        message = f"A layer must move the class. Got {layer}, without whose units the logit stays {end:.3f}"
        raise TargetError(f"{message} (a class token is not of its units). Name an earlier --layer.")


def _output(wanted: str | None, names: Sequence[str] | None, logits: Tensor) -> int:
    """The number of a class; TargetError for a name or number that the network has not."""
    if wanted is None:
        return int(logits.argmax())
    names = list(names or [])
    lower = [name.lower() for name in names]
    for listed, name in ((names, wanted), (lower, wanted.lower())):
        if name in listed:
            return listed.index(name)
    if wanted.isdecimal() and int(wanted) < len(logits):
        return int(wanted)
    near = [names[lower.index(name)] for name in get_close_matches(wanted.lower(), lower, 3, 0.0)]
    told = f"Nearest: {', '.join(near)}" if near else f"Give a number below {len(logits)}"
    raise TargetError(f"--class must be one of the network's {len(logits)} classes. Got {wanted!r}. {told}.")


def _name(output: int, names: Sequence[str] | None) -> str:
    return names[output] if names is not None and output < len(names) else str(output)
