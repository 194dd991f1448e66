"""PMI decoding against plain loops."""

import math

import pytest
import torch
import torch.nn.functional as F

from describer.decoding import (
    DecodingSettings,
    PMILogits,
    describe_sets,
    evidence_of,
    generate_texts,
    says_more_than_is_likely,
    says_twice,
    shortlist,
    told_apart,
)
from describer.description import Candidate
from describer.errors import DescriberError
from describer.inventory import Inventory
from tests.describer.captioners import PHRASES, random_features, random_sets, small_captioner


def slow_phrase_pmi(captioner, exemplar):
    """log p(phrase|x) / p(phrase) of every phrase, and log p(phrase): by its own output, or by vectors."""
    standard = (exemplar - captioner.encoder.feature_mean) / captioner.encoder.feature_std
    if captioner.phrase_reader is not None:
        first, _, _, last = captioner.phrase_reader.layers
        scores = (last.weight @ F.gelu(first.weight @ standard + first.bias) + last.bias).tolist()
        priors = captioner.phrase_reader.log_prior.tolist()
    else:
        read = captioner.reader(standard)
        told = [captioner.text_embedding(captioner.tokens([phrase]))[0] for phrase in PHRASES]
        scores = [float(captioner.log_scale.exp() * (read / read.norm()) @ each) for each in told]
        priors = [-math.log(len(PHRASES))] * len(PHRASES)
    total = math.log(sum(math.exp(score) for score in scores))
    return {p: (score - total - prior, prior) for p, score, prior in zip(PHRASES, scores, priors, strict=True)}


def slow_nearest(captioner, text):
    """The phrase itself, or the one whose vector is nearest."""
    own = captioner.text_embedding(captioner.tokens([text]))[0]
    near = {p: float(own @ captioner.text_embedding(captioner.tokens([p]))[0]) for p in PHRASES}
    return text if text in PHRASES else max(PHRASES, key=lambda phrase: near[phrase])


def slow_evidence(captioner, text, exemplars):
    """Mean over exemplars of log of p(text|x) / p(text); a joined text is either of its parts."""
    parts = [slow_nearest(captioner, part) for part in ([text] if text in PHRASES else text.split(" and "))]
    total = 0.0
    for exemplar in exemplars:
        pmi = slow_phrase_pmi(captioner, exemplar)
        given = sum(math.exp(pmi[part][0] + pmi[part][1]) for part in parts)
        total += math.log(given / sum(math.exp(pmi[part][1]) for part in parts))
    return total / len(exemplars)


def slow_common(captioner, features, present, weight):
    """What is said of all exemplars more than p(phrase) has it, and weight times what all units then speak for."""
    exemplars = [
        [slow_phrase_pmi(captioner, e) for e in own[there]] for own, there in zip(features, present, strict=True)
    ]
    others = len(features) - 1
    common = {}
    for phrase in PHRASES:
        likelier = [[math.exp(pmi[phrase][0]) for pmi in own] for own in exemplars]
        every = [each for own in likelier for each in own]
        frequent = others / (others + 16) * math.log(sum(every) / len(every))
        left = [math.exp(sum(map(math.log, own)) / len(own) - frequent) for own in likelier]
        common[phrase] = frequent + weight * others / (others + 16) * math.log(sum(left) / len(left))
    return common


@torch.inference_mode()
@pytest.mark.parametrize("reads_phrases", [False, True])
@pytest.mark.parametrize("batch_size", [2, 64])
def test_what_the_layer_speaks_for_is_taken_off_by_plain_loops(reads_phrases, batch_size):
    captioner = small_captioner(reads_phrases=reads_phrases)
    features, present = random_features(captioner)
    settings = DecodingSettings(evidence=3.0, contrast=0.7, apart=1.7, shortlist=len(PHRASES), beam=3, n_best=99)
    done = []
    rows = describe_sets(captioner, features, present, settings, batch_size, done.append)
    assert sum(done) == len(features) and max(done) <= batch_size
    common = slow_common(captioner, features, present, 0.7)
    for unit, row in enumerate(rows):
        told = {candidate.text: candidate.evidence for candidate in row if candidate.text in PHRASES}
        for phrase in PHRASES:
            alone = slow_evidence(captioner, phrase, features[unit][present[unit]])
            assert told[phrase] == pytest.approx(alone - common[phrase], abs=1e-4)
    score = [{c.text: c.pmi + 3.0 * c.evidence for c in row} for row in rows]
    said, waiting = [], set(range(len(rows)))
    while waiting:  # whose best is worth most chooses first
        worth = {u: {t: v - 1.7 * math.log(1 + said.count(t) / 2) for t, v in score[u].items()} for u in waiting}
        unit = max(waiting, key=lambda u: max(worth[u].values()))
        order = [worth[unit][c.text] for c in rows[unit]]
        assert order == pytest.approx(sorted(order, reverse=True), abs=1e-6)
        said.append(rows[unit][0].text)
        waiting.remove(unit)


