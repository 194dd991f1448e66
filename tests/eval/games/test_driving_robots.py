"""Robots of the driving game: what they see and hear, and that they learn from what they should."""

import itertools

import numpy as np
import pytest
import torch

from describer.eval.games.driving.driver import N_CODES, NOISE, OFFSETS, SIZES, Driver, channel, observe, swap
from describer.eval.games.driving.informed import N_PLACES, Informed, alone, places, touching
from describer.eval.games.driving.lessons import Lessons, play_alone, played_loss, returns, taught_loss
from describer.eval.games.driving.world import GOALS, GONE, HORIZON, SIZE, Traffic, begin, drive

DISCOUNT = 0.9


@pytest.fixture(scope="module")
def worth() -> Informed:
    """Values two steps ahead: enough for a loss."""
    solved = Informed.solve(DISCOUNT, sweeps=2)
    assert solved.value.shape == (5, 4, 4, N_PLACES, N_PLACES)
    return solved


@pytest.fixture
def driver() -> Driver:
    torch.manual_seed(0)
    return Driver(hidden=13, message=7)


def randoms() -> tuple[np.random.Generator, torch.Generator]:
    return np.random.default_rng(0), torch.Generator().manual_seed(0)


def test_a_driver_sees_its_own_car_only() -> None:
    traffic = begin(11, np.random.default_rng(0))
    codes = observe(traffic)
    assert codes.shape == (11, 2, 5) and (codes < N_CODES).all()
    for game, car in itertools.product(range(11), (0, 1)):
        row, column = traffic.position[game, car]
        goal_row, goal_column = traffic.goal[game, car]
        own = [traffic.map[game], row * 8 + column, goal_row * 8 + goal_column, 0, traffic.direction[game, car]]
        assert (codes[game, car].numpy() - OFFSETS).tolist() == [int(value) for value in own]
    away = Traffic(
        np.array([2]), np.full((1, 2, 2), GONE), np.zeros((1, 2), int), np.zeros((1, 2, 2), int), np.ones((1, 2), bool)
    )
    assert (observe(away)[0, 0].numpy() - OFFSETS).tolist() == [2, SIZES[1] - 1, 0, 1, 0]


def test_messages_have_length_one_and_noise_of_the_channel(driver: Driver) -> None:
    memory, heard = driver.silence(11)
    values, message, memory = driver(torch.arange(5).expand(11, 5), heard, memory)
    assert values.shape == (11, 4) and memory.shape == (11, 13)
    assert torch.allclose(message.norm(dim=1), torch.ones(11))
    loud = channel(torch.zeros(1009, 7), torch.Generator().manual_seed(0))
    assert float(loud.std()) == pytest.approx(NOISE, rel=0.05)
    assert torch.equal(channel(message, noise=0.0), message)


def test_cars_of_one_game_hear_each_other() -> None:
    heard = torch.arange(6.0)[:, None]
    assert swap(heard)[:, 0].tolist() == [1, 0, 3, 2, 5, 4]


def test_what_one_car_says_moves_the_other(driver: Driver) -> None:
    codes = observe(begin(5, np.random.default_rng(0))).flatten(0, 1)
    memory, heard = driver.silence(10)
    _, message, memory = driver(codes, heard, memory)
    values, _, _ = driver(codes, swap(channel(message, torch.Generator().manual_seed(0))), memory.detach())
    (gradient,) = torch.autograd.grad(values[::2].sum(), message)  # of the first cars
    assert (gradient[1::2].abs().sum(1) > 0).all() and not gradient[::2].any()


def test_games_are_played_by_the_rules(driver: Driver) -> None:
    rng, generator = randoms()
    start = begin(17, rng)
    with torch.no_grad():
        played = play_alone(driver, start, rng, generator, explore=0.7)
    assert len(played.worlds) == len(played.actions) <= HORIZON
    for game in range(17):
        traffic, over, reward = start.pick(np.array([game])), False, 0.0
        for step, actions in enumerate(played.actions[:, game].numpy()):
            assert (played.worlds[step].position[game] == traffic.position[0]).all()
            assert (played.moving[step, game].numpy() == (~traffic.arrived[0] & (not over))).all()
            traffic, outcome = drive(traffic, actions[None])
            reward += 0 if over else float(outcome.reward[0])
            if outcome.over[0] and not over:
                over = True
                assert (bool(played.completed[game]), bool(played.crashed[game])) == (
                    bool(outcome.completed[0]),
                    bool(outcome.crashed[0]),
                )
        assert float(played.reward[:, game].sum()) == pytest.approx(reward, abs=1e-5)


def test_returns_are_a_mixture_of_all_n_step_returns() -> None:
    rng = np.random.default_rng(0)
    steps, games, discount, trace = 7, 3, 0.9, 0.6
    reward, following = rng.standard_normal((2, steps, games))
    following[-1] = 0
    found = returns(torch.tensor(reward), torch.tensor(following), discount, trace)
    for start, game in itertools.product(range(steps), range(games)):
        left = steps - start
        n_step = [
            sum(discount**i * reward[start + i, game] for i in range(n)) + discount**n * following[start + n - 1, game]
            for n in range(1, left + 1)
        ]
        shares = [(1 - trace) * trace ** (n - 1) for n in range(1, left)] + [trace ** (left - 1)]
        wanted = sum(share * value for share, value in zip(shares, n_step, strict=True))
        assert float(found[start, game]) == pytest.approx(wanted)


def huber(x: float) -> float:
    return 0.5 * x * x if abs(x) < 1 else abs(x) - 0.5


