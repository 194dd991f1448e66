"""A reference game as a PettingZoo environment, for agents of any library.

    env = ReferenceEnv(load_game("colors"), fold="train")
    seen, _ = env.reset(seed=0)
    seen, rewards, ended, cut, _ = env.step({"speaker": message, "listener": env.wait})     # the message is under way
    seen, rewards, ended, cut, _ = env.step({"speaker": message, "listener": 1})            # the second one shown

Rules of Andreas 2017: the speaker knows the target (it comes first in what it sees), the listener sees the candidates
in any order; a message is heard a step later, scaled to length 1 and with noise. 1 for both for the target, 0 for
another, -0.1 for waiting, so 0.9 at most; who chooses before anything was heard gets 0. After three steps it is over.
"""

from typing import Any, ClassVar

import numpy as np
from gymnasium.spaces import Box, Dict, Discrete, Space
from pettingzoo import ParallelEnv

from describer.eval.games.agents import DEVIATION, MESSAGE
from describer.eval.games.rounds import Fold, ReferenceGame

SPEAKER, LISTENER = "speaker", "listener"
HORIZON, WAITING = 3, -0.1


class ReferenceEnv(ParallelEnv):
    """One round an episode."""

    metadata: ClassVar[dict[str, Any]] = {"name": "reference_v0", "render_modes": []}

    def __init__(self, game: ReferenceGame, fold: Fold = "train") -> None:
        self.game, self.fold, self.wait = game, fold, game.n_candidates
        self.possible_agents = [SPEAKER, LISTENER]
        self.agents: list[str] = []
        self.render_mode = None
        candidates = Box(-np.inf, np.inf, (game.n_candidates, game.n_features), np.float32)
        heard = Box(-np.inf, np.inf, (MESSAGE,), np.float32)
        self.observation_spaces: dict[str, Space] = {
            SPEAKER: Dict({"candidates": candidates}),
            LISTENER: Dict({"candidates": candidates, "heard": heard, "has_heard": Discrete(2)}),
        }
        self.action_spaces: dict[str, Space] = {
            SPEAKER: Box(-np.inf, np.inf, (MESSAGE,), np.float32),
            LISTENER: Discrete(game.n_candidates + 1),
        }
        self._rng = np.random.default_rng()

    def observation_space(self, agent: str) -> Space:
        """What an agent sees."""
        return self.observation_spaces[agent]

    def action_space(self, agent: str) -> Space:
        """What an agent does: a message, or the place of a candidate; the last number is to wait."""
        return self.action_spaces[agent]

    def reset(self, seed: int | None = None, options: dict | None = None) -> tuple[dict[str, Any], dict[str, dict]]:
        """A new round; `seed` begins the stream of rounds anew."""
        if seed is not None:
            self._rng = np.random.default_rng(seed)
        self.agents, self._steps = [*self.possible_agents], 0
        self._candidates = self.game.sample(1, self.fold, self._rng).candidates[0].numpy()
        self._order = self._rng.permutation(self.game.n_candidates)
        self._heard = np.zeros(MESSAGE, np.float32)
        return self._seen(), {agent: {} for agent in self.agents}

    def step(self, actions: dict[str, Any]) -> tuple[dict, dict, dict, dict, dict]:
        """Everyone acts at once."""
        choice, heard_before = int(actions[LISTENER]), self._steps > 0
        self._steps += 1
        message = np.asarray(actions[SPEAKER], np.float32)
        length = max(float(np.linalg.norm(message)), 1e-12)
        self._heard = (message / length + DEVIATION * self._rng.standard_normal(MESSAGE)).astype(np.float32)
        ended = choice != self.wait
        right = ended and heard_before and self._order[choice] == 0
        reward = float(right) if ended else WAITING
        cut = not ended and self._steps >= HORIZON
        told: tuple[dict, ...] = (
            self._seen(),
            *({agent: value for agent in self.agents} for value in (reward, ended, cut)),
            {agent: {} for agent in self.agents},
        )
        if ended or cut:
            self.agents = []
        return told[0], told[1], told[2], told[3], told[4]

    def _seen(self) -> dict[str, Any]:
        heard = {"heard": self._heard, "has_heard": int(self._steps > 0)}
        return {
            SPEAKER: {"candidates": self._candidates},
            LISTENER: {"candidates": self._candidates[self._order], **heard},
        }
