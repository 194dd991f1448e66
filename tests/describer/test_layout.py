"""Unit layouts: whatever a module puts out, cell (row, column) of a unit's map belongs to that place of the image."""

import math
from collections import OrderedDict
from dataclasses import dataclass

import pytest
import timm
import torch
from torch import Tensor, nn

from describer.errors import TargetError
from describer.layout import LayerInfo, UnitLayout, first_tensor, list_layers, match_layers, unit_layout
from describer.tokens import patch_grid, prefix_tokens, token_grid


class Holder(nn.Module):
    """A model with one layer, `inner`."""

    def __init__(self, inner, **said):
        super().__init__()
        self.inner = inner
        for name, value in said.items():
            setattr(self, name, value)

    def forward(self, x):
        return self.inner(x)


def laid_out(output, inner, input_shape=(3, 22, 26), **said):
    return unit_layout(Holder(inner, **said), "inner", output, input_shape)


def test_maps_channels_first():
    output = torch.randn(2, 7, 11, 13)
    for inner in (nn.Conv2d(3, 7, 1), nn.ReLU(), nn.Sequential(nn.Conv2d(3, 7, 1), nn.ReLU())):
        layout = laid_out(output, inner)
        assert layout == UnitLayout("maps", 7, 11, 13)
        assert torch.equal(layout(output), output)


def test_maps_channels_last_by_class_by_aspect_and_by_channels():
    output = torch.randn(2, 11, 13, 7)
    for inner in (nn.Linear(5, 7), nn.LayerNorm(7), nn.GELU()):
        layout = laid_out(output, inner)
        assert layout == UnitLayout("maps last", 7, 11, 13)
        for unit, row, column in ((0, 0, 0), (6, 10, 12), (3, 2, 9)):
            assert layout(output)[1, unit, row, column] == output[1, row, column, unit]


def test_equal_sides_are_told_apart_by_weights_then_by_what_the_model_says_then_by_roughness():
    output = torch.randn(2, 11, 11, 13)  # aspect 11:13 fits (11, 13) as well as (11, 11) one off
    assert laid_out(output, nn.Sequential(nn.Linear(5, 13), nn.GELU())).kind == "maps last"
    assert laid_out(output, nn.Sequential(nn.Conv2d(3, 11, 1), nn.GELU())).kind == "maps"
    assert laid_out(output, nn.GELU()).kind == "maps"
    assert laid_out(output, nn.GELU(), output_fmt="NHWC").kind == "maps last"
    smooth = torch.linspace(0, 1, 13)[None, None, None] + torch.randn(2, 13, 1, 1)
    cube = smooth.expand(2, 13, 13, 13)
    assert laid_out(cube, nn.GELU(), (3, 26, 26)).kind == "maps"
    assert laid_out(cube.permute(0, 2, 3, 1), nn.GELU(), (3, 26, 26)).kind == "maps last"


def test_pooled_maps_are_one_cell():
    output = torch.randn(2, 7, 1, 1)
    assert laid_out(output, nn.AdaptiveAvgPool2d(1)) == UnitLayout("maps", 7, 1, 1)
    assert laid_out(output, nn.Identity(), (3, 32, 32)) == UnitLayout("maps", 7, 1, 1)


def test_four_axes_that_are_no_maps():
    for output in (torch.randn(2, 16, 196, 5), torch.randn(2, 5, 17, 3)):  # blocks of tokens, heads of tokens
        with pytest.raises(TargetError, match="must give maps, tokens on a known grid or vectors"):
            laid_out(output, nn.Identity(), (3, 32, 32))
    attention = Holder(Holder(nn.Dropout()), num_heads=5)
    with pytest.raises(TargetError):
        unit_layout(Holder(attention), "inner.inner", torch.randn(2, 5, 4, 4), (3, 32, 32))


def test_vectors():
    output = torch.randn(2, 7)
    layout = laid_out(output, nn.Linear(5, 7))
    assert layout == UnitLayout("vector", 7, 1, 1) and torch.equal(layout(output)[:, :, 0, 0], output)


