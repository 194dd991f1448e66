"""Logs, lexicon and model humans of the driving game."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from describer.errors import DescriberError
from describer.eval.games.driving.driver import observe
from describer.eval.games.driving.humans import IGNORED, demonstrations, imitate, measure_humans, simulate
from describer.eval.games.driving.logs import Game, Lexicon, read_games, split, words
from describer.eval.games.driving.world import drive
from tests.eval.games.driving_fakes import gone, log_of, some_games, write_logs


@pytest.fixture(scope="module")
def games(tmp_path_factory) -> list[Game]:
    return some_games(tmp_path_factory.mktemp("logs"), 23)


@pytest.fixture(scope="module")
def lexicon(games: list[Game]) -> Lexicon:
    return Lexicon.of(games, min_count=2)


def test_games_are_read_as_they_were_logged(tmp_path: Path) -> None:
    log = log_of(3, np.random.default_rng(3))["log"]
    (game,) = [game for game in some_games(tmp_path, 5) if game.name.endswith("00003")]
    again = read_games(tmp_path / "games.jsonl")[3]
    assert (again.actions == game.actions).all() and again.messages == game.messages
    assert len(game.traffic) == len(game) + 1 and game.leaves
    one = write_logs(tmp_path / "one", 0)
    (one / "games.jsonl").write_text(json.dumps({"game": "2017-01-01_x", "log": log}), encoding="utf-8")
    (game,) = read_games(one)
    assert not game.leaves
    for step, pair in enumerate(log[1::2]):
        assert game.actions[step].tolist() == [car["action"] for car in pair]
        assert list(game.messages[step]) == [car["message"] for car in pair]
    for world, logged in zip(game.traffic.position, log[::2], strict=True):
        assert world.tolist() == [car["pos"] for car in logged["cars"]]


@pytest.mark.parametrize(
    "text", ["{", '{"game": "x"}', '{"game": "x", "log": []}', '{"game": "x", "log": [{"cars": 3}]}']
)
def test_what_is_no_log_is_told_in_one_sentence(text: str, tmp_path: Path) -> None:
    (tmp_path / "games.jsonl").write_text(text, encoding="utf-8")
    with pytest.raises(DescriberError, match=r"must hold one logged game a line\. Got .*Error"):
        read_games(tmp_path)


def test_an_unknown_road_and_a_missing_file_are_told(tmp_path: Path) -> None:
    log = log_of(0, np.random.default_rng(0))
    log["log"][0]["road"][0][0] = 1.0
    (tmp_path / "games.jsonl").write_text(json.dumps(log), encoding="utf-8")
    with pytest.raises(DescriberError, match="an unknown road"):
        read_games(tmp_path)
    with pytest.raises(DescriberError, match=r"Got .*nowhere\. Check the path"):
        read_games(tmp_path / "nowhere")


def test_words_are_bare() -> None:
    assert words(" Going left!  ok, ") == ("going", "left", "ok")
    assert words("") == () and words(" ?! ") == ()


def test_a_lexicon_holds_what_is_often_said(games: list[Game]) -> None:
    said = [words(text) for game in games for pair in game.messages for text in pair]
    lexicon = Lexicon.of(games, min_count=2)
    assert lexicon.terms[0] == () and lexicon.text(0) == "(silence)"
    for term in {*said, *lexicon.terms} - {()}:
        assert (term in lexicon.terms) == (len(term) <= 3 and said.count(term) >= 2)
    counts = [said.count(term) for term in lexicon.terms[1:]]
    assert counts == sorted(counts, reverse=True)
    assert len(Lexicon.of(games, min_count=10**6)) == 1
    assert len(Lexicon.of([])) == 1


def test_messages_are_the_terms_they_hold() -> None:
    lexicon = Lexicon(((), ("left",), ("going", "left"), ("you", "first"), ("first",)))
    hot = lexicon.multi_hot(["", "Left, going now", "what?", "you first", "first you left"])
    assert hot.tolist() == [[1, 0, 0, 0, 0], [0, 1, 1, 0, 0], [1, 0, 0, 0, 0], [0, 0, 0, 1, 1], [0, 1, 0, 1, 1]]
    found = [lexicon.longest(text) for text in ("", "Left, going now", "what?", "first", "first you left")]
    assert found == [0, 2, 0, 4, 3]


def test_the_last_games_are_held_out(games: list[Game]) -> None:
    train, test = split(games, n_test=5)
    assert [game.name for game in train + test] == [game.name for game in games] and len(test) == 5


def test_demonstrations_are_the_games_side_by_side(games: list[Game], lexicon: Lexicon) -> None:
    shown = demonstrations(games, lexicon)
    assert any(gone(game) for game in games)
    for number, game in enumerate(games):
        codes = observe(game.traffic)
        for step in range(len(shown.codes)):
            for car in (0, 1):
                place = step, 2 * number + car
                if step >= len(game) or game.traffic.arrived[step, car]:
                    assert shown.actions[place] == IGNORED and not shown.driving[place]
                    continue
                assert shown.actions[place] == game.actions[step, car]
                assert (shown.codes[place] == codes[step, car]).all()
                hot = lexicon.multi_hot([game.messages[step][car]])[0]
                assert np.allclose(shown.said[place].numpy(), hot / hot.sum())
                heard = lexicon.multi_hot([game.messages[step - 1][1 - car]])[0] if step else hot * 0
                assert np.allclose(shown.heard[place].numpy(), heard / max(heard.sum(), 1))


def test_a_model_human_learns_to_do_and_say_as_shown(games: list[Game], lexicon: Lexicon) -> None:
    untaught = measure_humans(imitate(games, lexicon, 0, steps=0), games, lexicon)
    taught = measure_humans(imitate(games, lexicon, 0, steps=60), games, lexicon)
    assert taught["action_agreement"] > untaught["action_agreement"] + 0.1
    assert taught["utterance_nats"] < untaught["utterance_nats"] - 0.1
    log_prob = imitate(games, lexicon, 0, steps=3).speaker(observe(games[0].traffic))
    assert log_prob.shape == (len(games[0]) + 1, 2, len(lexicon))
    assert torch.allclose(log_prob.exp().sum(-1), torch.ones(len(games[0]) + 1, 2), atol=1e-5)


def test_imitation_follows_its_seed(games: list[Game], lexicon: Lexicon) -> None:
    first, second, third = (imitate(games, lexicon, seed, steps=3) for seed in (0, 0, 1))
    assert torch.equal(first.speaker.said.weight, second.speaker.said.weight)
    assert not torch.equal(first.speaker.said.weight, third.speaker.said.weight)


def test_simulated_games_obey_the_rules(games: list[Game], lexicon: Lexicon) -> None:
    humans = imitate(games, lexicon, 0, steps=3)
    played = simulate(humans, lexicon, 11, np.random.default_rng(0))
    assert len(played) == 11
    for game in played:
        assert game.leaves
        after, outcome = drive(game.traffic.pick(np.arange(len(game))), game.actions, game.leaves)
        assert (after.position == game.traffic.position[1:]).all()
        assert not outcome.over[:-1].any()
        assert {lexicon.longest(text) for pair in game.messages for text in pair} <= set(range(len(lexicon)))
