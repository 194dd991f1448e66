"""The sources that read Parquet: what becomes a region, which words it gets, who is in which fold."""

from pathlib import Path

import numpy as np
import pytest

from describer.data.nouns import word_lists
from describer.errors import ImagesError, RecipeError
from describer.training.corpus import coverage
from describer.training.sources import SOURCES, cache_key, load_corpus, load_source
from describer.training.sources.captions import read_captions, shared_phrases
from describer.training.sources.names import coarser, read_classes, read_hierarchy, read_names
from describer.training.sources.parquet import list_files
from describer.training.sources.regions import (
    believed,
    is_about,
    label_words,
    read_clothing,
    read_regions,
    read_segments,
)
from describer.training.sources.textures import named, read_textures
from tests.training.parquets import labels, names_in, picture, struct, write, write_labels

CAPTIONS = [
    ["A brown dog runs .", "the dog in the grass", "Two puppies", "a brown dog on green grass", "an animal"],
    ["A man in a red shirt", "two men", "a person in a red shirt", "he stands", "A guy"],
    ["A bicycle and a man", "a cyclist on a bike", "man on bike", "a man", "a man"],
]


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    rows = [
        {"image": struct(picture(23 + i, 29, ("red", (0, 0, 9, 9))), name), "captions": CAPTIONS[i]}
        for i, name in enumerate(names_in([0, 1, 2], 3))
    ]
    rows.append({"image": struct(picture(23, 29, ground="blue"), names_in([8], 1)[0]), "captions": CAPTIONS[0]})
    write(tmp_path / "photos" / "a.parquet", rows[:2])
    write(tmp_path / "photos" / "b.parquet", rows[2:])
    return tmp_path / "photos"


def test_captions_give_whole_pictures_and_what_two_people_name(photos: Path) -> None:
    pytest.importorskip("HanTa")
    corpus = read_captions(photos, folds=range(6))
    assert (len(corpus.images), len(corpus)) == (3, 3)
    assert (corpus.region_mask == 255).all()
    assert corpus.texts[0] == tuple(CAPTIONS[0])
    assert corpus.source == ("captions",) * 3
    assert {p for p, ids in corpus.phrases.items() if 0 in ids} == {"dogs", "brown dogs", "grass", "animals", "plants"}
    assert {p for p, ids in corpus.phrases.items() if 1 in ids} == {"people", "men", "shirts", "red shirts", "clothing"}


def test_folds_part_the_photographs(photos: Path) -> None:
    pytest.importorskip("HanTa")
    assert len(read_captions(photos, folds=[8])) == 1
    assert len(read_captions(photos, folds=[9])) == 0
    assert len(read_captions(photos, folds=range(10), limit=2)) == 2
    assert len(read_captions(f"{photos}/a.*", folds=range(10))) == 2


def test_general_words_count_people_not_phrases() -> None:
    pytest.importorskip("HanTa")
    assert set(shared_phrases(["a man", "a woman", "a tree", "trees"])) == {"people", "plants", "trees"}
    assert shared_phrases(["a dog and a dog"]) == []
    assert shared_phrases([]) == []


def test_textures_are_named_by_their_adjectives(tmp_path: Path) -> None:
    pytest.importorskip("HanTa")
    said = ["banded, shiny, blue", "shiny stripes", "grey and blue stripes, vertical", "vertical"]
    name = names_in([3], 1)[0]
    path = write(
        tmp_path / "t.parquet", [{"image": struct(picture(11, 13), name), "texture": "banded", "descriptions": said}]
    )
    corpus = read_textures(path, folds=[3])
    assert set(corpus.phrases) == {
        "banded patterns", "shiny surfaces", "blue areas", "stripes", "vertical lines",
    }  # fmt: skip
    assert corpus.texts[0] == tuple(said)
    assert named("chequered") == "checkered patterns"
    assert named("bumpy") == "bumpy surfaces"
    assert named("square") == "square shapes"


@pytest.fixture
def clothing(tmp_path: Path) -> tuple[Path, Path]:
    """A red shirt (quarter), black shoes (1 of 60 rows), a hat that is too small; the mask has another size."""
    image = picture(60, 40, ("red", (0, 0, 20, 30)), ("black", (0, 59, 40, 60)), ground="lime")
    mask = np.zeros((120, 80), np.uint8)
    mask[:60, :40], mask[118:], mask[70, 70] = 1, 2, 3
    rows = [{"image": struct(image, names_in([1], 1)[0]), "mask": labels(mask), "width": 40, "height": 60}]
    where = write(tmp_path / "clothing" / "a.parquet", rows)
    return where, write_labels(tmp_path / "labels.json", ["null", "shirt", "shoes", "hat"])


