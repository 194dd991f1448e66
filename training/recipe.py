"""Recipes: YAML files that say what is trained, on what, how, and with which seed.

kind: captioner            # backbone, captioner, classifier, gan, nli, segmenter; or a recipe of a higher floor by
                           # its whole name, such as describer.eval.games.training:PlayersRecipe
out: runs/captioner        # checkpoints and weights; relative to the working directory
data: ../shared/data       # put before every relative path below; $DESCRIBER_DATA overrides it
seed: 0
...                        # the rest is told by the dataclass of the kind
"""

import dataclasses
import importlib
import os
import re
from pathlib import Path
from typing import Any

import yaml

from describer.errors import RecipeError

KINDS = {
    "backbone": ("describer.training.backbone", "BackboneRecipe"),
    "captioner": ("describer.training.captioner", "CaptionerRecipe"),
    "classifier": ("describer.training.classifier", "ClassifierRecipe"),
    "gan": ("describer.training.gan", "GanRecipe"),
    "listener": ("describer.training.listener", "ListenerRecipe"),
    "nli": ("describer.training.nli", "NliRecipe"),
    "segmenter": ("describer.training.segmenter", "SegmenterRecipe"),
}

PATHS = ("path", "paths", "labels", "masks", "photos")
"fields of a source that are paths"


def carry_out(path: str | Path, resume: bool = True) -> Path:
    """Reads a recipe, trains, and returns the folder with the weights."""
    recipe = read_recipe(path)
    return recipe.train(resume)


def read_recipe(path: str | Path, **changes: Any) -> Any:
    """The recipe of a YAML file as its frozen dataclass, with fields changed by name."""
    path = Path(path)
    if not path.is_file():
        raise RecipeError(f"a recipe must be a YAML file. Got {path}, which does not exist. Check the path.")
    try:
        fields = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as fault:
        raise RecipeError(f"a recipe must be valid YAML. Got {path}: {str(fault).splitlines()[0]}.") from fault
    if not isinstance(fields, dict) or _place(fields.get("kind")) is None:
        kind = fields.get("kind") if isinstance(fields, dict) else fields
        raise RecipeError(f"kind must be one of {', '.join(KINDS)}. Got {kind!r} in {path}.")
    return make_recipe(fields | changes)


def make_recipe(fields: dict[str, Any]) -> Any:
    """The frozen dataclass of a recipe's fields; an unknown or missing field is a RecipeError."""
    recipe = _recipe(fields["kind"])
    known = {field.name for field in dataclasses.fields(recipe)}
    given = {key: value for key, value in fields.items() if key != "kind"}
    if unknown := sorted(set(given) - known):
        raise RecipeError(
            f"a {fields['kind']} recipe must have fields out of {sorted(known)}. Got {unknown}. Take them out."
        )
    try:
        return recipe(**given)
    except TypeError as fault:
        raise RecipeError(f"a {fields['kind']} recipe must name all its fields. Got: {fault}.") from fault


def _place(kind: Any) -> tuple[str, str] | None:
    """Module and name of a kind; of whole names only those of this package, so that no recipe runs other code."""
    if isinstance(kind, str) and re.fullmatch(r"describer(\.\w+)+:\w+Recipe", kind):
        module, _, name = kind.partition(":")
        return module, name
    return KINDS.get(kind) if isinstance(kind, str) else None


def _recipe(kind: str) -> Any:
    place = _place(kind)
    assert place is not None
    try:
        return getattr(importlib.import_module(place[0]), place[1])
    except (ImportError, AttributeError) as fault:
        raise RecipeError(f"kind must name a recipe that there is. Got {kind!r}: {fault}.") from fault


def under(data: str, path: Any) -> Any:
    """A recipe's path, or each of a list, under its data folder; absolute paths stay."""
    if isinstance(path, list):
        return [under(data, part) for part in path]
    return str(Path(os.environ.get("DESCRIBER_DATA", data)) / path)


def placed(sources: list[dict[str, Any]], data: str) -> list[dict[str, Any]]:
    """The sources of a recipe with their paths under its data folder."""
    return [{key: under(data, value) if key in PATHS else value for key, value in spec.items()} for spec in sources]
