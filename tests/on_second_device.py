"""What is found on a second device is what is found on the CPU; run by test_second_device, in a process of its own."""

from dataclasses import fields, is_dataclass, replace

import numpy as np
import pytest
import torch
from torch import nn
from transformers import TrainingArguments

from describer.caption import CaptionDescriber
from describer.captioner import Captioner
from describer.data.images import load_images
from describer.data.pairnet import PairEncoder, save_pairnet
from describer.data.targets import load_target
from describer.data.text_targets import load_text_target, read_units
from describer.decoding import STRATEGIES, DecodingSettings, describe_sets
from describer.describe import describe
from describer.errors import TargetError
from describer.eval.control.ablation import AblatePlan, ablate
from describer.eval.control.ace import AcePlan, ace
from describer.eval.control.choice import Chosen
from describer.eval.control.dials import Dials
from describer.eval.control.drawing import Samples
from describer.eval.control.edit import EditPlan, edit, replay
from describer.eval.control.explanation import ExplainPlan, contributions, explain
from describer.eval.control.likeness import Likeness
from describer.eval.control.repair import RepairPlan, repair
from describer.eval.control.slopes import slopes
from describer.hublistener import HubListener
from describer.intervention import Edit, edited
from describer.levels import present_means, quantile_levels
from describer.listener import belief, load_listener
from describer.modes import ModeSettings
from describer.phrasereader import PhraseReader
from describer.probe import ProbeSettings, probe
from describer.regions import EncodedImages, exemplar_features
from describer.responses import Watch
from describer.scenegan import carried_generator
from describer.scenesegmenter import carried_segmenter
from describer.search.firing import firing
from describer.search.meanings import Meanings
from describer.training import fit as training
from describer.training.fit import fit
from describer.training.phrasereader import Read
from describer.trust import Judge, TrustSettings
from describer.wordlist import WordListDescriber
from tests.data.test_text_targets import PAIRS, WORDS, pairnet
from tests.describer.captioners import random_features, small_captioner
from tests.describer.dualencoders import TEXTS, pictures, save_clip, small_listener
from tests.describer.test_intervention import BATCH, SIDE, UNITS, maps
from tests.describer.test_probe import Inputs, Net
from tests.describer.worlds import Squares, make_exemplars
from tests.eval.described import MISTAKEN, PAINTER, SORTER, describe_colors, write_photos
from tests.seconddevice import NAME, register

register()


def leaves(told):
    """Numbers and words of a result in order, as arrays: of tensors, dataclasses, JSON."""
    if is_dataclass(told):
        told = [getattr(told, field.name) for field in fields(told)]
    if isinstance(told, dict):
        told = [*told, *told.values()]
    if isinstance(told, list | tuple):
        return [leaf for part in told for leaf in leaves(part)]
    return [np.asarray(told.detach().cpu() if isinstance(told, torch.Tensor) else told)]


def assert_near(found, wanted, atol=1e-4):
    for own, other in zip(leaves(found), leaves(wanted), strict=True):
        if other.dtype.kind == "f":
            np.testing.assert_allclose(own, other, 1e-4, atol)
        else:
            assert np.array_equal(own, other)


def on(x):
    """The tensor on the second device."""
    return x.to(NAME)


# The device itself


@pytest.mark.parametrize(
    "mixed",
    [
        lambda x: on(x) + x,
        lambda x: x.add_(on(x)),
        lambda x: on(x) @ x,
        lambda x: torch.cat([on(x), x]),
        lambda x: torch.stack([on(x).sum(), x.sum()]),
        lambda x: torch.where(on(x) > 0, x, on(x)),
        lambda x: on(x).masked_fill(x > 0, 0.0),
        lambda x: on(x).gather(1, x.long()),
        lambda x: x[on(x).long()],
        lambda x: on(x).index_put_((torch.tensor([0]),), x),
        lambda x: nn.functional.embedding(x.long(), on(x)),
        lambda x: on(x).numpy(),
        lambda x: np.asarray(on(x)),
        lambda x: on(x).long() @ on(x).long(),
        lambda x: torch.randn(3, device=NAME, generator=torch.Generator()),
    ],
)
def test_what_cuda_refuses_is_refused(mixed):
    for within in (torch.no_grad(), torch.inference_mode()):
        with within, pytest.raises((RuntimeError, TypeError), match=r"same device|can't convert|generator|implemented"):
            mixed(torch.zeros(3, 3))