def test_a_label_is_a_region_with_its_colour(clothing: tuple[Path, Path]) -> None:
    corpus = read_clothing(clothing[0], clothing[1], folds=[1])
    assert len(corpus.images) == 1
    assert {p: ids.tolist() for p, ids in corpus.phrases.items()} == {
        "black shoes": [1], "clothing": [0], "people": [2], "red shirts": [0], "shirts": [0], "shoes": [1],
    }  # fmt: skip
    shirt = np.zeros((120, 80), bool)
    shirt[:60, :40] = True
    assert (corpus.region_mask[0] == coverage(shirt)).all()
    assert corpus.region_mask[2].sum() >= corpus.region_mask[0].sum() + corpus.region_mask[1].sum() - 255
    assert corpus.texts[0] == ("red shirts", "shirts", "clothing")


def test_without_words_every_label_is_said_in_set_form(clothing: tuple[Path, Path]) -> None:
    corpus = read_regions(*clothing, None, [1], min_fraction=0.0)
    assert set(corpus.phrases) == {"shirts", "red shirts", "shoes", "black shoes", "hats"}  # the hat has no pixel
    assert len(read_regions(*clothing, None, [1], min_fraction=0.9)) == 0


def test_a_mask_of_colours_is_refused(tmp_path: Path, clothing: tuple[Path, Path]) -> None:
    cell = struct(picture(3, 5), names_in([1], 1)[0])
    path = write(tmp_path / "bad.parquet", [{"image": cell, "mask": cell}])
    with pytest.raises(ImagesError, match=r"^mask must have shape \(height, width\)\. Got \(3, 5, 3\)\. Do store"):
        read_regions(path, clothing[1], None, [1])


def test_segments_are_joined_by_path_and_borne_out_by_captions(photos: Path, tmp_path: Path) -> None:
    pytest.importorskip("HanTa")
    names = names_in([0, 1, 2], 3)
    mask = np.zeros((29, 31), np.uint8)
    mask[:10], mask[10:20], mask[20:] = 1, 2, 3  # dog, person, horse
    other = np.where(mask == 1, 4, mask)  # bicycle
    rows = [{"path": names[1], "mask": labels(mask)}, {"path": names[0], "mask": labels(mask)}]
    path = write(tmp_path / "segments" / "m.parquet", [*rows, {"path": names[2], "mask": labels(other)}])
    where = write_labels(tmp_path / "labels.json", ["background", "dog", "person", "horse", "bicycle"])
    corpus = read_segments(path, where, photos, folds=range(6))
    assert {p: ids.tolist() for p, ids in corpus.phrases.items() if p in ("dogs", "brown dogs", "people", "men")} == {
        "brown dogs": [0], "dogs": [0], "men": [2, 3], "people": [1, 2, 3],
    }  # fmt: skip
    assert corpus.phrases["bicycles"].tolist() == [4]
    assert "horses" not in corpus.phrases
    assert (corpus.region_mask[0] == coverage(mask == 1)).all()


def test_what_bears_out_a_label() -> None:
    assert believed("people", set())
    assert believed("boats", {"canoes"})
    assert not believed("dogs", {"cats"})
    assert is_about("young boys", "people")
    assert not is_about("groups of people", "people")
    assert not is_about("dog toys", "dogs")


def test_names_have_synonyms_and_coarser_words(tmp_path: Path) -> None:
    words = tmp_path / "words.yaml"
    words.write_text("dogs: 1-2\nanimals: 1-3\nboats: 5\n")
    first, second = names_in([4], 2)
    rows = [
        {"image": struct(picture(5, 7), first), "label": "Great Dane, great dane dog", "index": 2},
        {"image": struct(picture(5, 7, ground="red"), second), "label": "water bus", "index": 5},
    ]
    corpus = read_names(write(tmp_path / "n.parquet", rows), folds=[4], hierarchy=words)
    assert {p: ids.tolist() for p, ids in corpus.phrases.items()} == {
        "animals": [0], "boats": [1], "dogs": [0], "great dane dogs": [0], "great danes": [0], "water buses": [1],
    }  # fmt: skip
    assert corpus.texts[0] == ("Great Dane", "great dane dog")
    assert coarser(2, read_hierarchy(words)) == ["dogs", "animals"]


