"""Words by softWPMI: the paper's formula in plain loops, lists with blank lines, units that cannot be described."""

import math
from pathlib import Path

import pytest
import torch

from describer.description import Describer
from describer.errors import DescriberError
from describer.exemplars import Exemplars
from describer.wordlist import WordListDescriber, WordListSettings, read_words, soft_log_prob
from tests.describer.colours import COLOURS, ColourListener, Plain

WORDS = [*COLOURS, "red blue"]


def exemplars(images: list[list[int]], dead: tuple[int, ...] = ()) -> Exemplars:
    rows = torch.tensor(images)
    units, k = rows.shape
    flags = torch.tensor([row in dead for row in range(units)])
    maps = torch.ones(units, k, 2, 3).half()
    return Exemplars("body", torch.arange(units) * 2, rows, torch.ones(units, k), maps, torch.zeros(units), flags)


def slow(cosines: list[list[float]], chosen: list[list[int]], a: float, first: float, last: float) -> list[list[float]]:
    """The paper's sum with plain loops; -1 stands for no exemplar."""
    rows = []
    for own in chosen:
        row = []
        for word in range(len(cosines[0])):
            total = 0.0
            for rank, image in enumerate(own):
                if image < 0:
                    continue
                bottom = sum(math.exp(a * cosine) for cosine in cosines[image])
                p_word = math.exp(a * cosines[image][word]) / bottom
                p_in = first - rank / len(own) * (first - last)
                total += math.log(1 + p_in * (p_word - 1) + 1e-7)
            row.append(total)
        rows.append(row)
    return rows


@pytest.mark.parametrize(("a", "first", "last"), [(10.0, 0.998, 0.97), (2.0, 1.0, 0.5)])
def test_the_formula_is_that_of_the_paper(a: float, first: float, last: float) -> None:
    cosines = torch.rand(7, 5, generator=torch.Generator().manual_seed(0)) * 2 - 1
    chosen = torch.tensor([[0, 3, 6], [2, 1, -1]])
    settings = WordListSettings(sharpness=a, first=first, last=last)
    fast = soft_log_prob(cosines, chosen.clamp_min(0), chosen >= 0, settings)
    wanted = slow(cosines.tolist(), chosen.tolist(), a, first, last)
    assert torch.allclose(fast, torch.tensor(wanted, dtype=torch.float64), atol=1e-9)


def test_descriptions_are_words_by_pmi_with_the_prior_over_units() -> None:
    images = [[0, 5, 10], [1, 6, 11], [2, 7, 12]]
    listener, pictures = ColourListener(), Plain()
    describer = WordListDescriber(listener, WORDS, WordListSettings(weight=0.7, n_best=4))
    assert isinstance(describer, Describer)
    told = describer.describe(exemplars(images), pictures)
    assert [each.text for each in told] == ["red", "green", "blue"]
    assert [each.id for each in told] == ["body:0", "body:2", "body:4"]
    vectors = listener.embed_images([pictures.image(i) for i in range(13)])
    rows = slow((vectors @ listener.embed_texts(WORDS).T).tolist(), images, 10.0, 0.998, 0.97)
    for own, row in zip(told, rows, strict=True):
        assert len(own.n_best) == 4 and own.n_best[0].text == own.text
        for candidate in own.n_best:
            word = WORDS.index(candidate.text)
            prior = math.log(sum(math.exp(other[word]) for other in rows) / len(rows))
            assert candidate.log_prob == pytest.approx(row[word], abs=1e-4)
            assert candidate.log_prior == pytest.approx(prior, abs=1e-4)
            assert candidate.pmi == pytest.approx(row[word] - 0.7 * prior, abs=1e-4)
        assert [c.pmi for c in own.n_best] == sorted((c.pmi for c in own.n_best), reverse=True)


def test_dead_units_say_nothing_and_change_nobody() -> None:
    three = [[0, 5, 10], [1, 6, 11], [2, 7, 12]]
    pictures = Plain()
    with_dead = WordListDescriber(ColourListener(), WORDS).describe(exemplars(three, dead=(1,)), pictures)
    assert [each.text for each in with_dead] == ["red", None, "blue"]
    assert not {1, 6, 11} & set(pictures.asked)
    without = WordListDescriber(ColourListener(), WORDS).describe(exemplars([three[0], three[2]]), Plain())
    assert [each.scores for each in with_dead if each.text] == [each.scores for each in without]
    assert [d.text for d in WordListDescriber(ColourListener(), WORDS).describe(exemplars([[-1, -1]]), Plain())] == [
        None
    ]


def test_absent_exemplars_and_a_unit_alone() -> None:
    (told,) = WordListDescriber(ColourListener(), WORDS).describe(exemplars([[3, 8, -1]]), Plain())
    assert told.text == "yellow", "its PMI is 0 for all words: p(d|E) decides"
    assert told.scores["pmi"] == pytest.approx(0)


def test_pictures_are_embedded_once_between_layers_of_one_source() -> None:
    listener, pictures = ColourListener(), Plain()
    describer = WordListDescriber(listener, WORDS, batch_size=2)
    describer.describe(exemplars([[0, 5], [1, 5]]), pictures)
    assert listener.n_pictures == 3
    describer.describe(exemplars([[0, 6], [1, 5]]), pictures)
    assert listener.n_pictures == 4
    describer.describe(exemplars([[0, 6], [1, 5]]), Plain())
    assert listener.n_pictures == 8


def test_blank_lines_shift_no_label(tmp_path: Path) -> None:
    """Published: blanks are left out of what is embedded and not of what is named, so labels move."""
    path = tmp_path / "words.txt"
    path.write_text("red\n\n  \ngreen \nblue\nred\n\n", encoding="utf-8")
    words = read_words(path)
    assert words == ["red", "green", "blue"]
    told = WordListDescriber(ColourListener(), words).describe(exemplars([[1, 6], [2, 7]]), Plain())
    assert [each.text for each in told] == ["green", "blue"]


@pytest.mark.parametrize("content", [b"", b" \n\n", b"\xff\xfe\xff"])
def test_a_list_without_words_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "words.txt"
    path.write_bytes(content)
    with pytest.raises(DescriberError, match="a word list must"):
        read_words(path)
    with pytest.raises(DescriberError, match="a word list must be a text file"):
        read_words(tmp_path / "none.txt")
    with pytest.raises(DescriberError, match="words must be at least one"):
        WordListDescriber(ColourListener(), [" "])
    with pytest.raises(DescriberError, match="lambda must be 0 or more"):
        WordListSettings(first=0.5, last=0.9)


def test_the_key_tells_words_listener_and_settings() -> None:
    listener = ColourListener()
    keys = [
        WordListDescriber(listener, WORDS).key,
        WordListDescriber(listener, WORDS[::-1]).key,
        WordListDescriber(listener, WORDS, WordListSettings(weight=0.5)).key,
    ]
    assert len({str(key) for key in keys}) == 3
    assert keys[0]["listener"] == "colours" and keys[0]["listener_weights"] == "none"
