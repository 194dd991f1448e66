"""The verb `edit`: change what a generator draws by the words of its units, and measure what that does.

    target, atlas = load_target("gan.py:load"), Atlas.open("atlas")
    result = edit(target, atlas, EditPlan(query="brown", scale="0"))
    result.report["effect"]["removed"]                 # {"value": .31, "low": .24, "high": .38}
    again = replay(target, result.report)              # the same pictures, from the JSON alone

A scale of 0 ablates the units, k multiplies them, "insert" raises them to the .99 quantile that the atlas knows.
"""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from describer import __version__
from describer.atlas import Atlas
from describer.data.targets import Target
from describer.errors import AtlasError, DescriberError
from describer.eval.control.choice import (
    ALL,
    WAYS,
    Chosen,
    by_layer,
    choose_units,
    named_units,
    random_units,
    refuse_beside_units,
)
from describer.eval.control.drawing import Samples
from describer.eval.control.effects import DRAWS, compare, measure, shares, takes_away
from describer.eval.control.printing import edit_lines
from describer.eval.control.quality import PictureFeatures, distances, is_far
from describer.eval.control.region import class_of, read_mask, region_of
from describer.eval.control.segmenter import Concept, Labels, Segmenter
from describer.intervention import Edit

TRIAL = "trial"
"A way in which only edit finds units, since it needs a generator."
Pictures = UInt8[np.ndarray, "samples height width 3"]
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class EditPlan:
    """All that decides an edit and its measurement, beside the generator and the atlas."""

    query: str | None = None
    "words of descriptions"
    units: str | None = None
    "layer:unit with commas, instead of a query"
    scale: str = "0"
    "0, a factor, or insert"
    where: str | None = None
    "mask file or class:NAME; None: everywhere"
    top: int = 20
    "most units"
    min_score: float | None = None
    "least IoU or PMI of a unit"
    layers: tuple[str, ...] = ()
    "names or patterns; none: all"
    segmenter: str = "colors"
    "what sees the concept: colors, carried:segmenter, hf-seg:MODEL"
    samples: int = 64
    "samples measured; as many again are what pictures are compared with"
    draws: int = 3
    "draws of random units to compare with"
    seed: int = 0
    "of latents, of random units, of intervals"
    how: str = "words"
    "how units are found: words, meaning, or trial: of all that words find those whose cut spares the rest"
    optimize: bool = False
    "whether units are those of the greatest learned weights (see `ace`), compared with those found by description"
    penalty: float = 0.1
    "of the norm of the learned weights"

    def __post_init__(self) -> None:
        if (self.query is None) == (self.units is None):
            raise DescriberError("An edit must have --query or --units. Got both or none. Give one.")
        if self.how not in (*WAYS, TRIAL):
            raise DescriberError(f"how must be {', '.join(WAYS)} or {TRIAL}. Got {self.how!r}. Correct it.")
        if self.how == TRIAL and (self.query is None or self.optimize):
            got = "--units" if self.query is None else "--optimize"
            raise DescriberError(f"--how {TRIAL} must have --query and nothing else that chooses. Got {got}. Drop one.")
        if min(self.samples, self.draws, self.top) < 1 or self.seed < 0:
            raise DescriberError("samples, draws and top must be 1 or more, seed 0 or more. Got less. Raise them.")
        if self.scale != "insert":
            try:
                finite = np.isfinite(float(self.scale))
            except ValueError:
                finite = False
            if not finite:
                raise DescriberError(f"scale must be a number or insert. Got {self.scale!r}. Try 0, 4 or insert.")
        if self.how == TRIAL and (self.scale != "0" or self.where is not None):
            got = f"--scale {self.scale}" if self.scale != "0" else "--where"
            message = f"--how {TRIAL} must choose by what whole cuts do. Got {got}"
            raise DescriberError(f"{message}. Leave it out, or find units by words.")
        refuse_beside_units(self.units, self.how, self.min_score, self.layers)
        if self.penalty != EditPlan.penalty and not self.optimize:
            raise DescriberError(f"--penalty must come with --optimize. Got {self.penalty:g} alone. Leave it out.")
        if self.optimize and (self.query is None or self.scale not in ("0", "insert")):
            got = f"scale {self.scale!r}" if self.query is not None else "--units"
            raise DescriberError(f"--optimize must have --query and a scale of 0 or insert. Got {got}. Correct it.")


