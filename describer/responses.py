"""What units, and random directions of their layer, answer on the images that judge descriptions.

    watch = Watch(judging, folder, directions=100)       # given to `probe`: rows go to the disk as they come
    responses = gathered("layer4", watch, …)             # one layer at a time
    responses.save(path); Responses.load(path)
    responses.peaks[3]                                   # (images,) unit 3's maximum over places on every image
    responses.random_means                               # (directions, images) the mean over places

Exemplars come from the other images alone: what a text is made from cannot judge it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import numpy as np
import torch
from jaxtyping import Float, Int64
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from describer.errors import ActivationError, AtlasError
from describer.files import PART

FORMAT = "describer-responses-1"
STRONGEST = 4
"Judging images a unit of which the atlas keeps a thumbnail, so that its pages can show what its score rests on."
_TENSORS = ("unit_ids", "images", "peaks", "means", "random_peaks", "random_means")


@dataclass(frozen=True)
class Watch:
    """Which images judge, and where what units answer on them is put while the probe runs."""

    images: tuple[int, ...]
    "indices of the probe set that judge, ascending; all others give exemplars"
    folder: Path
    "rows are streamed to files in it that nobody keeps"
    directions: int = 100
    "random directions of every layer"
    seed: int = 0
    "of the directions"


@dataclass(frozen=True, eq=False)
class Responses:
    """One layer's answers; rows are units or directions, columns the images that judge."""

    layer: str
    unit_ids: Int64[Tensor, " units"]
    images: Int64[Tensor, " images"]
    "indices into the probe set, ascending; unreadable ones are left out"
    peaks: Float[Tensor, "units images"]
    "maximum over places"
    means: Float[Tensor, "units images"]
    "mean over places"
    random_peaks: Float[Tensor, "directions images"]
    random_means: Float[Tensor, "directions images"]

    def rows(self, unit_ids: Int64[Tensor, " some"]) -> "Responses":
        """Those of some units, in the order given; the directions stay."""
        place = {unit: row for row, unit in enumerate(self.unit_ids.tolist())}
        at = torch.tensor([place[unit] for unit in unit_ids.tolist()], dtype=torch.int64)
        rows = unit_ids, self.images, self.peaks[at], self.means[at], self.random_peaks, self.random_means
        return Responses(self.layer, *rows)

    def strongest(self, n: int) -> tuple[Int64[Tensor, "units strongest"], Float[Tensor, "units strongest"]]:
        """(images, means): the n images with the highest mean over places of every unit, highest first."""
        means, at = self.means.topk(min(n, len(self.images)), 1)
        return self.images[at], means

    def save(self, path: Path) -> None:
        """Writes one safetensors file."""
        tensors = {name: getattr(self, name).contiguous().cpu().clone() for name in _TENSORS}
        save_file(tensors, path, {"format": FORMAT, "layer": self.layer})

    @classmethod
    def load(cls, path: Path) -> "Responses":
        """Reads what `save` wrote; AtlasError for any other file."""
        try:
            with safe_open(path, "pt") as file:
                about = file.metadata() or {}
                if about.get("format") == FORMAT:
                    return cls(about["layer"], *(file.get_tensor(name) for name in _TENSORS))
        except (OSError, SafetensorError) as fault:
            raise AtlasError(f"{path} must hold responses. Got: {fault}. Describe the model anew.") from fault
        raise AtlasError(f"{path} must be of format {FORMAT}. Got {about.get('format')}. Describe the model anew.")


class ResponseFile:
    """One process's rows of one layer, appended to a file as they come: peaks and means of units, then directions."""

    def __init__(self, watch: Watch, layer: str, process: int = 0) -> None:
        self.layer, self.path = layer, watch.folder / f"{PART}{quote(layer, safe='')}-{process}"
        self._file = self.path.open("wb")

    def add(
        self, maps: Float[Tensor, "batch units height width"], random: Float[Tensor, "batch directions height width"]
    ) -> None:
        """Takes the maps of the next images; ActivationError for NaN and infinite activations."""
        flat = [each.flatten(2).float() for each in (maps, random)]  # a mean of bfloat16 would be bfloat16
        row = torch.cat([pooled for each in flat for pooled in (each.amax(2), each.mean(2))], 1)
        if not bool(torch.isfinite(row).all()):
            message = f"Layer {self.layer!r} must give finite activations. Got others"
            raise ActivationError(f"{message}. Check the weights and preprocess.")
        self._file.write(row.cpu().numpy().tobytes())

    def close(self) -> None:
        """Ends the file; a second call does nothing."""
        self._file.close()


def gathered(
    layer: str,
    unit_ids: Int64[Tensor, " units"],
    n_directions: int,
    parts: Sequence[tuple[Sequence[int], Path]],
) -> Responses:
    """The responses whose rows the processes have put into files, each with the images of its rows; deletes them."""
    n, width = len(unit_ids), 2 * (len(unit_ids) + n_directions)
    images = np.array([image for shown, _ in parts for image in shown], np.int64)
    rows = [np.fromfile(path, np.float32).reshape(len(shown), width) for shown, path in parts if len(shown)]
    order = np.argsort(images, kind="stable")
    table = np.concatenate(rows)[order].T if rows else np.zeros((width, 0), np.float32)
    del rows
    of_image = torch.from_numpy(np.ascontiguousarray(table))
    peaks, means, random_peaks, random_means = of_image.split([n, n, n_directions, n_directions])
    for _, path in parts:
        path.unlink(missing_ok=True)
    return Responses(layer, unit_ids, torch.from_numpy(images[order]), peaks, means, random_peaks, random_means)
