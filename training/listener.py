"""Trains the listener: pictures and regions beside what people said of them, among texts they did not say.

    describer train training/recipes/listener.yaml

Every step shows pictures (whole, in windows, or a region of each), one text for each, and phrases besides. Which phrase
is true of which picture is known, so two pictures that share a phrase are positives of it (supervised contrast, Khosla
2020); where the source of a picture never names a phrase, its silence counts little. The weights that find most
captions of held-out photographs are kept, and the sigmoid is calibrated there.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from scipy.sparse import csr_matrix
from torch import Tensor, nn

from describer.calibration import Calibration
from describer.data.nouns import singular
from describer.listener import Listener, ListenerConfig, plain
from describer.training.backbone import load_learnt
from describer.training.corpus import Corpus
from describer.training.fit import fit
from describer.training.gridtable import GridTable, grid_table
from describer.training.recipe import placed
from describer.training.sources import load_corpus
from describer.vocabulary import Vocabulary


@dataclass(frozen=True)
class ListenerRecipe:
    """What the listener is trained on, and how."""

    out: str
    "folder of checkpoints and of the finished listener"
    sources: list[dict[str, Any]]
    "what people said of pictures and regions: see describer.training.sources"
    backbone: str
    "folder of a trained backbone of ours, which has seen no photograph of the captioner's"
    data: str = "."
    "folder put before relative paths"
    config: dict[str, Any] = field(default_factory=dict)
    "fields of ListenerConfig; ``own`` holds the channels of the backbone"
    held_out: list[dict[str, Any]] | None = None
    "sources of the held-out pictures; None: the same as ``sources``"
    shares: dict[str, float] = field(default_factory=dict)
    "how often a picture is drawn from each source; a source that is not named: 1"
    folds: list[int] = field(default_factory=lambda: [6, 7, 9])
    "folds of photographs to learn from: none of the captioner's"
    held_out_folds: list[int] = field(default_factory=lambda: [8])
    "folds of photographs to judge and calibrate by"
    n_tokens: int = 2500
    "sentencepiece tokens at most"
    min_count: int = 3
    "regions a phrase must have to be taught"
    n_views: int = 3
    "views of every picture"
    n_pictures: int = 256
    "pictures a step, each with a text of its own"
    n_phrases: int = 192
    "phrases a step beside them"
    n_text_tokens: int = 24
    "tokens of the longest text; one long text would make a whole batch slow"
    regions: float = 0.5
    "share of regions that are seen without the rest of their picture"
    captions: float = 0.5
    "share of pictures with captions that bring a caption; the others bring a phrase"
    silence: float = 0.2
    "what it counts, 0..1, that a picture has no phrase which its source never names"
    temperature: float = 0.06
    "cosines are divided by it in training"
    steps: int = 1500
    "steps at most"
    learning_rate: float = 1e-3
    "peak learning rate of AdamW, cosine to zero"
    patience: int | None = None
    "judgements without a better recall before training stops; None: never"
    every: int = 250
    "steps between judgements"
    seed: int = 0
    "seed of everything"

    def train(self, resume: bool = True) -> Path:
        """Trains, calibrates, and returns the folder of the listener."""
        out = Path(self.out)
        out.mkdir(parents=True, exist_ok=True)
        cache = out.parent / "corpus"
        seen = load_corpus(placed(self.sources, self.data), self.folds, cache)
        unseen = load_corpus(
            placed(self.sources if self.held_out is None else self.held_out, self.data), self.held_out_folds, cache
        )
        listener = new_listener(self, seen)
        table = grid_table(listener.images, seen, out / "seen.npy", self.n_views, self.seed)
        standardise(listener, table)
        lessons = PairLessons(listener, seen, table, self)
        judged = grid_table(listener.images, unseen, out / "unseen.npy", n_views=1)
        judge = Judge(unseen, judged)
        taught = Taught(listener, self.temperature)
        fit(
            taught, lessons, out, self.steps, self.learning_rate, self.seed, resume, judge, "recall", self.patience,
            self.every,
        )  # fmt: skip
        calibrate(listener, unseen, judged, self.min_count)
        listener.half().save_pretrained(out / "listener")
        kept = {key: value for key, value in asdict(self).items() if key != "data"}
        (out / "listener" / "recipe.json").write_text(json.dumps(kept, indent=1), encoding="utf-8")
        return out / "listener"


def new_listener(recipe: ListenerRecipe, corpus: Corpus) -> Listener:
    """An untrained listener with its vocabulary and backbone."""
    said = [plain(text) for texts in corpus.texts for text in texts]
    said += [form for phrase, ids in corpus.phrases.items() if len(ids) >= recipe.min_count for form in spoken(phrase)]
    vocabulary = Vocabulary.train(said, recipe.n_tokens)
    torch.manual_seed(recipe.seed)
    listener = Listener(ListenerConfig(len(vocabulary), **recipe.config))
    listener.vocabulary = vocabulary
    load_learnt(listener.images.backbone, recipe.backbone)
    return listener


def standardise(listener: Listener, table: GridTable) -> None:
    """Sets the mean and spread by which the tower standardises cells."""
    sample = torch.from_numpy(table.grids[:: max(1, len(table.grids) // 4000)].astype(np.float32)).flatten(0, 1)
    listener.images.feature_mean.copy_(sample.mean(0))
    listener.images.feature_std.copy_(sample.std(0).clamp_min(1e-3))


def spoken(phrase: str) -> list[str]:
    """A phrase in set form as people say it of one picture too: "brown dogs", "brown dog", "a brown dog"."""
    *before, head = phrase.split()
    if not before and not head:
        return []
    one = " ".join([*before, singular(head)])
    return list(dict.fromkeys([phrase, one, f"{'an' if one[:1] in 'aeiou' else 'a'} {one}"]))


class Truth:
    """Which phrases are true of which pictures and regions, and where a source would have said so."""

    def __init__(self, corpus: Corpus, phrases: Sequence[str]) -> None:
        counts = [len(corpus.phrases[phrase]) for phrase in phrases]
        rows = np.concatenate([np.zeros(0, np.int64), *(corpus.phrases[phrase] for phrase in phrases)])
        columns = np.repeat(np.arange(len(phrases)), counts)
        shape = (len(corpus), len(phrases))
        self.of_region = csr_matrix((np.ones(len(rows), np.float32), (rows, columns)), shape)
        owner = csr_matrix(
            (np.ones(len(corpus), np.float32), (corpus.region_image, np.arange(len(corpus)))),
            (len(corpus.images), len(corpus)),
        )
        self.of_picture = csr_matrix(owner @ self.of_region > 0, dtype=np.float32)
        names = sorted(set(corpus.source))
        source = np.array([names.index(name) for name in corpus.source], np.int64)
        of_source = csr_matrix((np.ones(len(source), np.float32), (source, np.arange(len(source)))))
        named = (of_source @ self.of_region).toarray() > 0  # (sources, phrases)
        from_source = csr_matrix(
            (np.ones(len(source), np.float32), (corpus.region_image, source)), (len(corpus.images), len(names))
        )
        self.would_say = named, from_source

    def picture(self, pictures: np.ndarray, phrases: np.ndarray) -> np.ndarray:
        """(pictures, phrases) True where the phrase was said of the picture or a region of it."""
        return np.asarray(self.of_picture[pictures][:, phrases].todense()) > 0

    def region(self, regions: np.ndarray, phrases: np.ndarray) -> np.ndarray:
        """(regions, phrases) True where the phrase was said of the region itself."""
        return np.asarray(self.of_region[regions][:, phrases].todense()) > 0

    def known(self, pictures: np.ndarray, phrases: np.ndarray) -> np.ndarray:
        """(pictures, phrases) True where a source of the picture names the phrase at all."""
        named, from_source = self.would_say
        return from_source[pictures].toarray() @ named[:, phrases].astype(np.float32) > 0


class PairLessons:
    """Batches of pictures and texts with what is true; the same index gives the same batch."""

    def __init__(self, listener: Listener, corpus: Corpus, table: GridTable, recipe: ListenerRecipe) -> None:
        self.listener, self.corpus, self.table, self.recipe = listener, corpus, table, recipe
        self.phrases = [phrase for phrase, ids in corpus.phrases.items() if len(ids) >= recipe.min_count]
        self.forms = [spoken(phrase) for phrase in self.phrases]
        self.truth = Truth(corpus, self.phrases)
        self.whole = corpus.region_mask.min((1, 2)) == 255
        self.frequency = np.array([len(corpus.phrases[phrase]) for phrase in self.phrases], float)
        self.said = self.truth.of_region.indptr, self.truth.of_region.indices
        usable = np.array([bool(t) for t in corpus.texts]) | (np.diff(self.said[0]) > 0)
        weight = np.zeros(len(corpus))
        for name in set(corpus.source):
            own = np.array([source == name for source in corpus.source]) & usable
            weight[own] = recipe.shares.get(name, 1.0) / max(own.sum(), 1)
        self.chance = np.cumsum(weight / weight.sum())
        self.common = np.cumsum(self.frequency**0.5 / (self.frequency**0.5).sum())

    def __call__(self, indices: Sequence[int]) -> dict[str, Tensor]:
        """The batch of the step whose number is the first index."""
        recipe, rng = self.recipe, np.random.default_rng((self.recipe.seed, indices[0]))
        regions = self._drawn(self.chance, recipe.n_pictures, rng)
        pictures = self.corpus.region_image[regions].astype(np.int64)
        views = rng.integers(0, self.table.n_views, len(regions))
        partly = ~self.whole[regions] & (rng.random(len(regions)) < recipe.regions)
        inside = self.table.inside(regions, views)
        inside[torch.from_numpy(~partly) | (inside.sum(1) < 0.05)] = 1.0
        chosen = [self._text(region, rng) for region in regions.tolist()]
        spare = self._drawn(self.common, recipe.n_phrases, rng)
        captions = [text for text, phrase in chosen if phrase < 0]
        phrases = np.unique([*(phrase for _, phrase in chosen if phrase >= 0), *spare.tolist()]).astype(np.int64)
        true, weight = self._phrases_of(regions, pictures, partly, phrases)
        owner = np.array([row for row, (_, phrase) in enumerate(chosen) if phrase < 0], np.int64)
        own = pictures[:, None] == pictures[None, owner] if len(owner) else np.zeros((len(regions), 0), bool)
        heard = np.where(own & partly[:, None], 0.0, 1.0)  # a caption may speak of the region, or not
        said = [str(rng.choice(self.forms[phrase])) for phrase in phrases]
        return {
            "grid": self.table.grid(pictures, views),
            "inside": inside,
            "captions": self.listener.tokens(captions, recipe.n_text_tokens),
            "phrases": self.listener.tokens(said, recipe.n_text_tokens),
            "true": torch.from_numpy(np.concatenate([own & ~partly[:, None], true], 1)),
            "weight": torch.from_numpy(np.concatenate([heard, weight], 1)).float(),
        }

    def _phrases_of(
        self, regions: np.ndarray, pictures: np.ndarray, partly: np.ndarray, phrases: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """(rows, phrases) what is true, and how much it counts that the rest is not."""
        anywhere = self.truth.picture(pictures, phrases)
        true = np.where(partly[:, None], self.truth.region(regions, phrases), anywhere)
        weight = np.where(self.truth.known(pictures, phrases), 1.0, self.recipe.silence)
        return true, np.where(anywhere & ~true, 0.0, weight)  # true elsewhere in the picture: not held against it

    def _text(self, region: int, rng: np.random.Generator) -> tuple[str, int]:
        """A text of a region: a caption and -1, or "" and a phrase's place, rare ones rather than common ones."""
        texts = self.corpus.texts[region]
        own = self.said[1][self.said[0][region] : self.said[0][region + 1]]
        if texts and (not len(own) or (self.whole[region] and rng.random() < self.recipe.captions)):
            return shortened(str(rng.choice(texts)), rng), -1
        chance = self.frequency[own] ** -0.5
        return "", int(rng.choice(own, p=chance / chance.sum()))

    @staticmethod
    def _drawn(chance: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
        return np.searchsorted(chance, rng.random(n)).clip(max=len(chance) - 1)


def shortened(text: str, rng: np.random.Generator) -> str:
    """A caption, sometimes without some of its words: what is left is still true, and teaches words, not sentences."""
    words = text.split()
    if len(words) < 4 or rng.random() < 0.5:
        return text
    kept = rng.random(len(words)) < rng.uniform(0.5, 1)
    return " ".join(word for word, keep in zip(words, kept, strict=True) if keep) or text


class Taught(nn.Module):
    """The listener with its loss."""

    def __init__(self, listener: Listener, temperature: float) -> None:
        super().__init__()
        self.listener, self.temperature = listener, temperature

    def forward(
        self, grid: Tensor, inside: Tensor, captions: Tensor, phrases: Tensor, true: Tensor, weight: Tensor
    ) -> dict[str, Tensor]:
        """true, weight (pictures, captions + phrases): what is said, and what counts of it."""
        images = self.listener.images(grid, inside)
        spoken_of = [self.listener.texts(tokens) for tokens in (captions, phrases) if len(tokens)]
        logits = images @ torch.cat(spoken_of).T / self.temperature
        seen, heard = contrast(logits, true, weight), contrast(logits.T, true.T, weight.T)
        return {"loss": seen + heard, "seen": seen.detach(), "heard": heard.detach()}


def contrast(
    logits: Float[Tensor, "rows columns"], true: Bool[Tensor, "rows columns"], weight: Float[Tensor, "rows columns"]
) -> Float[Tensor, ""]:
    """Mean over rows of minus the mean log-share of their true columns, each against the weighed false ones (nats).

    Khosla 2020, eq. 2, but that a true column is no rival of another; rows without a true column are left out.
    """
    rivals = (logits + weight.clamp_min(1e-9).log()).masked_fill(true | (weight == 0), -1e9)
    false = rivals.logsumexp(1, keepdim=True)
    each = F.softplus(false - logits).masked_fill(~true, 0.0).sum(1) / true.sum(1).clamp_min(1)
    has = true.any(1)
    return (each * has).sum() / has.sum().clamp_min(1)


class Judge:
    """Recall of captions by held-out photographs, and the reverse."""

    def __init__(self, corpus: Corpus, table: GridTable, n_pictures: int = 500, n_captions: int = 5) -> None:
        captioned = [r for r, s in enumerate(corpus.source) if s == "captions" and len(corpus.texts[r]) >= n_captions]
        self.regions = np.array(captioned or [r for r, t in enumerate(corpus.texts) if t], np.int64)[:n_pictures]
        self.texts = [list(corpus.texts[region])[:n_captions] for region in self.regions]
        self.pictures = corpus.region_image[self.regions].astype(np.int64)
        self.table = table

    def __call__(self, model: nn.Module) -> dict[str, float]:
        """Shares, 0..1, of which the right one is among the first ten; ``recall`` is their mean."""
        listener: Listener = model.listener  # type: ignore[assignment]
        with torch.inference_mode():
            images = listener.images(self.table.grid(self.pictures, np.zeros(len(self.pictures), np.int64)))
            texts = listener.embed_texts([text for texts in self.texts for text in texts])
        owner = torch.tensor([row for row, texts in enumerate(self.texts) for _ in texts])
        found = recalls(texts @ images.T, owner)
        return {name: float(values.float().mean()) for name, values in found.items()} | {
            "recall": float(sum(values.float().mean() for values in found.values()) / len(found))
        }


def recalls(cosines: Float[Tensor, "texts images"], owner: Tensor, k: int = 10) -> dict[str, Bool[Tensor, " _"]]:
    """Per text, whether its picture is among the k nearest; per picture, whether one of its texts is."""
    n_texts, n_images = cosines.shape
    nearest = cosines.topk(min(k, n_images), 1).indices
    of_texts = (nearest == owner[:, None]).any(1)
    heard = cosines.topk(min(k, n_texts), 0).indices.T  # (images, k)
    of_images = (owner[heard] == torch.arange(n_images)[:, None]).any(1)
    return {"text_to_image": of_texts, "image_to_text": of_images}


def calibrate(listener: Listener, corpus: Corpus, table: GridTable, min_count: int) -> Calibration:
    """Fits the sigmoid to which phrases are true of which held-out pictures, and keeps it in the listener's config.

    A phrase counts where a source of the picture names it; pictures of which one person of several said it do not.
    """
    phrases = [phrase for phrase, ids in corpus.phrases.items() if len(ids) >= min_count]
    truth = Truth(corpus, phrases)
    pictures, columns = np.arange(len(corpus.images)), np.arange(len(phrases))
    true, known = truth.picture(pictures, columns), truth.known(pictures, columns)
    with torch.inference_mode():
        grids = torch.from_numpy(table.grids[:: table.n_views].astype(np.float32))
        images = torch.cat([listener.images(part) for part in grids.split(512)])
        cosines = images @ listener.embed_texts(phrases).T
    kept = torch.from_numpy(known)
    calibration = Calibration.fitted(cosines[kept].cpu(), torch.from_numpy(true)[kept])
    listener.config.scale, listener.config.bias = calibration.scale, calibration.bias
    return calibration
