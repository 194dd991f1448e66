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
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

import torch
from jaxtyping import Int64
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from describer.errors import DescriberError, ImagesError, TargetError
from describer.exemplars import Exemplars
from describer.hooks import observed
from describer.layout import run, unit_layout
from describer.processes import Processes
from describer.tally import ProbeSettings, Tally

Units = Mapping[str, Sequence[int]] | Sequence[int] | None
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class ProbeResult:
    """What one pass over the images has shown."""

    exemplars: dict[str, Exemplars]
    "by layer, in the order asked for"
    n_images: int
    "images that went through the model"
    skipped: list[int]
    "indices of images that could not be read"


@dataclass
class Share:
    """What one process has gathered."""

    tallies: dict[str, Tally]
    skipped: list[int]
    fault: DescriberError | None = None


def probe(
    model: nn.Module,
    inputs: Dataset[tuple[int, Tensor | None]],
    layers: Sequence[str],
    settings: ProbeSettings | None = None,
    units: Units = None,
    progress: Progress | None = None,
) -> ProbeResult:
    """Exemplars of the layers' units over all inputs, a dataset with a length that yields (index, tensor or None).

    `units` picks unit indices, for every layer or by layer. `progress(done, all)` is called after each batch with the
    numbers of this process's images. Raises ImagesError for fewer readable images than k, ActivationError for NaN,
    TargetError for layers without units or a model that does not take the inputs.
    """
    settings, layers = settings or ProbeSettings(), list(dict.fromkeys(layers))
    n_inputs = len(inputs)  # type: ignore[arg-type]
    if settings.k > n_inputs:
        message = f"k must be at most the number of images. Got k={settings.k} and {n_inputs} image(s)"
        raise ImagesError(f"{message}. Lower k or add images.")
    processes = Processes.current()
    try:
        share = _Pass(model, layers, settings, units, n_inputs).over(inputs, processes, progress)
    except DescriberError as fault:
        share = Share({}, [], fault)
    shares = processes.gather(_portable(share) if processes.count > 1 else share)
    whole = processes.share(_joined(shares) if shares is not None else None)
    assert whole is not None
    if whole.fault is not None:
        raise whole.fault
    return _result(whole, layers, settings, n_inputs)


class _Pass:
    """One process's run over its share of the inputs."""

    def __init__(self, model: nn.Module, layers: Sequence[str], settings: ProbeSettings, units: Units, n_inputs: int):
        self.model, self.layers, self.settings, self.units, self.n_inputs = model, layers, settings, units, n_inputs
        self.device = next((p.device for p in (*model.parameters(), *model.buffers())), torch.device("cpu"))
        self.images = torch.zeros(0, dtype=torch.int64)
        self.shape: tuple[int, ...] = ()
        self.seen: list[str] = []
        self.share = Share({}, [])

    def over(
        self, inputs: Dataset[tuple[int, Tensor | None]], processes: Processes, progress: Progress | None
    ) -> Share:
        """Runs this process's batches through the model."""
        _refuse_unknown(self.model, self.layers)
        mine = self._batches()[processes.index :: processes.count]
        loader = DataLoader(
            inputs,
            batch_sampler=mine,
            collate_fn=_collate,
            num_workers=self.settings.workers,
            pin_memory=self.device.type == "cuda",
        )
        done, everything = 0, sum(map(len, mine))
        with observed(self.model, self.layers, self._see), self._precision():
            for images, batch, unreadable in loader:
                self.share.skipped += unreadable
                if len(images):
                    self._take(images, batch)
                done += len(images) + len(unreadable)
                if progress is not None:
                    progress(done, everything)
        return self.share

    def _batches(self) -> list[list[int]]:
        size = self.settings.batch_size
        if size is None:
            is_latent = getattr(self.model, "latent_shape", None) is not None
            size = 64 if is_latent or self.device.type != "cpu" else 16
        return [list(range(i, min(i + size, self.n_inputs))) for i in range(0, self.n_inputs, size)]

    def _take(self, images: Int64[Tensor, " batch"], batch: list[Tensor] | Tensor) -> None:
        """One forward pass; every layer must have been run once."""
        if isinstance(batch, list):
            shapes = " and ".join(sorted({str(tuple(x.shape)) for x in batch}))
            raise TargetError(
                f"preprocess must give tensors of one shape. Got {shapes}. Resize or crop to a fixed size."
            )
        self.images, self.shape, self.seen = images, tuple(batch.shape[1:]), []
        run(self.model, batch.to(self.device, non_blocking=True))
        for name in self.layers:
            times = self.seen.count(name)
            if times != 1:
                message = f"Layer {name!r} must run once in a forward pass. Got {times} runs"
                raise TargetError(f"{message}. Choose a layer around it or within it.")

    def _see(self, name: str, output: Any) -> None:
        self.seen.append(name)
        if self.seen.count(name) > 1:
            return  # told after the pass
        if name not in self.share.tallies:
            layout = unit_layout(self.model, name, output, self.shape)
            wanted = _unit_ids(name, layout.units, self.units)
            self.share.tallies[name] = Tally(name, layout, wanted, self.settings, self.n_inputs, self.device)
        self.share.tallies[name].add(self.images, output)

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
    return Share({name: tally.to_cpu() for name, tally in share.tallies.items()}, share.skipped, share.fault)


def _joined(shares: list[Share]) -> Share:
    """All processes' shares as one; the first fault stands for all."""
    whole = Share({}, sorted(index for share in shares for index in share.skipped))
    whole.fault = next((share.fault for share in shares if share.fault is not None), None)
    if whole.fault is None:
        for share in shares:
            for name, tally in share.tallies.items():
                if name in whole.tallies:
                    whole.tallies[name].merge(tally)
                else:
                    whole.tallies[name] = tally
    return whole


def _result(whole: Share, layers: Sequence[str], settings: ProbeSettings, n_inputs: int) -> ProbeResult:
    n_images = n_inputs - len(whole.skipped)
    if n_images < settings.k:
        message = f"k must be at most the number of readable images. Got k={settings.k} and {n_images} of {n_inputs}"
        raise ImagesError(f"{message}. Lower k or replace the unreadable ones.")
    return ProbeResult({name: whole.tallies[name].exemplars() for name in layers}, n_images, whole.skipped)
