"""The MILANNOTATIONS layout: written, read, and the published reader's two faults (layers of digits, unit ids)."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from describer.data.milannotations import (
    AnnotatedExemplars,
    list_annotated_layers,
    read_annotated_exemplars,
    write_annotated_exemplars,
    write_exemplars,
)
from describer.errors import ImagesError
from describer.exemplars import Exemplars

UNITS, K, HEIGHT, WIDTH = 5, 3, 7, 11


def layer_of(name: str, unit_ids: tuple[int, ...] = (2, 3, 5, 7, 11), pictures: bool = True) -> AnnotatedExemplars:
    rng = np.random.default_rng(len(name))
    return AnnotatedExemplars(
        name,
        np.array(unit_ids, np.int64),
        rng.integers(0, 255, (UNITS, K, 3, HEIGHT, WIDTH), dtype=np.uint8) if pictures else None,
        rng.integers(0, 2, (UNITS, K, 1, HEIGHT, WIDTH), dtype=np.uint8),
        rng.integers(0, 999, (UNITS, K)),
        rng.random((UNITS, K), dtype=np.float32),
        [[f"{name} {unit}, first", 'a "quoted" one'][: i % 3] for i, unit in enumerate(unit_ids)],
    )


def same(one: AnnotatedExemplars, other: AnnotatedExemplars) -> None:
    assert one.layer == other.layer
    assert one.annotations == other.annotations
    assert (one.unit_ids == other.unit_ids).all()
    assert (one.masks == other.masks).all()
    for name in ("images", "ids"):
        a, b = getattr(one, name), getattr(other, name)
        assert (a is None) == (b is None)
        assert a is None or (a == b).all()
    assert one.activations is not None
    assert other.activations is not None
    assert np.allclose(one.activations, other.activations, rtol=1e-5)


@pytest.mark.parametrize("name", ["layer4", "0", "layer1.0.conv1"])
def test_what_is_written_is_read(name: str, tmp_path: Path) -> None:
    written = layer_of(name)
    write_annotated_exemplars(tmp_path, written)
    read = read_annotated_exemplars(tmp_path, name)
    same(read, written)
    assert isinstance(read.images, np.memmap)
    assert isinstance(read.masks, np.memmap)
    assert not list(tmp_path.rglob("*.part"))


def test_layers_of_digits_keep_their_annotations(tmp_path: Path) -> None:
    for name in ("0", "4", "10", "conv1"):
        write_annotated_exemplars(tmp_path, layer_of(name))
    assert list_annotated_layers(tmp_path) == ["0", "10", "4", "conv1"]
    for name in ("0", "4", "10", "conv1"):
        assert read_annotated_exemplars(tmp_path, name).annotations == layer_of(name).annotations


def test_a_unit_is_found_by_its_id_not_its_row(tmp_path: Path) -> None:
    write_annotated_exemplars(tmp_path, layer_of("conv1"))
    read = read_annotated_exemplars(tmp_path, "conv1")
    assert read.lookup(5) == 2
    assert read.annotations[read.lookup(5)] == ["conv1 5, first", 'a "quoted" one']
    with pytest.raises(
        ImagesError, match=r"^unit must be one of the 5 units of conv1\. Got 4\. Do read another layer\.$"
    ):
        read.lookup(4)
    assert read.annotated(1) == [1, 2, 4]
    assert read.annotated() == []


def test_without_units_file_rows_are_units(tmp_path: Path) -> None:
    write_annotated_exemplars(tmp_path, layer_of("a", (0, 1, 2, 3, 4)))
    (tmp_path / "a" / "units.npy").unlink()
    same(read_annotated_exemplars(tmp_path, "a"), layer_of("a", (0, 1, 2, 3, 4)))


def test_pictures_ids_activations_and_annotations_may_be_missing(tmp_path: Path) -> None:
    write_annotated_exemplars(tmp_path, layer_of("a", pictures=False))
    for name in ("a/ids.csv", "a/activations.csv", "annotations.csv"):
        (tmp_path / name).unlink()
    read = read_annotated_exemplars(tmp_path, "a")
    assert (read.images, read.ids, read.activations) == (None, None, None)
    assert read.annotations == [[]] * UNITS
    assert (len(read), read.k) == (UNITS, K)


def test_other_columns_and_fewer_sentences(tmp_path: Path) -> None:
    write_annotated_exemplars(tmp_path, layer_of("a"))
    (tmp_path / "annotations.csv").write_text("l,n,text,x\na,5,one,1\na,5,two,1\na,99,nobody's,1\n")
    read = read_annotated_exemplars(tmp_path, "a", columns=("l", "n", "text"), n_annotations=1)
    assert read.annotations == [[], [], ["one"], [], []]
    with pytest.raises(
        ImagesError, match=r"must have the columns layer, unit, summary\. Got \['l', 'n', 'text', 'x'\]"
    ):
        read_annotated_exemplars(tmp_path, "a")


def test_writing_a_layer_again_replaces_its_sentences_only(tmp_path: Path) -> None:
    for name in ("a", "b", "a"):
        write_annotated_exemplars(tmp_path, layer_of(name))
    for name in ("a", "b"):
        assert read_annotated_exemplars(tmp_path, name).annotations == layer_of(name).annotations


BAD = {
    "masks.npy": (
        np.zeros((UNITS, K, 3, HEIGHT, WIDTH), np.uint8),
        r"masks\.npy must be uint8 of shape \(units, k, 1,",
    ),
    "images.npy": (np.zeros((UNITS, K, 3, HEIGHT), np.uint8), r"images\.npy must be uint8 of shape \(units, k, 3,"),
    "units.npy": (np.zeros((UNITS, 1), np.int64), r"units\.npy must have shape \(5,\)\. Got \(5, 1\)"),
}


@pytest.mark.parametrize(("name", "array", "message"), [(name, *rest) for name, rest in BAD.items()])
def test_files_of_another_shape_are_refused(name: str, array: np.ndarray, message: str, tmp_path: Path) -> None:
    write_annotated_exemplars(tmp_path, layer_of("a"))
    np.save(tmp_path / "a" / name, array)
    with pytest.raises(ImagesError, match=message):
        read_annotated_exemplars(tmp_path, "a")


@pytest.mark.parametrize("shape", [(UNITS - 1, K, 3, HEIGHT, WIDTH), (UNITS, K, 3, HEIGHT, WIDTH + 1)])
def test_images_and_masks_must_fit(shape: tuple[int, ...], tmp_path: Path) -> None:
    write_annotated_exemplars(tmp_path, layer_of("a"))
    np.save(tmp_path / "a" / "images.npy", np.zeros(shape, np.uint8))
    with pytest.raises(ImagesError, match=r"^masks of .* must fit images \("):
        read_annotated_exemplars(tmp_path, "a")


def test_missing_and_pickled_files_are_told(tmp_path: Path) -> None:
    with pytest.raises(ImagesError, match=r"must hold folders of layers with masks\.npy\. Got none\."):
        list_annotated_layers(tmp_path)
    with pytest.raises(ImagesError, match=r"masks\.npy must be an array\. Got: "):
        read_annotated_exemplars(tmp_path, "a")
    write_annotated_exemplars(tmp_path, layer_of("a"))
    np.save(tmp_path / "a" / "masks.npy", np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(ImagesError, match=r"masks\.npy must be an array\. Got: "):
        read_annotated_exemplars(tmp_path, "a")
    (tmp_path / "b").mkdir()
    write_annotated_exemplars(tmp_path, layer_of("b"))
    (tmp_path / "b" / "ids.csv").write_text("1,2,3\n")
    with pytest.raises(ImagesError, match=r"ids\.csv must have 5 rows of 3\. Got \(1, 3\)"):
        read_annotated_exemplars(tmp_path, "b")


class Painted:
    """Computes a picture of one colour for every index."""

    def image(self, index: int) -> Image.Image:
        """A picture whose red is the index."""
        return Image.new("RGB", (13, 17), (index, 5, 7))


def test_probed_exemplars_are_written_with_their_masks(tmp_path: Path) -> None:
    generator = torch.Generator().manual_seed(3)
    exemplars = Exemplars(
        "7",
        torch.tensor([3, 8]),
        torch.tensor([[4, 2, 9], [6, 1, -1]]),
        torch.tensor([[3.0, 2.0, 1.5], [2.0, 1.0, 0.0]]),
        torch.rand((2, 3, 5, 7), generator=generator).half(),
        torch.tensor([0.5, 0.25]),
        torch.tensor([False, False]),
    )
    write_exemplars(tmp_path, exemplars, Painted(), size=19, annotations={8: ["stripes"]})
    read = read_annotated_exemplars(tmp_path, "7")
    assert read.unit_ids.tolist() == [3, 8]
    assert read.annotations == [[], ["stripes"]]
    assert read.ids is not None
    assert read.ids.tolist() == exemplars.images.tolist()
    assert (np.asarray(read.masks)[:, :, 0] == exemplars.masks(19).numpy()).all()
    assert read.images is not None
    assert read.images[0, 2, :, 3, 4].tolist() == [9, 5, 7]
    assert not read.images[1, 2].any()
    assert not read.masks[1, 2].any()
