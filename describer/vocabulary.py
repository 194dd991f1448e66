"""Words as numbers: a sentencepiece model with a start, an end and a padding token.

vocabulary = Vocabulary.train(texts, size=4000)
ids = vocabulary.encode(["striped objects"])      # (texts, length), starts with BOS, ends with EOS, padded
vocabulary.decode(ids)                            # ["striped objects"]
"""

import io
from collections.abc import Iterable, Sequence
from pathlib import Path

import sentencepiece
import torch
from jaxtyping import Int
from torch import Tensor

from describer.errors import WeightsError

PAD, BOS, EOS, UNK = 0, 1, 2, 3
FILE = "vocabulary.model"


class Vocabulary:
    """A sentencepiece unigram model (Kudo 2018); ``len()`` is the number of tokens."""

    def __init__(self, model: bytes) -> None:
        self.model = model
        self._processor = sentencepiece.SentencePieceProcessor(model_proto=model)

    def __len__(self) -> int:
        return int(self._processor.get_piece_size())

    @classmethod
    def train(cls, texts: Iterable[str], size: int) -> "Vocabulary":
        """The vocabulary of the texts with at most ``size`` tokens; the same for the same texts in the same order."""
        model = io.BytesIO()
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(texts),
            model_writer=model,
            vocab_size=size,
            hard_vocab_limit=False,
            model_type="unigram",
            character_coverage=1.0,
            pad_id=PAD,
            bos_id=BOS,
            eos_id=EOS,
            unk_id=UNK,
            num_threads=1,
            minloglevel=2,
        )
        return cls(model.getvalue())

    @classmethod
    def load(cls, folder: str | Path) -> "Vocabulary":
        """The vocabulary that ``save`` wrote into a folder."""
        path = Path(folder) / FILE
        if not path.is_file():
            raise WeightsError(
                f"a captioner's folder must hold {FILE}. Got {folder}, which does not. Train or copy it again."
            )
        return cls(path.read_bytes())

    def save(self, folder: str | Path) -> None:
        """Writes the model beside the weights."""
        (Path(folder) / FILE).write_bytes(self.model)

    def encode(self, texts: Sequence[str], max_length: int | None = None) -> Int[Tensor, "texts length"]:
        """Token ids: BOS, the words, EOS, padding; longer texts are cut to ``max_length`` words and still end."""
        rows = [[BOS, *ids[:max_length], EOS] for ids in self._processor.encode(list(texts))]
        length = max((len(row) for row in rows), default=2)
        return torch.tensor([row + [PAD] * (length - len(row)) for row in rows], dtype=torch.long).view(
            len(rows), length
        )

    def decode(self, ids: Int[Tensor, "texts length"]) -> list[str]:
        """The texts, each cut at its first end token."""
        rows = []
        for row in ids.tolist():
            ended = row[: row.index(EOS)] if EOS in row else row
            rows.append([token for token in ended if token > UNK])
        return list(self._processor.decode(rows)) if rows else []
