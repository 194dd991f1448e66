"""The game of colours: a target and a distractor in CIELAB, named as people name colours.

    game = load("../shared/data", seed=0)      # colors/c3_data.json there; else the XKCD names that matplotlib carries
    game.sample(1000, "test", np.random.default_rng(0))

Where the counts of the XKCD colour survey are (Heer & Stone 2012, C3), a name is drawn by how often people gave it to
the target's bin. Without them a word is drawn from the 949 named colours by their distance from the target.
The name does not depend on the distractor.
"""

import json
from collections import Counter
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from matplotlib.colors import XKCD_COLORS, to_hex, to_rgb

from describer.errors import DescriberError
from describer.eval.games.lab import features_of_lab, lab_of_srgb, srgb_of_lab
from describer.eval.games.rounds import Fold, ReferenceGame, Rounds, drawn_rows, folds, word_table

FILE = "colors/c3_data.json"
MIN_RESPONSES = 20
"Names given to a bin; rarer bins are left out."
MIN_NAMES = 5
"Colour names a word must occur in."
SPREAD = 10.0
"How far, in Lab, a name reaches: deviation of a normal distribution."


def load(data: str | Path | None, seed: int = 0) -> ReferenceGame:
    """The game with the survey's counts under `data`, or with matplotlib's names where they are not."""
    path = Path(data, FILE) if data is not None else None
    if path is not None and path.is_file():
        lab, p_name, lexicon = survey(path)
        source = f"the counts of the XKCD colour survey, {len(lexicon)} terms for {len(lab)} bins of CIELAB"
    else:
        lab, p_name, lexicon = xkcd()
        source = f"the XKCD names of matplotlib, {len(lexicon)} words for {len(lab)} bins of CIELAB"
        source += "" if path is None else f" (default, as there is no {path})"
    parts, colours = folds(len(lab), seed), np.asarray(features_of_lab(lab), np.float32)
    hexes = np.array([to_hex(rgb) for rgb in srgb_of_lab(lab)])

    def draw(n: int, fold: Fold, rng: np.random.Generator) -> Rounds:
        target = rng.choice(parts[fold], n)
        other = rng.choice(parts[fold], n)
        clash = target == other
        other[clash] = rng.choice(parts[fold], int(clash.sum()))
        pair = np.stack((target, other), 1)
        said = drawn_rows(p_name[target], rng)
        return Rounds(torch.from_numpy(colours[pair]), torch.from_numpy(said), hexes[pair].tolist)

    return ReferenceGame("colors", 2, 3, tuple(lexicon), word_table(lexicon), draw, source)


def survey(path: Path) -> tuple[Float[np.ndarray, "bins 3"], Float[np.ndarray, "bins terms"], list[str]]:
    """Lab, p(term | bin) and the terms of the survey's file."""
    try:
        file = json.loads(path.read_text(encoding="utf-8"))
        lab, terms = np.array(file["color"], float).reshape(-1, 3), list(file["terms"])
        cell, count = np.array(file["T"], np.int64).reshape(-1, 2).T
        counts = np.bincount(cell, count, minlength=len(lab) * len(terms)).reshape(len(lab), len(terms))
    except (OSError, ValueError, KeyError, TypeError) as fault:
        raise DescriberError(
            f"{path} must hold colour counts as C3 has them. Got: {fault!r}. Fetch it again."
        ) from None
    often = counts.sum(1) >= MIN_RESPONSES
    return lab[often], counts[often] / counts[often].sum(1, keepdims=True), terms


def xkcd() -> tuple[Float[np.ndarray, "bins 3"], Float[np.ndarray, "bins words"], list[str]]:
    """Lab of all bins that a screen shows, p(word | bin) and the words, from the names that matplotlib carries."""
    names = {name.removeprefix("xkcd:").replace("/", " "): to_rgb(value) for name, value in XKCD_COLORS.items()}
    counted = Counter(word for name in names for word in set(name.split()))
    words = sorted(word for word, count in counted.items() if count >= MIN_NAMES)
    holds = np.array([[word in name.split() for word in words] for name in names], float)
    holds /= holds.sum(1, keepdims=True).clip(1)  # a word of the name, any alike
    levels = np.linspace(0, 1, 52)
    cube = np.stack(np.meshgrid(levels, levels, levels), -1).reshape(-1, 3)
    lab = np.unique((lab_of_srgb(cube) / 5).round() * 5, axis=0)
    named = lab_of_srgb(np.array(list(names.values())))
    squares = (lab**2).sum(1, keepdims=True) + (named**2).sum(1) - 2 * lab @ named.T
    squares -= squares.min(1, keepdims=True)
    p_word = np.exp(-squares / (2 * SPREAD**2)) @ holds  # (bins, words)
    return lab, p_word / p_word.sum(1, keepdims=True), words
