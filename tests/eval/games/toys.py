"""Tiny reference games and players that compute, for tests of what is built upon them."""

import numpy as np
import torch
from torch import Tensor, nn

from describer.eval.games.agents import MESSAGE, Players
from describer.eval.games.rounds import Fold, ReferenceGame, Rounds, word_table

LEXICON = ("dark", "light", "dark red", "light red", "grey")


def toy_game(n_candidates: int = 2) -> ReferenceGame:
    """Candidates are two numbers; people say which of five places the first number is in."""

    def draw(n: int, fold: Fold, rng: np.random.Generator) -> Rounds:
        values = rng.uniform(-1, 1, (n, n_candidates, 2)).astype(np.float32)
        place = ((values[:, 0, 0] + 1) / 2 * len(LEXICON)).astype(np.int64).clip(0, len(LEXICON) - 1)

        def show() -> list[list[str]]:
            return [[f"#{int(100 + 99 * one):02x}4040" for one in row[:, 0]] for row in values]

        return Rounds(torch.from_numpy(values), torch.from_numpy(place), show)

    return ReferenceGame("toy", n_candidates, 2, LEXICON, word_table(LEXICON), draw, "a toy")


class KnowingSpeaker(nn.Module):
    """Sends where the target is, on a circle; says its place."""

    def forward(self, candidates: Tensor) -> Tensor:
        angle = candidates[..., 0, 0]
        out = torch.zeros(*angle.shape, MESSAGE)
        out[..., 0], out[..., 1] = torch.cos(angle * 1.5), torch.sin(angle * 1.5)
        return out


class KnowingHuman(nn.Module):
    """log p(utterance | state), nearly certain of the place."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("words", word_table(LEXICON).float())

    def forward(self, candidates: Tensor) -> Tensor:
        place = (candidates[..., 0, 0] + 1) / 2 * len(LEXICON) - 0.5
        return (-4 * (place[..., None] - torch.arange(len(LEXICON))).square()).log_softmax(-1)


class KnowingListener(nn.Module):
    """Scores candidates as the speaker would send, or say, them."""

    def __init__(self, speaker: nn.Module, words: bool) -> None:
        super().__init__()
        self.speaker, self.words = speaker, words

    def forward(self, candidates: Tensor, heard: Tensor) -> Tensor:
        alone = self.speaker(candidates[:, :, None])  # (rounds, candidates, size)
        if self.words:
            return (alone.exp() * heard[:, None]).sum(-1)
        return -(alone - heard[:, None]).square().sum(-1)


class Deaf(nn.Module):
    """Hears nothing."""

    def forward(self, candidates: Tensor, heard: Tensor) -> Tensor:
        return torch.zeros(candidates.shape[:2])


def knowing_players(deaf: bool = False) -> Players:
    """Players that need no training."""
    players = Players(2, word_table(LEXICON))
    players.speaker, players.human_speaker = KnowingSpeaker(), KnowingHuman()
    players.listener = KnowingListener(players.speaker, words=False)
    players.human_listener = Deaf() if deaf else KnowingListener(players.human_speaker, words=True)
    return players.eval()
