"""Trains a classifier of sentence pairs (entailment, neutral, contradiction).

describer train training/recipes/nli.yaml
describer describe pairs:runs/nli pairs.jsonl --method formula --out atlas

Words' vectors come from the training sentences and, where given, from photographs' captions; the LSTM may first learn
to tell whether two captions are of one photograph. Captions that stand in a test set are left out. The accuracy of
the majority class and of a classifier that sees the hypothesis alone stand beside its own.
"""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from describer.data.pairnet import UNKNOWN, PairClassifier, PairEncoder, PairNetSizes, padded, save_pairnet
from describer.data.sentences import SentencePairs, load_sentences
from describer.data.tagging import words
from describer.data.wordvectors import WordVectors, learn_vectors
from describer.errors import RecipeError
from describer.training.fit import fit
from describer.training.recipe import under

CLASSES = ("entailment", "neutral", "contradiction")


@dataclass(frozen=True)
class NliRecipe:
    """What the classifier of sentence pairs is trained on, and how."""

    out: str
    "folder of checkpoints and weights"
    data: str
    "put before every relative path below"
    train_on: list[str]
    "files of labelled pairs to learn from"
    held_out: str
    "file of labelled pairs by which the best weights are chosen"
    tests: list[str] = field(default_factory=list)
    "files of labelled pairs to judge by in the end"
    captions: list[str] = field(default_factory=list)
    "parquet files with a column `captions`, several a row: for words' vectors and the warm-up"
    min_count: int = 2
    "times a word must be said to be in the vocabulary"
    embedding: int = 100
    "numbers a word"
    hidden: int = 128
    "numbers each way of the LSTM"
    units: int = 512
    "units of the penultimate layer"
    dropout: float = 0.3
    "of vectors, in training"
    word_dropout: float = 0.05
    "share of words that are not told, in training"
    batch: int = 64
    "pairs a step"
    warm_up: int = 0
    "steps on caption pairs: the same photograph or not"
    steps: int = 1600
    "steps in all"
    hypothesis_steps: int = 600
    "steps of the classifier that sees the hypothesis alone; 0 leaves it out"
    learning_rate: float = 1e-3
    "peak learning rate of AdamW, cosine to zero"
    every: int = 200
    "steps between judgements"
    seed: int = 0
    "seed of everything"

    def __post_init__(self) -> None:
        if not self.train_on:
            raise RecipeError("train_on must name at least one file of pairs. Got none. Add one.")

    def train(self, resume: bool = True) -> Path:
        """Trains and returns the folder with model.safetensors, config.json, vectors.txt and accuracy.json."""
        out = Path(self.out)
        out.mkdir(parents=True, exist_ok=True)
        seen, held_out, tests = self._pairs()
        albums = self._albums([held_out, *tests.values()])
        said = [words(s) for s in (*seen.premises, *seen.hypotheses, *(c for album in albums for c in album))]
        vectors = learn_vectors(said, self.embedding, self.min_count, seed=self.seed)
        vectors.save(out / "vectors.txt")
        encoder = PairEncoder(vectors.words)
        model = self._model(vectors)
        if self.warm_up and any(len(album) > 1 for album in albums):
            lessons = CaptionLessons(albums, encoder, self)
            fit(SamePhotograph(model), lessons, out / "warm-up", self.warm_up, self.learning_rate, self.seed, resume)
        self._learn(model, encoder, seen, held_out, out, self.steps, resume)
        found = {name: {"model": accuracy(model, encoder, pairs)} for name, pairs in tests.items()}
        if self.hypothesis_steps:
            blind = self._model(vectors)
            blind_out = out / "hypothesis"
            self._learn(blind, encoder, blinded(seen), blinded(held_out), blind_out, self.hypothesis_steps, resume)
            for name, pairs in tests.items():
                found[name]["hypothesis_only"] = accuracy(blind, encoder, blinded(pairs))
        for name, pairs in tests.items():
            found[name] |= {"majority": majority(pairs), "pairs": len(pairs)}
        save_pairnet(out, model, encoder, CLASSES, recipe=asdict(self), accuracy=found)
        (out / "accuracy.json").write_text(json.dumps(found, indent=1), encoding="utf-8")
        print(json.dumps(found))
        return out

    def _pairs(self) -> tuple[SentencePairs, SentencePairs, dict[str, SentencePairs]]:
        seen = load_sentences(",".join(under(self.data, self.train_on)))
        tests = {Path(path).stem + f" ({Path(path).parent.name})": under(self.data, path) for path in self.tests}
        loaded = {name: load_sentences(path) for name, path in tests.items()}
        held_out = load_sentences(under(self.data, self.held_out))
        if strange := {label for pairs in (seen, held_out) for label in pairs.labels} - {None, *CLASSES}:
            raise RecipeError(f"labels must be {', '.join(CLASSES)}. Got {sorted(map(str, strange))}. Rename them.")
        return labelled(seen), labelled(held_out), {name: labelled(pairs) for name, pairs in loaded.items()}

    def _albums(self, tested: Sequence[SentencePairs]) -> list[list[str]]:
        """Captions photograph by photograph, without sentences of the tests (compared by their words)."""
        known = {" ".join(words(sentence)) for pairs in tested for sentence in (*pairs.premises, *pairs.hypotheses)}
        files: list[Path] = []
        for path in under(self.data, self.captions):
            whole = Path(path)
            files += sorted(whole.parent.glob(whole.name))
        albums = [
            album for file in files for album in pq.read_table(file, columns=["captions"])["captions"].to_pylist()
        ]
        return [[caption for caption in album if " ".join(words(caption)) not in known] for album in albums]

    def _model(self, vectors: WordVectors) -> PairClassifier:
        torch.manual_seed(self.seed)
        sizes = PairNetSizes(
            len(vectors.words) + UNKNOWN + 1, len(CLASSES), self.embedding, self.hidden, self.units, self.dropout
        )
        model = PairClassifier(sizes)
        with torch.no_grad():
            model.embedding.weight[UNKNOWN + 1 :] = torch.from_numpy(vectors.vectors / vectors.vectors.std())
            model.embedding.weight[UNKNOWN] = 0
        return model

    def _learn(
        self, model: PairClassifier, encoder: PairEncoder, seen: SentencePairs, held_out: SentencePairs, out: Path,
        steps: int, resume: bool,
    ) -> None:  # fmt: skip
        def judge(lesson: nn.Module) -> dict[str, float]:
            return {"accuracy": accuracy(lesson.model, encoder, held_out)}  # type: ignore[arg-type]

        lessons = PairLessons(seen, encoder, self)
        fit(
            Verdict(model), lessons, out, steps, self.learning_rate, self.seed, resume,
            judge=judge, best="accuracy", every=min(self.every, steps),
        )  # fmt: skip


