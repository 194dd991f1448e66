import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from describer.errors import DescriberError, RecipeError
from describer.eval.games.agents import DEVIATION, Players
from describer.eval.games.measure import CRITERIA, measured
from describer.eval.games.printing import print_report, save_picture
from describer.eval.games.reference import N_EXAMPLES, play_reference
from describer.eval.games.report import Example, GameReport, Row
from describer.eval.games.swatches import draw_examples
from describer.eval.games.training import Lessons, PlayersRecipe, Taught, load_players, train_players
from describer.eval.games.worlds import load_game
from describer.eval.translation import TranslationSettings, translated_play
from describer.training import train
from tests.eval.games.toys import knowing_players, toy_game

SETTINGS = TranslationSettings(n_contexts=256, n_codes=31)


def test_beliefs_translate_between_players_that_know_the_game() -> None:
    outcome = translated_play(toy_game(), knowing_players(), 501, 0, SETTINGS)
    own = outcome.wins["R", "R", "native", 1].mean(), outcome.wins["H", "H", "native", 1].mean()
    assert own[0] > 0.8 and own[1] > 0.85
    for pair in (("R", "H"), ("H", "R")):
        for which in (outcome.wins, outcome.beliefs):
            assert which[(*pair, "belief", 1)].mean() > 0.7
            assert abs(which[(*pair, "random", 1)].mean() - 0.5) < 0.15
    assert outcome.said["belief"].shape == outcome.codes["belief"].shape == (501, 5)
    assert len(outcome.wins) == len(outcome.beliefs) == 2 + 2 * 4 * 2


def test_the_same_seed_gives_the_same_games() -> None:
    first, second = (translated_play(toy_game(3), knowing_players(), 53, 4, SETTINGS) for _ in range(2))
    assert all((first.wins[key] == second.wins[key]).all() for key in first.wins)


def test_recorded_rounds_are_played_once_where_there_are_fewer() -> None:
    game = toy_game()
    few = replace(game, draw=lambda n, fold, rng: game.draw(min(n, 53) if fold == "test" else n, fold, rng))
    outcome = translated_play(few, knowing_players(), 501, 0, SETTINGS)
    assert {len(games) for part in (outcome.wins, outcome.beliefs) for games in part.values()} == {53}
    assert outcome.said["belief"].shape == outcome.codes["random"].shape == (53, 5)


def test_a_model_human_that_understands_nothing_fails_loudly() -> None:
    with pytest.raises(DescriberError, match=r"a model human must understand people better than chance \(0\.50\)"):
        translated_play(toy_game(), knowing_players(deaf=True), 201, 0, SETTINGS)


# Training


def test_players_learn_and_tell_their_curves(tmp_path: Path) -> None:
    steps: list[int] = []
    recipe = PlayersRecipe(str(tmp_path), "toy", steps=120, batch=128, learning_rate=5e-3)
    train_players(toy_game(), recipe, tmp_path, progress=lambda done, total: steps.append(done))
    log = [row for row in json.loads((tmp_path / "log.json").read_text())["log"] if "humans" in row]
    assert steps == list(range(1, 121))
    assert log[-1]["humans"] > log[0]["humans"] + 0.1 and {"agents", "speaking", "loss"} <= set(log[-1])


@pytest.mark.parametrize("shares", [False, True])
def test_the_value_of_a_choice_moves_to_its_reward(shares: bool) -> None:
    lessons = Lessons(toy_game(3), PlayersRecipe("x", "toy", batch=11, explore=0.5))
    batch, players = lessons([3]), Players(2, toy_game().words)
    candidates, said = batch["candidates"], batch["utterance"].tolist()
    values = players.listener(candidates, players.speaker(candidates) + DEVIATION * batch["noise"]).double()
    speaking = players.human_speaker(candidates).double()
    hearing = players.human_listener(candidates, torch.eye(5)[said]).double()
    total = 0.0
    for row in range(11):
        scores = values[row].tolist()
        chosen = int(batch["at_random"][row])
        chosen = scores.index(max(scores)) if chosen < 0 else chosen
        share = math.exp(scores[chosen]) / sum(map(math.exp, scores))
        total += ((share if shares else scores[chosen]) - (chosen == 0)) ** 2
        total -= speaking[row, said[row]].item()
        total -= hearing[row, 0].item() - math.log(sum(math.exp(score) for score in hearing[row].tolist()))
    assert (batch["at_random"] >= 0).any() and (batch["at_random"] < 0).any()
    assert Taught(players, shares)(**batch)["loss"].item() == pytest.approx(total / 11, abs=1e-5)


