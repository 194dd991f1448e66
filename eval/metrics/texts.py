"""Similarity to what people wrote, which says little: it is only ever shown beside what needs no unit at all.

    rows = text_table({"MILAN": texts, "DnD": others}, human)          # human[i]: sentences on unit i, at least two
    for row in rows: print(row.name, row.baseline, row.scores["BLEU"])
    # MILAN, DnD, human–human, constant "…", MILAN shuffled, DnD shuffled

Every text is compared with all sentences but one, each left out in turn, so that a person, who is compared with the
others, has no fewer references than a method. BLEU: sacrebleu's sentence BLEU (up to 4-grams, exponential smoothing,
effective order), / 100. ROUGE-L: F1 of the longest common subsequence of words, the highest over references (Lin 2004).
BERTScore: see `bertscore`; only with an encoder. All on lower case without a full stop, as published for MILAN.
A finding to remember: on MILANNOTATIONS a constant string scores above every published method, and above people.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

import numpy as np
from jaxtyping import Float

from describer.errors import DescriberError
from describer.statistics import bootstrap_interval

Similarity = Callable[[Sequence[str], Sequence[Sequence[str]]], Float[np.ndarray, " texts"]]
"Texts and, for each, its references -> one score a text, 0..1."

N_TRIED, N_AGAINST = 200, 300
"Frequent sentences that may become the constant string, and sentences that choose it."


@dataclass(frozen=True)
class TextRow:
    """One line of the table of text scores."""

    name: str
    baseline: bool
    scores: Mapping[str, tuple[float, float, float]]
    "by metric: mean over units, 95 % interval"
    values: Mapping[str, Float[np.ndarray, " units"]]


def bleu(texts: Sequence[str], references: Sequence[Sequence[str]]) -> Float[np.ndarray, " texts"]:
    """Sentence BLEU of every text with its references, 0..1."""
    import sacrebleu

    metric = sacrebleu.BLEU(effective_order=True, lowercase=True)
    pairs = zip(texts, references, strict=True)
    return np.array([metric.sentence_score(text, refuse_text(own)).score / 100 for text, own in pairs])


def rouge(texts: Sequence[str], references: Sequence[Sequence[str]]) -> Float[np.ndarray, " texts"]:
    """ROUGE-L of every text with its references, 0..1: F1, the highest over the references."""
    pairs = zip(texts, references, strict=True)
    return np.array([max(rouge_pair(text, reference) for reference in refuse_text(own)) for text, own in pairs])


@lru_cache(maxsize=2**18)
def rouge_pair(text: str, reference: str) -> float:
    """F1 of the longest common subsequence of words, by the rouge-score package."""
    return float(_rouge_scorer().score(reference, text)["rougeL"].fmeasure)


@cache
def _rouge_scorer() -> Any:
    from rouge_score.rouge_scorer import RougeScorer  # loads nltk

    return RougeScorer(["rougeL"])


SIMILARITIES: dict[str, Similarity] = {"BLEU": bleu, "ROUGE-L": rouge}


def text_table(
    methods: Mapping[str, Sequence[str | None]],
    human: Sequence[Sequence[str]],
    others: Sequence[str] = (),
    similarities: Mapping[str, Similarity] | None = None,
    seed: int = 0,
) -> list[TextRow]:
    """Methods, people, a constant string, and the methods' texts on other units, by similarity to what people wrote.

    `others` are sentences that people wrote of other units, from which the constant string is chosen; without any it is
    chosen from these. A unit without a description has the empty text. DescriberError where a unit has less than two
    sentences.
    """
    if not human or min(map(len, human)) < 2:
        fewest = min(map(len, human), default=0)
        raise DescriberError(f"units must have 2 human sentences or more. Got {fewest}. Leave the unit out.")
    chosen = SIMILARITIES if similarities is None else similarities
    constant = typical(others or [sentence for own in human for sentence in own], seed)
    order = np.random.default_rng(seed).permutation(len(human))
    other_unit = np.empty_like(order)
    other_unit[order] = np.roll(order, 1)
    texts = {name: [plain(text or "") for text in own] for name, own in methods.items()}
    people = [[plain(sentence) for sentence in own] for own in human]
    rows = [_row(name, False, own, people, chosen, seed) for name, own in texts.items()]
    rows.append(_row("human–human", True, None, people, chosen, seed))
    rows.append(_row(f"constant: {constant}", True, [constant] * len(people), people, chosen, seed))
    for name, own in texts.items():
        rows.append(_row(f"{name}, shuffled", True, [own[i] for i in other_unit], people, chosen, seed))
    return rows


def typical(sentences: Sequence[str], seed: int = 0) -> str:
    """The sentence most like all others by ROUGE-L, among the most frequent ones and random ones."""
    said = [plain(sentence) for sentence in sentences]
    rng = np.random.default_rng(seed)
    against = [said[i] for i in rng.permutation(len(said))[:N_AGAINST]]
    frequent = [sentence for sentence, _ in Counter(said).most_common(N_TRIED // 2)]
    tried = dict.fromkeys([*frequent, *(said[i] for i in rng.permutation(len(said))[: N_TRIED // 2])])
    return max(tried, key=lambda text: sum(rouge_pair(text, other) for other in against))


def plain(text: str) -> str:
    """Lower case, single spaces, no full stop at the end."""
    return " ".join(text.lower().split()).strip(". ")


def refuse_text(references: Sequence[str]) -> list[str]:
    """References as a list; DescriberError for one string, whose characters would else be compared one by one."""
    if isinstance(references, str):
        raise DescriberError(f"references must be a list of sentences. Got {references!r}. Put it into a list.")
    return list(references)


def _row(
    name: str,
    baseline: bool,
    texts: Sequence[str] | None,
    people: Sequence[Sequence[str]],
    similarities: Mapping[str, Similarity],
    seed: int,
) -> TextRow:
    """Scores with each sentence left out in turn; `texts` None: the sentence left out is what is scored."""
    units = np.repeat(np.arange(len(people)), [len(own) for own in people])
    left_out = [j for own in people for j in range(len(own))]
    places = list(zip(units.tolist(), left_out, strict=True))
    references = [[*people[i][:j], *people[i][j + 1 :]] for i, j in places]
    said = [people[i][j] if texts is None else texts[i] for i, j in places]
    values = {}
    for metric, similarity in similarities.items():
        scores = similarity(said, references)
        values[metric] = np.bincount(units, scores) / np.bincount(units)
    told = {metric: (float(own.mean()), *bootstrap_interval(own, seed=seed)) for metric, own in values.items()}
    return TextRow(name, baseline, told, values)