class Verdict(nn.Module):
    """The classifier with its loss."""

    def __init__(self, model: PairClassifier) -> None:
        super().__init__()
        self.model = model

    def forward(self, labels: Tensor, **inputs: Tensor) -> dict[str, Tensor]:
        """Cross-entropy in nats."""
        with torch.autocast(labels.device.type, enabled=False):  # a packed LSTM is half again as slow in bfloat16
            return {"loss": F.cross_entropy(self.model(**inputs), labels)}


class SamePhotograph(nn.Module):
    """The classifier's LSTM with another lesson: which caption of the batch is of the same photograph?"""

    def __init__(self, model: PairClassifier) -> None:
        super().__init__()
        self.model = model

    def forward(
        self, premise: Tensor, premise_lengths: Tensor, hypothesis: Tensor, hypothesis_lengths: Tensor
    ) -> dict[str, Tensor]:
        """Cross-entropy of the right partner among the batch's, by the cosine at temperature .07, both ways."""
        with torch.autocast(premise.device.type, enabled=False):
            u = F.normalize(self.model.encode(premise, premise_lengths), dim=1)
            v = F.normalize(self.model.encode(hypothesis, hypothesis_lengths), dim=1)
        near, right = u @ v.T / 0.07, torch.arange(len(u), device=u.device)
        return {"loss": (F.cross_entropy(near, right) + F.cross_entropy(near.T, right)) / 2}


