"""The verb `pick`: the few units of an atlas that are worth a person's time.

    report = pick(Atlas.open("atlas"), PickPlan(number=20))
    report["units"][0]              # {"id": "layer4:57", "text": "green hills", "gain": .09, "coverage": .09, …}
    report["coverage"]              # of all that the layer's units answer to the probe set, the share these cover
    report = pick(atlas, PickPlan(number=20), target, images)       # … that they contribute to what it predicts

As the submodular pick of LIME (Ribeiro et al. 2016, eq. 3 and 4), with units for its instances and probe images for its
features: W (units, images) is what a unit contributes to an image, I_j = sqrt(sum_u W_uj) how much image j matters, and

    coverage(S) = sum_j I_j max_{u in S} W_uj / max_u W_uj

LIME counts an image as covered by any W_uj > 0; a maximum tells a weak answer from a strong one and is the same where W
is 0 or 1. A second unit for the same images adds nothing, so near copies are not picked. Every layer counts as much.

Given the network and images, W is what a unit adds to the logit of the predicted class or takes from it, as `explain`
tells it; without them it is how a unit answers the probe set, in its own currency.
"""

import heapq
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from fnmatch import fnmatchcase
from math import e
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int64

from describer import __version__
from describer.atlas import Atlas
from describer.data.images import ImageSet
from describer.data.targets import Target
from describer.errors import AtlasError
from describer.eval.control.ablation import Progress, checked, read_batches
from describer.eval.control.choice import Chosen, told_units
from describer.eval.control.explanation import contributions, predicted
from describer.eval.control.interval import interval
from describer.exemplars import Exemplars
from describer.responses import Responses

GUARANTEE = 1 - 1 / e
"Of the best coverage that any as many units reach, the share that greedy choice reaches at least (Nemhauser 1978)."
SHOWN = 5
"Images named for a unit."
POINTS = 8
"Of the path that contributions are integrated along."
BATCH = 8
"Images at a time."


@dataclass(frozen=True)
class PickPlan:
    """What is picked, and from what."""

    number: int = 20
    "units to pick"
    layers: tuple[str, ...] = ()
    "names or patterns; none: all of the atlas"
    described: bool = False
    "whether only units with a description can be picked; what all units answer is to be covered either way"
    draws: int = 200
    "draws of as many random units to compare with"
    seed: int = 0

    def __post_init__(self) -> None:
        if min(self.number, self.draws) < 1:
            raise AtlasError(f"-n and draws must be 1 or more. Got {self.number} and {self.draws}. Raise them.")


@dataclass(frozen=True, eq=False)
class Picked:
    """What greedy choice found, best first."""

    rows: tuple[int, ...]
    gains: tuple[float, ...]
    "what each adds to the coverage of those before it"
    bound: float
    "no as many rows cover more"


class Cover:
    """What chosen rows cover; one table (units, images) a layer, their rows numbered through."""

    def __init__(self, tables: Sequence[Float[np.ndarray, "_ _"]]) -> None:
        self.tables = list(tables)
        self.places = [(layer, row) for layer, table in enumerate(tables) for row in range(len(table))]
        self.covered = [np.zeros(table.shape[1]) for table in tables]

    def added(self, row: int) -> Float[np.ndarray, " images"]:
        """What a row adds to the images of its layer."""
        layer, place = self.places[row]
        return np.maximum(self.tables[layer][place] - self.covered[layer], 0)

    def add(self, row: int) -> None:
        """Choose the row."""
        layer, place = self.places[row]
        self.covered[layer] = np.maximum(self.covered[layer], self.tables[layer][place])

    def values(self) -> list[float]:
        """What is covered, a number a layer."""
        return [float(covered.sum()) for covered in self.covered]


