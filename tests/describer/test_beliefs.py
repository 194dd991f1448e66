import math

import pytest
import torch
from torch import Tensor

from describer.beliefs import (
    beliefs,
    divergence,
    exemplar_log_likelihood,
    gaussian_log_likelihood,
    label_log_likelihood,
    normalised,
    translate,
)
from describer.errors import DescriberError

M, U, S, D = 7, 5, 11, 3
DIRECTIONS = ("forward", "reverse", "js")
WEIGHTS = ("mixture", "product", "source", "uniform")


def drawn(n: int, seed: int, s: int = S, d: int = D) -> Tensor:
    """Log-probabilities of n utterances in every state."""
    return torch.randn(n, s, d, generator=torch.Generator().manual_seed(seed)).double().mul(2).log_softmax(0)


def prior(seed: int = 9, s: int = S, d: int = D) -> Tensor:
    return torch.randn(s, d, generator=torch.Generator().manual_seed(seed)).double().log_softmax(1)


# The definitions, in plain loops


def slow_belief(likelihood: list[float], prior: list[float]) -> list[float]:
    joint = [math.exp(one) * p for one, p in zip(likelihood, prior, strict=True)]
    return [one / sum(joint) for one in joint] if sum(joint) > 0 else prior


def slow_kl(p: list[float], q: list[float]) -> float:
    return sum(math.inf if b == 0 else a * math.log(a / b) for a, b in zip(p, q, strict=True) if a > 0)


def slow_apart(p: list[float], q: list[float], direction: str) -> float:
    if direction == "js":
        middle = [(a + b) / 2 for a, b in zip(p, q, strict=True)]
        return (slow_kl(p, middle) + slow_kl(q, middle)) / 2
    return slow_kl(p, q) if direction == "forward" else slow_kl(q, p)


def slow_weights(z: Tensor, u: Tensor, weights: str) -> list[float]:
    n = len(z)
    a, b = ([math.exp(one[0]) for one in side.tolist()] if n > 1 else [1.0] for side in (z, u))
    a, b = [one / sum(a) for one in a], [one / sum(b) for one in b]
    both = [one * other for one, other in zip(a, b, strict=True)]
    return {
        "source": a,
        "uniform": [1 / n] * n,
        "mixture": [(one + other) / 2 for one, other in zip(a, b, strict=True)],
        "product": [one / sum(both) for one in both] if sum(both) else [math.nan] * n,
    }[weights]


def slow_divergence(source: Tensor, target: Tensor, log_prior: Tensor, direction: str, weights: str) -> Tensor:
    out = torch.zeros(len(source), len(target), dtype=torch.float64)
    priors = log_prior.exp().tolist()
    for m, z in enumerate(source):
        for j, u in enumerate(target):
            for s, weight in enumerate(slow_weights(z, u, weights)):
                if weight > 0:
                    p, q = slow_belief(z[s].tolist(), priors[s]), slow_belief(u[s].tolist(), priors[s])
                    out[m, j] += weight * slow_apart(p, q, direction)
    return out


def slow_lapsed(likelihood: Tensor, log_prior: Tensor, lapse: float) -> Tensor:
    out = torch.zeros_like(likelihood)
    for m, rows in enumerate(likelihood.exp().tolist()):
        mean = sum(
            p * q
            for row, some in zip(rows, log_prior.exp().tolist(), strict=True)
            for p, q in zip(row, some, strict=True)
        )
        mean /= len(rows)
        for s, row in enumerate(rows):
            for d, p in enumerate(row):
                out[m, s, d] = math.log((1 - lapse) * p + lapse * mean)
    return out


@pytest.mark.parametrize("weights", WEIGHTS)
@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("lapse", [0.0, 0.1])
def test_divergence_is_what_the_paper_defines(direction: str, weights: str, lapse: float) -> None:
    source, target, log_prior = drawn(M, 1), drawn(U, 2), prior()
    found = divergence(source, target, direction=direction, weights=weights, lapse=lapse, log_prior=log_prior)
    if lapse:
        source, target = slow_lapsed(source, log_prior, lapse), slow_lapsed(target, log_prior, lapse)
    expected = slow_divergence(source, target, log_prior, direction, weights)
    assert found.shape == (M, U)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("weights", WEIGHTS)