def test_the_informed_pair_teaches_every_action_beside_the_others_own(driver: Driver, worth: Informed) -> None:
    rng, generator = randoms()
    with torch.no_grad():
        played = play_alone(driver, begin(3, rng), rng, generator, explore=0.5)
    total, weight = 0.0, 0
    for step, game, car in itertools.product(range(len(played.worlds)), range(3), (0, 1)):
        if not played.moving[step, game, car]:
            continue
        weight += 1
        values = played.values[step, game].double().numpy()
        values = values * played.moving[step, game].numpy()[:, None]
        wanted = worth.values(played.worlds[step].pick(np.array([game])))[0]
        wanted = wanted if car == 0 else wanted.T
        others = int(played.actions[step, game, 1 - car])
        total += np.mean([huber(values[car, a] + values[1 - car, others] - wanted[a, others]) for a in range(4)])
    assert float(taught_loss(played, worth)) == pytest.approx(total / weight, rel=1e-4)


def test_play_teaches_what_was_done(driver: Driver) -> None:
    rng, generator = randoms()
    with torch.no_grad():
        played = play_alone(driver, begin(3, rng), rng, generator, explore=0.5)
    values = (played.values * played.moving[..., None]).double().numpy()
    steps = len(played.worlds)
    best = np.concatenate([values.max(-1).sum(-1)[1:], np.zeros((1, 3))])
    wanted = returns(played.reward.double(), torch.tensor(best), DISCOUNT, 0.8).numpy()
    losses = [
        huber(sum(values[t, g, car, played.actions[t, g, car]] for car in (0, 1)) - wanted[t, g])
        for t, g in itertools.product(range(steps), range(3))
        if played.moving[t, g].any()
    ]
    assert float(played_loss(played, DISCOUNT, 0.8)) == pytest.approx(np.mean(losses), rel=1e-4)


def test_the_informed_value_is_the_best_of_all_that_can_be_done(worth: Informed) -> None:
    rng = np.random.default_rng(1)
    traffic = begin(7, rng)
    traffic.position[0], traffic.direction[0] = traffic.goal[0, :1] + [[1, 0], [2, 0]], 0  # one behind the other
    traffic.goal[0, 1] = traffic.goal[0, 0]

    def best(world: Traffic, steps: int) -> float:
        if steps == 0:
            return 0.0
        found = []
        for pair in itertools.product(range(4), repeat=2):
            after, outcome = drive(world, np.array([pair]))
            kind = outcome.crashed & after.arrived.any(1)  # an arriving car cannot be hit
            later = 0.0 if (outcome.over & ~kind)[0] or after.arrived.all() else best(after, steps - 1)
            found.append(float(outcome.reward[0]) + 2.0 * kind[0] + DISCOUNT * later)
        return max(found)

    for game in range(5):
        world = traffic.pick(np.array([game]))
        at = places(world)[0]
        goal = [GOALS[world.map[0]].index(tuple(world.goal[0, car].tolist())) for car in (0, 1)]
        value = worth.value[world.map[0], goal[0], goal[1], at[0], at[1]]
        assert value == pytest.approx(best(world, 2), abs=1e-5)
    values = worth.values(traffic)
    assert values.shape == (7, 4, 4)


def test_moves_alone_are_the_rules() -> None:
    mover = alone(1, (0, 4))
    assert mover.following.shape == (N_PLACES, 4) and (mover.following[-1] == N_PLACES - 1).all()
    place = (1 * SIZE + 4) * 4  # one below the goal, heading north
    assert mover.following[place].tolist() == [place, N_PLACES - 1, (1 * SIZE + 3) * 4 + 3, (1 * SIZE + 5) * 4 + 1]
    assert mover.reward[place, 1] == pytest.approx(1 + 0.1 - 0.01)
    touch = touching()
    assert touch[place, place] and not touch[-1].any() and (touch == touch.T).all()
    assert touch[place, (2 * SIZE + 4) * 4 + 1] and not touch[place, (3 * SIZE + 4) * 4]


def test_values_are_saved_and_loaded(worth: Informed, tmp_path) -> None:
    small = Informed(worth.value[:, :1, :1], worth.discount)
    small.save(tmp_path / "informed.safetensors")
    again = Informed.load(tmp_path / "informed.safetensors")
    assert again.discount == DISCOUNT and np.allclose(again.value, small.value, atol=2e-3)


def test_lessons_pass_from_the_informed_pair_to_play(driver: Driver, worth: Informed) -> None:
    lessons = Lessons(driver, worth, seed=0, steps=10, batch=3, taught=(0.4, 0.6))
    shares = []
    for number in range(10):
        shares.append(lessons.share_taught())
        told = lessons(torch.tensor(number))
        assert torch.isfinite(told["loss"])
    assert shares == pytest.approx([1, 1, 1, 1, 1, 0.5, 0, 0, 0, 0])
    assert int(lessons.done) == 10


def test_a_batch_is_its_number(driver: Driver, worth: Informed) -> None:
    first, second, third = (
        Lessons(driver, worth, seed=0, steps=10, batch=5)(torch.tensor(number))["loss"] for number in (3, 3, 4)
    )
    assert torch.equal(first, second) and not torch.equal(first, third)


def test_a_robot_learns_from_the_informed_pair(worth: Informed) -> None:
    torch.manual_seed(0)
    robot = Driver(hidden=17, message=7)
    rng, generator = randoms()
    with torch.no_grad():
        before = taught_loss(play_alone(robot, begin(53, rng), rng, generator), worth)
    lessons = Lessons(robot, worth, seed=0, steps=10**6, batch=11)
    optimizer = torch.optim.Adam(robot.parameters(), lr=0.02)
    for number in range(20):
        optimizer.zero_grad()
        lessons(torch.tensor(number))["loss"].backward()
        optimizer.step()
    rng, generator = randoms()
    with torch.no_grad():
        after = taught_loss(play_alone(robot, begin(53, rng), rng, generator), worth)
    assert after < 0.8 * before
