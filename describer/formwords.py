"""How true a listener holds a logical form: it hears the concepts one by one, as words, and logic joins them.

    concepts_in('object:sand AND NOT "open sky"')              # ["object:sand", "open sky"]
    as_words("object:sand")                                    # "sand"
    combined('sand AND NOT blue', {"sand": a, "blue": b})      # the lesser of a and 1 - b, image by image

A listener told "sand and not blue" hears sand and blue. AND is the lesser, OR the greater, NOT 1 - x (Zadeh 1965).
"""

import json
import re
from collections.abc import Mapping

import numpy as np

TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[()]|[^\s()"]+')
SIGNS = ("AND", "OR", "NOT", "NEIGHBORS", "(", ")")


def concepts_in(form: str) -> list[str]:
    """The names of the concepts from left to right, each once."""
    return list(dict.fromkeys(_name(token) for token in TOKEN.findall(form) if token not in SIGNS))


def as_words(concept: str) -> str:
    """A concept's name as a person says it: without the category in front."""
    return concept.rpartition(":")[2].replace("_", " ").strip() or concept


def combined(form: str, truth: Mapping[str, np.ndarray]) -> np.ndarray:
    """The truth of a form, 0..1 an image, from that of its concepts; the form must be one of ours, as it is printed."""
    tokens = TOKEN.findall(form)
    found = _either(tokens, truth)
    assert not tokens, form
    return found


def _either(tokens: list[str], truth: Mapping[str, np.ndarray]) -> np.ndarray:
    found = _both(tokens, truth)
    while tokens and tokens[0] == "OR":
        tokens.pop(0)
        found = np.maximum(found, _both(tokens, truth))
    return found


def _both(tokens: list[str], truth: Mapping[str, np.ndarray]) -> np.ndarray:
    found = _one(tokens, truth)
    while tokens and tokens[0] == "AND":
        tokens.pop(0)
        found = np.minimum(found, _one(tokens, truth))
    return found


def _one(tokens: list[str], truth: Mapping[str, np.ndarray]) -> np.ndarray:
    token = tokens.pop(0)
    if token == "NOT":
        return 1 - _one(tokens, truth)
    if token == "NEIGHBORS":
        return _one(tokens, truth)
    if token == "(":
        found = _either(tokens, truth)
        tokens.pop(0)
        return found
    return truth[_name(token)]


def _name(token: str) -> str:
    return str(json.loads(token)) if token.startswith('"') else token
