"""Answers a question from indexes: one list for the text, one for the picture, one for the unit, fused into one.

    answer(indexes, meanings, targets, Question("dog faces"), Filters(layers=("layer4",)))     # list of Hit, best first

The candidates of all atlases are weighed by one captioner, so their PMI can be compared. BM25 cannot (every atlas has
frequencies of its own): ordered by words, or by words and meaning, atlases take turns by rank. The captioner weighs
twice: its decoder gives the PMI of the text, its contrastive head a cosine, and each knows what the other misses.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor

from describer.data.targets import Target
from describer.search.atlasindex import Index
from describer.search.firing import Fired, firing, picture_of, target_of
from describer.search.meanings import Meanings
from describer.search.neighbours import neighbours_of
from describer.search.query import Filters, Hit, Question, reciprocal_ranks
from describer.search.tables import Found

_BESIDE = ThreadPoolExecutor(max_workers=4, thread_name_prefix="describer-words")
"Where words are looked up while vectors are: each takes as long as the other, and neither holds the interpreter."
COSINE = 30.0
"Nats of PMI that count as much as a cosine of 1."
Where = tuple[Index, str | None]
"An index and the condition that its units must meet."


def answer(
    indexes: Sequence[Index], meanings: Meanings, targets: dict[str, Target], question: Question, filters: Filters
) -> list[Hit]:
    """The hits for all that is asked, best first; `targets` by fingerprint, filled with those that had to be loaded."""
    picture = None if question.image is None else picture_of(question.image)
    asked = _open(indexes, filters)
    lists = []
    if question.text is not None:
        alone = question.image is None and question.unit is None
        n_wanted = question.k if alone else None
        lists.append(by_text(asked, meanings, question.text.strip(), question, n_wanted))
    if picture is not None:
        lists.append(by_picture(asked, targets, picture, question.depth, filters))
    if question.unit is not None:
        lists.append(neighbours_of(question.unit, indexes, asked, question))
    return (lists[0] if len(lists) == 1 else fused(lists))[: question.k]


def _open(indexes: Sequence[Index], filters: Filters) -> list[Where]:
    """The indexes with the condition of each; left out are those that have none of the wanted layers or methods."""
    layers = list(dict.fromkeys(layer for index in indexes for layer in index.layers))
    methods = sorted({method for index in indexes for method in index.methods})
    filters.refuse_unknown(layers, methods, " and ".join(index.name for index in indexes))
    return [
        (index, filters.where(index.layers))
        for index in indexes
        if filters.chosen_layers(index.layers) and (not filters.methods or {*filters.methods} & {*index.methods})
    ]


def fused(lists: Sequence[Sequence[Hit]]) -> list[Hit]:
    """All hits of several lists by their reciprocal ranks; a unit in several lists keeps what each has measured."""
    hits: dict[tuple[str, str, int], Hit] = {}
    for hit in (hit for each in lists for hit in each):
        known = hits.setdefault(_identity(hit), hit)
        hits[_identity(hit)] = replace(known, parts={**known.parts, **hit.parts})
    numbers = {key: number for number, key in enumerate(hits)}
    scores = reciprocal_ranks([[numbers[_identity(hit)] for hit in each] for each in lists])
    ordered = sorted(hits, key=lambda key: (-scores[numbers[key]], numbers[key]))
    return [replace(hits[key], score=scores[numbers[key]], by="fused") for key in ordered]


def _identity(hit: Hit) -> tuple[str, str, int]:
    return hit.atlas, hit.layer, hit.unit


# A text


def by_text(
    asked: Sequence[Where], meanings: Meanings, text: str, question: Question, n_wanted: int | None = None
) -> list[Hit]:
    """The first `n_wanted` units, or all, by words, by meaning, by both, or those of both by PMI and meaning."""
    spoken = meanings.spoken(text)
    vector = meanings.text_vectors([spoken], question.templates)[0]
    lists = [_candidates(index, where, text, vector, question) for index, where in asked]
    if question.how == "reranked":
        lists = _weighed(lists, meanings, spoken, vector, question)
    found = [candidate for each in lists for candidate in each]
    if question.how in ("reranked", "meaning"):
        found.sort(key=lambda candidate: -candidate.score)
    else:
        ranks = [rank for each in lists for rank in range(len(each))]
        found = [found[number] for number in sorted(range(len(found)), key=lambda number: ranks[number])]
    return _hits(found[:n_wanted])


@dataclass(frozen=True)
class Candidate:
    """A unit of one atlas, of which no more is known yet than where it lies."""

    index: Index
    found: Found
    score: float
    by: str
    parts: dict[str, float]


def _hits(candidates: Sequence[Candidate]) -> list[Hit]:
    """The same with what is said of them."""
    indexes = list({id(each.index): each.index for each in candidates}.values())
    rows = {
        id(index): index.tables.taken([each.found.number for each in candidates if each.index is index])
        for index in indexes
    }
    return [c.index.hit(rows[id(c.index)][c.found.number], c.score, c.by, c.parts) for c in candidates]


def _candidates(index: Index, where: str | None, text: str, vector: Tensor, question: Question) -> list[Candidate]:
    """The units of one atlas in the order of their words, of their meaning, or of both."""
    depth, how = question.depth, question.how
    coming = None if how == "meaning" else _BESIDE.submit(index.tables.by_words, text, where, depth)
    meant = [] if how == "words" else index.tables.by_vector(vector, where, depth)
    words = [] if coming is None else coming.result()
    both = reciprocal_ranks([[found.place for found in each] for each in (words, meant)])
    known = {found.place: found for found in (*meant, *words)}  # of a unit's rows the one whose words match
    bm25, cosine = _scores(words), _scores(meant)
    made = []
    for place in sorted(both, key=lambda place: (-both[place], place))[:depth]:
        parts = {"fused": both[place], "bm25": bm25.get(place), "cosine": cosine.get(place)}
        by = how if how in ("words", "meaning") else "fused"
        score = parts[{"words": "bm25", "meaning": "cosine", "fused": "fused"}[by]] or 0.0
        measured = {name: value for name, value in parts.items() if value is not None}
        made.append(Candidate(index, known[place], score, by, measured))
    return made


def _scores(found: Sequence[Found]) -> dict[int, float]:
    return {each.place: each.score for each in found}


def _weighed(
    lists: Sequence[Sequence[Candidate]], meanings: Meanings, text: str, vector: Tensor, question: Question
) -> list[list[Candidate]]:
    """The candidates with their exact PMI and cosine; those without exemplars are left out."""
    prior = float(meanings.log_priors([text], question.templates)[0])
    weighed = []
    for candidates in (each for each in lists if each):
        tables = candidates[0].index.tables
        memory, present = tables.sets([each.found.place for each in candidates])
        unmeasured = [each.found.number for each in candidates if "cosine" not in each.parts]
        lacking = iter((tables.vectors(unmeasured) @ vector).tolist())
        likely = meanings.log_probs([text], memory, present, question.templates)[:, 0].tolist()
        cosines = [each.parts["cosine"] if "cosine" in each.parts else next(lacking) for each in candidates]
        known = zip(candidates, likely, cosines, present.any(1).tolist(), strict=True)
        weighed.append([_with_pmi(c, log_prob, prior, cosine) for c, log_prob, cosine, living in known if living])
    return weighed


def _with_pmi(candidate: Candidate, log_prob: float, prior: float, cosine: float) -> Candidate:
    pmi = log_prob - prior
    parts = {**candidate.parts, "pmi": pmi, "log_prob": log_prob, "log_prior": prior, "cosine": cosine}
    return replace(candidate, score=pmi + COSINE * cosine, by="reranked", parts=parts)


# A picture


def by_picture(
    asked: Sequence[Where], targets: dict[str, Target], picture: Any, depth: int, filters: Filters
) -> list[Hit]:
    """Units that fire on the picture: first those for which it is most unusual, among equals the strongest."""
    ranked: list[tuple[float, float, Hit]] = []
    for index, where in asked:
        fingerprint = index.atlas.meta.model.fingerprint
        targets[fingerprint] = target_of(index.atlas, targets.get(fingerprint))
        layers = filters.chosen_layers(index.layers)
        fired = [each for each in firing(index.atlas, picture, targets[fingerprint], layers) if each.fires]
        fired.sort(key=lambda each: (_rank(each), -_excess(each)))
        n_found = 0
        for start in range(0, len(fired), depth):
            part = fired[start : start + depth]
            rows = index.tables.rows([(each.layer, each.unit) for each in part], where)
            known = [each for each in part if (each.layer, each.unit) in rows]
            ranked += [(_rank(e), -_excess(e), _fired_hit(index, rows[e.layer, e.unit], e)) for e in known]
            n_found += len(known)
            if n_found >= depth:
                break
    return [hit for _, _, hit in sorted(ranked, key=lambda item: item[:2])][:depth]


def _fired_hit(index: Index, row: dict[str, Any], fired: Fired) -> Hit:
    parts = {"activation": fired.activation, "threshold": fired.threshold, "n_images": float(fired.n_images)}
    parts |= {} if fired.rank is None else {"rank": fired.rank}
    return index.hit(row, 1 - (_rank(fired) - 1) / max(fired.n_images, 1), "firing", parts)


def _rank(fired: Fired) -> float:
    return float(fired.n_images) if fired.rank is None else fired.rank


def _excess(fired: Fired) -> float:
    """How far the activation is above the threshold, in units of the threshold's size."""
    return (fired.activation - fired.threshold) / max(abs(fired.threshold), 1e-6)
