"""Words as vectors, and which words are near which: for NEIGHBORS in forms.

    vectors = load_vectors("glove.6B.100d.txt")          # text: a word and its numbers on each line; gzip too
    vectors.neighbors("dog", 5, among=known)             # ["puppy", "dogs", …], nearest first, without the word itself
    learn_vectors(sentences, dimensions=100)             # from texts of yours: PPMI and SVD

Nearness is the cosine (Mu & Andreas 2020, section 5: the five nearest words of GloVe).
"""

import gzip
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from pathlib import Path

import numpy as np
import scipy.sparse
import scipy.sparse.linalg
from jaxtyping import Float32

from describer.errors import ImagesError


@dataclass(frozen=True, eq=False)
class WordVectors:
    """A table of words and their vectors."""

    words: tuple[str, ...]
    vectors: Float32[np.ndarray, "words dimensions"]

    @cached_property
    def rows(self) -> dict[str, int]:
        """Word -> row."""
        return {word: row for row, word in enumerate(self.words)}

    @cached_property
    def fingerprint(self) -> str:
        """sha256 over words and numbers."""
        return sha256("\n".join(self.words).encode() + self.vectors.tobytes()).hexdigest()

    @cached_property
    def _directions(self) -> Float32[np.ndarray, "words dimensions"]:
        return self.vectors / np.maximum(np.linalg.norm(self.vectors, axis=1, keepdims=True), 1e-12)

    def neighbors(self, word: str, n_neighbors: int, among: Collection[str]) -> list[str]:
        """The nearest words out of `among` by cosine, nearest first, ties by the alphabet; [] for an unknown word."""
        if word not in self.rows:
            return []
        others = sorted(other for other in among if other in self.rows and other != word)
        near = self._directions[[self.rows[other] for other in others]] @ self._directions[self.rows[word]]
        return [others[i] for i in np.argsort(-near, kind="stable")[:n_neighbors]]

    def save(self, path: str | Path) -> None:
        """Writes the text form: a word and its numbers, to four places, on each line."""
        lines = (
            f"{word} {' '.join(f'{x:.4f}' for x in row)}\n" for word, row in zip(self.words, self.vectors, strict=True)
        )
        Path(path).write_text("".join(lines), encoding="utf-8")


def load_vectors(path: str | Path) -> WordVectors:
    """Reads GloVe's text form, or word2vec's (whose first line has two numbers); ImagesError where it is neither."""
    path = Path(path)
    wanted = f"{path} must hold a word and its numbers on each line"
    try:
        with gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else path.open(encoding="utf-8") as file:
            rows = [line.rstrip().split(" ") for line in file if line.strip()]
        if rows and len(rows[0]) == 2:
            rows = rows[1:]
        wide = len(rows[0]) if rows else 0
        if wide < 2 or any(len(row) != wide for row in rows):
            odd = next((number for number, row in enumerate(rows, 1) if len(row) != wide), 0)
            raise ValueError(f"line {odd} of another length")
        vectors = np.array([row[1:] for row in rows], dtype=np.float32)
    except (OSError, ValueError, UnicodeDecodeError) as fault:
        raise ImagesError(f"{wanted}. Got: {str(fault)[:120]}. Use GloVe's text files.") from fault
    return WordVectors(tuple(row[0] for row in rows), vectors)


def learn_vectors(
    sentences: Sequence[Sequence[str]], dimensions: int = 100, min_count: int = 3, window: int = 4, seed: int = 0
) -> WordVectors:
    """Vectors of the words said `min_count` times or more, most frequent first.

    Positive PMI of words within `window` of each other, contexts smoothed by the power .75, factored by SVD with the
    square root of the singular values (Levy, Goldberg & Dagan 2015).
    """
    counts = Counter(word for sentence in sentences for word in sentence)
    kept = sorted((word for word, n in counts.items() if n >= min_count), key=lambda word: (-counts[word], word))
    rows = {word: row for row, word in enumerate(kept)}
    together = _cooccurrence([[rows.get(word, -1) for word in sentence] for sentence in sentences], len(kept), window)
    smoothed = np.asarray(together.sum(0)).ravel() ** 0.75
    own, total = np.asarray(together.sum(1)).ravel(), smoothed.sum()
    pairs = together.tocoo()
    pmi = np.log(pairs.data * total / (own[pairs.row] * smoothed[pairs.col]))
    ppmi = scipy.sparse.csr_matrix((np.maximum(pmi, 0), (pairs.row, pairs.col)), shape=pairs.shape)
    size = min(dimensions, len(kept) - 1)
    if size < 1:
        raise ImagesError(f"Sentences must repeat two words or more. Got {len(kept)} repeated. Give more text.")
    left, values, _ = scipy.sparse.linalg.svds(ppmi, k=size, rng=np.random.default_rng(seed))
    order = np.argsort(-values)
    vectors = np.zeros((len(kept), dimensions), np.float32)
    vectors[:, :size] = left[:, order] * np.sqrt(values[order])
    return WordVectors(tuple(kept), vectors)


def _cooccurrence(sentences: Sequence[Sequence[int]], n_words: int, window: int) -> scipy.sparse.csr_matrix:
    """(words, words): how often one stands within `window` places of the other; -1 is a word without a row."""
    row: list[int] = []
    column: list[int] = []
    for distance in range(1, window + 1):
        for sentence in sentences:
            for one, other in zip(sentence, sentence[distance:], strict=False):
                if one >= 0 and other >= 0:
                    row += (one, other)
                    column += (other, one)
    ones = np.ones(len(row))
    return scipy.sparse.coo_matrix((ones, (row, column)), shape=(n_words, n_words)).tocsr()
