"""The problems on which `scripts/bench formulas` measures the search for logical forms, and what it says of them.

shared = SharedProblem(folder)                   # labels and activation maps of 1,000 images, with published results
drawn = DrawnProblem(seed=7, n_images=22_000, n_labels=1200, n_units=512)    # as large as Broden, drawn image by image
"""

import importlib.util
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from describer.search.formulas import Explanation, search_formulas
from describer.search.labels import ArrayLabels
from describer.search.signatures import SignatureTable

SIDE, QUANTILE = 112, 0.995
RIVAL = "compositional_explanations"


class SharedProblem:
    """The drawn, Broden-like problem that the published code was timed on."""

    def __init__(self, folder: Path, n_images: int | None = None, n_units: int | None = None):
        self.folder = folder
        with np.load(folder / "formulas_1000x200x4.npz") as problem:
            arrays = {name: problem[name] for name in problem.files}
        self.expected = json.loads((folder / "formulas_expected.json").read_text())["published_code"]
        names = {name: {i: str(i) for i in np.unique(arrays[name]).tolist() if i} for name in CATEGORIES}
        maps, scalars = ({name: arrays[name][:n_images] for name in some} for some in (CATEGORIES[:3], CATEGORIES[3:]))
        self.labels = ArrayLabels(maps, scalars, names)
        features = arrays["features"][:, :n_units].swapaxes(0, 1)
        self.masks = np.stack([self._masks(own, n_images) for own in features])

    @staticmethod
    def _masks(features: np.ndarray, n_images: int | None) -> np.ndarray:
        """(images, side, side) bool: resized by Pillow, strictly above the quantile of all activations."""
        level = np.quantile(features, QUANTILE)
        grown = [Image.fromarray(own).resize((SIDE, SIDE), Image.Resampling.BILINEAR) for own in features[:n_images]]
        return np.stack([np.asarray(own) > level for own in grown])


CATEGORIES = ("object", "part", "color", "scene", "texture")


