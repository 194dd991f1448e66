"""Runs images through a model once and finds what every unit of the chosen layers responds to most.

    inputs = images.inputs(target.preprocess)
    result = probe(target.model, inputs, ["layer3", "layer4"], ProbeSettings(k=15))
    result.exemplars["layer4"].masks(112, positions=[483])
    result.skipped                                   # indices of images that could not be read

One pass for all layers, in memory that does not grow with the images beyond the thresholds' (see `quantile`). The
model is left as it was. Under `accelerate launch` every process probes its share and all return the same result.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Int64
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from describer.directions import Directions, Moments, random_directions
from describer.errors import DescriberError, ImagesError, TargetError
from describer.exemplars import Exemplars
from describer.hooks import observed
from describer.layout import UnitLayout, run, unit_layout
from describer.processes import Processes
from describer.responses import ResponseFile, Responses, Watch, gathered
from describer.tally import ProbeSettings, Tally

Units = Mapping[str, Sequence[int]] | Sequence[int] | None
Progress = Callable[[int, int], None]
Scales = dict[str, tuple[Tensor, Tensor]]
"Layer -> mean and deviation of its units."

MEASURED = 64
"Images that tell the units' means and deviations before random directions are drawn; they go through the model twice."


@dataclass(frozen=True)
class ProbeResult:
    """What one pass over the images has shown."""

    exemplars: dict[str, Exemplars]
    "by layer, in the order asked for"
    n_images: int
    "images that went through the model"
    skipped: list[int]
    "indices of images that could not be read"
    random: dict[str, Exemplars] = field(default_factory=dict)
    "of random directions, where images were watched"
    parts: list[tuple[list[int], dict[str, Path]]] = field(default_factory=list)
    "every process's watched images, and its files of what the layers answered on them"

    def responses(self, layer: str) -> Responses:
        """What the layer's units and directions answered on the watched images; once, as the files are deleted."""
        parts = [(images, files[layer]) for images, files in self.parts if layer in files]
        return gathered(layer, self.exemplars[layer].unit_ids, len(self.random[layer]), parts)


@dataclass
class Share:
    """What one process has gathered."""

    tallies: dict[str, Tally] = field(default_factory=dict)
    skipped: list[int] = field(default_factory=list)
    fault: DescriberError | None = None
    random: dict[str, Tally] = field(default_factory=dict)
    parts: list[tuple[list[int], dict[str, Path]]] = field(default_factory=list)


def probe(
    model: nn.Module,
    inputs: Dataset[tuple[int, Tensor | None]],
    layers: Sequence[str],
    settings: ProbeSettings | None = None,
    units: Units = None,
    progress: Progress | None = None,
    watch: Watch | None = None,
) -> ProbeResult:
    """Exemplars of the layers' units over all inputs, a dataset with a length that yields (index, tensor or None).

    `units` picks unit indices, for every layer or by layer. `progress(done, all)` is called after each batch with the
    numbers of this process's images. Images that `watch` names give no exemplars: what units answer on them is kept,
    and random directions get exemplars too. Raises ImagesError for fewer readable images than k, ActivationError for
    NaN, TargetError for layers without units or a model that does not take the inputs.
    """
    settings, layers = settings or ProbeSettings(), list(dict.fromkeys(layers))
    n_inputs = len(inputs)  # type: ignore[arg-type]
    n_ranked = n_inputs - len(watch.images if watch else ())
    if settings.k > n_ranked:
        message = f"k must be at most the number of images. Got k={settings.k} and {n_ranked} image(s)"
        raise ImagesError(f"{message}. Lower k or add images.")
    processes = Processes.current()
    run_through = _Pass(model, layers, settings, units, n_inputs, watch)
    try:
        if watch is not None:
            run_through.measure(inputs, processes)
        share = run_through.over(inputs, processes, progress)
    except DescriberError as fault:
        share = Share(fault=fault)
    shares = processes.gather(_portable(share) if processes.count > 1 else share)
    whole = processes.share(_joined(shares) if shares is not None else None)
    assert whole is not None
    if whole.fault is not None:
        raise whole.fault
    return _result(whole, layers, settings, n_inputs)


