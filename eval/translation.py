"""Do translated messages help? Agents and model humans play with a translator between them, and beliefs are compared.

    outcome = translated_play(game, players, n_games=1000, seed=0)
    outcome.wins["R", "H", "belief", 1]        # per game 1 where the model human found what the agent meant
    outcome.beliefs["R", "H", "belief", 1]     # per game 1 where the believed state is the true one

After Andreas, Dragan & Klein 2017: "translator in the loop" (their table 1) and "belief evaluation" (table 3). R is the
agent, H the model human (H* in the paper). An agent's message is translated into an utterance; a person's utterance
into one of `n_codes` messages that the agent sent. With k = 5 the listener hears five translations as their mean.
"""

from dataclasses import dataclass, field

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from describer.beliefs import gaussian_log_likelihood, normalised, translate
from describer.errors import DescriberError
from describer.eval.games.agents import DEVIATION, Players
from describer.eval.games.measure import CRITERIA, belief_choice
from describer.eval.games.rounds import ReferenceGame, Rounds

KS = (1, 5)
NATIVE = "native"
MARGIN = 0.1
"A model human that is not this much better than chance has learnt nothing: nothing can be told of translations then."

Key = tuple[str, str, str, int]
"speaker (R or H), listener, criterion, utterances heard"


@dataclass(frozen=True)
class TranslationSettings:
    """How messages are translated in the games."""

    n_contexts: int = 2048
    "situations over which beliefs are compared, from the training and validation folds"
    n_codes: int = 100
    "messages of the agent into which people's utterances are translated"
    direction: str = "reverse"
    "of the divergence: reverse as the published code has it, forward as the paper writes it"
    weights: str = "mixture"
    "over contexts: see describer.beliefs"
    lapse: float = 0.0
    "probability that a speaker says anything"


@dataclass(frozen=True, eq=False)
class Outcome:
    """What came of one seed's games."""

    rounds: Rounds
    wins: dict[Key, np.ndarray] = field(default_factory=dict)
    "per game 1 where the listener chose the target, 1/n where n candidates were equally good"
    beliefs: dict[Key, np.ndarray] = field(default_factory=dict)
    "per game 1 where the state the listener believes in is the true one"
    said: dict[str, Tensor] = field(default_factory=dict)
    "by criterion: (games, 5) utterances for the agent's message, best first"
    codes: dict[str, Tensor] = field(default_factory=dict)
    "by criterion: (games, 5) codes for what the person said, best first"


