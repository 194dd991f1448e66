"""Planted units: what counts as named, which units are planted, and that the judge can be failed."""

import numpy as np
import pytest
import torch
from PIL import Image

from describer.eval.planted.naming import content_words, describe_planted, interval, judge, names, plant, unit_features
from describer.training.corpus import CorpusBuilder
from describer.training.regiontable import pixels
from tests.describer.captioners import small_captioner


@pytest.mark.parametrize(
    ("text", "concept", "named"),
    [
        ("brown dogs", "dogs", True),
        ("dogs", "brown dogs", False),
        ("puppies on grass", "dogs", True),
        ("trousers", "pants", True),
        ("squares", "square shapes", True),
        ("animals", "dogs", False),
        ("hot dogs stands", "cats", False),
        ("grassy things", "grass", False),
        ("", "dogs", False),
        ("dark boats in the water", "water", True),
    ],
)
def test_a_text_names_a_concept_by_all_its_words_or_their_synonyms(text, concept, named):
    assert names(text, concept) is named


def test_words_that_say_nothing_do_not_count():
    assert content_words("The surfaces of striped things") == {"striped"}


def phrases_corpus(counts, source="photos"):
    builder = CorpusBuilder(source)
    rng = np.random.default_rng(0)
    for phrase, count in counts.items():
        for _ in range(count):
            pixels = rng.integers(0, 256, (7, 11, 3), dtype=np.uint8)
            builder.add_region(builder.add_image(Image.fromarray(pixels)), None, [], [phrase])
    return builder.corpus()


def test_the_most_frequent_phrases_with_enough_pictures_are_planted():
    corpus = phrases_corpus({"dogs": 7, "cats": 5, "fish": 4, "things": 9})
    units = plant(corpus, ["photos"], n_units=10, n_exemplars=5)
    assert [unit.concept for unit in units] == ["dogs", "cats"], "things say nothing, fish are too few"
    for unit in units:
        assert len(set(unit.regions)) == 5
        assert set(unit.regions) <= set(corpus.phrases[unit.concept].tolist())
    assert not plant(corpus, ["elsewhere"], 10, 5)
    assert [u.concept for u in plant(corpus, ["photos"], 1, 5)] == ["dogs"]


def test_features_of_planted_units_are_those_of_their_own_regions():
    corpus, captioner = phrases_corpus({"dogs": 3, "cats": 5}), small_captioner()
    units = plant(corpus, ["photos"], 2, n_exemplars=3)
    with torch.inference_mode():
        features = unit_features(captioner.encoder, corpus, units, batch_size=2)
        for row, unit in enumerate(units):
            for place, region in enumerate(unit.regions):
                picture = pixels(corpus.images[[corpus.region_image[region]]], captioner.encoder.backbone.size)
                maps = captioner.encoder.maps(picture)
                alone = captioner.encoder.region_features(maps, torch.ones(1, 32, 32), torch.tensor([0]))
                assert torch.allclose(features[row, place], alone[0], atol=1e-4)
        rows = describe_planted(captioner, features, settings=small_settings())
    assert len(rows) == 2
    assert all(rows)


def small_settings():
    from describer.decoding import DecodingSettings

    return DecodingSettings(beam=2, shortlist=3, max_length=3)


def test_the_judge_counts_first_and_within_four():
    texts = [["dogs", "cats"], ["cats", "a", "b", "dogs"], ["a", "b", "c", "d", "dogs"], []]
    named = judge(texts, ["dogs"] * 4)
    assert named.first[0] == pytest.approx(1 / 4)
    assert named.within_four[0] == pytest.approx(2 / 4)
    assert named.units == 4
    assert named.distinct == pytest.approx(4 / 4)
    shuffled = judge([["cats"], ["dogs"]], ["dogs", "cats"])
    assert shuffled.first[0] == 0


def test_the_interval_holds_the_mean_and_narrows_with_more_units():
    rng = np.random.default_rng(0)
    few, many = rng.random(11) < 0.6, rng.random(1009) < 0.6
    for hits in (few, many):
        value, low, high = interval(hits)
        assert low <= value <= high
    assert interval(many)[2] - interval(many)[1] < interval(few)[2] - interval(few)[1]
