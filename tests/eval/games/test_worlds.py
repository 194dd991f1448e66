import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from describer.errors import DescriberError
from describer.eval.games import GAMES, birds, colors, context, play
from describer.eval.games.lab import features_of_lab, lab_of_hsl, lab_of_srgb, srgb_of_lab
from describer.eval.games.rounds import ReferenceGame, drawn_rows, folds, word_table
from describer.eval.games.worlds import load_game


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


# Colour


def test_lab_has_the_published_values() -> None:
    srgb = np.array([[1.0, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 1], [0, 0, 0]])
    expected = [[53.24, 80.09, 67.20], [87.73, -86.18, 83.18], [32.30, 79.19, -107.86], [100, 0, 0], [0, 0, 0]]
    np.testing.assert_allclose(lab_of_srgb(srgb), expected, atol=0.05)


def test_lab_comes_back() -> None:
    srgb = rng().random((101, 3))
    np.testing.assert_allclose(srgb_of_lab(lab_of_srgb(srgb)), srgb, atol=1e-9)
    assert srgb_of_lab(np.array([[50.0, 200, 0]])).max() <= 1


def test_hsl_is_read_as_in_the_recordings() -> None:
    np.testing.assert_allclose(lab_of_hsl(np.array([[0.0, 100, 50], [240, 100, 50]])), lab_of_srgb(np.eye(3)[[0, 2]]))
    assert features_of_lab(np.array([[[50.0, 60, -60]]])).tolist() == [[[0.0, 1.0, -1.0]]]


# Rounds


def test_folds_share_nothing_and_leave_nothing_out() -> None:
    found = folds(53, seed=3)
    assert sorted(np.concatenate(list(found.values())).tolist()) == list(range(53))
    assert [len(part) for part in found.values()] == [42, 5, 6]
    assert folds(53, 3)["test"].tolist() == found["test"].tolist() != folds(53, 4)["test"].tolist()


def test_outcomes_are_drawn_by_their_probabilities() -> None:
    p = np.tile([[0.2, 0.0, 0.5, 0.3]], (20000, 1))
    shares = np.bincount(drawn_rows(p * 7, rng()), minlength=4) / 20000
    np.testing.assert_allclose(shares, [0.2, 0, 0.5, 0.3], atol=0.02)


def test_utterances_share_words_and_keep_a_column_of_their_own() -> None:
    table = word_table(["red crown", "red", "blue crown"])
    assert table.int().tolist() == [[0, 1, 1, 0, 1], [0, 0, 1, 0, 0], [1, 1, 0, 1, 0]]


@pytest.mark.parametrize("name", ["colors", "context", "birds"])
def test_every_hypothesis_puts_another_candidate_first(name: str) -> None:
    game = load_game(name)
    rounds = game.sample(7, "val", rng())
    n = game.n_candidates
    assert rounds.candidates.shape == (7, n, game.n_features)
    assert rounds.hypotheses.shape == (7, n, n, game.n_features)
    for first in range(n):
        torch.testing.assert_close(rounds.hypotheses[:, first, 0], rounds.candidates[:, first])
        assert rounds.hypotheses[0, first].tolist() != rounds.hypotheses[0, first - 1].tolist()
        torch.testing.assert_close(rounds.hypotheses[:, first].sum(1), rounds.candidates.sum(1))


@pytest.mark.parametrize("name", ["colors", "context", "birds"])
def test_the_same_seed_draws_the_same_rounds(name: str) -> None:
    first, second = (load_game(name, seed=1).sample(5, "test", rng(2)) for _ in range(2))
    assert torch.equal(first.candidates, second.candidates)
    assert first.shown == second.shown and first.utterance.tolist() == second.utterance.tolist()


def test_a_game_needs_words() -> None:
    game = load_game("birds")
    with pytest.raises(DescriberError, match="a lexicon must hold an utterance"):
        ReferenceGame("none", 2, 3, (), word_table([]), game.draw, "")


# Colours


def test_without_data_the_names_of_matplotlib_are_taken_and_told(tmp_path: Path) -> None:
    game = colors.load(tmp_path)
    assert game.source.startswith("the XKCD names of matplotlib, ")
    assert game.source.endswith(f"(default, as there is no {tmp_path / colors.FILE})")
    assert "default" not in colors.load(None).source


def survey_file(folder: Path) -> Path:
    path = folder / colors.FILE
    path.parent.mkdir(parents=True)
    lab = [[50, 60, 40], [50, -60, 40], [30, 10, -60], [90, 0, 0]]
    counts = [[30, 0, 10], [0, 50, 0], [1, 0, 3], [0, 0, 25]]  # the third bin is too rare
    cells = [(row * 3 + column, count) for row, some in enumerate(counts) for column, count in enumerate(some) if count]
    flat = {"color": [one for colour in lab for one in colour], "T": [n for cell in cells for n in cell]}
    path.write_text(json.dumps(flat | {"terms": ["red", "green", "pale"]}))
    return path


def test_the_survey_is_counts_of_names_for_bins(tmp_path: Path) -> None:
    lab, p_name, terms = colors.survey(survey_file(tmp_path))
    assert lab.tolist() == [[50, 60, 40], [50, -60, 40], [90, 0, 0]]
    assert p_name.tolist() == [[0.75, 0, 0.25], [0, 1, 0], [0, 0, 1]] and terms == ["red", "green", "pale"]
    assert "XKCD colour survey, 3 terms for 3 bins" in colors.load(tmp_path).source


