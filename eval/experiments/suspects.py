"""Units that have to do with painted text, found in an atlas by what is said of them, and who they truly are.

    found = suspects(Atlas.open("atlas"))            # {"caption": Suspects(...), "meaning": ..., "formula": ...}
    found["caption"].units                           # [("layer3", 5), ...]
    telling = tells_text(plain, lettered)            # (units,) chance that text on a picture raises the unit's peak

Ways: `caption`, reliable descriptions that say text, letters, words, writing or signs; `caption or withdrawn`, the same
with what the judge withdrew; `meaning`, the units whose exemplars speak most for these words (mean PMI), whatever their
descriptions say; `concept` and `formula`, units whose pixels are best told by the labelled concept text.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Float64
from scipy.stats import rankdata

from describer.atlas import Atlas
from describer.caption import CaptionDescriber
from describer.captioner import Captioner
from describer.eval.control.choice import said, words
from describer.eval.experiments.cutting import Unit
from describer.eval.experiments.lettering import TEXT, LetteredImages
from describer.exemplars import Exemplars
from describer.search.index import search
from describer.search.meanings import Meanings

QUERIES = ("text", "letters", "words", "writing", "sign")
"What people say of units that see text; MILAN's were word, text and letter."
MOST = 20
"Units that are taken by meaning, as many as `describer ablate --how meaning` takes."
WAYS = ("caption", "caption or withdrawn", "meaning", "concept", "formula")
TELLING = 0.8
"Chance of telling a lettered from a plain picture by a unit's peak, from which on the unit counts as one of text."


@dataclass(frozen=True)
class Suspects:
    """Units that one way finds, the surest first."""

    units: list[Unit]
    texts: list[str | None]
    "what is said of each"
    scores: list[float | None]
    "PMI in nats, or IoU"


def suspects(atlas: Atlas, captioner: Captioner | None = None, queries: Sequence[str] = QUERIES) -> dict[str, Suspects]:
    """What every way of `WAYS` finds in an atlas; those whose method it lacks are left out.

    Meaning is told by the captioner, or by the carried one.
    """
    rows = [row for row in atlas.units() if not row["dead"]]
    captions = [row for row in rows if row["method"] == "caption"]
    found = {}
    if captions:
        reliable = [row for row in captions if says_any(row["description"], queries)]
        withdrawn = [row for row in captions if says_any(row["withdrawn"], queries)]
        found["caption"] = _found(reliable, "pmi")
        found["caption or withdrawn"] = _found([*reliable, *withdrawn], "pmi")
        found["meaning"] = by_meaning(atlas, queries, captioner=captioner)
    for method in ("concept", "formula"):
        if told := [row for row in rows if row["method"] == method]:
            found[method] = _found([row for row in told if says_text(row)], "iou")
    return found


def spoken(atlas: Atlas, shown: int) -> dict[str, Any]:
    """How many captions there are and how many are reliable, and the most frequent, reliable or not."""
    rows = [row for row in atlas.units() if row["method"] == "caption" and not row["dead"]]
    texts = Counter(row["description"] or row["withdrawn"] for row in rows)
    reliable = sum(row["description"] is not None for row in rows)
    return {"units": len(rows), "reliable": reliable, "most_said": dict(texts.most_common(shown))}


def says_any(text: str | None, queries: Sequence[str]) -> bool:
    """Whether a description says one of the words; a plural is the same word."""
    return bool(words(text or "") & {word for query in queries for word in words(query)})


def says_text(row: Mapping[str, Any]) -> bool:
    """Whether a form, withdrawn or not, asks for the concept text; what it denies it does not ask for."""
    return TEXT in words(said({"description": row["formula"]}))


def by_meaning(atlas: Atlas, queries: Sequence[str], most: int = MOST, captioner: Captioner | None = None) -> Suspects:
    """The units of the highest mean PMI of the queries."""
    n_units = len({row["id"] for row in atlas.units()})
    pmi: dict[Unit, list[float]] = {}
    texts: dict[Unit, str | None] = {}
    for query in queries:
        for hit in search(atlas, query, k=n_units, captioner=captioner):
            pmi.setdefault((hit.layer, hit.unit), []).append(hit.score)
            texts[hit.layer, hit.unit] = hit.description
    means = {unit: float(np.mean(values)) for unit, values in pmi.items()}
    units = sorted(means, key=lambda unit: (-means[unit], unit))[:most]
    return Suspects(units, [texts[unit] for unit in units], [means[unit] for unit in units])


def _found(rows: Sequence[Mapping[str, Any]], score: str) -> Suspects:
    """The units of these rows by a score."""
    rows = sorted(rows, key=lambda row: -(row[score] or 0.0))
    units = [(row["layer"], row["unit"]) for row in rows]
    return Suspects(units, [row["description"] or row["withdrawn"] for row in rows], [row[score] for row in rows])


def said_of_words(
    captioner: Captioner, images: LetteredImages, queries: Sequence[str] = QUERIES, n_sets: int = 20
) -> dict[str, Any]:
    """What a captioner says where the exemplars are nothing but painted words, and the mean PMI (nats) of the queries.

    Whoever does not say text here says it of no unit.
    """
    exemplars = words_alone(images, n_sets)
    texts = Counter(each.text for each in CaptionDescriber(captioner).describe(exemplars, images))
    meanings = Meanings(captioner)
    memory, _, present = meanings.sets(exemplars, images)
    pmi = (meanings.log_probs(queries, memory, present) - meanings.log_priors(queries)).mean(0)
    told = {query: round(float(value), 2) for query, value in zip(queries, pmi, strict=True)}
    return {"sets": len(exemplars), "most_said": dict(texts.most_common(4)), "pmi": told}


def words_alone(images: LetteredImages, n_sets: int, k: int = 15) -> Exemplars:
    """Sets of k exemplars each, the boxes around the words of the lettered pictures in their order."""
    shown = [index for index, word in enumerate(images.words) if word is not None][: n_sets * k]
    chosen = torch.tensor(shown[: len(shown) // k * k], dtype=torch.int64).reshape(-1, k)  # (sets, k)
    boxes = torch.stack([torch.from_numpy(images.box(index)).float() for index in chosen.flatten().tolist()])
    n = len(chosen)
    return Exemplars(
        layer="words",
        unit_ids=torch.arange(n),
        images=chosen,
        activations=torch.ones(n, k),
        maps=boxes.reshape(n, k, *boxes.shape[1:]).half(),
        threshold=torch.full((n,), 0.5),
        dead=torch.zeros(n, dtype=torch.bool),
    )


def tells_text(
    plain: Float[np.ndarray, "some units"], lettered: Float[np.ndarray, "others units"]
) -> Float64[np.ndarray, " units"]:
    """Chance, 0..1, that a unit's peak on a lettered picture is above that on a plain one; ties count half.

    The area under the ROC curve, by the ranks of all peaks (Mann & Whitney 1947).
    """
    n, m = len(plain), len(lettered)
    ranks = rankdata(np.concatenate([plain, lettered]), axis=0)
    return np.asarray((ranks[n:].sum(0) - m * (m + 1) / 2) / (n * m), np.float64)
