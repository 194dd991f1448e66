"""Planted units: units whose meaning is known, because we made them fire on it. Does a describer say it?

    python -m describer.eval.planted --data ../shared/data --out planted.json

An image-level unit fires on whole held-out photographs of which people said one thing; a region-level unit fires on
the masks of one class; a scene unit on the exact masks of one concept of the drawn world. A description names the
unit if it holds every content word of the planted concept, or a synonym of the list in eval/synonyms.yaml.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from itertools import product
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
import yaml
from jaxtyping import Float
from torch import Tensor

from describer.captioner import CARRIED, Captioner
from describer.data.nouns import singular
from describer.decoding import DecodingSettings, describe_sets
from describer.description import Candidate
from describer.encoder import ExemplarEncoder
from describer.training.corpus import Corpus
from describer.training.recipe import placed
from describer.training.regiontable import pixels
from describer.training.sources import load_corpus

SYNONYMS = Path(__file__).parents[1] / "synonyms.yaml"
HELD_OUT = (6, 7, 8, 9)
"folds of photographs that no part of the captioner has learnt from; 8 has chosen among its checkpoints"
EMPTY = frozenset(
    {"a", "an", "the", "of", "in", "on", "with", "and", "or", "at", "to", "by", "for", "is", "are", "thing", "things"}
    | {"object", "objects", "area", "areas", "regions", "surface", "surfaces", "pattern", "patterns", "texture"}
    | {"textures", "shape", "shapes", "color", "people's"}
)


@dataclass(frozen=True)
class PlantedUnit:
    """One unit with a known meaning."""

    concept: str
    "what it fires on, as a phrase"
    regions: tuple[int, ...]
    "its exemplars, regions of the corpus"


@dataclass(frozen=True)
class Named:
    """How often planted units were named, with 95 % bootstrap intervals over units."""

    units: int
    first: tuple[float, float, float]
    "share named by the first text: value, low, high"
    within_four: tuple[float, float, float]
    "share named by one of the first four texts"
    distinct: float
    "distinct first texts a unit"
    words: float
    "mean number of words of the first text"


@cache
def synonyms() -> Mapping[str, frozenset[str]]:
    """Every listed word, singular, with the words that count as it."""
    groups = [
        frozenset(singular(word) for word in line.split())
        for line in yaml.safe_load(SYNONYMS.read_text(encoding="utf-8"))
    ]
    return {
        word: frozenset().union(*(group for group in groups if word in group)) for group in groups for word in group
    }


def content_words(text: str) -> frozenset[str]:
    """The words of a text that carry meaning, singular."""
    words = (word for word in re.findall(r"[a-z]+(?:-[a-z]+)*", text.lower()) if word not in EMPTY)
    return frozenset(singular(word) for word in words)


def names(text: str, concept: str) -> bool:
    """Whether a text holds every content word of a concept, or a listed synonym of it."""
    said = content_words(text)
    return all(said & (synonyms().get(word, frozenset()) | {word}) for word in content_words(concept))


def plant(
    corpus: Corpus, sources: Sequence[str], n_units: int, n_exemplars: int = 12, seed: int = 0
) -> list[PlantedUnit]:
    """The most frequent phrases of the sources with ``n_exemplars`` regions or more, one unit each."""
    rng = np.random.default_rng(seed)
    own = np.isin(np.array(corpus.source), list(sources))
    counts = {phrase: ids[own[ids]] for phrase, ids in corpus.phrases.items()}
    enough = sorted(
        (p for p, ids in counts.items() if len(ids) >= n_exemplars and content_words(p)),
        key=lambda p: (-len(counts[p]), p),
    )
    return [PlantedUnit(p, tuple(rng.permutation(counts[p])[:n_exemplars].tolist())) for p in enough[:n_units]]


@torch.inference_mode()
def unit_features(
    encoder: ExemplarEncoder, corpus: Corpus, units: Sequence[PlantedUnit], batch_size: int = 64
) -> Float[Tensor, "units k features"]:
    """Features of the exemplars of planted units under their exact masks."""
    regions = np.unique([region for unit in units for region in unit.regions])
    order = regions[np.argsort(corpus.region_image[regions], kind="stable")]
    table = torch.zeros(len(corpus), encoder.n_features)
    images = corpus.region_image[order]
    for start in range(0, len(np.unique(images)), batch_size):
        chosen = np.unique(images)[start : start + batch_size]
        rows = order[np.isin(images, chosen)]
        owner = torch.from_numpy(np.searchsorted(chosen, corpus.region_image[rows]))
        maps = encoder.maps(pixels(corpus.images[chosen], encoder.backbone.size))
        table[rows] = encoder.region_features(maps, torch.from_numpy(corpus.region_mask[rows]).float() / 255, owner)
    return torch.stack([table[list(unit.regions)] for unit in units])


def describe_planted(
    captioner: Captioner, features: Float[Tensor, "units k features"], settings: DecodingSettings
) -> list[list[Candidate]]:
    """The n best texts of every planted unit, all units taken as one layer."""
    return describe_sets(captioner, features, torch.ones(features.shape[:2], dtype=torch.bool), settings)


def judge(texts: Sequence[Sequence[str]], concepts: Sequence[str], seed: int = 0) -> Named:
    """How often the texts (best first) of each unit name its concept."""
    first = np.array([bool(own) and names(own[0], concept) for own, concept in zip(texts, concepts, strict=True)])
    four = np.array([any(names(t, concept) for t in own[:4]) for own, concept in zip(texts, concepts, strict=True)])
    best = [own[0] if own else "" for own in texts]
    words = float(np.mean([len(text.split()) for text in best]))
    return Named(len(first), interval(first, seed), interval(four, seed), len(set(best)) / max(len(best), 1), words)


def interval(hits: np.ndarray, seed: int = 0, n_draws: int = 2000) -> tuple[float, float, float]:
    """Mean of a sample with its 95 % bootstrap interval."""
    if not len(hits):
        return (float("nan"),) * 3
    draws = hits[np.random.default_rng(seed).integers(0, len(hits), (n_draws, len(hits)))].mean(1)
    return float(hits.mean()), float(np.quantile(draws, 0.025)), float(np.quantile(draws, 0.975))


def _said_of(way: DecodingSettings) -> str:
    return f"lambda {way.weight:g}, evidence {way.evidence:g}, contrast {way.contrast:g}, apart {way.apart:g}"


LEVELS: dict[str, tuple[list[dict[str, Any]], int]] = {
    "image": (
        [
            {"source": "captions", "paths": "flickr8k/*.parquet"},
            {"source": "textures", "paths": "textures/*.parquet"},
            {"source": "classes", "paths": "cifar10/test-*.parquet", "per_class": 60},
        ],
        200,
    ),
    "region": (
        [
            {"source": "clothing", "paths": "clothing/*.parquet", "labels": "clothing/labels.json"},
            {
                "source": "segments",
                "masks": "flickr8k_segments/*.parquet",
                "labels": "flickr8k_segments/labels.json",
                "photos": "flickr8k/*.parquet",
            },
            {"source": "textures", "paths": "textures/*.parquet"},
        ],
        200,
    ),
    "scenes": ([{"source": "scenes", "n": 6000, "seed": 7}], 200),
}
"Level -> its sources, all of held-out folds, and how many units are planted"


def measure(
    captioner: Captioner, level: str, data: str, cache: str | None, ways: Sequence[DecodingSettings], seed: int = 0
) -> dict[str, Any]:
    """Named units of one level by way of decoding, beside shuffled descriptions, with every unit's texts."""
    sources, n_units = LEVELS[level]
    corpus = load_corpus(placed(sources, data), HELD_OUT, cache)
    units = plant(corpus, sorted(set(corpus.source)), n_units, seed=seed)
    concepts = [unit.concept for unit in units]
    features = unit_features(captioner.encoder, corpus, units)
    result: dict[str, Any] = {}
    for way in ways:
        rows = describe_planted(captioner, features, replace(way, n_best=8))
        texts = [[candidate.text for candidate in row] for row in rows]
        result[_said_of(way)] = asdict(judge(texts, concepts, seed)) | {
            "texts": {concept: own[:4] for concept, own in zip(concepts, texts, strict=True)}
        }
        if way == DecodingSettings():
            order = np.random.default_rng(seed).permutation(len(texts))
            result["shuffled"] = asdict(judge([texts[i] for i in order], concepts, seed))
    return result


