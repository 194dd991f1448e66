"""Annotated exemplars of networks over drawn scenes, where nobody has annotated any: the scenes' own words.

    root = write_network("carried:scenes", "scenes:300:31", "milan/scenes")      # a MILANNOTATIONS folder
    python -m describer.eval.experiments.generalization draw carried:scenes scenes:300:31 milan/scenes

No person wrote these. Each of three speakers is shown some of a unit's exemplars and says, in wording of its own, the
concept of the drawn world (red roofs, boats on water …) whose exact mask has the highest IoU with them.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
from jaxtyping import Bool

from describer.data.drawn import DrawnImages
from describer.data.images import load_images
from describer.data.milannotations import write_exemplars
from describer.data.scenes import keys_of, wordings
from describer.data.targets import load_target
from describer.describe import default_layers, example_of
from describer.errors import ImagesError
from describer.exemplars import Exemplars
from describer.layout import list_layers, match_layers
from describer.probe import ProbeSettings, probe

Progress = Callable[[str, int, int], None]
SIDE = 32
"Cells a side on which masks and concepts meet."
SEEN = 9
"Exemplars that each speaker is shown, of 15."


class Concepts:
    """The concepts of scenes as masks of SIDE cells a side; the last few hundred scenes are kept."""

    def __init__(self, images: DrawnImages) -> None:
        self.images = images
        self.of = lru_cache(maxsize=512)(self._of)

    def _of(self, index: int) -> tuple[tuple[str, ...], Bool[np.ndarray, "keys cells"]]:
        scene = self.images.scenes.scene(index)
        step = scene.size // SIDE
        found = {
            key: mask[step // 2 :: step, step // 2 :: step].ravel()
            for key, mask in keys_of(scene).items()
            if wordings(key)
        }
        return tuple(found), np.stack(list(found.values()))


def best_concept(masks: Bool[np.ndarray, "exemplars cells"], seen: Sequence[int], concepts: Concepts) -> str | None:
    """The concept of highest IoU with the masks over the scenes `seen`; None where the masks are empty."""
    both: dict[str, int] = {}
    areas: dict[str, int] = {}
    for mask, index in zip(masks, seen, strict=True):
        keys, cells = concepts.of(index)
        inside = cells[:, mask].sum(1).tolist()
        for key, hit, area in zip(keys, inside, cells.sum(1).tolist(), strict=True):
            both[key], areas[key] = both.get(key, 0) + hit, areas.get(key, 0) + area
    size = int(masks.sum())
    if not size:
        return None
    return max(both, key=lambda key: (both[key] / (size + areas[key] - both[key]), key))


def sentences(
    exemplars: Exemplars, images: DrawnImages, people: int = 3, seed: int = 0, concepts: Concepts | None = None
) -> Mapping[int, list[str]]:
    """What `people` speakers say of every living unit."""
    concepts, said = concepts or Concepts(images), {}
    for row, unit in enumerate(exemplars.unit_ids.tolist()):
        there = [rank for rank, index in enumerate(exemplars.images[row].tolist()) if index >= 0]
        if bool(exemplars.dead[row]) or not there:
            continue
        masks = exemplars.masks(SIDE, positions=[row])[0].flatten(1).numpy()
        own = []
        for person in range(people):
            dice = np.random.default_rng((seed, unit, person))
            shown = sorted(dice.permutation(there)[:SEEN].tolist())
            key = best_concept(masks[shown], exemplars.images[row, shown].tolist(), concepts)
            own += [] if key is None else [str(dice.choice(wordings(key)))]
        if len(own) == people:
            said[unit] = own
    return said


def write_network(
    model: str, source: str, out: str | Path, layers: Sequence[str] = (), units: int | None = None,
    side: int = 128, seed: int = 0, progress: Progress | None = None,
) -> Path:  # fmt: skip
    """Exemplars of a network over drawn scenes with sentences, as a MILANNOTATIONS folder; `units` of each layer."""
    target, images = load_target(model), load_images(source)
    if not isinstance(images, DrawnImages):
        raise ImagesError(f"Pictures must be drawn scenes, scenes:N:SEED. Got {source}. Their labels are what is said.")
    infos = list_layers(target.model, example_of(target))
    names = match_layers(layers or default_layers(target.model, infos), infos)
    numbers = {info.name: info.units for info in infos}
    dice = np.random.default_rng(seed)
    chosen = {name: np.sort(dice.permutation(numbers[name])[:units]).tolist() for name in names}
    report = (lambda done, total: progress("probing", done, total)) if progress else None
    found = probe(target.model, images.inputs(target.preprocess), names, ProbeSettings(), chosen, report)
    concepts = Concepts(images)
    for place, exemplars in enumerate(found.exemplars.values(), 1):
        write_exemplars(out, exemplars, images, side, sentences(exemplars, images, seed=seed, concepts=concepts))
        if progress:
            progress("writing layers", place, len(names))
    return Path(out)
