"""Every length of one search is what a search of that length alone finds."""

import numpy as np
import pytest

from describer.errors import ConceptsError
from describer.search.formulas import search_formulas
from describer.search.lengths import search_lengths
from describer.search.signatures import SignatureTable


def drawn(seed):
    """A table of seven images 11 x 13 with two categories, and counts of three units, one of which never fires."""
    rng = np.random.default_rng(seed)
    maps = {"object": rng.integers(0, 6, (7, 11, 13)), "color": rng.integers(0, 4, (7, 11, 13))}
    table = SignatureTable.from_maps(maps)
    masks = rng.random((3, 7, 11, 13)) < np.array([0.3, 0.1, 0.0])[:, None, None, None]
    return table, table.count(masks)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_every_length_is_found_as_if_alone(seed):
    table, counts = drawn(seed)
    found = search_lengths(table, counts, max_length=5, beam_size=3)
    assert [len(own) for own in found] == [3] * 5
    for length, own in enumerate(found, 1):
        assert own == search_formulas(table, counts, max_length=length, beam_size=3)


def test_lengths_below_one_are_refused():
    with pytest.raises(ConceptsError, match="at least 1"):
        search_lengths(*drawn(0), max_length=0)
