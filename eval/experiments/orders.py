"""Units in the order of a property of their descriptions: how many nouns, how long, how like a word.

    scores = properties(["red cars on a road", "sky"], meaning_of(load_listener()), ["harbour"])
    scores["nouns"], scores["like harbour"]          # one number a description; a property is a name
    ordered(scores["nouns"], seed=0)                 # places, the most nouns first, ties at random
    matched(order, layers, seed=0)                   # a random order that meets the layers in the same turn

Hernandez et al. 2022, section 5: parts of speech, length, similarity to a word, and the largest difference between two
words of one description. Parts of speech are HanTa's (`data.tagging`); without it they are left out.
"""

from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Float, Int64

from describer.data.tagging import tagged, tagger, words
from describer.data.wordvectors import WordVectors
from describer.listener import ListenerLike

Meaning = Callable[[Sequence[str]], np.ndarray]
"Texts -> (texts, dims) of unit norm; zeros for a text that is not known."

PARTS = {"nouns": ("NN", "NP"), "verbs": ("V",), "adjectives": ("AJ",), "adpositions": ("PR",)}
"How the tags of the British National Corpus begin."


def meaning_of(listener: ListenerLike) -> Meaning:
    """What a listener hears in texts."""
    return lambda texts: listener.embed_texts(list(texts)).float().cpu().numpy()


def meaning_by(vectors: WordVectors) -> Meaning:
    """The mean of the vectors of a text's known words, at unit norm."""

    def means(texts: Sequence[str]) -> np.ndarray:
        found = np.zeros((len(texts), vectors.vectors.shape[1]))
        for row, text in enumerate(texts):
            for word in words(text):
                if word in vectors.rows:
                    own = vectors.vectors[vectors.rows[word]].astype(np.float64)
                    found[row] += own / max(np.linalg.norm(own), 1e-12)
        return found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-12)

    return means


def properties(
    texts: Sequence[str], meaning: Meaning | None = None, like: Sequence[str] = ()
) -> dict[str, Float[np.ndarray, " units"]]:
    """Every property of the descriptions; those that need a `meaning` or a tagger only where there is one."""
    found = {"words": np.array([len(spoken(text)) for text in texts], float)}
    if tagger() is not None:
        tags = [[word.tag for word in tagged(text)] for text in texts]
        for part, begins in PARTS.items():
            found[part] = np.array([sum(tag.startswith(begins) for tag in own) for own in tags], float)
    if meaning is not None:
        found["difference"] = differences(texts, meaning)
        vectors = meaning(list(texts))
        for word in like:
            found[f"like {word}"] = (vectors @ meaning([word])[0]).astype(np.float64)
    return found


def differences(texts: Sequence[str], meaning: Meaning) -> Float[np.ndarray, " units"]:
    """The largest 1 - cosine between two words of each text; 0 where there are fewer than two."""
    said = [sorted(set(spoken(text))) for text in texts]
    known = sorted({word for own in said for word in own})
    vectors = meaning(known) if known else np.zeros((0, 1))
    place = {word: row for row, word in enumerate(known)}
    found = np.zeros(len(texts))
    for row, own in enumerate(said):
        if len(own) > 1:
            each = vectors[[place[word] for word in own]]
            found[row] = 1 - float((each @ each.T).min())
    return found


def spoken(text: str) -> list[str]:
    """The words of a text, without marks."""
    return [word for word in words(text) if word[0].isalnum()]


def ordered(scores: Float[np.ndarray, " units"], seed: int) -> Int64[np.ndarray, " units"]:
    """Places of the units, the highest score first; ties at random, so that no layer comes first in them."""
    return np.lexsort((np.random.default_rng(seed).permutation(len(scores)), -scores)).astype(np.int64)


def matched(order: Int64[np.ndarray, " units"], layers: Sequence[str], seed: int) -> Int64[np.ndarray, " units"]:
    """Another order with a unit of the same layer at every place, drawn at random: what the layers alone would do."""
    layer = np.array(layers)[order]
    found, dice = order.copy(), np.random.default_rng(seed)
    for name in dict.fromkeys(layers):
        found[layer == name] = dice.permutation(order[layer == name])
    return found
