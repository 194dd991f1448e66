"""Tangrams, drawn scenes, unit annotations and texts as sources."""

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from describer.data.milannotations import AnnotatedExemplars, write_annotated_exemplars
from describer.errors import ImagesError, RecipeError
from describer.training.corpus import coverage, split_of
from describer.training.sources.annotations import read_annotations
from describer.training.sources.scenes import implied, is_plain, read_scenes
from describer.training.sources.tangrams import draw, read_polygons, read_tangrams, shared_parts
from describer.training.sources.texts import read_texts, read_unit_texts

SVG = """<?xml version="1.0" encoding="utf-8"?>
<svg viewBox="0 0 20 20" xmlns="http://www.w3.org/2000/svg">
  <polygon id="1" points="0 0 10 0 10 10 0 10"/>
  <polygon id="2" points="0 0 0 10 10 10 10 0" transform="matrix(0, 1, -1, 0, 20, 10)"/>
  <polygon id="3" points="0,10 10,10 10,20 0,20" transform="translate(0)"/>
</svg>"""


def test_polygons_are_moved_by_their_matrix() -> None:
    polygons = read_polygons(SVG.encode())
    # (x, y) -> (-y + 20, x + 10)
    assert polygons["2"].tolist() == [[20, 10], [10, 10], [10, 20], [20, 20]]
    assert polygons["3"].tolist() == [[0, 10], [10, 10], [10, 20], [0, 20]]


def test_a_drawing_is_dark_where_its_masks_are() -> None:
    image, masks = draw(read_polygons(SVG.encode()))
    dark = np.asarray(image.convert("L")) < 128
    union = np.any(list(masks.values()), axis=0)
    assert (dark & ~union).mean() < 0.01
    assert (union & ~dark).mean() < 0.06  # the seams
    assert masks["1"][128, 128]
    assert not masks["1"][128, 384]
    assert masks["2"][384, 384]


def test_transforms_and_drawings_that_cannot_be_read() -> None:
    with pytest.raises(ImagesError, match=r"^A polygon's transform must be matrix or translate\. Got 'rotate\(3\)'"):
        read_polygons(SVG.replace("translate(0)", "rotate(3)").encode())
    with pytest.raises(ImagesError, match=r"^A tangram must be drawn as SVG polygons with ids\. Got none\."):
        read_polygons(b"<svg xmlns='http://www.w3.org/2000/svg'/>")


PEOPLE = [
    {"whole": "a bird", "piece": {"1": "head", "2": "the left wing", "3": "body"}},
    {"whole": "flying bird", "piece": {"1": "head", "2": "wings", "3": "wings"}},
    {"whole": "dog", "piece": {"2": "a wing", "3": "tail"}},
]


def test_a_part_lies_where_half_of_those_who_name_it_say() -> None:
    pytest.importorskip("HanTa")
    parts = shared_parts(PEOPLE, 2)
    assert {ids: phrases for ids, (_, phrases) in parts.items()} == {("1",): ["heads"], ("2",): ["wings"]}
    assert parts[("2",)][0] == ["the left wing", "wings", "a wing"]
    assert shared_parts([], 2) == {}


def test_tangrams_give_wholes_and_parts(tmp_path: Path) -> None:
    pytest.importorskip("HanTa")
    with zipfile.ZipFile(tmp_path / "k.zip", "w") as archive:
        archive.writestr("full.json", json.dumps({"page1-0": PEOPLE, "page1-1": PEOPLE, "undrawn": PEOPLE}))
        for name in ("page1-0", "page1-1"):
            archive.writestr(f"tangrams-svg/{name}.svg", SVG)
    corpus = read_tangrams(tmp_path / "k.zip", folds=range(10))
    assert (len(corpus.images), len(corpus)) == (2, 6)
    assert {p: ids.tolist() for p, ids in corpus.phrases.items()} == {
        "animals": [0, 3], "birds": [0, 3], "heads": [1, 4], "wings": [2, 5],
    }  # fmt: skip
    assert corpus.texts[0] == ("a bird", "flying bird", "dog")
    assert (corpus.region_mask[1] == coverage(draw(read_polygons(SVG.encode()))[1]["1"])).all()
    fold = split_of("page1-0")
    assert len(read_tangrams(tmp_path / "k.zip", folds=[fold])) >= 3


def test_scenes_give_regions_with_what_is_true_of_them() -> None:
    corpus = read_scenes(11, folds=range(6), seed=3, regions_per_scene=5)
    kept = [index for index in range(11) if split_of(f"scenes:3:{index}") < 6]
    assert len(corpus.images) == len(kept)
    whole = [region for region in range(len(corpus)) if (corpus.region_mask[region] == 255).all()]
    assert len(whole) >= len(kept)
    assert all(len(texts) > 0 for texts in corpus.texts)
    assert all(not phrase.startswith("the ") for phrase in corpus.phrases)
    again = read_scenes(11, folds=range(6), seed=3, regions_per_scene=5)
    assert (again.images == corpus.images).all()
    assert again.texts == corpus.texts


