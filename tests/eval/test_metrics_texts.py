"""Text scores beside loops, always with their baselines; CoSy, the ablation score and evaluate's wrapper."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from torch import nn
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

from describer.errors import DescriberError, WeightsError
from describer.eval.metrics.ablation import ablation_score, matched, replaced_losses
from describer.eval.metrics.bertscore import BertScore
from describer.eval.metrics.generative import cosy
from describer.eval.metrics.sources import DiffusersSource, DrawnSource
from describer.eval.metrics.texts import bleu, rouge, text_table, typical

PEOPLE = [["red cars", "a red car", "cars that are red"], ["dogs on grass", "brown dogs"], ["sky", "the blue sky"]]


def slow_rouge(text: str, reference: str) -> float:
    """All common subsequences, by recursion."""
    a, b = text.split(), reference.split()

    def longest(i: int, j: int) -> int:
        if i == len(a) or j == len(b):
            return 0
        return 1 + longest(i + 1, j + 1) if a[i] == b[j] else max(longest(i + 1, j), longest(i, j + 1))

    return 2 * longest(0, 0) / (len(a) + len(b))


def test_rouge_is_the_longest_common_subsequence() -> None:
    texts = ["a red car", "dogs", "the sky is very blue sky"]
    expected = [max(slow_rouge(text, other) for other in own) for text, own in zip(texts, PEOPLE, strict=True)]
    np.testing.assert_allclose(rouge(texts, PEOPLE), expected)
    assert rouge(["", "dog"], [["dog"], ["..."]]).tolist() == [0, 0]


def test_bleu_is_a_share() -> None:
    found = bleu(["a red car", "cats", "the blue sky"], PEOPLE)
    np.testing.assert_allclose(found, [1, 0, 1])


def test_a_string_is_no_list_of_references() -> None:
    for similarity in (bleu, rouge):
        with pytest.raises(DescriberError, match=r"^references must be a list of sentences\. Got 'red cars'\."):
            similarity(["red cars"], ["red cars"])


def test_a_table_holds_people_a_constant_and_shuffled_texts() -> None:
    methods = {"good": ["red cars", "brown dogs", "blue sky"], "empty": [None, "", "  "]}
    rows = {row.name: row for row in text_table(methods, PEOPLE, others=["dogs", "dogs", "many dogs", "cats"])}
    assert list(rows) == ["good", "empty", "human–human", "constant: dogs", "good, shuffled", "empty, shuffled"]
    assert [row.baseline for row in rows.values()] == [False, False, True, True, True, True]
    expected = np.mean(
        [
            np.mean([max(slow_rouge(own[j], other) for k, other in enumerate(own) if k != j) for j in range(len(own))])
            for own in PEOPLE
        ]
    )  # every person against all others
    assert rows["human–human"].scores["ROUGE-L"][0] == pytest.approx(expected)
    assert rows["good"].scores["ROUGE-L"][0] > rows["good, shuffled"].scores["ROUGE-L"][0]
    assert rows["empty"].scores["BLEU"] == (0, 0, 0)
    for row in rows.values():
        assert row.scores["BLEU"][1] <= row.scores["BLEU"][0] <= row.scores["BLEU"][2]


def test_units_need_two_sentences() -> None:
    with pytest.raises(DescriberError, match="2 human sentences or more"):
        text_table({"a": ["x"]}, [["only one"]])
    with pytest.raises(DescriberError, match="2 human sentences or more"):
        text_table({"a": []}, [])


def test_the_constant_is_like_most_sentences() -> None:
    assert typical(["zebra", "red cars", "red cars here", "Red cars."]) == "red cars"


# BERTScore


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random BERT of width 12 that knows eleven words."""
    folder = tmp_path_factory.mktemp("bert")
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *["a", "red", "car", "cars", "dogs", "brown", "sky"]]
    raw = Tokenizer(WordLevel({word: i for i, word in enumerate(words)}, unk_token="[UNK]"))
    raw.pre_tokenizer = Whitespace()
    PreTrainedTokenizerFast(tokenizer_object=raw, pad_token="[PAD]", unk_token="[UNK]").save_pretrained(folder)
    torch.manual_seed(0)
    sizes = {"hidden_size": 12, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 14}
    BertModel(BertConfig(vocab_size=len(words), initializer_range=1.0, **sizes)).save_pretrained(folder)
    return folder


