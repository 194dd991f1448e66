"""A classifier of sentence pairs, after Bowman et al. (2015) and InferSent (Conneau et al. 2017).

    model, encode, class_names = load_pairnet("runs/nli")       # from `describer train training/recipes/nli.yaml`
    model(**encode(["A man runs."], ["A person moves."]))        # (1, 3) logits; its penultimate layer is `units`

One two-way LSTM reads both sentences, each is the maximum over its words, and a layer of units after ReLU sees
premise u, hypothesis v, |u − v| and u · v. The last layer is linear, so a unit's weight to a class is its effect.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path

import torch
from jaxtyping import Float, Int64
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from describer.data.tagging import words
from describer.errors import WeightsError

UNKNOWN = 1
"Id of every word that the vocabulary has not; 0 is padding."


@dataclass(frozen=True)
class PairNetSizes:
    """The shape of a PairClassifier."""

    words: int
    "words of the vocabulary, padding 0 and unknown 1 included"
    classes: int = 3
    "classes"
    embedding: int = 100
    "numbers a word"
    hidden: int = 128
    "numbers each way of the LSTM"
    units: int = 512
    "units of the penultimate layer"
    dropout: float = 0.3
    "of words' vectors and of what the penultimate layer sees and gives, in training only"


class PairClassifier(nn.Module):
    """Tells how a hypothesis stands to a premise; its penultimate units are the layer `units`."""

    def __init__(self, sizes: PairNetSizes) -> None:
        super().__init__()
        self.sizes = sizes
        self.embedding = nn.Embedding(sizes.words, sizes.embedding, padding_idx=0)
        self.lstm = nn.LSTM(sizes.embedding, sizes.hidden, batch_first=True, bidirectional=True)
        self.drop = nn.Dropout(sizes.dropout)
        self.pair = nn.Linear(8 * sizes.hidden, sizes.units)
        self.units = nn.ReLU()
        self.classes = nn.Linear(sizes.units, sizes.classes)

    def encode(
        self, tokens: Int64[Tensor, "batch words"], lengths: Int64[Tensor, " batch"]
    ) -> Float[Tensor, "batch twice_hidden"]:
        """A sentence as the maximum of the LSTM's states over its words; padding changes nothing."""
        packed = pack_padded_sequence(self.drop(self.embedding(tokens)), lengths.cpu(), True, enforce_sorted=False)
        states, _ = pad_packed_sequence(self.lstm(packed)[0], batch_first=True, padding_value=-torch.inf)
        return states.amax(1)  # (batch, 2 * hidden)

    def forward(
        self,
        premise: Int64[Tensor, "batch premise_words"],
        premise_lengths: Int64[Tensor, " batch"],
        hypothesis: Int64[Tensor, "batch hypothesis_words"],
        hypothesis_lengths: Int64[Tensor, " batch"],
    ) -> Float[Tensor, "batch classes"]:
        """Logits of the classes."""
        u, v = self.encode(premise, premise_lengths), self.encode(hypothesis, hypothesis_lengths)
        seen = torch.cat((u, v, (u - v).abs(), u * v), 1)  # (batch, 8 * hidden)
        return self.classes(self.drop(self.units(self.pair(self.drop(seen)))))


@dataclass(frozen=True)
class PairEncoder:
    """Sentences as the ids of their words."""

    vocabulary: tuple[str, ...]
    "words with the ids 2, 3, …"

    @cached_property
    def ids(self) -> dict[str, int]:
        """Word -> id."""
        return {word: number for number, word in enumerate(self.vocabulary, UNKNOWN + 1)}

    def encode(self, sentence: str) -> list[int]:
        """Ids of the words of one sentence, at least one."""
        return [self.ids.get(word, UNKNOWN) for word in words(sentence)] or [UNKNOWN]

    def __call__(self, premises: Sequence[str], hypotheses: Sequence[str]) -> dict[str, Int64[Tensor, "..."]]:
        """The arguments of a PairClassifier for a batch."""
        premise, premise_lengths = padded([self.encode(sentence) for sentence in premises])
        hypothesis, hypothesis_lengths = padded([self.encode(sentence) for sentence in hypotheses])
        return {
            "premise": premise,
            "premise_lengths": premise_lengths,
            "hypothesis": hypothesis,
            "hypothesis_lengths": hypothesis_lengths,
        }


def padded(rows: Sequence[Sequence[int]]) -> tuple[Int64[Tensor, "rows longest"], Int64[Tensor, " rows"]]:
    """Rows of ids with 0 after their ends, and their lengths."""
    lengths = torch.tensor([len(row) for row in rows])
    table = torch.zeros(len(rows), int(lengths.max()), dtype=torch.int64)
    for place, row in zip(table, rows, strict=True):
        place[: len(row)] = torch.tensor(row)
    return table, lengths


def save_pairnet(
    folder: str | Path, model: PairClassifier, encoder: PairEncoder, class_names: Sequence[str], **about: object
) -> None:
    """Writes model.safetensors (half precision) and config.json."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    save_file({name: weight.half().contiguous() for name, weight in model.state_dict().items()}, folder / WEIGHTS)
    config = {"kind": KIND, "sizes": asdict(model.sizes), "classes": list(class_names), **about}
    config["vocabulary"] = list(encoder.vocabulary)
    (folder / "config.json").write_text(json.dumps(config, ensure_ascii=False, indent=1), encoding="utf-8")


def load_pairnet(folder: str | Path) -> tuple[PairClassifier, PairEncoder, list[str]]:
    """(model in eval mode, encode, class names) of what was saved; WeightsError where it is not there or not whole."""
    folder = Path(folder)
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        if config.get("kind") != KIND:
            raise ValueError(f"config.json of another kind, {config.get('kind')}")
        model = PairClassifier(PairNetSizes(**config["sizes"]))
        weights = load_file(folder / WEIGHTS)
        model.load_state_dict({name: weight.float() for name, weight in weights.items()})
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as fault:
        message = f"{folder} must hold a classifier of sentence pairs. Got: {str(fault).splitlines()[0]}"
        raise WeightsError(f"{message}. Train one by a recipe of the kind nli.") from fault
    return model.eval(), PairEncoder(tuple(config["vocabulary"])), list(config["classes"])


KIND, WEIGHTS = "describer-pairs-1", "model.safetensors"
