"""A small atlas and what searches it, shared by the tests of search."""

from pathlib import Path

import pytest

from describer.search.index import Searcher
from tests.describer.captioners import small_captioner
from tests.search.indexed import write_atlas


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_atlas(tmp_path_factory.mktemp("search") / "atlas")


@pytest.fixture(scope="module")
def searcher(path: Path) -> Searcher:
    return Searcher(path, small_captioner())
