"""The captioner against plain loops."""

import json
import math
import pickle

import pytest
import torch

from describer.captioner import Captioner
from describer.errors import WeightsError
from describer.vocabulary import BOS, EOS
from tests.describer.captioners import PHRASES, random_features, random_sets, small_captioner


def slow_log_prob(captioner, text, memory, present):
    """Sum over the tokens of the text and the end token of log softmax, one prefix at a time."""
    ids = captioner.vocabulary.encode([text])[0].tolist()
    total = 0.0
    for position in range(1, len(ids)):
        prefix = torch.tensor(ids[:position])[None, None]
        logits = captioner.decoder(
            prefix, memory[None][:, present], torch.ones(1, int(present.sum()), dtype=torch.bool)
        )
        logits = logits[0, 0, -1].double()
        total += float(logits[ids[position]]) - math.log(sum(math.exp(x) for x in logits.tolist()))
    assert ids[0] == BOS and ids[-1] == EOS
    return total


@torch.inference_mode()
def test_log_prob_and_log_prior_are_exact_up_to_the_end_token():
    captioner = small_captioner()
    memory, present = random_sets(captioner)
    texts = PHRASES[:3]
    fast = captioner.log_prob(texts, memory, present)
    assert fast.shape == (5, 3)
    for unit in range(5):
        for column, text in enumerate(texts):
            assert float(fast[unit, column]) == pytest.approx(
                slow_log_prob(captioner, text, memory[unit], present[unit]), abs=1e-4
            )
    nothing, seen = captioner.unconditioned(1)
    for text, value in zip(texts, captioner.log_prior(texts).tolist(), strict=True):
        assert value == pytest.approx(slow_log_prob(captioner, text, nothing[0], seen[0]), abs=1e-4)


@torch.inference_mode()
def test_scores_do_not_depend_on_the_texts_beside_them():
    captioner = small_captioner()
    memory, present = random_sets(captioner)
    together = captioner.log_prob(PHRASES, memory, present)
    alone = torch.cat([captioner.log_prob([text], memory, present) for text in PHRASES], 1)
    assert torch.allclose(together, alone, atol=1e-4)


@torch.inference_mode()
def test_order_and_absent_exemplars_do_not_matter():
    captioner = small_captioner()
    features = torch.randn(3, 7, captioner.encoder.n_features)
    present = torch.ones(3, 7, dtype=torch.bool)
    present[1, 5:] = False
    order = torch.tensor([3, 0, 6, 1, 5, 2, 4])
    one = captioner.log_prob(PHRASES, captioner.encode(features, present), present)
    other = captioner.log_prob(PHRASES, captioner.encode(features[:, order], present[:, order]), present[:, order])
    assert torch.allclose(one, other, atol=1e-4)
    features[1, 5:] = 100.0
    assert torch.allclose(one, captioner.log_prob(PHRASES, captioner.encode(features, present), present), atol=1e-4)


@torch.inference_mode()
def test_empty_text_is_scored_by_its_end_token_alone():
    captioner = small_captioner()
    prior = float(captioner.log_prior([""])[0])
    nothing, seen = captioner.unconditioned(1)
    logits = captioner.decoder(torch.tensor([[[BOS]]]), nothing, seen)[0, 0, -1]
    assert prior == pytest.approx(float(torch.log_softmax(logits, -1)[EOS]), abs=1e-5)


def test_saved_and_loaded_it_is_the_same(tmp_path):
    captioner = small_captioner()
    captioner.save_pretrained(tmp_path)
    again = Captioner.from_pretrained(tmp_path)
    memory, present = random_sets(captioner)
    assert torch.equal(captioner.log_prob(PHRASES, memory, present), again.log_prob(PHRASES, memory, present))
    assert again.inventory.phrases == PHRASES
    images = torch.rand(2, 3, 128, 128, generator=torch.Generator().manual_seed(2))
    assert torch.equal(captioner.encoder.maps(images)[-1], again.encoder.maps(images)[-1])
    assert not list(tmp_path.glob("*.bin"))


def test_a_phrase_reader_comes_and_goes_with_its_weights(tmp_path):
    captioner = small_captioner(reads_phrases=True)
    captioner.save_pretrained(tmp_path)
    again = Captioner.from_pretrained(tmp_path)
    features, present = random_features(captioner)
    assert torch.equal(captioner.read(features, present).each, again.read(features, present).each)
    again.take_reader(None)
    again.save_pretrained(tmp_path / "old")
    old = Captioner.from_pretrained(tmp_path / "old")
    assert old.phrase_reader is None
    assert old.read(features, present).evidence().shape == (5, len(PHRASES))


def test_another_inventory_than_the_weights_is_refused(tmp_path):
    small_captioner(reads_phrases=True).save_pretrained(tmp_path)
    (tmp_path / "inventory.txt").write_text("dogs\n")
    with pytest.raises(WeightsError, match=r"must hold the 7 phrases that the weights read. Got 1 in .* Take it from"):
        Captioner.from_pretrained(tmp_path)


def test_pickled_weights_are_refused(tmp_path):
    small_captioner().save_pretrained(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    (tmp_path / "pytorch_model.bin").write_bytes(pickle.dumps({"weights": 1}))
    with pytest.raises(WeightsError, match=r"must hold model\.safetensors \(pickled weights are not read\)"):
        Captioner.from_pretrained(tmp_path)


def test_a_name_that_is_nowhere_is_told_in_one_sentence(monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(WeightsError, match=r"must be a folder or a hub name. Got 'no-such/captioner'"):
        Captioner.from_pretrained("no-such/captioner")


def test_a_folder_without_a_vocabulary_is_refused(tmp_path):
    small_captioner().save_pretrained(tmp_path)
    (tmp_path / "vocabulary.model").unlink()
    with pytest.raises(WeightsError, match=r"must hold vocabulary\.model"):
        Captioner.from_pretrained(tmp_path)


def test_config_keeps_its_sizes(tmp_path):
    captioner = small_captioner()
    captioner.save_pretrained(tmp_path)
    saved = json.loads((tmp_path / "config.json").read_text())
    assert saved["encoder"]["own"]["semantic"] == 19
    assert saved["model_type"] == "describer-captioner"
