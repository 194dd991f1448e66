"""Set-level lessons: what they hold, and that a captioner trained on them learns to name what sets share."""

import json
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from describer.captioner import Captioner
from describer.encoder import EncoderSettings, ExemplarEncoder
from describer.errors import RecipeError
from describer.regions import EncodedImages
from describer.training import captioner as training
from describer.training import train
from describer.training.captioner import CaptionerRecipe, SetLessons, kinds_of, new_captioner, standardise
from describer.training.corpus import CorpusBuilder, concat
from describer.training.judge import Judge
from describer.training.phrasereader import PhraseLessons, teach_phrases
from describer.training.regiontable import N_LOOKS, RegionTable, blobs, region_table

COLOURS = {"red things": (200, 20, 20), "green things": (20, 150, 30), "blue things": (20, 40, 200)}
OWN = {"channels": [8, 11, 13, 17], "semantic": 19}


def coloured_corpus(n=7, seed=0, source="colours", of_all=("things",)):
    """n pictures a colour, each with one region, its phrase, and the phrases of all."""
    rng, builder = np.random.default_rng(seed), CorpusBuilder(source)
    for phrase, colour in COLOURS.items():
        for _ in range(n):
            noise = rng.integers(-15, 16, (31, 37, 3))
            picture = Image.fromarray((np.array(colour) + noise).clip(0, 255).astype(np.uint8))
            builder.add_region(builder.add_image(picture), None, [f"some {phrase}"], [phrase, *of_all])
    return builder.corpus()


def recipe(tmp_path, **changes):
    fields = {
        "out": str(tmp_path / "out"), "sources": [], "encoder": {"width": 32, "n_layers": 1, "own": OWN}, 
        "n_tokens": 60,
        "n_layers": 1, "n_sets": 13, "n_exemplars": 5, "n_texts": 3, "steps": 60, "every": 30, "learning_rate": 3e-3,
        "dropout": 0.0,
    }  # fmt: skip
    return CaptionerRecipe(**(fields | changes))


@pytest.fixture
def world(tmp_path):
    wanted = recipe(tmp_path)
    corpus = coloured_corpus()
    captioner = new_captioner(wanted, corpus, ["white text"])
    table = region_table(captioner.encoder, corpus, tmp_path / "table.npy")
    standardise(captioner.encoder, table)
    return wanted, corpus, captioner, table


def test_the_same_index_gives_the_same_batch(world):
    wanted, corpus, captioner, table = world
    lessons = SetLessons(captioner, corpus, table, ["white text"], wanted)
    one, again, other = lessons([3]), lessons([3]), lessons([4])
    assert all(torch.equal(one[name], again[name]) for name in one)
    assert not torch.equal(one["features"], other["features"])
    assert one["features"].shape == (13, 5, captioner.encoder.n_features)
    assert len(one["tokens"]) == 13 + 3, "texts without pictures follow the sets"


def test_members_of_a_set_share_its_phrase(world):
    wanted, corpus, captioner, table = world
    lessons = SetLessons(captioner, corpus, table, [], wanted)
    rng = np.random.default_rng(0)
    strange = total = 0
    for _ in range(200):
        regions, text = lessons.draw(rng)
        if " and " in text:
            continue
        assert text in captioner.inventory.phrases
        inside = np.isin(regions, corpus.phrases[text])
        assert inside.any()
        strange, total = strange + int((~inside).sum()), total + len(regions)
    assert 0 < strange / total < wanted.strangers


def test_a_set_is_told_by_the_most_special_thing_true_of_all_of_it(world):
    wanted, corpus, captioner, table = world
    lessons = SetLessons(captioner, corpus, table, [], wanted)
    places = {phrase: captioner.inventory.phrases.index(phrase) for phrase in ("things", *COLOURS)}
    assert lessons.kinds[places["things"]] == {places[colour] for colour in COLOURS}, "7 of 7 in, 7 of 21 out"
    assert all(not lessons.kinds[places[colour]] for colour in COLOURS)
    red, blue = corpus.phrases["red things"], corpus.phrases["blue things"]
    assert lessons.most_special(places["things"], red[:3]) == places["red things"]
    assert lessons.most_special(places["things"], np.append(red[:3], blue[0])) == places["things"]
    assert lessons.most_special(places["red things"], red[:3]) == places["red things"]