def test_the_hierarchy_is_sound() -> None:
    words = read_hierarchy()
    assert len(words) > 200
    assert all(classes and min(classes) >= 0 and max(classes) < 1000 for classes in words.values())
    assert words["dogs"] < words["animals"]
    assert not words["dogs"] & words["cats"]
    assert not set(words) & word_lists()["empty_heads"]


def test_a_hierarchy_with_words_for_numbers_is_refused(tmp_path: Path) -> None:
    (tmp_path / "w.yaml").write_text("dogs: 1-x\n")
    with pytest.raises(RecipeError, match=r"^Classes must be written as 7 or 7-11\. Got '1-x'\."):
        read_hierarchy(tmp_path / "w.yaml")


def test_classes_are_balanced(tmp_path: Path) -> None:
    rows = [
        {
            "image": struct(picture(3, 3, ("black", (0, 0, i % 3, i % 2)), ground="blue"), name),
            "label": "dog" if i % 5 else "ship",
        }
        for i, name in enumerate(names_in([2], 20))
    ]
    corpus = read_classes(write(tmp_path / "c.parquet", rows), folds=[2], per_class=3)
    assert {p: len(ids) for p, ids in corpus.phrases.items()} == {
        "animals": 3, "boats": 3, "dogs": 3, "ships": 3, "vehicles": 3,
    }  # fmt: skip


def test_a_picture_without_a_name_falls_by_its_bytes(tmp_path: Path) -> None:
    rows = [{"image": struct(picture(5, 7, ground=(i, 0, 0)), None), "label": "dog"} for i in range(40)]  # type: ignore[arg-type]
    path = write(tmp_path / "c.parquet", rows)
    parts = [len(read_classes(path, folds=[fold])) for fold in range(10)]
    assert sum(parts) == 40
    assert max(parts) < 40


def test_the_cache_is_used_and_its_key_holds_what_matters(photos: Path, tmp_path: Path) -> None:
    pytest.importorskip("HanTa")
    spec = {"source": "captions", "paths": str(photos)}
    cache = tmp_path / "cache"
    first = load_source(spec, range(6), cache)
    again = load_source(spec, range(6), cache)
    assert (first.images == again.images).all()
    assert first.texts == again.texts
    assert len(list(cache.iterdir())) == 2
    keys = [cache_key(spec, [0, 1]), cache_key(spec, [0, 2]), cache_key({**spec, "min_people": 3}, [0, 1])]
    (photos / "a.parquet").write_bytes((photos / "b.parquet").read_bytes())
    keys.append(cache_key(spec, [0, 1]))
    keys.append(cache_key({**spec, "paths": f"{photos}/*.parquet"}, [0, 1]))
    (photos / "a.parquet").unlink()
    keys.append(cache_key({**spec, "paths": f"{photos}/*.parquet"}, [0, 1]))
    assert len(set(keys)) == len(keys)


def test_a_corpus_of_several_sources(photos: Path, clothing: tuple[Path, Path]) -> None:
    pytest.importorskip("HanTa")
    specs = [
        {"source": "captions", "paths": str(photos)},
        {"source": "clothing", "paths": str(clothing[0]), "labels": str(clothing[1])},
        {"source": "computed", "paths": str(photos)},
    ]
    corpus = load_corpus(specs, folds=range(6))
    assert set(corpus.source) == {"captions", "clothing", "computed"}
    assert len(corpus.images) == 4  # the computed regions are of the same photographs


def test_every_source_can_be_had() -> None:
    from describer.training.sources import source_function

    for name in SOURCES:
        with pytest.raises(RecipeError, match=f"^The source {name} must have the arguments of read_"):
            source_function({"source": name, "nonsense": 1})
    with pytest.raises(
        RecipeError, match=r"^source must be one of captions, .*\. Got 'moon'\. Do correct the recipe\.$"
    ):
        load_source({"source": "moon"}, [0])


def test_missing_files_and_columns_are_told(tmp_path: Path) -> None:
    with pytest.raises(ImagesError, match=r"^A source must name Parquet files, a folder or a glob\. Got "):
        list_files(tmp_path / "nothing*.parquet")
    path = write(tmp_path / "x.parquet", [{"image": struct(picture(3, 3), "x")}])
    with pytest.raises(ImagesError, match=r"^x\.parquet must have the columns image, label\. Got \['image'\]\."):
        read_classes(path, folds=[0])


def test_label_words_are_of_the_label_sets() -> None:
    assert label_words("segments")["person"] == ["people"]
    assert {"horse", "cow", "sheep", "cat", "bird"}.isdisjoint(label_words("segments"))
