"""How drivers learn: recurrent Q-learning on the games they play, the pair's value the sum of both cars'.

    lessons = Lessons(Driver(), Informed.solve(), seed=0, steps=6000)
    lessons(torch.tensor(0))["loss"].backward()              # plays, and returns the loss of what it played

Gradients pass the channel, so that a car learns to say what the other needs. Against the published DRQN (Andreas et al.
2017, code): the reward of a game is told to the sum of both cars' values (value decomposition, Sunehag et al. 2018),
every game is learnt from once, while it is played, and targets are λ-returns of whole games. Such learning alone stays
for long with cars that wait for ever, for fear of a crash; so the first lessons regress on the values of a pair
that sees everything: what a car does not see, it must be told by the other.
"""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor, nn

from describer.eval.games.driving.driver import NOISE, Driver, channel, observe, swap
from describer.eval.games.driving.informed import Informed
from describer.eval.games.driving.world import ACTIONS, HORIZON, Traffic, begin, drive, joined


@dataclass(frozen=True)
class Played:
    """Games that one driver played with itself."""

    worlds: tuple[Traffic, ...]
    "before each step"
    values: Float[Tensor, "steps games 2 4"]
    messages: Float[Tensor, "steps games 2 size"]
    actions: Int[Tensor, "steps games 2"]
    reward: Float[Tensor, "steps games"]
    "of both cars; 0 after the end of a game"
    moving: Bool[Tensor, "steps games 2"]
    "cars that had not arrived before the step, in games that were not over"
    completed: Bool[Tensor, " games"]
    crashed: Bool[Tensor, " games"]


def play_alone(
    driver: Driver,
    traffic: Traffic,
    rng: np.random.Generator,
    generator: torch.Generator,
    explore: float = 0.0,
    noise: float = NOISE,
) -> Played:
    """Games in which one driver drives both cars, at random with probability ``explore`` a step and car."""
    n = len(traffic)
    memory, heard = driver.silence(n * 2)
    over, completed, crashed = (np.zeros(n, bool) for _ in range(3))
    worlds, steps = [], []
    for _ in range(HORIZON):
        values, message, memory = driver(observe(traffic).flatten(0, 1), heard, memory)
        best = values.detach().argmax(1).numpy().reshape(n, 2)
        actions = np.where(rng.random((n, 2)) < explore, rng.integers(len(ACTIONS), size=(n, 2)), best)
        moving = ~traffic.arrived & ~over[:, None]
        worlds.append(traffic)
        traffic, outcome = drive(traffic, actions)
        reward = np.where(over, 0, outcome.reward).astype(np.float32)
        steps.append((values.unflatten(0, (n, 2)), message.unflatten(0, (n, 2)), actions, reward, moving))
        completed |= outcome.completed & ~over
        crashed |= outcome.crashed & ~over
        over |= outcome.over
        heard = swap(channel(message, generator, noise))
        if over.all():
            break
    values, messages, acted, rewards, moved = (
        torch.stack([torch.as_tensor(x) for x in column]) for column in zip(*steps, strict=True)
    )
    ended = torch.from_numpy(completed), torch.from_numpy(crashed)
    return Played(tuple(worlds), values, messages, acted, rewards, moved, *ended)


def taught_loss(played: Played, worth: Informed) -> Float[Tensor, ""]:
    """How far the summed values are from the informed pair's, for every action of a car beside the other's own."""
    n = len(played.worlds) * len(played.worlds[0])
    values = (played.values * played.moving[..., None]).flatten(0, 1)  # (worlds, cars, actions)
    actions = played.actions.flatten(0, 1)
    every = torch.from_numpy(worth.values(joined(played.worlds)).astype(np.float32))  # (worlds, actions, actions)
    taken = values.gather(2, actions[..., None])  # (worlds, cars, 1)
    rows = torch.arange(n)
    losses = [
        F.huber_loss(values[:, car] + taken[:, 1 - car], wanted, reduction="none").mean(1)
        for car, wanted in ((0, every[rows, :, actions[:, 1]]), (1, every[rows, actions[:, 0]]))
    ]
    weight = played.moving.flatten(0, 1).float()
    return (torch.stack(losses, 1) * weight).sum() / weight.sum()


def played_loss(played: Played, discount: float, trace: float) -> Float[Tensor, ""]:
    """How far the summed values of what was done are from the λ-returns of the games."""
    values = played.values * played.moving[..., None]
    best = values.detach().amax(-1).sum(-1)  # (steps, games)
    following = torch.cat([best[1:], torch.zeros_like(best[:1])])
    wanted = returns(played.reward, following, discount, trace)
    taken = values.gather(3, played.actions[..., None]).sum((2, 3))
    weight = played.moving.any(-1).float()
    return (F.huber_loss(taken, wanted, reduction="none") * weight).sum() / weight.sum()


def returns(
    reward: Float[Tensor, "steps games"], following: Float[Tensor, "steps games"], discount: float, trace: float
) -> Float[Tensor, "steps games"]:
    """λ-returns, λ = ``trace``; ``following`` is the value of the world after each step, 0 where the game is over."""
    result = torch.empty_like(reward)
    later = following[-1]
    for t in reversed(range(len(reward))):
        later = reward[t] + discount * ((1 - trace) * following[t] + trace * later)
        result[t] = later
    return result


class Lessons(nn.Module):
    """The driver with its loss: a batch plays the games of (seed, its number), so a resumed training goes on."""

    done: Tensor
    "batches that have been learnt from"

    def __init__(
        self, driver: Driver, worth: Informed, seed: int, steps: int, batch: int = 64, explore: float = 0.1,
        taught: tuple[float, float] = (0.4, 0.6), trace: float = 0.9,
    ) -> None:  # fmt: skip
        super().__init__()
        self.driver, self.worth = driver, worth
        self.register_buffer("done", torch.zeros((), dtype=torch.int64))
        self.seed, self.steps, self.batch, self.explore, self.taught, self.trace = (
            seed, steps, batch, explore, taught, trace,
        )  # fmt: skip

    def share_taught(self) -> float:
        """How much of the loss is the informed pair's: from 1 to 0 as the training goes on."""
        start, end = self.taught
        return float(np.clip((end - int(self.done) / self.steps) / max(end - start, 1e-9), 0, 1))

    def forward(self, number: Shaped[Tensor, ""]) -> dict[str, Tensor]:
        """The loss of one batch of games, with their mean reward and the share that was completed."""
        batch = int(number)
        rng = np.random.default_rng((self.seed, batch))
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + batch)
        share = self.share_taught()
        self.done += 1
        explore = self.explore * (0.3 + 0.7 * share)
        played = play_alone(self.driver, begin(self.batch, rng), rng, generator, explore)
        loss = torch.zeros(())
        if share > 0:
            loss = loss + share * taught_loss(played, self.worth)
        if share < 1:
            loss = loss + (1 - share) * played_loss(played, self.worth.discount, self.trace)
        return {
            "loss": loss, "reward": played.reward.sum(0).mean(), "completed": played.completed.float().mean(),
            "crashed": played.crashed.float().mean(),
        }  # fmt: skip