@pytest.mark.parametrize("direction", DIRECTIONS)
def test_what_is_never_said_counts_as_the_definition_says(direction: str, weights: str) -> None:
    source, target = drawn(M, 3), drawn(U, 4)
    source[0, 2] = source[1, 3, 1] = source[2, 4, 0] = target[0, 2, :2] = target[1, 5] = target[2, :, 1] = -math.inf
    found = divergence(source, target, direction=direction, weights=weights)
    expected = slow_divergence(
        source, target, torch.full((S, D), -math.log(D), dtype=torch.float64), direction, weights
    )
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)
    assert found.isinf().any() == (direction != "js")


def test_beliefs_are_by_bayes() -> None:
    likelihood, log_prior = drawn(M, 5), prior()
    likelihood[1, 2] = -math.inf
    found = beliefs(likelihood, log_prior).exp()
    for m in range(M):
        for s in range(S):
            expected = slow_belief(likelihood[m, s].tolist(), log_prior[s].exp().tolist())
            assert found[m, s].tolist() == pytest.approx(expected, abs=1e-12)
    assert found[1, 2].tolist() == pytest.approx(log_prior[2].exp().tolist())


@pytest.mark.parametrize("chunk", [1, 1000, 10**9])
@pytest.mark.parametrize("direction", DIRECTIONS)
def test_chunks_change_nothing(direction: str, chunk: int) -> None:
    source, target = drawn(M, 1), drawn(U, 2)
    whole, parts = (divergence(source, target, direction=direction, chunk=c) for c in (10**6, chunk))
    torch.testing.assert_close(whole, parts, rtol=0, atol=1e-13)


@pytest.mark.parametrize("weights", WEIGHTS)
@pytest.mark.parametrize("direction", DIRECTIONS)
def test_the_order_of_contexts_and_of_other_hypotheses_changes_nothing(direction: str, weights: str) -> None:
    source, target, log_prior = drawn(M, 1), drawn(U, 2), prior()
    order, others = torch.randperm(S, generator=torch.Generator().manual_seed(0)), [0, 2, 1]
    moved = [part[..., order, :][..., others] for part in (source, target, log_prior)]
    for lapse in (0.0, 0.1):
        found = divergence(source, target, direction=direction, weights=weights, lapse=lapse, log_prior=log_prior)
        again = divergence(moved[0], moved[1], direction=direction, weights=weights, lapse=lapse, log_prior=moved[2])
        torch.testing.assert_close(found, again, rtol=0, atol=1e-12)


@pytest.mark.parametrize("weights", WEIGHTS)
@pytest.mark.parametrize("direction", DIRECTIONS)
def test_a_lexicon_that_holds_the_message_translates_it_to_itself(direction: str, weights: str) -> None:
    source = drawn(M, 1)
    target = torch.cat((drawn(U, 2), source))
    found = translate(source, target, direction=direction, weights=weights, k=2)
    assert found.indices[:, 0].tolist() == [U + m for m in range(M)]
    assert found.scores.amax(1).abs().max() < 1e-12


@pytest.mark.parametrize("criterion", ["belief", "pmi"])
@pytest.mark.parametrize("direction", DIRECTIONS)
def test_a_factor_of_a_message_changes_no_belief(direction: str, criterion: str) -> None:
    source, target = drawn(M, 1), drawn(U, 2)
    shifts = torch.linspace(-30, 40, U).double()[:, None, None]
    plain = translate(source, target, criterion=criterion, direction=direction)
    shifted = translate(source + 17, target + shifts, criterion=criterion, direction=direction)
    torch.testing.assert_close(plain.scores, shifted.scores, rtol=0, atol=1e-11)


# One context: units and labels


