"""Clarity of units beside loops over pairs."""

from itertools import combinations

import numpy as np
import pytest

from describer.errors import DescriberError
from describer.eval.metrics import clarity, monosemanticity, polysemanticity, redundancy


@pytest.fixture
def dice() -> np.random.Generator:
    return np.random.default_rng(7)


def unit(vectors: np.ndarray) -> np.ndarray:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=-1, keepdims=True))


def test_clarity_is_the_mean_cosine_of_different_exemplars(dice: np.random.Generator) -> None:
    embeddings = unit(dice.normal(size=(3, 5, 7)))
    expected = [np.mean([a @ b for a, b in combinations(rows, 2)]) for rows in embeddings]
    np.testing.assert_allclose(clarity(embeddings), expected)
    np.testing.assert_allclose(clarity(np.tile(embeddings[:, :1], (1, 5, 1)).astype(np.float32)), [1, 1, 1], atol=1e-6)
    with pytest.raises(DescriberError, match="at least 2 exemplars"):
        clarity(embeddings[:, :1])


def test_redundancy_is_the_cosine_of_the_nearest_other(dice: np.random.Generator, monkeypatch) -> None:
    vectors = unit(dice.normal(size=(11, 3)))
    expected = np.mean([max(v @ w for j, w in enumerate(vectors) if j != i) for i, v in enumerate(vectors)])
    assert redundancy(vectors) == pytest.approx(expected)
    monkeypatch.setattr("describer.eval.metrics.interpretability.SHARE", 4)
    assert redundancy(vectors) == pytest.approx(expected)
    assert redundancy(vectors[:1]) == 0


def test_monosemanticity_is_the_sum_over_pairs(dice: np.random.Generator) -> None:
    embeddings, activations = unit(dice.normal(size=(13, 5))), dice.normal(size=(3, 13))
    expected = []
    for row in activations:
        r = (row - row.min()) / (row.max() - row.min())
        pairs = list(combinations(range(13), 2))
        above = sum(r[i] * r[j] * (embeddings[i] @ embeddings[j]) for i, j in pairs)
        expected.append(above / sum(r[i] * r[j] for i, j in pairs))
    np.testing.assert_allclose(monosemanticity(activations, embeddings), expected)


def test_a_unit_of_one_image_has_no_pairs(dice: np.random.Generator) -> None:
    embeddings = unit(dice.normal(size=(13, 5)))
    assert monosemanticity(np.stack((np.eye(13)[3], np.ones(13))), embeddings).tolist() == [0, 0]


def test_two_meanings_are_told_from_one(dice: np.random.Generator) -> None:
    noise = 0.05 * dice.normal(size=(3, 14, 11))
    directions = np.eye(11)
    one, two = np.tile(directions[0], (14, 1)), np.repeat(directions[:2], 7, 0)
    odd = np.concatenate((one[:13], directions[1:2]))
    found = polysemanticity(unit(np.stack((one, two, odd)) + noise))
    assert found[0] < 0.05 and found[1] > 0.9 and found[2] < 0.1  # one odd exemplar is no meaning
    assert polysemanticity(np.tile(directions[0], (2, 14, 1))).tolist() == [0, 0]
    assert polysemanticity(np.tile(directions[0], (2, 3, 1))).tolist() == [0, 0]
