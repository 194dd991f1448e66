"""Lays what units fire on over labelled pictures: which pixels of which concepts are under every unit's mask.

    concepts = load_concepts("clothing/,textures/,colors")
    dissection = dissect(target, concepts, ["layer3", "layer4"], "atlas/concepts")
    search_formulas(dissection.table, dissection.layer("layer4").counts, max_length=3)

Two passes over the labelled pictures, each for all layers at once: thresholds first (the .995 quantile of a unit's
activations: Bau et al. 2017), then masks, enlarged to `size` cells a side and counted by signature. Labels are cropped
and resized as the target's preprocessing does with the pictures. What is finished is not done again.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.utils.data import DataLoader

from describer.data.concepts import ConceptSet
from describer.describe import Target
from describer.errors import ImagesError
from describer.exemplars import Exemplars
from describer.frame import InputFrame
from describer.hooks import observed
from describer.layout import UnitLayout, run, unit_layout
from describer.probe import ProbeSettings, Units, probe
from describer.processes import Processes
from describer.search.chance import draw_shifts
from describer.search.counts import MaskCounter, UnitCounts
from describer.search.dissection import Dissection, LayerDissection
from describer.search.sampled import KeptGround, SampledLabels
from describer.search.signatures import SignatureTable
from describer.upsample import upsample

Progress = Callable[[str, int, int], None]
AT_ONCE = 256
"Masks in memory at a time, 50 kB each at 112 cells a side while they are enlarged."


@dataclass(frozen=True)
class DissectSettings:
    """How units are laid over labels."""

    quantile: float = 0.995
    "share of a unit's activations at or below its threshold (Bau et al. 2017: .995)"
    size: int = 112
    "cells of the longer side of the grid on which masks and labels meet (Broden: 112)"
    k: int = 16
    "strongest pictures kept of every unit, to show where form and unit agree"
    n_shifts: int = 9
    "times that masks are laid on the labels of other pictures, to learn what chance gives; p is at least 1/(n + 1)"
    seed: int = 0
    "of the choice of the other pictures"
    batch_size: int = 16
    "pictures a forward pass"

    def __post_init__(self) -> None:
        if self.size < 1 or self.k < 1 or self.n_shifts < 0:
            got = f"size={self.size}, k={self.k}, n_shifts={self.n_shifts}"
            raise ImagesError(f"size and k must be at least 1, n_shifts at least 0. Got {got}. Give larger ones.")


def dissection_key(target: Target, concepts: ConceptSet, settings: DissectSettings, units: Units) -> dict[str, Any]:
    """All that changes the answer, for the name of the folder."""
    options = {name: value for name, value in asdict(settings).items() if name != "batch_size"}
    chosen = units if units is None or isinstance(units, Mapping) else list(units)
    return {
        "format": 1,
        "concepts": concepts.source,
        "fingerprint": concepts.fingerprint,
        "model": target.fingerprint,
        "units": chosen,
        **options,
    }


def dissect(
    target: Target,
    concepts: ConceptSet,
    layers: Sequence[str],
    folder: str | Path,
    settings: DissectSettings | None = None,
    units: Units = None,
    progress: Progress | None = None,
    say: Callable[[str], None] | None = None,
) -> Dissection:
    """The dissection of the layers in a folder under `folder`; `say` is told when there are very many signatures.

    Raises ImagesError for labels that cannot be read or that label nothing, TargetError for layers there are none of.
    """
    settings, report, processes = settings or DissectSettings(), progress or _silent, Processes.current()
    key = dissection_key(target, concepts, settings, units)
    dissection = processes.share(Dissection.create(Path(folder), key) if processes.index == 0 else None)
    assert dissection is not None
    todo = processes.share([layer for layer in layers if not dissection.has(layer)])
    if not todo:
        return dissection
    inputs = concepts.images.inputs(target.preprocess)
    options = ProbeSettings(min(settings.k, len(concepts)), settings.quantile, settings.batch_size, bf16=False)
    found = probe(target.model, inputs, todo, options, units, partial(report, "thresholds"))
    skipped = set(found.skipped)
    kept = [index for index in range(len(concepts)) if index not in skipped]
    labels = SampledLabels(concepts, InputFrame(target.preprocess), grid_of(target, settings.size), kept)
    table = _table(dissection, labels, report, say)
    counting = _Counting(target, labels, table, found.exemplars, settings)
    counted = counting.over(inputs, processes, partial(report, "dissecting"))
    if processes.index == 0:
        for layer in counted:
            dissection.write_layer(layer)
    processes.share(None)  # the others wait until all is written
    return dissection


def grid_of(target: Target, size: int) -> tuple[int, int]:
    """Rows and columns of the grid over the model's input; of a generator, over its square picture."""
    if target.preprocess is None or len(target.input_shape) != 3:
        return size, size
    height, width = target.input_shape[-2:]
    longer = max(height, width)
    return max(round(size * height / longer), 1), max(round(size * width / longer), 1)


