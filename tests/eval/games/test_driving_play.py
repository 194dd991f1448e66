"""The whole driving game: training by recipe, carried drivers, the report, pictures, and the game for PettingZoo."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from pettingzoo.test import parallel_api_test

import describer.eval.games.driving.drivers as carried
from describer.errors import DescriberError, RecipeError, WeightsError
from describer.eval.games.driving.driver import N_CODES, Driver, observe
from describer.eval.games.driving.drivers import CARRIED, Drivers, carried_seed
from describer.eval.games.driving.experiment import N_CHOICES, play
from describer.eval.games.driving.informed import Informed
from describer.eval.games.driving.logs import Lexicon
from describer.eval.games.driving.parallel import AGENTS, DrivingParallel
from describer.eval.games.driving.roadmap import CARS, CELL, GRASS, draw_examples, draw_map
from describer.eval.games.driving.training import DriversRecipe, measure_robot
from describer.eval.games.driving.world import HORIZON, ROADS, SIZE, Traffic, begin, drive
from describer.eval.games.measure import CRITERIA
from describer.training.recipe import read_recipe
from tests.eval.games.driving_fakes import some_games, write_logs

SHARED = Path(os.environ.get("DESCRIBER_SHARED", Path(__file__).parents[4] / "shared")) / "data"
needs_logs = pytest.mark.skipif(
    not (SHARED / "driving").is_dir(), reason=f"no logged games at {SHARED}: set DESCRIBER_SHARED"
)
RECIPES = Path(__file__).parents[3] / "training" / "recipes"


@pytest.fixture(scope="module")
def shared(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("shared")
    write_logs(folder / "driving", 107)
    return folder


def quick(out: Path, shared: Path, **changes) -> DriversRecipe:
    """A recipe that takes no time, with values of no insight."""
    out.mkdir(parents=True, exist_ok=True)
    Informed(np.zeros((5, 4, 4, 257, 257), np.float32), 0.95).save(out / "informed.safetensors")
    return DriversRecipe(str(out), str(shared), hidden=13, batch=3, imitation=3, **{"steps": 4, **changes})


def test_the_recipe_of_the_carried_drivers_is_the_one_that_is_told() -> None:
    recipe = read_recipe(RECIPES / "driving.yaml")
    assert isinstance(recipe, DriversRecipe) and recipe.taught == (0.4, 0.6)
    told = json.loads((CARRIED / "seed-0" / "config.json").read_text(encoding="utf-8"))
    assert told["recipe"] == json.loads(json.dumps(recipe.__dict__))
    assert told["measured"]["completion"] >= 0.6


def test_carried_drivers_drive_as_well_as_is_told() -> None:
    told = json.loads((CARRIED / "seed-0" / "config.json").read_text(encoding="utf-8"))["measured"]
    found = measure_robot(Drivers.carried(0).robot, 0, games=400)
    assert found["completion"] == pytest.approx(told["completion"], abs=0.04)
    assert found["reward"] == pytest.approx(told["reward"], abs=0.2)
    assert sum(path.stat().st_size for path in CARRIED.rglob("*.safetensors")) < 2_000_000


def test_training_is_by_recipe_and_goes_on_where_it_was_stopped(tmp_path: Path, shared: Path) -> None:
    recipe = quick(tmp_path / "one", shared)
    out = recipe.train()
    about = json.loads((out / "config.json").read_text(encoding="utf-8"))
    assert about["recipe"]["steps"] == 4 and about["data"] == "7 logged games"
    assert set(about["measured"]) >= {"reward", "completion", "action_agreement"}
    first = Drivers.load(out)
    assert first.robot.hidden == 13 and first.lexicon.terms[0] == ()
    recipe.train()
    again = Drivers.load(out)
    assert torch.equal(first.robot.say.weight, again.robot.say.weight)
    other = Drivers.load(quick(tmp_path / "two", shared, seed=1).train())
    assert not torch.equal(first.robot.say.weight, other.robot.say.weight)


def test_a_recipe_that_cannot_be_carried_out_is_told(tmp_path: Path, shared: Path) -> None:
    with pytest.raises(RecipeError, match=r"steps and batch must be at least 1\. Got 0 and 64"):
        DriversRecipe(str(tmp_path), str(shared), steps=0)
    with pytest.raises(DescriberError, match="the logged driving games must be a file"):
        quick(tmp_path, tmp_path / "nowhere").train()


def test_drivers_are_saved_and_loaded(tmp_path: Path) -> None:
    games = some_games(tmp_path, 5)
    torch.manual_seed(0)
    drivers = Drivers.learnt(Driver(13, 7), Lexicon.of(games, min_count=2), games, seed=0, steps=3)
    drivers.save(tmp_path, {"recipe": {}})
    again = Drivers.load(tmp_path)
    codes = observe(begin(5, np.random.default_rng(0)))
    assert again.lexicon == drivers.lexicon
    assert torch.allclose(again.speaker(codes), drivers.speaker(codes), atol=1e-2)
    assert torch.allclose(again.humans.speaker(codes), drivers.humans.speaker(codes), atol=5e-2)
    assert again.speaker.deviation == pytest.approx(drivers.speaker.deviation, abs=1e-3)


@pytest.mark.parametrize("fault", ["missing", "empty", "foreign"])
def test_drivers_that_cannot_be_read_are_told(fault: str, tmp_path: Path) -> None:
    if fault != "missing":
        about = {"lexicon": ["", "left"], "sizes": {"hidden": 13, "message": 7}}
        (tmp_path / "config.json").write_text("{}" if fault == "empty" else json.dumps(about), encoding="utf-8")
        (tmp_path / "model.safetensors").write_bytes(b"no weights")
    with pytest.raises(WeightsError, match=r"must hold the drivers'.*Train them anew"):
        Drivers.load(tmp_path)


def test_every_seed_has_carried_drivers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert carried_seed(0) == 0
    monkeypatch.setattr(carried, "CARRIED", tmp_path)
    with pytest.raises(WeightsError, match="Got none there"):
        carried_seed(0)
    for seed in (0, 2):
        (tmp_path / f"seed-{seed}").mkdir()
    assert [carried_seed(seed) for seed in range(4)] == [0, 2, 0, 2]


def test_the_report_tells_every_translator(shared: Path) -> None:
    heard = []
    report = play(seeds=(0, 5), n_games=40, data=shared, progress=lambda *told: heard.append(told))
    assert report.tables == ["belief evaluation", "behaviour"]
    found = {(r.table, r.speaker, r.listener, r.criterion, r.k, r.measure): r for r in report.rows}
    assert len(found) == len(report.rows) == 2 + 2 * 2 * len(CRITERIA) + 2 * (2 + 1 + len(CRITERIA))
    for criterion in CRITERIA:
        for k in (1, 5):
            assert 0 <= found["belief evaluation", "R", "H", criterion, k, "accuracy"].measured.value <= 1
        row = found["behaviour", "H", "R", criterion, N_CHOICES, "completion"]
        assert row.measured.n_seeds == 2 and row.measured.low <= row.measured.value <= row.measured.high
    assert found["behaviour", "R", "R", "native", 1, "reward"].paper == 1.93
    assert found["belief evaluation", "H", "R", "direct", 5, "accuracy"].paper == 0.45
    assert heard == [("seeds", 0, 2), ("seeds", 1, 2), ("seeds", 2, 2)]
    assert "107 logged ones, the last 100 held out" in report.notes[0]
    assert any("ride by ride" in note for note in report.notes)
    assert report.picture is not None and report.examples
    assert all(set(example.translations) == set(CRITERIA) for example in report.examples)
    json.dumps([dict(example.extra) for example in report.examples])


@pytest.mark.slow
@needs_logs
def test_belief_translates_best_on_the_logged_games() -> None:
    report = play(seeds=(0, 1, 2), n_games=1000, data=SHARED)
    found = {(r.table, r.speaker, r.listener, r.criterion, r.k, r.measure): r.measured.value for r in report.rows}

    def accuracy(speaker: str, listener: str, criterion: str, k: int = 1) -> float:
        return found["belief evaluation", speaker, listener, criterion, k, "accuracy"]

    assert 0.73 <= accuracy("H", "H", "native") <= 0.79
    assert accuracy("R", "R", "native") > 0.85
    for speaker, listener in (("R", "H"), ("H", "R")):
        assert accuracy(speaker, listener, "random") == pytest.approx(0.5, abs=0.06)
        for k in (1, 5):
            assert accuracy(speaker, listener, "belief", k) > accuracy(speaker, listener, "direct", k) + 0.03
    assert found["behaviour", "R", "R", "native", 1, "completion"] >= 0.6
    ridden = {c: found["behaviour", "H", "R", c, N_CHOICES, "reward"] for c in CRITERIA}
    assert ridden["belief"] >= ridden["direct"]


def test_without_logs_model_humans_play(tmp_path: Path) -> None:
    first, second = (play(seeds=(0,), n_games=20, data=tmp_path) for _ in range(2))
    assert "no logged games at hand: 100 games of model humans" in first.notes[0]
    assert [row.measured for row in first.rows] == [row.measured for row in second.rows]


def test_a_map_shows_road_cars_and_goals() -> None:
    traffic = begin(1, np.random.default_rng(0), maps=(4,))
    picture = np.asarray(draw_map(traffic))
    assert picture.shape == (SIZE * CELL, SIZE * CELL, 3)
    for row in range(SIZE):
        for column in range(SIZE):
            corner = tuple(picture[row * CELL + 1, column * CELL + 1].tolist())
            assert (corner == GRASS) == (not ROADS[4, row, column])
    colours = {tuple(pixel) for pixel in picture.reshape(-1, 3).tolist()}
    assert set(CARS) <= colours
    gone = Traffic(traffic.map, np.full((1, 2, 2), -1), traffic.direction, np.full((1, 2, 2), 3), np.ones((1, 2), bool))
    draw_map(gone)
    both = draw_examples([traffic] * 4, ["a very long line of words that needs more room than there is"] * 4)
    assert both.width > 3 * SIZE * CELL


def test_pettingzoo_finds_no_fault() -> None:
    parallel_api_test(DrivingParallel(message=5), num_cycles=200)


def test_the_environment_plays_by_the_rules() -> None:
    environment = DrivingParallel(message=5, noise=0.0)
    seen, _ = environment.reset(seed=3)
    again, _ = DrivingParallel(message=5).reset(seed=3)
    traffic = begin(1, np.random.default_rng(3))
    assert all((seen[agent] == again[agent]).all() for agent in AGENTS)
    rng = np.random.default_rng(0)
    for step in range(HORIZON):
        hot = [np.flatnonzero(seen[agent][:N_CODES]).tolist() for agent in AGENTS]
        assert hot == observe(traffic)[0].tolist()
        actions = rng.integers(4, size=(1, 2))
        words = rng.random((2, 5)).astype(np.float32)
        told = {agent: (actions[0, car], words[car]) for car, agent in enumerate(AGENTS)}
        seen, rewards, ended, stopped, about = environment.step(told)
        traffic, outcome = drive(traffic, actions)
        assert rewards == dict.fromkeys(AGENTS, float(outcome.reward[0]))
        assert (seen["car_0"][N_CODES:] == words[1]).all() and (seen["car_1"][N_CODES:] == words[0]).all()
        assert set(ended.values()) == {bool(outcome.over[0])}
        assert about["car_0"] == {"completed": bool(outcome.completed[0]), "crashed": bool(outcome.crashed[0])}
        if outcome.over[0]:
            break
        assert set(stopped.values()) == {step == HORIZON - 1}
    assert environment.agents == []
    assert environment.render().shape == (SIZE * CELL, SIZE * CELL, 3)
