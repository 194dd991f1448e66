"""Nouns as people write them for sets of things, with the word lists in words.yaml.

    singular("knives"), plural("knife"), set_form("grass")     # "knife", "knives", "grass"
    canonical("grey dog"), canonical("leg of a table")          # "gray dogs", "legs of a tables"

What can be counted is plural ("dogs"), stuff is not ("grass").
"""

import re
from functools import cache
from pathlib import Path
from typing import Any

import yaml

WORDS_FILE = Path(__file__).with_name("words.yaml")


@cache
def word_lists() -> dict[str, Any]:
    """The lists of words.yaml: sets where a list was written, mappings where one was written."""
    lists = yaml.safe_load(WORDS_FILE.read_text(encoding="utf-8"))
    plain = {key: frozenset(value.split()) for key, value in lists.items() if isinstance(value, str)}
    general = {word: parts.split() for word, parts in lists["general"].items()}
    singular = {many: one for one, many in lists["irregular"].items()}
    return lists | plain | {"general": general, "singular": singular}


@cache
def singular(noun: str) -> str:
    """The singular of a plural noun ("knives" → "knife"); a singular noun comes back as it is."""
    lists = word_lists()
    if noun in lists["singular"]:
        return str(lists["singular"][noun])
    if (
        noun in lists["irregular"]
        or noun in lists["mass"]
        or noun in lists["plural_only"]
        or noun.endswith(("ss", "us", "is"))
        or len(noun) < 4
    ):
        return noun
    if noun.endswith("ies"):
        return noun[:-3] + "y"
    if noun.endswith(("ches", "shes", "sses", "xes", "zzes")):
        return noun[:-2]
    return noun[:-1] if noun.endswith("s") else noun


@cache
def set_form(noun: str) -> str:
    """The form of one noun that a person writes for a set: "dogs" for "dog" and "dogs", "grass" for "grass"."""
    lists = word_lists()
    for form in (noun, singular(noun)):
        if form in lists["mass"] or form in lists["plural_only"]:
            return form
    return noun if noun in lists["both"] else plural(noun)


@cache
def plural(noun: str) -> str:
    """The plural of a noun in either form."""
    lists, one = word_lists(), singular(noun)
    if one in lists["irregular"]:
        return str(lists["irregular"][one])
    if one.endswith("man") and one not in ("human", "german", "roman", "caiman", "ottoman", "talisman"):
        return one[:-3] + "men"
    if re.search(r"[^aeiou]y$", one):
        return one[:-1] + "ies"
    return one + ("es" if re.search(r"(s|x|z|ch|sh)$", one) else "s")


def canonical(phrase: str) -> str:
    """A phrase with its last noun (before any "of": both) in set form: "brown dog" → "brown dogs"."""
    respell = word_lists()["respell"]
    parts = [[respell.get(word, word) for word in part.split()] for part in phrase.lower().split(" of ")]
    return " of ".join(" ".join([*part[:-1], set_form(part[-1])]) for part in parts if part)