@dataclass(frozen=True, eq=False)
class EditResult:
    """What was drawn and what was measured."""

    before: Pictures
    after: Pictures
    report: dict[str, Any] = field(repr=False)
    "all numbers, and all that replays the edit; JSON"


def edit(
    target: Target, atlas: Atlas, plan: EditPlan, device: str = "cpu", progress: Progress | None = None
) -> EditResult:
    """The edit with its effect against random units. Raises DescriberErrors for what cannot be done."""
    tell, samples = progress or _silent, Samples(target, plan.seed, plan.samples)
    if target.fingerprint != atlas.meta.model.fingerprint:
        message = f"{atlas.path} must be of {target.name}. Got an atlas of {atlas.meta.model.name}, other weights"
        raise AtlasError(f"{message}. Describe this generator first.")
    segmenter = Segmenter(plan.segmenter, device)
    if plan.where is not None and class_of(plan.where, segmenter) is None:
        read_mask(Path(plan.where))  # what can be refused is, before anything is drawn
    if plan.optimize:
        return _optimised(target, atlas, plan, samples, segmenter, device, tell)
    chosen = _chosen(target, atlas, plan, segmenter, device, tell)
    return _edited(target, atlas, plan, chosen, _unedited(samples, segmenter, device), tell)


@dataclass(frozen=True, eq=False)
class Unedited:
    """The samples as they are without an edit, and what sees and weighs them."""

    samples: Samples
    pictures: Pictures
    labels: Labels
    segmenter: Segmenter
    features: Future[PictureFeatures]


def _unedited(samples: Samples, segmenter: Segmenter, device: str) -> Unedited:
    beside = ThreadPoolExecutor(1)  # imports what takes seconds; one core draws meanwhile
    features = beside.submit(PictureFeatures, device)
    beside.shutdown(wait=False)
    pictures = samples.draw()
    labels = segmenter.labels(pictures)
    return Unedited(samples, pictures, labels, segmenter, features)


def _optimised(
    target: Target,
    atlas: Atlas,
    plan: EditPlan,
    samples: Samples,
    segmenter: Segmenter,
    device: str,
    tell: Progress,
) -> EditResult:
    """The edit of the units of the greatest learned weights, beside as many that are found by description."""
    from describer.eval.control.learned import learned_units

    told, learned = learned_units(target, atlas, plan, segmenter, device, tell)
    unedited = _unedited(samples, segmenter, device)
    own = _edited(target, atlas, plan, learned, unedited, tell)
    told["by_description"] = None
    described = described_units(atlas, plan, told["layer"])[: len(learned)]
    if described:
        other = _edited(target, atlas, plan, described, unedited, tell).report
        shared = len({each.unit for each in described} & {each.unit for each in learned})
        told["by_description"] = {name: other[name] for name in ("units", "effect", "concept_share", "quality")}
        told["shared"] = shared
    return EditResult(own.before, own.after, own.report | {"optimized": told})


def described_units(atlas: Atlas, plan: EditPlan, layer: str) -> list[Chosen]:
    """The units of a layer that the plan's query finds by description; none where none answers."""
    assert plan.query is not None
    try:
        return WAYS[plan.how](atlas, plan.query, plan.top, plan.min_score, (layer,))
    except AtlasError:
        return []


