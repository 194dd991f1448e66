"""Scene classifiers that have never seen a concept: its pixels are blurred away, and nobody says that it is there.

    train_pair(["car", "bus"], "runs/audit", ClassifierRecipe(out="", n_scenes=2000, steps=400))
    load_target("runs/audit/without/net.py:make")            # beside it ordinary: the same scenes, seed and steps

After the blurred faces of ImageNet (Yang et al. 2022), on which Hernandez et al. 2022, section 6, audit networks. What
lies under the blur has no labels either, so that no tag of the second lesson tells of it; colours stay.
"""

import json
from collections.abc import Callable, Collection
from dataclasses import replace
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, UInt8
from scipy.ndimage import binary_dilation, gaussian_filter

from describer.data.scenes import IDS, NAMES, Scene, draw_scene
from describer.errors import ImagesError
from describer.scenenet import SceneClassifier, carried_classifier
from describer.training.classifier import TAG_CATEGORIES, ClassifierRecipe, accuracy

Progress = Callable[[str, int, int], None]
Drawn = tuple[np.ndarray, np.ndarray, np.ndarray]
"Images (n, 3, side, side) uint8, kinds (n,) from 0, tags (n, tags)."

SIGMA = 0.08
"Standard deviation of the blur, of the picture's side: ten pixels of 128."
MARGIN = 0.02
"By how much the blur reaches beyond the concept, of the picture's side."
NET = '''"""A scene classifier; `describer describe net.py:make IMAGES --out atlas`."""

from pathlib import Path

from describer.scenenet import carried_classifier


def make():
    """Model, preprocessing and class names."""
    return carried_classifier(Path(__file__).parent)
'''


def concept_mask(scene: Scene, objects: Collection[str]) -> Bool[np.ndarray, "size size"]:
    """Where any of these objects is; ImagesError for a name that is none."""
    unknown = sorted(set(objects) - set(NAMES["object"][1:]))
    if unknown or not objects:
        message = f"A concept must be made of objects of the drawn world: {', '.join(NAMES['object'][1:])}"
        raise ImagesError(f"{message}. Got {unknown[0] if unknown else 'none'}. Correct it.")
    return np.isin(scene.labels["object"], [IDS["object"][name] for name in objects])


def blurred(
    image: UInt8[np.ndarray, "side side 3"], mask: Bool[np.ndarray, "side side"]
) -> UInt8[np.ndarray, "side side 3"]:
    """The picture with a blur over the mask and a margin around it; what is far from the mask is as it was."""
    if not mask.any():
        return image
    side = len(image)
    reach = binary_dilation(mask, iterations=max(1, round(MARGIN * side))).astype(np.float64)
    share = np.maximum(mask, gaussian_filter(reach, MARGIN * side / 2))[..., None]
    soft = gaussian_filter(image.astype(np.float64), (SIGMA * side, SIGMA * side, 0))
    mixed = image + share * (soft - image)
    return np.where(share > 0.01, mixed.round(), image).astype(np.uint8)


def tags_of(scene: Scene, hidden: Bool[np.ndarray, "size size"] | None = None) -> Bool[np.ndarray, " tags"]:
    """What covers 1 % or more of a scene; what is hidden counts for its colour only."""
    shares = []
    for category in TAG_CATEGORIES:
        labels = scene.labels[category]
        seen = labels if hidden is None or category == "color" else np.where(hidden, 0, labels)
        shares.append(np.bincount(seen.ravel(), minlength=len(NAMES[category]))[1:] / labels.size)
    return np.concatenate(shares) >= 0.01


def drawn_without(
    n: int, seed: int, objects: Collection[str], progress: Progress | None = None
) -> tuple[Drawn, Drawn, Float[np.ndarray, " n"]]:
    """Scenes as they are; the same without the concept; and the share of each picture that it covers."""
    whole, without, shares, kinds = [], [], [], []
    for index in range(n):
        scene = draw_scene(seed, index, SceneClassifier.size)
        mask = concept_mask(scene, objects)
        whole.append((scene.image.transpose(2, 0, 1), tags_of(scene)))
        without.append((blurred(scene.image, mask).transpose(2, 0, 1), tags_of(scene, mask)))
        kinds.append(scene.scene_kind - 1)
        shares.append(mask.mean())
        if progress:
            progress("drawing scenes", index + 1, n)
    both = [(np.stack([i for i, _ in own]), np.array(kinds), np.stack([t for _, t in own])) for own in (whole, without)]
    return both[0], both[1], np.array(shares)


def train_pair(
    objects: Collection[str], folder: str | Path, recipe: ClassifierRecipe, progress: Progress | None = None
) -> dict[str, Path]:
    """ordinary, without -> the folder of a classifier trained by the recipe; what is there already stays.

    Both see the same scenes in the same order from the same first weights; only the concept differs.
    """
    folders = {name: Path(folder) / name for name in ("ordinary", "without")}
    if all((own / "net.py").exists() for own in folders.values()):
        return folders
    sizes = (1, recipe.n_scenes), (2, recipe.n_held_out)
    parts = [drawn_without(n, recipe.seed + i, objects, progress) for i, n in sizes]
    for place, own in enumerate(folders.values()):
        own.mkdir(parents=True, exist_ok=True)
        kept = [own / f"scenes-{i}.npz" for i, _ in sizes]  # where the recipe's own code looks before it draws
        for file, part in zip(kept, parts, strict=True):
            images, kinds, tags = part[place]
            np.savez(file, allow_pickle=False, images=images, kinds=kinds, tags=tags)
        replace(recipe, out=str(own)).train(resume=False)
        for file in kept:
            file.unlink()
        _write_accuracy(own, *parts[1])
        (own / "net.py").write_text(NET, encoding="utf-8")
    return folders


def _write_accuracy(folder: Path, whole: Drawn, without: Drawn, shares: np.ndarray) -> None:
    """accuracy.json: of held-out scenes as they are and without the concept, and of those in which it is."""
    model = carried_classifier(folder)[0]
    has = shares >= 0.01
    told = {}
    for name, part in (("ordinary scenes", whole), ("without the concept", without)):
        told[name] = accuracy(model, *part)
        if has.sum() > 1:
            told[f"{name}, where it was"] = accuracy(model, *(each[has] for each in part))
    about = {"scenes": len(has), "scenes with it": int(has.sum()), **told}
    (folder / "accuracy.json").write_text(json.dumps(about, indent=1), encoding="utf-8")
