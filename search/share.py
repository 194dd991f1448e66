"""Atlases as Hugging Face datasets: what is pushed can be looked at in the hub's viewer and pulled as the same atlas.

    push("atlas", "hf:me/my-atlas", private=True)          # https://huggingface.co/datasets/me/my-atlas
    atlas = pull("hf:me/my-atlas", "atlas")
    datasets.load_dataset("me/my-atlas", "units")          # the table, with a picture of every unit

A dataset holds `units/*.parquet` (all columns of the table, and `picture`), `thumbnails/*.parquet`, the exemplars as
safetensors, atlas.json, and what else lay in the atlas under `files/`. Exemplar pictures of the probe set are shared
with it. A search index is not: the first search makes it.
"""

import io
import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from describer.atlas import THUMBNAIL, Atlas
from describer.errors import AtlasError
from describer.exemplars import Exemplars
from describer.files import PART, disk_faults
from describer.manifest import FILE, Manifest
from describer.picture import cards, exemplar_grid
from describer.search.atlasindex import FOLDER
from describer.unittable import SCHEMA, UnitTable

Progress = Callable[[str, int, int], None]
OWN = (FILE, "exemplars", "thumbnails", "units.lance", FOLDER)
"What of an atlas has a form of its own in a dataset, or none."
PER_FILE = 2_000
"Pictures a Parquet file."
_PICTURE = pa.struct([pa.field("bytes", pa.binary()), pa.field("path", pa.string())])
"How `datasets` keeps a picture."
THUMBNAILS = pa.schema([pa.field("image_index", pa.int32()), pa.field("image", _PICTURE)])


def push(
    atlas: str | Path,
    repo: str,
    *,
    private: bool = False,
    token: str | None = None,
    endpoint: str | None = None,
    progress: Progress | None = None,
) -> str:
    """Share an atlas as the dataset `repo` ("hf:me/my-atlas"), made where it is new; returns its address.

    A second push replaces the first. Raises AtlasError for a name that is none, or what the hub refuses.
    """
    from huggingface_hub import HfApi

    name, opened = repo_name(repo), Atlas.open(atlas)
    with tempfile.TemporaryDirectory(prefix="describer-push-") as folder, _hub_faults(repo):
        stage(opened, Path(folder), progress or _silent)
        api = HfApi(endpoint=endpoint, token=token)
        made = api.create_repo(name, repo_type="dataset", private=private, exist_ok=True)
        api.upload_folder(
            repo_id=name,
            repo_type="dataset",
            folder_path=folder,
            commit_message=f"Atlas of {opened.meta.model.name}",
            delete_patterns=["units/*", "thumbnails/*", "exemplars/*", "files/**"],
        )
    return str(made)


def pull(
    repo: str,
    out: str | Path,
    *,
    revision: str | None = None,
    token: str | None = None,
    endpoint: str | None = None,
    progress: Progress | None = None,
) -> Atlas:
    """The atlas that was pushed as `repo`, at `out`, opened to read; whole or not there at all.

    Raises AtlasError where `out` exists, or the dataset is none of an atlas. Repeated after a stop it goes on.
    """
    from huggingface_hub import snapshot_download

    name, out, report = repo_name(repo), Path(out), progress or _silent
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise AtlasError(f"{out} must be new or empty. Got something that is there. Name another folder.")
    with disk_faults(out):
        out.parent.mkdir(parents=True, exist_ok=True)
        part = out.with_name(PART + out.name)
        report("downloading", 0, 1)
        with _hub_faults(repo):
            snapshot_download(
                name, repo_type="dataset", revision=revision, local_dir=part / "hub", token=token, endpoint=endpoint
            )
        report("downloading", 1, 1)
        shutil.rmtree(part / "atlas", ignore_errors=True)
        unstage(part / "hub", part / "atlas", repo, report)
        os.replace(part / "atlas", out)
        shutil.rmtree(part)
    return Atlas.open(out)


def repo_name(repo: str) -> str:
    """The name within "hf:OWNER/NAME"; raises AtlasError for what is no name."""
    kind, _, name = repo.partition(":")
    if kind != "hf" or not re.fullmatch(r"[\w.-]+/[\w.-]+", name):
        raise AtlasError(f"a dataset of the hub must be named hf:OWNER/NAME. Got {repo!r}. Try hf:me/my-atlas.")
    return name


