"""The report card: what counts as exact, named and false, baselines, and the verb with describers that compute."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from describer.description import Description, ImageSource
from describer.errors import DescriberError
from describer.eval.planted import __main__ as program
from describer.eval.planted import card
from describer.eval.planted.firing import fire
from describer.eval.planted.methods import NOTHING, Said, by_describer, concept, constant, formula, shuffled
from describer.eval.planted.reading import Reader
from describer.eval.planted.units import PlantedForm, World, draw_units
from describer.eval.planted.verbs import describer_of
from describer.exemplars import Exemplars
from describer.search.forms import Concept, parse
from tests.eval.planting import SIDE, BlockConcepts


@pytest.fixture(scope="module")
def world() -> World:
    return World(BlockConcepts(), side=SIDE)


@pytest.fixture(scope="module")
def reader(world: World) -> Reader:
    return Reader(world.table)


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("dogs", "dog"),
        ("red cars", "car AND red"),
        ("puppies and automobiles", "dog OR car"),
        ("a tree or the sky", "sky OR tree"),
        ("trees without green", "tree AND NOT green"),
        ("red things without dogs", "red AND NOT dog"),
        ("furniture", None),
        ("furniture and dogs", "dog"),
        ("", None),
    ],
)
def test_texts_are_read_as_forms(reader: Reader, text: str, form: str | None) -> None:
    assert reader.form(text) == (None if form is None else parse(form))


def test_words_are_false_that_hold_for_less_than_half(world: World, reader: Reader) -> None:
    truth = parse("red AND dog")
    assert reader.false_words("red dogs", truth) == 0
    assert reader.false_words("red puppies", truth) == 0
    assert reader.false_words("blue dogs on furniture", truth) == 2
    assert reader.false_words(parse("red AND NOT car"), truth) == 0, "no car is where the red dogs are"
    assert reader.false_words(parse("red AND NOT dog"), truth) == 1
    assert reader.false_words("red dogs", None) == 2
    assert reader.false_words("dogs", parse("dog OR car")) == 0, "what the truth has is not false"


def test_exact_is_on_the_pixels(reader: Reader) -> None:
    truth = parse("dog AND NOT red")
    assert reader.same(parse("NOT red AND dog AND NOT car"), truth), "no dog is a car"
    assert not reader.same(parse("dog"), truth)
    assert not reader.same(None, truth) and reader.same(None, None)


def unit(text: str, kind: str = "and") -> PlantedForm:
    return PlantedForm(kind, parse(text))


@pytest.mark.parametrize(
    ("said", "exact", "named", "one", "false", "words"),
    [
        (Said("red dogs", parse("red AND dog")), True, True, True, 0, 2),
        (Said("red puppies of paint", parse("red AND dog")), True, True, True, 1, 4),
        (Said("dogs", Concept("dog")), False, False, True, 0, 1),
        (Said("blue", Concept("blue")), False, False, False, 1, 1),
        (Said("red AND dog", parse("red AND dog"), True), True, True, True, 0, 3),
        (NOTHING, False, False, False, 0, 0),
    ],
)
def test_marks(reader: Reader, said: Said, exact: bool, named: bool, one: bool, false: int, words: int) -> None:
    mark = card.judged(reader, "m", 0.1, 3, unit("red AND dog"), said)
    assert (mark.exact, mark.named, mark.one, mark.false_words, mark.words) == (exact, named, one, false, words)
    assert mark.silent == (said is NOTHING) and mark.unit == 3 and mark.truth == "dog AND red"


def test_what_must_not_be_there_need_not_be_named(reader: Reader) -> None:
    mark = card.judged(reader, "m", 0.0, 0, unit("dog AND NOT red", "and not"), Said("dogs", Concept("dog")))
    assert mark.named and not mark.exact
    negated = Said("NOT red", parse("NOT red"), True)
    assert not card.judged(reader, "m", 0.0, 0, unit("red"), negated).named, "NOT red does not name red"


def test_of_noise_silence_is_exact(reader: Reader) -> None:
    noise = PlantedForm("noise", None)
    assert card.judged(reader, "m", 0.0, 0, noise, NOTHING).exact
    said = card.judged(reader, "m", 0.0, 0, noise, Said("red dogs", parse("red AND dog")))
    assert not said.exact and not said.named and said.false_words == 2


def test_forms_are_exact_without_noise_and_noise_is_mostly_silent(world: World) -> None:
    units = draw_units(world, 3, seed=1)
    tellers = {"concept": concept(world.table), "formula": formula(world.table, penalty=0.95)}
    rows = card.summary(card.run(world, units, tellers, levels=(0.0, 0.3), n_shifts=5))
    found = {(row["method"], row["wrong"], row["kind"]): row for row in rows}
    assert found["formula", 0.0, "all"]["exact"]["value"] >= 0.95
    assert found["concept", 0.0, "single"]["exact"]["value"] == 1
    assert found["concept", 0.0, "or"]["exact"]["value"] == 0
    assert found["formula", 0.0, "all"]["units"] == 18 and found["formula", 0.3, "noise"]["units"] == 3
    for row in rows:
        for measure in card.MEASURES:
            assert row[measure]["low"] <= row[measure]["value"] <= row[measure]["high"]
    shown = card.tables(rows)
    assert len(shown) == 6 and all(len(line) == len(columns) for _, columns, cells in shown for line in cells)


def test_baselines_say_what_they_should(world: World) -> None:
    units = [unit("dog OR car"), unit("dog AND red"), unit("tree AND NOT dog"), PlantedForm("noise", None)]
    assert {said.text for said in constant(fire(world, units, 0.0))} == {"dog"}
    for n in (2, 3, 11):
        texts = [Said(str(i), None) for i in range(n)]
        moved = shuffled(texts, seed=n)
        assert sorted(s.text or "" for s in moved) == sorted(s.text or "" for s in texts)
        assert all(a.text != b.text for a, b in zip(moved, texts, strict=True))
    assert shuffled([NOTHING]) == [NOTHING] and shuffled([]) == []


class Colours:
    """Says the colour of the exemplars under their masks."""

    method, key = "colours", None

    def describe(
        self, exemplars: Exemplars, images: ImageSource, progress: Callable[[int], None] | None = None
    ) -> list[Description]:
        masks = exemplars.masks(images.image(0).width).numpy()
        told = []
        for row, number in enumerate(exemplars.unit_ids.tolist()):
            shown = exemplars.images[row].tolist()
            pixels = [np.asarray(images.image(i))[m] for i, m in zip(shown, masks[row], strict=True) if i >= 0]
            mean = np.concatenate(pixels).mean(0)
            text = ("red", "green", "blue")[int(mean.argmax())] if np.ptp(mean) > 100 else None
            told.append(Description("x", number, text, "colours"))
        return told


def test_any_describer_can_be_run(world: World) -> None:
    units = [unit(name, "single") for name in ("red", "blue", "dog")]
    marks = card.run(world, units, {"colours": by_describer(Colours(), world)}, levels=(0.0,))
    by_method = {name: [mark for mark in marks if mark.method == name] for name in ("colours", "constant", "shuffled")}
    assert [mark.exact for mark in by_method["colours"][:2]] == [True, True]
    assert [mark.silent for mark in by_method["colours"]] == [False, False, True]
    assert not any(mark.exact for mark in by_method["shuffled"][:2])


def test_the_verb_prints_and_writes(tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch) -> None:
    out = tmp_path / "card.json"
    options = ["card", "--concepts", "scenes:17:9", "--side", "28", "--units", "1", "--shifts", "2"]
    options += ["--methods", "concept;formula .95", "--out", str(out)]
    for more in ([], ["--json"]):
        monkeypatch.setattr("sys.argv", ["planted", *options, *more])
        with pytest.raises(SystemExit) as done:
            program.main()
        assert not done.value.code
        printed = capsys.readouterr().out
        if more:
            lines = [json.loads(line) for line in printed.splitlines()]
            assert lines[0]["seed"] == 0 and lines[0]["hardware"] and {"method", "exact"} <= set(lines[1])
        else:
            assert "formula .95" in printed and "hardware" in printed and "named, by noise" in printed
    found = json.loads(out.read_text())
    assert {row["method"] for row in found["descriptions"]} == {"concept", "formula .95", "constant", "shuffled"}


def test_what_there_is_not_is_refused(capsys: pytest.CaptureFixture, monkeypatch) -> None:
    with pytest.raises(DescriberError, match="methods must be of"):
        describer_of("vlm", None, None, None, None)
    monkeypatch.setattr("sys.argv", ["planted", "card", "--concepts", "nowhere"])
    with pytest.raises(SystemExit) as done:
        program.main()
    assert done.value.code == 2 and "nowhere" in capsys.readouterr().err
