"""Noun phrases: what people name in a sentence, each in the one form used for a set of regions.

    >>> noun_phrases("A brown dog is running through the tall grass with two soccer balls .")
    ['dogs', 'brown dogs', 'grass', 'tall grass', 'balls', 'soccer balls']
    >>> inventory(["a red shirt", "Red shirts", "the dog runs"], min_count=2)
    ['red shirts', 'shirts']

Heads, attribute + head, compounds and "N of N"; never verbs, determiners, numbers or fragments. Things that can be
counted are plural ("dogs"), stuff is not ("grass"): describer.data.nouns. Training only: needs HanTa
(`pip install HanTa`), a small tagger whose wheel carries its English model (BNC tags: AJ0 NN1 NN2 ...).
"""

import re
from collections import Counter
from collections.abc import Iterable
from functools import cache
from itertools import pairwise
from typing import Any, NamedTuple

from describer.data.nouns import plural, set_form, singular, word_lists
from describer.errors import RecipeError

TOKEN = re.compile(r"[a-z]+(?:-[a-z]+)*|'s\b|[.,;:!?()/\"&]")
TSHIRT = re.compile(r"\b(?:t|tee)\s*-?\s*shirt")


class Word(NamedTuple):
    """One token with its part of speech."""

    text: str
    tag: str


@cache
def _tagger() -> Any:
    try:
        from HanTa.HanoverTagger import HanoverTagger
    except ImportError as fault:
        raise RecipeError("Noun phrases need the tagger HanTa. It is not installed. Do `pip install HanTa`.") from fault
    return HanoverTagger("morphmodel_en.pgz")


def tag(sentence: str) -> list[Word]:
    """The words of one sentence, lower case, respelled (grey → gray), each with its BNC tag."""
    respell = word_lists()["respell"]
    text = TSHIRT.sub("t-shirt", sentence.lower().replace("’", "'").replace("`", "'"))
    tokens = [respell.get(token, token) for token in TOKEN.findall(text)]
    tags = _tagger().tag_sent(tokens, taglevel=0)
    return [Word(token, _corrected(token, tags[i])) for i, token in enumerate(tokens)]


def _corrected(token: str, tag: str) -> str:
    """The tagger's tag, except for colours (always attributes) and for words that it takes for another kind."""
    lists = word_lists()
    if token in lists["colours"]:
        return "AJ0"
    if token in lists["plural_only"]:
        return "NN2"
    if token.endswith("ed") and tag in ("VVD", "VVN"):
        return "VVN"
    if tag == "NN1" and len(token) > 4 and token.endswith("ed") and token not in lists["mass"]:
        return "AJ0"  # "chequered", "spiderwebbed": the tagger has not met them
    return tag


def noun_phrases(sentence: str) -> list[str]:
    """The noun phrases of one sentence in set form, in order of their words, without repetition."""
    words = tag(sentence)
    found: dict[str, None] = {}
    chunks = _chunks(words)
    for chunk in chunks:
        found |= dict.fromkeys(_phrases(chunk.attributes, chunk.nouns))
    for first, second in pairwise(chunks):
        if first.of and first.end == second.start:
            found |= dict.fromkeys(_of(first, second))
    return list(found)


def adjectives(sentence: str) -> list[str]:
    """The attributes said in a sentence, with or without a noun ("banded, shiny and red stripes" → three)."""
    empty = word_lists()["empty_attributes"]
    kept = [w.text for w in tag(sentence) if _is_attribute(w) and w.text not in empty and len(w.text) > 2]
    return list(dict.fromkeys(kept))


def with_general(phrases: Iterable[str]) -> list[str]:
    """The phrases and the more general words that are true of them too ("puppies" → "dogs", "animals")."""
    found = dict.fromkeys(phrases)
    n_before = -1
    while len(found) != n_before:  # puppies are dogs, dogs are animals
        n_before = len(found)
        for word, kinds in word_lists()["general"].items():
            if not found.keys().isdisjoint(kinds):
                found[word] = None
    return list(found)


def inventory(texts: Iterable[str], min_count: int = 2, max_words: int = 4) -> list[str]:
    """The phrases said by at least `min_count` of the texts, most frequent first, ties by the alphabet."""
    counts = Counter(phrase for text in texts for phrase in noun_phrases(text))
    kept = [p for p, n in counts.items() if n >= min_count and len(p.split()) <= max_words]
    return sorted(kept, key=lambda phrase: (-counts[phrase], phrase))


class _Chunk(NamedTuple):
    """Attributes and nouns that stand together; `of` when "of (the)" and another chunk follow."""

    attributes: tuple[str, ...]
    nouns: tuple[str, ...]
    of: bool
    start: int
    end: int


def _is_attribute(word: Word) -> bool:
    return word.tag.startswith("AJ") or (word.tag == "VVN" and word.text.endswith("ed"))


