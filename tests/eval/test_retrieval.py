"""Recall of planted units: ranks against plain loops, and texts in other words."""

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from describer.eval.retrieval import index_of, other_words, recalls, unsaid
from describer.search.meanings import Meanings
from tests.describer.captioners import small_captioner


@pytest.mark.parametrize(
    ("concept", "description", "text"),
    [
        ("dogs", "cats", "dogs"),
        ("dogs", "brown dogs", "dog"),
        ("dogs", None, "dogs"),
        ("red zebras", "zebra stripes", None),
    ],
)
def test_other_words_share_none_with_the_description(concept: str, description: str | None, text: str | None) -> None:
    if text == "dog":  # the same word in another number is the same word
        assert other_words(concept, description) in ("puppies", "puppy")
    else:
        assert other_words(concept, description) == text
    assert unsaid(concept, description) == (concept if description in ("cats", None) else None)


def test_recall_counts_units_among_the_first_ten(tmp_path: Path) -> None:
    captioner = small_captioner()
    generator = torch.Generator().manual_seed(5)
    features = torch.randn(13, 3, captioner.encoder.n_features, generator=generator)
    texts = ["dogs", "grass", None, "red cars", "sky", None, "dogs", "water", "sky", "cars", "grass", "wheels", "red"]
    index = index_of(Meanings(captioner), features, texts, tmp_path / "index")
    found = {row.how: row for row in recalls(index, texts, "small", "concept")}
    present = torch.ones(13, 3, dtype=torch.bool)
    with torch.inference_mode():
        memory = captioner.encode(features, present).half().float()
        units = F.normalize(captioner.set_embedding(features, present), dim=-1)
    ranks = []
    for unit, text in enumerate(texts):
        if text is not None:
            asked = F.normalize(captioner.text_embedding(captioner.tokens([text])), dim=-1)[0]
            scores = captioner.log_prob([text], memory, present)[:, 0] + 30 * units @ asked
            ranks.append(int((scores > scores[unit]).sum()))
    row = found["reranked"]
    assert list(found) == ["meaning", "words", "fused", "reranked"] and row.units == 11
    assert row.recall[0] == pytest.approx(sum(rank < 10 for rank in ranks) / 11)
    assert row.first == pytest.approx(sum(rank == 0 for rank in ranks) / 11)
    assert found["words"].recall[0] == 1.0 and found["words"].first == pytest.approx(8 / 11)
