"""Teaches a trained captioner's phrase reader which phrases were said of single regions; nothing else is changed.

teach_phrases(captioner, corpus, table, shares={"captions": 3, "scenes": 2.5}, out=Path("runs/captioner"), seed=0)

Every source has its share of the exemplars and all its regions are alike in it. What was said of a region is one
distribution over phrases; the reader learns it by cross-entropy, and beside it the frequency of every phrase in what it
is shown, which evidence is measured against.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from scipy.sparse import coo_matrix, csr_matrix
from torch import Tensor, nn

from describer.captioner import Captioner
from describer.phrasereader import PhraseReader
from describer.training.corpus import Corpus
from describer.training.fit import fit
from describer.training.regiontable import RegionTable

RATE, DECAY = 1e-3, 0.3
"Peak learning rate and weight decay of AdamW."
RARE = 1e-6
"Added to the frequency of every phrase, so that its logarithm is finite."


def said_of(corpus: Corpus, phrases: Sequence[str]) -> csr_matrix:
    """(regions, phrases): 1 where the phrase was said of the region."""
    rows = np.concatenate([*(corpus.phrases[phrase] for phrase in phrases), np.zeros(0, np.int64)])
    columns = np.repeat(np.arange(len(phrases)), [len(corpus.phrases[phrase]) for phrase in phrases])
    return coo_matrix((np.ones(len(rows), np.float32), (rows, columns)), (len(corpus), len(phrases))).tocsr()


class PhraseLessons:
    """Batches of single regions, each with what was said of it; the same index gives the same batch."""

    def __init__(
        self,
        corpus: Corpus,
        table: RegionTable,
        phrases: Sequence[str],
        shares: Mapping[str, float],
        n_regions: int = 256,
        seed: int = 0,
    ) -> None:
        self.table, self.n_regions, self.seed = table, n_regions, seed
        marks = said_of(corpus, phrases)
        counts = np.asarray(marks.sum(1)).ravel()
        self.said = marks.multiply(1 / np.maximum(counts, 1)[:, None]).tocsr()
        source, chances = np.array(corpus.source), np.zeros(len(corpus))
        for name in np.unique(source):
            own = (source == name) & (counts > 0)
            chances[own] = shares.get(str(name), 1.0) / max(int(own.sum()), 1)
        self.chances = chances / chances.sum()
        self.cumulative = np.append(np.cumsum(self.chances)[:-1], 1.0)

    @property
    def log_prior(self) -> Tensor:
        """Log of the frequency of every phrase in what is shown, (phrases,) nats."""
        share = np.asarray(self.said.T @ self.chances).ravel()
        return torch.from_numpy(np.log(share + RARE)).float()

    def __call__(self, indices: Sequence[int]) -> dict[str, Tensor]:
        """The batch of the step whose number is the first index."""
        rng = np.random.default_rng((self.seed, indices[0]))
        regions = np.searchsorted(self.cumulative, rng.random(self.n_regions))
        said = torch.from_numpy(self.said[regions].toarray().astype(np.float32))
        return {"features": self.table.look(regions, rng), "said": said}


class Read(nn.Module):
    """The phrase reader with its loss; the features are standardised as the captioner does it."""

    mean: Tensor
    std: Tensor

    def __init__(self, reader: PhraseReader, mean: Tensor, std: Tensor) -> None:
        super().__init__()
        self.reader = reader
        self.register_buffer("mean", mean, persistent=False)
        self.register_buffer("std", std, persistent=False)

    def forward(self, features: Tensor, said: Tensor) -> dict[str, Tensor]:
        """Cross-entropy of what was said, nats a region."""
        likely = F.log_softmax(self.reader.layers((features - self.mean) / self.std).float(), -1)
        return {"loss": -(likely * said).sum(1).mean()}


def teach_phrases(
    captioner: Captioner,
    corpus: Corpus,
    table: RegionTable,
    shares: Mapping[str, float],
    out: Path,
    steps: int = 5000,
    width: int = 512,
    seed: int = 0,
    resume: bool = True,
) -> None:
    """Gives the captioner a phrase reader for its inventory, trained; checkpoints and log lie in ``out``/phrases."""
    lessons = PhraseLessons(corpus, table, captioner.inventory.phrases, shares, seed=seed)
    torch.manual_seed(seed)
    reader = PhraseReader(captioner.encoder.n_features, len(captioner.inventory), width)
    optimizer = torch.optim.AdamW(reader.parameters(), RATE, weight_decay=DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, steps, pct_start=0.1)
    model = Read(reader, captioner.encoder.feature_mean, captioner.encoder.feature_std)
    fit(
        model, lessons, out / "phrases", steps, RATE, seed, resume, every=max(steps // 2, 1),
        optimizer=(optimizer, schedule), clip=0.0,
    )  # fmt: skip
    reader.log_prior.copy_(lessons.log_prior)
    captioner.take_reader(reader.eval())