class PairLessons:
    """Batches of labelled pairs; the same index gives the same batch."""

    def __init__(self, pairs: SentencePairs, encoder: PairEncoder, recipe: NliRecipe) -> None:
        self.recipe = recipe
        self.premises = [encoder.encode(sentence) for sentence in pairs.premises]
        self.hypotheses = [encoder.encode(sentence) for sentence in pairs.hypotheses]
        self.labels = torch.tensor([CLASSES.index(str(label)) for label in pairs.labels])

    def __call__(self, indices: Sequence[int]) -> dict[str, Tensor]:
        """The batch of the step whose number is the first index."""
        rng = np.random.default_rng((self.recipe.seed, indices[0]))
        chosen = rng.integers(0, len(self.labels), self.recipe.batch)
        premises, hypotheses = ([side[i] for i in chosen] for side in (self.premises, self.hypotheses))
        batch = batch_of(premises, hypotheses, rng, self.recipe.word_dropout)
        return batch | {"labels": self.labels[torch.from_numpy(chosen)]}


class CaptionLessons:
    """Batches of two captions of one photograph each."""

    def __init__(self, albums: Sequence[Sequence[str]], encoder: PairEncoder, recipe: NliRecipe) -> None:
        self.recipe = recipe
        self.albums = [[encoder.encode(caption) for caption in album] for album in albums if len(album) > 1]

    def __call__(self, indices: Sequence[int]) -> dict[str, Tensor]:
        """The batch of the step whose number is the first index."""
        rng = np.random.default_rng((self.recipe.seed, 1, indices[0]))
        chosen = rng.choice(len(self.albums), min(2 * self.recipe.batch, len(self.albums)), replace=False)
        pairs = [[self.albums[i][j] for j in rng.permutation(len(self.albums[i]))[:2]] for i in chosen]
        one, other = zip(*pairs, strict=True)
        return batch_of(one, other, rng, self.recipe.word_dropout)


def batch_of(
    premises: Sequence[Sequence[int]], hypotheses: Sequence[Sequence[int]], rng: np.random.Generator, untold: float
) -> dict[str, Tensor]:
    """The arguments of a PairClassifier; a share of the words is replaced by the unknown word."""
    batch = {}
    for name, rows in (("premise", premises), ("hypothesis", hypotheses)):
        tokens, batch[f"{name}_lengths"] = padded(rows)
        hidden = torch.from_numpy(rng.random(tuple(tokens.shape)) < untold) & (tokens > 0)
        batch[name] = tokens.masked_fill(hidden, UNKNOWN)
    return batch


def labelled(pairs: SentencePairs) -> SentencePairs:
    """The pairs that have a label."""
    return pairs.subset([i for i, label in enumerate(pairs.labels) if label is not None])


def blinded(pairs: SentencePairs) -> SentencePairs:
    """The pairs with one word nobody knows for every premise."""
    return SentencePairs(pairs.source, ("\0",) * len(pairs), pairs.hypotheses, pairs.labels)


def majority(pairs: SentencePairs) -> float:
    """Accuracy of whoever always says the most frequent label of these pairs."""
    return Counter(pairs.labels).most_common(1)[0][1] / len(pairs)


@torch.inference_mode()
def accuracy(model: PairClassifier, encoder: PairEncoder, pairs: SentencePairs) -> float:
    """Share of pairs told right; the model ends in the mode it came in."""
    training = model.training
    model.eval()
    right = 0
    order = sorted(range(len(pairs)), key=lambda i: len(pairs.premises[i]))
    for start in range(0, len(order), 256):
        part = pairs.subset(order[start : start + 256])
        told = model(**encoder(part.premises, part.hypotheses)).argmax(1).tolist()
        right += sum(CLASSES[a] == b for a, b in zip(told, part.labels, strict=True))
    model.train(training)
    return right / len(pairs)
