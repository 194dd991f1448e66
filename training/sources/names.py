"""Pictures with the name of their class (`image`, `label`, `index`): names, and everyday words for sets of classes.

    corpus = read_names("imagenet_samples", folds=range(6))
    corpus.phrases["golden retrievers"], corpus.phrases["dogs"], corpus.phrases["animals"]
    read_classes("cifar10", folds=range(6), per_class=200).phrases["airplanes"]

The words for ImageNet are in hierarchy.yaml, as class indices in sorted wnid order.
"""

from collections import Counter
from collections.abc import Collection, Mapping
from functools import cache
from pathlib import Path

import yaml

from describer.data.nouns import canonical
from describer.errors import RecipeError
from describer.training.corpus import Corpus, CorpusBuilder, check_folds
from describer.training.phrases import with_general
from describer.training.sources.parquet import Paths, decode, fold_of, read_rows

HIERARCHY = Path(__file__).with_name("hierarchy.yaml")


@cache
def read_hierarchy(path: str | Path = HIERARCHY) -> dict[str, frozenset[int]]:
    """Word → class indices; RecipeError for an index that is no number or range."""
    words = {}
    for word, written in yaml.safe_load(Path(path).read_text(encoding="utf-8")).items():
        words[word] = frozenset(index for part in str(written).split() for index in _indices(part))
    return words


def _indices(part: str) -> range:
    try:
        first, _, last = part.partition("-")
        return range(int(first), int(last or first) + 1)
    except ValueError as fault:
        raise RecipeError(f"Classes must be written as 7 or 7-11. Got {part!r}. Do correct the hierarchy.") from fault


def read_names(paths: Paths, folds: Collection[int], *, hierarchy: str | Path = HIERARCHY) -> Corpus:
    """One region a picture: its name (and synonyms, comma separated) and the coarser words of the hierarchy."""
    builder, wanted, words = CorpusBuilder("names"), check_folds(folds), read_hierarchy(hierarchy)
    for row in read_rows(paths, ["image", "label", "index"]):
        if fold_of(row["image"]) in wanted:
            names = [name.strip() for name in str(row["label"]).split(",") if name.strip()]
            phrases = [*map(canonical, names), *coarser(int(row["index"]), words)]
            builder.add_region(builder.add_image(decode(row["image"])), None, names, phrases)
    return builder.corpus()


def read_classes(paths: Paths, folds: Collection[int], *, per_class: int = 100, source: str = "classes") -> Corpus:
    """At most `per_class` pictures of each label, with its name and the general words for it ("dogs" → "animals")."""
    builder, wanted = CorpusBuilder(source), check_folds(folds)
    taken: Counter[str] = Counter()
    for row in read_rows(paths, ["image", "label"]):
        name = str(row["label"])
        if taken[name] < per_class and fold_of(row["image"]) in wanted:
            taken[name] += 1
            phrases = with_general([canonical(name)])
            builder.add_region(builder.add_image(decode(row["image"])), None, [name], phrases)
    return builder.corpus()


def coarser(index: int, words: Mapping[str, frozenset[int]]) -> list[str]:
    """The words of the hierarchy that hold a class, the narrowest first."""
    return sorted((word for word, classes in words.items() if index in classes), key=lambda word: len(words[word]))