def _is_noun(word: Word) -> bool:
    return word.tag.startswith("NN") and len(word.text) > 1


def _chunks(words: list[Word]) -> list[_Chunk]:
    chunks: list[_Chunk] = []
    place = 0
    while place < len(words):
        start = place
        attributes, place = _attributes(words, place)
        nouns: list[str] = []
        while place < len(words) and _is_noun(words[place]) and not _is_verb_after(nouns, words[place]):
            nouns.append(words[place].text)
            place += 1
        follows = _after_of(words, place)
        if nouns:
            chunks.append(_Chunk(tuple(attributes), tuple(nouns), follows > 0, start, follows or place))
        place = follows or max(place, start + 1)
    return chunks


def _attributes(words: list[Word], place: int) -> tuple[list[str], int]:
    """Attributes from `place` on; colours joined by "and" stay together as one ("black and white")."""
    colours = word_lists()["colours"]
    found: list[str] = []
    while place < len(words):
        joined = [word.text for word in words[place : place + 3]]
        if len(joined) == 3 and joined[1] in ("and", "&") and joined[0] in colours and joined[2] in colours:
            found.append(" and ".join(sorted((joined[0], joined[2]))))
            place += 3
        elif _is_attribute(words[place]):
            found.append(words[place].text)
            place += 1
        elif found and (joint := _joint(words, place)):
            place += joint  # "long, thin objects", "red, and orange colors"
        else:
            break
    return found, place


def _joint(words: list[Word], place: int) -> int:
    """How many of ", and" stand before the next attribute; 0 where no attribute follows."""
    n_joints = 0
    while place + n_joints < len(words) and words[place + n_joints].text in (",", "and") and n_joints < 2:
        n_joints += 1
    follows = place + n_joints < len(words) and _is_attribute(words[place + n_joints])
    return n_joints if follows else 0


def _is_verb_after(nouns: list[str], word: Word) -> bool:
    """Whether a "noun" in -s right after a noun is the verb of the sentence ("dog runs")."""
    return bool(nouns) and word.text in word_lists()["verbs"]


def _after_of(words: list[Word], place: int) -> int:
    """The place after "of (a)", or 0 where none stands."""
    if place < len(words) and words[place].text == "of":
        place += 1
        if place < len(words) and words[place].tag in ("AT0", "DPS", "DT0"):
            place += 1
        return place
    return 0


def _phrases(attributes: Iterable[str], nouns: tuple[str, ...]) -> list[str]:
    """Head, compound, attribute + head, attribute + compound."""
    lists = word_lists()
    while len(nouns) > 1 and nouns[-1].endswith("ing") and not _is_thing(nouns[-1]):
        nouns = nouns[:-1]  # "dog running"
    if not _is_thing(nouns[-1]):
        return []
    head = set_form(nouns[-1])
    found = [head]
    last = plural(nouns[-1]) if singular(nouns[-1]) in lists["both"] else head
    compound = " ".join([*map(_first_half, nouns[:-1]), last]) if len(nouns) > 1 else head
    if compound != head and all(_is_half(noun) for noun in nouns[:-1]) and len(nouns) < 4:
        found.append(compound)
    elif len(nouns) > 1:
        compound = head
    human = head == "people" or head in lists["general"]["people"]
    for attribute in attributes:
        if human and attribute in lists["colours"]:
            continue  # of the skin or of the clothes? no description
        if attribute not in lists["empty_attributes"] and len(attribute) > 2:
            found += [f"{attribute} {head}", f"{attribute} {compound}"]
    return list(dict.fromkeys(found))


def _first_half(noun: str) -> str:
    """The first half of a compound: singular, except for words that have no singular or are said so ("sports")."""
    return noun if noun in ("sports", "glasses", "arts") else singular(noun)


def _is_thing(noun: str) -> bool:
    lists = word_lists()
    one = singular(noun)
    if one in lists["empty_heads"] or noun in lists["empty_heads"] or len(one) < 3:
        return False
    return not one.endswith("ing") or (one in lists["things_in_ing"] and one not in lists["doings"])


def _is_half(noun: str) -> bool:
    lists = word_lists()
    return len(noun) > 2 and singular(noun) not in lists["partitives"] and noun not in lists["verbs"]


def _of(first: _Chunk, second: _Chunk) -> list[str]:
    """ "groups of people", "tops of cars"; nothing where either side says nothing ("front of the day")."""
    lists = word_lists()
    one = singular(first.nouns[-1])
    empty = one in lists["empty_heads"] and one not in lists["partitives"]
    vague = one in ("lot", "number", "couple", "kind", "type", "sort", "bit", "variety", "picture", "photo", "view")
    if empty or vague or one in ("photograph", "image", "amount", "part", "front") or not _is_thing(second.nouns[-1]):
        return []
    return [f"{set_form(first.nouns[-1])} of {set_form(second.nouns[-1])}"]