def main(
    data: Annotated[
        str, typer.Option(help="Folder with flickr8k/, textures/, clothing/, cifar10/, flickr8k_segments/.")
    ],
    captioner: Annotated[Path, typer.Option(help="Folder of a captioner.")] = CARRIED,
    out: Annotated[Path | None, typer.Option(help="JSON file for everything measured.")] = None,
    cache: Annotated[str | None, typer.Option(help="Folder in which prepared sources are kept.")] = None,
    level: Annotated[list[str] | None, typer.Option(help="image, region, scenes; default all.")] = None,
    weight: Annotated[list[float] | None, typer.Option(help="lambda, several allowed.")] = None,
    evidence: Annotated[list[float] | None, typer.Option(help="weight of evidence, several allowed.")] = None,
    contrast: Annotated[list[float] | None, typer.Option(help="with the other units, several allowed.")] = None,
) -> None:
    """Prints how often planted units are named: by plain likelihood, the set's PMI, with evidence, contrast, apart.

    Example: python -m describer.eval.planted --data ../shared/data --weight 0 --weight 0.5
    """
    from rich.console import Console
    from rich.table import Table

    model = Captioner.from_pretrained(captioner)
    usual = DecodingSettings()
    by_set = replace(usual, evidence=0.0, contrast=0.0, apart=0.0)
    alone, beside = replace(usual, contrast=0.0, apart=0.0), replace(usual, apart=0.0)
    ways = [replace(by_set, weight=0.0), by_set, alone, beside, usual]
    if weight or evidence or contrast:
        every = product(weight or [usual.weight], evidence or [usual.evidence], contrast or [usual.contrast])
        ways = [replace(usual, weight=one, evidence=other, contrast=third) for one, other, third in every]
    found = {name: measure(model, name, data, cache, ways) for name in level or LEVELS}
    table = Table("level", "decoding", "units", "named first", "95 %", "within four", "distinct", "words")
    for name, rows in found.items():
        for decoding, row in rows.items():
            value, low, high = row["first"]
            table.add_row(
                name,
                decoding,
                str(row["units"]),
                f"{value:.3f}",
                f"{low:.3f}–{high:.3f}",
                f"{row['within_four'][0]:.3f}",
                f"{row['distinct']:.2f}",
                f"{row['words']:.1f}",
            )
    Console(width=120).print(table)
    if out:
        out.write_text(json.dumps(found, indent=1), encoding="utf-8")


if __name__ == "__main__":
    typer.run(main)
