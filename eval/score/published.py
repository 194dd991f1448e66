"""What text scores of published methods are worth, and which automatic score agrees with people who rate labels.

    python -m describer.eval.score.published --data ../shared/data

Needs milannotations/ with peers/ in the data folder ($DESCRIBER_DATA or ../shared/data). Methods, people and constant
strings are compared on the same ResNet-152 units; ratings are of ResNet-50 units, whose activations are not part of the
data, so that only scores that read text alone can be compared with them.
"""

import csv
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from describer import terminal
from describer.errors import DescriberError
from describer.eval.metrics.texts import TextRow, bleu, plain, rouge
from describer.eval.score.descriptions import Said, Unit, read_descriptions, read_human
from describer.eval.score.printing import print_texts
from describer.eval.score.report import common_units
from describer.eval.score.scoring import texts_of
from describer.statistics import bootstrap_interval, middle, pearson, permutation_p

FOLDER = "milannotations"
HUMAN = "MILANNOTATIONS_resnet152_imagenet.csv"
METHODS = {
    "MILAN": ("milan_places365_resnet152_imagenet.csv",),
    "DnD": tuple(f"dnd_resnet152_imagenet_layer{number}.csv" for number in (1, 2, 3, 4)),
    "CLIP-Dissect": ("clip_dissect_resnet152_imagenet.csv",),
}
RATINGS = "human_ratings_resnet50_table4.csv"
RATED = {
    "Mean Caption": "Mean Caption Label",
    "Topk-Sq": "Topk-Sq Caption Label",
    "Image-Products": "Image-Products Label",
    "Topk-Compare": "Topk-Compare Label",
}
"Ways of choosing a label, each rated by two people from 1 to 5, and the heading of their labels."
N_DRAWS = 2000


def data_folder(given: str | None = None) -> Path:
    """The folder with milannotations/; DescriberError where there is none."""
    folder = Path(given or os.environ.get("DESCRIBER_DATA") or "../shared/data")
    if not (folder / FOLDER / HUMAN).is_file():
        message = f"--data must hold {FOLDER}/{HUMAN}. Got {folder}, which does not"
        raise DescriberError(f"{message}. Name the folder, or set DESCRIBER_DATA.")
    return folder


def read_published(data: Path) -> tuple[list[Said], dict[Unit, list[str]]]:
    """The published methods' descriptions, and what people wrote."""
    peers = data / FOLDER / "peers"
    said = [
        read_descriptions(f"{name}={','.join(str(peers / file) for file in files)}") for name, files in METHODS.items()
    ]
    return said, read_human(data / FOLDER / HUMAN)


def published_texts(data: Path, encoder: str | None = None, seed: int = 0) -> tuple[list[TextRow], list[Unit]]:
    """The table of text scores on the units that all published methods describe, and these units."""
    said, people = read_published(data)
    units = [unit for unit in common_units(said) if len(people.get(unit, ())) >= 2]
    return texts_of(said, people, units, encoder, seed), units


@dataclass(frozen=True)
class Agreement:
    """How one automatic score of labels goes with their ratings."""

    score: str
    over_all: tuple[float, float, float]
    "Pearson's r over all labels: value, 95 % interval over units"
    within: tuple[float, float, float]
    "the same after each unit's mean is taken off both: which label of a unit is the better one"
    p: float
    "two-sided permutation p-value of the second, labels changing places within their units"


@dataclass(frozen=True, eq=False)
class Rated:
    """Labels of units with their ratings."""

    labels: tuple[tuple[str, ...], ...]
    "a row a unit, a label for each way of choosing"
    first: np.ndarray
    "(units, labels) the first rater's, 1..5; NaN where there is none"
    second: np.ndarray

    @property
    def ratings(self) -> np.ndarray:
        """(units, labels) the mean of both raters."""
        return (self.first + self.second) / 2


def read_ratings(data: Path) -> Rated:
    """The rated labels; units without all ratings or labels are left out."""
    with (data / FOLDER / "peers" / RATINGS).open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    labels = [tuple(plain(row[heading] or "") for heading in RATED.values()) for row in rows]
    first, second = (
        np.array([[_number(row[f"{way} {rater} Rating"]) for way in RATED] for row in rows]) for rater in ("E1", "E2")
    )
    kept = np.isfinite(first + second).all(1) & np.array([all(own) for own in labels])
    return Rated(tuple(own for own, keep in zip(labels, kept, strict=True) if keep), first[kept], second[kept])