def test_a_text_is_first_the_units_it_suits_best():
    def texts(**scores):
        return [Candidate(text, -9.0, 0.0, score, "phrase", 0.5) for text, score in scores.items()]

    units = [texts(dogs=5.0, pets=4.5), texts(dogs=7.0, pets=1.0), texts(dogs=3.0, fur=1.0), texts(dogs=2.0, pets=-9.0)]
    for apart, wanted in ((0.0, "dogs dogs dogs dogs"), (2.0, "pets dogs dogs dogs"), (6.0, "pets dogs fur dogs")):
        assert [own[0].text for own in told_apart(units, 3.0, apart, 1)] == wanted.split()
    assert [c.text for c in told_apart(units, 3.0, 2.0, 9)[0]] == ["pets", "dogs"]
    others = [texts(cats=8.0, dogs=7.9), texts(dogs=5.0, cats=1.0)]
    assert [own[0].text for own in told_apart(others, 3.0, 9.0, 1)] == [
        "cats",
        "dogs",
    ]  # what nobody says costs nothing
    assert told_apart([], 1.0, 2.0, 3) == [] and told_apart([[]], 1.0, 2.0, 3) == [[]]


@torch.inference_mode()
def test_a_unit_alone_is_told_as_without_contrast():
    captioner = small_captioner(reads_phrases=True)
    features, present = random_features(captioner, n_units=1)
    first, second = (describe_sets(captioner, features, present, DecodingSettings(contrast=c)) for c in (0.0, 1.0))
    assert [c.text for c in first[0]] == [c.text for c in second[0]]
    assert [c.evidence for c in first[0]] == pytest.approx([c.evidence for c in second[0]], abs=1e-6)


@torch.inference_mode()
@pytest.mark.parametrize("reads_phrases", [False, True])
@pytest.mark.parametrize("weight", [0.0, 5.0])
def test_rerank_is_pmi_and_evidence_by_plain_loops(weight, reads_phrases):
    captioner = small_captioner(reads_phrases=reads_phrases)
    features, present = random_features(captioner)
    memory, _ = random_sets(captioner)
    settings = DecodingSettings(
        weight=0.7, evidence=weight, contrast=0.0, apart=0.0, shortlist=len(PHRASES), beam=3, n_best=99
    )
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
@pytest.mark.parametrize("reads_phrases", [False, True])
def test_joined_and_unknown_texts_have_the_evidence_of_their_phrases(reads_phrases):
    captioner = small_captioner(reads_phrases=reads_phrases)
    features, present = random_features(captioner)
    texts = ["dogs and grass", "grass", "red dogs", "cars and brown objects", "red cars and red cars"]
    rows = evidence_of(captioner, captioner.read(features, present), texts)
    for unit, row in enumerate(rows):
        wanted = {text: slow_evidence(captioner, text, features[unit][present[unit]]) for text in texts}
        assert row == pytest.approx(wanted, abs=1e-4)


@torch.inference_mode()
@pytest.mark.parametrize("reads_phrases", [False, True])
def test_expected_evidence_is_minus_the_divergence_of_beliefs_up_to_a_constant(reads_phrases):
    """KL(p(x|unit) || p(x|d)) = const - mean of log p(d|x) / p(d), the exemplars being all there is."""
    captioner = small_captioner(reads_phrases=reads_phrases)
    features, present = random_features(captioner, n_units=1)
    rows = [slow_phrase_pmi(captioner, exemplar) for exemplar in features[0][present[0]]]
    listener = torch.tensor([[pmi + prior for pmi, prior in row.values()] for row in rows]).double()  # log p(d|x)
    believed = torch.log_softmax(listener, 0)  # log p(x|d) by Bayes, all x alike a priori
    unit = torch.full((len(rows),), 1 / len(rows), dtype=torch.float64)
    divergence = (unit[:, None] * (unit.log()[:, None] - believed)).sum(0)
    joint = listener.logsumexp(0) - math.log(len(rows))  # log p(d)
    pmi = (listener - joint).mean(0)
    assert torch.allclose(divergence, -pmi, atol=1e-9)
    prior = torch.tensor([prior for _, prior in rows[0].values()]).double()
    found = captioner.read(features, present).evidence()[0].double()
    assert torch.allclose(found, listener.mean(0) - prior, atol=1e-4)


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
    captioner = small_captioner(reads_phrases=True)
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
    [
        {"strategy": "guess"},
        {"weight": -0.1},
        {"evidence": -1.0},
        {"contrast": -1.0},
        {"apart": -1.0},
        {"beam": 0},
        {"n_best": 0},
        {"max_length": 0},
    ],
)
def test_impossible_settings_are_refused(wrong):
    with pytest.raises(DescriberError, match="must be"):
        DecodingSettings(**wrong)
