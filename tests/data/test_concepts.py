"""Concept sets say, bit for bit, what a slow reader of the same files says; faults are told in one line."""

import csv
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from describer.data.concepts import load_concepts
from describer.data.images import load_images
from describer.data.scenes import NAMES, draw_scene
from describer.data.scenes.palette import COLOR_TERMS, name_colors
from describer.errors import ImagesError, WeightsError
from tests.data.labelled import HATS, clothing, encoded, mask, picture, slow, textures, told

# Parquet


def test_masks_in_the_rows(tmp_path: Path) -> None:
    concepts = load_concepts(str(clothing(tmp_path / "clothing")))
    names = {int(number): name for number, name in HATS.items()}
    assert len(concepts) == 5 and concepts.names == {"object": ("", "hat", "scarf", "", "", "boots")}
    assert concepts.concepts == [("object", 1), ("object", 2), ("object", 5)]
    for i in (4, 0, 2):
        assert told(concepts, i) == sorted(slow("object", mask(i), names), key=str)
        assert np.array_equal(np.asarray(concepts.images.image(i)), picture(i))


def test_words_in_the_rows(tmp_path: Path) -> None:
    concepts = load_concepts(str(textures(tmp_path / "textures", "woven", "banded", None, "woven")))
    assert concepts.names == {"texture": ("", "banded", "woven")}
    assert [told(concepts, i) for i in range(4)] == [
        [("texture", word, None)] if word else [] for word in ("woven", "banded", None, "woven")
    ]


@pytest.fixture
def segments(tmp_path: Path) -> Path:
    """Masks that name their pictures, in another order than photos/ has them; one picture has no mask."""
    (tmp_path / "photos").mkdir()
    for i in range(4):
        Image.fromarray(picture(i)).save(tmp_path / "photos" / f"{i}.png")
    root = tmp_path / "segments"
    root.mkdir()
    rows = {"path": [f"{i}.png" for i in (3, 0, 9, 2)], "mask": [encoded(mask(i)) for i in (3, 0, 9, 2)]}
    pq.write_table(pa.table(rows), root / "a.parquet")
    (root / "labels.json").write_text(json.dumps(HATS))
    return tmp_path


@pytest.mark.parametrize("kind", ["folder", "parquet", "probe set"])
def test_masks_joined_to_their_pictures_by_name(segments: Path, kind: str) -> None:
    photos, images = segments / "photos", None
    if kind == "parquet":
        rows = [encoded(picture(i), f"{i}.png") for i in range(4)]
        pq.write_table(pa.table({"image": rows}), segments / "photos.parquet")
        photos = segments / "photos.parquet"
    if kind == "probe set":
        concepts = load_concepts(str(segments / "segments"), load_images(str(photos)))
    else:
        concepts = load_concepts(f"{segments / 'segments'}@{photos}", images)
    names = {int(number): name for number, name in HATS.items()}
    for i in range(4):
        assert np.array_equal(np.asarray(concepts.images.image(i)), picture(i))
        assert told(concepts, i) == (sorted(slow("object", mask(i), names), key=str) if i != 1 else [])


def test_masks_without_their_pictures(segments: Path) -> None:
    masks = segments / "segments"
    with pytest.raises(ImagesError, match=rf"joined to some\. Got '{masks}'\. Write {masks}@PICTURES"):
        load_concepts(str(masks))
    with pytest.raises(ImagesError, match=r"must name pictures of scenes:3|must be joined to a folder or Parquet"):
        load_concepts(f"{masks}@scenes:3:0")
    Image.fromarray(picture(0)).save(segments / "other.png")
    (segments / "others").mkdir()
    (segments / "other.png").rename(segments / "others" / "other.png")
    with pytest.raises(ImagesError, match="Got no name in common"):
        load_concepts(f"{masks}@{segments / 'others'}")


# Broden

LABELS = [
    (1, "red", "color"),
    (2, "tree", "object"),
    (3, "roof", "part"),
    (4, "beach", "scene"),
    (300, "car", "object;part"),
]


