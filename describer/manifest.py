"""What an atlas is of: model, probe set and every option that changes the answer; and which layers are finished.

    manifest = Manifest(model=Source("torchvision:resnet18", "9f…"), images=Source("photos/", "c1…"), n_images=1000,
                        options={"k": 15, "quantile": 0.99}, layers=(LayerEntry("layer4", 60, 512, 7, 7),))
    manifest.write(folder)                          # atlas.json, by atomic rename
    Manifest.read(folder).refuse_other(manifest)    # raises AtlasError and names what differs

The flags of a layer are the last thing written of it, so what is marked finished is whole on the disk.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from describer import __version__
from describer.errors import AtlasError
from describer.files import write_atomically

FORMAT = 1
"Raised whenever an older reader would misread the folder."

FILE = "atlas.json"

Options = Mapping[str, str | int | float | bool | None]


@dataclass(frozen=True)
class Source:
    """Where a model or a probe set came from, and what tells it from every other."""

    name: str
    "as the user wrote it"
    fingerprint: str
    "a digest of its content"


@dataclass(frozen=True)
class LayerEntry:
    """One layer of the atlas."""

    name: str
    position: int
    "place among all layers of the model, which is the order of the atlas"
    units: int
    "units of the layer, described or not"
    height: int
    "of the activation maps, in cells"
    width: int
    probed: bool = False
    "its exemplars and thumbnails are on the disk"
    methods: tuple[str, ...] = ()
    "methods whose rows are on the disk, in alphabetical order"


@dataclass(frozen=True)
class Manifest:
    """The content of atlas.json."""

    model: Source
    images: Source
    n_images: int
    "images in the probe set, unreadable ones included"
    options: Options
    "of the probing: k, quantile, compat, units …"
    layers: tuple[LayerEntry, ...] = ()
    "in the order of the model"
    methods: Mapping[str, Options] = field(default_factory=dict)
    "name of a method -> all that changes its answer"
    skipped: tuple[int, ...] = ()
    "indices of the images that could not be read"
    package: str = __version__
    "version of the package that made the atlas"

    def layer(self, name: str) -> LayerEntry | None:
        """The entry of that name, if the atlas has it."""
        return next((entry for entry in self.layers if entry.name == name), None)

    def with_layer(self, entry: LayerEntry) -> "Manifest":
        """A copy in which `entry` takes the place of its namesake, or its own place in the model's order."""
        others = (other for other in self.layers if other.name != entry.name)
        return replace(self, layers=tuple(sorted((*others, entry), key=lambda layer: layer.position)))

    def extended_by(self, wanted: "Manifest") -> "Manifest":
        """A copy with the layers and methods that only `wanted` has."""
        merged = replace(self, methods={**self.methods, **wanted.methods})
        for entry in wanted.layers:
            if self.layer(entry.name) is None:
                merged = merged.with_layer(entry)
        return merged

    def refuse_other(self, wanted: "Manifest", folder: Path) -> None:
        """Raise AtlasError naming all that `wanted` asks for and this atlas was not made with."""
        differences = [*_source_difference("model", self.model, wanted.model)]
        differences += _source_difference("images", self.images, wanted.images)
        differences += _option_differences("", self.options, wanted.options)
        for method in sorted(self.methods.keys() & wanted.methods.keys()):
            differences += _option_differences(f"{method} ", self.methods[method], wanted.methods[method])
        differences += _option_differences("", {"version": self.package}, {"version": wanted.package})
        if differences:
            raise AtlasError(
                f"{folder} must be continued with what it was begun with. Got {', '.join(differences)}. "
                "Repeat what it has, or name another --out."
            )

    def write(self, folder: Path) -> None:
        """Write atlas.json into `folder` by atomic rename."""
        content = {"format": FORMAT, **asdict(self)}
        write_atomically(folder / FILE, (json.dumps(content, indent=1, ensure_ascii=False) + "\n").encode())

    @classmethod
    def read(cls, folder: Path) -> "Manifest":
        """What `folder` is an atlas of; raises AtlasError where it is none, or of another format."""
        try:
            content = json.loads((folder / FILE).read_text(encoding="utf-8"))
        except (FileNotFoundError, NotADirectoryError):
            what = "a folder without atlas.json" if folder.is_dir() else "no such folder"
            advice = f"Make one with: describer describe MODEL IMAGES --out {folder}"
            raise AtlasError(f"{folder} must be an atlas. Got {what}. {advice}") from None
        except (OSError, ValueError) as fault:
            raise AtlasError(f"{folder / FILE} must be readable JSON. Got: {fault}. Describe the model anew.") from None
        found = content.get("format") if isinstance(content, dict) else None
        if found != FORMAT:
            newer = isinstance(found, int) and found > FORMAT
            advice = "Install a newer describer." if newer else "Describe the model anew, with another --out."
            raise AtlasError(f"{folder} must be an atlas of format {FORMAT}. Got format {found}. {advice}")
        try:
            return cls._from_content(content)
        except (KeyError, TypeError) as fault:
            raise AtlasError(f"{folder / FILE} must be whole. Got a wrong field: {fault}. Describe anew.") from None

    @classmethod
    def _from_content(cls, content: dict[str, Any]) -> "Manifest":
        fields = {name: value for name, value in content.items() if name != "format"}
        fields["model"], fields["images"] = Source(**content["model"]), Source(**content["images"])
        fields["layers"] = tuple(LayerEntry(**{**e, "methods": tuple(e["methods"])}) for e in content["layers"])
        fields["skipped"] = tuple(content["skipped"])
        return cls(**fields)


def _source_difference(what: str, ours: Source, wanted: Source) -> list[str]:
    if ours.fingerprint == wanted.fingerprint:
        return []
    if ours.name == wanted.name:
        return [f"{what} {wanted.name} with another content than then"]
    return [f"{what} {wanted.name} (the atlas: {ours.name})"]


def _option_differences(prefix: str, ours: Options, wanted: Options) -> list[str]:
    names = [*wanted, *(name for name in ours if name not in wanted)]
    return [
        f"{prefix}{name}={_shown(wanted.get(name))} (the atlas: {_shown(ours.get(name))})"
        for name in names
        if wanted.get(name) != ours.get(name)
    ]


def _shown(value: object) -> str:
    return "none" if value is None else str(value)
