"""Belief evaluation and replay of the driving game, against plain loops."""

import itertools
import math

import numpy as np
import pytest
import torch

from describer.eval.games.driving.driver import OFFSETS, Driver, observe
from describer.eval.games.driving.drivers import Drivers
from describer.eval.games.driving.humans import Humans
from describer.eval.games.driving.listening import Tongues, human_hears, robot_hears, shares_of
from describer.eval.games.driving.logs import Game, Lexicon
from describer.eval.games.driving.replay import as_played, logged, replay
from describer.eval.games.driving.speech import RobotSpeaker, spoken, with_strangers
from describer.eval.games.driving.world import GOALS, HORIZON, ROADS, SIZE, drive
from tests.eval.games.driving_fakes import some_games


@pytest.fixture(scope="module")
def games(tmp_path_factory) -> list[Game]:
    return some_games(tmp_path_factory.mktemp("logs"), 7)


@pytest.fixture(scope="module")
def drivers(games: list[Game]) -> Drivers:
    torch.manual_seed(0)
    lexicon = Lexicon(((), ("going", "left"), ("first",), ("left",), ("you",)))
    return Drivers(Driver(hidden=13, message=7).eval(), RobotSpeaker(7, 11), Humans(len(lexicon), 11), lexicon)


@pytest.fixture(scope="module")
def said(drivers: Drivers) -> tuple[torch.Tensor, torch.Tensor]:
    states, _, heard = spoken(drivers.robot, 17, np.random.default_rng(0))
    return states, heard


