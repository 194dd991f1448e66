"""Concept sets that cannot be read: each fault is told in one line, at once or with the picture that has it."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from describer.data.concepts import load_concepts
from describer.errors import ImagesError
from tests.data.labelled import clothing, encoded, mask, picture


def test_masks_of_another_size(tmp_path: Path) -> None:
    masks = [encoded(mask(i) if i != 3 else mask(i)[:-1]) for i in range(5)]
    concepts = load_concepts(str(clothing(tmp_path / "clothing", mask=masks)))
    concepts.labels(2)
    with pytest.raises(ImagesError, match=r"as large as its picture, 13x11\. Got 13x10 for picture 3"):
        concepts.labels(3)


def test_ids_without_names(tmp_path: Path) -> None:
    concepts = load_concepts(str(clothing(tmp_path / "clothing", names={"0": "null", "1": "hat", "5": "boots"})))
    with pytest.raises(ImagesError, match=r"must have a name\. Got object 2 in picture 0"):
        concepts.labels(0)


@pytest.mark.parametrize(
    ("names", "fault"),
    [
        ({"1": "hat", "2": "hat", "5": "boots"}, "Names of a category must differ. Got 'hat' for object 1 and 2"),
        ({"0": "null"}, "must name at least one concept"),
        ({"one": "hat"}, "must have its names in labels.json"),
        ({"-1": "hat"}, "must have its names in labels.json"),
        (["hat"], "must have its names in labels.json"),
    ],
)
def test_names_that_cannot_be_used(tmp_path: Path, names: dict[str, str], fault: str) -> None:
    with pytest.raises(ImagesError, match=fault):
        load_concepts(str(clothing(tmp_path / "clothing", names=names)))


def test_sources_that_are_none(tmp_path: Path) -> None:
    for source, fault in [
        ("", "Concepts must be named"),
        (str(tmp_path / "none"), "Concepts must be Parquet files, a Broden or ADE20K folder"),
        ("scenes:0", "scenes must be scenes:N"),
    ]:
        with pytest.raises(ImagesError, match=fault):
            load_concepts(source)
    pq.write_table(pa.table({"image": [encoded(picture(0))]}), tmp_path / "bare.parquet")
    with pytest.raises(ImagesError, match="must have a column mask, or one of object, part"):
        load_concepts(str(tmp_path / "bare.parquet"))
    (clothing(tmp_path / "unnamed") / "labels.json").unlink()
    with pytest.raises(ImagesError, match=r"must have its names in labels\.json"):
        load_concepts(str(tmp_path / "unnamed"))


def test_cells_that_hold_no_mask(tmp_path: Path) -> None:
    bad = [
        encoded(mask(0)),
        {"bytes": b"no picture", "path": ""},
        {"bytes": None, "path": None},
        *[encoded(mask(3))] * 2,
    ]
    concepts = load_concepts(str(clothing(tmp_path / "clothing", mask=bad)))
    with pytest.raises(ImagesError, match="A label map must be a picture of ids"):
        concepts.labels(1)
    with pytest.raises(ImagesError, match=r"Row 2 of .* must hold a mask"):
        concepts.labels(2)