def test_kinds_agree_with_counting_by_hand():
    rng = np.random.default_rng(0)
    builder = CorpusBuilder("words")
    picture = builder.add_image(Image.new("RGB", (5, 5)))
    chance = np.array([0.9, 0.6, 0.5, 0.2, 0.1])
    for _ in range(53):
        own = rng.random(5) < chance
        own[3] &= own[1]  # 3 is a kind of 1
        builder.add_region(picture, None, [], [f"p{i}" for i in np.flatnonzero(own)])
    corpus, phrases = builder.corpus(), [f"p{i}" for i in range(5)]
    sets = [set(corpus.phrases[p].tolist()) for p in phrases]
    wanted = [
        {q for q in range(5) if len(sets[q] & sets[p]) >= 0.8 * len(sets[q]) and len(sets[q]) < 0.8 * len(sets[p])}
        for p in range(5)
    ]
    assert kinds_of(corpus, phrases) == wanted
    assert 3 in wanted[1]


def test_the_contrast_is_with_what_was_said_of_each_exemplar(world):
    wanted, corpus, captioner, table = world
    lessons = SetLessons(captioner, corpus, table, [], wanted)
    batch = lessons([0])
    phrases = captioner.vocabulary.decode(batch["phrases"])
    assert sorted(phrases) == sorted(captioner.inventory.phrases), "all of them, as there are fewer than are asked for"
    exemplars = batch["features"][batch["present"]]
    assert len(batch["true"]) == len(exemplars)
    for features, true in zip(exemplars, batch["true"].bool(), strict=True):
        looks = np.flatnonzero((table.features.astype(np.float32) == features.numpy()).all(1)) // N_LOOKS
        said = {phrase for phrase in phrases if looks[0] in corpus.phrases[phrase]}
        assert {phrase for phrase, is_true in zip(phrases, true, strict=True) if is_true} == said


def test_the_prior_is_how_often_a_phrase_is_said_of_what_is_drawn(world):
    wanted, corpus, captioner, table = world
    lessons = SetLessons(captioner, corpus, table, [], wanted)
    rng, heard = np.random.default_rng(1), dict.fromkeys(captioner.inventory.phrases, 0.0)
    for _ in range(2000):
        for region in lessons.draw(rng)[0]:
            own = [phrase for phrase in heard if region in corpus.phrases[phrase]]
            for phrase in own:
                heard[phrase] += 1 / len(own)
    share = np.array(list(heard.values())) / sum(heard.values())
    assert np.allclose(lessons.prior.exp().numpy(), share, atol=0.02)


def test_blobs_lie_mostly_inside_their_masks():
    masks = torch.zeros(11, 32, 32)
    masks[:, 5:20, 9:30] = 1
    found = blobs(masks, torch.Generator().manual_seed(0))
    assert (found.sum((1, 2)) > 0).all()
    assert float((found * masks).sum() / found.sum()) > 0.8
    assert (found.sum((1, 2)) < masks.sum((1, 2))).all()


def test_every_region_has_its_looks(world):
    _, corpus, captioner, table = world
    assert table.features.shape == (len(corpus) * N_LOOKS, captioner.encoder.n_features)
    region = 4
    maps = captioner.encoder.maps(torch.from_numpy(corpus.images[corpus.region_image[region]][None]).float() / 255)
    exact = captioner.encoder.region_features(
        maps, torch.from_numpy(corpus.region_mask[region][None]).float() / 255, torch.tensor([0])
    )
    assert np.allclose(table.features[region * N_LOOKS], exact[0].numpy(), atol=2e-2)