def test_what_cuda_allows_is_allowed():
    x = on(torch.arange(6.0).view(2, 3))
    x[torch.tensor([1])] = torch.tensor(7.0)
    assert (x * torch.tensor(2.0))[torch.tensor([True, False])].tolist() == [[0.0, 2.0, 4.0]]
    assert torch.zeros(2, 3).copy_(x).tolist() == x.tolist() == [[0.0, 1.0, 2.0], [7.0, 7.0, 7.0]]
    leaf = on(torch.ones(2, 3)).requires_grad_()
    changed = leaf * 2
    changed[0] = 0.0
    (changed.view(-1) * x.view(-1)).sum().backward()
    assert leaf.grad.device == x.device and leaf.grad.tolist() == [[0.0, 0.0, 0.0], [14.0, 14.0, 14.0]]


# Edits and levels

REGION = torch.rand(SIDE, SIDE, generator=torch.Generator().manual_seed(3)).round(decimals=1)
KINDS = {
    "ablate": 0.0,
    "set": (1.0, -2.0),
    "scale": torch.tensor([3.0, 0.5]),
    "raise": 0.2,
    "cap": torch.tensor(-0.1),
    "replace": maps(5, (2, SIDE, SIDE)),
}


@pytest.fixture
def net():
    torch.manual_seed(2)
    return nn.Sequential(nn.Conv2d(5, UNITS, 3, padding=1), nn.Tanh(), nn.Conv2d(UNITS, 2, 3, padding=1))


@pytest.mark.parametrize("where", [None, REGION, REGION.expand(BATCH, -1, -1), on(REGION)])
@pytest.mark.parametrize("kind", KINDS)
def test_edits(net, kind, where):
    x = maps(1, (BATCH, 5, SIDE, SIDE))
    edits = [Edit("1", (4, 2), kind, KINDS[kind], where), Edit("1", (2, 6), "scale", 0.5), Edit("0", (0,), "ablate")]
    with edited(net, edits):
        wanted = net(x)
    before = net.to(NAME)(on(x))
    with edited(net, edits):
        found = net(on(x))
    assert_near(found, wanted)
    assert found.device == before.device and torch.equal(net(on(x)), before)


def test_edits_end_with_an_error_and_slopes_go_through(net):
    x, factors = maps(1, (BATCH, 5, SIDE, SIDE)), [torch.ones(2, requires_grad=True) for _ in range(2)]
    slopes = []
    for place, factor in zip(("cpu", NAME), factors, strict=True):
        net, x = net.to(place), x.to(place)
        with edited(net, [Edit("1", (4, 2), "scale", factor, REGION)]):
            slopes += torch.autograd.grad(net(x).square().sum(), factor)
    before = net(x)
    with pytest.raises(TargetError), edited(net, [Edit("1", (UNITS,), "ablate")]):
        net(x)
    assert_near(slopes[1], slopes[0])
    assert torch.equal(net(x), before)


def test_levels(net):
    batches = [maps(seed, (BATCH, 5, SIDE, SIDE)) for seed in range(2)]
    wanted = quantile_levels(net, batches, "1", [3, 5], 0.9)
    assert_near(quantile_levels(net.to(NAME), map(on, batches), "1", [3, 5], 0.9), wanted)
    wanted = present_means(maps(), REGION.expand(BATCH, -1, -1))
    for first, second in ((on, on), (on, torch.clone), (torch.clone, on)):
        assert_near(present_means(first(maps()), second(REGION.expand(BATCH, -1, -1))), wanted)


# Probing


class Rounded(Inputs):
    """As autocast has them."""

    def __getitem__(self, index):
        x = super().__getitem__(index)[1]
        return index, None if x is None else x.bfloat16()


@pytest.mark.parametrize("is_rounded", [False, True])
def test_probing(tmp_path, is_rounded):
    told, layers, settings = [], ["conv", "last", "head"], ProbeSettings(k=4, quantile=0.9, batch_size=7)
    net, inputs = (Net().bfloat16(), Rounded(29, (4, 9))) if is_rounded else (Net(), Inputs(29, (4, 9)))
    for place in ("cpu", NAME):
        (tmp_path / place).mkdir()
        watch = Watch(tuple(range(0, 29, 3)), tmp_path / place, 5)
        found = probe(net.to(place), inputs, layers, settings, {"conv": [1, 3]}, watch=watch)
        kept = [*found.exemplars.values(), *found.random.values()]
        tensors = [x for each in kept for x in vars(each).values() if isinstance(x, torch.Tensor)]
        assert {x.device.type for x in tensors} == {"cpu"}
        told.append((found.exemplars, found.random, [found.responses(layer) for layer in layers], found.skipped))
    assert_near(told[1], told[0])


