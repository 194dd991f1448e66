"""How well a listener hears, on photographs it has not seen: captions found, words told, probabilities kept.

    python -m describer.training.hearing FOLDER --data ../shared/data

Photographs of fold 8 with five captions each. Recall among the first ten of 500 photographs and their 2,500 captions;
AUC of words, of photographs for which at least three people say the word against those for which nobody does; the error
of the calibration, fitted to every second photograph and measured on the others. Intervals are 95 % bootstraps, of
recalls over photographs and of AUC over words.
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import torch
import typer
from jaxtyping import Bool, Float
from PIL import Image
from torch import Tensor

from describer.calibration import Calibration, calibration_error
from describer.data.nouns import word_lists
from describer.listener import ListenerConfig, ListenerLike, load_listener
from describer.statistics import bootstrap_interval
from describer.training.listener import recalls
from describer.training.phrases import noun_phrases
from describer.training.recipe import under
from describer.training.sources.parquet import decode, fold_of, read_rows

N_WORDS = 50
"nouns that are asked for: the most common ones"
UNCALIBRATED = Calibration(ListenerConfig().scale, ListenerConfig().bias)
"what a listener of ours begins with"
LEAST = 3
"people of five who say a word that is there"


@dataclass(frozen=True)
class Captioned:
    """Photographs with their captions."""

    images: list[Image.Image]
    captions: list[list[str]]


def read_captioned(data: str, fold: int = 8) -> Captioned:
    """Every photograph of the fold with five captions."""
    rows = read_rows(under(data, "flickr8k/*.parquet"), ["image", "captions"])
    kept = [row for row in rows if fold_of(row["image"]) == fold and len(row["captions"]) == 5]
    return Captioned([decode(row["image"]) for row in kept], [list(row["captions"]) for row in kept])


@dataclass(frozen=True)
class Words:
    """Words to ask for, and how many captions of each photograph say each: (photographs, nouns + colours)."""

    nouns: list[str]
    colours: list[str]
    told: np.ndarray


def words_told(captions: Sequence[Sequence[str]]) -> Words:
    """The most common nouns in set form, the colours that five photographs have, and who says them."""
    phrases = [[set(noun_phrases(caption)) for caption in own] for own in captions]
    told = [Counter(phrase for part in own for phrase in part if " " not in phrase) for own in phrases]
    common = Counter(noun for counts in told for noun, n in counts.items() if n >= LEAST)
    nouns = [noun for noun, _ in common.most_common(N_WORDS)]
    plainly = [Counter(word for caption in own for word in set(_words(caption))) for own in captions]
    shown = {colour: sum(counts[colour] >= LEAST for counts in plainly) for colour in word_lists()["colours"]}
    colours = sorted(colour for colour, n in shown.items() if n >= 5)
    of_nouns = [[counts[noun] for noun in nouns] for counts in told]
    of_colours = [[counts[colour] for colour in colours] for counts in plainly]
    return Words(nouns, colours, np.concatenate([np.array(of_nouns), np.array(of_colours)], 1))


def _words(caption: str) -> list[str]:
    respell = word_lists()["respell"]
    return [respell.get(word, word) for word in re.findall("[a-z]+", caption.lower())]


def auc(scores: Float[np.ndarray, " images"], true: Bool[np.ndarray, " images"]) -> float:
    """P(score of a true one > score of a false one) + half of P(equal) (Mann & Whitney 1947); NaN without a pair."""
    high, low = np.sort(scores[true]), np.sort(scores[~true])
    if not len(high) or not len(low):
        return float("nan")
    below = np.searchsorted(low, high, "left") + np.searchsorted(low, high, "right")
    return float(below.sum() / (2 * len(high) * len(low)))


def hear(
    listener: ListenerLike, photographs: Captioned, words: Words, n_recalled: int = 500
) -> dict[str, int | float | list[float]]:
    """Every number of the report, with the ends of its interval where it has one."""
    seen = listener.embed_images(photographs.images).cpu()
    found = recalls_at_10(listener, seen[:n_recalled], photographs.captions[:n_recalled])
    told_by = words.told.T  # (words, images)
    heard = listener.embed_texts([*words.nouns, *words.colours]).cpu()
    cosines = heard @ seen.T  # (words, images)
    sure = np.stack([_sure(own) for own in told_by])
    per_word = np.array([auc(row[k].numpy(), own[k] > 0) for row, own, k in zip(cosines, told_by, sure, strict=True)])
    report: dict[str, int | float | list[float]] = {"photographs": len(seen), **found}
    parts = {"nouns": per_word[: len(words.nouns)], "colours": per_word[len(words.nouns) :]}
    for name, every in parts.items():
        values = every[~np.isnan(every)]  # words that some photographs have and some have not
        report[f"n_{name}"] = len(values)
        if len(values):
            report[f"auc_{name}"] = [float(values.mean()), *bootstrap_interval(values)]
    asked, true = torch.from_numpy(sure), torch.from_numpy(told_by > 0)
    report["error_as_stored"] = calibration_error(listener.simulate(heard, seen).cpu()[asked], true[asked])
    return report | calibration_errors(cosines, true, asked)


def _sure(told: np.ndarray) -> np.ndarray:
    """Photographs for which nobody or at least LEAST people say the word."""
    return (told == 0) | (told >= LEAST)


def recalls_at_10(listener: ListenerLike, seen: Tensor, captions: Sequence[Sequence[str]]) -> dict[str, list[float]]:
    """Recall with its interval, of captions by photographs and the reverse; photographs are drawn, with their texts."""
    owner = torch.tensor([row for row, own in enumerate(captions) for _ in own])
    heard = listener.embed_texts([text for own in captions for text in own]).cpu()
    found = recalls(heard @ seen.T, owner)
    texts = found["text_to_image"].float().view(len(captions), -1).mean(1)
    images = found["image_to_text"].float()
    return {
        name: [float(values.mean()), *bootstrap_interval(values)]
        for name, values in (("image_to_text", images), ("text_to_image", texts))
    }


def calibration_errors(cosines: Tensor, true: Tensor, sure: Tensor) -> dict[str, float]:
    """Expected calibration errors on odd photographs: before any fit, and after one to even photographs."""
    fitted = Calibration.fitted(cosines[:, ::2][sure[:, ::2]], true[:, ::2][sure[:, ::2]])
    x, y = cosines[:, 1::2][sure[:, 1::2]], true[:, 1::2][sure[:, 1::2]]
    return {
        "error_before": calibration_error(UNCALIBRATED.probability(x), y),
        "error_after": calibration_error(fitted.probability(x), y),
    }


def main(
    folder: Annotated[str | None, typer.Argument(help="of a listener; none: the carried one")] = None,
    data: Annotated[str, typer.Option(help="folder that holds flickr8k")] = "../shared/data",
) -> None:
    """Prints the numbers of the model card."""
    photographs = read_captioned(data)
    for name, value in hear(load_listener(folder), photographs, words_told(photographs.captions)).items():
        shown = f"{value[0]:.3f} ({value[1]:.3f}–{value[2]:.3f})" if isinstance(value, list) else f"{value:.4g}"
        print(f"{name:>16} {shown}")


if __name__ == "__main__":
    typer.run(main)