def test_a_later_output_of_another_shape_is_told():
    layout = UnitLayout("maps", 7, 11, 13)
    for other in (torch.zeros(2, 7, 11, 12), torch.zeros(2, 7), torch.zeros(2, 7, 11), "nothing"):
        with pytest.raises(TargetError, match="7 units of 11x13"):
            layout(other)


@dataclass
class Answer:
    loss: None
    hidden: Tensor


def test_first_tensor():
    x, y = torch.randn(2, 3), torch.randn(2, 5)
    assert first_tensor(x) is x and first_tensor((None, x, y)) is x and first_tensor([[y], x]) is y
    assert first_tensor(OrderedDict(a=x, last_hidden_state=y)) is y and first_tensor({"out": x}) is x
    assert first_tensor(Answer(None, y)) is y
    assert first_tensor(torch.zeros(3, dtype=torch.int64)) is None and first_tensor("x") is None


# Tokens -------------------------------------------------------------------------------------------------------


class Scrambler(nn.Module):
    """A transformer without mixing: token t is the mean colour of patch t, after `prefix` tokens of its own."""

    def __init__(self, patch, n_class, n_register):
        super().__init__()
        self.embed = nn.Conv2d(3, 3, patch, patch, bias=False)
        self.embed.weight.data = torch.eye(3)[:, :, None, None].expand(-1, -1, *patch) / math.prod(patch)
        if n_class:
            self.cls_token = nn.Parameter(torch.full((1, n_class, 3), 77.0))
        if n_register:
            self.register_tokens = nn.Parameter(torch.full((1, n_register, 3), 88.0))
        self.mask_token = nn.Parameter(torch.zeros(1, 1, 3))
        self.patches, self.block = nn.Identity(), nn.Identity()

    def forward(self, x):
        x = self.patches(self.embed(x).flatten(2).transpose(1, 2))
        own = [p for name, p in self.named_parameters() if name in ("cls_token", "register_tokens")]
        return self.block(torch.cat([p.expand(len(x), -1, -1) for p in own] + [x], 1))


@pytest.mark.parametrize(("n_class", "n_register"), [(0, 0), (1, 0), (1, 4), (2, 3)])
@pytest.mark.parametrize(("patch", "grid"), [((4, 4), (5, 7)), ((3, 2), (7, 11)), ((4, 4), (1, 3))])
def test_tokens_lie_where_their_patches_lie(n_class, n_register, patch, grid):
    model = Scrambler(patch, n_class, n_register).eval()
    places = torch.randperm(math.prod(grid), generator=torch.Generator().manual_seed(0)).reshape(grid).float()
    image = places.repeat_interleave(patch[0], 0).repeat_interleave(patch[1], 1).expand(2, 3, -1, -1)
    with torch.no_grad():
        output = model(image)
        embedded = model.patches(model.embed(image).flatten(2).transpose(1, 2))
    layout = unit_layout(model, "block", output, tuple(image.shape[1:]))
    assert layout == UnitLayout("tokens", 3, *grid, prefix=n_class + n_register)
    early = unit_layout(model, "patches", embedded, tuple(image.shape[1:]))  # before CLS and registers join
    assert early.prefix == 0
    for found in (layout(output), early(embedded)):
        assert found.shape == (2, 3, *grid)
        for row in range(grid[0]):
            for column in range(grid[1]):
                assert found[1, 2, row, column].item() == pytest.approx(places[row, column].item(), abs=1e-4)


def test_a_number_of_tokens_that_does_not_come_out_is_refused():
    model = Scrambler((4, 4), 1, 4)
    for n in (34, 36, 39, 41):
        assert token_grid(model, n, (3, 20, 28)) is None
    assert token_grid(model, 35, (3, 20, 28)).prefix == 0 and token_grid(model, 40, (3, 20, 28)).prefix == 5


