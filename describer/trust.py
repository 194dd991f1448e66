"""Which descriptions can be relied on: they must foresee what their unit does on images they were not made from.

    judge = Judge(load_listener())                     # or load_listener("openai/clip-vit-base-patch16")
    atlas = describe(target, images, "atlas", describers, judge=judge)
    row = atlas.units()[0]                             # row["score"], row["q"], row["reliable"], row["withdrawn"] …

One half of the probe set gives exemplars, the other judges. There a listener says how true a text is of every image,
and the score is Pearson's r with what the unit answers (simulation, Oikarinen & Weng 2024). To be reliable, a text must
score higher than texts of other meanings do that were made for other units: the layer's own texts, dealt anew.
"""

import hashlib
import json
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64, Shaped
from torch import Tensor

from describer.description import Description, ImageSource, Meaning
from describer.formwords import as_words, combined, concepts_in
from describer.responses import Responses, Watch
from describer.statistics import (
    benjamini_hochberg,
    bootstrap_interval,
    pearson,
    pearson_table,
    permutation_p,
    standardised,
)

if TYPE_CHECKING:
    from describer.listener import ListenerLike

FEWEST = 40
"Images below which nothing is judged: half of them would tell nothing from chance."
MOST = 10_000
"Images that judge at most; more change nothing but the time it takes."
AT_A_TIME = 64
"Pictures that are held while a listener looks at them."
UNITS_AT_A_TIME = 256
"Units whose draws are held at a time."
ALIKE = 0.5
"r of what a listener hears in two texts, from which on they mean the same."

Verdict = dict[str, float]
"score, low, high, p and q."


@dataclass(frozen=True)
class TrustSettings:
    """How descriptions are judged."""

    level: float = 0.05
    "share of false ones among the descriptions that are kept, on average"
    directions: int = 100
    "random directions of a layer, on which its texts are tried too"
    draws: int = 500
    "bootstrap draws of images"
    seed: int = 0
    "of the halves, the directions and the draws"
    swapped: bool = False
    "whether the halves change places"


