"""Which units are chosen and which are drawn as their rivals: words, what was never dissected, dead units, few left."""

import shutil
from dataclasses import replace
from typing import ClassVar

import pytest
import torch

from describer.atlas import Atlas
from describer.data.images import load_images
from describer.describe import describe
from describer.description import Description
from describer.errors import AtlasError
from describer.eval.control.choice import choose_units, named_units, random_draws, random_units, words
from describer.eval.control.segmenter import Segmenter
from describer.eval.control.table import units_by_iou
from describer.probe import ProbeSettings


class Said:
    """A describer that says one thing of the first unit, another of the rest."""

    method = "caption"
    key: ClassVar = {"describer": "said"}

    def describe(self, exemplars, images, progress=None):
        texts = {0: "brown house", 1: "brown house by night"}
        return [Description(exemplars.layer, u, texts.get(u, "sky"), self.method) for u in exemplars.unit_ids.tolist()]


@pytest.fixture(scope="module")
def later(target, atlas, tmp_path_factory):
    """The painter's atlas to which a layer was added after its concepts were dissected."""
    path = tmp_path_factory.mktemp("later") / "atlas"
    shutil.copytree(atlas.path, path)
    images, settings = load_images("latents:97:5", target), ProbeSettings(k=3)
    return describe(target, images, path, [Said()], layers=["fc"], settings=settings)


def units(*numbers):
    return ",".join(f"layer1:{number}" for number in numbers)


# Words


def test_words_of_any_script_in_the_singular_without_articles():
    assert words("the Water, a lake or an_island") == {"water", "lake", "island"}
    assert words("glasses of geese and buses, boxes, skies") == {"glasses", "of", "goose", "bus", "box", "sky"}
    assert words("Вода, 湖 & été") == {"вода", "湖", "été"}


def test_a_query_in_another_script_is_told_what_there_is(atlas):
    with pytest.raises(AtlasError, match="Got 'вода', which none of 11 does"):
        choose_units(atlas, "вода")
    assert choose_units(atlas, "the browns", 1) == choose_units(atlas, "brown", 1)


def test_what_a_query_denies_no_description_of_the_unit_says(later):
    found = choose_units(later, "house", layers=("fc",))
    assert [each.unit for each in found] == [0, 1]
    assert [each.unit for each in choose_units(later, "house AND NOT night", layers=("fc",))] == [0]
    assert [each.unit for each in choose_units(later, 'brown AND NOT "house night"', layers=("fc",))] == [0]
    with pytest.raises(AtlasError, match="which none of 176 does"):
        choose_units(later, "house AND NOT brown", layers=("fc",))
    segmenter = Segmenter("colors")
    assert segmenter.concept("red AND NOT brown") == segmenter.concept("red")


def test_a_layer_that_was_not_dissected_is_passed_over(later, atlas):
    assert choose_units(later, "brown", 11, layers=("layer1",)) == choose_units(atlas, "brown", 11)
    assert {each.id for each in choose_units(later, "brown", 200)} > {"layer1:0", "fc:0", "fc:1"}
    assert units_by_iou(later, "color", "brown", 5, ()) == units_by_iou(atlas, "color", "brown", 5, ())


# Random rivals


def test_as_many_random_units_as_are_left(atlas):
    most = named_units(atlas, units(*range(9)))
    assert {tuple(each.unit for each in random_units(atlas, most, seed)) for seed in range(5)} == {(9, 10)}
    assert [each.unit for each in random_units(atlas, most[:3], 0, most[3:])] == [9, 10]
    assert [len(each) for each in random_draws(atlas, most, 0, 3)] == [2, 2, 2]
    everything = named_units(atlas, units(*range(11)))
    assert random_draws(atlas, everything, 0, 3) == [] == random_draws(atlas, [], 0, 3)
    with pytest.raises(AtlasError, match=r"layer1 must have units that were not chosen, to compare. Got none"):
        random_units(atlas, everything, 0)


def test_dead_units_are_no_rivals_unless_there_are_no_others(atlas, tmp_path):
    shutil.copytree(atlas.path, tmp_path / "atlas")
    (file,) = (tmp_path / "atlas" / "exemplars").glob("layer1*")
    exemplars = atlas.exemplars("layer1")
    replace(exemplars, dead=torch.tensor([unit > 5 for unit in exemplars.unit_ids])).save(file)
    dead = Atlas.open(tmp_path / "atlas")
    drawn = {each.unit for seed in range(20) for each in random_units(dead, named_units(dead, units(0, 8)), seed)}
    assert drawn == {1, 2, 3, 4, 5}
    assert [each.unit for each in random_units(dead, named_units(dead, units(0, 1, 2, 3)), 0)] == [4, 5]
    assert {each.unit for each in random_units(dead, named_units(dead, units(*range(6))), 0)} == {6, 7, 8, 9, 10}
