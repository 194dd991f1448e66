"""The verb `describe`: probe the layers of a target, describe their units, and keep it all in an atlas.

    target, images = load_target("torchvision:resnet18"), load_images("photos/")
    atlas = describe(target, images, "atlas", [CaptionDescriber(Captioner.carried())], layers=["layer4"])
    atlas.units("layer4")                                  # rows; the same call again returns at once

With `judge=Judge(load_listener())` exemplars come from one half of the images and descriptions are judged on the other.
Stopped or killed, the same call goes on: what is probed is not probed again, finished layers are left alone.
Under `accelerate launch` every process probes its share, and the first one writes and describes.
"""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import Dataset

from describer.atlas import Atlas
from describer.description import Describer, Description
from describer.errors import AtlasError, TargetError
from describer.layout import LayerInfo, list_layers, match_layers
from describer.manifest import LayerEntry, Manifest, Source
from describer.modes import ModeSettings, SeeingDescriber, describe_modes
from describer.probe import ProbeResult, ProbeSettings, Units, probe
from describer.processes import Processes
from describer.trust import Judge
from describer.view import Preprocess, SeenImages

Progress = Callable[[str, int, int], None]
"Told the stage in words, how much of it is done and how much there is."

UNCHANGING = ("batch_size", "workers")
"Settings of the probe that do not change its answer; all others are in the atlas's key."


@runtime_checkable
class Target(Protocol):
    """What describing needs to know of a model; `describer.data.load_target` makes one."""

    @property
    def name(self) -> str: ...
    @property
    def model(self) -> nn.Module: ...
    @property
    def preprocess(self) -> Preprocess | None: ...
    @property
    def input_shape(self) -> tuple[int, ...]: ...
    @property
    def fingerprint(self) -> str: ...


@runtime_checkable
class ProbeSet(Protocol):
    """What describing needs to know of images; `describer.data.load_images` makes one."""

    @property
    def source(self) -> str: ...
    @property
    def fingerprint(self) -> str: ...
    def __len__(self) -> int: ...

    def image(self, index: int, /) -> Image.Image: ...
    def inputs(self, preprocess: Preprocess | None, /) -> Dataset[Any]: ...


@runtime_checkable
class PreparedDescriber(Protocol):
    """A describer that looks at the model itself before it describes; every process of the job takes part."""

    def prepare(self, target: Target, layers: Sequence[str], units: Units, folder: Path, progress: Progress, /) -> None:
        """Look at these layers and keep what is seen under `folder`, the atlas; what is there is not done again."""
        ...


