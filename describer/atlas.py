"""The atlas: a folder that keeps what one run knows about a model's units.

    with Atlas.create("atlas", wanted) as atlas:             # new, or continued where it stopped
        atlas.write_exemplars(exemplars, images)             # exemplars/<layer>.safetensors, thumbnails/<image>.jpg
        atlas.write_descriptions("layer4", "caption", descriptions)
    atlas = Atlas.open("atlas")                              # to read; needs no right to write
    atlas.units("layer4")                                    # [{"layer": "layer4", "unit": 0, "description": …}, …]

Killed at any moment it holds every finished layer; the same command goes on and ends with the same atlas.
"""

import hashlib
import json
import math
import re
from collections.abc import Sequence
from dataclasses import asdict, replace
from difflib import get_close_matches
from pathlib import Path
from types import TracebackType
from urllib.parse import quote

import numpy as np
from PIL import Image

from describer.description import Description, ImageSource
from describer.errors import AtlasError
from describer.exemplars import Exemplars
from describer.files import PART, disk_faults, renamed
from describer.lock import FolderLock
from describer.manifest import LayerEntry, Manifest
from describer.responses import STRONGEST, Responses
from describer.unittable import Row, UnitTable, make_row

THUMBNAIL = 112
"Side of a thumbnail in pixels; about 4 kB a picture, one for every distinct exemplar image."


MORE = ("responses", "random", "wide")
"Folders that not every atlas has: what judges need, answers on images that no exemplar is from and exemplars of random"
" directions, and the many exemplars in which modes are sought."


