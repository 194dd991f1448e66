"""Noun phrases: what is kept, in which form, and what is dropped."""

import pytest

from describer.data.nouns import canonical, plural, set_form, singular, word_lists
from describer.training import phrases
from describer.training.phrases import adjectives, inventory, noun_phrases, with_general

SENTENCES = {
    "A brown dog is running through the tall grass with two soccer balls .": [
        "dogs", "brown dogs", "grass", "tall grass", "balls", "soccer balls",
    ],
    "black and white dog": ["dogs", "black and white dogs"],
    "white and black dog": ["dogs", "black and white dogs"],
    "yellow, red, and orange stripes": ["stripes", "yellow stripes", "red stripes", "orange stripes"],
    "long, thin poles": ["poles", "long poles", "thin poles"],
    "a man 's face": ["men", "faces"],
    "a group of people": ["people", "groups of people"],
    "the legs of a table": ["legs", "tables", "legs of tables"],
    "in front of a building": ["buildings"],
    "two grey t - shirts": ["t-shirts", "gray t-shirts"],
    "a red T-shirt": ["t-shirts", "red t-shirts"],
    "polka dots": ["dots", "polka dots"],
    "a swimming pool": ["pools", "swimming pools"],
    "traffic light": ["light", "traffic lights"],
    "wool, stairs and other patterned objects": ["wool", "stairs", "objects", "patterned objects"],
    "a skateboarder does a trick": ["skateboarders"],
    "knives and shelves": ["knives", "shelves"],
    "colourful plane": ["airplanes", "colourful airplanes"],
    "firemen and women": ["firemen", "women"],
}  # fmt: skip
FRAGMENTS = ["", " . ", "holding", "s", "the back", "a dog's", "3", "running", "he stands", "upside down", "two", "of"]


@pytest.mark.parametrize(("sentence", "expected"), SENTENCES.items())
def test_noun_phrases_of_a_sentence_are_in_set_form(sentence: str, expected: list[str]) -> None:
    pytest.importorskip("HanTa")
    assert noun_phrases(sentence) == expected


@pytest.mark.parametrize("fragment", FRAGMENTS)
def test_fragments_verbs_and_numbers_are_dropped(fragment: str) -> None:
    pytest.importorskip("HanTa")
    assert noun_phrases(fragment) == (["dogs"] if "dog" in fragment else [])


@pytest.mark.parametrize(
    "sentence", ["dog runs", "a dog jumps", "the brown dog stands", "two dogs running", "dog running"]
)
def test_a_verb_after_its_noun_is_no_noun(sentence: str) -> None:
    pytest.importorskip("HanTa")
    found = noun_phrases(sentence)
    assert found[0] == "dogs"
    assert set(found) <= {"dogs", "brown dogs"}


def test_colours_of_people_are_not_kept() -> None:
    pytest.importorskip("HanTa")
    assert noun_phrases("a black man in a white shirt") == ["men", "shirts", "white shirts"]


def test_adjectives_stand_without_a_noun() -> None:
    pytest.importorskip("HanTa")
    assert adjectives("banded, shiny and grey , other") == ["banded", "shiny", "gray"]
    assert adjectives("") == []


NOUNS = {
    "dog": "dogs", "dogs": "dogs", "grass": "grass", "glasses": "glasses", "glass": "glass", "box": "boxes",
    "boxes": "boxes", "bus": "buses", "buses": "buses", "dress": "dresses", "dresses": "dresses", "lens": "lenses",
    "puppies": "puppies", "puppy": "puppies", "monkey": "monkeys", "man": "men", "men": "men", "person": "people",
    "fireman": "firemen", "human": "humans", "skis": "skis", "sheep": "sheep", "scarf": "scarves", "waters": "water",
    "lights": "lights", "light": "light", "ox": "oxen", "church": "churches", "horses": "horses", "pants": "pants",
}  # fmt: skip


@pytest.mark.parametrize(("noun", "expected"), NOUNS.items())
def test_the_form_for_a_set(noun: str, expected: str) -> None:
    assert set_form(noun) == expected


def test_set_form_does_not_change_what_it_made() -> None:
    for noun in [*NOUNS, *word_lists()["irregular"]]:
        assert set_form(set_form(noun)) == set_form(noun)


def test_irregular_nouns_go_there_and_back() -> None:
    for one, many in word_lists()["irregular"].items():
        assert plural(one) == many
        assert singular(many) == one
        assert singular(one) == one


def test_canonical_gives_names_the_form_for_a_set() -> None:
    assert canonical("golden Retriever") == "golden retrievers"
    assert canonical("Leg of a table") == "legs of a tables"  # "of" joins two names, each in its own form
    assert canonical("grey aeroplane") == "gray airplanes"


def test_general_words_are_said_of_their_kinds() -> None:
    found = with_general(["puppies", "red shirts", "shirts"])
    assert found[:3] == ["puppies", "red shirts", "shirts"]
    assert set(found[3:]) == {"dogs", "animals", "clothing"}
    assert with_general([]) == []


def test_every_general_word_and_kind_is_in_set_form() -> None:
    for word, kinds in word_lists()["general"].items():
        assert canonical(word) == word
        assert [set_form(kind) for kind in kinds] == kinds


def test_inventory_counts_a_phrase_once_a_text() -> None:
    pytest.importorskip("HanTa")
    texts = ["a red shirt and a red shirt", "Red shirts", "a dog", "", "shirts"]
    assert inventory(texts, min_count=2) == ["shirts", "red shirts"]
    assert inventory(texts, min_count=1, max_words=1) == ["shirts", "dogs"]
    assert inventory([], min_count=1) == []


def test_inventory_equals_plain_counting() -> None:
    pytest.importorskip("HanTa")
    texts = list(SENTENCES) * 2 + FRAGMENTS
    counts: dict[str, int] = {}
    for text in texts:
        for phrase in sorted(set(noun_phrases(text))):
            counts[phrase] = counts.get(phrase, 0) + 1
    kept = [phrase for phrase in counts if counts[phrase] >= 3]
    kept.sort()
    kept.sort(key=lambda phrase: counts[phrase], reverse=True)
    assert inventory(texts, min_count=3) == kept


def test_without_the_tagger_one_sentence_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    from describer.errors import RecipeError

    phrases._tagger.cache_clear()
    monkeypatch.setitem(sys.modules, "HanTa.HanoverTagger", None)
    with pytest.raises(RecipeError, match=r"^Noun phrases need the tagger HanTa\. .* Do `pip install HanTa`\.$"):
        noun_phrases("a dog")
    phrases._tagger.cache_clear()