def test_bert_score_matches_tokens_greedily(encoder: Path) -> None:
    score = BertScore(str(encoder), batch_size=2)
    texts, references = ["a red car", "brown dogs", ""], [["red cars", "a car"], ["sky"], ["sky"]]
    found = score(texts, references)

    def vectors(text: str) -> torch.Tensor:
        tokens = score.tokenizer(text, return_tensors="pt")
        with torch.inference_mode():
            return score.model(**tokens).last_hidden_state[0]

    def slow(text: str, other: str) -> float:
        cosines = [[float(torch.cosine_similarity(a, b, 0)) for b in vectors(other)] for a in vectors(text)]
        precision, recall = (
            np.mean([max(row) for row in cosines]),
            np.mean([max(col) for col in zip(*cosines, strict=True)]),
        )
        return float(2 * precision * recall / (precision + recall))

    expected = [max(slow("a red car", "red cars"), slow("a red car", "a car")), slow("brown dogs", "sky"), 0]
    np.testing.assert_allclose(found, expected, atol=1e-5)  # whatever else is in the batch


def test_an_encoder_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"^the encoder of BERTScore must be a folder or a model of the hub"):
        BertScore(str(tmp_path))


# CoSy


def test_cosy_counts_ties_half() -> None:
    dice = np.random.default_rng(0)
    control, shown = dice.integers(0, 4, 17).astype(float), dice.integers(1, 5, 11).astype(float)
    wins = [1.0 if a > b else 0.5 if a == b else 0.0 for a in shown for b in control]
    found = cosy(control, shown, "drawn")
    assert found.auc == pytest.approx(np.mean(wins))
    assert found.mad == pytest.approx((shown.mean() - control.mean()) / control.std())
    assert cosy(np.full(7, 0.1), np.full(5, 0.1), "same").auc == 0.5
    assert cosy(np.full(7, 0.1), shown, "still").mad == 0
    with pytest.raises(DescriberError, match=r"^CoSy must have control images"):
        cosy(np.zeros(0), shown, "none")


def test_scenes_are_drawn_in_which_a_text_holds() -> None:
    source = DrawnSource(tried=9, size=64)
    found = source.images("sky", 2, seed=3)
    assert len(found) == 2 and found[0].size == (64, 64)
    with pytest.raises(DescriberError, match=r"^text must name things of the drawn world"):
        source.images("quarks", 2)


def test_a_missing_package_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "diffusers", None)  # as where it is not installed
    with pytest.raises(WeightsError, match=r"^images from a diffusion model must be made by the package diffusers"):
        DiffusersSource("any")


# Ablation


def test_the_ablation_score_is_that_of_loops() -> None:
    real, simulated, mean = np.random.default_rng(0).random((3, 7))
    above = sum(abs(s - r) for s, r in zip(simulated, real, strict=True))
    below = sum(abs(m - r) for m, r in zip(mean, real, strict=True))
    assert ablation_score(real, simulated, mean) == pytest.approx(1 - above / below)
    assert ablation_score(real, real, mean) == 1 and ablation_score(real, mean, mean) == pytest.approx(0)
    assert ablation_score(real, simulated, real) == 0


def test_a_unit_is_set_to_a_value_an_image() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 5, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(5, 7)).eval()
    inputs, classes = torch.rand(11, 3, 8, 9), torch.arange(11) % 7
    values = np.random.default_rng(0).random(11)
    found = replaced_losses(model, "1", 2, inputs, classes, values, batch_size=4)
    with torch.inference_mode():
        hidden = model[:4](inputs)
        hidden[:, 2] = torch.from_numpy(values).float()
        expected = nn.functional.cross_entropy(model[4](hidden) / 1.1, classes, reduction="none")
    torch.testing.assert_close(found, expected)
    plain = replaced_losses(model, "1", 2, inputs, classes)
    torch.testing.assert_close(
        plain, nn.functional.cross_entropy(model(inputs).detach() / 1.1, classes, reduction="none")
    )
    with pytest.raises(DescriberError, match="a class and a value"):
        replaced_losses(model, "1", 2, inputs, classes[:3])


def test_simulated_values_are_laid_on_the_units_scale() -> None:
    real, simulated = np.random.default_rng(0).random((2, 13))
    slope, offset = np.polyfit(simulated, real, 1)
    np.testing.assert_allclose(matched(simulated, real), slope * simulated + offset)
    np.testing.assert_allclose(matched(np.ones(13), real), np.full(13, real.mean()))


# evaluate


@pytest.mark.slow
def test_a_metric_is_one_of_evaluate(tmp_path: Path) -> None:
    from describer.eval.metrics import score
    from describer.eval.metrics.wrapped import UnitMetric

    a, c = np.random.default_rng(0).random((2, 3, 17)).astype(np.float32)
    metric = UnitMetric("auprc", cache_dir=str(tmp_path), keep_in_memory=True)
    found = metric.compute(predictions=c.tolist(), references=a.tolist(), alpha=0.2)
    np.testing.assert_allclose(found["units"], score(a, c, ["auprc"], 0.2)["auprc"])
    assert found["auprc"] == pytest.approx(np.mean(found["units"]))