def test_a_broken_survey_is_told(tmp_path: Path) -> None:
    survey_file(tmp_path).write_text("{}")
    with pytest.raises(DescriberError, match=r"must hold colour counts as C3 has them\. Got: KeyError"):
        colors.load(tmp_path)


def test_named_words_are_near_their_colours() -> None:
    lab, p_word, words = colors.xkcd()
    red = p_word[np.argmin(((lab - lab_of_srgb(np.array([[0.9, 0.0, 0.0]]))) ** 2).sum(1))]
    assert words[int(red.argmax())] == "red"
    np.testing.assert_allclose(p_word.sum(1), 1)


# Colours in context


def dialogue_file(folder: Path, n_pairs: int = 20) -> Path:
    path = folder / context.FILE
    path.parent.mkdir(parents=True)
    fields = ["gameid", "target_index", "correct", "speaker", *(f"{axis}{i}" for i in range(3) for axis in "hsl")]
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, fields)
        writer.writeheader()
        for pair in range(n_pairs):
            for number, said in enumerate(["The Dark gray one", "blue!", "the blue box", "never again"]):
                colours = {f"{axis}{i}": 10 * i + pair for i in range(3) for axis in "hsl"}
                about = {"gameid": f"{pair}-1", "target_index": number % 3, "correct": str(number != 1).lower()}
                writer.writerow(about | colours | {"speaker": json.dumps([said, "later"])})
    return path


def test_dialogues_keep_what_is_said_of_colours(tmp_path: Path) -> None:
    dialogues, lexicon = context.read_dialogues(dialogue_file(tmp_path, n_pairs=13))
    assert lexicon == ["blue"]  # what was said thirteen times only is too rare
    assert dialogues.lab.shape == (26, 3, 3) and dialogues.game.tolist() == [
        pair for pair in range(13) for _ in range(2)
    ]
    np.testing.assert_allclose(dialogues.lab[0, 0], lab_of_hsl(np.array([[10.0, 10, 10]]))[0])  # the target comes first
    assert dialogues.solved == 0.5


def test_dialogues_without_a_common_word_are_told(tmp_path: Path) -> None:
    with pytest.raises(DescriberError, match=r"must hold something that is said 20 times\. Got 8 rounds without"):
        context.read_dialogues(dialogue_file(tmp_path, n_pairs=2))


def test_recorded_rounds_are_dealt_by_pairs_of_people(tmp_path: Path) -> None:
    dialogue_file(tmp_path)
    game = context.load(tmp_path)
    assert game.lexicon == ("blue", "dark grey", "never again") and game.source.startswith("80 recorded rounds")
    rounds = game.sample(17, "test", rng())
    assert rounds.candidates.shape == (17, 3, 3)
    assert len(game.sample(1000, "test", rng())) == 28  # each of seven games' four rounds once
    assert len(game.sample(1000, "train", rng())) == 1000


def test_three_seeds_test_with_every_round_once() -> None:
    game = np.repeat(rng().permutation(37), rng(1).integers(1, 12, 37))
    found = [context.dealt(game, seed) for seed in (0, 1, 2)]
    assert sorted(np.concatenate([one["test"] for one in found]).tolist()) == list(range(len(game)))
    for one in found:
        assert sorted(np.concatenate(list(one.values())).tolist()) == list(range(len(game)))
        pairs = [set(game[rows].tolist()) for rows in one.values()]
        assert len(set.union(*pairs)) == sum(map(len, pairs)) == 37
        assert abs(len(one["test"]) - len(game) / 3) < 12
    again, other = context.dealt(game, 0)["test"], context.dealt(game, 3)["test"]
    assert again.tolist() == found[0]["test"].tolist() != other.tolist()


def test_messages_are_stripped_to_colour_words() -> None:
    assert context.plain("It's the DARKER gray one, please!") == "darker grey"


def test_without_dialogues_rounds_are_drawn_and_told(tmp_path: Path) -> None:
    source = context.load(tmp_path).source
    assert source.startswith("drawn rounds") and source.endswith(f"(default, as there is no {tmp_path / context.FILE})")


def test_broken_dialogues_are_told(tmp_path: Path) -> None:
    dialogue_file(tmp_path).write_text("gameid\n1\n")
    with pytest.raises(DescriberError, match="must hold rounds of colours in context"):
        context.load(tmp_path)


# Birds


def test_people_name_attributes_that_the_target_has() -> None:
    game = birds.load(None)
    rounds = game.sample(2000, "train", rng())
    rare = [index for index, said in enumerate(game.lexicon) if said not in birds.COMMON]
    told = [(shown[0], game.lexicon[said]) for shown, said in zip(rounds.shown, rounds.utterance.tolist(), strict=True)]
    of_rare = [said in words for words, said in told if said in {game.lexicon[index] for index in rare}]
    assert np.mean(of_rare) > 0.3  # the three rarest of a bird's attributes are shown
    assert len(game.lexicon) == 50


# All


def test_an_unknown_game_is_told() -> None:
    with pytest.raises(DescriberError, match=r"a game must be one of colors, context, birds, driving. Got 'chess'"):
        play("chess")
    with pytest.raises(DescriberError, match=r"a reference game must be one of colors, context, birds. Got 'driving'"):
        load_game("driving")
    assert GAMES[-1] == "driving"


def test_no_games_are_told() -> None:
    with pytest.raises(DescriberError, match="Got 0 games, 3 seeds"):
        play("colors", n_games=0)