class _Pass:
    """One process's run over its share of the inputs."""

    def __init__(
        self,
        model: nn.Module,
        layers: Sequence[str],
        settings: ProbeSettings,
        units: Units,
        n_inputs: int,
        watch: Watch | None = None,
    ):
        self.model, self.layers, self.settings, self.units, self.n_inputs = model, layers, settings, units, n_inputs
        self.device = next((p.device for p in (*model.parameters(), *model.buffers())), torch.device("cpu"))
        self.watch, self.watched, self.scales = watch, frozenset(watch.images if watch else ()), Scales()
        self.images = torch.zeros(0, dtype=torch.int64)
        self.shape: tuple[int, ...] = ()
        self.seen: list[str] = []
        self.layouts: dict[str, UnitLayout] = {}
        self.directions: dict[str, Directions] = {}
        self.files: dict[str, ResponseFile] = {}
        self.share = Share()

    def measure(self, inputs: Dataset[tuple[int, Tensor | None]], processes: Processes) -> None:
        """Means and deviations of the layers' units over some of the images that give exemplars, on every process."""
        fault: DescriberError | None = None
        if processes.index == 0:
            try:
                self.scales = self._measured(inputs)
            except DescriberError as error:
                fault = error
        fault, self.scales = processes.share((fault, self.scales))
        if fault is not None:
            raise fault

    def _measured(self, inputs: Dataset[tuple[int, Tensor | None]]) -> Scales:
        _refuse_unknown(self.model, self.layers)
        ranked = [index for index in range(self.n_inputs) if index not in self.watched]
        step = max(len(ranked) // MEASURED, 1)
        moments = {name: Moments() for name in self.layers}

        def see(name: str, output: Any) -> None:
            moments[name].add(self._layout(name, output)(output))

        chosen = ranked[::step][:MEASURED]
        batches = [chosen[start : start + self._size] for start in range(0, len(chosen), self._size)]
        with observed(self.model, self.layers, see), self._precision():
            for images, batch, _ in DataLoader(inputs, batch_sampler=batches, collate_fn=_collate):
                if len(images):
                    self._run(batch)
        if not self.shape:
            raise ImagesError("Images must be readable. Got none that are. Check the path.")
        return {name: each.result() for name, each in moments.items()}

    def over(
        self, inputs: Dataset[tuple[int, Tensor | None]], processes: Processes, progress: Progress | None
    ) -> Share:
        """Runs this process's batches through the model."""
        _refuse_unknown(self.model, self.layers)
        mine, self.process = self._batches(processes), processes.index
        loader = DataLoader(
            inputs,
            batch_sampler=mine,
            collate_fn=_collate,
            num_workers=self.settings.workers,
            pin_memory=self.device.type == "cuda",
        )
        done, everything, judged = 0, sum(map(len, mine)), []
        try:
            with observed(self.model, self.layers, self._see), self._precision():
                for images, batch, unreadable in loader:
                    self.share.skipped += unreadable
                    if len(images):
                        self._take(images, batch)
                        judged += [image for image in images.tolist() if image in self.watched]
                    done += len(images) + len(unreadable)
                    if progress is not None:
                        progress(done, everything)
        finally:
            for file in self.files.values():
                file.close()
        if self.watch is not None:
            self.share.parts = [(judged, {name: file.path for name, file in self.files.items()})]
        return self.share

    @property
    def _size(self) -> int:
        if self.settings.batch_size is not None:
            return self.settings.batch_size
        is_latent = getattr(self.model, "latent_shape", None) is not None
        return 64 if is_latent or self.device.type != "cpu" else 16

    def _batches(self, processes: Processes) -> list[list[int]]:
        """This process's batches, in the order of the set; none has both images to rank and images to watch."""
        kinds = [[i for i in range(self.n_inputs) if (i in self.watched) == watched] for watched in (False, True)]
        batches = [
            batch
            for kind in kinds
            for batch in [kind[i : i + self._size] for i in range(0, len(kind), self._size)][
                processes.index :: processes.count
            ]
        ]
        return sorted(batches)

    def _take(self, images: Int64[Tensor, " batch"], batch: list[Tensor] | Tensor) -> None:
        """One forward pass; every layer must have been run once."""
        self.images, self.seen = images, []
        self._run(batch)
        for name in self.layers:
            times = self.seen.count(name)
            if times != 1:
                message = f"Layer {name!r} must run once in a forward pass. Got {times} runs"
                raise TargetError(f"{message}. Choose a layer around it or within it.")

    def _run(self, batch: list[Tensor] | Tensor) -> None:
        if isinstance(batch, list):
            shapes = " and ".join(sorted({str(tuple(x.shape)) for x in batch}))
            raise TargetError(
                f"preprocess must give tensors of one shape. Got {shapes}. Resize or crop to a fixed size."
            )
        self.shape = tuple(batch.shape[1:])
        run(self.model, batch.to(self.device, non_blocking=True))

    def _see(self, name: str, output: Any) -> None:
        self.seen.append(name)
        if self.seen.count(name) > 1:
            return  # told after the pass
        layout = self._layout(name, output)
        ids = _unit_ids(name, layout.units, self.units)
        if self.watch is not None and name not in self.directions:
            self.directions[name] = random_directions(
                name, layout, *self.scales[name], self.watch.directions, self.watch.seed
            )
        if self.watch is not None and int(self.images[0]) in self.watched:
            if name not in self.files:
                self.files[name] = ResponseFile(self.watch, name, self.process)
            self.files[name].add(layout(output)[:, ids.to(self.device)], self.directions[name](output))
            return
        for share, of in ((self.share.tallies, layout), (self.share.random, self.directions.get(name))):
            if of is not None:
                if name not in share:
                    wanted = ids if of is layout else torch.arange(of.units)
                    share[name] = Tally(name, of, wanted, self.settings, self.n_inputs, self.device)
                share[name].add(self.images, output)

    def _layout(self, name: str, output: Any) -> UnitLayout:
        if name not in self.layouts:
            self.layouts[name] = unit_layout(self.model, name, output, self.shape)
        return self.layouts[name]

    def _precision(self) -> AbstractContextManager[Any]:
        if self.settings.bf16 and self.device.type == "cuda":
            return torch.autocast("cuda", torch.bfloat16)
        return nullcontext()


def _collate(samples: list[tuple[int, Tensor | None]]) -> tuple[Tensor, Tensor | list[Tensor], list[int]]:
    """Indices and inputs of the readable samples, and the indices of the others; inputs of unlike shapes as a list."""
    found = [(index, x) for index, x in samples if x is not None]
    unreadable = [index for index, x in samples if x is None]
    images = torch.tensor([index for index, _ in found], dtype=torch.int64)
    inputs = [x for _, x in found]
    return images, torch.stack(inputs) if len({x.shape for x in inputs}) == 1 else inputs, unreadable


def _unit_ids(layer: str, n_units: int, units: Units) -> Int64[Tensor, " units"]:
    """The units of a layer that are wanted, in order."""
    if units is None:
        return torch.arange(n_units)
    named = isinstance(units, Mapping)
    wanted = sorted(set(units.get(layer, range(n_units)) if isinstance(units, Mapping) else units))
    fitting = [unit for unit in wanted if 0 <= unit < n_units]
    if not fitting or (named and fitting != wanted):
        message = f"Units of layer {layer!r} must lie in 0..{n_units - 1}. Got {wanted[:1]}..{wanted[-1:]}"
        raise TargetError(f"{message}. Choose others.")
    return torch.tensor(fitting)


def _refuse_unknown(model: nn.Module, layers: Sequence[str]) -> None:
    names = [name for name, _ in model.named_modules() if name]
    if not layers:
        raise TargetError("At least one layer must be probed. Got none. Name some; `describer layers` lists them.")
    for layer in layers:
        if layer not in names:
            near = ", ".join(get_close_matches(layer, names, 3, 0.4) or names[:5])
            raise TargetError(f"A layer must be one of the model's modules. Got {layer!r}. The nearest: {near}.")


def _portable(share: Share) -> Share:
    """The share with its tensors in main memory, as other processes have other devices."""
    tallies, random = ({name: tally.to_cpu() for name, tally in of.items()} for of in (share.tallies, share.random))
    return Share(tallies, share.skipped, share.fault, random, share.parts)


def _joined(shares: list[Share]) -> Share:
    """All processes' shares as one; the first fault stands for all."""
    whole = Share(skipped=sorted(index for share in shares for index in share.skipped))
    whole.fault = next((share.fault for share in shares if share.fault is not None), None)
    whole.parts = [part for share in shares for part in share.parts]
    if whole.fault is None:
        for share in shares:
            for theirs, ours in ((share.tallies, whole.tallies), (share.random, whole.random)):
                for name, tally in theirs.items():
                    if name in ours:
                        ours[name].merge(tally)
                    else:
                        ours[name] = tally
    return whole


def _result(whole: Share, layers: Sequence[str], settings: ProbeSettings, n_inputs: int) -> ProbeResult:
    n_images = n_inputs - len(whole.skipped)
    n_ranked = n_images - sum(len(images) for images, _ in whole.parts)
    if n_ranked < settings.k:
        message = f"k must be at most the number of readable images. Got k={settings.k} and {n_ranked} of {n_inputs}"
        raise ImagesError(f"{message}. Lower k or replace the unreadable ones.")
    found = ({name: of[name].exemplars() for name in layers if name in of} for of in (whole.tallies, whole.random))
    exemplars, random = found
    return ProbeResult(exemplars, n_images, whole.skipped, random, whole.parts)