# An atlas as the files of a dataset


def stage(atlas: Atlas, folder: Path, report: Progress) -> None:
    """Write the dataset of an atlas into an empty folder."""
    (folder / "units").mkdir()
    (folder / "thumbnails").mkdir()
    layers = [entry.name for entry in atlas.meta.layers if entry.probed]
    for number, layer in enumerate(layers):
        report("drawing units", number, len(layers))
        _write(_units_table(atlas, layer), folder / "units" / f"{number:05}.parquet", {"picture"})
    report("drawing units", len(layers), len(layers))
    for number, table in enumerate(_thumbnail_tables(atlas.path / "thumbnails")):
        _write(table, folder / "thumbnails" / f"{number:05}.parquet", {"image"})
    shutil.copytree(atlas.path / "exemplars", folder / "exemplars", ignore=shutil.ignore_patterns(f"{PART}*"))
    shutil.copyfile(atlas.path / FILE, folder / FILE)
    for other in atlas.path.iterdir():
        if other.name not in OWN and not other.name.startswith("."):
            copy = shutil.copytree if other.is_dir() else shutil.copyfile
            (folder / "files").mkdir(exist_ok=True)
            copy(other, folder / "files" / other.name)
    (folder / "README.md").write_text(card(atlas), encoding="utf-8")


def _units_table(atlas: Atlas, layer: str) -> pa.Table:
    rows = atlas.units(layer)
    pictures = [{"bytes": _jpeg(exemplar_grid(card, 8, 72)), "path": None} for card in cards(atlas, layer, rows, 8)]
    told = [{**r, "scores": [{"name": n, "value": v} for n, v in r["scores"].items()]} for r in rows]
    return pa.Table.from_pylist(told, schema=SCHEMA).append_column("picture", pa.array(pictures, _PICTURE))


def _jpeg(picture: Image.Image) -> bytes:
    content = io.BytesIO()
    picture.save(content, "JPEG", quality=85)
    return content.getvalue()


def _thumbnail_tables(folder: Path) -> Iterator[pa.Table]:
    files = sorted((int(file.stem), file) for file in folder.glob("*.jpg"))
    for start in range(0, len(files), PER_FILE):
        part = files[start : start + PER_FILE]
        rows = [{"image_index": n, "image": {"bytes": file.read_bytes(), "path": file.name}} for n, file in part]
        yield pa.Table.from_pylist(rows, schema=THUMBNAILS)


def _write(table: pa.Table, path: Path, pictures: set[str]) -> None:
    """A Parquet file whose columns of pictures the hub's viewer shows as such."""
    from datasets import Features
    from datasets import Image as ImageFeature

    plain = [field for field in table.schema if field.name not in pictures]
    features = Features.from_arrow_schema(pa.schema(plain))
    features |= {name: ImageFeature() for name in pictures}
    metadata = Features({name: features[name] for name in table.schema.names}).arrow_schema.metadata
    pq.write_table(table.replace_schema_metadata(metadata), path, row_group_size=100)


def card(atlas: Atlas) -> str:
    """The dataset's page."""
    rows = atlas.units()
    named = sum(row["description"] is not None for row in rows)
    configs = [{"config_name": name, "data_files": f"{name}/*.parquet"} for name in ("units", "thumbnails")]
    head = json.dumps({"tags": ["interpretability", "neurons", "describer"], "configs": configs}, indent=1)
    told = "".join(f"- `{entry.name}`: {entry.units} units\n" for entry in atlas.meta.layers if entry.probed)
    methods = ", ".join(sorted({row["method"] for row in rows})) or "none"
    return f"""---
{head}
---
# What the units of {_plain(atlas.meta.model.name)} respond to

An atlas made by `describer` {_plain(atlas.meta.package)}: {named} descriptions of units ({_plain(methods)}), over the
{atlas.meta.n_images} images of {_plain(atlas.meta.images.name)}.

{told}
```sh
describer pull hf:OWNER/NAME atlas
describer search atlas "dog faces"
```
"""