@pytest.mark.parametrize("size", [160, 61])
def test_what_is_taught_is_what_will_be_seen(size, tmp_path):
    stripes = np.uint8(np.sin(np.arange(173) / 9) * 100 + 120) + np.zeros((131, 1), np.uint8)
    picture = Image.fromarray(stripes).convert("RGB")
    builder = CorpusBuilder("drawn")
    builder.add_region(builder.add_image(picture), None, ["stripes"], ["stripes"])
    encoder = ExemplarEncoder(EncoderSettings(width=32, n_layers=1, own=OWN | {"size": size}))
    taught = region_table(encoder, builder.corpus(), tmp_path / "table.npy").features[0]

    class Pictures:
        def image(self, index, /):
            return picture

    maps = EncodedImages(encoder, Pictures()).maps([0])
    seen = encoder.region_features(maps, torch.ones(1, 7, 7), torch.tensor([0]))[0].numpy()
    assert np.abs(taught - seen).max() < 0.05 * np.abs(seen).max()
    assert maps[0].shape[-1] == size // 4


def test_trained_by_a_recipe_it_names_what_sets_share(tmp_path, monkeypatch):
    seen, unseen = coloured_corpus(of_all=()), coloured_corpus(seed=1, of_all=())
    monkeypatch.setattr(training, "load_corpus", lambda _sources, folds, _cache: unseen if 8 in folds else seen)
    path = tmp_path / "recipe.yaml"
    fields = {
        "kind": "captioner",
        "sources": [{"source": "captions"}],
        "out": str(tmp_path / "out"),
        "strangers": 0.0,
        "pairs": 0.0,
    }
    fields |= {"phrase_steps": 60} | {
        name: getattr(recipe(tmp_path), name)
        for name in ("encoder", "n_tokens", "n_layers", "n_sets", "n_exemplars", "every", "dropout")
    }
    path.write_text(json.dumps(fields | {"steps": 120, "learning_rate": 5e-3, "min_count": 3}))
    folder = train(path)
    captioner = Captioner.from_pretrained(folder)
    table = region_table(captioner.encoder, unseen, tmp_path / "again.npy")
    for phrase in COLOURS:
        features = torch.from_numpy(table.features[unseen.phrases[phrase][:5] * N_LOOKS].astype(np.float32))[None]
        present = torch.ones(1, 5, dtype=torch.bool)
        with torch.inference_mode():
            scores = captioner.log_prob(list(COLOURS), captioner.encode(features, present), present)[0]
        assert list(COLOURS)[int(scores.argmax())] == phrase
        evidence = captioner.read(features, present).evidence(captioner.phrases_of(list(COLOURS)))[0]
        assert list(COLOURS)[int(evidence.argmax())] == phrase
    assert captioner.config.n_phrases == len(captioner.inventory)
    assert json.loads((folder / "recipe.json").read_text())["steps"] == 120


def test_the_judge_counts_shared_phrases_only(world):
    wanted, corpus, captioner, table = world
    judge = Judge(captioner.inventory, corpus, table, wanted.n_exemplars)
    for shared in judge.shared:
        assert shared == ["things"] or (len(shared) == 2 and "things" in shared)


def test_without_held_out_sets_there_is_no_judge(world):
    _, corpus, captioner, table = world
    assert Judge(captioner.inventory, corpus, table)
    few = coloured_corpus(n=1, of_all=())  # every phrase of one region
    nobody, nothing = CorpusBuilder("colours").corpus(), RegionTable(table.features[:0])
    assert not Judge(captioner.inventory, few, table)
    assert not Judge(captioner.inventory, nobody, nothing)


def test_the_carried_captioner_is_gone_on_from(tmp_path):
    captioner, carried = new_captioner(recipe(tmp_path, start="carried"), coloured_corpus(), []), Captioner.carried()
    assert sorted(captioner.inventory.phrases) == sorted(["things", *COLOURS]) and captioner.phrase_reader is None
    assert all(torch.equal(own, carried.state_dict()[name]) for name, own in captioner.state_dict().items())


