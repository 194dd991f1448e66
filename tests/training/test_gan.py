"""The training of the scene generator: which scenes, which losses reach whom, what is averaged, and that it goes on."""

import copy
import json
from itertools import islice

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch.nn import functional as F

from describer.data.scenes import NAMES, draw_scene
from describer.data.scenes.names import IDS
from describer.errors import RecipeError
from describer.scenegan import SceneGenerator, carried_generator
from describer.training.critics import MapCritic, PixelCritic, SceneMaps, spread
from describer.training.gan import Game, GanRecipe, LandscapeLessons, settled
from describer.training.landscapes import CLUTTER, LandscapeRule, Landscapes, halved, is_wanted, landscapes

CHANNELS = (7, 5, 11, 3, 2)


@pytest.fixture
def game():
    torch.manual_seed(3)
    return Game(SceneGenerator(3, CHANNELS, 13), 0.9)


@pytest.fixture
def batch():
    dice = torch.Generator().manual_seed(5)
    images = torch.rand(6, 3, 64, 64, generator=dice) * 2 - 1
    return {"images": images, "kinds": torch.tensor([0, 0, 1, 1, 2, 2]), "latents": torch.randn(6, 13, generator=dice)}


def test_scenes_are_chosen_as_they_are_drawn():
    rule = LandscapeRule(kinds=("lake", "desert", "forest", "beach"))
    for index in range(40):
        scene = draw_scene(9, index, 16)
        if is_wanted(rule, 9, index):
            assert scene.kind in rule.kinds and scene.light in rule.lights
        elif scene.kind in rule.kinds and scene.light in rule.lights:  # then it is too near
            assert not is_wanted(LandscapeRule(kinds=rule.kinds), 9, index)
            assert is_wanted(LandscapeRule(kinds=rule.kinds, zoom=3.0), 9, index)


def test_landscapes_have_little_in_the_way():
    rule, found = LandscapeRule(), iter(range(10**6))
    for image, kind in islice(landscapes(rule, 4), 3):
        index = next(i for i in found if np.array_equal(halved(draw_scene(4, i, 128).image).transpose(2, 0, 1), image))
        scene = draw_scene(4, index, 128)
        assert rule.kinds[kind] == NAMES["scene"][scene.scene_kind]
        share = sum(np.mean(scene.labels["object"] == IDS["object"][name]) for name in CLUTTER)
        assert share <= rule.clutter


def test_halving_is_the_mean_of_four():
    image = np.random.default_rng(0).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    for y, x, c in np.ndindex(3, 3, 3):
        mean = sum(int(image[2 * y + i, 2 * x + j, c]) for i in (0, 1) for j in (0, 1)) / 4
        assert halved(image)[y, x, c] == int(mean + 0.5)


def test_no_gradient_crosses(game, batch):
    alone = copy.deepcopy(game)
    game.train()(**batch)["loss"].backward()
    alone.train()
    drawn = alone.generator(batch["latents"])
    asked = alone.generator.kinds(batch["latents"])
    real, fake = [batch["images"], alone.maps(batch["images"])], [drawn, alone.maps(drawn)]
    for critic, true, false in zip(alone.critics, real, fake, strict=True):
        kept = false.detach() if isinstance(false, torch.Tensor) else [part.detach() for part in false]
        both = [torch.cat(pair) for pair in zip(true, kept, strict=True)] if isinstance(true, list) else None
        told = critic(torch.cat([true, kept]) if both is None else both, torch.cat([batch["kinds"], asked]))
        (F.relu(1 - told[:6]).mean() + F.relu(1 + told[6:]).mean()).backward()
    own = {name: p.grad.clone() for name, p in alone.critics.named_parameters()}
    sum(-critic(false, asked).mean() for critic, false in zip(alone.critics, fake, strict=True)).backward()
    for name, p in game.critics.named_parameters():
        torch.testing.assert_close(p.grad, own[name], rtol=0.01, atol=1e-3)
    for p, q in zip(game.generator.parameters(), alone.generator.parameters(), strict=True):
        torch.testing.assert_close(p.grad, q.grad, rtol=0.01, atol=1e-3)
    assert all(p.grad is None for p in (*game.average.parameters(), *game.maps.parameters()))


def test_the_average_follows(game, batch):
    wanted = {name: p.clone() for name, p in game.average.named_parameters()}
    for step in range(1, 4):
        with torch.no_grad():
            for p in game.generator.parameters():
                p.add_(0.1 * step)
        game.train()(**batch)
        keep = min(0.9, (1 + step) / (10 + step))
        now = dict(game.generator.named_parameters())
        wanted = {name: keep * p + (1 - keep) * now[name].detach() for name, p in wanted.items()}
    for name, p in game.average.named_parameters():
        torch.testing.assert_close(p, wanted[name])