def test_forward_belief_matching_is_expected_pmi() -> None:
    """KL(p(x|unit) || p(x|d)) = const(unit) - E_{x~unit}[log p(d|x) - log p(d)]."""
    activations = torch.randn(M, 101, generator=torch.Generator().manual_seed(0)).double()
    fires = exemplar_log_likelihood(activations, quantile=0.9, floor=1e-4)
    labels = torch.rand(U, 101, generator=torch.Generator().manual_seed(1)) < 0.3
    says = label_log_likelihood(labels, torch.rand(U, 101, generator=torch.Generator().manual_seed(2)).double())
    log_prior = prior(s=1, d=101)
    found = divergence(fires, says, log_prior=log_prior)
    for unit in range(M):
        of_unit = slow_belief(fires[unit, 0].tolist(), log_prior[0].exp().tolist())
        for label in range(U):
            p_label = sum(math.exp(a + b) for a, b in zip(says[label, 0].tolist(), log_prior[0].tolist(), strict=True))
            pmi = sum(p * (one - math.log(p_label)) for p, one in zip(of_unit, says[label, 0].tolist(), strict=True))
            constant = slow_kl(of_unit, log_prior[0].exp().tolist())
            assert found[unit, label].item() == pytest.approx(constant - pmi, abs=1e-6)


def test_with_one_context_weights_cancel() -> None:
    source, target = drawn(M, 1, s=1), drawn(U, 2, s=1)
    found = [divergence(source, target, weights=weights) for weights in WEIGHTS]
    for other in found[1:]:
        torch.testing.assert_close(found[0], other)


@pytest.mark.parametrize("contexts", [1, S])
def test_direct_and_pmi_are_the_sums_over_what_occurred(contexts: int) -> None:
    source, target = drawn(M, 1, s=contexts), drawn(U, 2, s=contexts)
    log_prior = prior(s=contexts)
    states = (
        [(0, d, log_prior[0, d].exp().item()) for d in range(D)] if contexts == 1 else [(s, 0, 1 / S) for s in range(S)]
    )
    direct = translate(source, target, criterion="direct", log_prior=log_prior).scores
    pmi = translate(source, target, criterion="pmi", log_prior=log_prior).scores
    for m in range(M):
        for u in range(U):
            both = sum(math.exp(source[m, s, d] + target[u, s, d]) * p for s, d, p in states)
            p_z, p_u = (sum(math.exp(side[s, d]) * p for s, d, p in states) for side in (source[m], target[u]))
            assert direct[m, u].item() == pytest.approx(math.log(both / p_z), abs=1e-10)
            assert pmi[m, u].item() == pytest.approx(math.log(both / p_z / p_u), abs=1e-10)


def test_planted_units_are_named_by_belief_and_pmi_but_not_by_frequency() -> None:
    generator = torch.Generator().manual_seed(0)
    rates = torch.logspace(-0.7, -2, 53)
    truth = torch.rand(53, 3001, generator=generator) < rates[:, None]
    activations = truth.float() * 3 + 0.1 * torch.randn(53, 3001, generator=generator)
    says = label_log_likelihood(truth)
    fires = (activations > 1).double().clamp(min=1e-3).log()[:, None].float()
    named = {
        criterion: (translate(fires, says, criterion=criterion).indices[:, 0] == torch.arange(53)).float().mean().item()
        for criterion in ("belief", "pmi", "direct", "random")
    }
    assert named["belief"] >= 0.98 and named["pmi"] >= 0.98
    assert named["random"] < 0.2 and named["direct"] <= named["belief"]


def test_exemplars_are_what_lies_above_the_quantile() -> None:
    activations = torch.arange(1.0, 101).expand(2, -1).clone()
    activations[1] = 5
    found = exemplar_log_likelihood(activations, quantile=0.95, floor=0.01).exp()
    assert found.shape == (2, 1, 100)
    assert (found[0, 0] > 0.5).nonzero().flatten().tolist() == [95, 96, 97, 98, 99]
    assert found[1].unique().tolist() == pytest.approx([0.01])


def test_labels_are_said_by_salience_and_sum_to_one() -> None:
    annotations = torch.tensor([[True, True, False], [True, False, False]])
    salience = torch.tensor([[1.0, 2, 3], [3, 1, 1]], dtype=torch.float64)
    found = label_log_likelihood(annotations, salience, floor=0.1).exp()[:, 0]
    expected = [[0.9 / 4 + 0.05, 0.95, 0.5], [0.9 * 3 / 4 + 0.05, 0.05, 0.5]]
    torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float64))
    normalised(label_log_likelihood(annotations))


