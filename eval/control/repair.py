"""`ablate --repair`: the smallest set of units without which a classifier no longer makes a named mistake.

    report = repair(target, Atlas.open("atlas"), load_images("scenes:400:9"), RepairPlan("beach as lake"))
    report["units"]                       # what is cut, found on one half of the pictures
    report["test"]["failure"]             # how often the mistake is made on the other half: before, after, random

A mistake is a class whose pictures are called something else ("lake"), or one class called another ("beach as lake").
Units are ranked by the gradient, at 1, of the true class's log-probability by a factor on each unit (Molchanov et al.
2017), then sets of the best grow one unit at a time, the best few of each size kept (beam search), until one repairs
enough at no more than the cost, or the next sizes repair no more. Halves are drawn class by class, mistakes apart.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from difflib import get_close_matches
from fnmatch import fnmatchcase
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from PIL import Image
from torch.utils.data import Dataset, Subset

from describer import __version__
from describer.atlas import Atlas
from describer.data.classes import class_labels
from describer.data.images import ImageSet, Preprocess
from describer.data.targets import Target
from describer.errors import AtlasError, DescriberError
from describer.eval.control.ablation import Progress, accuracies, by_class, checked, cuts, predictions, read_batches
from describer.eval.control.choice import ALL, WAYS, Chosen, named_units, random_draws, refuse_beside_units, told_units
from describer.intervention import Edit, edited
from describer.layout import first_tensor, run

FEWEST = 4
"Mistakes below which no half has enough of them."
PATIENCE = 2
"Sizes of sets that are tried beyond the best one."
Truth = Int64[np.ndarray, " images"]
"The class of every picture of the whole set, -1 = unknown."


@dataclass(frozen=True)
class RepairPlan:
    """What is repaired, how far, and among which units."""

    failure: str
    "a class, or CLASS as OTHER"
    query: str | None = None
    "only units whose descriptions say these words"
    units: str | None = None
    "only these, layer:unit with commas"
    top: int = 8
    "most units to cut"
    goal: float = 0.5
    "share of the mistakes of the validation half that must be gone, 0..1"
    cost: float = 0.01
    "accuracy that may be lost there on the pictures that were no such mistake, 0..1"
    min_score: float | None = None
    layers: tuple[str, ...] = ()
    pool: int = 24
    "units of the best gradient that sets are made of"
    beam: int = 3
    "sets of each size that grow"
    draws: int = 20
    "draws of random units"
    seed: int = 0
    batch_size: int = 64
    how: str = "words"

    def __post_init__(self) -> None:
        if not 0 < self.goal <= 1 or not 0 <= self.cost <= 1:
            raise DescriberError(f"goal and cost must lie in 0..1. Got {self.goal} and {self.cost}. Correct them.")
        if self.query is not None and self.units is not None:
            raise DescriberError("A repair must seek in --query or in --units. Got both. Give one, or none.")
        if self.how not in WAYS:
            raise DescriberError(f"how must be {' or '.join(WAYS)}. Got {self.how!r}. Correct it.")
        refuse_beside_units(self.units, self.how, self.min_score, self.layers)


@dataclass(frozen=True)
class Failure:
    """A mistake: pictures of one class called another, or anything else."""

    wanted: int
    called: int | None
    "None: anything but the wanted class"

    @classmethod
    def of(cls, told: str, names: Sequence[str]) -> "Failure":
        """The mistake that a person names; DescriberError with the nearest class where there is none."""
        numbers = {name.lower(): number for number, name in enumerate(names)}
        parts = [told] if told.lower() in numbers else told.rsplit(" as ", 1)
        for part in parts:
            if part.strip().lower() not in numbers:
                near = ", ".join(get_close_matches(part.strip().lower(), list(numbers), 3, 0.0))
                raise DescriberError(f"--repair must be CLASS or CLASS as OTHER. Got {part!r}. The nearest: {near}.")
        wanted, *called = (numbers[part.strip().lower()] for part in parts)
        if called and called[0] == wanted:
            raise DescriberError(f"--repair must name two classes. Got {told!r}. Name what it is mistaken for.")
        return cls(wanted, called[0] if called else None)

    def made(
        self, truth: Int64[np.ndarray, " n"], predicted: Int64[np.ndarray, "*ways n"]
    ) -> Bool[np.ndarray, "*ways n"]:
        """Where the mistake is made."""
        return (truth == self.wanted) & (predicted != truth if self.called is None else predicted == self.called)


class Part(ImageSet):
    """Some pictures of a set, under their numbers there."""

    def __init__(self, images: ImageSet, indices: Sequence[int]):
        self.source, self.images, self.indices = images.source, images, list(indices)

    def __len__(self) -> int:
        return len(self.indices)

    def image(self, index: int) -> Image.Image:
        """Picture `index` of the part."""
        return self.images.image(self.indices[index])

    def inputs(self, preprocess: Preprocess | None) -> Dataset[Any]:
        """(number in the whole set, input)."""
        return Subset(self.images.inputs(preprocess), self.indices)

    def _digest(self) -> str:
        return hashlib.sha256(f"{self.images.fingerprint} {self.indices}".encode()).hexdigest()


def repair(
    target: Target, atlas: Atlas, images: ImageSet, plan: RepairPlan, progress: Progress | None = None
) -> dict[str, Any]:
    """The set found on the validation half and what it does on the test half; JSON. Raises DescriberErrors."""
    checked(target, atlas)
    failure = Failure.of(plan.failure, target.class_names or [])
    candidates = _candidates(atlas, plan)
    truth = class_labels(images, target.class_names)
    read, predicted = predictions(target, images, [[]], plan.batch_size, progress)
    known = truth[read] >= 0
    read, made = read[known], failure.made(truth[read], predicted[0])[known]
    if made.sum() < FEWEST:
        message = f"{images.source} must hold {FEWEST} pictures or more of {plan.failure!r} mistaken"
        raise DescriberError(f"{message}. Got {made.sum()} of {known.sum()} pictures. Give more pictures.")
    halves = split(truth[read], made, plan.seed)
    validation, test = Part(images, read[~halves].tolist()), Part(images, read[halves].tolist())
    worth = worths(target, validation, truth, failure, candidates, plan.batch_size)
    order = [candidates[i] for i in np.argsort(-worth, kind="stable") if worth[i] > 0][: plan.pool]
    search = Search(target, validation, truth, failure, plan)
    chosen = search.grow(order)
    return {
        "package": __version__,
        "model": {"name": target.name, "fingerprint": target.fingerprint},
        "images": {"source": images.source, "fingerprint": images.fingerprint, "n": len(read)},
        "plan": asdict(plan),
        "candidates": len(candidates),
        "sets": search.n_sets,
        "steps": search.steps,
        "repaired": max(step["repaired"] for step in search.steps) >= plan.goal,
        "units": [{"id": each.id, **asdict(each)} for each in chosen],
        "edits": [each.as_json() for each in cuts(chosen)],
        "validation": _effect(target, atlas, validation, truth, failure, chosen, plan),
        "test": _effect(target, atlas, test, truth, failure, chosen, plan),
    }


def _candidates(atlas: Atlas, plan: RepairPlan) -> list[Chosen]:
    """The units that may be cut: those asked for, or all that are not dead."""
    if plan.units is not None:
        return named_units(atlas, plan.units)
    if plan.query is not None:
        return WAYS[plan.how](atlas, plan.query, ALL, plan.min_score, plan.layers)
    told, found = told_units(atlas), []
    for layer in (name for name in atlas.layers if not plan.layers or any(fnmatchcase(name, p) for p in plan.layers)):
        exemplars = atlas.exemplars(layer)
        alive = exemplars.unit_ids[~exemplars.dead].tolist()
        found += [told.get((layer, unit), Chosen(layer, unit, None, "", None)) for unit in alive]
    if not found:
        raise AtlasError(f"{atlas.path} must have units that are not dead. Got none. Correct --layers.")
    return found


def split(truth: Int64[np.ndarray, " n"], made: Bool[np.ndarray, " n"], seed: int) -> Bool[np.ndarray, " n"]:
    """Which pictures test: half of every class, and half of the mistakes."""
    dice, test = np.random.default_rng(seed), np.zeros(len(truth), bool)
    for group in {(int(label), bool(wrong)) for label, wrong in zip(truth, made, strict=True)}:
        own = dice.permutation(np.flatnonzero((truth == group[0]) & (made == group[1])))
        test[own[: len(own) // 2]] = True
    return test


def worths(
    target: Target, images: ImageSet, truth: Truth, failure: Failure, candidates: Sequence[Chosen], batch_size: int
) -> Float[np.ndarray, " candidates"]:
    """Minus the derivative, by a factor on each unit, of the mean log-probability of the true class.

    Mistakes count as much as all other pictures together. What is positive gains when the unit is turned down.
    """
    layers = {
        layer: [i for i, each in enumerate(candidates) if each.layer == layer]
        for layer in {c.layer for c in candidates}
    }
    sums = np.zeros((2, len(candidates)))
    counts = np.zeros(2)
    for index, x in read_batches(target, images, batch_size):
        device = x.device
        factors = {layer: torch.ones(len(rows), device=device, requires_grad=True) for layer, rows in layers.items()}
        edits = [
            Edit(layer, tuple(candidates[i].unit for i in layers[layer]), "scale", factor)
            for layer, factor in factors.items()
        ]
        with torch.enable_grad(), edited(target.model, edits, target.input_shape):
            logits = first_tensor(run(target.model, x))
            assert logits is not None
            each = logits.float().log_softmax(1)[torch.arange(len(x)), torch.as_tensor(truth[index], device=device)]
        made = failure.made(truth[index], logits.detach().argmax(1).cpu().numpy())
        for row, part in enumerate((made, ~made)):
            counts[row] += part.sum()
            if part.any():
                total = each[torch.as_tensor(part, device=device)].sum()
                slopes = torch.autograd.grad(total, [*factors.values()], retain_graph=True, allow_unused=True)
                for rows, slope in zip(layers.values(), slopes, strict=True):
                    sums[row, rows] -= 0.0 if slope is None else slope.double().cpu().numpy()
    return np.asarray((sums / np.maximum(counts, 1)[:, None]).sum(0))


class Search:
    """Beam search for the smallest set, on the validation half."""

    def __init__(self, target: Target, images: ImageSet, truth: Truth, failure: Failure, plan: RepairPlan) -> None:
        """All of the images must be readable."""
        self.target, self.truth, self.plan = target, truth, plan
        self.steps, self.n_sets = list[dict[str, Any]](), 0
        index, predicted = predictions(target, images, [[]], plan.batch_size)
        made = failure.made(truth[index], predicted[0])
        self.failure, self.right = failure, (predicted[0] == truth[index])[~made]
        self.mistaken, self.others = (Part(images, np.flatnonzero(part).tolist()) for part in (made, ~made))

    def grow(self, pool: Sequence[Chosen]) -> list[Chosen]:
        """The best set of the first size that reaches the goal, else the best of all; DescriberError if none helps."""
        beam: list[tuple[Chosen, ...]] = [()]
        best: tuple[float, tuple[Chosen, ...]] = 0.0, ()
        size = 0
        for size in range(1, min(self.plan.top, len(pool)) + 1):
            grown = {frozenset((*kept, each)): (*kept, each) for kept in beam for each in pool if each not in kept}
            ranked = self._ranked([*grown.values()])
            if not ranked:
                break
            repaired, loss, found = ranked[0]
            self.steps.append({"units": [each.id for each in found], "repaired": repaired, "cost": loss})
            if repaired > best[0]:
                best = repaired, found
            if repaired >= self.plan.goal or size >= len(best[1]) + PATIENCE:
                break
            beam = [kept for _, _, kept in ranked[: self.plan.beam]]
        if not best[1]:
            message = f"Some units must repair {self.plan.failure!r} at a cost of {self.plan.cost} or less"
            got = f"none of {self.n_sets} sets of at most {size} of {len(pool)} units"
            got = got if pool else "no unit whose slope speaks for a cut"
            raise DescriberError(f"{message}. Got {got}. Raise --cost or name other --layers.")
        return list(best[1])

    def _ranked(self, sets: Sequence[tuple[Chosen, ...]]) -> list[tuple[float, float, tuple[Chosen, ...]]]:
        """(share repaired, accuracy lost elsewhere, set) of those within the cost, best first; of them `beam` or more.

        Where one unit alone mends nothing, those of the best gradient grow.
        """
        self.n_sets += len(sets)
        repaired, found = self.repaired(sets), list[tuple[float, float, tuple[Chosen, ...]]]()
        for share in np.unique(repaired)[::-1]:  # what accuracy a set costs takes long: only as far as is needed
            own = [sets[i] for i in np.flatnonzero(repaired == share).tolist()]
            lost = self.lost(own)
            order = np.argsort(np.clip(lost, 0, None), kind="stable").tolist()
            found += [(float(share), float(lost[i]), own[i]) for i in order if lost[i] <= self.plan.cost + 1e-12]
            if len(found) >= self.plan.beam:
                break
        return found

    def repaired(self, sets: Sequence[tuple[Chosen, ...]]) -> Float[np.ndarray, " sets"]:
        """Of each set the share of mistakes that is gone."""
        index, predicted = predictions(self.target, self.mistaken, [*map(cuts, sets)], self.plan.batch_size)
        return 1 - self.failure.made(self.truth[index], predicted).mean(1)

    def lost(self, sets: Sequence[tuple[Chosen, ...]]) -> Float[np.ndarray, " sets"]:
        """Of each set the accuracy lost on all pictures that were no mistake."""
        if not len(self.others):
            return np.zeros(len(sets))
        index, predicted = predictions(self.target, self.others, [*map(cuts, sets)], self.plan.batch_size)
        return self.right.mean() - (predicted == self.truth[index]).mean(1)


def _effect(
    target: Target,
    atlas: Atlas,
    images: ImageSet,
    truth: Truth,
    failure: Failure,
    chosen: Sequence[Chosen],
    plan: RepairPlan,
) -> dict[str, Any]:
    """How often the mistake is made, and accuracy, before, after and with random units cut."""
    draws = random_draws(atlas, chosen, plan.seed, plan.draws)
    ways = [[], *map(cuts, [chosen, *draws])]
    index, predicted = predictions(target, images, ways, plan.batch_size)
    own = truth[index]
    of_class = own == failure.wanted
    made = failure.made(own, predicted)[:, of_class].astype(np.float64)
    right = (predicted == own).astype(np.float64)
    return {
        "n": len(own),
        "random_units": len(draws[0]) if draws else 0,
        "failure": {"n": int(of_class.sum()), **accuracies(made, plan.seed)},
        "accuracy": accuracies(right, plan.seed),
        "classes": by_class(right, own, target.class_names, plan.seed),
    }
