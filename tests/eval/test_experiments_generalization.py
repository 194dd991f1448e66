"""Captioners that learn from some networks and are tested on others: who learns from whom, and what is compared."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from describer.data.images import load_images
from describer.data.milannotations import (
    AnnotatedExemplars,
    list_annotated_layers,
    read_annotated_exemplars,
    write_annotated_exemplars,
)
from describer.data.scenes import keys_of, wordings
from describer.data.tagging import tagger
from describer.errors import DescriberError, ImagesError
from describer.eval.experiments import generalization
from describer.eval.experiments.command import command
from describer.eval.experiments.drawnpeople import Concepts, best_concept, sentences, write_network
from describer.eval.experiments.generalization import LEFT_OUT, UNTRAINED, generalize, means
from describer.eval.experiments.teaching import (
    Plan,
    networks_of,
    recipe_of,
    sentences_of,
    texts_of,
    trainings,
    units_of,
)
from describer.eval.metrics.texts import text_table
from describer.exemplars import Exemplars
from describer.training.corpus import image_array, split_of
from describer.training.sources import load_corpus
from tests.describer.captioners import small_captioner

COLORS = {"red cars": (200, 20, 20), "grass": (20, 150, 30)}
needs_tagger = pytest.mark.skipif(tagger() is None, reason="HanTa is not installed")


def write_colors(root, n_units, seed):
    """Units of two colours, three people each; unit 2 was described by one person only."""
    dice, texts = np.random.default_rng(seed), list(COLORS)
    for layer, first in (("0", 0), ("one", 100)):
        units = np.arange(first, first + n_units)
        names = [texts[i % 2] for i in range(n_units)]
        noise = dice.integers(0, 30, (n_units, 3, 3, 17, 17))
        images = (np.array([COLORS[name] for name in names])[:, None, :, None, None] + noise).astype(np.uint8)
        said = [[name, f"some {name}", f"{name} here"] for name in names]
        said[2] = said[2][:1]
        exemplars = AnnotatedExemplars(
            layer, units, images, np.ones((n_units, 3, 1, 17, 17), np.uint8), None, None, said
        )
        write_annotated_exemplars(root, exemplars)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("networks")
    for seed, (name, n_units) in enumerate({"alex": 41, "dense": 37}.items()):
        write_colors(root / name, n_units, seed)
    return {name: root / name for name in ("alex", "dense")}


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    folder = tmp_path_factory.mktemp("start") / "captioner"
    small_captioner().save_pretrained(folder)
    return str(folder)


def tenth(folder, fold):
    """(layer, unit) -> sentences of the units of one tenth that two people described, by loops."""
    found = {}
    for layer in list_annotated_layers(folder):
        own = read_annotated_exemplars(folder, layer)
        for row, unit in enumerate(own.unit_ids.tolist()):
            if split_of(f"{layer}:{unit}") == fold and len(own.annotations[row]) >= 2:
                found[layer, unit] = own.annotations[row]
    return found


def test_every_network_and_all_but_each():
    assert trainings(["a", "b"]) == {"a": ("a",), "b": ("b",)}
    assert trainings(["a", "b", "c"]) == {
        "a": ("a",), "b": ("b",), "c": ("c",),
        "all but a": ("b", "c"), "all but b": ("a", "c"), "all but c": ("a", "b"),
    }  # fmt: skip


@needs_tagger
def test_nobody_learns_from_what_is_tested(folders, tmp_path):
    plan = Plan(str(tmp_path), trials=3, k=2, seed=8)
    assert [plan.fold(trial) for trial in range(3)] == [8, 9, 0]
    for trial in range(3):
        recipe = recipe_of(list(folders.values()), "all but x", trial, plan)
        assert sorted({*recipe.folds, *recipe.held_out_folds}) == [n for n in range(10) if n != plan.fold(trial)]
        assert not {*recipe.folds} & {*recipe.held_out_folds}
        learnt = load_corpus(recipe.sources, recipe.folds)
        wanted = sum(
            split_of(f"{layer}:{unit}") in recipe.folds
            for folder in folders.values()
            for layer in list_annotated_layers(folder)
            for unit in read_annotated_exemplars(folder, layer).unit_ids.tolist()
        )
        assert len(learnt.sets) == wanted and all(len(regions) == 2 for regions, _ in learnt.sets)


@needs_tagger
def test_tested_units_are_those_of_the_tenth(folders, start, tmp_path):
    plan, captioner = Plan(str(tmp_path), k=3, seed=4, start=start), small_captioner()
    units = units_of(captioner, "alex", folders["alex"], 0, plan)
    wanted = tenth(folders["alex"], 4)
    assert units.human == list(wanted.values()) and len(wanted) > 2
    assert units.features.shape == (len(wanted), 3, captioner.encoder.n_features) and bool(units.present.all())
    pictures = [np.full((17, 17, 3), color, np.uint8) + 15 for color in np.array(list(COLORS.values()), np.uint8)]
    small = torch.stack([torch.from_numpy(image_array(Image.fromarray(each))).float() / 255 for each in pictures])
    maps, whole = captioner.encoder.maps(small), torch.ones(2, 32, 32)
    seen = captioner.encoder.region_features(maps, whole, torch.arange(2))  # (colours, features)
    for row, said in enumerate(wanted.values()):
        near = (units.features[row, :, None] - seen).norm(dim=-1).argmin(1)
        assert near.tolist() == [list(COLORS).index(said[0])] * 3
    assert len(texts_of(captioner, units)) == len(wanted)


def test_means_are_those_of_plain_loops():
    human = {"a": [["red cars", "a red car"], ["grass", "green grass"], ["sky", "blue sky"]],
             "b": [["water", "blue water"], ["sand", "sand"]]}  # fmt: skip
    texts = {
        "a": {"a": ["red car", "grass", "sky"], "b": ["car", "tree", "sky"], UNTRAINED: ["x", "y", "z"]},
        "b": {"a": ["water", "grass"], "b": ["blue water", "sand"], UNTRAINED: ["sea", "sand"]},
    }
    tables = {name: text_table(texts[name], human[name]) for name in human}
    found = means(tables)
    for metric in ("BLEU", "ROUGE-L"):
        values = {(t, row.name): row.values[metric].tolist() for t in tables for row in tables[t]}
        within = values["a", "a"] + values["b", "b"]
        across = values["a", "b"] + values["b", "a"]
        assert found[metric]["within"]["mean"]["value"] == pytest.approx(sum(within) / 5)
        assert found[metric]["across"]["mean"]["value"] == pytest.approx(sum(across) / 5)
        gap = found[metric]["across"]["within less this"]
        assert (
            gap["value"] == pytest.approx((sum(within) - sum(across)) / 5) and gap["low"] <= gap["value"] <= gap["high"]
        )
        assert {"constant", "within, shuffled", "human–human", UNTRAINED} < set(found[metric])
        assert LEFT_OUT not in found[metric] and found[metric]["within"]["within less this"]["value"] == 0


@pytest.mark.slow
@needs_tagger
def test_the_whole_experiment(folders, start, tmp_path):
    app, out = command(run=generalization.main, draw=generalization.draw), tmp_path / "x.json"
    names = [f"{name}={folder}" for name, folder in folders.items()]
    options = ["--steps", "2", "--k", "3", "--start", start, "--folder", str(tmp_path / "runs"), "--out", str(out)]
    found = CliRunner().invoke(app, ["run", *names, *options])
    assert found.exit_code == 0, found.output
    assert "within less this" in found.output and "human–human" in found.output
    told = json.loads(out.read_text())
    for name, folder in folders.items():
        wanted = tenth(folder, 0)
        assert told["tests"][name]["units"] == len(wanted) and told["texts"][name]["people"] == list(wanted.values())
        rows = [row["name"] for row in told["tests"][name]["rows"]]
        assert {"alex", "dense", UNTRAINED, "human–human", "alex, shuffled"} < set(rows)
    kept = sorted((tmp_path / "runs").glob("*-0/captioner/model.safetensors"))
    assert [path.parts[-3] for path in kept] == ["alex-0", "dense-0"]
    stamps = [path.stat().st_mtime_ns for path in kept]
    plan = Plan(str(tmp_path / "runs"), steps=2, k=3, start=start)
    again = generalize(networks_of(names), plan)
    assert again["texts"] == told["texts"], "what is trained is read again"
    assert [path.stat().st_mtime_ns for path in kept] == stamps


def test_faults_are_told(folders, tmp_path):
    with pytest.raises(ImagesError, match="names of their own"):
        networks_of([f"a={folders['alex']}", f"a={folders['dense']}"])
    write_colors(tmp_path / "few", 7, 3)
    with pytest.raises(ImagesError, match="20 units"):
        networks_of([str(tmp_path / "few")])
    with pytest.raises(DescriberError, match="trials"):
        Plan("x", trials=11)
    assert sum(len(own) for own in sentences_of(folders["alex"], range(10)).values()) == 2 * 40


# Drawn people


def test_speakers_say_the_concept_of_highest_iou_by_loops():
    images = load_images("scenes:7:5")
    concepts, dice = Concepts(images), np.random.default_rng(2)
    masks = dice.random((3, 32 * 32)) < 0.4
    masks[:, 600:] = False
    found, best = best_concept(masks, [0, 3, 6], concepts), ("", -1.0)
    scenes = [keys_of(images.scenes.scene(index)) for index in (0, 3, 6)]
    for key in sorted({key for scene in scenes for key in scene if wordings(key)}):
        both = union = 0
        for mask, scene in zip(masks, scenes, strict=True):
            there = scene.get(key, np.zeros((128, 128), bool))[2::4, 2::4].ravel()
            both, union = both + int((mask & there).sum()), union + int((mask | there).sum())
        best = max(best, (key, both / union), key=lambda each: (each[1], each[0]))
    assert found == best[0]
    assert best_concept(np.zeros((1, 32 * 32), bool), [0], concepts) is None


def test_units_of_a_concept_are_told_by_it_and_dead_ones_are_not():
    images = load_images("scenes:31:5")
    maps, there = torch.zeros(2, 15, 32, 32), []
    for index in range(31):
        mask = keys_of(images.scenes.scene(index)).get("object:sky")
        if mask is not None and mask.mean() > 0.05 and len(there) < 15:
            maps[:, len(there)] = torch.from_numpy(mask[2::4, 2::4].astype(np.float32))
            there.append(index)
    indices = torch.tensor([there, there])
    exemplars = Exemplars(
        "layer", torch.tensor([3, 5]), indices, torch.ones(2, 15), maps.half(), torch.tensor([0.5, 0.5]),
        torch.tensor([False, True]),
    )  # fmt: skip
    said = sentences(exemplars, images)
    assert list(said) == [3] and len(said[3]) == 3
    assert all(text in wordings("object:sky") + wordings("material:air") for text in said[3])
    assert said == sentences(exemplars, images)


def test_a_network_is_written_in_the_published_layout(tmp_path):
    root = write_network("carried:scenes", "scenes:17:9", tmp_path / "net", ["layer1", "layer2"], 3, side=16)
    assert list_annotated_layers(root) == ["layer1", "layer2"] and Path(root / "annotations.csv").exists()
    own = read_annotated_exemplars(root, "layer2")
    assert own.images.shape == (3, 15, 3, 16, 16) and len(set(own.unit_ids.tolist())) == 3
    assert all(len(said) in (0, 3) for said in own.annotations) and any(own.annotations)
    with pytest.raises(ImagesError, match="drawn scenes"):
        write_network("carried:scenes", str(Path(__file__).parents[2] / "docs"), tmp_path / "x")
