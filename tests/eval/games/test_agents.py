import numpy as np
import pytest
import torch
from torch import Tensor

from describer.eval.games.agents import DEVIATION, MESSAGE, Players, Reader
from describer.eval.games.environment import LISTENER, SPEAKER, ReferenceEnv
from describer.eval.games.measure import belief_choice, measured
from tests.eval.games.toys import LEXICON, toy_game


@pytest.fixture(params=[False, True], ids=["", "directed"])
def players(request: pytest.FixtureRequest) -> Players:
    torch.manual_seed(0)
    return Players(2, toy_game().words, directed=request.param).eval()


def test_a_message_has_length_one_and_the_channel_adds_noise(players: Players) -> None:
    means = players.speaker(torch.randn(501, 3, 2))
    torch.testing.assert_close(means.norm(dim=1), torch.ones(501))
    noise = players.channel(means, torch.Generator().manual_seed(0)) - means
    assert noise.std().item() == pytest.approx(DEVIATION, rel=0.02)


def test_no_player_can_tell_where_a_candidate_stands(players: Players) -> None:
    candidates, order = torch.randn(5, 3, 2), [2, 0, 1]
    heard, said = torch.randn(5, MESSAGE), torch.eye(5)
    for listener, message in ((players.listener, heard), (players.human_listener, said)):
        torch.testing.assert_close(listener(candidates[:, order], message), listener(candidates, message)[:, order])
    for speaker in (players.speaker, players.human_speaker):
        torch.testing.assert_close(speaker(candidates[:, [0, 2, 1]]), speaker(candidates))


def test_a_directed_reader_knows_where_the_others_lie() -> None:
    reader = Reader(2, 5, directed=True)
    seen: list[Tensor] = []
    reader.pair.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    reader(torch.tensor([[[3.0, 4], [0, 0], [3, 4]]]))
    assert seen[0].shape == (1, 2, 8)
    assert seen[0][0, 0].tolist() == pytest.approx([3, 4, 0, 0, 3, 4, 3 / 5.1, 4 / 5.1])
    assert seen[0][0, 1].tolist() == [3, 4, 3, 4, 0, 0, 0, 0]


def test_a_model_human_says_one_of_the_lexicon(players: Players) -> None:
    found = players.human_speaker(torch.randn(7, 11, 3, 2))
    assert found.shape == (7, 11, len(LEXICON))
    torch.testing.assert_close(found.logsumexp(-1), torch.zeros(7, 11), atol=1e-5, rtol=0)


def test_gradients_go_through_the_channel(players: Players) -> None:
    candidates = torch.randn(5, 2, 2)
    heard = players.channel(players.speaker(candidates), torch.Generator().manual_seed(0))
    players.listener(candidates, heard).sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in players.speaker.parameters())


# Measures


def test_a_tie_counts_in_part() -> None:
    scores = torch.tensor([[2.0, 1, 0], [1, 2, 0], [1, 1, 0], [0, 0, 0], [-torch.inf, -torch.inf, -torch.inf]])
    assert belief_choice(scores).tolist() == pytest.approx([1, 0, 0.5, 1 / 3, 1 / 3])


def test_intervals_hold_the_mean_and_shrink_with_games() -> None:
    rng = np.random.default_rng(0)
    few, many = ([(rng.random(n) < 0.7).astype(float) for _ in range(3)] for n in (53, 5003))
    for one in (measured(few), measured(many)):
        assert one.low <= one.value <= one.high and one.n_seeds == 3
    assert measured(few).high - measured(few).low > measured(many).high - measured(many).low
    assert measured(many).value == pytest.approx(0.7, abs=0.02)
    assert measured([np.ones(5)]) == measured([np.ones(5)])


# The environment


def test_the_environment_is_one_of_pettingzoo() -> None:
    from pettingzoo.test import parallel_api_test

    parallel_api_test(ReferenceEnv(toy_game(3)), num_cycles=50)


def played(choices: list[str], seed: int = 0) -> tuple[list[float], bool, bool]:
    """Rewards, and whether it ended or was cut, where the listener waits, takes the right or a wrong candidate."""
    env, rewards = ReferenceEnv(toy_game(3)), []
    seen, _ = env.reset(seed=seed)
    ended = cut = False
    for choice in choices:
        target = seen[SPEAKER]["candidates"][0]
        place = int(np.flatnonzero((seen[LISTENER]["candidates"] == target).all(1))[0])
        action = {"wait": env.wait, "right": place, "wrong": (place + 1) % 3}[choice]
        seen, reward, end, stop, _ = env.step({SPEAKER: np.ones(MESSAGE), LISTENER: action})
        assert reward[SPEAKER] == reward[LISTENER]
        rewards.append(reward[LISTENER])
        ended, cut = end[LISTENER], stop[LISTENER]
    assert (env.agents == []) == (ended or cut)
    return rewards, ended, cut


@pytest.mark.parametrize("seed", range(5))
def test_the_rules_are_the_published_ones(seed: int) -> None:
    assert played(["wait", "right"], seed) == ([-0.1, 1.0], True, False)
    assert played(["wait", "wrong"], seed) == ([-0.1, 0.0], True, False)
    assert played(["right"], seed) == ([0.0], True, False)  # nothing was heard yet
    assert played(["wait", "wait", "wait"], seed) == ([-0.1, -0.1, -0.1], False, True)


def test_a_message_is_heard_a_step_later_with_noise() -> None:
    env = ReferenceEnv(toy_game())
    seen, _ = env.reset(seed=0)
    assert not seen[LISTENER]["heard"].any() and seen[LISTENER]["has_heard"] == 0
    seen, *_ = env.step({SPEAKER: 9 * np.eye(MESSAGE)[0], LISTENER: env.wait})
    assert seen[LISTENER]["has_heard"] == 1
    assert abs(seen[LISTENER]["heard"][0] - 1) < 1.2 and seen[LISTENER]["heard"].std() == pytest.approx(0.3, abs=0.1)
