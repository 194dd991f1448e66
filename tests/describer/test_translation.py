import math

import pytest
import torch
from PIL import Image

from describer.beliefs import label_log_likelihood
from describer.description import Describer
from describer.errors import DescriberError
from describer.exemplars import Exemplars
from describer.translation import Lexicon, TranslationDescriber, firing

N, K = 101, 5


class Pictures:
    def image(self, index: int, /) -> Image.Image:
        return Image.new("RGB", (2, 2))


def exemplars(images: list[list[int]], dead: list[bool]) -> Exemplars:
    units = len(images)
    return Exemplars(
        "layer4",
        torch.arange(units) * 2,
        torch.tensor(images),
        torch.ones(units, K),
        torch.zeros(units, K, 2, 3),
        torch.zeros(units),
        torch.tensor(dead),
    )


def lexicon() -> Lexicon:
    """Of the first ten images "dog", of every one "thing", of images 5-30 "grass"."""
    annotations = torch.zeros(3, N, dtype=torch.bool)
    annotations[0, :10] = annotations[1] = annotations[2, 5:31] = True
    return Lexicon(("dog", "thing", "grass"), label_log_likelihood(annotations))


def test_units_are_told_by_what_makes_one_believe_the_same() -> None:
    describer = TranslationDescriber(lexicon(), batch_size=2)
    assert isinstance(describer, Describer)
    told: list[int] = []
    units = exemplars([[0, 1, 2, 3, 4], [20, 21, 22, 23, -1], [50, 51, 52, 53, 54]], [False, False, True])
    found = describer.describe(units, Pictures(), told.append)
    assert [(one.id, one.text) for one in found] == [("layer4:0", "dog"), ("layer4:2", "grass"), ("layer4:4", None)]
    assert told == [2, 1]
    assert found[0].n_best[0].text == "dog" and len(found[0].n_best) == 3


def test_the_scores_are_the_two_sides_of_the_identity() -> None:
    says, lapse = lexicon().log_likelihood, 0.02
    found = TranslationDescriber(lexicon(), lapse).describe(exemplars([[0, 1, 7, 40, -1]], [False]), Pictures())[0]
    p = [(1 - lapse) / 4 + lapse / N if x in (0, 1, 7, 40) else lapse / N for x in range(N)]
    for candidate in found.n_best:
        row = ("dog", "thing", "grass").index(candidate.text)
        prob = sum(p[x] * says[row, 0, x].item() for x in range(N))
        prior = math.log(sum(math.exp(says[row, 0, x].item()) for x in range(N)) / N)
        assert (candidate.log_prob, candidate.log_prior) == pytest.approx((prob, prior), abs=1e-6)
        assert candidate.pmi == pytest.approx(prob - prior, abs=1e-6)
    entropy = sum(q * math.log(q * N) for q in p)
    assert found.scores["divergence"] == pytest.approx(entropy - found.scores["pmi"], abs=1e-6)
    assert [one.pmi for one in found.n_best] == sorted((one.pmi for one in found.n_best), reverse=True)


def test_without_lapse_all_lies_on_the_exemplars() -> None:
    found = firing(torch.tensor([[3, 4, -1]]), 7, 0.0).exp()
    assert found[0, 0].tolist() == [0, 0, 0, 0.5, 0.5, 0, 0]
    told = TranslationDescriber(lexicon(), lapse=0.0).describe(exemplars([[0, 1, 2, 3, 4]], [False]), Pictures())
    assert told[0].text == "dog"


def test_the_key_holds_lexicon_and_lapse() -> None:
    keys = [TranslationDescriber(lexicon(), lapse).key for lapse in (0.01, 0.01, 0.02)]
    other = Lexicon(("dog", "things", "grass"), lexicon().log_likelihood)
    assert keys[0] == keys[1] != keys[2] and TranslationDescriber(other).key != keys[0]


def test_what_does_not_fit_is_told() -> None:
    with pytest.raises(DescriberError, match="Got 2 texts and 3 rows"):
        Lexicon(("dog", "thing"), lexicon().log_likelihood)
    with pytest.raises(DescriberError, match="Got 0 texts"):
        Lexicon((), lexicon().log_likelihood)
    with pytest.raises(DescriberError, match="lapse must be a probability below 1"):
        TranslationDescriber(lexicon(), lapse=1.0)
    with pytest.raises(DescriberError, match="Got exemplar 101 and 101 images in the lexicon"):
        TranslationDescriber(lexicon()).describe(exemplars([[0, 1, 2, 3, 101]], [False]), Pictures())
