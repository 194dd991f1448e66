"""PMI decoding against plain loops."""

import math

import pytest
import torch

from describer.decoding import (
    DecodingSettings,
    PMILogits,
    describe_sets,
    generate_texts,
    says_more_than_is_likely,
    says_twice,
    shortlist,
)
from describer.errors import DescriberError
from describer.inventory import Inventory
from tests.describer.captioners import PHRASES, random_features, random_sets, small_captioner


def slow_evidence(captioner, text, exemplars):
    """Mean over exemplars of log of p(text|x) / p(text), the phrases of the inventory being alike a priori."""

    def score(exemplar, words):
        standard = (exemplar - captioner.encoder.feature_mean) / captioner.encoder.feature_std
        read = captioner.reader(standard)
        told = captioner.text_embedding(captioner.tokens([words]))[0]
        return float(captioner.log_scale.exp() * (read / read.norm()) @ told)

    total = 0.0
    for exemplar in exemplars:
        even = sum(math.exp(score(exemplar, phrase)) for phrase in PHRASES) / len(PHRASES)
        total += score(exemplar, text) - math.log(even)
    return total / len(exemplars)


@torch.inference_mode()
@pytest.mark.parametrize("weight", [0.0, 5.0])
def test_rerank_is_pmi_and_evidence_by_plain_loops(weight):
    captioner = small_captioner()
    features, present = random_features(captioner)
    memory, _ = random_sets(captioner)
    settings = DecodingSettings(weight=0.7, evidence=weight, shortlist=len(PHRASES), beam=3, n_best=99)
    rows = describe_sets(captioner, features, present, settings)
    generated = generate_texts(captioner, memory, present, settings)
    for unit in range(len(features)):
        wanted, said = {}, {}
        for text in {*generated[unit], *PHRASES}:
            log_prob = float(captioner.log_prob([text], memory[unit : unit + 1], present[unit : unit + 1])[0, 0])
            wanted[text] = log_prob - 0.7 * float(captioner.log_prior([text])[0])
            said[text] = slow_evidence(captioner, text, features[unit][present[unit]])
        assert {candidate.text: candidate.pmi for candidate in rows[unit]} == pytest.approx(wanted, abs=1e-4)
        assert {candidate.text: candidate.evidence for candidate in rows[unit]} == pytest.approx(said, abs=1e-4)
        order = [candidate.pmi + weight * candidate.evidence for candidate in rows[unit]]
        assert order == sorted(order, reverse=True)
        assert {c.origin for c in rows[unit] if c.text in PHRASES} == {"phrase"}


@torch.inference_mode()
def test_expected_evidence_is_minus_the_divergence_of_beliefs_up_to_a_constant():
    """KL(p(x|unit) || p(x|d)) = const - mean of log p(d|x) / p(d), the exemplars being all there is."""
    captioner = small_captioner()
    features, present = random_features(captioner, n_units=1)
    embedded = captioner.exemplar_embedding(features[0][present[0]]).double()  # (exemplars, width)
    scores = captioner.log_scale.exp() * embedded @ captioner.inventory_embedding().double().T
    listener = torch.log_softmax(scores, 1)  # log p(d|x) where all d are alike a priori
    believed = torch.log_softmax(listener, 0)  # log p(x|d) by Bayes, all x alike a priori
    unit = torch.full((len(embedded),), 1 / len(embedded), dtype=torch.float64)
    divergence = (unit[:, None] * (unit.log()[:, None] - believed)).sum(0)
    joint = listener.logsumexp(0) - math.log(len(embedded))  # log p(d)
    pmi = (listener - joint).mean(0)
    assert torch.allclose(divergence, -pmi, atol=1e-9)
    found = captioner.read(features, present).evidence(captioner.inventory_embedding())[0].double()
    assert torch.allclose(found - found.mean(), listener.mean(0) - listener.mean(), atol=1e-4)


