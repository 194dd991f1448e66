"""The inventory: phrases people wrote, kept beside the weights, from which candidates are shortlisted.

inventory = Inventory(["dogs", "striped objects"])
inventory.save(folder); Inventory.load(folder).phrases
"""

from collections.abc import Sequence
from pathlib import Path

FILE = "inventory.txt"


class Inventory:
    """Distinct phrases, most frequent first."""

    def __init__(self, phrases: Sequence[str]) -> None:
        self.phrases = list(dict.fromkeys(phrases))

    def __len__(self) -> int:
        return len(self.phrases)

    def save(self, folder: str | Path) -> None:
        """One phrase a line."""
        (Path(folder) / FILE).write_text("".join(f"{phrase}\n" for phrase in self.phrases), encoding="utf-8")

    @classmethod
    def load(cls, folder: str | Path) -> "Inventory":
        """The phrases that ``save`` wrote; none where the folder has no inventory."""
        path = Path(folder) / FILE
        return cls(path.read_text(encoding="utf-8").split("\n")[:-1] if path.is_file() else [])
