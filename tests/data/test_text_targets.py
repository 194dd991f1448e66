"""Classifiers of sentence pairs: sources, eval mode, which layer is the penultimate one, order, faults."""

import json

import pytest
import torch
from torch import nn

from describer.data.pairnet import PairClassifier, PairEncoder, PairNetSizes, load_pairnet, padded, save_pairnet
from describer.data.sentences import SentencePairs
from describer.data.text_targets import class_weights, load_text_target, penultimate, read_units
from describer.errors import ActivationError, TargetError, WeightsError

WORDS = ("a", "man", "dog", "runs", "sleeps", "no", "park", "in", "two", "moves", "the")
PAIRS = SentencePairs(
    "test",
    ("A man runs in the park", "Two dog", "no man sleeps in a park a man", "A dog runs", "zebra"),
    ("A man moves", "no dog runs the park", "dog", "A dog runs", "two man runs in the park a a a"),
    (None,) * 5,
)


def pairnet(seed=0, **sizes):
    """A small classifier with weights that no training has touched."""
    torch.manual_seed(seed)
    wanted = {"classes": 3, "embedding": 5, "hidden": 7, "units": 11, "dropout": 0.5} | sizes
    return PairClassifier(PairNetSizes(len(WORDS) + 2, **wanted))


@pytest.fixture
def saved(tmp_path):
    save_pairnet(tmp_path / "nli", pairnet(), PairEncoder(WORDS), ["entailment", "neutral", "contradiction"])
    return tmp_path / "nli"


def test_a_saved_classifier_says_what_it_said(saved):
    model, encode, names = load_pairnet(saved)
    inputs = encode(PAIRS.premises, PAIRS.hypotheses)
    torch.testing.assert_close(model(**inputs), pairnet().eval()(**inputs), atol=2e-3, rtol=0)
    assert names == ["entailment", "neutral", "contradiction"]


def test_padding_changes_nothing():
    model = pairnet().eval()
    encoder = PairEncoder(WORDS)
    whole = model(**encoder(PAIRS.premises, PAIRS.hypotheses))
    alone = [model(**encoder([p], [h])) for p, h in zip(PAIRS.premises, PAIRS.hypotheses, strict=True)]
    torch.testing.assert_close(whole, torch.cat(alone), atol=1e-6, rtol=1e-5)


def test_a_sentence_is_the_maximum_of_both_ways_of_an_lstm():
    """The LSTM by its definition, one word after another, in float64."""
    model = pairnet(2).eval().double()
    tokens, lengths = padded([[2, 3, 4], [5], [6, 7, 8, 9, 10]])
    found = model.encode(tokens, lengths)
    state = {name: weight for name, weight in model.lstm.state_dict().items()}
    for row, length in enumerate(lengths.tolist()):
        ways = []
        for way, order in (("", range(length)), ("_reverse", range(length - 1, -1, -1))):
            h, c, states = torch.zeros(7).double(), torch.zeros(7).double(), []
            for place in order:
                x = model.embedding.weight[tokens[row, place]]
                gates = state[f"weight_ih_l0{way}"] @ x + state[f"bias_ih_l0{way}"]
                gates = gates + state[f"weight_hh_l0{way}"] @ h + state[f"bias_hh_l0{way}"]
                i, f, g, o = gates.split(7)
                c = f.sigmoid() * c + i.sigmoid() * g.tanh()
                h = o.sigmoid() * c.tanh()
                states.append(h)
            ways.append(torch.stack(states).amax(0))
        torch.testing.assert_close(found[row], torch.cat(ways))


@pytest.mark.parametrize("spoil", ["nothing", "kind", "weights"])
def test_a_folder_that_holds_none_is_told(saved, spoil):
    if spoil == "kind":
        (saved / "config.json").write_text(json.dumps({"kind": "other"}))
    elif spoil == "weights":
        (saved / "model.safetensors").write_bytes(b"\0" * 20)
    folder = saved if spoil != "nothing" else saved / "no"
    with pytest.raises(WeightsError, match="sentence pairs"):
        load_pairnet(folder)
    with pytest.raises(TargetError, match="recipe"):
        load_text_target(f"pairs:{folder}")


def test_units_are_read_in_the_order_of_the_pairs_and_in_eval_mode(saved):
    target = load_text_target(f"pairs:{saved}")
    target.model.train()  # as if somebody had forgotten
    found = read_units(target, PAIRS, batch_size=2)
    again = read_units(target, PAIRS, batch_size=5)
    torch.testing.assert_close(found.values, again.values)
    assert found.layer == "units" == penultimate(target)
    assert found.values.shape == (5, 11) and bool((found.values >= 0).all())
    assert target.model.training
    target.model.eval()
    torch.testing.assert_close(found.logits, target.logits(PAIRS.premises, PAIRS.hypotheses))
    weights = class_weights(target, found)
    bias = target.model.classes.bias
    torch.testing.assert_close(found.logits, found.values @ weights.T + bias, atol=1e-5, rtol=1e-5)
    other = read_units(target, PAIRS, "pair")
    assert class_weights(target, other) is None, "not what the classes read"