def halves(n_images: int, seed: int = 0) -> tuple[Int64[np.ndarray, " some"], Int64[np.ndarray, " others"]]:
    """(images that exemplars come from, images that judge), each ascending; at most MOST judge."""
    order = np.random.default_rng(seed).permutation(n_images)
    n_judging = min(n_images // 2, MOST)
    return np.sort(order[n_judging:]), np.sort(order[:n_judging])


def load_judge(
    name: str | None,
    n_images: int,
    k: int,
    device: str = "cpu",
    say: Callable[[str], None] | None = None,
    settings: TrustSettings | None = None,
) -> "Judge | None":
    """The judge whose listener is named (None: the carried one); None, and why in one line, where nothing is judged.

    That is for "none", too few images, or a package without the listener. WeightsError for a listener there is not.
    """
    if name == "none":
        return None
    from describer.listener import CARRIED, load_listener  # heavy

    why = None
    if not enough(n_images, k):
        why = f"that takes {max(FEWEST, 2 * k)} images or more"
    elif name is None and not (CARRIED / "model.safetensors").is_file():
        why = "no listener is carried along; name one with --judge"
    if why is not None:
        if say is not None:
            say(f"Descriptions are not judged: {why}.")
        return None
    return Judge(load_listener(name, device), settings)


def enough(n_images: int, k: int) -> bool:
    """Whether half of the images are enough to judge by, and the other half for k exemplars."""
    return n_images >= max(FEWEST, 2 * k)


class Judge:
    """A listener, and how it judges; keeps the images it has heard of from one layer to the next."""

    def __init__(self, listener: Any, settings: TrustSettings | None = None) -> None:
        self.listener: ListenerLike = listener
        self.settings = settings or TrustSettings()
        self._seen: tuple[ImageSource, tuple[int, ...], Tensor] | None = None

    @property
    def key(self) -> dict[str, str | int | float | bool | None]:
        """All that changes what is found: for the key of the atlas."""
        heard = json.dumps(dict(self.listener.key), sort_keys=True)
        digest = hashlib.sha256(heard.encode()).hexdigest()[:16]
        halves_of = f"{self.settings.seed}{' swapped' if self.settings.swapped else ''}"
        told: dict[str, str | int | float | bool | None] = {
            "judge": f"{self.listener.name} {digest}",
            "judge_level": self.settings.level,
        }
        return told | {"judge_seed": halves_of, "directions": self.settings.directions}

    def watch(self, n_images: int, k: int, folder: Path) -> Watch | None:
        """Which images of a probe set judge; None where they are too few to judge by."""
        if not enough(n_images, k):
            return None
        ranked, judging = halves(n_images, self.settings.seed)
        judging = ranked[:MOST] if self.settings.swapped else judging
        return Watch(tuple(judging.tolist()), folder, self.settings.directions, self.settings.seed)

    def judged(
        self,
        descriptions: Sequence[Description],
        responses: Responses,
        images: ImageSource,
    ) -> list[Description]:
        """The descriptions of one layer and method with score, low, high, p, q, and whether they are reliable.

        So are their meanings, among themselves: q is adjusted for all meanings of the layer. Where none of a unit's is
        reliable, it is not told to have several.
        """
        told = [description for description in descriptions if description.text is not None]
        if not told:
            return list(descriptions)
        answers = {unit: responses.means[row].numpy() for row, unit in enumerate(responses.unit_ids.tolist())}
        random, simulated = responses.random_means.numpy(), self._said(told, images, responses)
        actual = np.stack([answers[description.unit] for description in told])
        numbers = self._verdicts(simulated, actual, by_chance(simulated, actual, random))
        found = {each.unit: verdict for each, verdict in zip(told, numbers, strict=True)}
        judged = [self._told(each, found.get(each.unit)) for each in descriptions]
        meant = [Description(d.layer, d.unit, m.text, d.method) for d in descriptions for m in d.meanings if m.text]
        if not meant:
            return judged
        own = self._said(meant, images, responses)
        units = np.array([each.unit for each in (*told, *meant)])
        every, actual = np.concatenate((simulated, own)), np.stack([answers[unit] for unit in units.tolist()])
        chance = by_chance(every, actual, random, units)
        verdicts = iter(self._verdicts(own, actual[len(told) :], chance))
        weighed = [tuple(self._meant(meaning, verdicts) for meaning in each.meanings) for each in judged]
        kept = [meanings if any(meaning.reliable for meaning in meanings) else () for meanings in weighed]
        return [replace(each, meanings=meanings) for each, meanings in zip(judged, kept, strict=True)]

    def _verdicts(self, simulated: np.ndarray, actual: np.ndarray, chance: np.ndarray) -> list[Verdict]:
        scores = pearson(simulated, actual)
        p = permutation_p(scores, chance)
        low, high = intervals(simulated, actual, self.settings.draws, self.settings.seed)
        rows = np.stack((scores, low, high, p, benjamini_hochberg(p)), 1).tolist()
        return [dict(zip(("score", "low", "high", "p", "q"), row, strict=True)) for row in rows]

    def _meant(self, meaning: Meaning, verdicts: Iterator[Verdict]) -> Meaning:
        if meaning.text is None:
            return meaning
        numbers = next(verdicts)
        reliable = numbers["q"] <= self.settings.level
        text, withdrawn = (meaning.text, None) if reliable else (None, meaning.text)
        return replace(meaning, text=text, withdrawn=withdrawn, reliable=reliable, **numbers)

    def _told(self, description: Description, numbers: Verdict | None) -> Description:
        if numbers is None:
            return description
        reliable = numbers["q"] <= self.settings.level
        scores = {"form_score" if name == "score" else name: value for name, value in description.scores.items()}
        text, withdrawn = (description.text, None) if reliable else (None, description.text)
        return replace(description, text=text, withdrawn=withdrawn, reliable=reliable, scores=scores | numbers)

    def _heard(self, images: ImageSource, responses: Responses) -> Float[Tensor, "images dims"]:
        """The listener's vectors of the images that judge; those of the last source are kept."""
        wanted = tuple(responses.images.tolist())
        if self._seen is None or self._seen[0] is not images or self._seen[1] != wanted:
            rows = []
            for start in range(0, len(wanted), AT_A_TIME):
                pictures = [images.image(index) for index in wanted[start : start + AT_A_TIME]]
                rows.append(self.listener.embed_images(pictures).float().cpu())
            self._seen = images, wanted, torch.cat(rows)
        return self._seen[2]

    def _said(self, told: Sequence[Description], images: ImageSource, responses: Responses) -> np.ndarray:
        """(descriptions, images) how true the listener holds what each says; of a form, concept by concept."""
        words = {each.text or "": each.text or "" for each in told if not each.formula}
        words |= {name: as_words(name) for each in told if each.formula for name in concepts_in(each.formula)}
        truth = dict(zip(words, self._simulated([*words.values()], images, responses), strict=True))
        return np.stack([combined(d.formula, truth) if d.formula else truth[d.text or ""] for d in told])

    def _simulated(self, texts: Sequence[str], images: ImageSource, responses: Responses) -> np.ndarray:
        """(texts, images) how true the listener holds each text of each image; each different text is asked once."""
        different = sorted(set(texts))
        heard = self.listener.embed_texts(different).float().cpu()
        table = self.listener.simulate(heard, self._heard(images, responses)).float().cpu().numpy()
        place = {text: row for row, text in enumerate(different)}
        return table[[place[text] for text in texts]]


@dataclass(frozen=True)
class Bin:
    """Descriptions with scores in one range, and how many of them were right."""

    low: float
    high: float
    n: int
    share: float
    "of them that is right"
    interval: tuple[float, float]
    "95 % of the share, by bootstrap"


def calibration(scores: Shaped[np.ndarray, " units"], right: Bool[np.ndarray, " units"], n_bins: int = 5) -> list[Bin]:
    """The share of right descriptions at rising scores, in bins of as many descriptions each; empty ones left out."""
    order = np.argsort(scores, kind="stable")
    return [
        Bin(
            float(scores[part].min()),
            float(scores[part].max()),
            len(part),
            float(right[part].mean()),
            bootstrap_interval(right[part].astype(float)),
        )
        for part in np.array_split(order, n_bins)
        if len(part)
    ]


def by_chance(
    simulated: Shaped[np.ndarray, "units images"],
    actual: Shaped[np.ndarray, "units images"],
    random: Shaped[np.ndarray, "directions images"],
    units: Shaped[np.ndarray, " units"] | None = None,
) -> Float[np.ndarray, " scores"]:
    """Scores of every different text where it was not made for what answers: on other units, and on random directions.

    A text made from exemplars always foretells a little, and units of a layer are alike: both are in these scores. Of
    two texts that a listener hears alike (r of ALIKE or more) neither is wrong for the other's unit. Where a unit has
    several texts, `units` tells whose each row is, and what is wrong for it is like none of its own.
    """
    texts = np.unique(simulated, axis=0)
    wrong = pearson_table(simulated, texts) < ALIKE  # (units, texts)
    if units is not None:
        _, first, owner = np.unique(units, return_index=True, return_inverse=True)
        alike = np.zeros((len(first), len(texts)), bool)
        np.logical_or.at(alike, owner, ~wrong)
        wrong, actual = ~alike, actual[first]
    scores = pearson_table(actual, texts)[wrong], pearson_table(random, texts).ravel()
    return np.concatenate(scores).astype(np.float64)


def intervals(
    simulated: Shaped[np.ndarray, "units images"], actual: Shaped[np.ndarray, "units images"], draws: int, seed: int = 0
) -> tuple[Float[np.ndarray, " units"], Float[np.ndarray, " units"]]:
    """(low, high): the middle 95 % of every unit's r over images drawn with replacement, the same draws for all.

    r of a draw is that of the images weighted by how often each was drawn: five matrix products for all draws.
    """
    n = simulated.shape[1]
    rng = np.random.default_rng(seed)
    weights = rng.multinomial(n, np.full(n, 1 / n), draws).astype(np.float32) / n  # (draws, images)
    low, high = np.zeros(len(simulated)), np.zeros(len(simulated))
    for start in range(0, len(simulated), UNITS_AT_A_TIME):
        rows = slice(start, start + UNITS_AT_A_TIME)
        x, y = (standardised(each[rows]).T.astype(np.float32) * math.sqrt(n) for each in (simulated, actual))
        x_mean, y_mean, xy, xx, yy = (weights @ each for each in (x, y, x * y, x * x, y * y))  # (draws, units)
        spread = np.sqrt(np.clip(xx - x_mean**2, 0, None) * np.clip(yy - y_mean**2, 0, None))
        drawn = np.where(spread > 1e-9, (xy - x_mean * y_mean) / np.maximum(spread, 1e-9), 0.0)
        low[rows], high[rows] = np.quantile(np.clip(drawn, -1, 1), (0.025, 0.975), axis=0)
    return low, high
