"""Trains the captioner on sets: K regions that share a phrase -> that phrase, with strangers among them.

    describer train training/recipes/captioner.yaml

A set is drawn by its phrase, so what the text names is what the regions have in common and not what is in the first of
them; strangers (regions drawn at random) take the place of some. In a share of the examples the set is withheld: there
the same weights learn p(d), also from texts that have no pictures. Beside it a contrastive head learns which phrases
were said of each exemplar alone (CoCa, Yu 2022). The best weights by BLEU on held-out sets are kept. At the end a
phrase reader is trained on the same features: see describer.training.phrasereader.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from scipy.sparse import coo_matrix
from torch import Tensor, nn

from describer.backbone import PyramidBackbone
from describer.captioner import Captioner, CaptionerConfig
from describer.encoder import EncoderSettings, ExemplarEncoder
from describer.errors import RecipeError
from describer.inventory import Inventory
from describer.terminal import note
from describer.training.backbone import load_learnt
from describer.training.corpus import Corpus
from describer.training.fit import fit
from describer.training.judge import LEAST, Judge
from describer.training.phrasereader import teach_phrases
from describer.training.recipe import placed, under
from describer.training.regiontable import RegionTable, region_table
from describer.training.sources import load_corpus, read_texts
from describer.vocabulary import EOS, PAD, Vocabulary


@dataclass(frozen=True)
class CaptionerRecipe:
    """What the captioner is trained on, and how."""

    out: str
    "folder of checkpoints and of the finished captioner"
    sources: list[dict[str, Any]]
    "what people said of regions: see describer.training.sources"
    data: str = "."
    "folder put before relative paths"
    start: str | None = None
    "folder of a captioner to go on from, or ``carried``; its sizes, words and backbone stay, its inventory does not"
    backbone: str | None = None
    "folder of a trained backbone of ours; None: the one of ``encoder`` as the library has it"
    encoder: dict[str, Any] = field(default_factory=dict)
    "fields of EncoderSettings"
    held_out: list[dict[str, Any]] | None = None
    "sources of the held-out sets; None: the same as ``sources``"
    shares: dict[str, float] = field(default_factory=dict)
    "how often a set is drawn from each source; a source that is not named: 1"
    texts: list[str] = field(default_factory=list)
    "CSV files of unit annotations without pictures, for p(d) alone"
    folds: list[int] = field(default_factory=lambda: [0, 1, 2, 3, 4, 5])
    "folds of photographs to learn from"
    held_out_folds: list[int] = field(default_factory=lambda: [8])
    "folds of photographs to judge by"
    n_tokens: int = 3000
    "sentencepiece tokens at most"
    n_layers: int = 3
    "layers of the decoder"
    dropout: float = 0.1
    "dropout in training, fraction"
    power: float = 0.75
    "a source's phrases are drawn by their counts to this power: 0 is all alike, 1 as often as people say them"
    min_count: int = 3
    "regions a phrase must have to be taught and to enter the inventory"
    n_sets: int = 128
    "sets a step"
    n_exemplars: int = 15
    "exemplars of the largest set"
    strangers: float = 0.3
    "largest share of a set that is strangers"
    withheld: float = 0.15
    "share of sets withheld, for p(d)"
    pairs: float = 0.08
    "share of sets that are half one phrase, half another: 'A and B'"
    n_texts: int = 16
    "texts without pictures a step"
    n_text_tokens: int = 12
    "tokens of the longest of them; one long text would make a whole batch slow"
    contrast: float = 0.5
    "weight of the contrastive loss"
    n_phrases: int = 512
    "phrases a step that every exemplar is told apart by"
    steps: int = 5000
    "steps at most; 0: only the phrase reader is trained, which needs a ``start``"
    phrase_steps: int = 5000
    "steps of the phrase reader, after all else; 0: the captioner has none"
    learning_rate: float = 5e-4
    "peak learning rate of AdamW, cosine to zero"
    patience: int | None = 6
    "judgements without a better BLEU before training stops; None: never"
    every: int = 500
    "steps between judgements"
    seed: int = 0
    "seed of everything"

    def train(self, resume: bool = True) -> Path:
        """Trains and returns the folder of the captioner."""
        out = Path(self.out)
        out.mkdir(parents=True, exist_ok=True)
        corpus = load_corpus(placed(self.sources, self.data), self.folds, out.parent / "corpus")
        texts = read_texts(under(self.data, self.texts)) if self.texts else []
        captioner = new_captioner(self, corpus, texts)
        table = region_table(captioner.encoder, corpus, out / "seen.npy", self.seed)
        if not self.start:
            standardise(captioner.encoder, table)
        if self.steps:
            held_out = load_corpus(
                placed(self.held_out or self.sources, self.data), self.held_out_folds, out.parent / "corpus"
            )
            unseen = region_table(captioner.encoder, held_out, out / "unseen.npy", self.seed)
            lessons = SetLessons(captioner, corpus, table, texts, self)
            judge = Judge(captioner.inventory, held_out, unseen, self.n_exemplars, self.seed)
            if not judge:
                note(
                    f"No held-out set: no phrase that is taught was said of {LEAST} regions of folds "
                    f"{self.held_out_folds}. All {self.steps} steps are trained, and the last weights kept."
                )
            fit(
                Taught(captioner, self.contrast), lessons, out, self.steps, self.learning_rate, self.seed, resume,
                judge if judge else None, "bleu", self.patience, self.every,
            )  # fmt: skip
        if self.phrase_steps:
            teach_phrases(captioner, corpus, table, self.shares, out, self.phrase_steps, seed=self.seed, resume=resume)
        captioner.half().save_pretrained(out / "captioner")
        (out / "captioner" / "recipe.json").write_text(json.dumps(asdict(self), indent=1), encoding="utf-8")
        return out / "captioner"


def new_captioner(recipe: CaptionerRecipe, corpus: Corpus, texts: Sequence[str]) -> Captioner:
    """An untrained captioner with its vocabulary, inventory and backbone."""
    counts = {phrase: len(ids) for phrase, ids in corpus.phrases.items() if len(ids) >= recipe.min_count}
    if not counts:
        raise RecipeError(
            f"the sources must have a phrase that was said of {recipe.min_count} regions or more. Got none in "
            f"{len(corpus)} regions of folds {recipe.folds}. Give more sentences, more folds or a smaller min_count."
        )
    inventory = Inventory(sorted(counts, key=lambda phrase: -counts[phrase]))
    if recipe.start:
        captioner = Captioner.carried() if recipe.start == "carried" else Captioner.from_pretrained(recipe.start)
        captioner.inventory = inventory
        captioner.take_reader(None)  # its outputs were the phrases of another inventory
        return captioner
    written = [phrase for phrase, count in counts.items() for _ in range(1 + int(count**0.5))]
    written.append(" and ".join(list(counts)[:2]))  # the word that joins a pair
    vocabulary = Vocabulary.train([*written, *texts, *(t for _, said in corpus.sets for t in said)], recipe.n_tokens)
    torch.manual_seed(recipe.seed)
    config = CaptionerConfig(
        len(vocabulary), asdict(EncoderSettings(**recipe.encoder)), recipe.n_layers, dropout=recipe.dropout
    )
    captioner = Captioner(config)
    captioner.vocabulary, captioner.inventory = vocabulary, inventory
    if recipe.backbone:
        if not isinstance(captioner.encoder.backbone, PyramidBackbone):
            raise RecipeError(f"backbone must go with an encoder of ours. Got {recipe.encoder}. Leave one of them out.")
        load_learnt(captioner.encoder.backbone, recipe.backbone)
    elif captioner.encoder.settings.backbone != "own":
        captioner.encoder.backbone = ExemplarEncoder(captioner.encoder.settings, pretrained_backbone=True).backbone
    return captioner


def standardise(encoder: ExemplarEncoder, table: RegionTable) -> None:
    """Sets the mean and spread by which the encoder standardises features."""
    sample = torch.from_numpy(table.features[:: max(1, len(table.features) // 20000)].astype(np.float32))
    encoder.feature_mean.copy_(sample.mean(0))
    encoder.feature_std.copy_(sample.std(0).clamp_min(1e-3))


class Taught(nn.Module):
    """The captioner with its two losses."""

    def __init__(self, captioner: Captioner, contrast: float) -> None:
        super().__init__()
        self.captioner, self.contrast = captioner, contrast

    def forward(
        self,
        features: Tensor,
        present: Tensor,
        withheld: Tensor,
        tokens: Tensor,
        phrases: Tensor,
        prior: Tensor,
        true: Tensor,
    ) -> dict[str, Tensor]:
        """tokens (sets + texts, length): the rows after the sets are texts without pictures; true (exemplars, phrases):
        which of some ``phrases`` (phrases, length) were said of each exemplar; prior (phrases,): how often, log."""
        captioner = self.captioner
        memory = captioner.encode(features, present)
        nothing, something = captioner.unconditioned(len(tokens))
        pad = memory.shape[1] - 1
        nothing = F.pad(nothing, (0, 0, 0, pad)).to(memory.dtype)
        something = F.pad(something, (0, pad))
        blind = torch.cat([withheld, torch.ones(len(tokens) - len(memory), dtype=torch.bool, device=withheld.device)])
        extra = len(tokens) - len(memory)
        seen = torch.where(blind[:, None, None], nothing, F.pad(memory, (0, 0, 0, 0, 0, extra)))
        mask = torch.where(blind[:, None], something, F.pad(present, (0, 0, 0, extra)))
        logits = captioner.decoder(tokens[:, None, :-1], seen, mask)[:, 0].float()
        told = F.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten(), ignore_index=PAD)
        read = captioner.exemplar_embedding(features[present]).float() @ captioner.text_embedding(phrases).float().T
        # with log p(d) added, what is learnt is log p(d|x) / p(d) (logit adjustment, Menon 2021)
        likely = F.log_softmax(read * captioner.log_scale.exp().clamp_max(100) + prior, -1)
        n_true = true.sum(1)
        matched = -((likely * true).sum(1) / n_true.clamp_min(1)).sum() / (n_true > 0).sum().clamp_min(1)
        return {"loss": told + self.contrast * matched, "told": told.detach(), "matched": matched.detach()}


class SetLessons:
    """Batches of sets; the same index gives the same batch."""

    def __init__(
        self, captioner: Captioner, corpus: Corpus, table: RegionTable, texts: Sequence[str], recipe: CaptionerRecipe
    ) -> None:
        self.corpus, self.table, self.recipe = corpus, table, recipe
        self.phrases = captioner.inventory.phrases
        self.tokens = captioner.vocabulary.encode(self.phrases, captioner.config.max_text_length - 2)
        self.vocabulary = captioner.vocabulary
        lengths = (captioner.vocabulary.encode(texts) > EOS).sum(1).tolist() if texts else []
        self.texts = [t for t, n in zip(texts, lengths, strict=True) if n <= recipe.n_text_tokens]
        self.longest = captioner.config.max_text_length - 2
        names = sorted(set(corpus.source))
        self.source = np.array([names.index(name) for name in corpus.source])
        self.of_source = [np.flatnonzero(self.source == s) for s in range(len(names))]
        # per source: the phrases it has often enough
        self.own: list[list[tuple[int, np.ndarray]]] = [[] for _ in names]
        for place, phrase in enumerate(self.phrases):
            ids = corpus.phrases[phrase]
            for s in np.unique(self.source[ids]):
                mine = ids[self.source[ids] == s]
                if len(mine) >= recipe.min_count:
                    self.own[s].append((place, mine))
        self.chances = [_cumulative([len(ids) ** recipe.power for _, ids in own]) for own in self.own]
        self.kinds = kinds_of(corpus, self.phrases)
        self.said: list[set[int]] = [set() for _ in range(len(corpus))]
        for place, phrase in enumerate(self.phrases):
            for region in corpus.phrases[phrase].tolist():
                self.said[region].add(place)
        self.shares = _cumulative(
            [recipe.shares.get(name, 1.0) * bool(own) for name, own in zip(names, self.own, strict=True)]
        )
        self.ready = list(corpus.sets)
        rows = [region for region, own in enumerate(self.said) for _ in own]
        columns = [place for own in self.said for place in own]
        ones = np.ones(len(rows), np.float32)
        self.marks = coo_matrix((ones, (rows, columns)), (len(corpus), len(self.phrases))).tocsr()
        self.prior = self._prior()

    def _prior(self, n_draws: int = 4096) -> Tensor:
        """Log of the share of each phrase (phrases,) in what is said of the exemplars that are drawn."""
        rng = np.random.default_rng((self.recipe.seed, 1 << 20))
        drawn = np.concatenate([self.draw(rng)[0] for _ in range(n_draws)])
        said = self.marks[drawn]
        each = said.multiply(1 / np.maximum(said.sum(1), 1))  # every exemplar counts once
        share = np.asarray(each.sum(0)).ravel() + 0.1
        return torch.from_numpy(np.log(share / share.sum())).float()

    def __call__(self, indices: Sequence[int]) -> dict[str, Tensor]:
        """The batch of the step whose number is the first index."""
        recipe = self.recipe
        rng = np.random.default_rng((recipe.seed, indices[0]))
        n, k = recipe.n_sets, recipe.n_exemplars
        regions, present = np.zeros((n, k), np.int64), np.zeros((n, k), bool)
        said: list[str] = []
        for row in range(n):
            chosen, text = self.draw(rng)
            regions[row, : len(chosen)], present[row, : len(chosen)] = chosen, True
            said.append(text)
        phrases = np.sort(rng.choice(len(self.phrases), min(recipe.n_phrases, len(self.phrases)), replace=False))
        blind = [self.texts[i] for i in rng.integers(0, len(self.texts), recipe.n_texts)] if self.texts else []
        return {
            "features": self.table.look(regions, rng),
            "present": torch.from_numpy(present),
            "withheld": torch.from_numpy(rng.random(n) < recipe.withheld),
            "tokens": self.vocabulary.encode([*said, *blind], self.longest),
            "phrases": self.tokens[phrases],
            "prior": self.prior[phrases],
            "true": torch.from_numpy(self.marks[regions[present]].toarray()[:, phrases]),
        }

    def draw(self, rng: np.random.Generator) -> tuple[np.ndarray, str]:
        """Regions of one set, and its text."""
        recipe = self.recipe
        kind = rng.random()
        size = int(rng.integers(3, recipe.n_exemplars + 1))
        if self.ready and kind > 1 - 0.1:
            ids, texts = self.ready[rng.integers(len(self.ready))]
            return rng.permutation(ids)[: recipe.n_exemplars], str(rng.choice(texts))
        first, ids = self.phrase(rng)
        if kind < recipe.pairs:
            second, others = self.phrase(rng)
            if second == first:
                return self.draw(rng)
            half = [rng.permutation(part)[: max(2, size // 2)] for part in (ids, others)]
            return np.concatenate(half)[: recipe.n_exemplars], f"{self.phrases[first]} and {self.phrases[second]}"
        members = rng.permutation(ids)[:size]
        first = self.most_special(first, members)
        strange = rng.random(len(members)) < rng.uniform(0, recipe.strangers)
        strange[int(rng.integers(len(members)))] = False
        pool = self.of_source[self.source[members[0]]]
        members = np.where(strange, pool[rng.integers(0, len(pool), len(members))], members)
        return members, self.phrases[first]

    def most_special(self, place: int, members: np.ndarray) -> int:
        """The rarest kind of a phrase that all members are ("animals" that are all dogs: "dogs"), or the phrase."""
        shared = self.kinds[place].intersection(*(self.said[region] for region in members.tolist()))
        return min(shared, key=lambda kind: (len(self.corpus.phrases[self.phrases[kind]]), kind), default=place)

    def phrase(self, rng: np.random.Generator) -> tuple[int, np.ndarray]:
        """The place of a random phrase and regions of which it was said, mostly of one source, as in a probe set."""
        source = int(np.searchsorted(self.shares, rng.random()))
        place, mine = self.own[source][int(np.searchsorted(self.chances[source], rng.random()))]
        return place, mine if rng.random() < 0.8 else self.corpus.phrases[self.phrases[place]]


def kinds_of(corpus: Corpus, phrases: Sequence[str], least: float = 0.8) -> list[set[int]]:
    """Per phrase the places of its kinds: phrases of which nearly all regions have the phrase too, but not the reverse.

    A set should be told by the most special thing that is true of all of it (Grice's maxim of quantity).
    """
    ids = [corpus.phrases[phrase] for phrase in phrases]
    counts = np.array([len(own) for own in ids])
    columns = np.repeat(np.arange(len(phrases)), counts)
    said = coo_matrix((np.ones(len(columns)), (np.concatenate([*ids, []]), columns)), (len(corpus), len(phrases)))
    both = (said.T @ said).tocoo()  # regions of which row and column were said
    special = (both.data >= least * counts[both.row]) & (counts[both.row] < least * counts[both.col])
    kinds: list[set[int]] = [set() for _ in phrases]
    for kind, general in zip(both.row[special].tolist(), both.col[special].tolist(), strict=True):
        kinds[general].add(kind)
    return kinds


def _cumulative(weights: Sequence[float]) -> np.ndarray:
    """Cumulative chances that end in exactly 1."""
    total = np.cumsum(weights)
    return np.append(total[:-1] / total[-1], 1.0) if len(weights) and total[-1] else np.ones(len(weights))
