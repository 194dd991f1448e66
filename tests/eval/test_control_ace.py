"""Units by learned weights: the objective by loops, soft labels against hard, a generator whose units are known."""

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn
from typer.testing import CliRunner

from describer.cli import app
from describer.data.scenes.palette import COLOR_TERMS, name_colors, to_lab
from describer.errors import AtlasError, ConceptsError, DescriberError
from describer.eval.control import likeness as likenesses
from describer.eval.control.ace import AcePlan, ace, drawn, objective, rectangles
from describer.eval.control.edit import EditPlan, edit, replay
from describer.eval.control.likeness import ColorTerm, Drawn, Likeness, Segmented, lab
from describer.levels import activations
from describer.scenesegmenter import SceneSegmenter
from tests.eval.described import PAINTER

BROWN = ("color", COLOR_TERMS.index("brown"))


# Soft labels


def test_lab_is_that_of_the_palette():
    rgb = torch.rand(2, 3, 5, 7, generator=torch.Generator().manual_seed(0))
    rgb[0, :, 0, 0] = 0
    wanted = to_lab(rgb.permute(0, 2, 3, 1).double().numpy() * 255)
    assert np.allclose(lab(rgb).permute(0, 2, 3, 1).numpy(), wanted, atol=2e-3)
    black = torch.zeros(1, 3, 1, 1, requires_grad=True)
    lab(black).sum().backward()
    assert bool(black.grad.isfinite().all())


def test_sharp_colours_are_the_labels_and_soft_ones_share_out_a_pixel():
    levels = np.random.default_rng(1).integers(0, 64, (11, 13, 3)) * 4 + 2  # centres of the cells that are looked up
    pixels = torch.from_numpy(levels.transpose(2, 0, 1) / 255).float()[None]
    hard = name_colors(levels.astype(np.uint8))
    soft = torch.zeros(11, 13)
    for number, term in enumerate(COLOR_TERMS[1:], 1):
        sharp = ColorTerm(term, softness=0.3)(pixels)[0] > 0.5
        assert (sharp.numpy() == (hard == number)).mean() > 0.99
        soft += ColorTerm(term)(pixels)[0]
    assert torch.allclose(soft, torch.ones(11, 13), atol=1e-4)


def test_the_carried_segmenter_softly(monkeypatch):
    torch.manual_seed(0)
    model = SceneSegmenter({"object": ("", "water", "sky")}, (3, 5)).eval().requires_grad_(False)
    monkeypatch.setattr(likenesses, "carried_segmenter", lambda: model)
    pixels = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    found = Likeness("colors,carried:segmenter", ("object", 1))(pixels)
    wanted = model(pixels * 2 - 1)["object"].exp()
    assert torch.allclose(found, wanted[:, 1] / wanted.sum(1), atol=1e-5)
    assert Drawn(model, "object", 2)(pixels[:, :, :32, :48]).shape == (2, 64, 64)
    with pytest.raises(ConceptsError, match="of one kind"):
        Likeness("colors", ("object", 1))


def test_a_segmentation_model_softly():
    class Model(nn.Module):
        device = torch.device("cpu")

        def forward(self, pixel_values):
            return SimpleNamespace(logits=torch.stack([pixel_values[:, 0], 2 * pixel_values[:, 1]], 1))

    processor = SimpleNamespace(image_mean=[0.5, 0.4, 0.3], image_std=[0.2, 0.1, 0.3], size={"height": 5, "width": 7})
    pixels = torch.rand(2, 3, 5, 7, generator=torch.Generator().manual_seed(1))
    found = Segmented(Model(), processor, 2)(pixels)  # id 2 is the model's class 1
    first, second = ((pixels[:, 0] - 0.5) / 0.2).exp(), (2 * (pixels[:, 1] - 0.4) / 0.1).exp()
    assert torch.allclose(found, second / (first + second), atol=1e-5)
    assert Segmented(Model(), processor, 1)(torch.rand(2, 3, 11, 13)).shape == (2, 5, 7)


# The objective


def slow_objective(model, latents, places, alphas, levels, insert, penalty):
    """Equations 5 to 7 of the paper, sample by sample, place by place, unit by unit."""
    share = {"plain": 0.0, "cut": 0.0, "raised": 0.0}
    for n, latent in enumerate(latents):
        r = torch.relu(model.fc(latent[None]).view(11, 4, 4))
        for name in share:
            x = r.clone()
            for u in range(11):
                for i in range(4):
                    for j in range(4):
                        if places[n, i, j] and name != "plain":
                            x[u, i, j] = (1 - alphas[u]) * r[u, i, j]
                            x[u, i, j] += alphas[u] * levels[u] if name == "raised" else 0
            fine = x.repeat_interleave(5, 1).repeat_interleave(5, 2)
            picture = torch.ones(3, 20, 20)
            for u, color in enumerate(((0.48, 0.29, 0.13), (0.8, 0.05, 0.08), (0.1, 0.5, 0.15))):
                cover = (2 * fine[u]).clamp(max=1)
                picture = picture * (1 - cover) + torch.tensor(color)[:, None, None] * cover
            share[name] += float(ColorTerm("brown")(picture[None]).mean()) / len(latents)
    most = share["raised"] if insert else share["plain"]
    norm = sum(float(a) ** 2 for a in alphas) ** 0.5
    return -(most - share["cut"]) / max(share["plain"], 0.01) + penalty * norm