def test_tokens_on_coarser_grids_and_without_a_convolution():
    overlapping = nn.Conv2d(3, 5, 7, 4, 3)
    assert token_grid(Holder(overlapping), 7 * 11, (3, 28, 44)).grid == (7, 11)
    assert token_grid(Holder(overlapping), 4 * 6, (3, 28, 44)).grid == (4, 6)
    assert token_grid(Holder(overlapping), 29, (3, 28, 44)) is None
    assert patch_grid(Holder(nn.Linear(48, 5), patch_size=4), (3, 20, 28)) == (5, 7)
    assert patch_grid(Holder(nn.Linear(48, 5)), (3, 20, 28)) is None


def test_scrambled_tokens_are_refused():
    class HieraBlock(nn.Module):
        pass

    assert token_grid(Holder(HieraBlock(), patch_size=4), 35, (3, 20, 28)) is None


@pytest.mark.parametrize(
    ("name", "prefix", "patch"),
    [
        ("vit_tiny_patch16_224", 1, 16),
        ("deit_tiny_distilled_patch16_224", 2, 16),
        ("vit_small_patch14_reg4_dinov2", 5, 14),
        ("vit_base_patch16_siglip_224", 0, 16),
    ],
)
def test_timm_transformers_with_a_known_place(name, prefix, patch):
    shape = (3, 3 * patch, 5 * patch)
    model = timm.create_model(name, img_size=shape[1:], depth=1, embed_dim=12, num_heads=2).eval()
    assert prefix_tokens(model) == prefix and patch_grid(model, shape) == (3, 5)
    assert_local(model, ["patch_embed", "blocks.0.norm1", "blocks.0"], shape, (3, 5))


def assert_local(model, names, input_shape, grid):
    """Changing one patch changes that cell most, in each of the layers."""
    height, width = input_shape[1] // grid[0], input_shape[2] // grid[1]
    torch.manual_seed(0)
    plain = torch.randn(1, *input_shape)
    for row, column in ((0, 0), (1, 3), (2, 4)):
        other = plain.clone()
        other[:, :, row * height : (row + 1) * height, column * width : (column + 1) * width] += 3
        for name in names:
            change = (captured(model, name, other) - captured(model, name, plain)).abs().sum((0, 1))
            assert change.shape == grid
            assert divmod(int(change.argmax()), grid[1]) == (row, column), name


def captured(model, name, x):
    outputs = []
    handle = model.get_submodule(name).register_forward_hook(lambda *parts: outputs.append(parts[2]))
    with torch.no_grad():
        model(x)
    handle.remove()
    return unit_layout(model, name, outputs[0], tuple(x.shape[1:]))(outputs[0])


def test_hub_transformers_with_a_known_place():
    from transformers import Dinov2WithRegistersConfig, Dinov2WithRegistersModel, ViTConfig, ViTModel

    small = {"hidden_size": 12, "num_hidden_layers": 1, "num_attention_heads": 2, "patch_size": 16}
    vit = ViTModel(ViTConfig(image_size=(48, 80), intermediate_size=13, **small), add_pooling_layer=False).eval()
    assert_local(vit, ["embeddings", "layernorm"], (3, 48, 80), (3, 5))
    assert prefix_tokens(vit) == 1
    dino = Dinov2WithRegistersModel(Dinov2WithRegistersConfig(num_register_tokens=4, image_size=80, **small)).eval()
    assert prefix_tokens(dino) == 5
    assert_local(dino, ["embeddings", "layernorm"], (3, 48, 80), (3, 5))