def describe(
    target: Target,
    images: ProbeSet,
    out: str | Path,
    describers: Sequence[Describer],
    *,
    layers: Sequence[str] | None = None,
    units: str | None = None,
    settings: ProbeSettings | None = None,
    progress: Progress | None = None,
    judge: Judge | None = None,
    modes: ModeSettings | None = None,
) -> Atlas:
    """The atlas at `out` with every unit of the layers described by every describer; opened to read.

    `layers` are dotted names or globs (default: the model's stages), `units` is "0-63" or "3,5,8-11" (default: all).
    Where `judge` can judge by so many images, what does not beat chance becomes None, "no reliable description".
    With `modes` units with several meanings have them told apart by the describers that can (see `modes`).
    Raises TargetError for layers or units there are none of, AtlasError where `out` was begun with something else.
    """
    settings, report, processes = settings or ProbeSettings(), progress or _silent, Processes.current()
    chosen, wanted_units = _chosen_layers(target, layers), parse_units(units)
    _refuse_missing_units(chosen, wanted_units)
    watch = judge.watch(len(images), settings.k, Path(out) / "responses") if judge else None
    judge = judge if watch else None
    wanted = _manifest(target, images, describers, chosen, wanted_units, settings, judge, modes)
    n_ranked = len(images) - len(watch.images if watch else ())
    probing = replace(settings, k=max(settings.k, min(modes.wide, n_ranked // 2) if modes else 0))
    atlas, fault = None, None
    if processes.index == 0:
        try:
            atlas = Atlas.create(out, wanted)
            if watch is not None:
                watch.folder.mkdir(exist_ok=True)
        except AtlasError as error:
            fault = error
    unprobed = [entry.name for entry in wanted.layers if atlas and not atlas.entry(entry.name).probed]
    fault, unprobed = processes.share((fault, unprobed))
    if fault is not None:
        raise fault
    with atlas or nullcontext():
        seen = SeenImages(images, target.preprocess)
        if unprobed:
            told = partial(report, "probing")
            found = probe(target.model, images.inputs(target.preprocess), unprobed, probing, wanted_units, told, watch)
            if atlas:
                _write_exemplars(atlas, found, seen, report, settings.k, modes is not None)
        for describer in describers:
            lacking = [e.name for e in wanted.layers if atlas and describer.method not in atlas.entry(e.name).methods]
            lacking = processes.share(lacking)
            if lacking and isinstance(describer, PreparedDescriber):
                describer.prepare(target, lacking, wanted_units, Path(out), report)
            for layer in lacking:
                if atlas:
                    _describe_layer(atlas, layer, describer, seen, report, judge, modes)
    processes.share(None)  # the others wait until all is written
    return Atlas.open(out)


def parse_units(text: str | None) -> list[int] | None:
    """Ascending unit indices of "0-63" or "3,5,8-11", ends included; None for all. Raises TargetError."""
    if text is None:
        return None
    found: set[int] = set()
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        if not first.isdecimal() or (dash and not last.isdecimal()) or (dash and int(last) < int(first)):
            raise TargetError(f"units must be ranges such as 0-63 or 3,5,8-11. Got {text!r}. Count from 0.")
        found.update(range(int(first), int(last if dash else first) + 1))
    return sorted(found)


def default_layers(model: nn.Module, infos: Sequence[LayerInfo]) -> list[str]:
    """The stages of a model: its outermost modules with weights that answer with maps (where none does, with vectors).

    A lone outermost module is a wrapper: what it holds is taken instead.
    """
    weighty = [info for info in infos if any(p.ndim > 1 for p in model.get_submodule(info.name).parameters())]
    named = [info.name for info in weighty if info.height * info.width > 1] or [info.name for info in weighty]
    stages = _outermost(named)
    while len(stages) == 1:
        inner = _outermost([name for name in named if name.startswith(f"{stages[0]}.")])
        if len(inner) < 2:
            break
        stages = inner
    return stages


def _outermost(names: Sequence[str]) -> list[str]:
    return [name for name in names if not any(name.startswith(f"{other}.") for other in names)]


def example_of(target: Target) -> Tensor:
    """A batch of one input, standard normal, on the model's device; the same one every time."""
    device = next((parameter.device for parameter in target.model.parameters()), torch.device("cpu"))
    return torch.randn(1, *target.input_shape, generator=torch.Generator().manual_seed(0)).to(device)


def _chosen_layers(target: Target, patterns: Sequence[str] | None) -> list[tuple[LayerInfo, int]]:
    infos = list_layers(target.model, example_of(target))
    names = set(match_layers(patterns or default_layers(target.model, infos), infos))
    return [(info, position) for position, info in enumerate(infos) if info.name in names]


def _refuse_missing_units(chosen: Sequence[tuple[LayerInfo, int]], units: list[int] | None) -> None:
    for info, _ in chosen:
        if units is not None and units[0] >= info.units:
            message = f"units of {info.name} must lie in 0-{info.units - 1}. Got {_ranges(units)}"
            raise TargetError(f"{message}. Choose others, or leave the layer out.")


def _manifest(
    target: Target,
    images: ProbeSet,
    describers: Sequence[Describer],
    chosen: Sequence[tuple[LayerInfo, int]],
    units: list[int] | None,
    settings: ProbeSettings,
    judge: Judge | None,
    modes: ModeSettings | None,
) -> Manifest:
    on_cuda = any(parameter.device.type == "cuda" for parameter in target.model.parameters())
    options = {name: value for name, value in asdict(settings).items() if name not in UNCHANGING}
    options["bf16"] = settings.bf16 and on_cuda  # elsewhere it changes nothing
    return Manifest(
        model=Source(target.name, target.fingerprint),
        images=Source(images.source, images.fingerprint),
        n_images=len(images),
        options={**options, "units": None if units is None else _ranges(units), **_more(judge, modes)},
        layers=tuple(LayerEntry(info.name, place, info.units, info.height, info.width) for info, place in chosen),
        methods={describer.method: dict(describer.key) for describer in describers},
    )


def _more(judge: Judge | None, modes: ModeSettings | None) -> dict[str, str | int | float | bool | None]:
    """What judging and modes add to the key; nothing where there are none, as in atlases from before."""
    sought = {f"modes_{name}": value for name, value in asdict(modes).items()} if modes else {}
    return {**(judge.key if judge else {}), **sought}


def _ranges(units: Sequence[int]) -> str:
    """The one way in which a choice of units is written, so that 0-2 and 0,1,2 are the same atlas."""
    runs: list[list[int]] = []
    for unit in units:
        if runs and unit == runs[-1][-1] + 1:
            runs[-1] = [runs[-1][0], unit]
        else:
            runs.append([unit, unit])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in runs)


def _write_exemplars(atlas: Atlas, found: ProbeResult, seen: SeenImages, report: Progress, k: int, wide: bool) -> None:
    atlas.note_skipped(found.skipped)
    for number, exemplars in enumerate(found.exemplars.values()):
        report("writing exemplars", number, len(found.exemplars))
        if exemplars.layer in found.random:
            random = found.random[exemplars.layer].first(k)
            atlas.write_judging(found.responses(exemplars.layer), random, seen)
        if wide:
            atlas.write_wide(exemplars)
        atlas.write_exemplars(exemplars.first(k), seen)
    report("writing exemplars", len(found.exemplars), len(found.exemplars))


def _describe_layer(
    atlas: Atlas,
    layer: str,
    describer: Describer,
    seen: SeenImages,
    report: Progress,
    judge: Judge | None,
    modes: ModeSettings | None,
) -> None:
    exemplars = atlas.exemplars(layer)
    living = torch.nonzero(~exemplars.dead).flatten()
    stage = f"describing {layer}" if describer.method == "caption" else f"{describer.method} of {layer}"
    done = 0

    def told(more: int) -> None:
        nonlocal done
        done += more
        report(stage, done, len(living))

    told(0)
    given = describer.describe(exemplars.subset(living), seen, told) if len(living) else []
    if modes is not None and isinstance(describer, SeeingDescriber):
        report(f"telling meanings of {layer} apart", 0, 1)
        meanings = describe_modes(describer, atlas.wide(layer), seen, modes)
        given = [replace(each, meanings=meanings.get(each.unit, ())) for each in given]
        report(f"telling meanings of {layer} apart", 1, 1)
    if judge is not None:
        report(f"judging {layer}", 0, 1)
        responses = atlas.responses(layer)
        assert responses is not None, "what was probed with a judge has responses"
        given = judge.judged(given, responses, seen)
        report(f"judging {layer}", 1, 1)
    of_unit = {description.unit: description for description in given}
    for unit in exemplars.unit_ids[exemplars.dead].tolist():
        of_unit[unit] = Description(layer, unit, None, describer.method)
    atlas.write_descriptions(layer, describer.method, [of_unit[unit] for unit in sorted(of_unit)])


def _silent(stage: str, done: int, total: int) -> None:
    """Progress for nobody."""