def pick(
    atlas: Atlas,
    plan: PickPlan,
    target: Target | None = None,
    images: ImageSet | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """The units with what each adds, beside random ones; JSON. AtlasError where no unit can be picked.

    With ``target`` and ``images`` by what the units contribute to its predictions of them, else by what they answer.
    """
    layers = [name for name in atlas.layers if not plan.layers or any(fnmatchcase(name, p) for p in plan.layers)]
    if not layers:
        raise AtlasError(f"--layers must name layers of {atlas.path}. Got others. It has {', '.join(atlas.layers)}.")
    told = told_units(atlas)
    moved = None if target is None or images is None else contributed(target, atlas, layers, images, progress)
    tables, units, shown, read = [], [], [], {}
    for layer in layers:
        exemplars, responses = atlas.exemplars(layer), atlas.responses(layer)
        weights, seen = answers(exemplars, responses) if moved is None else (moved.weights[layer], moved.images)
        tables.append(scaled(weights))
        shown.append(seen.tolist())
        units += [told.get((layer, unit), Chosen(layer, unit, None, "", None)) for unit in exemplars.unit_ids.tolist()]
        read[layer] = "contributions" if moved else "exemplars" if responses is None else "responses"
    cover = Cover(tables)
    able = [row for row, unit in enumerate(units) if cover.added(row).any() and (unit.text or not plan.described)]
    if not able:
        raise AtlasError(f"{atlas.path} must have units that can be picked. Got none. Describe it on more images.")
    whole = [float(table.max(0, initial=0.0).sum()) for table in tables]
    found = greedy(tables, plan.number, able)
    reached = [_covered(tables, found.rows)[layer] / max(of, 1e-12) for layer, of in enumerate(whole)]
    return {
        "package": __version__,
        "model": {"name": atlas.meta.model.name, "fingerprint": atlas.meta.model.fingerprint},
        "plan": asdict(plan),
        "read": read,
        **({} if moved is None else {"images": moved.told}),
        "candidates": len(able),
        "coverage": sum(found.gains) / sum(whole),
        "layers": dict(zip(layers, reached, strict=True)),
        "of_the_best": {"at_least": max(sum(found.gains) / found.bound, GUARANTEE), "always": GUARANTEE},
        "random": _random(tables, able, len(found.rows), sum(whole), plan),
        "units": _told(cover, found, sum(whole), units, shown),
    }


@dataclass(frozen=True, eq=False)
class Contributed:
    """What the units of layers contribute to the predictions for images."""

    weights: dict[str, Float[np.ndarray, "units images"]]
    "of every layer, 0 or more, in logits"
    images: Int64[np.ndarray, " images"]
    "those that could be read"
    told: dict[str, Any]
    "which images, and the share of what a layer gives that its contributions miss"


def contributed(
    target: Target, atlas: Atlas, layers: Sequence[str], images: ImageSet, progress: Progress | None = None
) -> Contributed:
    """|what each unit of the atlas adds to the logit that is highest|, image by image; raises DescriberErrors."""
    checked(target, atlas)
    units = {layer: atlas.exemplars(layer).unit_ids for layer in layers}
    found: dict[str, list[torch.Tensor]] = {layer: [] for layer in layers}
    missing: dict[str, list[torch.Tensor]] = {layer: [] for layer in layers}
    seen: list[int] = []
    for index, x in read_batches(target, images, BATCH, "contributions", progress):
        outputs = predicted(target.model, x)
        for layer in layers:
            places, end, start = contributions(target.model, x, layer, outputs, POINTS)
            whole = places.sum((2, 3)).cpu()
            found[layer].append(whole[:, units[layer]].abs().T)
            missing[layer].append(torch.stack([(end - start).cpu() - whole.sum(1), (end - start).cpu()]).abs())
        seen += index
    lost, all_ = zip(*(torch.cat(missing[layer], 1).sum(1).tolist() for layer in layers), strict=True)
    told = {"source": images.source, "fingerprint": images.fingerprint, "n": len(seen)}
    told["missing"] = {name: a / max(b, 1e-12) for name, a, b in zip(layers, lost, all_, strict=True)}
    return Contributed({n: torch.cat(each, 1).numpy() for n, each in found.items()}, np.array(seen, np.int64), told)


def answers(
    exemplars: Exemplars, responses: Responses | None
) -> tuple[Float[np.ndarray, "units images"], Int64[np.ndarray, " images"]]:
    """(W, images): how strongly each unit answers each image, 0 or more, in its own currency; 0 of dead units.

    With responses: how many standard deviations the unit's mean over places is above its mean over the images that
    judge; below it, 0. Without them: its peak as a share of its highest, on its exemplars alone.
    """
    alive = ~exemplars.dead.numpy()[:, None]
    if responses is not None:
        means = responses.rows(exemplars.unit_ids).means
        spread = means.std(1, correction=0, keepdim=True)
        above = (means - means.mean(1, keepdim=True)).clamp_min(0) / spread.clamp_min(1e-9)
        return torch.where(spread > 1e-9, above, 0.0).numpy() * alive, responses.images.numpy()
    found = np.unique(exemplars.images[exemplars.images >= 0].numpy())
    weights = np.zeros((len(exemplars), len(found)), np.float32)
    for row, (at, peaks) in enumerate(zip(exemplars.images.numpy(), exemplars.activations.numpy(), strict=True)):
        seen = at >= 0
        if seen.any() and peaks[seen].max() > 0:
            weights[row, np.searchsorted(found, at[seen])] = np.clip(peaks[seen] / peaks[seen].max(), 0, None)
    return weights * alive, found


def scaled(weights: Float[np.ndarray, "units images"]) -> Float[np.ndarray, "units images"]:
    """I_j W_uj / max_u W_uj, with all I of the layer adding up to 1; an image that no unit answers counts 0."""
    importance, most = np.sqrt(weights.sum(0)), weights.max(0, initial=0.0)
    total = importance.sum()
    return weights * np.where(most > 0, importance / np.maximum(most, 1e-12), 0.0) / (total if total > 0 else 1.0)


def greedy(tables: Sequence[Float[np.ndarray, "_ _"]], number: int, able: Sequence[int] | None = None) -> Picked:
    """At most `number` of the `able` rows (None: all), each the one that adds most, the first of equal ones.

    Rows that add nothing are left out. Lazy (Minoux 1978): what a row adds can only fall, so one that was looked at
    since the last choice and still stands first is the best.
    """
    cover = Cover(tables)
    able = range(len(cover.places)) if able is None else able
    heap = [(-float(cover.added(row).sum()), row, 0) for row in able]
    bound = _bound(cover, able, number, 0.0)
    heapq.heapify(heap)
    rows: list[int] = []
    gains: list[float] = []
    while heap and len(rows) < number:
        gain, row, looked = heapq.heappop(heap)
        if looked < len(rows):
            heapq.heappush(heap, (-float(cover.added(row).sum()), row, len(rows)))
        elif -gain <= 1e-12:
            break
        else:
            rows.append(row)
            gains.append(-gain)
            cover.add(row)
            bound = min(bound, _bound(cover, able, number, sum(gains)))
    return Picked(tuple(rows), tuple(gains), bound)


def _bound(cover: Cover, able: Sequence[int], number: int, covered: float) -> float:
    """No `number` rows cover more than what is covered and the most that as many rows could add to it, one by one."""
    gains = np.array([cover.added(row).sum() for row in able])
    return covered + float(np.sort(gains)[::-1][:number].sum())


def _covered(tables: Sequence[Float[np.ndarray, "_ _"]], rows: Sequence[int]) -> list[float]:
    cover = Cover(tables)
    for row in rows:
        cover.add(row)
    return cover.values()


def _random(
    tables: Sequence[Float[np.ndarray, "_ _"]], able: Sequence[int], number: int, whole: float, plan: PickPlan
) -> dict[str, float | None]:
    """What as many random ones of the units that could be picked cover."""
    dice = np.random.default_rng(plan.seed)
    sets = [dice.choice(able, number, replace=False).tolist() for _ in range(plan.draws)]
    drawn = np.array([sum(_covered(tables, rows)) / whole for rows in sets])
    return interval(float(drawn.mean()), drawn)


def _told(
    cover: Cover, found: Picked, whole: float, units: Sequence[Chosen], images: Sequence[Sequence[int]]
) -> list[dict[str, Any]]:
    """Each unit with its words, what it adds, what is covered then, and the images that it adds most to."""
    told, reached = [], 0.0
    for row, gain in zip(found.rows, found.gains, strict=True):
        added, (layer, _), unit = cover.added(row), cover.places[row], units[row]
        cover.add(row)
        reached += gain / whole
        best = [images[layer][i] for i in np.argsort(-added, kind="stable")[:SHOWN].tolist() if added[i] > 0]
        told.append({"id": unit.id, **asdict(unit), "gain": gain / whole, "coverage": reached, "images": best})
    return told
