"""Label maps go where the pictures go: whatever preprocessing does to a picture, its labels land on the same places."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps
from torchvision.transforms import v2

from describer.frame import WHOLE, InputFrame

SIZES = [(97, 61), (61, 97), (83, 83)]
TENSOR = [v2.ToImage(), v2.ToDtype(torch.float32, scale=True)]
WAYS: dict[str, list[Callable]] = {
    "squash": [v2.Resize((53, 59)), *TENSOR],
    "centre crop": [v2.Resize(64), v2.CenterCrop(56), *TENSOR, v2.Normalize([0.4] * 3, [-0.2] * 3)],
    "padding": [v2.Lambda(lambda picture: ImageOps.pad(picture, (60, 60))), *TENSOR],
    "mirror": [v2.Resize((53, 59)), v2.RandomHorizontalFlip(1.0), *TENSOR],
    "one channel": [v2.Grayscale(), v2.Resize((53, 59)), *TENSOR],
}


def blocks(size: tuple[int, int]) -> np.ndarray:
    """Ids 1..12 in 3 x 4 blocks over a picture (width, height)."""
    rows = np.arange(size[1]) * 3 // size[1]
    columns = np.arange(size[0]) * 4 // size[0]
    return (rows[:, None] * 4 + columns + 1).astype(np.int32)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("size", SIZES)
def test_labels_land_where_the_picture_lands(way: str, size: tuple[int, int]) -> None:
    preprocess, ids = v2.Compose(WAYS[way]), blocks(size)
    shades = np.linspace(40, 250, 12).round()
    seen = preprocess(Image.fromarray(np.stack([shades[ids - 1].astype(np.uint8)] * 3, -1)))[0].double().numpy()
    levels = [preprocess(Image.new("RGB", size, (int(s),) * 3))[0].double().numpy() for s in (0, *shades)]
    expected = np.abs(np.stack(levels) - seen).argmin(0)  # the picture's own pixels tell the block; 0 is padding
    found = InputFrame(preprocess).sampled(ids, size, (seen.shape[0], seen.shape[1]))
    assert found.shape == seen.shape and found.dtype == ids.dtype
    assert (found == expected).mean() > 0.9  # where blocks meet, a resized pixel is a bit of both
    if way == "padding" and size[0] != size[1]:
        assert (found == 0).sum() >= 0.3 * found.size


def test_whole_pictures_are_sampled_exactly() -> None:
    ids = np.random.default_rng(0).integers(0, 9, (112, 112)).astype(np.int16)
    frame = InputFrame(v2.Compose([v2.Resize((224, 224)), *TENSOR]))
    assert frame.part((224, 224)) == WHOLE
    assert np.array_equal(frame.sampled(ids, (224, 224), 112), ids)
    coarse = frame.sampled(ids, (224, 224), (56, 28))
    assert np.array_equal(coarse, ids[1::2, 2::4])


def test_without_preprocess_or_places_the_whole_is_assumed() -> None:
    ids = blocks((83, 61))
    noise = lambda picture: torch.rand(3, 7, 7, generator=torch.Generator().manual_seed(0))  # noqa: E731
    constant = lambda picture: torch.zeros(3, 7, 7)  # noqa: E731
    for preprocess in (None, noise, constant):
        frame = InputFrame(preprocess)
        assert frame.part((83, 61)) == WHOLE
        assert np.array_equal(frame.sampled(ids, (83, 61), (61, 83)), ids)
    assert InputFrame(v2.Compose(TENSOR)).part((1, 5)) == WHOLE
