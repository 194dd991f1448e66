"""The lexicon of labels says, name by name, what a slow reader of the same labels says; the method runs through."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from describer.data.concepts import ConceptSet, ImageLabels, load_concepts
from describer.data.concepts.lexicon import LabelTranslator, label_lexicon, load_translator
from describer.data.images import ImageSet, load_images
from describer.data.targets import Target
from describer.describe import describe
from describer.errors import DescriberError

N = 23
FLOOR = 1e-3


@pytest.fixture(scope="module")
def images() -> ImageSet:
    return load_images(f"scenes:{N}:3")


class Doubled(ConceptSet):
    """One name in two categories, and a name that no picture shows; nothing is labelled in picture 5."""

    def __init__(self, images: ImageSet) -> None:
        self.source, self.images = "doubled", images
        self.names = {"object": ("", "red", "never"), "color": ("", "red", "blue")}

    def _read(self, index: int) -> ImageLabels:
        if index == 5:
            return ImageLabels()
        ids = np.zeros((3, 7), np.int32)
        ids[0, : index % 7] = 1
        return ImageLabels({"object": (ids, ids), "color": (2 * np.eye(2, 5, dtype=np.int32),)}, {"color": (1,)})

    def _digest(self) -> str:
        return "doubled"


def small(picture: Image.Image) -> torch.Tensor:
    pixels = np.asarray(picture.resize((16, 16)), np.float32) / 255
    return torch.from_numpy(pixels).permute(2, 0, 1)


def test_areas_are_added_and_names_kept_apart(images: ImageSet) -> None:
    told: list[tuple[int, int]] = []
    lexicon = label_lexicon(Doubled(images), lambda done, total: told.append((done, total)))
    assert lexicon.texts == ("red (object)", "red (color)", "blue") and told[-1] == (N, N)
    found = lexicon.log_likelihood.exp()[:, 0]
    for index in range(N):
        areas = [0.0] * 3 if index == 5 else [2 * (index % 7) / 21, 1.0, 2 / 10]
        shares = [area / sum(areas) if sum(areas) else 1 / 3 for area in areas]
        expected = [(1 - FLOOR) * share + FLOOR / 3 for share in shares]
        assert found[:, index].tolist() == pytest.approx(expected, abs=1e-6)


def test_every_unit_of_a_layer_is_told_and_kept(tmp_path: Path, images: ImageSet) -> None:
    colours = nn.Sequential(nn.Conv2d(3, 3, 1))
    colours[0].weight.data = torch.tensor([[1.0, -1, -1], [-1, 1, -1], [-1, -1, 1]])[..., None, None]
    target = Target("colours", colours.eval().requires_grad_(False), small, None, (3, 16, 16), "0", False)
    describer = load_translator(f"scenes:{N}:3", images)
    atlas = describe(target, images, tmp_path, [describer], layers=["0"])
    rows = atlas.units()
    assert [row["method"] for row in rows] == ["translation"] * 3
    lexicon = label_lexicon(load_concepts(f"scenes:{N}:3"))
    assert all(row["description"] in lexicon.texts for row in rows)
    again = LabelTranslator(load_concepts(f"scenes:{N}:3"), images).describe(atlas.exemplars("0"), images)
    assert [one.text for one in again] == [row["description"] for row in rows]


def test_labels_of_other_pictures_are_refused(images: ImageSet) -> None:
    with pytest.raises(DescriberError) as fault:
        load_translator("scenes:23:4", images)
    wanted = "translation must have labels of the probed pictures, scenes:23:3. Got those of scenes:23:4."
    assert str(fault.value) == f"{wanted} Try --concepts colors."


def test_pictures_without_a_label_are_refused(images: ImageSet) -> None:
    class Nothing(Doubled):
        def _read(self, index: int) -> ImageLabels:
            return ImageLabels()

    with pytest.raises(DescriberError, match=r"doubled must label something\. Got no label in 23 pictures\."):
        label_lexicon(Nothing(images))


def test_the_key_tells_labels_and_lapse(images: ImageSet) -> None:
    keys = [LabelTranslator(Doubled(images), images, lapse).key for lapse in (0.01, 0.02)]
    assert keys[0] != keys[1] != load_translator("colors", images).key