def broden(root: Path, parts: int = 2) -> Path:
    """A small Broden: maps at half resolution, two part maps a picture, ids above 255, words, empty cells."""
    (root / "images").mkdir(parents=True)
    header = ["image", "split", "ih", "iw", "sh", "sw", "color", "object", "part", "scene", "texture"]
    rows = []
    for i in range(3):
        Image.fromarray(picture(i, (14, 10))).save(root / "images" / f"{i}.jpg")
        files = {}
        for category, n_maps, ids in (("color", 1, (0, 1)), ("object", 1, (0, 2, 300)), ("part", parts, (0, 3, 300))):
            files[category] = [f"{i}_{category}_{k}.png" for k in range(n_maps if i else 0)]
            for k, file in enumerate(files[category]):
                numbers = broden_map(i, category, k, ids)
                pixels = np.stack([numbers % 256, numbers // 256, np.zeros_like(numbers)], -1).astype(np.uint8)
                Image.fromarray(pixels).save(root / "images" / file)
        cells = [";".join(files[c]) for c in ("color", "object", "part")]
        rows.append([f"{i}.jpg", "train", 10, 14, 5, 7, *cells, "4" if i < 2 else "", ""])
    write(root / "index.csv", header, rows)
    write(root / "category.csv", ["name", "first", "last"], [[c, 0, 0] for c in header[6:]])
    write(
        root / "label.csv",
        ["number", "name", "category"],
        [(n, m, f"{c.replace(';', '(3);')}(9)") for n, m, c in LABELS],
    )
    for category in header[6:]:
        listed = [(k, n, m) for k, (n, m, c) in enumerate(LABELS) if category in c.split(";")]
        write(root / f"c_{category}.csv", ["code", "number", "name"], listed)
    return root


def broden_map(index: int, category: str, k: int, ids: tuple[int, ...]) -> np.ndarray:
    return np.random.default_rng([index, k, len(category)]).choice(ids, (5, 7))


def write(path: Path, header: list[str], rows: list) -> None:
    with open(path, "w", newline="") as file:
        csv.writer(file).writerows([header, *rows])


@pytest.mark.parametrize("listing", ["c_ files", "label.csv alone"])
def test_broden(tmp_path: Path, listing: str) -> None:
    root = broden(tmp_path / "broden")
    if listing == "label.csv alone":
        for path in root.glob("c_*.csv"):
            path.unlink()
    concepts = load_concepts(str(root))
    assert concepts.names == {
        "color": ("", "red"), "object": ("", "tree", "car"), "part": ("", "roof", "car"), "scene": ("", "beach"),
    }  # fmt: skip
    names = {number: name for number, name, _ in LABELS}
    for i in range(3):
        expected = [("scene", "beach", None)] if i < 2 else []
        for category, n_maps, ids in (("color", 1, (0, 1)), ("object", 1, (0, 2, 300)), ("part", 2, (0, 3, 300))):
            for k in range(n_maps if i else 0):
                expected += slow(category, broden_map(i, category, k, ids), names)
        assert told(concepts, i) == sorted(expected, key=str)
        assert concepts.images.image(i).size == (14, 10)


def test_broden_faults(tmp_path: Path) -> None:
    root = broden(tmp_path / "broden")
    Image.fromarray(np.zeros((6, 7), np.uint8)).save(root / "images" / "1_object_0.png")
    with pytest.raises(ImagesError, match=r"as large as index\.csv says, 7x5\. Got 7x6 in 1_object_0\.png"):
        load_concepts(str(root)).labels(1)
    Image.fromarray(np.full((5, 7), 3, np.uint8)).save(root / "images" / "1_object_0.png")
    with pytest.raises(ImagesError, match=r"must have a name\. Got object 3 in picture 1"):
        load_concepts(str(root)).labels(1)
    write(root / "c_object.csv", ["code", "number", "name"], [(0, 2, "tree"), (1, 77, "?")])
    with pytest.raises(ImagesError, match=r"label\.csv must name every label\. Got object 77"):
        load_concepts(str(root))
    (root / "label.csv").unlink()
    with pytest.raises(ImagesError, match=r"A Broden folder must have label\.csv"):
        load_concepts(str(root))


# ADE20K


@pytest.mark.parametrize("listing", ["objectInfo150.txt", "labels.json"])
def test_ade(tmp_path: Path, listing: str) -> None:
    for i, split in enumerate(("training", "training", "validation")):
        for folder in ("images", "annotations"):
            (tmp_path / folder / split).mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture(i)).save(tmp_path / "images" / split / f"{i}.jpg")
        Image.fromarray(mask(i)).save(tmp_path / "annotations" / split / f"{i}.png")
    if listing == "labels.json":
        (tmp_path / listing).write_text(json.dumps(HATS))
    else:
        lines = ["Idx\tRatio\tTrain\tVal\tName", *(f"{i}\t0.1\t1\t1\t{name}\t" for i, name in list(HATS.items())[1:])]
        (tmp_path / listing).write_text("\n".join(lines))
    (tmp_path / "sceneCategories.txt").write_text("0 bus_stop\n2 airport\n")
    concepts = load_concepts(str(tmp_path))
    assert concepts.names["scene"] == ("", "airport", "bus stop")
    names = {int(number): name for number, name in HATS.items()}
    for i, scene in enumerate(("bus stop", None, "airport")):
        expected = slow("object", mask(i), names) + ([("scene", scene, None)] if scene else [])
        assert told(concepts, i) == sorted(expected, key=str)
    (tmp_path / "annotations" / "validation" / "2.png").unlink()
    with pytest.raises(ImagesError, match=r"Every picture of .* must have its label map"):
        load_concepts(str(tmp_path))


# Drawn and computed


def test_scenes() -> None:
    concepts = load_concepts("scenes:3:7")
    for i in range(3):
        scene = draw_scene(7, i)
        expected = [("scene", scene.kind, None)]
        for category, ids in scene.labels.items():
            expected += slow(category, ids, dict(enumerate(NAMES[category])))
        assert told(concepts, i) == sorted(expected, key=str)


@pytest.fixture(scope="module")
def segmenter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny random SegFormer."""
    from transformers import SegformerConfig, SegformerForSemanticSegmentation, SegformerImageProcessor

    path = tmp_path_factory.mktemp("segformer")
    torch.manual_seed(0)
    sizes = {"hidden_sizes": [8, 8, 8, 8], "num_attention_heads": [1, 1, 1, 1], "depths": [1, 1, 1, 1]}
    names = {0: "background", 1: "cat", 2: "dog", 3: "tree", 4: "sky"}
    config = SegformerConfig(**sizes, decoder_hidden_size=8, num_labels=5, id2label=names)
    SegformerForSemanticSegmentation(config).save_pretrained(path)
    SegformerImageProcessor(size={"height": 64, "width": 64}).save_pretrained(path)
    return path


def test_segmentation_model(segmenter: Path) -> None:
    from transformers import SegformerForSemanticSegmentation, SegformerImageProcessor

    images = load_images("scenes:2:1")
    concepts = load_concepts(f"hf-seg:{segmenter}", images)
    assert concepts.names == {"object": ("", "", "cat", "dog", "tree", "sky")}
    model = SegformerForSemanticSegmentation.from_pretrained(segmenter).eval()
    processor = SegformerImageProcessor.from_pretrained(segmenter)
    for i in range(2):
        with torch.inference_mode():
            logits = model(**processor(images=images.image(i), return_tensors="pt"))
        classes = processor.post_process_semantic_segmentation(logits, [(128, 128)])[0].numpy()
        expected = slow("object", classes + 1, dict(enumerate(("", "?", "cat", "dog", "tree", "sky"))))
        assert told(concepts, i) == sorted((row for row in expected if row[1] != "?"), key=str)
    again = load_concepts(f"hf-seg:{segmenter}", load_images("scenes:2:1"))
    assert again.fingerprint == concepts.fingerprint


def test_models_that_do_not_segment(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="must be a semantic segmentation model"):
        load_concepts(f"hf-seg:{tmp_path}", load_images("scenes:2:1"))


def test_colors_need_pictures() -> None:
    images = load_images("scenes:2:1")
    pixels = np.asarray(images.image(1))
    expected = slow("color", name_colors(pixels), dict(enumerate(COLOR_TERMS)))
    assert told(load_concepts("colors", images), 1) == sorted(expected, key=str)
    with pytest.raises(ImagesError, match="Concepts that are computed must have pictures"):
        load_concepts("colors")


# Several at once


def test_pictures_of_several_sources_follow_one_another(tmp_path: Path, segmenter: Path) -> None:
    cloth, words = clothing(tmp_path / "clothing"), textures(tmp_path / "textures", "woven", "banded", "lined")
    concepts = load_concepts(f"{cloth},{words},scenes:2:7,colors")
    alone = [load_concepts(str(source)) for source in (cloth, words, "scenes:2:7")]
    assert len(concepts) == sum(map(len, alone)) == 10
    assert concepts.names["texture"] == ("", "banded", "lined", "woven", *NAMES["texture"][1:])
    assert concepts.names["object"][1:6] == ("hat", "scarf", "boots", "sky", "water")
    for i in range(10):
        part, inner = next((p, i - s) for p, s in zip(alone, (0, 5, 8), strict=True) if i < s + len(p))
        colors = told(load_concepts("colors", part.images), inner)
        assert told(concepts, i) == sorted([*told(part, inner), *colors], key=str)
    with pytest.raises(IndexError):
        concepts.images.image(10)


def test_labels_of_the_same_pictures_are_laid_upon_each_other(tmp_path: Path) -> None:
    one = clothing(tmp_path / "one")
    two = clothing(tmp_path / "two", names={"1": "red", "2": "hat", "5": "long"})
    (two / "a.parquet").write_bytes((one / "a.parquet").read_bytes())
    concepts = load_concepts(f"{one},{two}")
    assert len(concepts) == 5 and concepts.names == {"object": ("", "hat", "scarf", "boots", "red", "long")}
    both = [*told(load_concepts(str(one)), 3), *told(load_concepts(str(two)), 3)]
    assert sorted(told(concepts, 3), key=str) == sorted(set(both), key=str)


def test_fingerprints_tell_all_that_changes_the_labels(tmp_path: Path) -> None:
    one = clothing(tmp_path / "one")
    sources = [one, f"{one},colors", "scenes:3:7", "scenes:3:8", "scenes:4:7", "scenes:3:7,colors"]
    found = [load_concepts(str(source)).fingerprint for source in sources]
    assert len(set(found)) == len(found)
    assert load_concepts("scenes:3:7").fingerprint == found[2]
    (one / "labels.json").write_text(json.dumps(HATS | {"1": "cap"}))
    assert load_concepts(str(one)).fingerprint != found[0]