@torch.inference_mode()
def translated_play(
    game: ReferenceGame,
    players: Players,
    n_games: int = 1000,
    seed: int = 0,
    settings: TranslationSettings | None = None,
) -> Outcome:
    """Plays test rounds natively and through every translator; raises DescriberError where the model human is deaf.

    A game of recorded rounds may hold fewer than `n_games` to test with; each is then played once.
    """
    settings, rng = settings or TranslationSettings(), np.random.default_rng((seed, 11))
    generator = torch.Generator().manual_seed(seed)
    rounds = game.sample(n_games, "test", rng)
    contexts = torch.cat([game.sample(settings.n_contexts // 2, fold, rng).hypotheses for fold in ("train", "val")])
    outcome = Outcome(rounds)
    sent = players.channel(players.speaker(rounds.candidates), generator)
    _native(players, rounds, sent, outcome, 1 / game.n_candidates)
    met = game.sample(settings.n_codes, "val", rng).candidates
    codes = players.channel(players.speaker(met), generator)
    means, lexicon = players.speaker(contexts), human_log_likelihood(players, contexts)
    ours = gaussian_log_likelihood(torch.cat((sent, codes)), means, DEVIATION)
    into_words, into_codes = (ours[: len(rounds)], lexicon), (lexicon, ours[len(rounds) :])
    for criterion in CRITERIA:
        outcome.said[criterion] = _translated(*into_words, criterion, seed, settings)
        codes_of = _translated(*into_codes, criterion, seed, settings)
        outcome.codes[criterion] = codes_of[rounds.utterance]
        if criterion == "random":  # anew for every game: there are few utterances, and one draw of each says little
            outcome.codes[criterion] = torch.rand(len(rounds), len(codes), generator=generator).topk(max(KS), 1).indices
        for k in KS:
            _through(players, rounds, codes, criterion, k, outcome)
    return outcome


def human_log_likelihood(players: Players, hypotheses: Tensor) -> Tensor:
    """log p(utterance | state) of the model human: (utterances, contexts, hypotheses)."""
    return normalised(players.human_speaker(hypotheses).movedim(-1, 0).contiguous())


def _translated(source: Tensor, target: Tensor, criterion: str, seed: int, settings: TranslationSettings) -> Tensor:
    found = translate(
        source,
        target,
        criterion=criterion,  # type: ignore[arg-type]
        k=max(KS),
        seed=seed,
        direction=settings.direction,  # type: ignore[arg-type]
        weights=settings.weights,  # type: ignore[arg-type]
        lapse=settings.lapse,
    )
    return found.indices


def _native(players: Players, rounds: Rounds, sent: Tensor, outcome: Outcome, chance: float) -> None:
    """Everyone with their own kind."""
    n_utterances = players.human_speaker.words.shape[0]
    said = F.one_hot(rounds.utterance, n_utterances).float()
    outcome.wins["R", "R", NATIVE, 1] = belief_choice(players.listener(rounds.candidates, sent))
    outcome.wins["H", "H", NATIVE, 1] = belief_choice(players.human_listener(rounds.candidates, said))
    own = outcome.wins["H", "H", NATIVE, 1].mean()
    if own < chance + MARGIN:
        raise DescriberError(
            f"a model human must understand people better than chance ({chance:.2f}). Got {own:.3f} of the games. "
            "Train it longer, or with another seed."
        )
    of_agent, of_human = _in_rounds(players, rounds, sent[:, None]), _said_in_rounds(players, rounds)
    outcome.beliefs["R", "R", NATIVE, 1] = belief_choice(of_agent[:, 0])
    rows = torch.arange(len(rounds))
    outcome.beliefs["H", "H", NATIVE, 1] = belief_choice(of_human[rows, rounds.utterance])


def _through(players: Players, rounds: Rounds, codes: Tensor, criterion: str, k: int, outcome: Outcome) -> None:
    """Both ways through one translator."""
    n_utterances, rows = players.human_speaker.words.shape[0], torch.arange(len(rounds))[:, None]
    said = outcome.said[criterion][:, :k]  # (games, k)
    heard = F.one_hot(said, n_utterances).float().mean(1)
    outcome.wins["R", "H", criterion, k] = belief_choice(players.human_listener(rounds.candidates, heard))
    believed = _said_in_rounds(players, rounds)[rows, said].log_softmax(-1).logsumexp(1)
    outcome.beliefs["R", "H", criterion, k] = belief_choice(believed)
    sent = codes[outcome.codes[criterion][:, :k]]  # (games, k, size)
    outcome.wins["H", "R", criterion, k] = belief_choice(players.listener(rounds.candidates, sent.mean(1)))
    believed = _in_rounds(players, rounds, sent).log_softmax(-1).logsumexp(1)
    outcome.beliefs["H", "R", criterion, k] = belief_choice(believed)


def _in_rounds(players: Players, rounds: Rounds, messages: Tensor) -> Tensor:
    """log p(message | state) of messages (games, k, size) in their own rounds; a shift is left out."""
    means = players.speaker(rounds.hypotheses)  # (games, hypotheses, size)
    return -(messages[:, :, None] - means[:, None]).square().sum(-1) / (2 * DEVIATION**2)


def _said_in_rounds(players: Players, rounds: Rounds) -> Tensor:
    """log p(utterance | state): (games, utterances, hypotheses)."""
    return players.human_speaker(rounds.hypotheses).transpose(1, 2)
