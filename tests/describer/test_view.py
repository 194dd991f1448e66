"""What the model saw, turned back into a picture: the crop is right and the colours are those of the image."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms import v2

from describer.view import Preprocess, SeenImages

MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Gradient:
    """One wide picture whose red is the column, green the row: a pixel's colour tells where it came from."""

    def image(self, index: int, /) -> Image.Image:
        pixels = np.zeros((103, 211, 3), np.uint8)
        pixels[..., 0] = np.arange(211)[None]
        pixels[..., 1] = np.arange(103)[:, None] * 2
        pixels[..., 2] = index
        return Image.fromarray(pixels)


def normalised(picture: Image.Image) -> Tensor:
    cut = v2.Compose([v2.CenterCrop(61), v2.ToImage(), v2.ToDtype(torch.float32, scale=True)])
    return v2.functional.normalize(cut(picture), list(MEAN), list(DEVIATION))


def caffe(picture: Image.Image) -> Tensor:
    pixels = v2.functional.pil_to_tensor(v2.functional.center_crop(picture, [61, 61])).float()
    return pixels.flip(0) - torch.tensor([104.0, 117.0, 123.0])[:, None, None]


@pytest.mark.parametrize("preprocess", [normalised, caffe])
def test_picture_is_the_crop_in_its_own_colours(preprocess: Preprocess) -> None:
    seen = np.asarray(SeenImages(Gradient(), preprocess).image(77))
    wanted = np.asarray(v2.functional.center_crop(Gradient().image(77), [61, 61]))
    assert seen.shape == (61, 61, 3)
    assert np.abs(seen.astype(int) - wanted).max() <= 1


def test_grey_input_is_shown_grey() -> None:
    def grey(picture: Image.Image) -> Tensor:
        return v2.functional.pil_to_tensor(picture.convert("L").resize((53, 53))).float() / 127.5 - 1

    seen = np.asarray(SeenImages(Gradient(), grey).image(7)).astype(int)
    wanted = np.asarray(Gradient().image(7).convert("L").resize((53, 53))).astype(int)
    assert np.abs(seen - wanted[..., None]).max() <= 1


def whitened(picture: Image.Image) -> Tensor:
    pixels = v2.functional.pil_to_tensor(picture).float()
    return (pixels - pixels.mean()) / (pixels.std() + 1e-5)


def flattened(picture: Image.Image) -> Tensor:
    return v2.functional.pil_to_tensor(picture).float().flatten()


@pytest.mark.parametrize("preprocess", [whitened, flattened, None])
def test_what_cannot_be_turned_back_leaves_the_image_alone(preprocess: Preprocess | None) -> None:
    assert SeenImages(Gradient(), preprocess).image(7).size == (211, 103)


def test_pictures_are_kept_up_to_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("describer.view.KEPT_BYTES", 2 * 61 * 61 * 3)
    looked: list[int] = []

    class Counted(Gradient):
        def image(self, index: int, /) -> Image.Image:
            looked.append(index)
            return super().image(index)

    seen = SeenImages(Counted(), normalised)
    for _ in range(2):
        for index in (3, 5, 7):
            assert np.asarray(seen.image(index))[30, 30, 2] == index
    assert looked == [3, 5, 7, 7]
