"""Atlases as datasets: pushed to a hub on this machine and pulled again, they are the same atlas."""

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from PIL import Image
from safetensors.torch import load_file

from describer.atlas import Atlas
from describer.errors import AtlasError
from describer.search.share import pull, push
from tests.describer.test_atlas import write_all
from tests.describer.worlds import LAYERS
from tests.search.hub import Hub, running_hub

REPO = "hf:some-one/small.atlas"
NAME = "some-one/small.atlas"


@pytest.fixture(scope="module")
def atlas(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("share") / "atlas"
    write_all(path)
    (path / "forms").mkdir()
    (path / "forms" / "table.json").write_text("[1, 2]")
    (path / "index").mkdir()
    (path / "index" / "big").write_text("not shared")
    return path


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    monkeypatch.setenv("HF_TOKEN", "hf_of_a_test")
    with running_hub() as running:
        yield running


def said(path: Path) -> dict[str, Any]:
    """All that an atlas says."""
    told: dict[str, Any] = {"units": Atlas.open(path).units(), "meta": Atlas.open(path).meta}
    told |= {file.name: file.read_bytes() for file in path.glob("thumbnails/*")}
    for file in path.glob("exemplars/*"):
        told[file.name] = {name: tensor.tolist() for name, tensor in load_file(file).items()}
    return told


def test_what_was_pushed_is_pulled(atlas: Path, hub: Hub, tmp_path: Path) -> None:
    assert push(atlas, REPO, private=True, endpoint=hub.address) == f"{hub.address}/datasets/{NAME}"
    assert hub.asked[NAME]["type"] == "dataset" and hub.asked[NAME]["visibility"] == "private"
    pulled = pull(REPO, tmp_path / "again", endpoint=hub.address)
    assert said(pulled.path) == said(atlas) and len(pulled.units()) == sum(units for units, _, _ in LAYERS.values())
    assert (pulled.path / "forms" / "table.json").read_text() == "[1, 2]"
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["again"]
    assert sorted(entry.name for entry in pulled.path.iterdir() if not entry.name.startswith(".")) == [
        "atlas.json", "exemplars", "forms", "thumbnails", "units.lance",
    ]  # fmt: skip


def test_the_viewer_has_a_picture_of_every_unit(atlas: Path, hub: Hub, tmp_path: Path) -> None:
    import datasets

    push(atlas, REPO, endpoint=hub.address)
    files = hub.files[NAME]
    units = sorted(path for path in files if path.startswith("units/"))
    for path in units:
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_bytes(files[path])
    found = datasets.load_dataset(
        "parquet", data_files=[str(tmp_path / path) for path in units], cache_dir=str(tmp_path / "cache"), split="train"
    )
    rows = Atlas.open(atlas).units()
    assert found["id"] == [row["id"] for row in rows] and found["description"] == [row["description"] for row in rows]
    assert isinstance(found[0]["picture"], Image.Image) and found[0]["picture"].width > 400
    thumbnails = pq.read_table(io.BytesIO(files["thumbnails/00000.parquet"]))
    assert len(thumbnails) == len(list(atlas.glob("thumbnails/*.jpg")))
    assert b"configs" in files["README.md"] and not any("index" in path for path in files)


def test_a_second_push_replaces_the_first(atlas: Path, hub: Hub, tmp_path: Path) -> None:
    push(atlas, REPO, endpoint=hub.address)
    hub.files[NAME]["units/99999.parquet"] = b"from another time"
    push(atlas, REPO, endpoint=hub.address)
    assert "units/99999.parquet" not in hub.files[NAME]
    assert said(pull(REPO, tmp_path / "again", endpoint=hub.address).path) == said(atlas)


def test_faults_are_told(atlas: Path, hub: Hub, tmp_path: Path) -> None:
    with pytest.raises(AtlasError, match=r"hf:OWNER/NAME\. Got 'me/atlas'\. Try hf:me/my-atlas\."):
        push(atlas, "me/atlas", endpoint=hub.address)
    with pytest.raises(AtlasError, match="hf:no/where must be reachable on the hub"):
        pull("hf:no/where", tmp_path / "a", endpoint=hub.address)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").touch()
    with pytest.raises(AtlasError, match="full must be new or empty"):
        pull(REPO, tmp_path / "full", endpoint=hub.address)
    hub.files["some/photos"] = {"README.md": b"photos"}
    with pytest.raises(AtlasError, match=r"must be an atlas that was pushed. Got a dataset without atlas.json"):
        pull("hf:some/photos", tmp_path / "b", endpoint=hub.address)
    assert not (tmp_path / "a").exists() and not (tmp_path / "b").exists()


@pytest.mark.parametrize(
    ("path", "content", "told"),
    [
        ("atlas.json", b'{"format": 99}', "format 1. Got format 99"),
        ("units/00000.parquet", b"no table", "must hold the tables of an atlas"),
        ("exemplars/stem.safetensors", b"\0" * 64, "must hold exemplars"),
        ("exemplars/stem.safetensors", None, "must hold the exemplars of stem"),
        ("thumbnails/00000.parquet", b"", "must hold the tables of an atlas"),
    ],
)
def test_a_damaged_dataset_leaves_nothing(
    path: str, content: bytes | None, told: str, atlas: Path, hub: Hub, tmp_path: Path
) -> None:
    push(atlas, REPO, endpoint=hub.address)
    if content is None:
        del hub.files[NAME][path]
    else:
        hub.files[NAME][path] = content
    with pytest.raises(AtlasError, match=told):
        pull(REPO, tmp_path / "again", endpoint=hub.address)
    assert not (tmp_path / "again").exists()


def test_a_pull_goes_on_after_a_fault(atlas: Path, hub: Hub, tmp_path: Path) -> None:
    push(atlas, REPO, endpoint=hub.address)
    whole = hub.files[NAME].pop("exemplars/stem.safetensors")
    with pytest.raises(AtlasError):
        pull(REPO, tmp_path / "again", endpoint=hub.address)
    hub.files[NAME]["exemplars/stem.safetensors"] = whole
    assert said(pull(REPO, tmp_path / "again", endpoint=hub.address).path) == said(atlas)
