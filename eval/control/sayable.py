"""What can be said of an atlas's units: single words and names of concepts, and how many units each finds.

    sayable(Atlas.open("gan"), top=20)[:3]           # [("tree", 20), ("window", 20), …], the most frequent first

A word finds the units that `choose_units` finds: those whose descriptions say it, withdrawn or not, and those of which
it is among the best concepts by IoU. All words are counted at once, since a query reads the whole atlas.
"""

import re
from collections import Counter, defaultdict

import numpy as np

from describer.atlas import Atlas
from describer.eval.control.choice import WORD, best_concepts, concept_names, dissected, said, words
from describer.modes import JOINING

CATEGORY = re.compile(r"[^\W_]+:(?=\w)")
Said = tuple[str, int, frozenset[str]]
"Layer, unit, and the words of one text that is said of it."


def sayable(atlas: Atlas, top: int) -> list[tuple[str, int]]:
    """Words and how many units `choose_units` gives for them, at most `top`; those that most units answer first.

    Words that all units answer, which `choose_units` refuses, are left out.
    """
    rows = atlas.units()
    n_units, names = len({row["id"] for row in rows}), dict[frozenset[str], str]()
    told: list[Said] = [(row["layer"], row["unit"], frozenset(words(said(row)))) for row in rows]
    laid = dissected(atlas)
    concepts = concept_names(laid) if laid else []
    keys = [frozenset(words(name)) for name in concepts]
    for key, name in zip(keys, concepts, strict=True):
        names.setdefault(key, name)
    for each in best_concepts(atlas, laid) if laid else ():
        told += [(each.layer, each.units[row], keys[column]) for row, column in np.argwhere(each.among).tolist()]
    spoken = Counter(word for row in rows for word in WORD.findall(CATEGORY.sub(" ", said(row)).lower()))
    for word, _ in spoken.most_common():
        names.setdefault(frozenset(words(word)), word)
    texts: defaultdict[str, set[Said]] = defaultdict(set)
    for text in told:
        for word in text[2]:
            texts[word].add(text)
    found = []
    for key, name in names.items():
        if key and not key <= JOINING:
            n = len({text[:2] for text in set.intersection(*(texts[word] for word in key))})
            if n and not top < n == n_units:
                found.append((name, n))
    return [(name, min(n, top)) for name, n in sorted(found, key=lambda each: (-each[1], each[0]))]
