"""Descriptions that are judged: the numbers against plain loops, and planted units, whose meaning is known."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from describer.atlas import Atlas
from describer.data.scenes import SceneSet
from describer.describe import describe
from describer.description import Description, Meaning
from describer.errors import AtlasError
from describer.eval.plantednet import PlantedUnit, planted_network
from describer.picture import calibration_chart
from describer.responses import Responses
from describer.trust import (
    ALIKE,
    FEWEST,
    MOST,
    Judge,
    TrustSettings,
    by_chance,
    calibration,
    enough,
    halves,
    intervals,
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


def test_chance_is_what_texts_of_other_meanings_give_units_they_were_not_made_for() -> None:
    rng = np.random.default_rng(4)
    texts = rng.random((5, 53))
    told = [0, 1, 1, 2, 3, 4, 0]  # which text each of seven units was told
    simulated = texts[told]
    actual, random = rng.random((7, 53)), rng.random((3, 53))
    wanted = []
    for unit, own in enumerate(told):  # oracle
        for other in range(5):
            if np.corrcoef(texts[own], texts[other])[0, 1] < ALIKE:
                wanted.append(np.corrcoef(actual[unit], texts[other])[0, 1])
    assert len(wanted) == 7 * 4
    wanted += [np.corrcoef(direction, text)[0, 1] for direction in random for text in texts]
    assert sorted(by_chance(simulated, actual, random)) == pytest.approx(sorted(wanted))


def test_texts_that_are_heard_alike_are_not_wrong_for_each_other() -> None:
    rng = np.random.default_rng(5)
    sky, grass = rng.random((2, 53))
    simulated = np.stack([sky, sky + 0.01 * rng.random(53), grass])  # "skies", "open skies", "grass"
    found = by_chance(simulated, simulated, np.zeros((0, 53)))
    assert len(found) == 4 and found.max() < 0.5


def test_what_is_like_any_of_a_units_own_texts_is_not_wrong_for_it() -> None:
    rng = np.random.default_rng(6)
    texts, units = rng.random((7, 53)), np.array([3, 0, 3, 5, 0, 3, 2])  # three meanings of unit 3
    of_unit = {int(unit): rng.random(53) for unit in units}
    actual = np.stack([of_unit[int(unit)] for unit in units])
    wanted = []
    for unit in of_unit:  # oracle
        own = [text for text, whose in zip(texts, units, strict=True) if whose == unit]
        for text in texts:
            if all(np.corrcoef(text, mine)[0, 1] < ALIKE for mine in own):
                wanted.append(np.corrcoef(of_unit[unit], text)[0, 1])
    assert len(wanted) == 4 + 5 + 6 + 6
    assert sorted(by_chance(texts, actual, texts[:0], units)) == pytest.approx(sorted(wanted))


def test_a_meaning_is_judged_as_a_description_is(atlas: Atlas, reader: LabelReader) -> None:
    responses, scenes = atlas.responses("planted"), SceneSet(N_SCENES, SEED)
    assert responses is not None
    rows = atlas.units("planted")
    told = [Description("planted", r["unit"], r["description"] or r["withdrawn"], "caption") for r in rows]
    blank = Meaning(None, 0.1, None)
    plain = Judge(reader, SETTINGS).judged(told, responses, scenes)
    good = [d.unit for d in plain if d.reliable and d.text != "petal"][:2]
    several = {d.unit: (Meaning(d.text, 0.6, 2.0), blank, Meaning("petals", 0.3, 1.0)) for d in told if d.unit in good}
    nothing = told[-1].unit, (Meaning("petals", 0.5, 1.0), Meaning("legs", 0.5, 1.0))  # of noise
    several |= {nothing[0]: nothing[1]}
    given = [replace(each, meanings=several.get(each.unit, ())) for each in told]
    judged = Judge(reader, SETTINGS).judged(given, responses, scenes)
    assert [replace(each, meanings=()) for each in judged] == plain  # meanings change no description's verdict
    for each, before in [(d, p) for d, p in zip(judged, plain, strict=True) if d.unit in good]:
        own, empty, petals = each.meanings
        assert empty == blank and (own.share, own.pmi) == (0.6, 2.0)
        assert (own.score, own.low, own.high) == pytest.approx([before.scores[n] for n in ("score", "low", "high")])
        assert own.reliable and own.text == before.text and own.withdrawn is None
        assert petals.reliable is False and petals.text is None and petals.withdrawn == "petals"
        assert own.p <= own.q <= 0.05 < petals.q
    assert judged[-1].meanings == ()


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


def test_random_directions_among_units_have_no_reliable_description(atlas: Atlas, reader: LabelReader) -> None:
    kept = atlas.responses("planted")
    assert kept is not None
    images, random = SceneSet(N_SCENES, SEED), atlas.random("planted")
    n = len(random)
    told = LabelNamer(reader).describe(random, images)  # type: ignore[arg-type]
    of_units = Responses(
        "planted", torch.arange(n), kept.images, kept.random_peaks, kept.random_means, kept.random_peaks[:0],
        kept.random_means[:0],
    )  # fmt: skip
    found = Judge(reader, SETTINGS).judged(told, of_units, images)
    assert np.mean([each.text is None for each in found]) > 0.95


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
    assert Judge(reader, SETTINGS).judged(none, responses, SceneSet(3)) == none


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


class Stopping(LabelReader):
    """Stops when it is asked what is true."""

    def simulate(self, text_embeddings: torch.Tensor, image_embeddings: torch.Tensor) -> torch.Tensor:
        raise KeyboardInterrupt


def test_stopped_while_judging_it_ends_with_the_same_atlas(reader: LabelReader, tmp_path: Path) -> None:
    target, images = planted_network(FEWEST, SEED, UNITS[:5])
    judge = Judge(reader, TrustSettings(directions=7, draws=20))
    whole = describe(target, images, tmp_path / "whole", [LabelNamer(reader)], judge=judge)
    stops = Judge(Stopping(SceneSet(FEWEST, SEED)), judge.settings)
    with pytest.raises(KeyboardInterrupt):  # units are described, not judged
        describe(target, images, tmp_path / "a", [LabelNamer(reader)], judge=stops)
    assert Atlas.open(tmp_path / "a").units() == []
    again = describe(target, images, tmp_path / "a", [LabelNamer(reader)], judge=judge)
    assert again.units() == whole.units() and [row["q"] is None for row in again.units()] == [False] * 5
