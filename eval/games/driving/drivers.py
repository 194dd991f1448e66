"""All that plays and speaks in the driving game, as one thing that is trained, saved and carried along.

drivers = Drivers.carried(seed=0)                        # or Drivers.load(folder), Drivers.learnt(robot, games, 0)
drivers.robot, drivers.speaker, drivers.humans, drivers.lexicon
drivers.save(folder, {"recipe": ...})                    # model.safetensors, half floats, and config.json
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from describer.errors import WeightsError
from describer.eval.games.driving.driver import Driver
from describer.eval.games.driving.humans import Humans, imitate
from describer.eval.games.driving.logs import Game, Lexicon
from describer.eval.games.driving.speech import RobotSpeaker

CARRIED = Path(__file__).parent / "weights"
WEIGHTS, ABOUT = "model.safetensors", "config.json"


@dataclass(frozen=True)
class Drivers:
    """A robot and a model human, both with what they mean by what they say."""

    robot: Driver
    speaker: RobotSpeaker
    humans: Humans
    lexicon: Lexicon

    @classmethod
    def learnt(cls, robot: Driver, lexicon: Lexicon, games: Sequence[Game], seed: int, steps: int = 600) -> "Drivers":
        """A trained robot with its speaker model, beside a human who imitates these games."""
        speaker = RobotSpeaker.learnt(robot, seed, steps=steps)
        return cls(robot.eval(), speaker, imitate(games, lexicon, seed, steps=steps), lexicon)

    def _modules(self) -> nn.ModuleDict:
        return nn.ModuleDict({"robot": self.robot, "speaker": self.speaker, "humans": self.humans})

    def save(self, folder: str | Path, about: dict[str, Any]) -> None:
        """Writes the weights and, beside what ``about`` tells, what is needed to read them."""
        folder = Path(folder)
        sizes = {"hidden": self.robot.hidden, "message": self.robot.message}
        told = {**about, "sizes": sizes, "lexicon": [" ".join(term) for term in self.lexicon.terms]}
        save_file({name: value.half() for name, value in self._modules().state_dict().items()}, folder / WEIGHTS)
        (folder / ABOUT).write_text(json.dumps(told, indent=1, ensure_ascii=False), encoding="utf-8")

    @classmethod
    def load(cls, folder: str | Path) -> "Drivers":
        """What was saved; WeightsError where that is not to be had."""
        folder = Path(folder)
        try:
            told = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
            lexicon = Lexicon(tuple(tuple(term.split()) for term in told["lexicon"]))
            sizes = told["sizes"]
            drivers = cls(Driver(**sizes), RobotSpeaker(sizes["message"]), Humans(len(lexicon)), lexicon)
            kept = {name: value.float() for name, value in load_file(folder / WEIGHTS).items()}
            drivers._modules().load_state_dict(kept)
        except (OSError, ValueError, KeyError, RuntimeError, TypeError, SafetensorError) as fault:
            raise WeightsError(
                f"{folder} must hold the drivers' {WEIGHTS} and {ABOUT}. Got {type(fault).__name__}. Train them anew."
            ) from fault
        drivers._modules().eval()
        return drivers

    @classmethod
    def carried(cls, seed: int) -> "Drivers":
        """The drivers the package carries, of this seed, or of another that stands for it."""
        return cls.load(CARRIED / f"seed-{carried_seed(seed)}")


def carried_seed(seed: int) -> int:
    """Which carried drivers stand for a seed."""
    there = sorted(int(path.name.removeprefix("seed-")) for path in CARRIED.glob("seed-*"))
    if not there:
        raise WeightsError(f"drivers must lie in {CARRIED}. Got none there. Install the package again.")
    return there[seed % len(there)]
