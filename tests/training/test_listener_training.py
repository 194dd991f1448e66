"""What a listener is taught, that two pictures which share a phrase are not held against it, and that it learns."""

import json
import math

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from describer.backbone import PyramidBackbone
from describer.listener import load_listener, plain
from describer.training import listener as training
from describer.training import train
from describer.training.corpus import CorpusBuilder, concat, coverage
from describer.training.gridtable import grid_table
from describer.training.listener import (
    Judge,
    ListenerRecipe,
    PairLessons,
    Taught,
    Truth,
    contrast,
    new_listener,
    recalls,
    shortened,
    spoken,
    standardise,
)  # fmt: skip

COLOURS = {"red things": (200, 20, 20), "green things": (20, 150, 30), "blue things": (20, 40, 200)}
OWN = {"channels": [8, 11, 13, 17], "semantic": 19}
CONFIG = {"own": OWN, "width": 24, "dims": 13, "n_queries": 2, "n_layers": 1, "n_heads": 2, "dropout": 0.0}


def picture(rng, *colours):
    """Bands of colours from left to right, with noise."""
    bands = [np.full((32, 40 // len(colours), 3), colour) for colour in colours]
    noisy = np.concatenate(bands, 1) + rng.integers(-15, 16, (32, 40 // len(colours) * len(colours), 3))
    return Image.fromarray(noisy.clip(0, 255).astype(np.uint8))


def coloured_corpus(n=7, seed=0, source="captions"):
    """n pictures a colour with captions and phrases, and n of all colours with a region each."""
    rng, builder = np.random.default_rng(seed), CorpusBuilder(source)
    for phrase, colour in COLOURS.items():
        for _ in range(n):
            builder.add_region(builder.add_image(picture(rng, colour)), None, [f"Some {phrase} ."], [phrase, "things"])
    for _ in range(n):
        image = builder.add_image(picture(rng, *COLOURS.values()))
        for place, phrase in enumerate(COLOURS):
            mask = np.zeros((30, 30), bool)
            mask[:, 10 * place : 10 * place + 10] = True
            builder.add_region(image, coverage(mask), [phrase], [phrase])
    return builder.corpus()


def foreign_corpus():
    """Pictures of a source that never says a colour."""
    rng, builder = np.random.default_rng(5), CorpusBuilder("textures")
    for _ in range(5):
        builder.add_region(builder.add_image(picture(rng, (90, 90, 90))), None, [], ["smooth surfaces"])
    return builder.corpus()


@pytest.fixture
def backbone(tmp_path):
    torch.manual_seed(0)
    save_file(PyramidBackbone(**OWN).state_dict(), tmp_path / "backbone.safetensors")
    return tmp_path


def recipe(tmp_path, **changes):
    fields = {
        "out": str(tmp_path / "out"), "sources": [], "backbone": str(tmp_path), "config": CONFIG, "n_tokens": 70,
        "n_pictures": 17, "n_phrases": 5, "steps": 30, "every": 30, "learning_rate": 3e-3, "n_views": 2,
    }  # fmt: skip
    return ListenerRecipe(**(fields | changes))


@pytest.fixture
def world(backbone):
    wanted, corpus = recipe(backbone), concat([coloured_corpus(), foreign_corpus()])
    listener = new_listener(wanted, corpus)
    table = grid_table(listener.images, corpus, backbone / "table.npy", n_views=2)
    standardise(listener, table)
    return wanted, corpus, listener, table


def test_the_same_index_gives_the_same_batch(world):
    wanted, corpus, listener, table = world
    lessons = PairLessons(listener, corpus, table, wanted)
    one, again, other = lessons([3]), lessons([3]), lessons([4])
    assert all(torch.equal(one[name], again[name]) for name in one)
    assert not torch.equal(one["grid"], other["grid"])
    n_texts = len(one["captions"]) + len(one["phrases"])
    assert one["grid"].shape == (17, 16, listener.images.n_features)
    assert one["true"].shape == one["weight"].shape == (17, n_texts)
    assert ((one["inside"] >= 0) & (one["inside"] <= 1)).all() and (one["inside"] == 1).all(1).any()


def test_truth_agrees_with_reading_the_corpus(world):
    _, corpus, _, _ = world
    phrases = list(corpus.phrases)
    truth = Truth(corpus, phrases)
    pictures, columns = np.arange(len(corpus.images)), np.arange(len(phrases))
    true, known = truth.picture(pictures, columns), truth.known(pictures, columns)
    for i in pictures:
        regions = np.flatnonzero(corpus.region_image == i)
        sources = {corpus.source[region] for region in regions}
        for j, phrase in enumerate(phrases):
            said = corpus.phrases[phrase]
            assert true[i, j] == bool(np.isin(regions, said).any())
            assert known[i, j] == any(corpus.source[region] in sources for region in said)
    regions = np.arange(len(corpus))
    by_region = truth.region(regions, columns)
    assert [[region in corpus.phrases[p] for p in phrases] for region in regions] == by_region.tolist()


def test_what_is_shared_or_unknown_is_not_held_against_a_picture(world):
    wanted, corpus, listener, table = world
    lessons = PairLessons(listener, corpus, table, wanted)
    names = lessons.phrases
    red, grey = int(corpus.phrases["red things"][0]), int(corpus.phrases["smooth surfaces"][0])
    mixed = int(np.flatnonzero(corpus.region_mask.min((1, 2)) < 255)[0])
    regions = np.array([red, grey, mixed])
    partly = np.array([False, False, True])
    columns = np.array([names.index(name) for name in ("red things", "green things", "smooth surfaces")])
    true, weight = lessons._phrases_of(regions, corpus.region_image[regions].astype(np.int64), partly, columns)
    assert true.tolist() == [[True, False, False], [False, False, True], [True, False, False]]
    silence = wanted.silence
    assert weight[0].tolist() == [1, 1, silence], "its source tells colours, never surfaces"
    assert weight[1].tolist() == [silence, silence, 1]
    assert weight[2].tolist() == [1, 0, silence], "green is elsewhere in the picture of the red region"


def slow_contrast(logits, true, weight):
    """Khosla 2020, eq. 2, pair by pair in float64."""
    rows = []
    for row in range(len(logits)):
        false = sum(
            w * math.exp(x) for x, t, w in zip(logits[row], true[row], weight[row], strict=True) if not t and w > 0
        )
        pairs = zip(logits[row], true[row], strict=True)
        terms = [-math.log(math.exp(x) / (math.exp(x) + false)) for x, t in pairs if t]
        if terms:
            rows.append(sum(terms) / len(terms))
    return sum(rows) / len(rows)


def test_the_loss_is_the_one_of_the_paper_and_true_texts_are_no_rivals():
    rng = torch.Generator().manual_seed(0)
    logits = torch.randn(5, 7, generator=rng) * 3
    true = torch.rand(5, 7, generator=rng) < 0.3
    true[3] = False
    weight = torch.rand(5, 7, generator=rng).round(decimals=1)
    expected = slow_contrast(logits.double().tolist(), true.tolist(), weight.tolist())
    assert float(contrast(logits, true, weight)) == pytest.approx(expected, abs=1e-5)
    row = torch.tensor([[5.0, 5.0, -5.0]])
    shared = torch.tensor([[True, True, False]])
    assert float(contrast(row, shared, torch.ones(1, 3))) < 1e-3
    assert float(contrast(row, torch.zeros(1, 3, dtype=torch.bool), torch.ones(1, 3))) == 0.0


def test_views_show_a_picture_and_its_regions_through_the_same_window(world):
    _, corpus, _, table = world
    mixed = int(np.flatnonzero(corpus.region_mask.min((1, 2)) < 255)[0])
    assert table.n_views == 2
    whole, view = (table.inside(np.array([mixed]), np.array([v]))[0].view(4, 4) for v in (0, 1))
    assert whole[:, :2].mean() > whole[:, 2:].mean(), "red is on the left"
    assert view[:, 2:].mean() > view[:, :2].mean(), "the second view is mirrored"
    red = table.grid(corpus.region_image[[mixed]].astype(np.int64), np.array([1]))[0, :, 3].view(4, 4)
    assert (red[:, 3] > red[:, 0]).all(), "its computed red is mirrored too"


def test_recalls_by_hand():
    cosines = torch.tensor([[0.9, 0.1, 0.0], [0.2, 0.1, 0.8], [0.3, 0.7, 0.6], [0.1, 0.2, 0.3]])
    found = recalls(cosines, torch.tensor([0, 0, 1, 2]), k=1)
    assert found["text_to_image"].tolist() == [True, False, True, True]
    assert found["image_to_text"].tolist() == [True, True, False]


def test_phrases_are_said_of_one_picture_too():
    assert spoken("brown dogs") == ["brown dogs", "brown dog", "a brown dog"]
    assert spoken("orange areas")[-1] == "an orange area"
    assert spoken("grass")[:1] == ["grass"]
    text = "a brown dog runs over the green grass"
    cut = [shortened(text, np.random.default_rng(i)) for i in range(50)]
    assert text in cut and min(len(t.split()) for t in cut) >= 1
    assert all(set(t.split()) <= set(text.split()) for t in cut)


def test_trained_by_a_recipe_it_hears_colours_and_keeps_its_calibration(backbone, monkeypatch):
    seen, unseen = coloured_corpus(), coloured_corpus(seed=1)
    monkeypatch.setattr(training, "load_corpus", lambda _sources, folds, _cache: unseen if 8 in folds else seen)
    path = backbone / "recipe.yaml"
    fields = {"kind": "listener", "out": str(backbone / "out"), "backbone": str(backbone), "data": str(backbone)}
    fields |= {"sources": [{"source": "captions"}], "config": CONFIG, "n_tokens": 70, "n_pictures": 29, "n_views": 2}
    path.write_text(json.dumps(fields | {"steps": 80, "every": 40, "learning_rate": 5e-3, "n_phrases": 4}))
    folder = train(path)
    listener = load_listener(str(folder))
    pictures = [Image.fromarray(unseen.images[i].transpose(1, 2, 0)) for i in range(0, 21, 7)]
    for texts in (list(COLOURS), [f"some {phrase}" for phrase in COLOURS], ["a red thing", "a green thing", "blue"]):
        heard = listener.simulate(listener.embed_texts(texts), listener.embed_images(pictures))
        assert heard.argmax(1).tolist() == [0, 1, 2]
    config = json.loads((folder / "config.json").read_text())
    assert config["scale"] == listener.key["scale"] != 20.0
    kept = json.loads((folder / "recipe.json").read_text())
    assert kept["steps"] == 80 and "data" not in kept


def test_the_judge_finds_captions_of_pictures(world):
    _, corpus, listener, table = world
    found = Judge(corpus, table)(Taught(listener, 0.1))
    assert set(found) == {"recall", "text_to_image", "image_to_text"}
    assert 0 <= found["recall"] <= 1


def test_plain_texts_are_what_the_vocabulary_has_learnt(world):
    _, _, listener, _ = world
    assert listener.vocabulary.decode(listener.tokens(["Some RED things ."])) == [plain("Some red things")]