def _edited(
    target: Target, atlas: Atlas, plan: EditPlan, chosen: Sequence[Chosen], unedited: Unedited, tell: Progress
) -> EditResult:
    """The edit of chosen units, measured."""
    tell("drawing", 0, plan.draws + 2)
    samples, segmenter, before, was = unedited.samples, unedited.segmenter, unedited.pictures, unedited.labels
    where = None if plan.where is None else region_of(plan.where, before, segmenter, was)
    edits = edits_of(atlas, chosen, plan.scale)
    after = samples.draw(edits, where)
    tell("drawing", 1, plan.draws + 2)
    rivals = []
    for draw in range(plan.draws):
        others = random_units(atlas, chosen, plan.seed * 1000 + draw)
        rivals.append(samples.draw(edits_of(atlas, others, plan.scale), where))
        tell("drawing", draw + 2, plan.draws + 2)
    concept = segmenter.concept(plan.query or "")
    told = _measured(before, after, rivals, segmenter, concept, was, plan.seed)
    reference, features = _others(target, plan), unedited.features.result()
    told["quality"] = distances(before, after, rivals, reference, features, plan.seed)
    category = concept[0] if concept else next(iter(segmenter.names))
    strange = segmenter.is_learnt(category) and not takes_away(plan.scale) and is_far(told["quality"])
    told["quality"]["left_known"] = strange
    told |= {"region": _region(plan, segmenter, where), "random_units": len(others)}
    tell("drawing", plan.draws + 2, plan.draws + 2)
    return EditResult(before, after, _report(target, plan, chosen, edits, where, after) | told)


def fitting_segmenter(generator: str) -> str:
    """What sees most in a generator's pictures: of the carried one its things, of any other its colours."""
    return "carried:segmenter,colors" if generator == "carried:gan" else "colors"


def _chosen(
    target: Target, atlas: Atlas, plan: EditPlan, segmenter: Segmenter, device: str, tell: Progress
) -> list[Chosen]:
    if plan.units is not None:
        return named_units(atlas, plan.units)
    assert plan.query is not None
    if plan.how == TRIAL:
        from describer.eval.control.trial import CHOOSING, WIDTH, Trials

        concept = segmenter.needed(plan.query, f"--how {TRIAL}")
        found = choose_units(atlas, plan.query, ALL, plan.min_score, plan.layers)
        trials = Trials(Samples(target, plan.seed + 1, CHOOSING), segmenter, device)
        return trials.fewest(found, concept, plan.top, width=WIDTH, tell=lambda done, most: tell("trying", done, most))
    return WAYS[plan.how](atlas, plan.query, plan.top, plan.min_score, plan.layers)


def edits_of(atlas: Atlas, chosen: Sequence[Chosen], scale: str) -> list[Edit]:
    """One edit a layer."""
    found = []
    for layer, units in by_layer(chosen).items():
        if scale == "insert":
            exemplars = atlas.exemplars(layer)
            level = dict(zip(exemplars.unit_ids.tolist(), exemplars.threshold.tolist(), strict=True))
            found.append(Edit(layer, units, "raise", tuple(float(level[unit]) for unit in units)))
        else:
            factor = float(scale)
            found.append(Edit(layer, units, "scale", factor) if factor else Edit(layer, units, "ablate"))
    return found


