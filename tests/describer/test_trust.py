"""Descriptions that are judged: the numbers against plain loops, and planted units, whose meaning is known."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from describer.atlas import Atlas
from describer.data.scenes import SceneSet
from describer.describe import describe
from describer.description import Description
from describer.errors import AtlasError
from describer.eval.plantednet import PlantedUnit, planted_network
from describer.picture import calibration_chart
from describer.responses import Responses
from describer.statistics import pearson
from describer.trust import (
    FEWEST,
    MOST,
    Judge,
    TrustSettings,
    borrowed,
    calibration,
    chances,
    enough,
    halves,
    intervals,
    merits,
)
from tests.describer.listeners import LabelNamer, LabelReader

N_SCENES, SEED = 60, 7
KEYS = (
    *("object:grass", "object:tree", "part:window", "object:water", "object:person", "part:wheel", "object:cloud"),
    *("part:roof", "part:trunk", "material:sand", "part:petal", "object:mountain", "object:sidewalk", "part:canopy"),
    *("material:brick", "object:snow", "material:fur", "object:boat", "object:hill"),
)
UNITS = [*(PlantedUnit((key,), 0.1) for key in KEYS), *(PlantedUnit((), 1.0) for _ in range(3))]
SETTINGS = TrustSettings(directions=31, draws=50)


@pytest.fixture(scope="module")
def reader() -> LabelReader:
    return LabelReader(SceneSet(N_SCENES, SEED))


@pytest.fixture(scope="module")
def atlas(reader: LabelReader, tmp_path_factory: pytest.TempPathFactory) -> Atlas:
    target, images = planted_network(N_SCENES, SEED, UNITS)
    path = tmp_path_factory.mktemp("trust") / "atlas"
    return describe(target, images, path, [LabelNamer(reader)], judge=Judge(reader, SETTINGS))


def test_halves_share_no_image_and_leave_none_out() -> None:
    for n in (0, 1, 41, 101):
        first, second = halves(n, seed=3)
        assert sorted([*first, *second]) == list(range(n)) and len(second) == n // 2
        assert first.tolist() == sorted(first) and second.tolist() == sorted(second)
    assert not np.array_equal(halves(41, 1)[0], halves(41, 2)[0])
    assert len(halves(5 * MOST)[1]) == MOST


def test_intervals_are_those_of_images_drawn_one_by_one() -> None:
    rng = np.random.default_rng(0)
    simulated = rng.random((3, 41)).astype(np.float32)
    actual = (simulated + rng.random((3, 41)) * [[0.1], [1.0], [9.0]]).astype(np.float32)
    actual[1] = 2.0  # constant
    low, high = intervals(simulated, actual, draws=300, seed=5)
    rng = np.random.default_rng(5)
    drawn = [np.repeat(np.arange(41), rng.multinomial(41, np.full(41, 1 / 41))) for _ in range(300)]
    for unit in (0, 2):  # oracle
        found = [np.corrcoef(simulated[unit, images], actual[unit, images])[0, 1] for images in drawn]
        assert (low[unit], high[unit]) == pytest.approx(tuple(np.quantile(found, (0.025, 0.975))), abs=1e-4)
    assert (low[1], high[1]) == (0.0, 0.0)


def test_chances_are_shares_of_the_null_and_fall_beyond_it() -> None:
    null = np.random.default_rng(1).normal(0.1, 0.1, 101)
    within = [*np.quantile(null, [0.1, 0.5, 0.9]), float(null.max())]
    wanted = [(1 + sum(float(other) >= merit for other in null)) / 102 for merit in within]
    assert chances(np.array(within), null).tolist() == pytest.approx(wanted)
    far = chances(null.max() + np.array([0.001, 0.2, 0.9]), null)
    assert 1 / 102 >= far[0] > far[1] > far[2] > 0
    bar = np.quantile(null, 0.75)
    excess = np.mean([each - bar for each in null if each > bar])
    assert far[1] == pytest.approx(0.25 * math.exp(-(null.max() + 0.2 - bar) / excess))
    assert chances(np.array([0.0, 0.5]), np.zeros(19)).tolist() == [1.0, 1 / 20]  # no tail to go by


def test_p_of_what_is_null_itself_is_uniform_or_larger() -> None:
    rng = np.random.default_rng(2)
    p = np.concatenate([chances(*np.tanh(rng.normal(0.1, 0.15, (2, 100)))) for _ in range(200)])
    for level in (0.05, 0.01, 0.001):
        assert (p <= level).mean() <= 1.25 * level


def test_merit_is_r_and_how_far_it_is_above_that_of_other_texts() -> None:
    rng = np.random.default_rng(4)
    texts = rng.random((7, 53))
    actual = texts[:3] * [[1.0], [2.0], [-1.0]] + rng.random((3, 53)) * 0.5
    found = merits(texts[:3], actual, texts)
    for unit in range(3):  # oracle
        own = [np.corrcoef(actual[unit], text)[0, 1] for text in texts]
        z = (own[unit] - np.mean(own)) / np.std(own)
        assert found[unit] == pytest.approx(max(own[unit], 0) * math.sqrt(max(z, 0)))
    assert found[2] == 0.0 and merits(texts[:1], actual[:1], texts[:1]).tolist() == [0.0]


def test_borrowed_texts_are_not_judged_where_they_were_chosen() -> None:
    rng = np.random.default_rng(3)
    texts, directions = rng.random((13, 200)), rng.random((29, 200))
    told = borrowed(texts, directions)
    assert told.shape == directions.shape
    assert abs(pearson(told, directions).mean()) < 0.03  # the best of 13 where they were chosen has about .12
    assert borrowed(texts, texts[:5]) == pytest.approx(texts[:5])


def test_shares_of_right_texts_at_rising_scores() -> None:
    scores = np.array([0.9, 0.1, 0.5, 0.2, 0.6])
    right = np.array([True, False, True, False, False])
    bins = calibration(scores, right, n_bins=2)
    assert [(each.low, each.high, each.n, each.share) for each in bins] == [(0.1, 0.5, 3, 1 / 3), (0.6, 0.9, 2, 0.5)]
    assert all(each.interval[0] <= each.share <= each.interval[1] for each in bins)
    picture = calibration_chart(bins, "planted")
    assert picture.width > 300 and len(picture.getcolors(1 << 20) or []) > 10
    assert calibration(scores[:0], right[:0]) == []


def test_planted_units_are_told_and_noise_is_not(atlas: Atlas) -> None:
    rows = atlas.units("planted")
    assert [row["reliable"] for row in rows[: len(KEYS)]].count(True) >= 0.6 * len(KEYS)
    for row in rows[len(KEYS) :]:
        assert row["reliable"] is False and row["description"] is None and row["withdrawn"]
    for row in rows:
        assert row["low"] <= row["score"] <= row["high"] and 0 < row["p"] <= row["q"] <= 1
        assert row["reliable"] == (row["q"] <= 0.05) == (row["description"] is not None)


def test_scores_are_pearsons_r_of_one_image_after_the_other(atlas: Atlas, reader: LabelReader) -> None:
    responses = atlas.responses("planted")
    assert responses is not None
    scenes = SceneSet(N_SCENES, SEED)
    judging = halves(N_SCENES, 0)[1]
    assert responses.images.tolist() == judging.tolist()
    for row in [row for row in atlas.units("planted") if row["score"]][:3]:
        told = reader.embed_texts([row["description"] or row["withdrawn"]])
        heard = [float(reader.simulate(told, reader.embed_images([scenes.image(int(i))]))) for i in judging]
        means = responses.means[row["unit"]].tolist()
        assert row["score"] == pytest.approx(np.corrcoef(heard, means)[0, 1], abs=1e-4)


def test_units_that_are_random_directions_have_no_reliable_description(atlas: Atlas, reader: LabelReader) -> None:
    responses = atlas.responses("planted")
    assert responses is not None
    namer, images = LabelNamer(reader), SceneSet(N_SCENES, SEED)
    random = atlas.random("planted")
    told = namer.describe(random, images)  # type: ignore[arg-type]
    n = len(random) // 2  # the one half plays units, the other is the null
    as_units = Responses(
        "planted", random.unit_ids[:n], responses.images, responses.random_peaks[:n], responses.random_means[:n],
        responses.random_peaks[n:], responses.random_means[n:],
    )  # fmt: skip
    found = Judge(reader, SETTINGS).judged(told[:n], [each.text for each in told[n:]], as_units, images)
    assert np.mean([each.text is None for each in found]) >= 0.9


def test_what_is_judged_is_part_of_the_key(atlas: Atlas, reader: LabelReader) -> None:
    target, images = planted_network(N_SCENES, SEED, UNITS)
    with pytest.raises(AtlasError, match="judge_seed=1 "):
        describe(
            target, images, atlas.path, [LabelNamer(reader)], judge=Judge(reader, TrustSettings(directions=31, seed=1))
        )
    with pytest.raises(AtlasError, match="judge=none"):
        describe(target, images, atlas.path, [LabelNamer(reader)])
    before = atlas.units()
    again = describe(target, images, atlas.path, [LabelNamer(reader)], judge=Judge(reader, SETTINGS))
    assert again.units() == before


def test_few_images_judge_nothing(reader: LabelReader, tmp_path: Path) -> None:
    assert not enough(FEWEST - 1, 15) and enough(FEWEST, 15) and not enough(FEWEST, 31)
    target, images = planted_network(FEWEST - 1, SEED, UNITS[:2])
    atlas = describe(target, images, tmp_path / "a", [LabelNamer(reader)], judge=Judge(reader, SETTINGS))
    assert [row["reliable"] for row in atlas.units()] == [None, None] and atlas.responses("planted") is None
    assert "judge" not in atlas.meta.options


def test_nothing_to_judge(reader: LabelReader) -> None:
    none = [Description("planted", 0, None, "caption")]
    empty = torch.zeros(1, 0)
    responses = Responses("planted", torch.tensor([0]), torch.zeros(0, dtype=torch.int64), *[empty] * 4)
    assert Judge(reader, SETTINGS).judged(none, [], responses, SceneSet(3)) == none


def test_forms_are_heard_concept_by_concept(reader: LabelReader) -> None:
    scenes = SceneSet(N_SCENES, SEED)
    forms = ["object:sky AND NOT (grass OR water)", 'sky OR "water"', "NOT grass", "sky OR grass AND water"]
    told = [Description("planted", unit, form, "formula", formula=form) for unit, form in enumerate(forms)]
    told.append(Description("planted", 9, "a: sky", "caption"))
    images = torch.arange(0, N_SCENES, 7)
    empty = torch.zeros(1, len(images))
    found = Judge(reader)._said(told, scenes, Responses("planted", torch.tensor([0]), images, *[empty] * 4))
    words = reader.embed_texts(["sky", "grass", "water"])
    for column, index in enumerate(images.tolist()):
        sky, grass, water = reader.simulate(words, reader.embed_images([scenes.image(index)]))[:, 0].tolist()
        wanted = [min(sky, 1 - max(grass, water)), max(sky, water), 1 - grass, max(sky, min(grass, water)), sky]
        assert found[:, column].tolist() == pytest.approx(wanted)


class Stops(LabelNamer):
    """Stops in the middle, when it is asked for the `left`-th time."""

    left = 1

    def describe(self, exemplars: Any, images: Any, progress: Any = None) -> list[Description]:
        self.left -= 1
        if self.left < 0:
            raise KeyboardInterrupt
        return super().describe(exemplars, images, progress)


def test_stopped_while_judging_it_ends_with_the_same_atlas(reader: LabelReader, tmp_path: Path) -> None:
    target, images = planted_network(FEWEST, SEED, UNITS[:5])
    judge = Judge(reader, TrustSettings(directions=7, draws=20))
    whole = describe(target, images, tmp_path / "whole", [LabelNamer(reader)], judge=judge)
    with pytest.raises(KeyboardInterrupt):  # units are described, directions are not
        describe(target, images, tmp_path / "a", [Stops(reader)], judge=judge)
    assert Atlas.open(tmp_path / "a").units() == []
    again = describe(target, images, tmp_path / "a", [LabelNamer(reader)], judge=judge)
    assert again.units() == whole.units() and [row["q"] is None for row in again.units()] == [False] * 5
