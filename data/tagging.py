"""The words of a sentence, each with its part of speech and its lemma.

    tagged("Two men are running.")     # [TaggedWord("two", "two", "CRD"), TaggedWord("men", "man", "NN2"), …]
    words("Two men are running.")      # ["two", "men", "are", "running", "."], needs no tagger

Tags are those of the British National Corpus: NN1 a noun, NN2 nouns, AJ0 an adjective, VVG running, AT0 the …
The tagger is HanTa (`pip install HanTa`), whose wheel carries its English model; where it is missing, `tagger()` is
None and sentences are words alone.
"""

import re
from functools import cache
from typing import Any, NamedTuple

TOKEN = re.compile(r"\d+(?:[.,]\d+)*|[^\W\d_]+(?:['’-][^\W\d_]+)*|[^\w\s]")
NO_TAGGER = "HanTa is not installed: sentences have words only, no tags and no lemmas. Do `pip install HanTa`."


class TaggedWord(NamedTuple):
    """One token, in lower case."""

    text: str
    lemma: str
    tag: str


def words(sentence: str) -> list[str]:
    """The tokens of a sentence in lower case: words, numbers and every mark by itself."""
    return TOKEN.findall(sentence.lower().replace("’", "'"))


@cache
def tagger() -> Any:
    """HanTa's tagger of English, or None where HanTa is not installed."""
    try:
        from HanTa.HanoverTagger import HanoverTagger
    except ImportError:
        return None
    return HanoverTagger("morphmodel_en.pgz")


def tagged(sentence: str) -> list[TaggedWord]:
    """The tokens with lemma and tag; without a tagger the lemma is the token and the tag is empty."""
    tokens = words(sentence)
    if tagger() is None:
        return [TaggedWord(token, token, "") for token in tokens]
    return [TaggedWord(token, lemma.lower(), tag) for token, lemma, tag in tagger().tag_sent(tokens, taglevel=1)]
