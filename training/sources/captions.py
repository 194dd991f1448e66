"""Photographs with the captions of several people (`image`, `captions`): whole pictures, and what two people name.

corpus = read_captions("flickr8k", folds=range(6))
"""

from collections import Counter
from collections.abc import Collection, Sequence

from describer.training.corpus import Corpus, CorpusBuilder, check_folds
from describer.training.phrases import noun_phrases, with_general
from describer.training.sources.parquet import Paths, decode, fold_of, read_rows


def read_captions(
    paths: Paths, folds: Collection[int], min_people: int = 2, limit: int | None = None, name: str = "captions"
) -> Corpus:
    """One region a picture; its phrases are those named (or implied: puppies are dogs) by `min_people` people."""
    builder, wanted = CorpusBuilder(name), check_folds(folds)
    n_images = 0
    for row in read_rows(paths, ["image", "captions"]):
        if fold_of(row["image"]) not in wanted:
            continue
        image = builder.add_image(decode(row["image"]))
        captions = [caption.strip() for caption in row["captions"]]
        builder.add_region(image, None, captions, shared_phrases(captions, min_people))
        n_images += 1
        if n_images == limit:
            break
    return builder.corpus()


def shared_phrases(texts: Sequence[str], min_people: int = 2) -> list[str]:
    """The phrases named by at least `min_people` of the texts, most frequent first."""
    counts = Counter(phrase for text in texts for phrase in with_general(noun_phrases(text)))
    return [phrase for phrase, n in counts.most_common() if n >= min_people]