# Describing


def test_the_carried_captioner():
    captioner, exemplars, told = Captioner.carried(), make_exemplars("body.0").subset([0, 1]), []
    for place in ("cpu", NAME):  # what it keeps goes with it
        features, present = exemplar_features(EncodedImages(captioner.to(place).encoder, Squares()), exemplars)
        memory, reading = captioner.encode(features, present), captioner.read(features, present)
        texts = captioner.phrases_of(["dogs and hills"]), captioner.log_prior(["dogs", "red cars"])
        scores = captioner.log_prob(["dogs", "red cars"], memory, present)
        searched = Meanings(captioner).sets(exemplars, Squares())
        settings = DecodingSettings(beam=2, shortlist=5, max_length=3)
        found = describe_sets(captioner, features, present, settings), reading.evidence([(3,), (3, 7), ()])
        told.append((features, memory, reading, texts, scores, searched, found))
    assert_near(told[1], told[0])


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_decoding(strategy):
    captioner, settings = small_captioner(3, strategy == "beam"), DecodingSettings(strategy, beam=3, max_length=3)
    features, present = random_features(captioner, 3)
    wanted = describe_sets(captioner, features, present, settings)
    assert_near(describe_sets(captioner.to(NAME), on(features), on(present), settings), wanted)


def test_listeners(tmp_path):
    save_clip(tmp_path / "clip")
    small_listener().save_pretrained(tmp_path / "own")
    exemplars = make_exemplars("body.0").subset([0, 1])
    for name in ("clip", "own"):
        told = []
        for place in ("cpu", NAME):
            listener = load_listener(str(tmp_path / name), place)
            heard, seen = listener.embed_texts(TEXTS), listener.embed_images(pictures(5))
            none = (
                listener.simulate(listener.embed_texts([]), seen),
                listener.simulate(heard, listener.embed_images([])),
            )
            words = WordListDescriber(listener, TEXTS).describe(exemplars, Squares())
            true = belief(listener, TEXTS, pictures(5))
            told.append((heard, seen, listener.simulate(heard, seen), none, words, true, dict(listener.key)))
            if isinstance(listener, HubListener):
                true = listener.simulate(heard, seen).cpu() > 0.5
                told[-1] += (listener.calibrated(TEXTS, pictures(5), true).calibration,)
        assert_near(told[1], told[0])


def targets(source):
    return load_target(source), load_target(source, NAME)


def test_an_atlas_that_is_judged(tmp_path):
    small_listener().save_pretrained(tmp_path / "listener")
    write_photos(tmp_path, {"red": 14, "green": 14, "blue": 13}, lambda _name, i, pixels: pixels[:, :i].fill(60))
    images, told = load_images(str(tmp_path)), []
    for place, target in zip(("cpu", NAME), targets(SORTER), strict=True):
        judge = Judge(load_listener(str(tmp_path / "listener"), place), TrustSettings(directions=5, draws=9))
        describer = CaptionDescriber(small_captioner(3, True).to(place), DecodingSettings(beam=2, max_length=3))
        chosen = {"layers": ["layer1"], "judge": judge, "settings": ProbeSettings(k=5), "modes": ModeSettings(wide=11)}
        atlas = describe(target, images, tmp_path / "atlas" / place, [describer], **chosen)
        told.append((atlas.units(), atlas.wide("layer1"), atlas.responses("layer1")))
    assert_near(told[1], told[0])


def test_classifiers_of_sentences(tmp_path):
    save_pairnet(tmp_path, pairnet(), PairEncoder(WORDS), ["entailment", "neutral", "contradiction"])
    wanted = read_units(load_text_target(f"pairs:{tmp_path}"), PAIRS)
    assert_near(read_units(load_text_target(f"pairs:{tmp_path}", NAME), PAIRS), wanted)


# Control


def test_atlases_edits_and_dials_of_a_generator(tmp_path):
    plan, told = EditPlan(query="brown", scale="insert", where="class:red", top=1, samples=5, draws=1, seed=4), []
    for place, target in zip(("cpu", NAME), targets(PAINTER), strict=True):
        images = load_images("latents:67:5", target)
        atlas = describe_colors(target, images, tmp_path / place, 0.9)
        found = edit(target, atlas, plan, place)
        assert np.array_equal(replay(target, found.report).after, found.after)
        dials = Dials(target, atlas, 4, 5, 1).set("brown", 0.2).paint("red", (5, 10, 15, 20), 2).set("green", 0)
        parts = atlas.units(), atlas.exemplars("layer1"), dials.pictures()
        told.append((np.asarray(images.image(66)), found.after, found.report, parts))
    assert_near(told[1], told[0])


