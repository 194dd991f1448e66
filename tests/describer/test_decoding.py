"""PMI decoding against plain loops."""

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
from tests.describer.captioners import PHRASES, random_sets, small_captioner


@torch.inference_mode()
def test_rerank_is_pmi_by_plain_loops():
    captioner = small_captioner()
    memory, present = random_sets(captioner)
    settings = DecodingSettings(weight=0.7, shortlist=len(PHRASES), beam=3, n_best=99)
    rows = describe_sets(captioner, memory, present, settings)
    generated = generate_texts(captioner, memory, present, settings)
    for unit in range(len(memory)):
        wanted = {}
        for text in {*generated[unit], *PHRASES}:
            log_prob = float(captioner.log_prob([text], memory[unit : unit + 1], present[unit : unit + 1])[0, 0])
            wanted[text] = log_prob - 0.7 * float(captioner.log_prior([text])[0])
        got = {candidate.text: candidate.pmi for candidate in rows[unit]}
        assert got.keys() == wanted.keys()
        assert got == pytest.approx(wanted, abs=1e-4)
        order = [candidate.pmi for candidate in rows[unit]]
        assert order == sorted(order, reverse=True)
        assert {c.origin for c in rows[unit] if c.text in PHRASES} == {"phrase"}


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
    memory, present = random_sets(captioner)
    settings = DecodingSettings(strategy, beam=3, max_length=5, shortlist=3)
    first, second = (describe_sets(captioner, memory, present, settings) for _ in range(2))
    assert first == second
    assert len(first) == 5
    for unit, row in enumerate(first):
        for candidate in row:
            exact = captioner.log_prob([candidate.text], memory[unit : unit + 1], present[unit : unit + 1])
            assert candidate.log_prob == pytest.approx(float(exact[0, 0]), abs=1e-4)


def test_sampling_leaves_the_callers_random_numbers_alone():
    captioner = small_captioner()
    memory, present = random_sets(captioner)
    torch.manual_seed(5)
    wanted = torch.rand(3)
    torch.manual_seed(5)
    describe_sets(captioner, memory, present, DecodingSettings("sample", beam=2, max_length=3))
    assert torch.equal(torch.rand(3), wanted)


@torch.inference_mode()
def test_shortlist_is_the_nearest_phrases_by_cosine():
    captioner = small_captioner()
    memory, present = random_sets(captioner)
    for unit, row in enumerate(shortlist(captioner, memory, present, 3)):
        own = captioner.set_embedding(memory[unit : unit + 1], present[unit : unit + 1])[0]
        near = {p: float(own @ captioner.text_embedding(captioner.tokens([p]))[0]) for p in PHRASES}
        assert row == sorted(near, key=lambda phrase: -near[phrase])[:3]


def test_without_an_inventory_the_beam_alone_decides():
    captioner = small_captioner()
    captioner.inventory = Inventory([])
    memory, present = random_sets(captioner)
    rows = describe_sets(captioner, memory, present, DecodingSettings(beam=2, max_length=4))
    assert all(candidate.origin == "beam" for row in rows for candidate in row)


def test_nothing_is_said_twice():
    assert says_twice("dogs and dogs")
    assert says_twice("hills and brown hills")
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
    memory, present = random_sets(captioner)
    assert describe_sets(captioner, memory[:0], present[:0], DecodingSettings()) == []


@pytest.mark.parametrize(
    "wrong", [{"strategy": "guess"}, {"weight": -0.1}, {"beam": 0}, {"n_best": 0}, {"max_length": 0}]
)
def test_impossible_settings_are_refused(wrong):
    with pytest.raises(DescriberError, match="must be"):
        DecodingSettings(**wrong)
