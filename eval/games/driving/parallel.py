"""The driving game as a PettingZoo environment, for everybody's learners: agents car_0 and car_1 move at once.

    environment = DrivingParallel()
    seen, _ = environment.reset(seed=0)                      # {"car_0": 138 + 64 numbers, "car_1": ...}
    seen, rewards, ended, stopped, _ = environment.step({"car_0": (1, message), "car_1": (0, message)})

An action is one of stay, forward, left, right and a message of length at most 1 in every number; it is heard, with the
channel's noise, in the other car's next observation. Both cars get the reward of the game. Needs pettingzoo.
"""

from typing import Any, ClassVar

import numpy as np
from gymnasium import spaces
from jaxtyping import Float
from pettingzoo import ParallelEnv

from describer.eval.games.driving.driver import N_CODES, NOISE, observe
from describer.eval.games.driving.world import ACTIONS, HORIZON, Traffic, begin, drive

AGENTS = ("car_0", "car_1")
Action = tuple[int | np.integer, np.ndarray]


class DrivingParallel(ParallelEnv):
    """One game at a time; for many at once use `world.drive`."""

    metadata: ClassVar[dict[str, Any]] = {"name": "driving_v0", "render_modes": ["rgb_array"]}
    render_mode = "rgb_array"

    def __init__(self, message: int = 64, noise: float = NOISE, maps: tuple[int, ...] = (0, 1, 2, 3, 4)) -> None:
        self.message, self.noise, self.maps = message, noise, maps
        self.possible_agents = list(AGENTS)
        self.agents: list[str] = []
        said = spaces.Box(-1, 1, (message,), np.float32)
        self._sees = {agent: spaces.Box(-np.inf, np.inf, (N_CODES + message,), np.float32) for agent in AGENTS}
        self._acts = {agent: spaces.Tuple((spaces.Discrete(len(ACTIONS)), said)) for agent in AGENTS}
        self._rng = np.random.default_rng()
        self._traffic: Traffic | None = None
        self._steps = 0

    def observation_space(self, agent: str) -> spaces.Space:
        """One-hot codes of the own car, then what was heard."""
        return self._sees[agent]

    def action_space(self, agent: str) -> spaces.Space:
        """What is done, and what is said."""
        return self._acts[agent]

    def reset(
        self, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, np.ndarray], dict[str, dict]]:
        """A new game; ``options`` are not used."""
        if seed is not None:
            self._rng = np.random.default_rng(seed)
        self._traffic, self._steps, self.agents = begin(1, self._rng, self.maps), 0, list(AGENTS)
        return self._seen(np.zeros((2, self.message), np.float32)), {agent: {} for agent in AGENTS}

    def step(
        self, actions: dict[str, Action]
    ) -> tuple[dict[str, np.ndarray], dict[str, float], dict[str, bool], dict[str, bool], dict[str, dict]]:
        """Both cars at once; what an arrived car does is not asked, but it may speak."""
        assert self._traffic is not None and self.agents, "reset comes first"
        done = np.array([[int(actions[agent][0]) for agent in AGENTS]])
        said = np.stack([np.asarray(actions[agent][1], np.float32) for agent in AGENTS])
        self._traffic, outcome = drive(self._traffic, done)
        self._steps += 1
        heard = said[::-1] + self.noise * self._rng.standard_normal(said.shape).astype(np.float32)
        over, late = bool(outcome.over[0]), self._steps >= HORIZON
        if over or late:
            self.agents = []
        told = {"completed": bool(outcome.completed[0]), "crashed": bool(outcome.crashed[0])}
        return (
            self._seen(heard),
            dict.fromkeys(AGENTS, float(outcome.reward[0])),
            dict.fromkeys(AGENTS, over),
            dict.fromkeys(AGENTS, late and not over),
            {agent: dict(told) for agent in AGENTS},
        )

    def render(self) -> np.ndarray:
        """The map as it is, (height, width, 3) uint8."""
        from describer.eval.games.driving.roadmap import draw_map

        assert self._traffic is not None, "reset comes first"
        return np.asarray(draw_map(self._traffic))

    def _seen(self, heard: Float[np.ndarray, "2 message"]) -> dict[str, np.ndarray]:
        assert self._traffic is not None
        codes = observe(self._traffic)[0].numpy()
        one_hot = np.zeros((2, N_CODES), np.float32)
        np.put_along_axis(one_hot, codes, 1, axis=1)
        return dict(zip(AGENTS, np.concatenate([one_hot, heard], 1, dtype=np.float32), strict=True))