def test_learned_weights_and_slopes():
    told, where = [], (REGION > 0.5).float().expand(7, -1, -1)
    for place, target in zip(("cpu", NAME), targets(PAINTER), strict=True):
        likeness = Likeness("colors", ("color", 11), place)
        learned = [
            ace(target, "layer1", likeness, torch.ones(11), AcePlan(insert=i, steps=2, batch_size=5))
            for i in (False, True)
        ]
        units = [Chosen("layer1", unit, None, "", None) for unit in (0, 2, 5)]
        found = slopes(target, Samples(target, 4, 7).latents, likeness, units[:2], units[2:], where)
        seen = Likeness("carried:segmenter", ("object", 2), place)
        pixels = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0)).to(place).requires_grad_()
        told.append((learned, found, torch.autograd.grad(seen(pixels).sum(), pixels)))
    assert_near(told[1], told[0])


def darkened(name, i, pixels):
    """The later green ones are dark by half or more, and called blue."""
    pixels[:, : 8 + 2 * (i % 2) if name == "green" and i >= 7 else i % 3] = 0


def test_ablation_explanation_and_repair_of_a_classifier(tmp_path):
    images, told = write_photos(tmp_path, {"red": 5, "green": 19, "blue": 3}, darkened), []
    images = load_images(str(images))
    for place, target in zip(("cpu", NAME), targets(MISTAKEN), strict=True):
        atlas = describe_colors(target, images, tmp_path / place, 0.7, 0.7)
        x = torch.stack([target.preprocess(images.image(i)) for i in range(3)]).to(place)
        told.append(
            [
                ablate(target, atlas, images, AblatePlan(query="green", draws=1, batch_size=16)),
                explain(target, atlas, images.image(3), ExplainPlan(steps=3, draws=2)),
                contributions(target.model, x, "layer1", [0, 2, 1], 5),
                repair(target, atlas, images, RepairPlan("green as blue", draws=1, batch_size=16)),
                [replace(each, map=each.map.cpu()) for each in firing(atlas, images.image(9), target)],
            ]
        )
    assert_near(told[1], told[0])


def test_what_is_carried():
    chance = np.random.default_rng(0).integers(0, 256, (3, 40, 56, 3), np.uint8)
    assert_near(carried_segmenter().to(NAME).labels(chance), carried_segmenter().labels(chance))
    generator = carried_generator()
    latents = torch.randn(3, *generator.latent_shape, generator=torch.Generator().manual_seed(0))
    wanted = generator(latents)
    assert_near(generator.to(NAME)(on(latents)), wanted)
    listeners = load_listener(), load_listener(device=NAME)
    wanted, found = (belief(each, TEXTS, pictures(2)) for each in listeners)
    assert_near(found, wanted)


# Training


def test_a_reader_of_phrases_is_taught():
    torch.manual_seed(0)
    reader, mean, std = PhraseReader(7, 5, 11).eval(), torch.randn(7), torch.rand(7) + 1
    features, said = torch.randn(3, 7), torch.eye(5)[:3]
    wanted = Read(reader, mean, std)(features, said)
    assert_near(Read(reader, mean, std).to(NAME)(on(features), on(said)), wanted)


def test_training_is_on_the_device_and_ends_on_the_cpu(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.__future__, "_swap_module_params_on_conversion", True)  # parameters stay what they are
    monkeypatch.setenv("ACCELERATE_TORCH_DEVICE", f"{NAME}:0")
    others = {"use_cpu": False, "save_strategy": "no"}
    monkeypatch.setattr(training, "TrainingArguments", lambda **told: TrainingArguments(**told | others))
    seen = {"judged": set(), "taught": set()}

    class Line(nn.Linear):
        def forward(self, x):
            seen["taught"].add(self.weight.device.type)
            return {"loss": super().forward(x).square().mean()}

    def judge(model):
        seen["judged"].add(model.weight.device.type)
        return {"small": -model(torch.ones(1, 3))["loss"].item()}

    def lessons(indices):
        return {"x": torch.full((2, 3), 1.0 + indices[0])}

    torch.manual_seed(0)
    model = Line(3, 1)
    before = model(torch.ones(1, 3))["loss"].item()
    fit(model, lessons, tmp_path, 4, 0.1, 0, judge=judge, every=2, bf16=False)
    assert seen == {"judged": {"cpu"}, "taught": {NAME, "cpu"}} and model.weight.device.type == "cpu"
    assert model(torch.ones(1, 3))["loss"].item() < before