@pytest.mark.parametrize("insert", [False, True])
def test_the_objective_by_loops(target, insert):
    dice = torch.Generator().manual_seed(5)
    latents, alphas, levels = (
        torch.randn(3, 5, generator=dice),
        torch.rand(11, generator=dice),
        torch.rand(11, generator=dice),
    )
    (maps,) = activations(target.model, [latents], "layer1")
    places = rectangles(3, (4, 4), np.random.default_rng(2))
    plan = AcePlan(insert=insert, penalty=0.3)
    found = objective(target, "layer1", Likeness("colors", BROWN), latents, maps, places, alphas, levels, plan)
    wanted = slow_objective(target.model, latents, places, alphas, levels, insert, 0.3)
    assert float(found) == pytest.approx(wanted, abs=1e-4)


def test_places_are_rectangles_of_half_a_side_or_more():
    places = rectangles(97, (3, 7), np.random.default_rng(0))
    assert {int(p.any(1).sum()) for p in places} == {2, 3} and {int(p.any(0).sum()) for p in places} == {4, 5, 6, 7}
    assert all(int(p.sum()) == int(p.any(1).sum()) * int(p.any(0).sum()) for p in places)
    assert rectangles(2, (1, 1), np.random.default_rng(0)).tolist() == [[[1.0]], [[1.0]]]


@pytest.mark.parametrize(("term", "unit"), [("brown", 0), ("red", 1), ("green", 2)])
def test_learned_weights_find_the_unit_that_paints(target, term, unit):
    likeness = Likeness("colors", ("color", COLOR_TERMS.index(term)))
    before = drawn(target, torch.randn(3, 5), [])
    found = ace(target, "layer1", likeness, torch.ones(11), AcePlan(steps=40))
    others = [float(a) for i, a in enumerate(found.alphas) if i != unit]
    assert float(found.alphas[unit]) > 0.9 and max(others) < 0.5 and np.median(others) < 0.05
    assert np.mean(found.objective[-5:]) < np.mean(found.objective[:5])
    assert before.min() >= 0 and before.max() <= 1 and not target.model.fc.weight.requires_grad
    raised = ace(target, "layer1", likeness, torch.ones(11), AcePlan(insert=True, steps=40))
    assert int(raised.alphas.argmax()) == unit


def test_a_greater_penalty_leaves_fewer_units(target):
    likeness = Likeness("colors", BROWN)
    plans = [AcePlan(penalty=penalty, steps=25) for penalty in (0.0, 0.1, 50.0)]
    sums = [float(ace(target, "layer1", likeness, torch.ones(11), plan).alphas.sum()) for plan in plans]
    assert sums[0] > sums[1] > sums[2] == 0


# The edit


PLAN = EditPlan(query="brown", top=1, samples=11, draws=1, seed=4, optimize=True)


def test_an_optimised_edit_beside_that_by_description(target, atlas):
    made = edit(target, atlas, PLAN)
    told = made.report["optimized"]
    assert [unit["id"] for unit in made.report["units"]] == ["layer1:0"] and told["layer"] == "layer1"
    assert made.report["units"][0]["score"] == told["alphas"]["layer1:0"] > 0.9
    assert told["by_description"]["effect"] == made.report["effect"] and told["shared"] == 1  # the same unit here
    report = json.loads(json.dumps(made.report, allow_nan=False))
    assert np.array_equal(replay(target, report).after, made.after)


def test_refusals(target, atlas):
    for options, fault, told in (
        ({"query": "wood"}, ConceptsError, "It has: black"),
        ({"penalty": 100.0}, DescriberError, "Lower --penalty"),
        ({"query": "purple"}, AtlasError, "--layers layer1"),
    ):
        with pytest.raises(fault, match=told):
            edit(target, atlas, replace(PLAN, **options))
    for options in ({"scale": "4"}, {"query": None, "units": "layer1:0"}):
        with pytest.raises(DescriberError, match="--optimize must have"):
            replace(PLAN, **options)
    with pytest.raises(DescriberError):
        AcePlan(steps=0)


def test_a_generator_without_finite_slopes(target):
    class Broken(nn.Module):
        def forward(self, pixels):
            return (pixels.mean(1) - pixels.mean(1)).sqrt() / 0 * pixels.mean(1)

    with pytest.raises(DescriberError, match="finite slopes"):
        ace(target, "layer1", Broken(), torch.ones(11), AcePlan(steps=1))


def test_the_verb(atlas):
    words = [
        "edit",
        PAINTER,
        "--atlas",
        str(atlas.path),
        "--query",
        "red",
        "--optimize",
        "--top",
        "1",
        "--samples",
        "5",
    ]
    done = CliRunner().invoke(app, [*words, "--measured", "7", "--draws", "1"])
    assert done.exit_code == 0 and "Weights learned at layer1" in done.stdout and "(1 the same)" in done.stdout, (
        done.stderr
    )