FACTORY = """
import torch
from torch import nn

class Bag(nn.Module):
    def __init__(self):
        super().__init__()
        self.hidden = nn.Linear(2, 5)
        self.relu = nn.ReLU(inplace=True)
        self.drop = nn.Dropout(0.5)
        self.out = nn.Linear(5, 2)

    def forward(self, x):
        assert not self.training, "eval() was forgotten"
        return self.out(self.drop(self.relu(self.hidden(x))))

def load():
    torch.manual_seed(0)
    return Bag(), lambda p, h: torch.tensor([[len(a), len(b)] for a, b in zip(p, h)]).float(), ["Yes", "No"]

def nameless():
    return load()[:2]

def model_alone():
    return load()[0]

def misnamed():
    return (*load()[:2], ["one"])

def broken():
    return load()[0], lambda p, h: torch.zeros(len(p), 7)

def nan():
    model, encode, names = load()
    return model, lambda p, h: encode(p, h) * (float("nan") if "zebra" in p else 1.0), names
"""


@pytest.fixture
def factory(tmp_path):
    path = tmp_path / "bag_of_lengths.py"
    path.write_text(FACTORY)
    return path


def test_a_factory_is_a_target(factory):
    target = load_text_target(f"{factory}:load")
    assert target.class_names == ("yes", "no")
    found = read_units(target, PAIRS)
    assert found.layer == "relu", "the first that gives what the last layer reads; dropout is nothing in eval mode"
    lengths = torch.tensor([[len(p), len(h)] for p, h in zip(PAIRS.premises, PAIRS.hypotheses, strict=True)]).float()
    torch.testing.assert_close(found.values, target.model.relu(target.model.hidden(lengths)))
    assert load_text_target(f"{factory}:nameless").class_names == ("0", "1")
    assert load_text_target(f"{factory}:nameless").fingerprint != target.fingerprint
    assert load_text_target(f"{factory}:load").fingerprint == target.fingerprint


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("model_alone", "encode"),
        ("misnamed", "name each of its 2 classes"),
        ("broken", "must take sentence pairs"),
        ("absent", "nearest"),
    ],
)
def test_a_bad_factory_is_told(factory, source, said):
    with pytest.raises(TargetError, match=said):
        load_text_target(f"{factory}:{source}")


def test_other_faults_are_told(factory, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)  # no waiting for a hub
    target = load_text_target(f"{factory}:nan")
    with pytest.raises(ActivationError, match="finite"):
        read_units(target, PAIRS)
    with pytest.raises(TargetError, match="must have the layer"):
        read_units(target, PAIRS, "layer9")
    with pytest.raises(TargetError, match="Add the prefix"):
        load_text_target("bert")
    with pytest.raises(TargetError, match="hf:"):
        load_text_target("hf:no/such-folder-anywhere")


def bert_folder(folder):
    """A tiny BERT for pairs with its tokenizer."""
    from transformers import BertConfig, BertForSequenceClassification, BertTokenizerFast

    folder.mkdir()
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]
    (folder / "vocab.txt").write_text("\n".join(words))
    torch.manual_seed(0)
    sizes = {"hidden_size": 12, "num_hidden_layers": 2, "num_attention_heads": 3, "intermediate_size": 13}
    config = BertConfig(vocab_size=len(words), id2label={0: "A", 1: "B", 2: "C"}, label2id={"A": 0, "B": 1, "C": 2},
                        **sizes)  # fmt: skip
    BertForSequenceClassification(config).save_pretrained(folder)
    BertTokenizerFast(str(folder / "vocab.txt")).save_pretrained(folder)
    return folder


def test_a_classifier_of_the_hub_is_a_target(tmp_path):
    target = load_text_target(f"hf:{bert_folder(tmp_path / 'bert')}")
    assert target.class_names == ("a", "b", "c")
    found = read_units(target, PAIRS, batch_size=5)
    assert found.layer.startswith("bert.pooler")
    assert class_weights(target, found).shape == (3, 12)
    deep = read_units(target, PAIRS, "bert.encoder.layer.1", batch_size=5)
    alone = [read_units(target, PAIRS.subset([i]), "bert.encoder.layer.1").values for i in range(5)]
    torch.testing.assert_close(deep.values, torch.cat(alone), atol=1e-5, rtol=1e-5)  # padding takes no part


def test_a_model_without_a_linear_end_is_told(factory):
    factory.write_text("from torch import nn\nimport torch\n\ndef load():\n    return nn.Embedding(9, 3), "
                       "lambda p, h: torch.zeros(len(p), dtype=torch.int64)\n")  # fmt: skip
    target = load_text_target(f"{factory}:load")
    assert isinstance(target.model, nn.Embedding)
    with pytest.raises(TargetError, match="linear"):
        penultimate(target)