def test_strangers_are_on_the_same_road(said) -> None:
    states = said[0].repeat(5, 1)
    both = with_strangers(states, np.random.default_rng(0))
    assert torch.equal(both[:, 0], states)
    seen = set()
    for own, other in (both - torch.from_numpy(OFFSETS)).tolist():
        on, place, goal, arrived, direction = other
        assert on == own[0] and arrived == 0 and direction in range(4)
        assert ROADS[on, place // SIZE, place % SIZE]
        assert divmod(goal, SIZE) in GOALS[on]
        seen.add((place, goal, direction))
    assert len(seen) > 100


def test_a_robots_mean_message_is_learnt(drivers: Drivers) -> None:
    untaught = RobotSpeaker.learnt(drivers.robot, 0, games=53, steps=0)
    taught = RobotSpeaker.learnt(drivers.robot, 0, games=53, steps=150)
    assert 0.3 <= taught.deviation < untaught.deviation
    assert taught.deviation < math.sqrt(0.09 + 1 / 7)


def test_likelihoods_of_both_listeners(drivers: Drivers, said) -> None:
    states, heard = with_strangers(said[0][:5], np.random.default_rng(0)), said[1]
    codes = torch.stack([heard[:5], heard[5:10], heard[10:15]], 1)  # (5, 3, 7)
    shares = shares_of(torch.tensor([[0, 2], [1, 4], [3, 0], [2, 1], [4, 3]]), 5)
    ours, theirs = robot_hears(drivers, states, codes), human_hears(drivers, states, shares)
    for message, state in itertools.product(range(5), range(2)):
        mean = drivers.speaker(states[message, state]).tolist()
        logs = [
            sum(-((z - m) ** 2) / (2 * drivers.speaker.deviation**2) for z, m in zip(code, mean, strict=True))
            for code in codes[message].tolist()
        ]
        assert float(ours[message, state]) == pytest.approx(sum(logs) / 3, rel=1e-4)
        log_prob = drivers.humans.speaker(states[message, state]).tolist()
        wanted = sum(share * log for share, log in zip(shares[message].tolist(), log_prob, strict=True))
        assert float(theirs[message, state]) == pytest.approx(wanted, rel=1e-4)


@pytest.mark.parametrize("criterion", ["belief", "direct", "pmi", "random"])
def test_tongues_translate_both_ways(drivers: Drivers, said, criterion: str) -> None:
    states, heard = said
    tongues = Tongues.over(drivers, states, heard[:31], seed=0, n_contexts=19)
    assert tongues.robots.shape == (31, 19, 2) and tongues.humans.shape == (5, 19, 2)
    assert torch.allclose(tongues.humans.exp().sum(0), torch.ones(19, 2), atol=1e-5)
    terms, codes = tongues.to_terms(heard[:11], criterion, 3), tongues.to_codes(criterion, 2)
    assert terms.shape == (11, 3) and codes.shape == (5, 2, 7)
    assert all(len(set(row)) == 3 for row in terms.tolist())
    known = {tuple(code) for code in heard[:31].tolist()}
    assert {tuple(code) for code in codes.flatten(0, 1).tolist()} <= known


def test_belief_finds_the_code_that_says_what_a_term_says(drivers: Drivers, said) -> None:
    """A lexicon whose terms are codes themselves: each code is the translation of its own term."""
    states, heard = said
    tongues = Tongues.over(drivers, states, heard[:31], seed=0, n_contexts=19)
    same = Tongues(drivers, heard[:31], tongues.contexts, tongues.robots, tongues.robots[:5].clone(), 0)
    assert torch.equal(same.to_codes("belief", 1)[:, 0], heard[:5])


def test_humans_are_replayed_to_the_horizon(games: list[Game], drivers: Drivers) -> None:
    acted, terms = logged(games, drivers.lexicon)
    assert acted.shape == terms.shape == (HORIZON, 7, 2)
    assert max(map(len, games)) > HORIZON > min(map(len, games))
    for number, game in enumerate(games):
        for step in range(HORIZON):
            if step < len(game):
                assert acted[step, number].tolist() == game.actions[step].tolist()
                assert terms[step, number].tolist() == [drivers.lexicon.longest(t) for t in game.messages[step]]
            else:
                assert not acted[step, number].any() and not terms[step, number].any()


def test_a_replay_is_each_game_alone(games: list[Game], drivers: Drivers) -> None:
    codes = torch.nn.functional.normalize(torch.arange(35.0).reshape(5, 1, 7).sin(), dim=-1)
    found = replay(drivers.robot, games, drivers.lexicon, codes, np.random.default_rng(0))
    assert len(found.reward) == 14
    for ride in range(14):
        game, seat = games[ride % 7], ride // 7
        reward, completed = one_ride(drivers, game, seat, codes[:, 0])
        assert found.reward[ride] == pytest.approx(reward)
        assert found.completed[ride] == completed
    assert len(found.worlds) == HORIZON + 1
    assert all((world.map == found.worlds[0].map).all() for world in found.worlds)


@torch.no_grad()
def one_ride(drivers: Drivers, game: Game, seat: int, codes: torch.Tensor) -> tuple[float, bool]:
    traffic = game.traffic.pick(np.array([0]))
    memory, heard = drivers.robot.silence(1)
    total = 0.0
    for step in range(HORIZON):
        values, _, memory = drivers.robot(observe(traffic)[:, seat], heard, memory)
        actions = np.zeros((1, 2), int)
        actions[0, seat] = int(values.argmax())
        if step < len(game):
            actions[0, 1 - seat] = game.actions[step, 1 - seat]
        traffic, outcome = drive(traffic, actions)
        total += float(outcome.reward[0])
        if outcome.over[0]:
            return total, bool(outcome.completed[0])
        text = game.messages[step][1 - seat] if step < len(game) else ""
        heard = codes[drivers.lexicon.longest(text)][None]
    return total, False


def test_a_robot_that_hears_nothing_hears_zeros(games: list[Game], drivers: Drivers) -> None:
    silent = replay(drivers.robot, games, drivers.lexicon, None, np.random.default_rng(0))
    zeros = replay(drivers.robot, games, drivers.lexicon, torch.zeros(5, 1, 7), np.random.default_rng(0))
    assert (silent.reward == zeros.reward).all()


def test_what_the_logged_games_earned(games: list[Game]) -> None:
    rewards, completed = as_played(games)
    for game, reward, both in zip(games, rewards, completed, strict=True):
        steps = [
            drive(game.traffic.pick(np.array([step])), game.actions[step : step + 1], game.leaves)[1]
            for step in range(len(game))
        ]
        assert reward == pytest.approx(sum(float(step.reward[0]) for step in steps))
        assert both == steps[-1].completed[0]
