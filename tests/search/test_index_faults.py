"""What cannot be asked of an index is told in one sentence."""

import math
from pathlib import Path

import pytest

from describer.errors import AtlasError, DescriberError, ImagesError
from describer.search.index import Searcher, search
from tests.describer.captioners import small_captioner
from tests.search.indexed import LIVING, write_atlas


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"text": "  "}, "a query must have words"),
        ({}, "a search must have a text, an image or a unit"),
        ({"text": "dogs", "k": 0}, "the number of units must be 1 or more"),
        ({"text": "dogs", "how": "magic"}, "how must be of reranked, fused, words, meaning. Got 'magic'"),
        ({"text": "dogs", "layers": ["sten"]}, "must have the layer. Got 'sten'. Nearest: stem"),
        ({"text": "dogs", "methods": ["formel"]}, "Got 'formel'. It has: caption, formula"),
        ({"text": "dogs", "min_score": math.nan}, "the least score must be a number"),
        ({"text": "dogs", "templates": ("many",)}, "a template must hold {} once"),
        ({"unit": "stem:77"}, "stem must have the unit. Got 77"),
        ({"unit": "stem"}, "a unit must be given as LAYER:UNIT"),
        ({"unit": "stem:1"}, "Got a dead unit"),
        ({"unit": "stem:1", "neighbours": "coactivation"}, "Got a dead unit"),
    ],
)
def test_what_cannot_be_asked_is_told(asked: dict[str, object], told: str, searcher: Searcher) -> None:
    with pytest.raises(DescriberError) as caught:
        searcher.search(**asked)  # type: ignore[arg-type]
    assert told in str(caught.value) and "\n" not in str(caught.value)


def test_a_file_that_is_no_picture_is_told(tmp_path: Path, searcher: Searcher) -> None:
    (tmp_path / "x.png").write_text("no picture")
    with pytest.raises(ImagesError, match="An image must be readable"):
        searcher.search(image=tmp_path / "x.png")


def test_a_folder_that_is_no_atlas_is_told(tmp_path: Path) -> None:
    with pytest.raises(AtlasError, match="must be an atlas"):
        search(tmp_path, "dogs")
    with pytest.raises(AtlasError, match="a search must have an atlas"):
        search([], "dogs")
    write_atlas(tmp_path / "atlas", ())
    with pytest.raises(AtlasError, match="must have a finished layer"):
        search(tmp_path / "atlas", "dogs", captioner=small_captioner())
    file = write_atlas(tmp_path / "old") / "atlas.json"
    file.write_text(file.read_text().replace('"format": 1', '"format": 0'))
    with pytest.raises(AtlasError, match=r"must be an atlas of format 1\. Got format 0"):
        search(tmp_path / "old", "dogs")


@pytest.mark.parametrize("text", ["' OR 1=1 --", '"red dogs"', "red AND (", "*", "a:b", "🤖 犬", "dogs " * 500, "\0"])
def test_odd_texts_are_texts(text: str, searcher: Searcher) -> None:
    for how in ("words", "reranked"):
        assert len(searcher.search(text, how=how, k=99)) <= len(LIVING)