def _plain(text: str) -> str:
    """A name that cannot become markup of a page."""
    return re.sub(r"[^\w.:/,* +-]", "_", text)


# The files of a dataset as an atlas


def unstage(hub: Path, folder: Path, repo: str, report: Progress) -> None:
    """Write the atlas in a dataset into a new folder; raises AtlasError for a dataset that is none of an atlas."""
    if not (hub / FILE).is_file():
        raise AtlasError(f"{repo} must be an atlas that was pushed. Got a dataset without {FILE}. Check the name.")
    meta = Manifest.read(hub)
    for name in ("exemplars", "thumbnails"):
        (folder / name).mkdir(parents=True)
    try:
        _read_units(hub, folder, meta)
        for file in sorted((hub / "thumbnails").glob("*.parquet")):
            _read_thumbnails(pq.read_table(file, columns=THUMBNAILS.names), folder / "thumbnails")
    except (pa.ArrowException, KeyError, ValueError, OSError) as fault:
        raise AtlasError(f"{repo} must hold the tables of an atlas. Got: {fault}. Push it again.") from fault
    atlas = Atlas(folder, meta, None)
    for number, entry in enumerate(entry for entry in meta.layers if entry.probed):
        report("checking layers", number, len(meta.layers))
        file = atlas.exemplars_file(entry.name)
        if not (hub / "exemplars" / file.name).is_file():
            raise AtlasError(f"{repo} must hold the exemplars of {entry.name}. Got none. Push it again.")
        shutil.copyfile(hub / "exemplars" / file.name, file)
        Exemplars.load(file)
    if (hub / "files").is_dir():
        for other in (hub / "files").iterdir():
            if other.name not in OWN and not other.is_symlink():
                copy = shutil.copytree if other.is_dir() else shutil.copyfile
                copy(other, folder / other.name)
    meta.write(folder)
    report("checking layers", len(meta.layers), len(meta.layers))


def _read_units(hub: Path, folder: Path, meta: Manifest) -> None:
    tables = [_of_today(pq.read_table(file)) for file in sorted((hub / "units").glob("*.parquet"))]
    rows = pa.concat_tables(tables).to_pylist() if tables else []
    wanted = [(entry.name, method) for entry in meta.layers for method in entry.methods]
    by_layer: dict[tuple[str, str], list[dict[str, Any]]] = {key: [] for key in wanted}
    for row in rows:
        by_layer[row["layer"], row["method"]].append(row)
    table = UnitTable(folder)
    for (layer, method), own in by_layer.items():
        table.replace(layer, method, own)


def _of_today(table: pa.Table) -> pa.Table:
    """The units in the columns of today; those that were not there when they were pushed are empty."""
    of_today = [table[f.name] if f.name in table.column_names else pa.nulls(len(table), f.type) for f in SCHEMA]
    return pa.table(of_today, SCHEMA.names).cast(SCHEMA)


def _read_thumbnails(table: pa.Table, folder: Path) -> None:
    for row in table.cast(THUMBNAILS).to_pylist():
        content = row["image"]["bytes"]
        with Image.open(io.BytesIO(content)) as picture:
            if picture.format != "JPEG" or max(picture.size) > 4 * THUMBNAIL:
                raise ValueError(f"thumbnail {row['image_index']} is {picture.format} of {picture.size} pixels")
        (folder / f"{int(row['image_index'])}.jpg").write_bytes(content)


@contextmanager
def _hub_faults(repo: str) -> Iterator[None]:
    """Turn what the hub or the network refuses into one AtlasError.

    Known by the library that raises: it has changed its own library for the network more than once.
    """
    try:
        yield
    except Exception as fault:
        if type(fault).__module__.partition(".")[0] not in ("huggingface_hub", "httpx", "httpx2", "requests"):
            raise
        line = next(iter(str(fault).strip().splitlines()), "").rstrip(". ")
        raise AtlasError(
            f"{repo} must be reachable on the hub, with a token that may. Got {type(fault).__name__}: {line}. "
            "Check the name, the network and HF_TOKEN."
        ) from fault


def _silent(stage: str, done: int, total: int) -> None:
    """Progress for nobody."""
