"""The game of colours in context: three colours, and what people really said of one so that another finds it.

    game = load("../shared/data", seed=0)      # colors/colors_in_context.csv there; else a drawn stand-in

The dialogues are Monroe, Hawkins, Goodman & Potts 2017, Colors in Context. The first message of a round counts, without
words that say nothing of a colour; what was said fewer than twenty times is left out. A fold holds whole games of two
people. Three seeds in a row test with all recorded rounds, each with another third of them and with each round once.
The stand-in takes the XKCD words of `colors` and a speaker who prefers, among words that fit the target, those that fit
the others less (Frank & Goodman 2012).
"""

import csv
import json
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int64
from matplotlib.colors import to_hex

from describer.errors import DescriberError
from describer.eval.games import colors
from describer.eval.games.lab import features_of_lab, lab_of_hsl, srgb_of_lab
from describer.eval.games.rounds import Fold, ReferenceGame, Rounds, drawn_rows, folds, word_table

FILE = "colors/colors_in_context.csv"
MIN_COUNT = 20
"How often something must have been said to enter the lexicon: with less, model humans do not learn what is rare."
JITTER = 4.0
"Deviation, in Lab, of what is added to the colours one learns from: there are few of them."
N_PARTS, VALIDATION = 3, 20
"The games are dealt into three parts, for one seed each to test with; every twentieth of the others validates."
IDLE = frozenset((
    "a", "an", "the", "is", "are", "it", "its", "thats", "this", "that", "one", "ones", "of", "to", "in", "on", "and",
    "or", "for", "with", "from", "out", "target", "color", "colour", "colors", "box", "square", "shade", "please",
    "pick", "click", "choose", "your", "you", "i", "im", "my", "there", "no", "yes", "ok", "hi", "hello", "hey",
    "lol", "sorry", "think", "guess",
))  # fmt: skip
"Words that say nothing of a colour."
SPELT = {"gray": "grey", "grayish": "greyish", "grayer": "greyer", "grayest": "greyest"}


@dataclass(frozen=True, eq=False)
class Dialogues:
    """Recorded rounds, those with something of the lexicon."""

    lab: Float[np.ndarray, "rounds 3 3"]
    "the colours of a round, the target first"
    said: Int64[np.ndarray, " rounds"]
    "index of the lexicon"
    game: Int64[np.ndarray, " rounds"]
    "number of the pair of people"
    solved: float
    "fraction of these rounds in which the other person chose the target"


def load(data: str | Path | None, seed: int = 0) -> ReferenceGame:
    """The game with the dialogues under `data`, or with drawn ones where they are not."""
    path = Path(data, FILE) if data is not None else None
    if path is None or not path.is_file():
        return _drawn(seed, "" if path is None else f" (default, as there is no {path})")
    dialogues, lexicon = read_dialogues(path)
    parts, n_pairs = dealt(dialogues.game, seed), len(np.unique(dialogues.game))
    source = f"{len(dialogues.said)} recorded rounds of {n_pairs} pairs of people, who solved {dialogues.solved:.1%}; "
    source += f"{len(lexicon)} utterances; a third of the rounds to test with, each once"

    def draw(n: int, fold: Fold, rng: np.random.Generator) -> Rounds:
        rows = rng.permutation(parts[fold])[:n] if fold == "test" else rng.choice(parts[fold], n)
        lab = dialogues.lab[rows]
        turned = rng.random((len(rows), 1, 1)) < 0.5  # the distractors in either order
        lab[:, 1:] = np.where(turned, lab[:, :0:-1], lab[:, 1:])
        if fold == "train":
            lab = lab + JITTER * rng.standard_normal(lab.shape)
        return rounds_of_lab(lab, dialogues.said[rows])

    return ReferenceGame("context", 3, 3, tuple(lexicon), word_table(lexicon), draw, source)