def agreements(rated: Rated, people: Sequence[str], seed: int = 0) -> list[Agreement]:
    """Every score that reads labels alone, and one rater against the other as the ceiling; the best first."""
    found = [
        agreement(name, np.array([measure(own) for own in rated.labels]), rated.ratings, seed)
        for name, measure in _scores(people).items()
    ]
    found.sort(key=lambda each: -abs(each.within[0]))
    return [agreement("the other rater", rated.first, rated.second, seed), *found]


def agreement(name: str, scores: np.ndarray, ratings: np.ndarray, seed: int = 0) -> Agreement:
    """Correlation of scores (units, labels) with ratings, over all labels and within units."""
    inner = [each - each.mean(1, keepdims=True) for each in (scores, ratings)]
    over_all = _correlated(scores, ratings, seed)
    within = _correlated(inner[0], inner[1], seed)
    rng = np.random.default_rng(seed)
    null = [_r(rng.permuted(inner[0], axis=1), inner[1]) for _ in range(N_DRAWS // 2)]
    return Agreement(name, over_all, within, float(permutation_p(abs(within[0]) - 1e-9, np.abs(null))))


def _scores(people: Sequence[str]) -> dict[str, Callable[[tuple[str, ...]], list[float]]]:
    """Scores of the labels of one unit, from the text alone."""
    counts: dict[str, int] = {}
    for sentence in people:
        for word in set(plain(sentence).split()):
            counts[word] = counts.get(word, 0) + 1

    def rarity(label: str) -> float:
        """Mean nats by which its words are rarer than certain in what people write of units."""
        return float(np.mean([np.log((len(people) + 1) / (counts.get(word, 0) + 1)) for word in label.split()]))

    def others(labels: tuple[str, ...]) -> list[list[str]]:
        return [[other for j, other in enumerate(labels) if j != i] for i in range(len(labels))]

    return {
        "BLEU with the other labels": lambda own: bleu(own, others(own)).tolist(),
        "ROUGE-L with the other labels": lambda own: rouge(own, others(own)).tolist(),
        "number of words": lambda own: [float(len(label.split())) for label in own],
        "rarity of words": lambda own: [rarity(label) for label in own],
    }


def _correlated(x: np.ndarray, y: np.ndarray, seed: int) -> tuple[float, float, float]:
    """r of two tables with its interval over rows."""
    drawn = np.random.default_rng(seed).integers(0, len(x), (N_DRAWS, len(x)))
    return _r(x, y), *middle(pearson(x[drawn].reshape(N_DRAWS, -1), y[drawn].reshape(N_DRAWS, -1)))


def _r(x: np.ndarray, y: np.ndarray) -> float:
    return float(pearson(x.reshape(1, -1), y.reshape(1, -1))[0])


def _number(text: str | None) -> float:
    try:
        return float(text or "")
    except ValueError:
        return float("nan")


def main(
    data: Annotated[str | None, typer.Option(help="Folder with milannotations/.")] = None,
    encoder: Annotated[str | None, typer.Option(help="Encoder of BERTScore: folder or hub name.")] = None,
) -> None:
    """Print text scores of published methods beside their baselines, and what agrees with human ratings.

    Example: python -m describer.eval.score.published --data ../shared/data
    """
    try:
        folder = data_folder(data)
        rows, units = published_texts(folder, encoder)
    except DescriberError as fault:
        terminal.note(str(fault))
        raise typer.Exit(2) from None
    people = read_human(folder / FOLDER / HUMAN)
    terminal.print_lines("ResNet-152, ImageNet: similarity to what people wrote", "")
    print_texts(rows, len(units), sum(len(people[unit]) for unit in units), encoder)
    rated = read_ratings(folder)
    best = rated.ratings.mean(0)
    terminal.print_lines("", f"ResNet-50, ImageNet: ratings of {rated.ratings.size} labels of {len(best)} methods", "")
    for way, column in zip(RATED, rated.ratings.T, strict=True):
        low, high = bootstrap_interval(column)
        terminal.print_lines(f"{way}: mean rating {column.mean():.2f} ({low:.2f}–{high:.2f})")
    terminal.print_lines("")
    sentences = [sentence for own in people.values() for sentence in own]
    shown = "{:.2f} ({:.2f}–{:.2f})"
    cells = [
        [each.score, shown.format(*each.over_all), shown.format(*each.within), f"{each.p:.3f}"]
        for each in agreements(rated, sentences)
    ]
    headings = ("score", "left"), ("r, all labels", "right"), ("r, within units", "right"), ("p", "right")
    terminal.print_table(headings, cells)


if __name__ == "__main__":
    typer.run(main)
