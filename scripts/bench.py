"""Measures what README claims about speed; every run tells its hardware and seed, every ratio is of one run.

scripts/bench                               # all sections, on drawn scenes and an untrained ResNet-18
scripts/bench probe --model my_net.py:load --images 'photos/*.parquet' --layers 'inception_*'
scripts/bench captions --units 1024 --describer my_captioner
scripts/bench formulas --folder ../shared/bench --images 2000 --units 64

On a busy machine the seconds say little and the ratios only somewhat: the load is printed beside them.
"""

import os
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from statistics import median
from typing import Annotated, Any

import typer

SEED = 7
SECTIONS = ("help", "scenes", "probe", "captions", "formulas", "search", "beliefs", "scoring")
UNTRAINED = "torchvision:resnet18"
SCENES = f"scenes:500:{SEED}"
BATCH = 16

app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False, help=__doc__)
Model = Annotated[str, typer.Option(metavar="MODEL", help=f"default: {UNTRAINED} with random weights")]
Images = Annotated[list[str] | None, typer.Option("--images", metavar="IMAGES", help=f"default: {SCENES}")]
Layers = Annotated[str, typer.Option(metavar="GLOB", help="with commas; default: the stages")]


@app.callback(invoke_without_command=True)
def all_sections(context: typer.Context) -> None:
    """All sections, each in a process of its own, so that none sees another's memory."""
    if context.invoked_subcommand is None:
        for section in SECTIONS:
            subprocess.run([sys.executable, __file__, section], check=True)
        return
    os.environ |= {"HF_HUB_DISABLE_PROGRESS_BARS": "1", "TRANSFORMERS_VERBOSITY": "error"}
    load = os.getloadavg()[0]
    say("", f"{context.invoked_subcommand}: {processor()}, {os.cpu_count()} cores, load {load:.1f}, seed {SEED}")


@app.command("help")
def help_(runs: int = 7) -> None:
    """Seconds until `describer --help` has answered."""
    command = [str(Path(sys.executable).with_name("describer")), "--help"]
    times = [seconds(lambda: subprocess.run(command, check=True, stdout=subprocess.DEVNULL)) for _ in range(runs)]
    say(f"describer --help: {median(times):.2f} s, the middle of {runs} runs ({min(times):.2f} to {max(times):.2f})")


@app.command()
def scenes(n: int = 200, size: int = 128) -> None:
    """Drawn scenes a minute on one core, labels and all."""
    from describer.data.scenes import draw_scene

    draw_scene(SEED, n, size)
    spent = seconds(lambda: [draw_scene(SEED, index, size) for index in range(n)], clock=time.process_time)
    say(f"{n} scenes of {size} pixels: {60 * n / spent:,.0f} a minute and core (CPU time)")


@app.command()
def probe(
    model: Model = "", images: Images = None, layers: Layers = "", preloaded: int = 1000, repeats: int = 3
) -> None:
    """Peak memory of probing, and its time over a bare forward pass with the same batches of preloaded images."""
    import torch

    from describer.probe import ProbeSettings
    from describer.probe import probe as probe_model

    target, probe_set, names, settings = subject(model, images, layers)
    inputs = probe_set.inputs(target.preprocess)
    spent = seconds(partial(probe_model, target.model, inputs, names, settings))
    say(f"reading and probing all images: {spent:.1f} s, peak {peak_gb():.2f} GB")
    ready: Any = [
        sample for sample in map(inputs.__getitem__, range(min(preloaded, len(probe_set)))) if sample[1] is not None
    ]
    batches = [torch.stack([x for _, x in ready[start : start + BATCH]]) for start in range(0, len(ready), BATCH)]

    @torch.inference_mode()
    def bare() -> None:
        for batch in batches:
            target.model(batch)

    settings = ProbeSettings(k=min(settings.k, len(ready)), batch_size=BATCH)
    probing = partial(probe_model, target.model, ready, names, settings)
    bare()
    pairs = [(seconds(bare), seconds(probing)) for _ in range(repeats)]
    ratios = [probed / plain for plain, probed in pairs]
    plain, probed = (1000 * median(column) / len(ready) for column in zip(*pairs, strict=True))
    say(f"{len(ready)} preloaded images: bare forward {plain:.1f} ms an image, with probing {probed:.1f} ms")
    about = f"the middle of {repeats} pairs, {min(ratios):.3f} to {max(ratios):.3f}"
    say(f"probing / bare forward: {median(ratios):.3f} ({about})")


@app.command()
def captions(
    model: Model = "", images: Images = None, layers: Layers = "", units: int = 256, describer: str = ""
) -> None:
    """Units described a second after probing, against a ResNet-101 forward for every exemplar image of every unit."""
    import torch
    from torchvision.models import resnet101

    from describer.caption import CaptionDescriber
    from describer.captioner import Captioner
    from describer.probe import probe as probe_model
    from describer.view import SeenImages

    target, probe_set, names, settings = subject(model, images, layers)
    captioner = Captioner.from_pretrained(describer) if describer else Captioner.carried()
    found = probe_model(target.model, probe_set.inputs(target.preprocess), names, settings).exemplars
    way, seen, n_done, spent = CaptionDescriber(captioner), SeenImages(probe_set, target.preprocess), 0, 0.0
    for exemplars in found.values():
        living = torch.nonzero(~exemplars.dead).flatten()[: units - n_done]
        if len(living):
            spent += seconds(partial(way.describe, exemplars.subset(living), seen))
            n_done += len(living)
    rate = n_done / spent
    say(f"captions: {n_done} units in {spent:.1f} s, {rate:.1f} a second, 1,024 in {1024 / rate:.0f} s")
    network, batch = resnet101(weights=None).eval(), torch.rand(BATCH, 3, 224, 224)
    with torch.inference_mode():
        network(batch)
        each = median(seconds(partial(network, batch)) for _ in range(3)) / BATCH
    rival = each * settings.k * n_done
    say(f"ResNet-101 for every exemplar: {1000 * each:.0f} ms an image (of {3 * BATCH}), {rival:.0f} s for these units")
    say(f"ResNet-101 forwards / all of captioning: {rival / spent:.1f}")