def test_sources_without_phrases_are_refused(tmp_path):
    nobody = CorpusBuilder("colours").corpus()
    with pytest.raises(RecipeError, match=r"said of 3 regions or more\. Got none in 0 regions of folds \[0, 1, "):
        new_captioner(recipe(tmp_path), nobody, [])


def test_phrases_are_learnt_by_source_and_their_prior_is_how_often_they_are_shown(world, tmp_path):
    _, corpus, captioner, table = world
    others = coloured_corpus(n=3, seed=5, source="others", of_all=("rare things",))
    both = concat([corpus, others])
    more = region_table(captioner.encoder, others, tmp_path / "others.npy")
    whole = RegionTable(np.concatenate([table.features, more.features]))
    phrases = ["things", "rare things", *COLOURS]
    lessons = PhraseLessons(both, whole, phrases, {"colours": 1.0, "others": 3.0}, n_regions=97, seed=0)
    counts = dict.fromkeys(phrases, 0.0)
    for step in range(200):
        batch = lessons([step])
        assert torch.allclose(batch["said"].sum(1), torch.ones(97))
        for phrase, column in zip(phrases, batch["said"].T, strict=True):
            counts[phrase] += float(column.sum()) / (97 * 200)
    # each region has two phrases: a kind, said of the whole source, and one of three colours
    assert counts["things"] == pytest.approx(0.25 / 2, abs=0.01)
    assert counts["rare things"] == pytest.approx(0.75 / 2, abs=0.01)
    assert torch.allclose(lessons.log_prior.exp(), torch.tensor(list(counts.values())), atol=0.01)
    again = PhraseLessons(both, whole, phrases, {"colours": 1.0, "others": 3.0}, n_regions=97, seed=0)
    assert all(torch.equal(lessons([5])[name], again([5])[name]) for name in ("features", "said"))


def test_only_the_phrase_reader_is_taught(world, tmp_path):
    _, corpus, captioner, table = world
    before = {name: tensor.clone() for name, tensor in captioner.state_dict().items()}
    teach_phrases(captioner, corpus, table, {}, tmp_path, steps=40, width=31)
    after = captioner.state_dict()
    assert all(torch.equal(tensor, after[name]) for name, tensor in before.items())
    assert captioner.config.n_phrases == len(captioner.inventory) and captioner.config.phrase_width == 31
    for phrase in COLOURS:
        features = torch.from_numpy(table.features[corpus.phrases[phrase][:5] * N_LOOKS].astype(np.float32))[None]
        evidence = captioner.read(features, torch.ones(1, 5, dtype=torch.bool)).evidence()[0]
        assert captioner.inventory.phrases[int(evidence.argmax())] == phrase


def test_a_broken_training_of_phrases_goes_on_as_if_unbroken(world, tmp_path):
    _, corpus, captioner, table = world
    weights = []
    for out in ("whole", "broken", "broken"):
        teach_phrases(captioner, corpus, table, {}, tmp_path / out, steps=20, width=31)
        weights.append(captioner.phrase_reader.state_dict())
        if out == "broken":
            shutil.rmtree(tmp_path / out / "phrases" / "checkpoints" / "checkpoint-20")
    whole, *others = weights
    assert all(torch.equal(whole[name], other[name]) for other in others for name in whole)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("kind: painter", r"kind must be one of backbone, .*nli.*\. Got .painter."),
        ("[]", "kind must be one of"),
        ("kind: [", "a recipe must be valid YAML"),
        ("kind: captioner\nsources: []\nout: x\nspeed: 3", r"must have fields out of .* Got \['speed'\]"),
        ("kind: captioner\nout: x", "must name all its fields"),
    ],
)
def test_a_wrong_recipe_is_told_in_one_sentence(tmp_path, text, said):
    path = tmp_path / "recipe.yaml"
    path.write_text(text)
    with pytest.raises(RecipeError, match=said):
        train(path)


def test_a_recipe_that_is_nowhere(tmp_path):
    with pytest.raises(RecipeError, match="a recipe must be a YAML file"):
        train(tmp_path / "none.yaml")