def test_the_channel_is_a_normal_distribution() -> None:
    messages, means = torch.randn(M, 2).double(), torch.randn(S, D, 2).double()
    found = gaussian_log_likelihood(messages, means, 0.3)
    expected = torch.distributions.Normal(means, 0.3).log_prob(messages[:, None, None]).sum(-1)
    torch.testing.assert_close(found, expected)


# What cannot be translated


def test_one_context_one_hypothesis_and_no_messages_are_sound() -> None:
    assert divergence(drawn(M, 1, 1, 1), drawn(U, 2, 1, 1)).abs().max() < 1e-12
    assert translate(drawn(M, 1)[:0], drawn(U, 2)).indices.shape == (0, 1)


def test_random_translations_are_seeded_and_distinct() -> None:
    found = translate(drawn(M, 1), drawn(U, 2), criterion="random", k=U, seed=3)
    again = translate(drawn(M, 1), drawn(U, 2), criterion="random", k=U, seed=3)
    assert found.indices.tolist() == again.indices.tolist()
    assert found.indices.sort(1).values.tolist() == [list(range(U))] * M
    assert found.indices.tolist() != translate(drawn(M, 1), drawn(U, 2), criterion="random", k=U).indices.tolist()


def silent(n: int, row: int) -> Tensor:
    likelihood = drawn(n, 1)
    likelihood[row] = -math.inf
    return likelihood


@pytest.mark.parametrize(
    ("source", "target", "options", "said"),
    [
        (drawn(M, 1), drawn(U, 2)[:0], {}, "a lexicon must hold an utterance. Got an empty one. Give some utterances."),
        (drawn(M, 1), drawn(U, 2), {"k": 6}, "k must lie in 1-5, the utterances there are. Got 6. Ask for fewer."),
        (drawn(M, 1), silent(U, 3), {}, "utterances must be possible somewhere. Got -inf in every state for number 3."),
        (silent(M, 2), drawn(U, 1), {}, "messages must be possible somewhere. Got -inf in every state for number 2."),
        (drawn(M, 1) * math.nan, drawn(U, 2), {}, "messages must be log-likelihoods below inf. Got NaN or inf."),
        (drawn(M, 1), drawn(U, 2)[:, :0], {}, "utterances must be of shape (messages, contexts, hypotheses)"),
        (drawn(M, 1), drawn(U, 2)[:, 1:], {}, "messages and utterances must share contexts, hypotheses and dtype."),
        (drawn(M, 1), drawn(U, 2).float(), {}, "messages and utterances must share contexts, hypotheses and dtype."),
        (drawn(M, 1), drawn(U, 2), {"lapse": 1.0}, "lapse must be a probability below 1. Got 1.0. Try 0.1."),
        (
            drawn(M, 1),
            drawn(U, 2),
            {"log_prior": prior() * math.nan},
            "log_prior must be (contexts, hypotheses)=(11, 3)",
        ),
    ],
)
def test_what_cannot_be_translated_is_told(source: Tensor, target: Tensor, options: dict, said: str) -> None:
    with pytest.raises(DescriberError) as fault:
        translate(source, target, **options)
    assert str(fault.value).startswith(said)


def test_probabilities_that_do_not_sum_to_one_are_told() -> None:
    assert normalised(drawn(U, 1)).shape == (U, S, D)
    with pytest.raises(DescriberError, match=r"must sum to 1 in every state. Got sums that are off by 1\.72"):
        normalised(drawn(U, 1) + 1)


def test_activations_and_labels_that_are_not_sound_are_told() -> None:
    with pytest.raises(DescriberError, match=r"activations must be finite, \(units, inputs\)"):
        exemplar_log_likelihood(torch.full((2, 3), math.nan))
    with pytest.raises(DescriberError, match="annotations must be"):
        label_log_likelihood(torch.zeros(0, 3, dtype=torch.bool))
    with pytest.raises(DescriberError, match="salience must be finite, at least 0"):
        label_log_likelihood(torch.ones(1, 3, dtype=torch.bool), -torch.ones(1, 3))