@torch.inference_mode()
def test_pmi_logits_is_the_difference_of_two_softmaxes():
    captioner = small_captioner()
    memory, present = random_sets(captioner)
    prefix = captioner.tokens(["dogs"])[:, :2].expand(5, -1)
    scores = captioner.decoder(prefix[:, None], memory, present)[:, 0, -1]
    got = PMILogits(captioner, 0.3)(prefix, scores)
    nothing, seen = captioner.unconditioned(1)
    for unit in range(5):
        prior = torch.log_softmax(captioner.decoder(prefix[unit][None, None], nothing, seen)[0, 0, -1], -1)
        own = torch.log_softmax(scores[unit], -1)
        for token in range(scores.shape[1]):
            allowed = float(own[token]) > float(own.max()) + torch.tensor(0.01).log()
            wanted = float(own[token] - 0.3 * prior[token]) if allowed else -float("inf")
            assert float(got[unit, token]) == pytest.approx(wanted, abs=1e-4)


@pytest.mark.parametrize("strategy", ["rerank", "beam", "greedy", "sample"])
def test_every_strategy_is_repeatable_and_scores_exactly(strategy):
    captioner = small_captioner()
    features, present = random_features(captioner)
    memory, _ = random_sets(captioner)
    settings = DecodingSettings(strategy, beam=3, max_length=5, shortlist=3)
    first, second = (describe_sets(captioner, features, present, settings) for _ in range(2))
    assert first == second
    assert len(first) == 5
    for unit, row in enumerate(first):
        for candidate in row:
            exact = captioner.log_prob([candidate.text], memory[unit : unit + 1], present[unit : unit + 1])
            assert candidate.log_prob == pytest.approx(float(exact[0, 0]), abs=1e-4)


def test_sampling_leaves_the_callers_random_numbers_alone():
    captioner = small_captioner()
    features, present = random_features(captioner)
    torch.manual_seed(5)
    wanted = torch.rand(3)
    torch.manual_seed(5)
    describe_sets(captioner, features, present, DecodingSettings("sample", beam=2, max_length=3))
    assert torch.equal(torch.rand(3), wanted)


@torch.inference_mode()
def test_shortlist_is_the_phrases_with_most_evidence():
    captioner = small_captioner()
    features, present = random_features(captioner)
    for unit, row in enumerate(shortlist(captioner, captioner.read(features, present), 3)):
        said = {p: slow_evidence(captioner, p, features[unit][present[unit]]) for p in PHRASES}
        assert row == sorted(said, key=lambda phrase: -said[phrase])[:3]


def test_without_an_inventory_the_beam_alone_decides():
    captioner = small_captioner()
    captioner.inventory = Inventory([])
    features, present = random_features(captioner)
    rows = describe_sets(captioner, features, present, DecodingSettings(beam=2, max_length=4))
    assert all(candidate.origin == "beam" for row in rows for candidate in row)


def test_nothing_is_said_twice():
    assert says_twice("dogs and dogs")
    assert says_twice("hills and brown hills")
    assert says_twice("open open skies") and says_twice("water on water")
    assert says_twice("dogs and white walls of walls")
    assert not says_twice("wheels of cars") and not says_twice("windows of houses and windows of cars")
    assert not says_twice("blue shirts and blue pants")
    assert not says_twice("dogs")


def test_a_join_must_be_likelier_than_its_parts():
    log_probs = {"dogs": -1.0, "cats": -4.0, "dogs and cats": -3.0, "cats and fish": -3.5, "fish": -5.0}
    assert says_more_than_is_likely("dogs and cats", log_probs)
    assert not says_more_than_is_likely("cats and fish", log_probs)
    assert not says_more_than_is_likely("dogs", log_probs)
    assert not says_more_than_is_likely("cats and birds", log_probs | {"cats and birds": -2.0})


def test_no_units_are_no_descriptions():
    captioner = small_captioner()
    features, present = random_features(captioner)
    assert describe_sets(captioner, features[:0], present[:0], DecodingSettings()) == []


@pytest.mark.parametrize(
    "wrong",
    [{"strategy": "guess"}, {"weight": -0.1}, {"evidence": -1.0}, {"beam": 0}, {"n_best": 0}, {"max_length": 0}],
)
def test_impossible_settings_are_refused(wrong):
    with pytest.raises(DescriberError, match="must be"):
        DecodingSettings(**wrong)