def test_scene_regions_are_their_phrases_masks() -> None:
    from describer.data.scenes import draw_scene, phrases

    corpus = read_scenes(1, folds=range(10), seed=5, regions_per_scene=1000)
    true = [phrase for phrase in phrases(draw_scene(5, 0, 160)) if phrase.mask.mean() >= 0.004]
    assert len(corpus) == len(true) + 1
    assert {texts[0] for texts in corpus.texts[1:]} == {phrase.text for phrase in true}
    for region in range(1, len(corpus)):
        masks = [coverage(phrase.mask) for phrase in true if phrase.text == corpus.texts[region][0]]
        assert any((corpus.region_mask[region] == mask).all() for mask in masks)


def test_a_compound_implies_its_things() -> None:
    assert implied("color:red&part:roof") == ["part:roof"]
    assert implied("object:ball(texture:dotted)") == ["object:ball"]
    assert implied("object:boat@object:water") == ["object:boat"]
    assert implied("object:sky|object:water") == []
    assert implied("object:tree") == []
    assert is_plain("object:tree")


@pytest.fixture
def annotated(tmp_path: Path) -> tuple[Path, AnnotatedExemplars]:
    rng = np.random.default_rng(7)
    masks = (rng.random((5, 3, 1, 11, 13)) < 0.5).astype(np.uint8)
    masks[2, 1] = 0
    said = [["red dogs", "a dog"], ["sky"], ["wheels", "wheels of cars", "cars"], [], ["dogs", "Dogs", "legs"]]
    images = rng.integers(0, 255, (5, 3, 3, 11, 13), dtype=np.uint8)
    ids = np.arange(15).reshape(5, 3)
    layer = AnnotatedExemplars("4", np.array([2, 3, 5, 7, 11]), images, masks, ids, None, said)
    write_annotated_exemplars(tmp_path / "set", layer)
    return tmp_path / "set", layer


def test_a_unit_is_one_ready_made_set(annotated: tuple[Path, AnnotatedExemplars]) -> None:
    pytest.importorskip("HanTa")
    root, layer = annotated
    corpus = read_annotations(root, folds=range(10))
    assert [texts for _, texts in corpus.sets] == [tuple(said) for said in layer.annotations if said]
    assert [len(ids) for ids, _ in corpus.sets] == [3, 3, 2, 3]  # an empty mask is no exemplar
    assert corpus.phrases["dogs"].tolist() == [0, 1, 2, 8, 9, 10]
    assert corpus.phrases["wheels"].tolist() == corpus.phrases["cars"].tolist() == [6, 7]
    assert "red dogs" not in corpus.phrases
    assert (corpus.region_mask[7] == coverage(layer.masks[2, 2, 0])).all()
    assert layer.images is not None
    small = Image.fromarray(layer.images[2, 2].transpose(1, 2, 0)).resize((160, 160), Image.Resampling.BICUBIC)
    assert (corpus.images[corpus.region_image[7]] == np.asarray(small).transpose(2, 0, 1)).all()


def test_units_k_and_folds_can_be_limited(annotated: tuple[Path, AnnotatedExemplars]) -> None:
    pytest.importorskip("HanTa")
    root, _ = annotated
    assert [len(ids) for ids, _ in read_annotations(root, folds=range(10), k=2, units_per_layer=2).sets] == [2, 2]
    parts = [len(read_annotations(root, folds=[fold]).sets) for fold in range(10)]
    assert sum(parts) == 4
    assert parts[split_of("4:2")] >= 1


def test_a_layer_without_pictures_needs_photos(annotated: tuple[Path, AnnotatedExemplars]) -> None:
    root, _ = annotated
    (root / "4" / "images.npy").unlink()
    with pytest.raises(ImagesError, match=r"^Layer 4 must have images\.npy, or ids\.csv and `photos`\. Got neither\."):
        read_annotations(root, folds=range(10))


def test_texts_are_read_by_unit(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text('layer,unit,summary\n4,1,"red, blue"\nconv1,1,dogs\n4,1,  two   lines \n4,2,\n')
    units = read_unit_texts(path, folds=range(10))
    assert [(u.layer, u.unit, u.texts) for u in units] == [
        ("4", "1", ("red, blue", "two lines")),
        ("conv1", "1", ("dogs",)),
    ]
    (tmp_path / "b.txt").write_text("one text\n\n  another  one\n")
    assert read_texts([path, tmp_path / "b.txt"]) == ["red, blue", "two lines", "dogs", "one text", "another one"]
    assert sum(len(read_texts(path, [fold])) for fold in range(10)) == 3
    with pytest.raises(
        RecipeError, match=r"must have the columns layer, unit, words\. Got \['layer', 'unit', 'summary'\]"
    ):
        read_unit_texts(path, [1], column="words")
    with pytest.raises(RecipeError, match=r"^Texts must be in a readable file\. Got "):
        read_texts(tmp_path / "none.csv")
