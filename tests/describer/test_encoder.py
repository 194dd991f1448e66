"""Backbone, pooling and encoded pictures against plain loops."""

import pytest
import torch
from PIL import Image

from describer.backbone import COLOUR_FOCI, PerceptualLevel, PyramidBackbone, lab
from describer.encoder import EncoderSettings, ExemplarEncoder
from describer.errors import TargetError
from describer.exemplars import Exemplars
from describer.regions import MASK_SIZE, EncodedImages, exemplar_features
from describer.upsample import upsample

SMALL = {"channels": [8, 11, 13, 17], "semantic": 19}


def encoder() -> ExemplarEncoder:
    torch.manual_seed(0)
    return ExemplarEncoder(EncoderSettings(width=32, n_layers=1, own=SMALL)).eval()


def slow_pool(level, mask):
    """Mean of a level (channels, h, w) under the area average of a mask, cell by cell."""
    channels, h, w = level.shape
    side = mask.shape[0]
    total, weight = [0.0] * channels, 0.0
    for y in range(h):
        for x in range(w):
            cell = mask[y * side // h : (y + 1) * side // h, x * side // w : (x + 1) * side // w]
            share = float(cell.double().mean())
            weight += share
            for c in range(channels):
                total[c] += share * float(level[c, y, x])
    return [t / weight for t in total]


def test_regions_are_means_under_their_masks():
    net = encoder()
    maps = net.maps(torch.rand(2, 3, 128, 128))
    masks = (torch.rand(3, 64, 64) > 0.7).float()
    owner = torch.tensor([0, 0, 1])
    features = net.region_features(maps, masks, owner)
    assert features.shape == (3, net.n_features)
    for region in range(3):
        wanted = [value for level in maps for value in slow_pool(level[owner[region]], masks[region])]
        wanted += [float(level[owner[region], c].double().mean()) for level in maps for c in range(level.shape[1])]
        assert features[region, :-1].tolist() == pytest.approx(wanted, abs=1e-4)
        assert float(features[region, -1]) == pytest.approx(float(masks[region].mean().log()), abs=1e-5)


def test_empty_masks_give_zeros():
    net = encoder()
    features = net.region_features(net.maps(torch.rand(1, 3, 128, 128)), torch.zeros(2, 64, 64), torch.tensor([0, 0]))
    assert torch.equal(features, torch.zeros_like(features))


@pytest.mark.parametrize(("name", "focus"), [(name, group[0]) for name, group in COLOUR_FOCI])
def test_colours_are_named(name, focus):
    image = torch.tensor(focus)[None, :, None, None].expand(1, 3, 16, 16)
    shares = PerceptualLevel()(image)[0, : len(COLOUR_FOCI)].mean((1, 2))
    assert COLOUR_FOCI[int(shares.argmax())][0] == name
    assert float(shares.sum()) == pytest.approx(1, abs=1e-4)


def test_lab_of_known_colours():
    """Values of CIE 15:2004 for the sRGB primaries, rounded as usually printed."""
    rgb = torch.tensor([[1.0, 1, 1], [1, 0, 0], [0, 0, 1], [0, 0, 0]])[:, :, None, None]
    wanted = torch.tensor([[100.0, 0.0, 0.0], [53.24, 80.09, 67.20], [32.30, 79.19, -107.86], [0, 0, 0]])
    assert torch.allclose(lab(rgb)[:, :, 0, 0], wanted, atol=0.1)


@pytest.mark.parametrize(("vertical", "orientation"), [(True, 0), (False, 4)])
def test_stripes_have_their_orientation(vertical, orientation):
    wave = (torch.arange(32) // 4 % 2).float()
    image = (wave if vertical else wave[:, None]).expand(1, 3, 32, 32).contiguous()
    first = len(COLOUR_FOCI) + 4
    energy = PerceptualLevel()(image)[0, first : first + PerceptualLevel.n_orientations].mean((1, 2))
    assert int(energy.argmax()) == orientation


def test_the_pyramid_has_the_levels_it_names():
    net = PyramidBackbone(**SMALL)
    maps = net.eval()(torch.rand(2, 3, 128, 128))
    assert [m.shape[1] for m in maps] == list(net.levels)
    assert [m.shape[2] for m in maps] == [32, 16, 8, 4, 16]


def test_any_timm_backbone_serves():
    net = ExemplarEncoder(EncoderSettings(backbone="timm:test_resnet", width=32, n_layers=1)).eval()
    size = net.backbone.size
    maps = net.maps(torch.rand(1, 3, size, size))
    features = net.region_features(maps, torch.ones(1, 64, 64), torch.tensor([0]))
    assert features.shape == (1, net.n_features)


def test_a_backbone_of_no_library_is_refused():
    with pytest.raises(TargetError, match=r"backbone must be own, timm:NAME or hf:NAME\. Got 'jax:vit'"):
        ExemplarEncoder(EncoderSettings(backbone="jax:vit"))


class Drawn:
    """Pictures of one colour each; counts how often each is asked for."""

    def __init__(self):
        self.asked = []

    def image(self, index, /):
        self.asked.append(index)
        return Image.new("RGB", (31, 17), (index * 20, 255 - index * 20, 40))


def exemplars_of(images):
    generator = torch.Generator().manual_seed(3)
    units, k = images.shape
    return Exemplars(
        "layer", torch.arange(units), images, torch.rand(units, k, generator=generator),
        torch.rand(units, k, 5, 3, generator=generator).half(), torch.full((units,), 0.6), torch.zeros(units).bool(),
    )  # fmt: skip


def test_each_picture_is_encoded_once_and_pooled_by_every_mask():
    net, source = encoder(), Drawn()
    images = torch.tensor([[0, 4, 2], [4, 0, -1], [2, 2, 7]])
    exemplars = exemplars_of(images)
    encoded = EncodedImages(net, source, batch_size=3)
    features, present = exemplar_features(encoded, exemplars)
    assert sorted(source.asked) == [0, 2, 4, 7]
    assert present.tolist() == (images >= 0).tolist()
    exemplar_features(encoded, exemplars)
    assert len(source.asked) == 4
    for unit in range(3):
        for slot in range(3):
            if images[unit, slot] < 0:
                assert not features[unit, slot].any()
                continue
            pixels = encoded._pixels(int(images[unit, slot]))[None]
            mask = (upsample(exemplars.maps[unit, slot], MASK_SIZE) > 0.6).float()[None]
            alone = net.region_features([m.half().float() for m in net.maps(pixels)], mask, torch.tensor([0]))
            assert torch.allclose(features[unit, slot], alone[0], atol=2e-3)