def dealt(game: Int64[np.ndarray, " rounds"], seed: int) -> dict[Fold, np.ndarray]:
    """Rounds of each fold, whole games together: part `seed % 3` of three of about as many rounds is to test with."""
    pairs, sizes = np.unique(game, return_counts=True)
    parts: list[list[int]] = [[] for _ in range(N_PARTS)]
    for place in np.random.default_rng((seed // N_PARTS, 51)).permutation(len(pairs)).tolist():
        min(parts, key=lambda part: sizes[part].sum()).append(place)
    test = parts.pop(seed % N_PARTS)
    rest = [place for part in parts for place in part]
    chosen: dict[Fold, list[int]] = {
        "train": [place for number, place in enumerate(rest) if number % VALIDATION],
        "val": rest[::VALIDATION],
        "test": test,
    }
    return {fold: np.flatnonzero(np.isin(game, pairs[some])) for fold, some in chosen.items()}


def rounds_of_lab(lab: Float[np.ndarray, "rounds candidates 3"], said: np.ndarray) -> Rounds:
    """Rounds of these colours."""

    def show() -> list[list[str]]:
        return [[to_hex(rgb) for rgb in srgb_of_lab(colours)] for colours in lab]

    return Rounds(torch.from_numpy(features_of_lab(lab).astype(np.float32)), torch.from_numpy(said), show)


def plain(message: str) -> str:
    """The words of a message that say something of a colour."""
    words = re.sub(r"[^a-z ]", " ", message.lower().replace("'", "")).split()
    return " ".join(SPELT.get(word, word) for word in words if word not in IDLE)


def read_dialogues(path: Path) -> tuple[Dialogues, list[str]]:
    """The recorded rounds and their lexicon, most frequent first; DescriberError for another file."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        messages = [plain(json.loads(row["speaker"])[0]) for row in rows]
        hsl = np.array([[[float(row[f"{axis}{i}"]) for axis in "hsl"] for i in range(3)] for row in rows])
        target = np.array([int(row["target_index"]) for row in rows])
        solved = np.array([row["correct"] == "true" for row in rows])
        pairs = [row["gameid"] for row in rows]
    except (OSError, KeyError, ValueError, IndexError, TypeError) as fault:
        raise DescriberError(
            f"{path} must hold rounds of colours in context. Got: {fault!r}. Fetch it again."
        ) from None
    counts = Counter(messages)
    lexicon = [said for said, count in counts.most_common() if count >= MIN_COUNT and said]
    place = {said: index for index, said in enumerate(lexicon)}
    number = {pair: index for index, pair in enumerate(dict.fromkeys(pairs))}
    kept = [row for row, said in enumerate(messages) if said in place]
    if not kept:
        wanted = f"{path} must hold something that is said {MIN_COUNT} times"
        raise DescriberError(f"{wanted}. Got {len(rows)} rounds without. Record more.")
    order = np.array([[first, *(i for i in range(3) if i != first)] for first in target]).reshape(-1, 3)
    lab = np.take_along_axis(lab_of_hsl(hsl.reshape(-1, 3)).reshape(-1, 3, 3), order[..., None], 1)[kept]
    said = np.array([place[messages[row]] for row in kept], np.int64)
    game = np.array([number[pairs[row]] for row in kept], np.int64)
    return Dialogues(lab, said, game, float(solved[kept].mean())), lexicon


def _drawn(seed: int, why: str) -> ReferenceGame:
    lab, p_word, lexicon = colors.xkcd()
    parts = folds(len(lab), seed)

    def draw(n: int, fold: Fold, rng: np.random.Generator) -> Rounds:
        rows = rng.choice(parts[fold], (n, 3))
        fits = p_word[rows]  # (rounds, 3, words)
        pragmatic = fits[:, 0] * fits[:, 0] / fits.sum(1).clip(1e-12)
        return rounds_of_lab(lab[rows], drawn_rows(pragmatic, rng).astype(np.int64))

    source = f"drawn rounds, named with {len(lexicon)} words of the XKCD names of matplotlib{why}"
    return ReferenceGame("context", 3, 3, tuple(lexicon), word_table(lexicon), draw, source)
