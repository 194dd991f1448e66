"""Edits of sentences by one word: the word that a form wants is put in, or the one it has under NOT is taken out.

    editor = WordEditor(target, pairs, subject)
    proposals = propose(subject, found, n_units=10, can_edit=editor.can_edit)
    trials = [trial for proposal in proposals for trial in editor.tries(proposal, n_inputs=40)]

A word goes where it stands on average on its side. An edit is tried where the form does not hold before and holds
after it. The random edit puts another of the concepts' words at the same place, or takes another word out. Pairs are
told right (where the truth is known), not as the class, the unit is silent on them, and those nearest to the class come
first. Whether the edited pair is still of its old class is not known: a person must look.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from functools import cached_property

import numpy as np
import torch

from describer.data.sentence_features import overlap
from describer.data.sentences import SentencePairs
from describer.data.tagging import TaggedWord, tagged
from describer.data.text_targets import TextTarget, read_units
from describer.eval.experiments.pasting import log_odds
from describer.eval.experiments.proposals import Leaf, Proposal
from describer.eval.experiments.subject import Subject
from describer.eval.experiments.trials import Trial, Tried
from describer.search.forms import Form, Neighbors

SIDES = {"pre": 0, "hyp": 1}
PLACES = {"tok": 0, "lem": 1, "tag": 2}
Sides = tuple[Sequence[TaggedWord], Sequence[TaggedWord]]
"Words of premise and hypothesis."


class WordEditor:
    """Puts words into the pairs that a subject was laid over, or takes them out."""

    def __init__(self, target: TextTarget, pairs: SentencePairs, subject: Subject, seed: int = 0) -> None:
        self.target, self.pairs, self.subject, self.seed = target, pairs, subject, seed
        self.neighbors = subject.laid.table.neighbors
        self.threshold = float(subject.laid.about["threshold"])

    @cached_property
    def sides(self) -> list[Sides]:
        """Every pair's words."""
        both = zip(self.pairs.premises, self.pairs.hypotheses, strict=True)
        return [(tagged(premise), tagged(hypothesis)) for premise, hypothesis in both]

    @cached_property
    def _said(self) -> dict[str, Counter[str]]:
        """For "side:kind:value" the words that are it, with their numbers."""
        found: dict[str, Counter[str]] = defaultdict(Counter)
        for pair in self.sides:
            for side, number in SIDES.items():
                for word in pair[number]:
                    for kind, place in PLACES.items():
                        found[f"{side}:{kind}:{word[place]}"][word.text] += 1
        return found

    @cached_property
    def _where(self) -> dict[str, float]:
        """For "side:word" its mean place, 0 first to 1 last."""
        places: dict[str, list[float]] = defaultdict(list)
        for pair in self.sides:
            for side, number in SIDES.items():
                for place, word in enumerate(pair[number]):
                    places[f"{side}:{word.text}"].append(place / max(len(pair[number]) - 1, 1))
        return {name: float(np.mean(own)) for name, own in places.items()}

    @cached_property
    def _others(self) -> dict[str, list[str]]:
        """Side -> the words that are concepts, for random edits."""
        start = {side: f"{side}:tok:" for side in SIDES}
        names = self.subject.laid.table.names
        return {side: [n.removeprefix(s) for n in names if n.startswith(s)] for side, s in start.items()}

    def can_edit(self, leaf: Leaf, wanted: bool) -> bool:
        """Words, lemmas and parts of speech can be put in; words and lemmas can be taken out; overlap cannot."""
        kind = leaf.name.split(":")[1]
        return kind in PLACES if wanted else kind in ("tok", "lem")

    def tries(self, proposal: Proposal, n_inputs: int = 40) -> list[Trial]:
        """Trials of one proposal on at most `n_inputs` pairs; fewer where there are no more."""
        rng = np.random.default_rng((self.seed, proposal.class_index, proposal.unit))
        subject = self.subject
        right = (subject.truth < 0) | (subject.truth == subject.predicted)
        fit = right & (subject.predicted != proposal.class_index) & ~subject.fires[:, proposal.unit]
        plans = []
        near = log_odds(torch.from_numpy(subject.logits), proposal.class_index).numpy()
        for index in sorted(np.flatnonzero(fit).tolist(), key=lambda i: -near[i]):
            plan = self._plan(proposal, index, rng)
            if plan:
                plans.append((index, *plan))
            if len(plans) == n_inputs:
                break
        return self._tried(proposal, plans) if plans else []

    def _plan(self, proposal: Proposal, index: int, rng: np.random.Generator) -> tuple[Sides, Sides, str] | None:
        """(edited, randomly edited, the edit in words); None where the form held before, or does not hold after."""
        before = self.sides[index]
        side, kind, value = proposal.leaf.name.split(":", 2)
        number = SIDES[side]
        own = [word.text for word in before[number]]
        if true_of(proposal.formula, before, self.neighbors):
            return None
        if proposal.wanted:
            word = self._said[proposal.leaf.name].most_common(1)[0][0]
            place = round(self._where[f"{side}:{word}"] * len(own))
            other = str(rng.choice([w for w in self._others[side] if w != word]))
            lines = [[*own[:place], new, *own[place:]] for new in (word, other)]
            told = f"{word!r} put into the {'premise' if side == 'pre' else 'hypothesis'}"
        else:
            there = [i for i, w in enumerate(before[number]) if w[PLACES[kind]] == value]
            rest = [i for i in range(len(own)) if i not in there and own[i].isalnum()]
            if len(there) != 1 or not rest or len(own) < 3:
                return None
            lines = [[w for i, w in enumerate(own) if i != out] for out in (there[0], int(rng.choice(rest)))]
            told = f"{own[there[0]]!r} taken out of the {'premise' if side == 'pre' else 'hypothesis'}"
        edited, random = (self._with(before, number, line) for line in lines)
        return (edited, random, told) if true_of(proposal.formula, edited, self.neighbors) else None

    def _with(self, before: Sides, number: int, line: Sequence[str]) -> Sides:
        """The pair with other words on one side."""
        changed = tagged(" ".join(line))
        return (changed, before[1]) if number == 0 else (before[0], changed)

    def _tried(self, proposal: Proposal, plans: Sequence[tuple[int, Sides, Sides, str]]) -> list[Trial]:
        indices = [index for index, *_ in plans]
        ways = [[self.sides[i] for i in indices], [plan[1] for plan in plans], [plan[2] for plan in plans]]
        found = [read_units(self.target, _pairs(way), self.subject.layer) for way in ways]
        odds = [log_odds(each.logits, proposal.class_index) for each in found]
        said = found[0].logits.argmax(1).tolist()
        tried = [
            [
                Tried(
                    said[row] != proposal.class_index == int(each.logits[row].argmax()),
                    float(odds[way][row] - odds[0][row]),
                    bool(each.values[row, proposal.unit] > self.threshold),
                )
                for row in range(len(plans))
            ]
            for way, each in enumerate(found)
            if way
        ]
        name = self.subject.class_names[proposal.class_index]
        return [
            Trial(proposal, index, 1.0, f"{told} of pair {index}, for {name}", *(way[row] for way in tried))
            for row, (index, *_, told) in enumerate(plans)
        ]


def true_of(form: Form, sides: Sides, neighbors: Mapping[str, Sequence[str]]) -> bool:
    """Whether a form is true of a pair, from its words."""

    def held(name: str) -> bool:
        side, kind, value = name.split(":", 2)
        if side == "oth":
            return overlap(*sides) * 100 > float(value.removeprefix("overlap"))
        return any(word[PLACES[kind]] == value for word in sides[SIDES[side]])

    def lookup(leaf: Leaf) -> np.ndarray:
        return np.array([any(map(held, neighbors[leaf.name])) if isinstance(leaf, Neighbors) else held(leaf.name)])

    return bool(form.evaluate(lookup)[0])


def _pairs(sides: Sequence[Sides]) -> SentencePairs:
    premises, hypotheses = (tuple(" ".join(w.text for w in pair[side]) for pair in sides) for side in (0, 1))
    return SentencePairs("edited", premises, hypotheses, (None,) * len(sides))
