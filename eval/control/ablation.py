"""The verb `ablate`: what a classifier loses without the units that a text names.

    report = ablate(target, Atlas.open("atlas"), load_images("scenes:400:9"), AblatePlan(query="green hills"))
    report["accuracy"]["change"]                     # {"value": -.04, "low": -.06, "high": -.02}
    report["classes"]["meadow"]                      # before, after, random: accuracy on the pictures of one class

Random units are as many of the same layers, or as many as are left there (`random_units`); where none is left, nothing
is said of them (None). Intervals draw pictures, and the draws of random units.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor
from torch.utils.data import DataLoader

from describer import __version__
from describer.atlas import Atlas
from describer.data.classes import class_labels
from describer.data.images import ImageSet
from describer.data.targets import Target
from describer.errors import AtlasError, DescriberError, TargetError
from describer.eval.control.choice import WAYS, Chosen, by_layer, named_units, random_draws, refuse_beside_units
from describer.eval.control.interval import interval
from describer.intervention import Edit, edited
from describer.layout import first_tensor, run

Progress = Callable[[str, int, int], None]
DRAWS = 1000
"Bootstrap draws."


@dataclass(frozen=True)
class AblatePlan:
    """What is cut, and how it is compared."""

    query: str | None = None
    "words of descriptions"
    units: str | None = None
    "layer:unit with commas, instead of a query"
    top: int = 20
    min_score: float | None = None
    layers: tuple[str, ...] = ()
    draws: int = 5
    "draws of random units"
    seed: int = 0
    batch_size: int = 64
    how: str = "words"
    "how units are found: words, meaning"

    def __post_init__(self) -> None:
        if (self.query is None) == (self.units is None):
            raise DescriberError("An ablation must have --query or --units. Got both or none. Give one.")
        if self.how not in WAYS:
            raise DescriberError(f"how must be {' or '.join(WAYS)}. Got {self.how!r}. Correct it.")
        refuse_beside_units(self.units, self.how, self.min_score, self.layers)


def checked(target: Target, atlas: Atlas) -> None:
    """TargetError for a generator, AtlasError where the atlas is of another network."""
    if target.is_generator:
        raise TargetError(f"{target.name} must be a classifier. Got a generator. Use describer edit.")
    if target.fingerprint != atlas.meta.model.fingerprint:
        message = f"{atlas.path} must be of {target.name}. Got an atlas of {atlas.meta.model.name}, other weights"
        raise AtlasError(f"{message}. Describe this network first.")


def chosen_units(target: Target, atlas: Atlas, plan: AblatePlan) -> list[Chosen]:
    """The units that the plan names; raises as `checked` does."""
    checked(target, atlas)
    if plan.units is not None:
        return named_units(atlas, plan.units)
    assert plan.query is not None
    return WAYS[plan.how](atlas, plan.query, plan.top, plan.min_score, plan.layers)


def ablate(
    target: Target, atlas: Atlas, images: ImageSet, plan: AblatePlan, progress: Progress | None = None
) -> dict[str, Any]:
    """Accuracy before, without the units and without random ones; JSON. Raises DescriberErrors."""
    chosen = chosen_units(target, atlas, plan)
    draws = random_draws(atlas, chosen, plan.seed, plan.draws)
    ways = [[], *map(cuts, [chosen, *draws])]
    truth = class_labels(images, target.class_names)
    index, predicted = predictions(target, images, ways, plan.batch_size, progress)
    known = truth[index] >= 0
    if not known.any():
        raise DescriberError(f"{images.source} must hold pictures of known classes. Got none. Check the labels.")
    truth, right = truth[index][known], (predicted == truth[index]).astype(np.float64)[:, known]
    return {
        "package": __version__,
        "model": {"name": target.name, "fingerprint": target.fingerprint},
        "images": {"source": images.source, "fingerprint": images.fingerprint, "n": int(known.sum())},
        "plan": asdict(plan),
        "units": [{"id": each.id, **asdict(each)} for each in chosen],
        "edits": [each.as_json() for each in cuts(chosen)],
        "random_units": len(draws[0]) if draws else 0,
        "accuracy": accuracies(right, plan.seed),
        "classes": by_class(right, truth, target.class_names, plan.seed),
    }


def cuts(chosen: Sequence[Chosen]) -> list[Edit]:
    """One ablation a layer."""
    return [Edit(layer, units, "ablate") for layer, units in by_layer(chosen).items()]


def read_batches(
    target: Target, images: ImageSet, batch_size: int, stage: str = "", progress: Progress | None = None
) -> Iterator[tuple[list[int], Tensor]]:
    """(numbers, inputs on the network's device) of the pictures that can be read; DescriberError where none can."""
    device = next((p.device for p in target.model.parameters()), torch.device("cpu"))
    inputs: Any = images.inputs(target.preprocess)
    n_read = 0
    for done, batch in enumerate(DataLoader(inputs, batch_size, collate_fn=list), 1):
        read = [(index, x) for index, x in batch if x is not None]
        n_read += len(read)
        if read:
            yield [index for index, _ in read], torch.stack([x for _, x in read]).to(device)
        if progress:
            progress(stage, min(done * batch_size, len(images)), len(images))
    if not n_read:
        raise DescriberError(f"{images.source} must hold readable pictures. Got none. Check the files.")


def predictions(
    target: Target, images: ImageSet, ways: Sequence[Sequence[Edit]], batch_size: int, progress: Progress | None = None
) -> tuple[Int64[np.ndarray, " read"], Int64[np.ndarray, "ways read"]]:
    """Which pictures could be read, and the class of highest logit of each under each way of editing."""
    indices: list[int] = []
    found: list[list[Tensor]] = [[] for _ in ways]
    for index, x in read_batches(target, images, batch_size, "classifying", progress):
        indices += index
        for way, predicted in zip(ways, found, strict=True):
            with torch.inference_mode(), edited(target.model, way, target.input_shape):
                logits = first_tensor(run(target.model, x))
            if logits is None or logits.ndim != 2:
                raise TargetError(f"{target.name} must give (batch, classes). Got other outputs. Use a classifier.")
            predicted.append(logits.argmax(1).cpu())
    return np.array(indices, np.int64), torch.stack([torch.cat(each) for each in found]).numpy()


def accuracies(right: np.ndarray, seed: int) -> dict[str, Any]:
    """Accuracy before (row 0), without the units (row 1) and without random ones (the rest), with 95 % intervals.

    Where there is no third row, random and what is beyond it are None.
    """
    dice, n, rivals = np.random.default_rng(seed), right.shape[1], right[2:]
    drawn = dice.integers(0, n, (DRAWS, n))
    before, after = right[0][drawn].mean(1), right[1][drawn].mean(1)
    means, random, picked = right.mean(1), np.nan, np.full(DRAWS, np.nan)
    if len(rivals):
        others = np.stack([row[drawn].mean(1) for row in rivals], 1)  # (draws, rivals)
        picked = np.take_along_axis(others, dice.integers(0, len(rivals), (DRAWS, len(rivals))), 1).mean(1)
        random = means[2:].mean()
    told = {
        "before": (means[0], before),
        "after": (means[1], after),
        "random": (random, picked),
        "change": (means[1] - means[0], after - before),
        "change_beyond_random": (means[1] - random, after - picked),
    }
    return {name: interval(value, spread) for name, (value, spread) in told.items()}


def by_class(right: np.ndarray, truth: np.ndarray, names: Sequence[str] | None, seed: int) -> dict[str, Any]:
    """Of every class that occurs, its number of pictures and its accuracies."""
    told = {}
    for number in np.unique(truth).tolist():
        own = right[:, truth == number]
        name = names[number] if names is not None and number < len(names) else str(number)
        told[name] = {"n": own.shape[1], **accuracies(own, seed)}
    return told
