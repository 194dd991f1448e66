"""An image-text model that describes: exact likelihoods, PMI against random exemplars, what the model is shown."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from describer.description import Describer
from describer.errors import DescriberError, WeightsError
from describer.vlm import ImageTextModel, VlmDescriber, VlmSettings, faded, phrase_of, sheet
from tests.describer.colours import Plain
from tests.describer.imagetext import save_llava
from tests.describer.test_wordlist import exemplars

ASKED = "what is this"
TEXTS = ["red dogs", "cats", "blue dogs and green cats"]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> ImageTextModel:
    return ImageTextModel(str(save_llava(tmp_path_factory.mktemp("llava"))))


def picture(colour: str) -> Image.Image:
    return Image.new("RGB", (17, 13), colour)


def test_likelihoods_are_those_of_token_after_token(model: ImageTextModel) -> None:
    asked = model.asked([picture("red")], ASKED)
    found = model.log_prob(asked, TEXTS)
    for text, total in zip(TEXTS, found.tolist(), strict=True):
        ids, slow = asked["input_ids"], 0.0
        words = [*model.processor.tokenizer(text, add_special_tokens=False)["input_ids"], 2]
        for word in words:
            with torch.inference_mode():
                logits = model.model(input_ids=ids, pixel_values=asked["pixel_values"]).logits[0, -1].double()
            slow += float(torch.log_softmax(logits, 0)[word])
            ids = torch.cat((ids, torch.tensor([[word]])), 1)
        assert total == pytest.approx(slow, abs=1e-3)
    other = model.log_prob(model.asked([picture("blue")], ASKED), TEXTS)
    assert not torch.allclose(found, other), "the picture matters"


def test_descriptions_are_ordered_by_pmi_against_random_exemplars(model: ImageTextModel) -> None:
    settings = VlmSettings(prompt=ASKED, n_exemplars=2, side=10, weight=0.7, n_random=3, n_candidates=4, max_length=3)
    describer, pictures = VlmDescriber(model, settings), Plain()
    assert isinstance(describer, Describer)
    layer = exemplars([[0, 5, 10], [1, 6, 11], [2, -1, -1], [3, 8, 13]], dead=(3,))
    done: list[int] = []
    told = describer.describe(layer, pictures, done.append)
    assert done == [1, 1, 1, 1]
    assert [each.id for each in told] == [f"body:{unit}" for unit in (0, 2, 4, 6)]
    assert told[3].text is None and not {3, 8, 13, 10, 11} & set(pictures.asked)
    shown = torch.tensor([[True, True], [True, True], [True, False], [False, False]])
    random = [describer._asked(layer, pictures, places) for places in describer._drawn(shown)]
    assert len(random) == 3
    for row, each in enumerate(told[:3]):
        assert each.text == each.n_best[0].text
        own = describer._asked(layer, pictures, [(row, rank) for rank in range(2 if row < 2 else 1)])
        assert [c.pmi for c in each.n_best] == sorted((c.pmi for c in each.n_best), reverse=True)
        for candidate in each.n_best:
            likely = [math.exp(float(model.log_prob(other, [candidate.text])[0])) for other in random]
            assert candidate.log_prob == pytest.approx(float(model.log_prob(own, [candidate.text])[0]), abs=1e-3)
            assert candidate.log_prior == pytest.approx(math.log(sum(likely) / 3), abs=1e-3)
            assert candidate.pmi == pytest.approx(candidate.log_prob - 0.7 * candidate.log_prior, abs=1e-4)
    again = VlmDescriber(model, settings).describe(layer, pictures)
    assert [each.n_best for each in again] == [each.n_best for each in told]


def test_random_sets_are_drawn_from_what_is_there(model: ImageTextModel) -> None:
    describer = VlmDescriber(model, VlmSettings(n_exemplars=3, n_random=5))
    shown = torch.tensor([[True, False, False], [True, True, False], [False, False, False]])
    drawn = describer._drawn(shown)
    assert len(drawn) == 5 and all(sorted(own) == [(0, 0), (1, 0), (1, 1)] for own in drawn)
    assert describer._drawn(torch.zeros(2, 3, dtype=torch.bool)) == []


def test_several_pictures_and_a_model_without_a_template(tmp_path: Path) -> None:
    model = ImageTextModel(str(save_llava(tmp_path / "plain", template=None)))
    asked = model.asked([picture("red"), picture("blue")], ASKED)
    assert asked["pixel_values"].shape[0] == 2
    assert int((asked["input_ids"] == 4).sum()) == 2 * 4, "four patches a picture"
    describer = VlmDescriber(model, VlmSettings(ASKED, "pictures", 2, 10, n_candidates=2, max_length=2))
    assert describer.describe(exemplars([[0, 5], [1, 6]]), Plain())[0].n_best


def test_outside_the_mask_a_picture_fades() -> None:
    mask = np.zeros((7, 7), bool)
    mask[2:5, 3:6] = True
    pixels = np.asarray(faded(picture("red"), mask))
    assert (pixels[mask] == (255, 0, 0)).all()
    assert (pixels[~mask] == (147, 109, 109)).all()


def test_a_sheet_holds_every_picture_once() -> None:
    whole = np.asarray(sheet([picture(colour) for colour in ("red", "blue", "lime", "black", "red")], gap=3))
    assert whole.shape == (2 * 13 + 3, 3 * 17 + 2 * 3, 3)
    for colour, n in {(255, 0, 0): 2, (0, 0, 255): 1, (0, 255, 0): 1, (0, 0, 0): 1}.items():
        assert int((whole == colour).all(2).sum()) == n * 17 * 13


@pytest.mark.parametrize(
    ("answer", "phrase"), [(' "Red dogs."\nThey run.', "Red dogs"), ("\n\n cats ", "cats"), ("", ""), (" . ", "")]
)
def test_an_answer_is_cut_to_its_phrase(answer: str, phrase: str) -> None:
    assert phrase_of(answer) == phrase


def test_what_is_no_image_text_model_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(WeightsError, match="an image-text model must be a hub name or a folder"):
        ImageTextModel(str(tmp_path))
    with pytest.raises(DescriberError, match="lambda must be 0 or more"):
        VlmSettings(n_random=0)