@app.command()
def formulas(
    folder: Path = Path("../shared/bench"),
    rival_images: Annotated[
        int, typer.Option(help="images for the rival, which needs 1.1 s each; 0 leaves it out")
    ] = 100,
    images: Annotated[int, typer.Option(help="images of the drawn problem; 0 leaves it out")] = 22_000,
    labels: int = 1200,
    units: int = 512,
    length: int = 10,
) -> None:
    """Logical forms: a problem with published results, a rival in the same run, and one drawn at Broden's size."""
    from bench_formulas import DrawnProblem, SharedProblem, drawn_report, rival_report, shared_report

    if (folder / "formulas_1000x200x4.npz").exists():
        for line in shared_report(SharedProblem(folder)):
            say(line)
        say(f"peak {peak_gb():.2f} GB")
        for line in rival_report(folder, rival_images) if rival_images else ():
            say(line)
    else:
        say(f"--folder must hold formulas_1000x200x4.npz. Got {folder}, which does not. Name the folder that does.")
    if images:
        for line in drawn_report(DrawnProblem(SEED, images, labels, units), length):
            say(line)
        say(f"peak {peak_gb():.2f} GB")


@app.command()
def search(
    units: int = 1_000_000,
    queries: int = 40,
    near: int = 10,
    keep: Annotated[Path | None, typer.Option(help="draw the atlas here, or measure on what was drawn here")] = None,
) -> None:
    """Time to index drawn units and to answer a text with a filter, before and after the captioner weighs 100."""
    import tempfile

    from bench_search import DrawnAtlas, indexing_report, query_report

    drawn = DrawnAtlas(SEED, units)
    with tempfile.TemporaryDirectory(prefix="describer-bench-") as passing:
        folder = keep or Path(passing)
        for line in () if (folder / "atlas.json").is_file() else indexing_report(drawn, folder):
            say(line)
        for line in query_report(drawn, folder, queries, near):
            say(line)
        say(f"load {os.getloadavg()[0]:.1f} at the end, peak {peak_gb():.2f} GB")


@app.command()
def beliefs(messages: int = 1000, utterances: int = 1000, contexts: int = 4096, hypotheses: int = 2) -> None:
    """Seconds to compare the beliefs of every message with those of every utterance, over all contexts."""
    import torch

    from describer.beliefs import divergence

    generator = torch.Generator().manual_seed(SEED)
    sides = [torch.randn(n, contexts, hypotheses, generator=generator) for n in (messages, utterances)]
    for direction in ("forward", "reverse"):
        compare = partial(divergence, sides[0], sides[1], direction=direction, weights="mixture")
        compare()
        wall = min(seconds(compare) for _ in range(3))
        spent = min(seconds(compare, clock=time.process_time) for _ in range(3))
        sizes = f"{messages} x {utterances} x {contexts} x {hypotheses}"
        say(f"{direction}: {sizes} in {wall:.2f} s, {spent:.2f} s of CPU time, {torch.get_num_threads()} threads")


@app.command()
def scoring(units: int = 1000, images: int = 10_000) -> None:
    """The five sound metrics of units whose activations are random, and the most memory held."""
    import numpy as np

    from describer.eval.metrics import SOUND, score

    dice = np.random.default_rng(SEED)
    activations, simulated = (dice.random((units, images), np.float32) for _ in range(2))
    spent = seconds(lambda: score(activations, simulated))
    said = f"{units:,} units x {images:,} images x {len(SOUND)} metrics"
    say(f"{said}: {spent:.1f} s, peak {peak_gb():.2f} GB, of which inputs {2 * activations.nbytes / 1e9:.2f} GB")


def subject(model: str, images: Sequence[str] | None, layers: str) -> tuple[Any, Any, list[str], Any]:
    """What is measured: the target, its images, the layers' names and the settings of the probe."""
    import torch

    from describer.data.images import load_images
    from describer.data.targets import load_target
    from describer.describe import default_layers, example_of
    from describer.layout import list_layers, match_layers
    from describer.probe import ProbeSettings

    torch.manual_seed(SEED)
    target = load_target(model or UNTRAINED, pretrained=bool(model))
    probe_set = load_images(",".join(images or [SCENES]), target)
    infos = list_layers(target.model, example_of(target))
    names = match_layers(layers.split(",") if layers else default_layers(target.model, infos), infos)
    say(f"{target.name}, layers {', '.join(names)}; {len(probe_set)} images of {probe_set.source}")
    say(f"torch {torch.__version__}, {torch.get_num_threads()} threads")
    return target, probe_set, names, ProbeSettings(k=min(15, len(probe_set)))


def processor() -> str:
    """What the processor calls itself, where that can be read."""
    about = Path("/proc/cpuinfo")
    lines = about.read_text().splitlines() if about.exists() else []
    return next((line.partition(":")[2].strip() for line in lines if "model name" in line), platform.machine())


def seconds(work: Callable[[], Any], clock: Callable[[], float] = time.perf_counter) -> float:
    """How long `work` takes."""
    start = clock()
    work()
    return clock() - start


def peak_gb() -> float:
    """The most memory this process has held, in GB of 10^9 bytes."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9


def say(*lines: str) -> None:
    """Lines on stdout, at once."""
    print(*lines, sep="\n", flush=True)


if __name__ == "__main__":
    app()
