"""The scene segmenter: labels of pictures of any size, its training and its measure, by loops."""

import json

import numpy as np
import pytest
import torch

from describer.data.concepts import load_concepts
from describer.data.images import load_images
from describer.data.scenes.palette import name_colors
from describer.errors import WeightsError
from describer.eval.control.segmenter import Segmenter
from describer.scenesegmenter import SceneSegmenter, carried_segmenter
from describer.training.segmenter import CATEGORIES, LabelLessons, SegmenterRecipe, iou, labelled

NAMES = {"object": ("", "sky", "water"), "part": ("", "roof", "door", "sail", "hull")}


@pytest.fixture
def segmenter():
    torch.manual_seed(0)
    return SceneSegmenter(NAMES, (3, 5, 7, 2)).eval()


def test_a_label_is_the_highest_logit(segmenter):
    pictures = np.random.default_rng(1).integers(0, 256, (3, 64, 64, 3), dtype=np.uint8)
    told = segmenter.labels(pictures)
    logits = segmenter(torch.from_numpy(pictures.transpose(0, 3, 1, 2).copy()).float() / 127.5 - 1)
    assert set(told) == set(NAMES)
    for category, ids in told.items():
        assert ids.shape == (3, 64, 64) and ids.dtype == np.int32
        for picture, y, x in ((0, 0, 0), (1, 63, 5), (2, 17, 40)):
            assert ids[picture, y, x] == int(logits[category][picture, :, y, x].argmax())


def test_other_sizes_get_labels_of_their_size(segmenter):
    picture = np.random.default_rng(2).integers(0, 256, (1, 64, 64, 3), dtype=np.uint8)
    doubled = picture.repeat(2, 1).repeat(2, 2)
    assert segmenter.labels(picture[:, :19, :37])["part"].shape == (1, 19, 37)
    small, large = segmenter.labels(picture)["part"], segmenter.labels(doubled)["part"]
    assert large.shape == (1, 128, 128) and np.mean(small.repeat(2, 1).repeat(2, 2) == large) > 0.7
    assert segmenter.labels(picture[:0])["object"].shape == (0, 64, 64)


def test_iou_is_what_loops_count():
    class Fixed(SceneSegmenter):
        def labels(self, pictures):
            return {"object": np.array([[[1, 1], [2, 0]]], np.int32)}

    model = Fixed({"object": ("", "sky", "water", "sand")}, (3, 5))
    scenes = {"images": np.zeros((1, 3, 2, 2), np.uint8), "object": np.array([[[1, 2], [2, 0]]], np.uint8)}
    wanted = {"sky": {"iou": 0.5, "share": 0.25}, "water": {"iou": 0.5, "share": 0.5}}
    assert iou(model, scenes) == {"object": wanted}


def test_lessons_turn_pictures_and_labels_alike(tmp_path):
    scenes = labelled(3, 8, tmp_path / "scenes.npz")
    assert all(np.array_equal(scenes[name], labelled(3, 8, tmp_path / "scenes.npz")[name]) for name in scenes)
    batches = [LabelLessons(scenes, SegmenterRecipe("x", batch=7))([step]) for step in range(6)]
    flips = []
    for batch in batches:
        assert batch["images"].abs().max() <= 1
        match = [
            [np.array_equal(ids, scenes["object"][row][:, ::step]) for row in range(3) for step in (1, -1)]
            for ids in batch["object"].numpy()
        ]
        assert all(any(row) for row in match)
        flips.append(any(row[1] or row[3] or row[5] for row in match))
    assert any(flips) and not all(flips)


def test_trained_by_a_recipe_it_can_be_carried(tmp_path):
    recipe = SegmenterRecipe(str(tmp_path), n_scenes=4, n_held_out=2, channels=(3, 5, 2), batch=3, steps=2, every=1)
    model = carried_segmenter(recipe.train())
    assert tuple(model.names) == CATEGORIES and model.names["object"][2] == "water"
    assert not any(parameter.requires_grad for parameter in model.parameters())
    measured = json.loads((tmp_path / "measured.json").read_text())
    assert 0 <= measured["object"]["sky"]["iou"] <= 1
    assert str(tmp_path) not in (tmp_path / "recipe.json").read_text()
    with pytest.raises(WeightsError, match="Install the package again"):
        carried_segmenter(tmp_path / "nowhere")


def test_the_carried_segmenter_knows_new_scenes():
    images = load_images("scenes:12:902")
    told, truth = load_concepts("carried:segmenter", images), load_concepts("scenes:12:902")
    both = either = 0
    for index in range(12):
        found, known = (concepts.labels(index).maps["object"][0] == 1 for concepts in (told, truth))
        both, either = both + (found & known).sum(), either + (found | known).sum()
    assert told.names["object"][1] == "sky" and both / either > 0.7


def test_with_colours_it_measures_edits():
    segmenter = Segmenter("carried:segmenter,colors")
    assert segmenter.concept("blue water") == ("object", 2) and segmenter.concept("brown")[0] == "color"
    pictures = np.stack([np.asarray(load_images("scenes:2:9").image(i)) for i in range(2)])
    labels = segmenter.labels(pictures)
    assert np.array_equal(labels["color"][1], name_colors(pictures[1])) and labels["object"].shape == (2, 128, 128)
    assert np.array_equal(labels["object"], carried_segmenter().labels(pictures)["object"])
