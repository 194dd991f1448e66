"""Accuracy while a unit fires, and lifts of forms, by plain loops; one number a length."""

import itertools
import math

import numpy as np
import pytest

from describer.errors import ImagesError
from describer.eval.experiments.accuracy import accuracy_when_firing, by_length
from describer.eval.experiments.subject import load_truth
from describer.eval.experiments.weights import contributions, form_holds, lifts
from tests.eval.test_experiments_adversaries import Quarters, language, vision  # noqa: F401


def test_accuracy_while_firing_is_that_of_plain_loops():
    rng = np.random.default_rng(0)
    fires = rng.random((41, 7)) < 0.3
    predicted, truth = rng.integers(0, 3, 41), rng.integers(-1, 3, 41)
    found = accuracy_when_firing(fires, predicted, truth, least=5)
    for unit in range(7):
        known = [i for i in range(41) if fires[i, unit] and truth[i] >= 0]
        if len(known) < 5:
            assert math.isnan(found[unit])
        else:
            assert found[unit] == pytest.approx(sum(predicted[i] == truth[i] for i in known) / len(known))
    assert np.isnan(accuracy_when_firing(np.zeros((5, 2), bool), predicted[:5], truth[:5], least=0)).all()


def test_lifts_are_log_odds_ratios_by_plain_loops():
    rng = np.random.default_rng(1)
    holds, said = rng.random((43, 5)) < 0.4, rng.integers(0, 3, 43)
    found = lifts(holds, said, 3)
    for form in range(5):
        for number in range(3):
            n = {(a, b): 0.5 for a in (True, False) for b in (True, False)}
            for i in range(43):
                n[bool(holds[i, form]), bool(said[i] == number)] += 1
            wanted = math.log(n[True, True] * n[False, False] / (n[True, False] * n[False, True]))
            assert found[form, number] == pytest.approx(wanted)


def test_every_length_has_a_result(language):  # noqa: F811
    _, _, subject = language
    results, found = by_length(subject, 3, least=1)
    assert [row.length for row in results] == [1, 2, 3]
    assert all(a.mean_iou <= b.mean_iou for a, b in itertools.pairwise(results))
    assert results[0].chance_iou is None, "no shifts were counted"
    assert [each.iou for each in found] == [each.iou for each in subject.forms(3)]
    assert results[0].correlation is None, "every pair is told right"


def test_units_speak_for_the_classes_of_their_forms(vision):  # noqa: F811
    _, concepts, subject = vision
    found = subject.forms(1)
    holds = form_holds(subject, found)
    for column, number in enumerate((1, 2, 3)):
        assert holds[:, column].tolist() == [number in concepts.images.ids(i) for i in range(len(concepts))]
    best, agreement = contributions(subject, found, subject.predicted, n_best=1)
    assert [(row.class_name, row.unit, row.formula) for row in best] == [
        ("red", 0, "red"), ("green", 1, "green"), ("blue", 2, "blue")]  # fmt: skip
    assert all(row.lift > 0 and row.weight == 8.0 for row in best)
    assert agreement.pearson.value > 0.5


def test_truth_comes_from_scenes_or_from_a_column(tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    from describer.data.images import load_images
    from describer.data.scenes import NAMES

    scenes = load_images("scenes:3:5")
    truth = load_truth("scenes:3:5", scenes, None, ())
    assert [NAMES["scene"][t + 1] for t in truth] == [scenes.scenes.scene(i).kind for i in range(3)]
    pq.write_table(pa.table({"label": ["b", "a", "z"], "index": [4, 5, 6]}), tmp_path / "x.parquet")
    source = str(tmp_path / "*.parquet")
    assert load_truth(source, Quarters(), "label", ["a", "b"]).tolist() == [1, 0, -1]
    assert load_truth(source, Quarters(), "index", ["a", "b"]).tolist() == [4, 5, 6]
    with pytest.raises(ImagesError, match="label-column"):
        load_truth(source, Quarters(), None, ())
    with pytest.raises(ImagesError, match="column nope"):
        load_truth(source, Quarters(), "nope", ())
