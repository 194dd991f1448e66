"""Pictures of units: masks lie where they belong, words are whole, and every unit has its row."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from describer.atlas import Atlas
from describer.errors import AtlasError
from describer.picture import (
    EDGE,
    FADE,
    OUTLINE,
    PAPER,
    UnitCard,
    best_cards,
    cards,
    contact_sheet,
    exemplar_grid,
    unit_card,
    worth,
)
from tests.describer.worlds import LAYERS, K, Namer, Squares, make_exemplars, make_manifest

GREY = (90, 100, 110)


@pytest.fixture(scope="module")
def atlas(tmp_path_factory: pytest.TempPathFactory) -> Atlas:
    path = tmp_path_factory.mktemp("pictures") / "atlas"
    with Atlas.create(path, make_manifest()) as atlas:
        for layer in LAYERS:
            exemplars = make_exemplars(layer)
            atlas.write_layer(layer, exemplars, Namer().describe(exemplars, Squares()), Squares())
    return Atlas.open(path)


def plain_card(n: int = 3, text: str | None = "dog faces", mask: str = "left") -> UnitCard:
    masks = np.zeros((n, 224, 224), bool)
    masks[:, :, : {"left": 112, "none": 0, "all": 224}[mask]] = True
    images = tuple(Image.new("RGB", (112, 112), GREY) for _ in range(n))
    return UnitCard("layer4:3", text, ("PMI 3.1 nats",), ("dogs", "snouts"), images, masks)


def tile_of(card: UnitCard, side: int) -> np.ndarray:
    """The last exemplar of a grid one column wide: it ends a margin before the sheet does."""
    sheet = np.asarray(exemplar_grid(card, columns=1, side=side)).astype(int)
    return sheet[-22 - side : -22, 22 : 22 + side]


def test_outside_the_mask_is_faded_and_inside_is_not() -> None:
    tile = tile_of(plain_card(), 112)
    faded = [round(c * (1 - FADE) + p * FADE) for c, p in zip(GREY, PAPER, strict=True)]
    assert (tile[5:-5, 5:50] == GREY).all()
    assert np.abs(tile[5:-5, 62:-5] - faded).max() <= 1
    assert (np.abs(tile[50, 54:60] - OUTLINE).sum(1) < 40).any()  # a thin line between the two
    assert (tile[0] == EDGE).all()


def test_empty_and_full_masks_have_no_outline() -> None:
    for mask in ("none", "all"):
        inner = tile_of(plain_card(mask=mask), 112)[1:-1, 1:-1]
        assert (inner == inner[0, 0]).all()
    assert (tile_of(plain_card(mask="all"), 112)[50, 50] == GREY).all()


@pytest.mark.parametrize(("n", "columns", "rows"), [(15, 5, 3), (7, 5, 2), (1, 1, 1), (0, 1, 0)])
def test_grid_has_room_for_every_exemplar(n: int, columns: int, rows: int) -> None:
    tall, flat = exemplar_grid(plain_card(n), side=101), exemplar_grid(plain_card(0), side=101)
    assert tall.width >= columns * 107
    assert tall.height - flat.height == max(rows * 107 - 6, 0)


def ink(picture: Image.Image) -> int:
    return int((np.asarray(picture.convert("L")) < 120).sum())


def test_long_words_wrap_and_nothing_leaves_the_sheet() -> None:
    long = plain_card(3, "wheels of cars and of other vehicles " * 5 + "Donaudampfschifffahrtsgesellschaft" * 4)
    sheet = exemplar_grid(long)
    assert sheet.height > exemplar_grid(plain_card(3)).height
    assert (np.asarray(sheet)[:, -10:] == PAPER).all()
    assert ink(sheet) > ink(exemplar_grid(plain_card(3)))


def test_sheet_has_one_row_a_unit_in_order() -> None:
    several = [plain_card(5, text) for text in ("a", "b b b b b b b b", None)]
    sheets = [contact_sheet(several[:n], "title", n_exemplars=5) for n in range(4)]
    pitches = {int(np.diff([sheet.height for sheet in sheets])[i]) for i in range(3)}
    assert len(pitches) == 1
    assert np.array_equal(np.asarray(sheets[3])[: sheets[2].height - 22], np.asarray(sheets[2])[:-22])


def test_same_atlas_same_picture(atlas: Atlas) -> None:
    first, second = (np.asarray(exemplar_grid(unit_card(atlas, "body.0", 3))) for _ in range(2))
    assert np.array_equal(first, second)


def test_card_says_what_the_row_says(atlas: Atlas) -> None:
    card = unit_card(atlas, "body.0", 3)
    row = atlas.units("body.0")[3]
    assert (card.id, card.text, len(card.images)) == ("body.0:3", row["description"], K)
    assert card.notes == (f"PMI {row['pmi']:.1f} nats", f"peak {row['activation']:.3g}")
    assert card.others == tuple(candidate["text"] for candidate in row["n_best"][1:4])
    masks = make_exemplars("body.0").masks(224, [3])[0].numpy()
    assert np.array_equal(card.masks, masks)


def test_dead_and_unreliable_units_say_so(atlas: Atlas) -> None:
    assert unit_card(atlas, "stem", 1).headline == "dead unit"
    assert unit_card(atlas, "stem", 2).headline == "no reliable description"


def test_unknown_unit_offers_the_nearest(atlas: Atlas) -> None:
    with pytest.raises(AtlasError, match=r"Nearest: head:0, head:1, head:2"):
        unit_card(atlas, "head", 7)


def test_best_cards_are_the_surest_and_repeat_no_text(atlas: Atlas) -> None:
    rows = [row for row in atlas.units() if row["pmi"] is not None]
    for n_units in (1, 4, 7, 99):
        chosen: list[str] = []  # oracle: the best row whose text is not there yet, again and again
        texts: set[str] = set()
        while (left := [row for row in rows if row["description"] not in texts]) and len(chosen) < n_units:
            best = max(left, key=lambda row: row["pmi"])
            chosen.append(best["id"])
            texts.add(best["description"])
        wanted = [row["id"] for row in rows if row["id"] in chosen]
        assert [card.id for card in best_cards(atlas, n_units)] == wanted
    assert len({card.text for card in best_cards(atlas, 99)}) == len(best_cards(atlas, 99))


def test_worth() -> None:
    assert worth({"score": None, "pmi": 3.0, "scores": {"evidence": 2.0}}) == 3.0
    assert worth({"score": 0.5, "pmi": 3.0, "scores": {"evidence": 2.0}}) == 1.0
    assert worth({"score": 0.5, "pmi": 3.0, "scores": {"evidence": -2.0}}) == 0.0
    assert worth({"score": 0.5, "pmi": None, "scores": {"iou": 0.25}}) == 0.5  # a form has no evidence


def test_cards_of_no_rows(atlas: Atlas, tmp_path: Path) -> None:
    assert cards(atlas, "head", []) == []
    contact_sheet([]).save(tmp_path / "empty.png")
