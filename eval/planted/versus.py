"""Methods on a real network, whose truth nobody knows: what does a judge foresee from each one's descriptions?

    rows = compare({"caption": texts, "concept": others}, responses, images, judge, seed=0)

Exemplars come from one half of the images. On the other half a listener tells from each description how true it is of
every image, and the score of a unit is Pearson's r between that and the unit's peak (Oikarinen & Weng 2024); no
description scores 0. A listener that described, as `clip`'s does, must not judge itself: the report says who heard.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float64

from describer.atlas import Atlas
from describer.description import ImageSource
from describer.eval.planted.methods import Said, shuffled
from describer.listener import ListenerLike
from describer.responses import Responses
from describer.statistics import bootstrap_interval, pearson

AT_A_TIME = 64
"Pictures that are held while the judge looks at them."
Row = dict[str, Any]
Texts = Sequence[str | None]


def texts_of(atlas: Atlas, layer: str) -> dict[str, list[str | None]]:
    """What every method says of the layer's units, in their order, also where it was withdrawn."""
    told: dict[str, list[str | None]] = {}
    for row in atlas.units(layer):
        told.setdefault(row["method"], []).append(row["description"] or row["withdrawn"])
    return told


def with_baselines(told: Mapping[str, Texts], of: str = "caption", seed: int = 0) -> dict[str, Texts]:
    """The methods, then the descriptions of one of them shuffled among units, and its most frequent one for all."""
    texts = told[of]
    moved = [said.text for said in shuffled([Said(text, None) for text in texts], seed)]
    frequent = Counter(text for text in texts if text is not None).most_common(1)
    most: list[str | None] = [frequent[0][0] if frequent else None] * len(texts)
    return {**told, f"{of}, shuffled": moved, "constant": most}


def scores(
    texts: Texts,
    peaks: Float64[np.ndarray, "units images"],
    judge: ListenerLike,
    seen: torch.Tensor,
) -> Float64[np.ndarray, " units"]:
    """Pearson's r of every description's simulation and its unit's peaks; `seen` are the judge's (images, dims)."""
    different = sorted({text for text in texts if text is not None})
    found = np.zeros(len(texts))
    if different:
        simulated = judge.simulate(judge.embed_texts(different), seen).double().numpy()  # (texts, images)
        place = {text: row for row, text in enumerate(different)}
        told = [(unit, place[text]) for unit, text in enumerate(texts) if text is not None]
        units, rows = (np.array(column) for column in zip(*told, strict=True))
        found[units] = pearson(simulated[rows], peaks[units])
    return found


def compare(
    told: Mapping[str, Texts],
    responses: Responses,
    images: ImageSource,
    judge: ListenerLike,
    seed: int = 0,
) -> list[Row]:
    """One row a method: mean score with its interval over units, and that of the first method less this one."""
    indices = responses.images.tolist()
    starts = range(0, len(indices), AT_A_TIME)
    parts = [[images.image(index) for index in indices[start : start + AT_A_TIME]] for start in starts]
    seen = torch.cat([judge.embed_images(part).float().cpu() for part in parts])
    peaks = responses.peaks.double().numpy()
    by_method = {method: scores(texts, peaks, judge, seen) for method, texts in told.items()}
    first = next(iter(by_method.values()))
    rows = []
    for method, own in by_method.items():
        texts = [text for text in told[method] if text is not None]
        low, high = bootstrap_interval(own, seed=seed)
        less, more = bootstrap_interval(first - own, seed=seed)
        rows.append(
            {"method": method, "units": len(own), "described": len(texts), "distinct": len(set(texts))}
            | {"score": {"value": float(own.mean()), "low": low, "high": high}}
            | {"first_less_this": {"value": float((first - own).mean()), "low": less, "high": more}}
        )
    return rows


def beaten(rows: Sequence[Row]) -> dict[str, bool]:
    """Whether the first method's interval lies wholly above each other one's."""
    return {row["method"]: rows[0]["score"]["low"] > row["score"]["high"] for row in rows[1:]}


def described(
    model: str,
    images: str,
    layer: str,
    describers: Sequence[Any],
    judge: ListenerLike,
    out: Path,
    units: str | None = None,
    device: str = "cpu",
    progress: Any = None,
) -> tuple[Atlas, Responses, ImageSource]:
    """The atlas of one layer with all describers, what its units answer on the judging half, and the pictures seen."""
    from describer.data.images import load_images
    from describer.data.targets import load_target
    from describer.describe import describe
    from describer.trust import Judge
    from describer.view import SeenImages

    target = load_target(model, device=device)
    probe_set = load_images(images, target)
    judged = Judge(judge)
    atlas = describe(target, probe_set, out, describers, layers=[layer], units=units, progress=progress, judge=judged)
    responses = atlas.responses(layer)
    assert responses is not None, "an atlas that is judged has responses"
    ids = torch.tensor(sorted({row["unit"] for row in atlas.units(layer)}))
    return atlas, responses.rows(ids), SeenImages(probe_set, target.preprocess)
