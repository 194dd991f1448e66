"""Who plays reference games: agents that invented their messages, and model humans that imitate people.

    players = Players(3, game.words)
    means = players.speaker(rounds.candidates)                # (rounds, 64), of length 1
    heard = players.channel(means, generator)                 # with noise
    players.listener(rounds.candidates, heard).argmax(1)      # the candidate that is chosen; 0 is the target
    players.human_speaker(rounds.candidates)                  # (rounds, utterances) log p(utterance | state)
    players.human_listener(rounds.candidates, said)           # said: (rounds, utterances), weights that sum to 1

A speaker compares the target with every other candidate alike, a listener scores every candidate in the same way:
neither can learn where the target stands. (A listener that reads the candidates in a row, from one end to the other,
stays at chance in half of its trainings.)
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

DEVIATION = 0.3
"of the channel's noise, in each of a message's numbers; a message's mean has length 1"
MESSAGE = 64
HIDDEN = 256
NEAR = 0.1
"Distance of features below which the direction of a difference fades: six units of Lab."


class Reader(nn.Module):
    """What a speaker knows: the target beside each of the others, averaged.

    `directed`, it is told also in which direction the two differ, however little: close colours are told apart sooner.
    """

    def __init__(self, n_features: int, size: int, directed: bool = False, hidden: int = HIDDEN) -> None:
        super().__init__()
        self.directed = directed
        self.pair = nn.Linear((3 + directed) * n_features, hidden)
        self.out = nn.Linear(hidden, size)

    def forward(self, candidates: Float[Tensor, "*rounds candidates features"]) -> Float[Tensor, "*rounds size"]:
        """The target comes first."""
        others = candidates[..., 1:, :]
        target = candidates[..., :1, :].expand_as(others)
        apart = target - others
        direction = [apart / (apart.norm(dim=-1, keepdim=True) + NEAR)] if self.directed else []
        seen = torch.cat((target, others, apart, *direction), -1)
        return self.out(torch.tanh(self.pair(seen)).mean(-2))


class Scorer(nn.Module):
    """How well each candidate goes with what was heard, seen alone or (`relative`) also beside the others' mean."""

    def __init__(self, n_features: int, heard: int, relative: bool = False, hidden: int = HIDDEN) -> None:
        super().__init__()
        self.relative = relative
        self.candidate = nn.Linear((1 + relative) * n_features, hidden)
        self.heard = nn.Linear(heard, hidden)
        self.inner = nn.Linear(hidden, hidden)
        self.score = nn.Linear(hidden, 1)

    def forward(
        self, candidates: Float[Tensor, "rounds candidates features"], heard: Float[Tensor, "rounds size"]
    ) -> Float[Tensor, "rounds candidates"]:
        """One number a candidate."""
        hidden = torch.tanh(self.candidate(_seen(candidates, self.relative)) + self.heard(heard)[:, None])
        return self.score(torch.tanh(self.inner(hidden)))[..., 0]


class Product(nn.Module):
    """How much each candidate has of what is asked for: the inner product of two readings.

    It learns to look up one of many attributes much sooner than a `Scorer`.
    """

    def __init__(self, n_features: int, heard: int, relative: bool = False, hidden: int = HIDDEN) -> None:
        super().__init__()
        self.relative = relative
        self.candidate = nn.Linear((1 + relative) * n_features, hidden)
        self.has = nn.Linear(hidden, hidden)
        self.asks = nn.Linear(heard, hidden)

    def forward(
        self, candidates: Float[Tensor, "rounds candidates features"], heard: Float[Tensor, "rounds size"]
    ) -> Float[Tensor, "rounds candidates"]:
        """One number a candidate."""
        has = self.has(torch.tanh(self.candidate(_seen(candidates, self.relative))))  # (rounds, candidates, hidden)
        return 4 * (has * self.asks(heard)[:, None]).mean(-1)


def _seen(candidates: Tensor, relative: bool) -> Float[Tensor, "rounds candidates size"]:
    """The candidates, and where that is wanted how each differs from the mean of the others."""
    if not relative:
        return candidates
    others = (candidates.sum(1, keepdim=True) - candidates) / (candidates.shape[1] - 1)
    return torch.cat((candidates, candidates - others), 2)


class AgentSpeaker(nn.Module):
    """Means of messages, of length 1."""

    def __init__(self, n_features: int, directed: bool = False) -> None:
        super().__init__()
        self.reader = Reader(n_features, MESSAGE, directed)

    def forward(self, candidates: Float[Tensor, "*rounds candidates features"]) -> Float[Tensor, "*rounds size"]:
        """Without the channel's noise."""
        return nn.functional.normalize(self.reader(candidates), dim=-1)


class HumanSpeaker(nn.Module):
    """log p(utterance | state), made of the words that utterances share."""

    words: Tensor

    def __init__(self, n_features: int, words: Bool[Tensor, "utterances words"], directed: bool = False) -> None:
        super().__init__()
        self.reader = Reader(n_features, MESSAGE, directed)
        self.register_buffer("words", words.float(), persistent=False)
        self.word = nn.Parameter(torch.randn(words.shape[1], MESSAGE) * 0.1)
        self.usual = nn.Parameter(torch.zeros(len(words)))

    def forward(self, candidates: Float[Tensor, "*rounds candidates features"]) -> Float[Tensor, "*rounds utterances"]:
        """It sums to 1 over utterances."""
        return (self.reader(candidates) @ (self.words @ self.word).T + self.usual).log_softmax(-1)


class HumanListener(nn.Module):
    """Scores of candidates, each seen alone, by the words that were said."""

    words: Tensor

    def __init__(self, n_features: int, words: Bool[Tensor, "utterances words"]) -> None:
        super().__init__()
        self.register_buffer("words", words.float(), persistent=False)
        self.scorer = Product(n_features, words.shape[1])

    def forward(
        self, candidates: Float[Tensor, "rounds candidates features"], said: Float[Tensor, "rounds utterances"]
    ) -> Float[Tensor, "rounds candidates"]:
        """Several utterances at once are heard as the mean of their words."""
        return self.scorer(candidates, said @ self.words)


class Players(nn.Module):
    """The four of them, with separate weights; the agents' listener is a `Product` or a `Scorer`."""

    def __init__(
        self,
        n_features: int,
        words: Bool[Tensor, "utterances words"],
        product: bool = False,
        relative: bool = False,
        directed: bool = False,
    ) -> None:
        super().__init__()
        self.speaker = AgentSpeaker(n_features, directed)
        self.listener = (Product if product else Scorer)(n_features, MESSAGE, relative)
        self.human_speaker = HumanSpeaker(n_features, words, directed)
        self.human_listener = HumanListener(n_features, words)

    @staticmethod
    def channel(means: Float[Tensor, "rounds size"], generator: torch.Generator) -> Float[Tensor, "rounds size"]:
        """What is heard of a message; gradients go through."""
        return means + DEVIATION * torch.randn(means.shape, generator=generator)
