"""The sources on real public data, where it is at hand: DESCRIBER_SHARED, or a folder `shared` beside the checkout."""

import os
from pathlib import Path

import pytest

from describer.training.sources.captions import read_captions
from describer.training.sources.names import read_hierarchy, read_names
from describer.training.sources.parquet import fold_of, read_rows
from describer.training.sources.regions import label_words, read_clothing, read_labels

SHARED = Path(os.environ.get("DESCRIBER_SHARED", Path(__file__).parents[3] / "shared")) / "data"
pytestmark = pytest.mark.skipif(not SHARED.is_dir(), reason=f"no real data at {SHARED}: set DESCRIBER_SHARED")


def test_our_folds_are_the_data_sets_own_split() -> None:
    own = {8: "val", 9: "test"}
    for row in read_rows(SHARED / "flickr8k", ["image", "split"]):
        assert row["split"] == own.get(fold_of(row["image"]), "train")


def test_every_label_word_is_of_a_label() -> None:
    for folder, words in (("clothing", "clothing"), ("flickr8k_segments", "segments")):
        assert set(label_words(words)) <= set(read_labels(SHARED / folder / "labels.json").values())


def test_dogs_are_dogs() -> None:
    names = dict(enumerate(row["label"] for row in read_rows(SHARED / "imagenet_samples", ["label", "index"])))
    dogs = {names[index] for index in read_hierarchy()["dogs"]}
    assert {"beagle", "pug", "Mexican hairless", "Chihuahua"} <= dogs
    assert not any("cat" in name.split() or "wolf" in name.split() for name in dogs)


def test_real_photographs_give_regions() -> None:
    pytest.importorskip("HanTa")
    captions = read_captions(SHARED / "flickr8k", folds=[0], limit=60)
    assert (len(captions), len(captions.images)) == (60, 60)
    assert len(captions.phrases["people"]) > 20
    clothing = read_clothing(SHARED / "clothing", SHARED / "clothing" / "labels.json", folds=[8])
    assert len(clothing) > 3 * len(clothing.images)
    names = read_names(SHARED / "imagenet_samples", folds=[8])
    assert len(names.phrases["animals"]) > len(names.phrases["dogs"]) > 0