def _table(
    dissection: Dissection, labels: SampledLabels, report: Progress, say: Callable[[str], None] | None
) -> SignatureTable:
    """The signature table over the labels: the one on the disk, or a new one."""
    processes = Processes.current()
    if processes.share(dissection.has_table(labels.kept)):
        return dissection.table.with_source(labels)
    options: dict[str, Any] = {} if say is None else {"say": say}
    table = SignatureTable.from_source(labels, progress=partial(report, "labels"), **options)
    if not table.areas.sum():
        message = f"Concepts must occur in the pictures. Got no labelled pixel in {len(labels)} of them"
        raise ImagesError(f"{message} ({labels.concepts.source}). Check the label maps and names.")
    images = MaskCounter(KeptGround(table), len(labels))
    whole = np.ones((1, *labels.size), bool)
    for image in range(len(labels)):
        images.add(image, whole, np.array([image]))
    if processes.index == 0:
        dissection.write_table(table, labels.kept, images.result())
    processes.share(None)
    return table


class _Counting:
    """The second pass: masks of all layers, counted by signature."""

    def __init__(
        self,
        target: Target,
        labels: SampledLabels,
        table: SignatureTable,
        exemplars: Mapping[str, Exemplars],
        settings: DissectSettings,
    ) -> None:
        self.model, self.labels, self.exemplars, self.settings = target.model, labels, exemplars, settings
        self.place = {index: place for place, index in enumerate(labels.kept)}
        shifts = draw_shifts(len(labels), settings.n_shifts, settings.seed) if len(labels) > 1 else ()
        self.n_categories = len(table.category_names)
        ground = KeptGround(table)
        self.counters = {layer: MaskCounter(ground, len(found), shifts) for layer, found in exemplars.items()}
        self.fires = {layer: np.zeros((len(labels), len(found)), bool) for layer, found in exemplars.items()}
        self.layouts: dict[str, UnitLayout] = {}
        self.maps: dict[str, Tensor] = {}
        self.shape: tuple[int, ...] = ()

    def over(self, inputs: Any, processes: Processes, progress: Callable[[int, int], None]) -> list[LayerDissection]:
        """Runs this process's pictures through the model; all processes get all counts."""
        size = self.settings.batch_size
        batches = [list(range(i, min(i + size, len(inputs)))) for i in range(0, len(inputs), size)]
        mine = batches[processes.index :: processes.count]
        device = next((p.device for p in self.model.parameters()), torch.device("cpu"))
        done, everything = 0, sum(map(len, mine))
        with observed(self.model, list(self.exemplars), self._see):
            for samples in DataLoader(inputs, batch_sampler=mine, collate_fn=list):
                readable = [(index, x) for index, x in samples if x is not None]
                if readable:
                    batch = torch.stack([x for _, x in readable]).to(device)
                    self.shape = tuple(batch.shape[1:])
                    run(self.model, batch)
                    for row, (index, _) in enumerate(readable):
                        self._count(self.place[int(index)], row)
                done += len(samples)
                progress(done, everything)
        return [self._gathered(layer, processes) for layer in self.exemplars]

    def _see(self, name: str, output: Any) -> None:
        if name not in self.layouts:
            self.layouts[name] = unit_layout(self.model, name, output, self.shape)
        self.maps[name] = self.layouts[name](output).clone()  # what follows may work in place

    def _count(self, image: int, row: int) -> None:
        """The masks of one picture."""
        for layer, exemplars in self.exemplars.items():
            maps = self.maps[layer][row][exemplars.unit_ids.to(self.maps[layer].device)].float()
            threshold = exemplars.threshold.to(maps.device)
            fires = (maps.flatten(1).amax(1) > threshold) & ~exemplars.dead.to(maps.device)
            units = fires.nonzero()[:, 0]
            self.fires[layer][image] = fires.cpu().numpy()
            for part in units.split(AT_ONCE):
                masks = _masks(maps[part], threshold[part], self.labels.size)
                self.counters[layer].add(image, masks, part.cpu().numpy())

    def _gathered(self, layer: str, processes: Processes) -> LayerDissection:
        counter = self.counters[layer]
        counted = [_whole(counts, self.n_categories) for counts in (counter.result(), *counter.shifted())]
        mine = (counted[0], tuple(counted[1:]), self.fires[layer])
        shares = processes.share(processes.gather(mine))
        assert shares is not None
        counts, shifted, fires = shares[0]
        for more, more_shifted, more_fires in shares[1:]:
            counts = counts + more
            shifted = tuple(a + b for a, b in zip(shifted, more_shifted, strict=True))
            fires = fires | more_fires
        return LayerDissection(self.exemplars[layer], counts, shifted, fires)


def _whole(counts: UnitCounts, n_categories: int) -> UnitCounts:
    """The counts with areas of all categories, also where no unit has fired."""
    if counts.category_areas.shape[1] == n_categories:
        return counts
    return UnitCounts(counts.counts, np.zeros((counts.shape[0], n_categories), np.int64))


def _masks(
    maps: Float[Tensor, "units h w"], threshold: Float[Tensor, " units"], size: tuple[int, int]
) -> Bool[np.ndarray, "units height width"]:
    """Where enlarged maps are above the thresholds."""
    return (upsample(maps, size) > threshold[:, None, None]).cpu().numpy()


def _silent(stage: str, done: int, total: int) -> None:
    """Progress for nobody."""
