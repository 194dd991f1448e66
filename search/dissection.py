"""What a dissection has found, on the disk: forms can be searched in it again without the model or the pictures.

    dissection = Dissection.open("atlas/concepts/1f0c…")
    layer = dissection.layer("layer4")
    search_formulas(dissection.table, layer.counts, max_length=5)

Folder: about.json (concepts, settings), table.safetensors, images.safetensors (pixels a picture and signature), and for
each layer its counts, the counts of shifted masks, and what the units fire on. A layer's exemplars are written last.
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import torch
from jaxtyping import Bool
from safetensors.torch import load_file, save_file

from describer.errors import AtlasError
from describer.exemplars import Exemplars
from describer.files import PART, disk_faults, renamed, write_atomically
from describer.search.counts import UnitCounts
from describer.search.signatures import SignatureTable


@dataclass(frozen=True, eq=False)
class LayerDissection:
    """The units of one layer against all concepts."""

    exemplars: Exemplars
    "of the labelled pictures, with the dissection's thresholds; images are indices into the concept set"
    counts: UnitCounts
    "pixels of every unit's mask by signature"
    shifted: tuple[UnitCounts, ...]
    "the same for masks laid on the labels of other pictures: chance"
    fires: Bool[np.ndarray, "images units"]
    "whether the unit is above its threshold anywhere in the picture"


class Dissection:
    """A folder with a signature table and the counts of layers."""

    def __init__(self, folder: Path, about: dict[str, Any]) -> None:
        self.folder, self.about = folder, about
        self._table: SignatureTable | None = None

    @classmethod
    def create(cls, parent: Path, key: dict[str, Any]) -> "Dissection":
        """The dissection with this key in `parent`, new or begun before; how the concepts were named does not count."""
        telling = {name: value for name, value in key.items() if name != "concepts"}
        digest = hashlib.sha256(json.dumps(telling, sort_keys=True).encode()).hexdigest()
        folder = parent / digest[:16]
        with disk_faults(folder):
            folder.mkdir(parents=True, exist_ok=True)
            for part in folder.glob(f"{PART}*"):
                part.unlink()
            if not (folder / "about.json").exists():
                write_atomically(folder / "about.json", json.dumps(key, indent=1).encode())
        return cls.open(folder)

    @classmethod
    def open(cls, folder: str | Path) -> "Dissection":
        """The dissection in a folder; AtlasError where there is none."""
        try:
            return cls(Path(folder), json.loads((Path(folder) / "about.json").read_text(encoding="utf-8")))
        except (OSError, ValueError) as fault:
            message = f"{folder} must hold a dissection. Got {type(fault).__name__}: {fault}"
            raise AtlasError(f"{message}. Describe with --concepts.") from fault

    @property
    def table(self) -> SignatureTable:
        """The signature table of the labelled pictures."""
        if self._table is None:
            self._table = SignatureTable.load(self.folder / "table.safetensors")
        return self._table

    @property
    def kept(self) -> list[int]:
        """Indices in the concept set of the table's pictures."""
        return json.loads((self.folder / "kept.json").read_text(encoding="utf-8"))

    def has_table(self, kept: list[int]) -> bool:
        """Whether the table of these pictures is on the disk."""
        file = self.folder / "kept.json"
        return file.exists() and self.kept == kept

    def write_table(self, table: SignatureTable, kept: list[int], images: UnitCounts) -> None:
        """Keep the table and each picture's pixels by signature."""
        with disk_faults(self.folder):
            for name, part in (("table", table), ("images", images)):
                with renamed(self.folder / f"{name}.safetensors") as path:
                    part.save(path)
            write_atomically(self.folder / "kept.json", json.dumps(kept).encode())
        self._table = table

    def images(self) -> UnitCounts:
        """Pixels of every picture by signature, a picture a row."""
        return UnitCounts.load(self.folder / "images.safetensors")

    def has(self, layer: str) -> bool:
        """Whether a layer is finished."""
        return self._file(layer, "exemplars").exists()

    @property
    def layers(self) -> list[str]:
        """Names of the finished layers, in alphabetical order."""
        found = self.folder.glob("*.exemplars.safetensors")
        return sorted(Exemplars.load(path).layer for path in found)

    def write_layer(self, layer: LayerDissection) -> None:
        """Keep one layer; its exemplars, which mark it as finished, are written last."""
        name = layer.exemplars.layer
        with disk_faults(self.folder):
            with renamed(self._file(name, "counts")) as path:
                layer.counts.save(path)
            for number, counts in enumerate(layer.shifted):
                with renamed(self._file(name, f"shifted-{number}")) as path:
                    counts.save(path)
            with renamed(self._file(name, "fires")) as path:
                save_file({"bits": torch.from_numpy(np.packbits(layer.fires, axis=0))}, path)
            with renamed(self._file(name, "exemplars")) as path:
                layer.exemplars.save(path)

    def layer(self, name: str) -> LayerDissection:
        """A finished layer; AtlasError where it is not."""
        if not self.has(name):
            raise AtlasError(f"{self.folder} must have the layer. Got {name!r}, not dissected. Repeat the command.")
        exemplars = Exemplars.load(self._file(name, "exemplars"))
        n_shifted = sum(
            1 for _ in self.folder.glob(f"{self._file(name, 'shifted-').name.removesuffix('.safetensors')}*")
        )
        shifted = tuple(UnitCounts.load(self._file(name, f"shifted-{number}")) for number in range(n_shifted))
        bits = load_file(self._file(name, "fires"))["bits"].numpy()
        fires = np.unpackbits(bits, axis=0, count=len(self.kept)).astype(bool)
        return LayerDissection(exemplars, UnitCounts.load(self._file(name, "counts")), shifted, fires)

    def _file(self, layer: str, what: str) -> Path:
        return self.folder / f"{quote(layer, safe='')}.{what}.safetensors"


def open_dissections(atlas: str | Path) -> list[Dissection]:
    """The dissections in an atlas, in the order of their folders' names."""
    return [Dissection.open(path.parent) for path in sorted(Path(atlas, "concepts").glob("*/about.json"))]