def test_the_same_step_has_the_same_batch() -> None:
    lessons = Lessons(toy_game(), PlayersRecipe("x", "toy", batch=7))
    first, second, other = lessons([3]), lessons([3]), lessons([4])
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not torch.equal(first["candidates"], other["candidates"])


def test_a_recipe_trains_players_that_are_loaded_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "birds.yaml"
    kind = "describer.eval.games.training:PlayersRecipe"
    path.write_text(f"kind: {kind}\nout: {tmp_path / 'birds'}\ngame: birds\nsteps: 2\nbatch: 5\n")
    out = train(path)
    game = load_game("birds")
    players = load_players(out, game)
    assert players is not None and game.source in capsys.readouterr().out
    rounds = game.sample(3, "val", np.random.default_rng(0))
    assert players.listener(rounds.candidates, players.speaker(rounds.candidates)).shape == (3, 2)
    assert load_players(out, toy_game()) is None
    assert load_players(tmp_path / "nowhere", game) is None


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("kind: describer.eval.games.training:PlayRecipe", "kind must name a recipe that there is"),
        ("kind: os:SomeRecipe", "kind must be one of"),
        (
            "kind: describer.eval.games.training:PlayersRecipe\ngame: birds\nsteps: 0",
            "steps and batch must be",
        ),
    ],
)
def test_a_recipe_that_cannot_be_carried_out_is_told(tmp_path: Path, line: str, said: str) -> None:
    (tmp_path / "x.yaml").write_text(f"{line}\nout: {tmp_path / 'x'}\n")
    with pytest.raises(RecipeError, match=said):
        train(tmp_path / "x.yaml")


# The report


def report() -> GameReport:
    rows = [
        Row(
            "translator in the loop",
            speaker,
            listener,
            criterion,
            1,
            "accuracy",
            measured([np.array([1.0, 0, 1])]),
            0.5,
        )
        for speaker, listener, criterion in [("R", "R", "native"), ("R", "H", "belief"), ("H", "R", "direct")]
    ]
    words = dict.fromkeys(CRITERIA, "magenta, hot, rose, violet, purple")
    extra = {"candidates": ["#ff00aa", "#00ff00"], "person": "pink", "found": dict.fromkeys(CRITERIA, 1.0)}
    examples = (Example("#ff00aa", words, extra),) * 2
    picture = draw_examples("Colours", "where they come from", examples, rows)
    return GameReport("colors", "Colours", tuple(rows), examples, ("from a toy",), picture)


def test_a_report_is_printed_as_tables_and_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    print_report(report())
    said = capsys.readouterr().out
    assert "Translator in the loop (R agent, H model human)" in said and "from a toy" in said
    assert "belief, top 1" in said and "0.667" in said and "0.50" in said
    assert "#ff00aa not #00ff00" in said and "magenta, hot, rose, violet, purple" in said
    told = [json.loads(json.dumps(row, allow_nan=False)) for row in report().json_rows()]
    assert [row["kind"] for row in told] == ["row"] * 3 + ["example"] * 2 + ["notes"]
    assert told[1]["value"] == pytest.approx(2 / 3) and told[1]["criterion"] == "belief" and told[1]["n_seeds"] == 1


def test_the_picture_shows_the_target_colour(tmp_path: Path) -> None:
    save_picture(report(), tmp_path / "x.png")
    picture = Image.open(tmp_path / "x.png")
    colours = {colour for _, colour in picture.convert("RGB").getcolors(10**6) or []}
    assert {(255, 0, 170), (0, 255, 0)} <= colours
    with pytest.raises(DescriberError, match="--out must name a picture file"):
        save_picture(report(), tmp_path / "x.words")


def test_the_game_of_colours_is_reported_whole() -> None:
    found = play_reference("colors", seeds=(0,), n_games=201)
    values = {
        (row.table[:6], row.speaker, row.listener, row.criterion, row.k): row.measured.value for row in found.rows
    }
    assert values["transl", "R", "R", "native", 1] > 0.9
    assert values["transl", "R", "H", "belief", 1] > values["transl", "R", "H", "random", 1] + 0.2
    assert len(found.examples) == N_EXAMPLES and found.picture is not None
    assert "XKCD names of matplotlib" in found.notes[0] and "seed 0 were carried along" in found.notes[1]
