"""Model humans: what a human driver would say, and what one would do, learnt from the logged games.

    humans = imitate(train_games, Lexicon.of(games), seed=0)
    humans.speaker(codes)                                    # log p(utterance | what the driver sees)
    simulate(humans, lexicon, 100, rng)                      # games of two model humans, for when no logs are at hand

After the published code of Andreas et al. 2017: a small tanh network for utterances, a GRU for driving, both by
cross-entropy. Utterances of several terms count as each of them in part.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from describer.eval.games.driving.driver import N_CODES, observe, swap
from describer.eval.games.driving.logs import Game, Lexicon
from describer.eval.games.driving.world import ACTIONS, HORIZON, Traffic, begin, drive, joined

IGNORED = -100
"the action of a car that has arrived"


TEMPERATURE = 0.25
"of the actions of model humans who play: as they are, their rare slips add up to rides off the road"


class HumanSpeaker(nn.Module):
    """log p(utterance | state) by one tanh layer."""

    def __init__(self, terms: int, hidden: int = 128) -> None:
        super().__init__()
        self.seen = nn.Embedding(N_CODES, hidden)
        self.said = nn.Linear(hidden, terms)
        nn.init.normal_(self.seen.weight, std=0.3)

    def forward(self, codes: Int[Tensor, "*states 5"]) -> Float[Tensor, "*states terms"]:
        """In nats."""
        return self.said(torch.tanh(self.seen(codes).sum(-2))).log_softmax(-1)


class HumanDriver(nn.Module):
    """Scores of actions and utterances from what is seen and heard so far."""

    def __init__(self, terms: int, hidden: int = 128) -> None:
        super().__init__()
        self.seen = nn.Embedding(N_CODES, hidden)
        self.heard = nn.Linear(terms, hidden, bias=False)
        self.memory = nn.GRU(hidden, hidden)
        self.acts, self.says = nn.Linear(hidden, len(ACTIONS)), nn.Linear(hidden, terms)
        nn.init.normal_(self.seen.weight, std=0.3)

    def forward(
        self,
        codes: Int[Tensor, "steps cars 5"],
        heard: Float[Tensor, "steps cars terms"],
        memory: Float[Tensor, "1 cars hidden"] | None = None,
    ) -> tuple[Float[Tensor, "steps cars 4"], Float[Tensor, "steps cars terms"], Float[Tensor, "1 cars hidden"]]:
        """(scores of actions, scores of utterances, memory)."""
        x, memory = self.memory(torch.tanh(self.seen(codes).sum(-2) + self.heard(heard)), memory)
        return self.acts(x), self.says(x), memory


class Humans(nn.Module):
    """One model human: what it says and how it drives."""

    def __init__(self, terms: int, hidden: int = 128) -> None:
        super().__init__()
        self.speaker = HumanSpeaker(terms, hidden)
        self.driver = HumanDriver(terms, hidden)


@dataclass(frozen=True)
class Demonstrations:
    """Logged games side by side, padded at their ends."""

    codes: Int[Tensor, "steps cars 5"]
    said: Float[Tensor, "steps cars terms"]
    "shares of the terms of each message, which sum to 1"
    heard: Float[Tensor, "steps cars terms"]
    "what the other car said a step ago"
    actions: Int[Tensor, "steps cars"]
    "IGNORED where the car had arrived or the game was over"

    @property
    def driving(self) -> Bool[Tensor, "steps cars"]:
        """Whether the car was on its way."""
        return self.actions != IGNORED


def demonstrations(games: Sequence[Game], lexicon: Lexicon) -> Demonstrations:
    """All cars of these games; cars of one game lie side by side."""
    steps, cars = max(map(len, games)), 2 * len(games)
    codes = torch.zeros(steps, cars, 5, dtype=torch.int64)
    said = torch.zeros(steps, cars, len(lexicon))
    actions = torch.full((steps, cars), IGNORED)
    for number, game in enumerate(games):
        pair = slice(2 * number, 2 * number + 2)
        before = game.traffic.pick(np.arange(len(game)))
        codes[: len(game), pair] = observe(before)
        hot = lexicon.multi_hot([text for both in game.messages for text in both])
        said[: len(game), pair] = torch.from_numpy(hot / hot.sum(1, keepdims=True)).unflatten(0, (-1, 2))
        actions[: len(game), pair] = torch.from_numpy(np.where(before.arrived, IGNORED, game.actions))
    heard = torch.cat([torch.zeros_like(said[:1]), said[:-1].unflatten(1, (-1, 2)).flip(2).flatten(1, 2)])
    return Demonstrations(codes, said, heard, actions)


def imitate(
    games: Sequence[Game], lexicon: Lexicon, seed: int, steps: int = 600, learning_rate: float = 3e-3, batch: int = 256
) -> Humans:
    """A model human that has learnt from these games."""
    torch.manual_seed(seed)
    humans = Humans(len(lexicon))
    shown = demonstrations(games, lexicon)
    codes, said = shown.codes[shown.driving], shown.said[shown.driving]
    n_games = shown.codes.shape[1] // 2
    optimizer = torch.optim.AdamW(humans.parameters(), lr=learning_rate, weight_decay=0.05)
    for step in range(steps):
        some = torch.randint(len(codes), (batch,))
        loss = _cross_entropy(humans.speaker(codes[some]), said[some])
        if step % 3 == 0:  # whole games cost more and are learnt sooner
            cars = (2 * torch.randint(n_games, (batch // 8, 1)) + torch.arange(2)).flatten()
            acts, says, _ = humans.driver(shown.codes[:, cars], shown.heard[:, cars])
            loss = loss + F.cross_entropy(acts.flatten(0, 1), shown.actions[:, cars].flatten(), ignore_index=IGNORED)
            driving = shown.driving[:, cars]
            loss = loss + _cross_entropy(says[driving].log_softmax(-1), shown.said[:, cars][driving])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return humans.eval()


def _cross_entropy(log_prob: Float[Tensor, "n terms"], share: Float[Tensor, "n terms"]) -> Float[Tensor, ""]:
    return -(share * log_prob).sum(1).mean()


@torch.no_grad()
def measure_humans(humans: Humans, games: Sequence[Game], lexicon: Lexicon) -> dict[str, float]:
    """On held-out games: how often the model human acts as the human did, and the nats of an utterance."""
    shown = demonstrations(games, lexicon)
    acts, _, _ = humans.driver(shown.codes, shown.heard)
    nats = _cross_entropy(humans.speaker(shown.codes[shown.driving]), shown.said[shown.driving])
    agreed = (acts.argmax(-1) == shown.actions)[shown.driving].float().mean()
    return {"action_agreement": round(float(agreed), 4), "utterance_nats": round(float(nats), 4)}


@torch.no_grad()
def simulate(humans: Humans, lexicon: Lexicon, n: int, rng: np.random.Generator) -> list[Game]:
    """Games of two model humans who say what humans would, and mostly do the likeliest."""
    generator = torch.Generator().manual_seed(int(rng.integers(1 << 31)))
    traffic = begin(n, rng)
    worlds, moves, talk = [traffic], [], []
    heard, memory = torch.zeros(1, 2 * n, len(lexicon)), None
    over = np.zeros(n, bool)
    length = np.full(n, HORIZON)
    for step in range(HORIZON):
        acts, says, memory = humans.driver(observe(traffic).flatten(0, 1)[None], heard, memory)
        act = torch.multinomial((acts[0] / TEMPERATURE).softmax(1), 1, generator=generator)[:, 0].numpy().reshape(n, 2)
        say = torch.multinomial(says[0].softmax(1), 1, generator=generator)[:, 0]
        act, say_pair = np.where(traffic.arrived, 0, act), np.where(traffic.arrived, 0, say.numpy().reshape(n, 2))
        traffic, outcome = drive(traffic, act)
        worlds.append(traffic)
        moves.append(act)
        talk.append(say_pair)
        length = np.where(outcome.over & ~over, step + 1, length)
        over |= outcome.over
        heard = swap(F.one_hot(torch.from_numpy(say_pair).flatten(), len(lexicon)).float())[None]
    return [_simulated(game, int(length[game]), worlds, moves, talk, lexicon) for game in range(n)]


def _simulated(
    number: int, length: int, worlds: list[Traffic], moves: list[np.ndarray], talk: list[np.ndarray], lexicon: Lexicon
) -> Game:
    traffic = joined([world.pick(np.array([number])) for world in worlds[: length + 1]])
    texts = [" ".join(term) for term in lexicon.terms]
    messages = [(texts[said[number, 0]], texts[said[number, 1]]) for said in talk[:length]]
    return Game(f"simulated-{number}", traffic, np.stack([move[number] for move in moves[:length]]), tuple(messages))