class Atlas:
    """What one run knows about a model's units; `create` to write, `open` to read."""

    def __init__(self, path: Path, meta: Manifest, lock: FolderLock | None) -> None:
        self.path = path
        self.meta = meta
        self._lock = lock
        self._table = UnitTable(path)

    @classmethod
    def open(cls, path: str | Path) -> "Atlas":
        """The atlas at `path`, to read; raises AtlasError where there is none, or one of another format."""
        return cls(Path(path), Manifest.read(Path(path)), None)

    @classmethod
    def create(cls, path: str | Path, wanted: Manifest) -> "Atlas":
        """The atlas at `path`, to write: a new one, or the one there if it was begun with what `wanted` says.

        Raises AtlasError where it was begun with something else (naming what), is being written by another process,
        or cannot be written.
        """
        path = Path(path)
        with disk_faults(path):
            _make_folder(path)
            lock = FolderLock(path)
            try:
                atlas = cls(path, cls._begin(path, wanted), lock)
            except BaseException:
                lock.release()
                raise
        return atlas

    @staticmethod
    def _begin(path: Path, wanted: Manifest) -> Manifest:
        meta = wanted
        if (path / "atlas.json").exists():
            begun = Manifest.read(path)
            if any(entry.probed for entry in begun.layers):  # else nothing is lost by another beginning
                begun.refuse_other(wanted, path)
                meta = begun.extended_by(wanted)
        for folder in (path, path / "exemplars", path / "thumbnails"):
            folder.mkdir(exist_ok=True)
        for folder in (path, *(path / name for name in ("exemplars", "thumbnails", *MORE))):
            for part in folder.glob(f"{PART}*"):
                part.unlink()
        meta.write(path)
        return meta

    def close(self) -> None:
        """Let others write; reading goes on."""
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def __enter__(self) -> "Atlas":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # Writing: the flag last, so that what is marked finished is whole.

    def write_layer(
        self, layer: str, exemplars: Exemplars, descriptions: Sequence[Description], images: ImageSource
    ) -> None:
        """Write all of one layer: its exemplars with thumbnails, then its descriptions of one or more methods."""
        self.write_exemplars(exemplars, images)
        for method in sorted({description.method for description in descriptions}):
            self.write_descriptions(layer, method, [d for d in descriptions if d.method == method])

    def write_exemplars(self, exemplars: Exemplars, images: ImageSource) -> None:
        """Write the exemplars of a layer and a thumbnail of every image among them, then mark the layer probed."""
        entry = self._writable(exemplars.layer)
        with disk_faults(self.path):
            for image in sorted({int(image) for image in exemplars.images.flatten() if image >= 0}):
                self._write_thumbnail(image, images)
            with renamed(self.exemplars_file(entry.name)) as part:
                exemplars.save(part)
            self._mark(replace(entry, probed=True, methods=()))

    def write_judging(self, responses: Responses, random: Exemplars, images: ImageSource | None = None) -> None:
        """Write what judges need of a layer, before its exemplars, so that a probed layer has it.

        With `images`, thumbnails of the STRONGEST of every unit as well, for people.
        """
        self._writable(responses.layer)
        with disk_faults(self.path):
            if images is not None:
                for image in responses.strongest(STRONGEST)[0].unique().tolist():
                    self._write_thumbnail(image, images)
            for name, kept in (("responses", responses), ("random", random)):
                (self.path / name).mkdir(exist_ok=True)
                with renamed(self._file(name, responses.layer)) as part:
                    kept.save(part)

    def write_wide(self, wide: Exemplars) -> None:
        """Write many exemplars of a layer, before those that are shown."""
        self._writable(wide.layer)
        with disk_faults(self.path):
            (self.path / "wide").mkdir(exist_ok=True)
            with renamed(self._file("wide", wide.layer)) as part:
                wide.save(part)

    def write_descriptions(self, layer: str, method: str, descriptions: Sequence[Description]) -> None:
        """Write a method's descriptions, one for every unit of a probed layer's exemplars, then mark it finished."""
        entry = self._writable(layer)
        exemplars = self.exemplars(layer)
        given = [(description.layer, description.unit, description.method) for description in descriptions]
        wanted = [(layer, int(unit), method) for unit in exemplars.unit_ids]
        if sorted(given) != sorted(wanted):
            raise ValueError(f"{layer} must get one {method} description a unit of its exemplars. Got others.")
        facts = _facts(exemplars)
        with disk_faults(self.path):
            self._table.replace(layer, method, [make_row(d, *facts[d.unit]) for d in descriptions])
            self._mark(replace(entry, methods=tuple(sorted({*entry.methods, method}))))

    def note_skipped(self, skipped: Sequence[int]) -> None:
        """Keep which images of the probe set could not be read."""
        with disk_faults(self.path):
            self.meta = replace(self.meta, skipped=tuple(sorted(skipped)))
            self.meta.write(self.path)

    # Reading

    @property
    def layers(self) -> list[str]:
        """Names of the layers, in the model's order; whether finished or not."""
        return [entry.name for entry in self.meta.layers]

    def units(self, layer: str | None = None) -> list[Row]:
        """One row a unit and method, in the order (layer of the model, unit, method); only what is finished.

        Keys: layer, unit, id, method, description, pmi, log_prob, log_prior, iou, formula, score, low, high, p, q,
        reliable, withdrawn, activation (the highest), threshold, dead, scores (of other names), n_best, meanings. A
        value that is not known is None; score and what follows it is of the judge (see `trust`).
        """
        entries = self.meta.layers if layer is None else (self.entry(layer),)
        finished = {(entry.name, method) for entry in entries for method in entry.methods}
        if not finished:
            return []
        rows = [row for row in self._table.rows(layer) if (row["layer"], row["method"]) in finished]
        place = {entry.name: entry.position for entry in entries}
        return sorted(rows, key=lambda row: (place[row["layer"]], row["unit"], row["method"]))

    def stamp(self) -> str:
        """A digest that changes whenever what the atlas says may have changed; it stays when the folder is moved."""
        said = json.dumps({**asdict(self.meta), "table": self._table.version()}, sort_keys=True)
        return hashlib.sha256(said.encode()).hexdigest()

    def exemplars(self, layer: str) -> Exemplars:
        """The exemplars of a probed layer."""
        if not self.entry(layer).probed:
            raise AtlasError(f"{layer} must be probed. Got a layer not yet finished. Repeat the describe command.")
        return Exemplars.load(self.exemplars_file(layer))

    def responses(self, layer: str) -> Responses | None:
        """What a layer answers on the images that judge; None where the atlas was made without a judge."""
        file = self._file("responses", self.entry(layer).name)
        return Responses.load(file) if file.exists() else None

    def random(self, layer: str) -> Exemplars:
        """The exemplars of a layer's random directions; AtlasError where the atlas was made without a judge."""
        return Exemplars.load(self._file("random", self.entry(layer).name))

    def wide(self, layer: str) -> Exemplars:
        """Many exemplars of a layer; AtlasError where the atlas was made without modes."""
        return Exemplars.load(self._file("wide", self.entry(layer).name))

    def thumbnail(self, image: int) -> Image.Image:
        """Exemplar image `image` of the probe set, RGB, THUMBNAIL pixels a side, as the model saw it."""
        try:
            with Image.open(self._thumbnail_file(image)) as picture:
                return picture.convert("RGB")
        except OSError as fault:
            raise AtlasError(f"{self.path} must hold the thumbnail of image {image}. Got: {fault}. Redo it.") from None

    def locate(self, unit_id: str) -> tuple[str, int]:
        """(layer, unit) of "layer:unit"; raises AtlasError with the nearest names where the atlas has no such unit."""
        layer, colon, number = unit_id.rpartition(":")
        if not colon or not re.fullmatch(r"\d+", number):
            example = f"{self.layers[0]}:0" if self.layers else "layer4:0"
            raise AtlasError(f"a unit must be given as LAYER:UNIT. Got {unit_id!r}. Try {example}.")
        units = self.exemplars(layer).unit_ids.numpy()
        if not (units == int(number[:18])).any() or len(number) > 18:
            near = np.sort(units[np.argsort(np.abs(units - int(number[:18])), kind="stable")[:3]])
            shown = ", ".join(f"{layer}:{unit}" for unit in near.tolist())
            raise AtlasError(f"{layer} must have the unit. Got {number} of {len(units)} described. Nearest: {shown}.")
        return layer, int(number)

    def entry(self, layer: str) -> LayerEntry:
        """What the atlas has of a layer; raises AtlasError with the nearest names where it has none."""
        entry = self.meta.layer(layer)
        if entry is None:
            near = get_close_matches(layer, self.layers, n=3, cutoff=0.0)
            raise AtlasError(f"{self.path} must have the layer. Got {layer!r}. Nearest: {', '.join(near) or 'none'}.")
        return entry

    def _writable(self, layer: str) -> LayerEntry:
        if self._lock is None:
            raise AtlasError(f"{self.path} must be opened with Atlas.create to be written. Got one opened to read.")
        return self.entry(layer)

    def _mark(self, entry: LayerEntry) -> None:
        meta = self.meta.with_layer(entry)
        meta.write(self.path)
        self.meta = meta

    def _write_thumbnail(self, image: int, images: ImageSource) -> None:
        file = self._thumbnail_file(image)
        if not file.exists():
            picture = images.image(image).convert("RGB").resize((THUMBNAIL, THUMBNAIL), Image.Resampling.LANCZOS)
            with renamed(file, durable=False) as part:
                picture.save(part, "JPEG", quality=88)

    def _thumbnail_file(self, image: int) -> Path:
        return self.path / "thumbnails" / f"{image}.jpg"

    def exemplars_file(self, layer: str) -> Path:
        """Where the exemplars of a layer lie; its name can be that of no other folder."""
        return self._file("exemplars", layer)

    def _file(self, folder: str, layer: str) -> Path:
        return self.path / folder / f"{quote(layer, safe='')}.safetensors"


def _make_folder(path: Path) -> None:
    if path.exists() and not path.is_dir():
        raise AtlasError(f"{path} must be a folder. Got a file. Name another --out.")
    path.mkdir(parents=True, exist_ok=True)
    ours = {"exemplars", "thumbnails", *MORE}
    foreign = [entry.name for entry in path.iterdir() if not entry.name.startswith(".")]
    if foreign and not (path / "atlas.json").exists() and not set(foreign) <= ours:
        raise AtlasError(f"{path} must be new, empty or an atlas. Got a folder with {foreign[0]}. Name another --out.")


def _facts(exemplars: Exemplars) -> dict[int, tuple[float | None, float | None, bool]]:
    """Unit -> its highest activation, its threshold, whether it is dead."""
    facts = {}
    for position, unit in enumerate(exemplars.unit_ids.tolist()):
        seen = exemplars.images[position] >= 0
        highest = float(exemplars.activations[position][seen].max()) if bool(seen.any()) else None
        threshold = float(exemplars.threshold[position])
        known = threshold if math.isfinite(threshold) else None
        facts[unit] = (highest, known, bool(exemplars.dead[position]))
    return facts
