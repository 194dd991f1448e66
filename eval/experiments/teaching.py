"""Captioners that learn from some annotated networks, and units of a tenth that none of them has learnt from.

    plan = Plan("runs/generalization", steps=150)
    captioner = trained([Path("alexnet/imagenet")], "alexnet", trial=0, plan=plan)
    units = units_of(Captioner.carried(), "resnet", Path("resnet152/imagenet"), 0, plan)
    texts_of(captioner, units), units.human

Folders are MILANNOTATIONS'. A unit's tenth is that of its name, so that captioners of any networks are tested alike.
"""

import sys
from collections.abc import Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from describer.captioner import CARRIED, Captioner
from describer.data.milannotations import list_annotated_layers, read_annotated_exemplars
from describer.decoding import DecodingSettings, describe_sets
from describer.errors import DescriberError, ImagesError
from describer.training.captioner import CaptionerRecipe
from describer.training.corpus import split_of
from describer.training.regiontable import N_LOOKS, region_table
from describer.training.sources import load_corpus

FEWEST = 20
"Annotated units of a network below which a tenth is nothing to test by."


@dataclass(frozen=True)
class Plan:
    """How often, and how long, the captioner is trained."""

    folder: str
    "keeps what was read, and every captioner"
    trials: int = 1
    "each with another tenth of the units to test by"
    steps: int = 150
    "of each training"
    n_sets: int = 32
    "sets a step"
    k: int = 10
    "exemplars of a unit"
    learning_rate: float = 2e-4
    start: str = str(CARRIED)
    "folder of the captioner that goes on learning"
    seed: int = 0

    def __post_init__(self) -> None:
        if not 1 <= self.trials <= 10 or self.steps < 1:
            raise DescriberError(f"trials must be 1 to 10, steps above 0. Got {self.trials}, {self.steps}. Mend it.")

    def fold(self, trial: int) -> int:
        """The tenth that a trial tests by; the next one chooses among its checkpoints."""
        return (self.seed + trial) % 10


@dataclass(frozen=True, eq=False)
class Tested:
    """Units to describe, and what people wrote of them."""

    features: Float[Tensor, "units k features"]
    present: Bool[Tensor, "units k"]
    human: list[list[str]]


def networks_of(names: Sequence[str]) -> dict[str, Path]:
    """Name -> folder of "NAME=FOLDER"; ImagesError where a name comes twice or a folder has too few annotated units."""
    found: dict[str, Path] = {}
    for text in names:
        name, equals, folder = text.partition("=")
        found[name if equals else Path(text).name] = Path(folder if equals else text).resolve()
    if len(found) < len(names) or not found:
        raise ImagesError(
            f"Networks must have names of their own. Got {', '.join(names) or 'none'}. Write NAME=FOLDER."
        )
    for root in found.values():
        number = sum(len(own) for own in sentences_of(root, range(10)).values())
        if number < FEWEST:
            raise ImagesError(f"{root} must have {FEWEST} units that two people described. Got {number}. Add some.")
    return found


def sentences_of(folder: Path, folds: Sequence[int]) -> dict[str, list[list[str]]]:
    """Layer -> what people wrote of each unit of these folds that two or more described."""
    found = {}
    for layer in list_annotated_layers(folder):
        own = read_annotated_exemplars(folder, layer)
        found[layer] = [
            said
            for unit, said in zip(own.unit_ids.tolist(), own.annotations, strict=True)
            if len(said) >= 2 and split_of(f"{layer}:{unit}") in folds
        ]
    return found


def trainings(names: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """What a captioner is trained on: each network alone; of three or more, all but one too ("all but NAME")."""
    alone: dict[str, tuple[str, ...]] = {name: (name,) for name in names}
    if len(names) < 3:
        return alone
    return alone | {f"all but {name}": tuple(other for other in names if other != name) for name in names}


def recipe_of(folders: Sequence[Path], name: str, trial: int, plan: Plan) -> CaptionerRecipe:
    """The recipe of one training; the two tenths that test and choose are not in it."""
    fold, judging = plan.fold(trial), (plan.fold(trial) + 1) % 10
    return CaptionerRecipe(
        out=str(Path(plan.folder).resolve() / f"{name.replace(' ', '-')}-{trial}"),
        sources=[source_of(folder, plan) for folder in folders],
        start=plan.start,
        folds=[number for number in range(10) if number not in (fold, judging)],
        held_out_folds=[judging],
        n_sets=plan.n_sets,
        n_exemplars=plan.k,
        n_phrases=256,
        steps=plan.steps,
        phrase_steps=0,
        every=max(1, plan.steps // 2),
        learning_rate=plan.learning_rate,
        patience=None,
        seed=plan.seed + trial,
    )


def source_of(folder: Path, plan: Plan) -> dict[str, Any]:
    """A network's folder as a source of a recipe."""
    return {"source": "milannotations", "paths": str(folder), "k": plan.k}


def trained(folders: Sequence[Path], name: str, trial: int, plan: Plan) -> Captioner:
    """The captioner of one training; one that is there already is read."""
    recipe = recipe_of(folders, name, trial, plan)
    done = Path(recipe.out) / "captioner"
    if not (done / "recipe.json").exists():
        judging = load_corpus(recipe.sources, recipe.held_out_folds, Path(recipe.out).parent / "corpus")
        if not any(len(ids) >= 5 for ids in judging.phrases.values()):
            message = f"{name} must have units in tenth {recipe.held_out_folds[0]} of which two people said the same"
            raise ImagesError(f"{message}. Got none. Give another --seed, or more units.")
        with redirect_stdout(sys.stderr):  # what training tells is no result
            recipe.train()
    return Captioner.from_pretrained(done)


def units_of(captioner: Captioner, name: str, folder: Path, trial: int, plan: Plan) -> Tested:
    """The units of a trial's tenth that two or more people described, as the captioner sees their exemplars."""
    keep = Path(plan.folder).resolve()
    corpus = load_corpus([source_of(folder, plan)], [plan.fold(trial)], keep / "corpus")
    with redirect_stdout(sys.stderr):
        table = region_table(captioner.encoder, corpus, keep / f"tested-{name}-{trial}.npy")
    sets = [(regions, said) for regions, said in corpus.sets if len(said) >= 2]
    features = torch.zeros(len(sets), plan.k, captioner.encoder.n_features)
    present = torch.zeros(len(sets), plan.k, dtype=torch.bool)
    for row, (regions, _) in enumerate(sets):
        looks = table.features[regions * N_LOOKS]  # the first look is under the exact mask
        features[row, : len(regions)] = torch.from_numpy(looks.astype(np.float32))
        present[row, : len(regions)] = True
    return Tested(features, present, [list(said) for _, said in sets])


BY_VECTORS = DecodingSettings(evidence=1.0, contrast=0.0, apart=0.0)
"How a captioner without a phrase reader tells best."


@torch.inference_mode()
def texts_of(captioner: Captioner, units: Tested, settings: DecodingSettings | None = None) -> list[str]:
    """The best text of every unit."""
    usual = BY_VECTORS if captioner.phrase_reader is None else DecodingSettings()
    rows = describe_sets(captioner, units.features, units.present, settings or usual)
    return [row[0].text if row else "" for row in rows]
