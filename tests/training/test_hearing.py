"""The numbers of the listener's card, by hand and on photographs that a fake listener sees the colour of."""

import numpy as np
import pytest
import torch
from PIL import Image

from describer.listener import ListenerLike
from describer.training.hearing import auc, hear, read_captioned, words_told
from tests.training.parquets import names_in, struct, write

pytest.importorskip("HanTa")
COLOURS = {"red": (210, 20, 20), "green": (20, 150, 30), "blue": (20, 40, 210)}


class ColourHearer:
    """Hears the three colour words, sees the mean colour: computes what a listener should."""

    def __init__(self):
        self.name, self.key = "colours", {"listener": "colours"}

    def embed_images(self, images):
        """The mean colour, at length 1."""
        means = torch.tensor(np.array([np.asarray(image).mean((0, 1)) for image in images]), dtype=torch.float32)
        return torch.nn.functional.normalize(means, dim=1)

    def embed_texts(self, texts):
        """The colour that is named, grey for none."""
        named = [next((c for word, c in COLOURS.items() if word in text), (9, 9, 9)) for text in texts]
        return torch.nn.functional.normalize(torch.tensor(named, dtype=torch.float32), dim=1)

    def simulate(self, text_embeddings, image_embeddings):
        """A sigmoid of the cosine."""
        return torch.sigmoid(20 * (text_embeddings @ image_embeddings.T - 0.8))


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    rows = []
    for i, name in enumerate(names_in([8], 21)):
        word, colour = list(COLOURS.items())[i % 3]
        noise = np.random.default_rng(i).integers(-9, 10, (17, 19, 3))
        image = Image.fromarray((np.array(colour) + noise).clip(0, 255).astype(np.uint8))
        where = "on the grass" if i % 2 else "here"
        captions = [f"A {word} ball lies {where} ."] * 3 + ["A ball ."] * 2
        rows.append({"image": struct(image, name), "captions": captions})
    rows.append({"image": rows[0]["image"] | {"path": names_in([7], 1)[0]}, "captions": ["A dog ."] * 5})
    write(folder / "flickr8k" / "val-0.parquet", rows)
    return str(folder)


def test_only_photographs_of_the_fold_are_read(data):
    read = read_captioned(data)
    assert len(read.images) == len(read.captions) == 21
    assert all(len(own) == 5 and "dog" not in " ".join(own) for own in read.captions)


def test_words_are_counted_by_people(data):
    words = words_told(read_captioned(data).captions)
    told = words.told
    assert (words.nouns, words.colours) == (["balls", "grass"], ["blue", "green", "red"])
    assert told[0].tolist() == [5, 0, 0, 0, 3]
    assert told[1].tolist() == [5, 3, 0, 3, 0]


def test_auc_counts_every_pair_and_half_of_the_ties():
    rng = np.random.default_rng(0)
    scores, true = rng.integers(0, 5, 23).astype(float), rng.random(23) < 0.4
    pairs = [(a > b) + 0.5 * (a == b) for a in scores[true] for b in scores[~true]]
    assert auc(scores, true) == pytest.approx(sum(pairs) / len(pairs))


def test_a_listener_that_sees_colours_tells_them(data):
    listener = ColourHearer()
    assert isinstance(listener, ListenerLike)
    photographs = read_captioned(data)
    report = hear(listener, photographs, words_told(photographs.captions), n_recalled=20)
    assert report["photographs"] == 21 and report["n_colours"] == 3
    assert report["n_nouns"] == 1, "balls are in every photograph: there is nothing to tell"
    assert report["auc_colours"] == [1.0, 1.0, 1.0]
    assert report["error_after"] < report["error_before"]
    for name in ("image_to_text", "text_to_image"):
        mean, low, high = report[name]
        assert 0 <= low <= mean <= high <= 1