class DrawnProblem:
    """Labels and masks as many as Broden's, each image drawn from its number: no more than one is in memory."""

    def __init__(self, seed: int, n_images: int, n_labels: int, n_units: int):
        shares = {"object": 0.49, "part": 0.19, "scene": 0.27, "texture": 0.04}
        self.counts = {category: max(2, round(share * n_labels)) for category, share in shares.items()}
        self.counts["color"] = max(2, n_labels - sum(self.counts.values()))
        self.names = {category: ["", *(f"{category}-{i + 1}" for i in range(n))] for category, n in self.counts.items()}
        self.seed, self.n_images, self.n_units, self.size = seed, n_images, n_units, (SIDE, SIDE)
        self.own = np.random.default_rng(seed).integers(1, self.counts["object"] + 1, n_units)

    def __len__(self) -> int:
        return self.n_images

    def labels(self, index: int) -> tuple[dict[str, np.ndarray], dict[str, int]]:
        """Maps of cells 16, 8 and 8 pixels wide; low ids are frequent, as in Broden."""
        dice = np.random.default_rng((self.seed, index))

        def some(category: str, n: int) -> np.ndarray:
            return (1 + self.counts[category] * dice.random(n) ** 3).astype(np.int16)

        def laid(ids: np.ndarray, width: int) -> np.ndarray:
            cells = SIDE // width
            return ids[dice.integers(0, len(ids), (cells, cells))].repeat(width, 0).repeat(width, 1)

        parts = np.concatenate((np.zeros(6, np.int16), some("part", 4)))
        maps = {"object": laid(some("object", 8), 16), "part": laid(parts, 8), "color": laid(some("color", 4), 8)}
        texture = int(some("texture", 1)[0]) if dice.random() < 0.1 else 0
        return maps, {"scene": int(some("scene", 1)[0]), "texture": texture}

    def masks(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """(masks, units) that fire: on most of an object of their own, and here and there on anything."""
        dice, objects = np.random.default_rng((self.seed, index, 1)), self.labels(index)[0]["object"]
        fires = np.isin(self.own, np.unique(objects)) | (dice.random(self.n_units) < 0.05)
        units = np.flatnonzero(fires)
        masks = (objects == self.own[units, None, None]) & (dice.random((len(units), SIDE, SIDE)) < 0.7)
        for mask, (top, left) in zip(masks, dice.integers(0, SIDE - 20, (len(units), 2)), strict=True):
            mask[top : top + 20, left : left + 20] |= dice.random((20, 20)) < 0.5
        return masks, units


class Clock:
    """How long work takes: by the wall, and of the processor."""

    def __init__(self, work: Callable[[], Any]):
        wall, busy = time.perf_counter(), time.process_time()
        self.result = work()
        self.wall, self.busy = time.perf_counter() - wall, time.process_time() - busy

    def each(self, n: int) -> str:
        """Seconds for one of n."""
        return f"{self.wall / n:.3f} s, {self.busy / n:.3f} s of CPU"


def shared_report(problem: SharedProblem) -> Iterator[str]:
    """Lines about building, counting and searching, beside what the published code found and needed."""
    build = Clock(lambda: SignatureTable.from_source(problem.labels))
    table: SignatureTable = build.result
    yield f"table of {table.n_images} images: {build.each(1)}; {table.n_pixels:,} pixels, {len(table):,} signatures"
    count = Clock(lambda: table.count(problem.masks))
    counts, n_units = count.result, len(problem.masks)
    yield f"masks of {n_units} units counted: {count.each(1)}"
    for length in (3, 10):
        published = problem.expected[f"length_{length}"]
        for compat in ("compexp", None):
            search = Clock(lambda compat=compat, length=length: search_formulas(table, counts, length, compat=compat))
            told = _against(search.result, published)
            yield f"length {length}, {compat or 'ours'}: {search.each(n_units)} a unit; {told}"
        cpu = _values(published["cpu_seconds_per_unit"])
        ratio = min(cpu.values()) * n_units / max(search.busy, 1e-9)
        told = f"{min(cpu.values())} to {max(cpu.values())} s of CPU a unit, {ratio:,.0f} times ours at least"
        yield f"  published, as recorded: {told}"
    search = Clock(lambda: search_formulas(table, counts, 3, optimal=True))
    found: list[Explanation] = search.result
    proven = sum(explanation.certified for explanation in found)
    yield f"length 3, optimal: {search.each(n_units)} a unit, {proven} of {n_units} certified; {_ious(found)}"


def _ious(found: list[Explanation]) -> str:
    return "IoU " + " ".join(f"{explanation.iou:.6f}" for explanation in found)


def _against(found: list[Explanation], published: dict[str, Any]) -> str:
    """IoUs, and the least by which they exceed the published ones."""
    least = min(found[unit].iou - iou for unit, iou in _values(published["iou"]).items())
    return f"{_ious(found)}, {least:+.0e} or more beside the published, which are rounded to 1e-6"


def _values(published: Any) -> dict[int, float]:
    """Values by unit, from a list or from pairs."""
    return {
        int(unit): value for unit, value in (published.items() if isinstance(published, dict) else enumerate(published))
    }


def rival_report(folder: Path, n_images: int) -> Iterator[str]:
    """Lines about the package of the registry on the first images, unit 0, and ours on the same, in this run."""
    if importlib.util.find_spec(RIVAL) is None:
        yield f"the rival must be installed to be timed. Got no {RIVAL}. Run: pip install {RIVAL}"
        return
    problem = SharedProblem(folder, n_images, 1)
    build = Clock(lambda: SignatureTable.from_source(problem.labels))
    counts = build.result.count(problem.masks)
    done = subprocess.run(
        [sys.executable, str(folder / "rival_formulas.py"), str(n_images)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        yield f"the rival must run to be timed. Got: {done.stderr.strip().splitlines()[-1]}."
    for line in filter(None, done.stdout.splitlines()):
        rival = json.loads(line)
        optimal = rival["search"] == "optimal"
        ours = Clock(lambda optimal=optimal: search_formulas(build.result, counts, 3, optimal=optimal))
        said = f"{rival['seconds']:.2f} s, IoU {rival['iou']:.6f}; ours {ours.each(1)}, {_ious(ours.result)}"
        yield f"{RIVAL}, {n_images} images, {rival['search']}: {said}; {rival['seconds'] / ours.wall:,.0f} times faster"


def drawn_report(problem: DrawnProblem, length: int) -> Iterator[str]:
    """Lines about a problem of Broden's size, drawing included."""
    about = f"{problem.n_images:,} images, {sum(problem.counts.values()):,} labels, {problem.n_units} units"
    build = Clock(lambda: SignatureTable.from_source(problem))
    table: SignatureTable = build.result
    yield f"drawn, {about}: table {build.each(1)}; {table.n_pixels:,} pixels, {len(table):,} signatures"
    counter = table.counter(problem.n_units)

    def count() -> None:
        for index in range(len(problem)):
            counter.add(index, *problem.masks(index))

    yield f"masks drawn and counted: {Clock(count).each(1)}"
    search = Clock(lambda: search_formulas(table, counter.result(), length))
    found: list[Explanation] = search.result
    mean = sum(explanation.iou for explanation in found) / max(len(found), 1)
    own = [f"object-{number}" in str(one.formula) for number, one in zip(problem.own, found, strict=True)]
    yield f"length {length}, all units: {search.each(1)}, one process; mean IoU {mean:.4f}"
    yield f"  the unit's own object is in {sum(own)} of {len(own)} forms"
