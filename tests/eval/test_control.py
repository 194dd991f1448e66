"""Edits by words: units that answer, what an edit does and what is measured, by loops; replayed from JSON alone."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import linalg
from typer.testing import CliRunner

from describer.captioner import Captioner
from describer.cli import app
from describer.data.scenes.palette import COLOR_TERMS, name_colors
from describer.data.targets import load_target
from describer.errors import AtlasError, ConceptsError, DescriberError, ImagesError, TargetError
from describer.eval.control.choice import choose_units, named_units, random_units, said, searched_units, words
from describer.eval.control.drawing import Samples
from describer.eval.control.edit import EditPlan, edit, edits_of, replay
from describer.eval.control.effects import Effect, compare, measure, shares
from describer.eval.control.figure import edit_figure, heat_map
from describer.eval.control.printing import effect_lines, title_of
from describer.eval.control.quality import PictureFeatures, frechet
from describer.eval.control.region import region_of
from describer.eval.control.segmenter import Segmenter
from describer.eval.control.table import Bench, TablePlan, lines, ratio, row, units_by_iou
from describer.intervention import Edit
from tests.eval.described import PAINTER

PLAN = EditPlan(query="brown", top=1, samples=23, draws=2, seed=4)


@pytest.fixture(scope="module")
def result(target, atlas):
    return edit(target, atlas, PLAN)


# Which units


def test_units_are_found_by_their_words(atlas):
    assert [(c.id, c.text, c.method) for c in choose_units(atlas, "Browns", 1)] == [("layer1:0", "brown", "concept")]
    assert choose_units(atlas, "red", 1)[0].unit == 1 and choose_units(atlas, "green", 1)[0].unit == 2
    assert choose_units(atlas, "brown", 1)[0].score == max(
        r["iou"] for r in atlas.units() if r["description"] == "brown"
    )


def test_a_form_can_be_asked_for_as_it_stands(atlas):
    red = {row["id"] for row in atlas.units() if row["description"] == "red"}
    assert red & {each.id for each in choose_units(atlas, "brown", 11)}  # as their next best
    wanted = [each for each in choose_units(atlas, "brown", 11) if each.id not in red]
    assert choose_units(atlas, "brown AND NOT red", 11) == wanted


def test_what_a_form_denies_it_does_not_say():
    row = {"description": 'brown AND NOT red AND NOT "night city" OR boats'}
    assert words(said(row)) == {"brown", "boat"}


@pytest.mark.parametrize(
    ("query", "options", "told"),
    [
        ("bwon", {}, "nearest descriptions: brown"),
        ("", {}, "must have words"),
        ("NOT brown", {}, "must have words"),
        ("brown", {"min_score": 0.99}, r"least score 0.99. Got \d+ that answer 'brown', the best 0\.\d+. Lower"),
        ("brown", {"layers": ("layer9",)}, "must be in layer9. Got none described. It has: layer1"),
    ],
)
def test_a_query_that_no_unit_answers(atlas, query, options, told):
    with pytest.raises(AtlasError, match=told):
        choose_units(atlas, query, **options)


def test_units_by_hand_and_at_random(atlas):
    chosen = named_units(atlas, "layer1:3, layer1:0,layer1:3")
    assert [c.unit for c in chosen] == [3, 0]
    drawn = [tuple(c.unit for c in random_units(atlas, chosen, seed)) for seed in range(30)]
    assert all(len(set(units)) == 2 and not {0, 3} & set(units) for units in drawn) and len(set(drawn)) > 5
    assert random_units(atlas, chosen, 3) == random_units(atlas, chosen, 3)
    with pytest.raises(AtlasError):
        named_units(atlas, "layer1:99")
    with pytest.raises(AtlasError):
        named_units(atlas, " , ")


def test_units_by_meaning(atlas):
    found = searched_units(atlas, "brown wood", top=3)
    assert len(found) == 3 and [c.score for c in found] == sorted((c.score for c in found), reverse=True)
    assert all(c.method == "reranked" and c.layer == "layer1" for c in found)
    with pytest.raises(AtlasError, match="Lower --min-score"):
        searched_units(atlas, "brown wood", min_score=1e9)


# What an edit does


def test_the_units_of_a_colour_draw_it(result):
    effect = result.report["effect"]
    assert result.report["concept"] == "brown" and [unit["id"] for unit in result.report["units"]] == ["layer1:0"]
    assert effect["removed"]["low"] > 0.85 and effect["relabelled"]["value"] < 0.05
    assert effect["random_removed"]["high"] < 0.6 and effect["removed_beyond_random"]["low"] > 0.3
    assert result.report["concept_share"]["after"] < 0.1 * result.report["concept_share"]["before"]


@pytest.mark.parametrize(("scale", "sign"), [("4", 1), ("insert", 1), ("0.1", -1)])
def test_scales(target, atlas, scale, sign):
    effect = edit(target, atlas, replace(PLAN, scale=scale)).report["effect"]
    assert effect["change"]["value"] * sign > 0


def test_insertion_raises_to_the_threshold_of_each_unit(atlas):
    (one,) = edits_of(atlas, named_units(atlas, "layer1:5,layer1:2"), "insert")
    threshold = atlas.exemplars("layer1").threshold
    assert (one.kind, one.units, one.value) == ("raise", (5, 2), (float(threshold[5]), float(threshold[2])))


def test_only_the_region_changes(target, atlas, tmp_path):
    mask = np.zeros((40, 40), np.uint8)
    mask[10:20, :30] = 255  # the second row of cells, three columns
    Image.fromarray(mask).save(tmp_path / "mask.png")
    plan = replace(PLAN, scale="insert", where=str(tmp_path / "mask.png"))
    made = edit(target, atlas, plan)
    changed = (made.before != made.after).any(-1).any(0)
    assert changed[5:10, :15].any() and not changed[:5].any() and not changed[10:].any() and not changed[:, 15:].any()
    assert np.array_equal(replay(target, json.loads(json.dumps(made.report))).after, made.after)


def test_a_region_by_class_is_each_samples_own(target, atlas):
    samples, segmenter = Samples(target, 4, 23), Segmenter("colors")
    before = samples.draw()
    where = region_of("class:white", before, segmenter)
    assert torch.equal(where, torch.from_numpy((name_colors(before) == COLOR_TERMS.index("white")).astype(np.float32)))
    made = edit(target, atlas, replace(PLAN, scale="insert", where="class:white"))
    assert np.array_equal(made.after, samples.draw(edits_of(atlas, choose_units(atlas, "brown", 1), "insert"), where))
    assert np.array_equal(replay(target, made.report).after, made.after)


def test_samples_of_more_than_a_block_keep_their_masks(target):
    samples = Samples(target, 0, 67)
    where = torch.zeros(67, 20, 20)
    where[65] = 1
    changed = samples.draw([Edit("layer1", (1,), "set", 1.0)], where) != samples.draw()
    assert np.flatnonzero(changed.any((1, 2, 3))).tolist() == [65]


# What is measured


def test_effects_by_loops(target):
    samples, segmenter = Samples(target, 1, 5), Segmenter("colors")
    before, after = samples.draw(), samples.draw([Edit("layer1", (0, 1), "scale", 0.3)])
    concept = segmenter.concept("brown things")
    found = measure(before, after, segmenter, concept)
    assert concept == ("color", COLOR_TERMS.index("brown"))
    was, now = name_colors(before), name_colors(after)
    for n in range(5):
        places = [(i, j) for i in range(20) for j in range(20)]
        brown = concept[1]
        other = [p for p in places if was[n][p] != brown and now[n][p] != brown]
        assert found.before[n] == pytest.approx(sum(was[n][p] == brown for p in places) / 400)
        assert found.after[n] == pytest.approx(sum(now[n][p] == brown for p in places) / 400)
        assert found.relabelled[n] == pytest.approx(sum(was[n][p] != now[n][p] for p in other) / len(other))
        moved = [np.mean([abs(int(after[n][p][c]) - int(before[n][p][c])) for c in range(3)]) for p in other]
        assert found.moved[n] == pytest.approx(np.mean(moved))
    assert shares(segmenter.labels(before), dict(segmenter.names))["brown"] == pytest.approx(found.before.mean())


def effect(before, after):
    return Effect(np.array(before), np.array(after), np.zeros(len(before)), np.zeros(len(before)))


def test_comparison_with_rivals():
    before = [0.2, 0.4, 0.0] * 2
    told = compare(effect(before, [0.1, 0.1, 0.0] * 2), [effect(before, [0.2, 0.1, 0.0] * 2)])
    assert told["removed"]["value"] == pytest.approx(1 - 0.2 / 0.6)
    assert told["random_removed"]["value"] == pytest.approx(0.5)
    assert told["removed_beyond_random"]["value"] == pytest.approx(1 / 6)
    assert told["change"]["value"] == pytest.approx(-0.4 / 3)
    assert told["removed"]["low"] == pytest.approx(0.5) and told["removed"]["high"] == pytest.approx(0.75)


def test_what_was_not_there_cannot_be_removed():
    told = compare(effect([0.0, 0.0], [0.1, 0.0]), [])
    assert told["removed"] == {"value": None, "low": None, "high": None} and told["change"]["value"] > 0


@pytest.mark.parametrize(("n", "m"), [(31, 17), (3, 5)])
def test_frechet_distance_as_published(n, m):
    dice = np.random.default_rng(0)
    x, y = dice.normal(size=(n, 7)), dice.normal(1, 2, size=(m, 7))
    c, d = np.cov(x.T, bias=True), np.cov(y.T, bias=True)
    values = np.linalg.eigvals(c @ d)  # of the root's square: no matrix root of a singular matrix
    wanted = ((x.mean(0) - y.mean(0)) ** 2).sum() + np.trace(c + d) - 2 * np.sqrt(np.maximum(values.real, 0)).sum()
    assert frechet(x, y) == pytest.approx(wanted, rel=1e-6)
    if n > 7:
        assert frechet(x, y) == pytest.approx(wanted, rel=1e-6)
        root = linalg.sqrtm(c @ d).real
        assert wanted == pytest.approx(((x.mean(0) - y.mean(0)) ** 2).sum() + np.trace(c + d - 2 * root), rel=1e-6)
    assert frechet(x, x) == pytest.approx(0, abs=1e-9)


def test_features_are_those_of_the_captioner():
    pictures = np.random.default_rng(0).integers(0, 256, (5, 31, 37, 3), np.uint8)
    encoder = Captioner.carried().encoder
    fine = [picture_resized(p, encoder.backbone.size) for p in pictures]
    wanted = [encoder.maps(torch.from_numpy(p.transpose(2, 0, 1).copy())[None])[-1].mean((2, 3))[0] for p in fine]
    found = PictureFeatures(batch_size=3)(pictures)
    assert found.dtype == np.float64 and np.allclose(found, torch.stack(wanted).numpy(), atol=1e-4)


def picture_resized(pixels, side):
    fine = Image.fromarray(pixels).resize((side, side), Image.Resampling.BICUBIC)
    return np.asarray(fine, np.float32) / 255


def test_quality_is_told(result):
    quality = result.report["quality"]
    assert quality["after"] > quality["before"] > 0 and quality["random"] > 0
    beyond = quality["after_beyond_random"]
    assert beyond["low"] <= beyond["high"]
    wanted = f"beyond these {beyond['value']:+.3f} ({beyond['low']:+.3f} to {beyond['high']:+.3f})"
    assert sum(line.endswith(wanted) for line in effect_lines(result.report)) == 1


def test_a_least_score_is_told(result):
    told = {**result.report, "plan": {**result.report["plan"], "min_score": 0.25}}
    assert " units of a score of 0.25 or more " in title_of(told) and "score" not in title_of(result.report)


def test_pictures(result):
    sheet = edit_figure(result.before[:11], result.after[:11], "brown", ["one", "two"], side=24)
    assert sheet.height > 2 * 3 * 24
    heat = heat_map(result.before, result.after)
    still = (result.before == result.after).all(-1)
    assert (heat[still] == heat[still][0]).all() and heat.max() > 200


# Replaying and refusals


def test_replayed_from_json_alone(target, result):
    report = json.loads(json.dumps(result.report, allow_nan=False))
    again = replay(target, report)
    assert np.array_equal(again.after, result.after) and np.array_equal(again.before, result.before)
    for broken, told in (
        ({**report, "pictures": "0" * 64}, "digest"),
        ({**report, "generator": {"name": "other", "fingerprint": "1"}}, "other weights than other"),
        ({key: value for key, value in report.items() if key != "edits"}, "without 'edits'"),
    ):
        with pytest.raises(DescriberError, match=told):
            replay(target, broken)


@pytest.mark.parametrize(
    "options",
    [
        {"query": None},
        {"units": "layer1:0"},
        {"scale": "much"},
        {"scale": "nan"},
        {"samples": 0},
        {"draws": 0},
        {"how": "luck"},
    ],
)
def test_plans_that_cannot_be_carried_out(options):
    with pytest.raises(DescriberError):
        replace(PLAN, **options)


def test_refusals(target, atlas, tmp_path):
    Image.new("L", (30, 20), 255).save(tmp_path / "wide.png")
    for where, fault, told in (
        (str(tmp_path / "wide.png"), ImagesError, "aspect"),
        (str(tmp_path / "none.png"), ImagesError, "mask picture"),
        ("class:boats", ConceptsError, "It has: black"),
    ):
        with pytest.raises(fault, match=told):
            edit(target, atlas, replace(PLAN, where=where))
    with pytest.raises(TargetError, match="finite"):
        Samples(target, 0, 3).draw([Edit("layer1", (0,), "set", float("nan"))])
    with pytest.raises(ImagesError, match="must be a generator"):
        Samples(load_target("carried:scenes"), 0, 3)
    with pytest.raises(AtlasError, match="Describe this generator"):
        edit(replace(target, fingerprint="other"), atlas, PLAN)
    with pytest.raises(ConceptsError, match="segmenter"):
        Segmenter("scenes:3")


def test_the_verb(atlas, tmp_path):
    out, first = tmp_path / "edit.png", ["edit", PAINTER, "--out", str(tmp_path / "edit.png"), "--samples", "5"]
    done = CliRunner().invoke(
        app, [*first, "--atlas", str(atlas.path), "--query", "brown", "--measured", "7", "--top", "1", "--json"]
    )
    assert done.exit_code == 0, done.stderr
    with Image.open(out) as sheet:
        assert sheet.width > 300
    (tmp_path / "report.json").write_text(done.stdout)
    again = CliRunner().invoke(app, [*first, "--replay", str(tmp_path / "report.json")])
    assert again.exit_code == 0 and "brown: 1 units ablated" in again.stdout, again.stderr
    bare = CliRunner().invoke(app, ["edit", PAINTER, "--query", "brown"])
    assert (bare.exit_code, bare.stderr.count("\n")) == (2, 1)


# The table of what described units draw


def test_units_by_iou_are_the_painters(atlas, target):
    found = units_by_iou(atlas, "color", "brown", 3, ())
    assert found[0].id == "layer1:0" and found[0].score == choose_units(atlas, "brown", 1)[0].score
    assert [c.score for c in found] == sorted((c.score for c in found), reverse=True)
    assert units_by_iou(atlas, "color", "brown", 3, ("layer2",)) == []


def test_a_row_of_the_table_is_what_loops_count(atlas, target):
    plan = TablePlan(("brown",), "colors", top=1, samples=23, draws=2, seed=4)
    bench = Bench(target, atlas, plan)
    told = row(bench, "brown")
    brown = COLOR_TERMS.index("brown")
    before = [name_colors(picture) == brown for picture in Samples(target, 4, 23).draw()]
    after = [name_colors(p) == brown for p in Samples(target, 4, 23).draw([Edit("layer1", (0,), "ablate")])]
    removed = 1 - sum(int(each.sum()) for each in after) / sum(int(each.sum()) for each in before)
    assert told["words"]["removed"]["value"] == pytest.approx(removed) and removed > 0.9
    assert told["words_to_iou"]["value"] == 1 and told["words"]["units"] == ["layer1:0"]
    inside = bench.patch.numpy() > 0
    assert inside.sum() == 8 * 10 and inside[10:18, 5:15].all()
    level = float(atlas.exemplars("layer1").threshold[0])
    raised = Samples(target, 4, 23).draw([Edit("layer1", (0,), "raise", (level,))], bench.patch)
    gain = np.mean([(name_colors(p) == brown)[inside].mean() for p in raised])
    gain -= np.mean([each[inside].mean() for each in before])
    assert told["words"]["inserted"]["value"] == pytest.approx(gain) and gain > 0
    assert lines([told])[2].startswith("| brown | ")
    assert "nearest" in lines([row(bench, "purple")])[2]


def test_a_confined_row_cuts_where_the_concept_was(atlas, target):
    plan = TablePlan(("brown",), "colors", top=1, samples=23, draws=2, seed=4, confined=True)
    bench = Bench(target, atlas, plan)
    told, brown = row(bench, "brown"), COLOR_TERMS.index("brown")
    samples, size = Samples(target, 4, 23), (20, 20)
    before, gone, there = samples.draw(), 0, 0
    masks = torch.stack([torch.from_numpy((name_colors(p) == brown).astype(np.float32)) for p in before])
    after = samples.draw([Edit("layer1", (0,), "ablate")], masks)
    for n in range(23):
        was, now = name_colors(before[n]) == brown, name_colors(after[n]) == brown
        there += sum(bool(was[i, j]) for i in range(size[0]) for j in range(size[1]))
        gone += sum(bool(was[i, j]) - bool(now[i, j]) for i in range(size[0]) for j in range(size[1]))
        assert np.array_equal(before[n][~was], after[n][~was])
    assert told["words"]["removed"]["value"] == pytest.approx(gone / there) and gone > 0
    assert told["words"]["relabelled"]["value"] == 0 and told["words"]["random_relabelled"]["value"] == 0


def test_a_ratio_is_of_what_both_remove():
    before, nothing = np.array([0.4, 0.2]), np.zeros(2)
    own, other = (Effect(before, before * left, nothing, nothing) for left in (0.5, 0.25))
    assert ratio(own, other, 0)["value"] == pytest.approx(0.5 / 0.75)