def test_a_settled_generator_knows_its_own_units(game):
    model = settled(game.generator, seed=7, batches=2)
    before = game.generator.stage1.first.norm.running_mean
    assert not model.training and torch.equal(before, torch.zeros(5))
    dice = torch.Generator().manual_seed(7)
    means = []
    for _ in range(2):
        latents = torch.randn(64, 13, generator=dice)
        style = model.style(torch.cat([latents, F.one_hot(latents[:, :3].argmax(1), 3)], 1))
        x = F.interpolate(model.start(style).unflatten(1, (-1, 4, 4)), scale_factor=2.0)
        means.append(model.stage1.first.conv(x).mean((0, 2, 3)))
    torch.testing.assert_close(model.stage1.first.norm.running_mean, torch.stack(means).mean(0).detach())


def test_a_kind_of_which_there_is_no_scene_borrows_others():
    scenes = Landscapes(np.zeros((4, 3, 64, 64), np.uint8), np.array([0, 0, 2, 2]))
    recipe = GanRecipe(out="x", kinds=("lake", "beach", "desert"), batch=12, latents=5)
    batch = LandscapeLessons(scenes, recipe)([3])
    again = LandscapeLessons(scenes, recipe)([3])
    assert all(torch.equal(batch[name], again[name]) for name in batch)
    assert not torch.equal(batch["latents"], LandscapeLessons(scenes, recipe)([4])["latents"])
    kinds = batch["kinds"].tolist()
    assert sorted(kinds) == [0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2] and kinds[::2] == kinds[1::2]
    assert batch["latents"][:, :3].argmax(1).tolist() == kinds and batch["latents"].shape == (12, 5)
    with pytest.raises(RecipeError, match="even"):
        GanRecipe(out="x", batch=7)


def test_judges_see_places_and_kinds():
    torch.manual_seed(0)
    images = torch.rand(4, 3, 64, 64) * 2 - 1
    pixels, maps = PixelCritic(3, (5, 7, 3, 2)).eval(), MapCritic(3, width=5).eval()
    seen = SceneMaps()(images)
    assert [tuple(x.shape[1:]) for x in seen] == [(48, 32, 32), (96, 16, 16), (128, 8, 8)]
    zero, one = torch.zeros(4, dtype=torch.long), torch.ones(4, dtype=torch.long)
    assert pixels(images, zero).shape == (4, 16) and maps(seen, zero).shape == (4, 3 * 64)
    assert not torch.allclose(pixels(images, zero), pixels(images, one))
    assert not torch.allclose(maps(seen, zero), maps(seen, one))
    torch.testing.assert_close(pixels(images, zero)[:2], pixels(images[:2], zero[:2]))  # twos know of no others
    assert not torch.allclose(pixels(images, zero)[0], pixels(images[[0, 2]], zero[:2])[0])


def test_spread_is_the_mean_distance_of_two():
    x = torch.randn(4, 3, 5, 7)
    found = spread(x)
    for picture, y, z in np.ndindex(4, 5, 7):
        first = picture - picture % 2
        distance = sum(abs(float(x[first, c, y, z] - x[first + 1, c, y, z])) for c in range(3)) / 3
        assert float(found[picture, 0, y, z]) == pytest.approx(distance, abs=1e-3)


def recipe(out, steps):
    return GanRecipe(
        str(out), n_scenes=6, kinds=("lake", "forest"), channels=CHANNELS, latents=5, batch=4, steps=steps, every=1
    )


def test_a_stopped_training_goes_on_as_if_unbroken(tmp_path):
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    recipe(whole, 2).train()
    (whole / "checkpoints" / "checkpoint-2").rename(tmp_path / "end")
    (broken / "checkpoints").mkdir(parents=True)
    (whole / "checkpoints" / "checkpoint-1").rename(broken / "checkpoints" / "checkpoint-1")
    (whole / "landscapes-1.npz").rename(broken / "landscapes-1.npz")
    recipe(broken, 2).train()
    first, second = load_file(whole / "model.safetensors"), load_file(broken / "model.safetensors")
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert (broken / "samples-000002.png").is_file()
    told = json.loads((broken / "recipe.json").read_text())
    assert told["kind"] == "gan" and "out" not in told and str(tmp_path) not in json.dumps(told)
    model = carried_generator(broken)
    assert model(torch.randn(2, 5)).shape == (2, 3, 64, 64)
