"""Textures with the words of several people (`image`, `texture`, `descriptions`): whole pictures.

corpus = read_textures("textures", folds=range(6))
corpus.phrases["banded patterns"], corpus.phrases["shiny surfaces"], corpus.phrases["bubbles"]
"""

from collections import Counter
from collections.abc import Collection, Sequence

from describer.data.nouns import word_lists
from describer.training.corpus import Corpus, CorpusBuilder, check_folds
from describer.training.phrases import adjectives, noun_phrases
from describer.training.sources.parquet import Paths, decode, fold_of, read_rows


def read_textures(paths: Paths, folds: Collection[int], min_people: int = 2) -> Corpus:
    """One region a picture: its texture's name as a phrase, and what at least `min_people` people say of it."""
    builder, wanted = CorpusBuilder("textures"), check_folds(folds)
    for row in read_rows(paths, ["image", "texture", "descriptions"]):
        if fold_of(row["image"]) not in wanted:
            continue
        image = builder.add_image(decode(row["image"]))
        said = [text.strip() for text in row["descriptions"]]
        phrases = [named(row["texture"]), *shared_words(said, min_people)]
        builder.add_region(image, None, said, phrases)
    return builder.corpus()


def named(adjective: str) -> str:
    """What people write for a set that shares an adjective: "banded patterns", "bumpy surfaces", "vertical lines"."""
    lists = word_lists()
    adjective = lists["respell"].get(adjective, adjective)
    if adjective in lists["colours"]:
        return f"{adjective} areas"
    for noun, words in (("patterns", "of_patterns"), ("lines", "of_lines"), ("shapes", "of_shapes")):
        if adjective in lists[words]:
            return f"{adjective} {noun}"
    return f"{adjective} surfaces"


def shared_words(texts: Sequence[str], min_people: int) -> list[str]:
    """Noun phrases of at least `min_people` texts, and adjectives with the noun that they lack."""
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update({*noun_phrases(text), *map(named, adjectives(text))})
    return [phrase for phrase, n in counts.most_common() if n >= min_people]
