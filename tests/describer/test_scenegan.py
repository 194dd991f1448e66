"""The scene generator: kinds from latents, units that can be found and cut, and the carried weights."""

import pytest
import torch
import torch.nn.functional as F

from describer.data.images import load_images
from describer.data.targets import load_target
from describer.errors import WeightsError
from describer.intervention import Edit, edited
from describer.layout import list_layers
from describer.scenegan import SceneGenerator, Styled, carried_generator

CHANNELS = (7, 5, 11, 3, 2)


@pytest.fixture
def generator():
    torch.manual_seed(1)
    return SceneGenerator(3, CHANNELS, 13).eval()


def test_the_largest_of_the_first_latents_is_the_kind(generator):
    latents = torch.zeros(3, 13)
    latents[0, 1] = latents[1, 2] = latents[2, 0] = 0.5
    latents[:, 5] = 9.0  # not one of the kinds
    assert generator.kinds(latents).tolist() == [1, 2, 0]


def test_pictures_are_of_the_told_size_and_range(generator):
    drawn = generator(torch.randn(4, *generator.latent_shape))
    assert drawn.shape == (4, 3, 64, 64) and drawn.min() >= -1 and drawn.max() <= 1
    assert torch.equal(generator(torch.ones(1, 13)), generator(torch.ones(1, 13)))


def test_stages_are_layers_of_units(generator):
    layers = {layer.name: layer for layer in list_layers(generator, torch.randn(2, 13))}
    told = [(layers[f"stage{i}"].units, layers[f"stage{i}"].height) for i in range(1, 5)]
    assert told == [(5, 8), (11, 16), (3, 32), (2, 64)]


def test_a_unit_is_normalised_styled_and_rectified():
    torch.manual_seed(2)
    layer = Styled(2, 3, width=5).eval()
    layer.norm.running_mean.copy_(torch.tensor([0.1, -0.2, 0.3]))
    layer.norm.running_var.copy_(torch.tensor([0.5, 2.0, 1.5]))
    x, style = torch.randn(2, 2, 7, 11), torch.randn(2, 5)
    plain = F.conv2d(x, layer.conv.weight, padding=1)
    told = layer.gain_and_bias(style)
    found = layer(x, style)
    for picture in range(2):
        for unit in range(3):
            mean, spread = layer.norm.running_mean[unit], (layer.norm.running_var[unit] + layer.norm.eps).sqrt()
            scaled = (plain[picture, unit] - mean) / spread * (1 + told[picture, unit]) + told[picture, 3 + unit]
            torch.testing.assert_close(found[picture, unit], scaled.clamp(min=0))


def test_a_cut_unit_is_silent(generator):
    latents = torch.randn(2, 13)
    seen = []
    hook = generator.colors.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    with edited(generator, [Edit("stage4", (1,), "ablate")], (13,)):
        generator(latents)
    hook.remove()
    assert seen[0][:, 1].abs().max() == 0 and seen[0][:, 0].abs().max() > 0


def test_missing_weights_are_told(tmp_path):
    with pytest.raises(WeightsError, match="Install the package again"):
        carried_generator(tmp_path)


def test_the_carried_generator_is_a_target():
    target = load_target("carried:gan")
    pictures = load_images("latents:3:5", target)
    assert target.is_generator and target.input_shape == (96,) and pictures.image(2).size == (64, 64)
    stages = [layer for layer in list_layers(target.model, torch.randn(2, 96)) if "." not in layer.name]
    assert [layer.units for layer in stages if layer.name.startswith("stage")] == [192, 96, 64, 32]
