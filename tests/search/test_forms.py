import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from describer.errors import FormulaError
from describer.search.forms import And, Concept, Form, Neighbors, Not, Or, affirmed, parse
from tests.search.drawn import names, planted, trees

A, B, C = Concept("a"), Concept("b"), Concept("c")


def test_order_doubling_and_nesting_do_not_matter() -> None:
    assert A & B & C == C & (B & A) == (A & A) & (C & B)
    assert A | B | C == C | (B | A) | A
    assert A & A == A and A | A == A
    assert A & B != A | B and A & B != A & C
    assert hash(A & B) == hash(B & A)


def test_not_stands_before_leaves_only() -> None:
    assert ~~A == A
    assert ~(A & B) == ~A | ~B == Or((Not(A), Not(B)))
    assert ~(A | ~B) == ~A & B == And((B, Not(A)))


def test_a_form_does_not_change() -> None:
    with pytest.raises(AttributeError):
        A.name = "b"  # type: ignore[misc]


def test_length_counts_concepts() -> None:
    assert [form.length for form in (A, ~A, A & ~B, (A | B) & Neighbors("a"), A & A)] == [1, 1, 2, 3, 1]
    assert (~A & (B | C)).leaves == (A, B, C)


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("a", A),
        ("a AND b OR c", (A & B) | C),
        ("a and (b or c)", A & (B | C)),
        ("NOT a AND b", ~A & B),
        ("not (a AND b)", ~A | ~B),
        ("NOT NOT a", A),
        ('"swimming pool" OR pre:tok:don\'t', Concept("swimming pool") | Concept("pre:tok:don't")),
        ('"and" AND NEIGHBORS(dog)', Concept("and") & Neighbors("dog")),
        ('neighbors ( "hot dog" )', Neighbors("hot dog")),
        (r'"say \"a\"" AND b', Concept('say "a"') & B),
        ("((a))", A),
        ("Ünïcode-c AND 7", Concept("Ünïcode-c") & Concept("7")),
    ],
)
def test_texts_that_can_be_read(text: str, form: Form) -> None:
    assert parse(text) == form


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("water AND NOT blue", "water"),
        ('NOT "open sky" AND "swimming pool"', "swimming pool"),
        ("cars AND NOT (red OR blue AND stone)", "cars"),
        ("NOT (NOT red AND blue)", "red"),
        ("NOT red", ""),
        ("(dog OR NEIGHBORS(cat)) AND NOT NEIGHBORS(bird)", "dog cat"),
        ('"and NOT" OR not', '"and NOT" OR not'),  # no form
        ("brown dogs", "brown dogs"),
    ],
)
def test_what_a_form_affirms(text: str, said: str) -> None:
    assert affirmed(text) == said


def test_a_form_is_printed_with_quotes_and_parentheses_where_needed() -> None:
    form = (Concept("swimming pool") | Concept("Not")) & ~Neighbors("a b") & Concept("x(1)") & B
    assert str(form) == 'b AND "x(1)" AND NOT NEIGHBORS("a b") AND ("Not" OR "swimming pool")'
    assert parse(str(form)) == form


@given(trees)
@settings(deadline=None)
def test_what_is_printed_is_read_back(tree: tuple) -> None:
    form = planted(tree)
    assert parse(str(form)) == form
    assert str(parse(str(form))) == str(form)


@given(names, names)
@settings(deadline=None)
def test_different_names_are_printed_differently(one: str, other: str) -> None:
    assert (str(Concept(one)) == str(Concept(other))) == (one == other)


@given(trees, st.integers(0, 2**32 - 1))
@settings(deadline=None)
def test_a_form_means_the_same_after_printing_and_its_opposite_the_opposite(tree: tuple, seed: int) -> None:
    form = planted(tree)
    dice = np.random.default_rng(seed)
    masks = {leaf: dice.random(13) < 0.5 for leaf in sorted(set(form.leaves), key=str)}
    mask = form.evaluate(masks.__getitem__)
    assert mask.dtype == bool and mask.shape == (13,)
    assert np.array_equal(parse(str(form)).evaluate(masks.__getitem__), mask)
    assert np.array_equal((~form).evaluate(masks.__getitem__), ~mask)
    assert ~~form == form


def test_a_form_is_evaluated_as_its_truth_table_says() -> None:
    rows = np.array(list(itertools.product([False, True], repeat=3))).T
    masks = dict(zip((A, B, C), rows, strict=True))
    found = ((A | ~B) & C).evaluate(masks.__getitem__)
    assert found.tolist() == [(a or not b) and c for a, b, c in rows.T.tolist()]


def test_evaluating_a_leaf_gives_an_array_of_its_own() -> None:
    mask = np.array([True, False])
    A.evaluate(lambda _: mask)[0] = False
    assert mask.tolist() == [True, False]


@pytest.mark.parametrize(
    ("text", "wanted", "caret"),
    [
        ("", "a concept", 0),
        ("   ", "a concept", 0),
        ("a AND", "a concept", 5),
        ("a AND OR b", "a concept", 6),
        ("a b", "AND, OR or the end", 2),
        ("(a OR b", "')'", 7),
        ("a OR b)", "AND, OR or the end", 6),
        ('a AND "swimming', "a closing quotation mark", 6),
        ('a AND ""', "a concept", 6),
        ("NEIGHBORS dog", "'('", 10),
        ("NEIGHBORS(a OR b)", "')'", 12),
        ("NEIGHBORS(NOT a)", "a concept", 10),
        (r'"a\q"', "a string as in JSON", 0),
        ("a\nAND\tAND", "a concept", 6),
        ("NOT", "a concept", 3),
    ],
)
def test_a_text_that_cannot_be_read_has_a_caret_under_the_fault(text: str, wanted: str, caret: int) -> None:
    with pytest.raises(FormulaError) as fault:
        parse(text)
    said, line, mark = str(fault.value).split("\n")
    assert said.startswith(f"a form must have {wanted} at character {caret + 1}. Got ")
    assert mark == "  " + " " * caret + "^"
    assert len(line) == len(text) + 2


def test_a_text_of_too_many_levels_is_refused() -> None:
    with pytest.raises(FormulaError, match="at most 100 levels at character 102"):
        parse("(" * 5000 + "a" + ")" * 5000)


@given(st.text(max_size=30))
@settings(deadline=None)
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        form = parse(text)
    except FormulaError as fault:
        assert str(fault).endswith("^")
    else:
        assert parse(str(form)) == form


@pytest.mark.parametrize("kind", [Concept, Neighbors])
def test_a_concept_must_have_a_name(kind: type) -> None:
    with pytest.raises(FormulaError, match=r"a concept in a form must have a name. Got ' '. Name it."):
        kind(" ")