def test_channels_last_networks_with_a_known_place():
    swin = timm.create_model(
        "swin_tiny_patch4_window7_224", img_size=(48, 80), depths=(1,), embed_dim=12, num_heads=(2,)
    )
    swin = swin.eval()
    kinds = {layer.name: layer.kind for layer in list_layers(swin, torch.randn(1, 3, 48, 80))}
    assert kinds["layers.0"] == "maps last" and kinds["patch_embed.proj"] == "maps"
    assert_local(swin, ["patch_embed", "layers.0.blocks.0.norm1"], (3, 48, 80), (12, 20))
    convnext = timm.create_model("convnext_tiny", depths=(1, 1, 1, 1), dims=(5, 7, 11, 13)).eval()
    kinds = {layer.name: layer.kind for layer in list_layers(convnext, torch.randn(1, 3, 44, 52))}
    assert kinds["stages.0.blocks.0.norm"] == "maps last" and kinds["stages.0.blocks.0.mlp.fc1"] == "maps last"
    assert kinds["stages.0.blocks.0"] == "maps" and kinds["stages.1.downsample.0"] == "maps"


# Lists --------------------------------------------------------------------------------------------------------


class Net(nn.Module):
    """Runs `act` twice, `never` not at all, and puts out a dictionary."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 5, 3, padding=1)
        self.act, self.never = nn.ReLU(), nn.ReLU()
        self.head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(5, 7))
        self.table = nn.Embedding(3, 2)

    def forward(self, x):
        self.table(torch.zeros(3, dtype=torch.int64))
        return {"out": self.head(self.act(self.act(self.conv(x))))}


def test_list_layers():
    model = Net().train()
    layers = list_layers(model, torch.randn(1, 3, 11, 13))
    assert layers == [
        LayerInfo("conv", "maps", 5, 11, 13, "Conv2d"),
        LayerInfo("head", "vector", 7, 1, 1, "Sequential"),
        LayerInfo("head.0", "maps", 5, 1, 1, "AdaptiveAvgPool2d"),
        LayerInfo("head.1", "vector", 5, 1, 1, "Flatten"),
        LayerInfo("head.2", "vector", 7, 1, 1, "Linear"),
    ]
    assert model.training and all(module.training for module in model.modules())
    assert not any(module._forward_hooks for module in model.modules())


def test_a_model_that_does_not_take_its_inputs_is_told_and_left_as_it_was():
    model = Net().train()
    with pytest.raises(TargetError, match=r"must take inputs of shape \(2, 1, 11, 13\). Got RuntimeError"):
        list_layers(model, torch.randn(1, 1, 11, 13))
    assert model.training and not any(module._forward_hooks for module in model.modules())


def test_generators_have_layers_too():
    model = nn.Sequential(nn.Linear(7, 5 * 6), nn.Unflatten(1, (5, 2, 3)), nn.ConvTranspose2d(5, 3, 2, 2), nn.Tanh())
    layers = list_layers(model, torch.randn(1, 7))
    assert [(x.kind, x.units, x.height, x.width) for x in layers] == [
        ("vector", 30, 1, 1),
        ("maps", 5, 2, 3),
        ("maps", 3, 4, 6),
        ("maps", 3, 4, 6),
    ]


NAMES = ["conv1", "layer1", "layer1.0", "layer1.0.conv", "layer1.1", "layer2", "fc", "0"]
LAYERS = [LayerInfo(name, "vector", 2, 1, 1) for name in NAMES]


@pytest.mark.parametrize(
    ("patterns", "want"),
    [
        (["layer1"], ["layer1"]),
        (["fc", "conv1"], ["conv1", "fc"]),
        (["layer*"], ["layer1", "layer2"]),
        (["layer1.*"], ["layer1.0", "layer1.1"]),
        (["layer1.**"], ["layer1.0", "layer1.0.conv", "layer1.1"]),
        (["layer[12]", "layer1"], ["layer1", "layer2"]),
        (["0"], ["0"]),
        (["?c"], ["fc"]),
        (["**"], NAMES),
        ([], []),
    ],
)
def test_match_layers(patterns, want):
    assert match_layers(patterns, LAYERS) == want


def test_unknown_layers_offer_the_nearest():
    with pytest.raises(TargetError, match=r"one of the model's 8 .* Got 'layer3'\. The nearest: layer"):
        match_layers(["layer1", "layer3"], LAYERS)
    with pytest.raises(TargetError, match="The nearest: conv1, layer1"):
        match_layers(["zzz"], LAYERS)
