"""Which descriptions can be relied on: they must foresee what their unit does on images they were not made from.

    judge = Judge(load_listener())                     # or load_listener("openai/clip-vit-base-patch16")
    atlas = describe(target, images, "atlas", describers, judge=judge)
    row = atlas.units()[0]                             # row["score"], row["q"], row["reliable"], row["withdrawn"] …

One half of the probe set gives exemplars, the other judges. There a listener says how true a text is of every image,
and the score is Pearson's r with what the unit answers (simulation, Oikarinen & Weng 2024). To be reliable, a text must
score higher than what the same describer says of random directions of the same layer.
"""

import hashlib
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Float, Int64, Shaped
from torch import Tensor

from describer.description import Description, ImageSource
from describer.responses import Responses, Watch
from describer.statistics import benjamini_hochberg, pearson, pearson_table, permutation_p, standardised

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
TAIL = 0.25
"Share of what chance gives that tells how its tail falls."


@dataclass(frozen=True)
class TrustSettings:
    """How descriptions are judged."""

    level: float = 0.05
    "share of false ones among the descriptions that are kept, on average"
    directions: int = 100
    "random directions of a layer that tell what chance gives"
    draws: int = 500
    "bootstrap draws of images"
    seed: int = 0
    "of the halves, the directions and the draws"


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
    """The judge whose listener is named (None: the carried one); None for "none" or too few images, which it says.

    Raises WeightsError for a listener that there is not.
    """
    if name == "none":
        return None
    from describer.listener import CARRIED, load_listener  # heavy

    if name is None and not (CARRIED / "model.safetensors").is_file():
        return None  # a package built without the listener
    if not enough(n_images, k):
        if say:
            say(f"Descriptions are not judged: that takes {max(FEWEST, 2 * k)} images or more.")
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
        told = {"judge": f"{self.listener.name} {digest}", "judge_level": self.settings.level}
        return told | {"judge_seed": self.settings.seed, "directions": self.settings.directions}

    def watch(self, n_images: int, k: int, folder: Path) -> Watch | None:
        """Which images of a probe set judge; None where they are too few to judge by."""
        if not enough(n_images, k):
            return None
        _, judging = halves(n_images, self.settings.seed)
        return Watch(tuple(judging.tolist()), folder, self.settings.directions, self.settings.seed)

    def judged(
        self,
        descriptions: Sequence[Description],
        random: Sequence[str | None] | None,
        responses: Responses,
        images: ImageSource,
    ) -> list[Description]:
        """The descriptions of one layer and method with score, low, high, p, q, and whether they are reliable.

        `random` are the texts of the random directions; None where the method cannot describe them (see `borrowed`).
        """
        told = [description for description in descriptions if description.text is not None]
        if not told:
            return list(descriptions)
        actual = responses.rows(torch.tensor([description.unit for description in told])).peaks.numpy()
        simulated = self._simulated([description.text or "" for description in told], images, responses)
        by_chance = responses.random_peaks.numpy()
        if random is None:
            null = borrowed(simulated, by_chance)
        else:
            null = pearson(self._simulated([text or "" for text in random], images, responses), by_chance)
            null = np.where([text is None for text in random], 0.0, null)
        scores = pearson(simulated, actual)
        low, high = intervals(simulated, actual, self.settings.draws, self.settings.seed)
        p = chances(scores, null)
        numbers = zip(scores, low, high, p, benjamini_hochberg(p), strict=True)
        found = {each.unit: verdict for each, verdict in zip(told, numbers, strict=True)}
        return [self._told(each, found.get(each.unit)) for each in descriptions]

    def _told(self, description: Description, verdict: tuple[float, ...] | None) -> Description:
        if verdict is None:
            return description
        numbers = dict(zip(("score", "low", "high", "p", "q"), map(float, verdict), strict=True))
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

    def _simulated(self, texts: Sequence[str], images: ImageSource, responses: Responses) -> np.ndarray:
        """(texts, images) how true the listener holds each text of each image; each different text is asked once."""
        different = sorted(set(texts))
        heard = self.listener.embed_texts(different).float().cpu()
        table = self.listener.simulate(heard, self._heard(images, responses)).float().cpu().numpy()
        place = {text: row for row, text in enumerate(different)}
        return table[[place[text] for text in texts]]


def chances(scores: Float[np.ndarray, " units"], null: Float[np.ndarray, " directions"]) -> Float[np.ndarray, " units"]:
    """The chance that what means nothing scores as high: p-values whose least is not bound by the number of draws.

    Up to the third quartile of the null they are its shares, (1 + #) / (1 + n). Beyond, r after Fisher's z falls off
    as an exponential of the mean excess (Knijnenburg et al. 2009 with shape 0, which is too large a p for what is
    bounded as r is).
    """
    plain = permutation_p(scores, null)
    z, chance = (np.arctanh(np.clip(each, -0.999, 0.999)) for each in (scores, null))
    bar = np.quantile(chance, 1 - TAIL)
    excess = (chance[chance > bar] - bar).mean() if (chance > bar).any() else 0.0
    if excess <= 0:
        return plain
    tail = TAIL * np.exp(-(z - bar) / excess)
    return np.where(z > bar, np.minimum(tail, 1.0), plain)


def borrowed(
    simulated: Float[np.ndarray, "texts images"], by_chance: Float[np.ndarray, "directions images"]
) -> Float[np.ndarray, " directions"]:
    """What directions score that nobody has described: each borrows the text that fits it best in half of the images.

    It is scored in the other half, and the other way round; the mean of both, so that choosing gains nothing.
    """
    texts = np.unique(simulated, axis=0)
    found = np.zeros((2, len(by_chance)))
    for turn in (0, 1):
        chosen = pearson_table(by_chance[:, turn::2], texts[:, turn::2]).argmax(1)
        found[turn] = pearson(texts[chosen][:, 1 - turn :: 2], by_chance[:, 1 - turn :: 2])
    return np.asarray(found.mean(0))


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