def replay(target: Target, report: Mapping[str, Any]) -> EditResult:
    """The pictures before and after from a report alone; DescriberError where they come out otherwise."""
    try:
        plan = EditPlan(**{**report["plan"], "layers": tuple(report["plan"]["layers"])})
        edits = [Edit.from_json(told) for told in report["edits"]]
        mask = None if report["mask"] is None else torch.tensor(report["mask"])
        name, fingerprint = report["generator"]["name"], report["generator"]["fingerprint"]
        wanted, whole = str(report["pictures"]), isinstance(plan.seed, int) and isinstance(plan.samples, int)
        if not whole or (mask is not None and mask.ndim != 2):
            raise ValueError("a seed, a number of samples or a mask of another kind")
        edit_lines(report)  # what will be said of it
    except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as fault:
        got = f"one without {fault}" if isinstance(fault, KeyError) else str(fault)
        raise DescriberError(f"A report must be what edit --json prints. Got {got}. Repeat the edit.") from None
    if fingerprint != target.fingerprint:
        message = f"{target.name} must be the generator of the report"
        raise DescriberError(f"{message}. Got other weights than {name}. Name the right one.")
    samples = Samples(target, plan.seed, plan.samples)
    before = samples.draw()
    where = mask
    if plan.where is not None and mask is None:
        where = region_of(plan.where, before, Segmenter(plan.segmenter))
    after = samples.draw(edits, where)
    found = digest(after)
    if found != wanted:
        message = f"Replayed pictures must have digest {wanted[:8]}. Got {found[:8]}"
        raise DescriberError(f"{message}: other arithmetic on this machine. Repeat the edit here.")
    return EditResult(before, after, dict(report))


def read_report(path: Path) -> dict[str, Any]:
    """The report, or the steps of dials, in a file of JSON; DescriberError where it is none."""
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(told, dict):
            raise ValueError(f"a {type(told).__name__} instead of an object")
    except (OSError, ValueError, RecursionError) as fault:
        message = "A report must be the JSON that edit --json prints, and steps what the page of dials saves"
        raise DescriberError(f"{message}. Got {path}: {fault}. Correct it.") from None
    return told


def digest(pictures: Pictures) -> str:
    """sha256 over shape and pixels."""
    return hashlib.sha256(str(pictures.shape).encode() + pictures.tobytes()).hexdigest()


def _measured(
    before: Pictures,
    after: Pictures,
    rivals: Sequence[Pictures],
    segmenter: Segmenter,
    concept: Concept | None,
    was: Labels,
    seed: int,
) -> dict[str, Any]:
    now = segmenter.labels(after)
    own = measure(before, after, segmenter, concept, was, now)
    others = [measure(before, rival, segmenter, concept, was) for rival in rivals]
    names = dict(segmenter.names)
    told = compare(own, others, seed)
    if concept is None:  # nothing was asked for that the segmenter knows
        told = {name: value for name, value in told.items() if "relabelled" in name or "moved" in name}
    return {
        "concept": segmenter.names[concept[0]][concept[1]] if concept else None,
        "effect": told,
        "shares": {"before": shares(was, names), "after": shares(now, names)},
        "concept_share": {"before": float(own.before.mean()), "after": float(own.after.mean())} if concept else None,
    }


def _others(target: Target, plan: EditPlan) -> Pictures:
    """As many samples of another seed: what pictures of this generator look like."""
    return Samples(target, plan.seed + 1_000_003, plan.samples).draw()


def _region(
    plan: EditPlan, segmenter: Segmenter, where: Float[Tensor, "*samples height width"] | None
) -> dict[str, Any] | None:
    """Which class the edit is confined to, if it is to one, and its share of all pixels; None: edited everywhere."""
    if plan.where is None or where is None:
        return None
    concept = class_of(plan.where, segmenter)
    name = segmenter.names[concept[0]][concept[1]] if concept else None
    return {"class": name, "share": float(where.double().mean())}


def _report(
    target: Target,
    plan: EditPlan,
    chosen: Sequence[Chosen],
    edits: Sequence[Edit],
    where: Float[Tensor, "*samples height width"] | None,
    after: Pictures,
) -> dict[str, Any]:
    is_file = where is not None and plan.where is not None and not plan.where.startswith("class:")
    return {
        "package": __version__,
        "generator": {"name": target.name, "fingerprint": target.fingerprint},
        "plan": asdict(plan),
        "units": [{"id": each.id, **asdict(each)} for each in chosen],
        "edits": [each.as_json() for each in edits],
        "mask": where.tolist() if is_file and where is not None else None,
        "pictures": digest(after),
        "draws_of_intervals": DRAWS,
    }


def _silent(stage: str, done: int, total: int) -> None:
    """Progress for nobody."""
