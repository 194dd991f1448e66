"""A description names its unit by layer and index, and says nothing rather than an empty text."""

import math

import pytest

from describer.description import Candidate, Description
from describer.errors import WeightsError


def test_id_is_layer_and_unit() -> None:
    assert Description("layer4.1.conv2", 483, "dog faces", "caption").id == "layer4.1.conv2:483"


def test_two_units_with_one_text_stay_apart() -> None:
    first, second = (Description("layer4", unit, "dog faces", "caption") for unit in (3, 5))
    assert first != second
    assert first == Description("layer4", 3, "dog faces", "caption")


def test_dead_unit_has_no_text() -> None:
    description = Description("layer4", 3, None, "caption")
    assert description.text is None
    assert description.n_best == ()


@pytest.mark.parametrize("text", ["", "  ", "\n"])
def test_empty_text_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="text must have words, or be None"):
        Description("layer4", 3, text, "caption")


@pytest.mark.parametrize("fields", [("", 3, "caption"), ("layer4", -1, "caption"), ("layer4", 3, "")])
def test_nameless_description_is_refused(fields: tuple[str, int, str]) -> None:
    layer, unit, method = fields
    with pytest.raises(ValueError, match="must name its layer, unit and method"):
        Description(layer, unit, "dog faces", method)


def test_score_hides_what_is_not_finite() -> None:
    description = Description("a", 0, "x", "caption", {"pmi": 1.5, "log_prob": -math.inf})
    assert [description.score(name) for name in ("pmi", "log_prob", "iou", "score")] == [1.5, None, None, None]


def test_candidate_is_a_value() -> None:
    assert Candidate("a", -1.0, -2.0, 1.0, "beam") == Candidate("a", -1.0, -2.0, 1.0, "beam")


def test_score_that_is_no_number_is_refused() -> None:
    with pytest.raises(WeightsError, match=r"scores of a:0 must be numbers. Got pmi=nan. Use a describer with sound"):
        Description("a", 0, "x", "caption", {"pmi": math.nan})
