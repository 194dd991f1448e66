"""Words as dials: what each step does, taken back and done again, and the same pictures from JSON alone."""

import json
import shutil
from dataclasses import replace
from typing import ClassVar

import numpy as np
import pytest
import torch
from fastapi.testclient import TestClient
from PIL import Image

from describer.atlas import Atlas
from describer.errors import AtlasError, DescriberError, ImagesError, TargetError
from describer.eval.control.choice import choose_units
from describer.eval.control.dialpage import SLIDERS, make_dialboard
from describer.eval.control.dials import Dials, packed, unpacked
from describer.eval.control.drawing import Samples
from describer.eval.control.sayable import sayable
from describer.intervention import Edit


@pytest.fixture
def dials(target, atlas):
    return Dials(target, atlas, seed=4, n=7, top=1)


def drawn(target, edits):
    return Samples(target, 4, 7).draw(edits)


def test_a_dial_scales_its_units_and_its_last_turn_holds(target, dials):
    assert np.array_equal(dials.pictures(), drawn(target, [])) and dials.steps == ()
    dials.set("brown", 0.2)
    assert np.array_equal(dials.pictures(), drawn(target, [Edit("layer1", (0,), "scale", 0.2)]))
    dials.set("red", 3.0).set("brown", 0.5)
    wanted = [Edit("layer1", (0,), "scale", 0.5), Edit("layer1", (1,), "scale", 3.0)]
    assert np.array_equal(dials.pictures(), drawn(target, wanted)) and dials.values == {"brown": 0.5, "red": 3.0}
    dials.set("red", 0)
    assert np.array_equal(dials.pictures(), drawn(target, [wanted[0], Edit("layer1", (1,), "ablate")]))
    dials.set("red", 1).set("brown", 1)
    assert np.array_equal(dials.pictures(), dials.before) and dials.edits() == []


def test_paint_stays_in_its_box(target, atlas, dials):
    dials.paint("brown", (5, 10, 15, 20), level=2)
    changed = (dials.pictures() != dials.before).any(-1).any(0)
    assert (
        changed[10:, 5:15].any() and not changed[:10].any() and not changed[:, :5].any() and not changed[:, 15:].any()
    )
    where = torch.zeros(20, 20)
    where[10:, 5:15] = 1
    level = 2 * float(atlas.exemplars("layer1").threshold[0])
    assert np.array_equal(dials.pictures(), drawn(target, [Edit("layer1", (0,), "raise", level, where)]))


def test_paint_of_one_sample_by_a_mask_of_another_size(target, dials):
    mask = np.zeros((40, 40), np.uint8)
    mask[:20] = 255
    dials.paint("green", mask, sample=3)
    changed = (dials.pictures() != dials.before).any(-1)
    assert np.flatnonzero(changed.any((1, 2))).tolist() == [3] and not changed[3, 10:].any()
    other = Dials(target, dials.atlas, seed=4, n=7, top=1).paint("green", Image.fromarray(mask), sample=3)
    assert np.array_equal(other.pictures(), dials.pictures())
    share = Dials(target, dials.atlas, seed=4, n=7, top=1).paint("green", (mask / 255).astype(np.float32), sample=3)
    assert share.steps == other.steps
    whole = Dials(target, dials.atlas, seed=4, n=7, top=1).paint("green", level=0, sample=2)
    assert np.array_equal(whole.pictures()[2], drawn(target, [Edit("layer1", (2,), "ablate")])[2])
    assert np.array_equal(whole.pictures()[3], whole.before[3])


def test_boxes_between_pixels(dials):
    mask = unpacked(dials.paint("red", (0.5, 2.0, 3.0, 3.25)).steps[0].mask)
    assert (
        mask.shape == (20, 20) and mask[2, :4].tolist() == [128, 255, 255, 0] and mask[3, :3].tolist() == [32, 64, 64]
    )
    assert (mask[:2] == 0).all() and (mask[4:] == 0).all()


def test_steps_are_taken_back_and_done_again(dials):
    pictures = [dials.pictures()]
    for move in (
        lambda: dials.set("brown", 0),
        lambda: dials.paint("red", (0, 0, 20, 10)),
        lambda: dials.set("green", 2),
    ):
        move()
        pictures.append(dials.pictures())
    for wanted in reversed(pictures[:-1]):
        assert dials.undo() and np.array_equal(dials.pictures(), wanted)
    assert not dials.undo() and dials.redo() and dials.redo() and np.array_equal(dials.pictures(), pictures[2])
    dials.set("brown", 3)
    assert not dials.redo() and [step.words for step in dials.steps] == ["brown", "red", "brown"]


def test_replayed_from_json_alone(target, atlas, dials):
    dials.set("brown", 0.3).paint("red", (3, 2, 11, 17), level=1.5).paint("green", sample=5).set("red", 2)
    dials.undo()
    told = json.loads(json.dumps(dials.told(), allow_nan=False))
    again = Dials.replay(target, told)
    assert np.array_equal(again.pictures(), dials.pictures()) and again.told() == dials.told()
    assert again.redo() and dials.redo() and np.array_equal(again.pictures(), dials.pictures())
    again.set("brown", 0).paint("red", (0, 0, 5, 5))  # words of the steps need no atlas
    with pytest.raises(AtlasError, match="Give the atlas"):
        again.set("white", 0)
    assert Dials.replay(target, told, atlas).set("green", 0).values == {"brown": 0.3, "green": 0.0}
    for broken, fault in (
        ({**told, "pictures": "0" * 64}, "digest"),
        ({**told, "generator": {"name": "other", "fingerprint": "1"}}, "other weights than other"),
        ({key: value for key, value in told.items() if key != "steps"}, "what told"),
        ({**told, "steps": [{**told["steps"][1], "mask": "none"}], "done": 1}, "PNG"),
    ):
        with pytest.raises(DescriberError, match=fault):
            Dials.replay(target, broken)


def test_what_can_be_said_and_seen(dials):
    names = dict(dials.names())
    assert {"brown", "red", "green"} <= set(names) and set(names.values()) == {1}  # as top is 1
    assert dials.image(40).size == (3 * 42 - 2, 3 * 42 - 2) and dials._repr_png_().startswith(b"\x89PNG")
    mask = np.arange(6, dtype=np.uint8).reshape(2, 3) * 40
    assert np.array_equal(unpacked(packed(mask)), mask)


def test_words_are_counted_as_they_find_units(target, atlas):
    for top in (2, 5):
        for name, n in Dials(target, atlas, top=top).names():
            assert n == len(choose_units(atlas, name, top))
    counts = [n for _, n in sayable(atlas, 100)]
    assert counts == sorted(counts, reverse=True) and max(counts) > 2
    assert set(dict(Dials(target, atlas, top=100, how="meaning").names()).values()) == {11}


class Said(Atlas):
    """An atlas in which other things are said of the units, each withdrawn or not."""

    texts: ClassVar = {
        "material:night_sky AND NOT boat": True,
        "two brown boats": False,
        "a boat of wood": True,
        "boats": False,
        "": False,
    }

    def units(self, layer=None):
        rows = super().units(layer)[: len(self.texts)]
        return [
            row | {"description": None if gone else text, "withdrawn": text if gone else None}
            for row, (text, gone) in zip(rows, self.texts.items(), strict=True)
        ]


def test_words_of_forms_count_and_those_that_were_withdrawn(target, atlas, tmp_path):
    shutil.copytree(atlas.path, tmp_path / "atlas", ignore=shutil.ignore_patterns("concepts"))
    board = Dials(target, Said.open(tmp_path / "atlas"))
    names, single = board.names(), ("brown", "night", "sky", "two", "wood")
    assert names == [("boats", 3), *((name, 1) for name in single)]
    for name, n in names:
        assert sum(map(len, board.set(name, 1).steps[-1].units.values())) == n


def test_a_move_that_is_refused_changes_nothing(target, dials):
    dials.set("brown", 0).set("red", 3)
    dials.undo()
    steps, told = dials.steps, dials.told()
    for move in (
        lambda: dials.set("brown", 1e39),
        lambda: dials.set("bwon", 0),
        lambda: dials.set("green", 1e39),
    ):
        with pytest.raises(DescriberError):
            move()
        assert dials.steps == steps and dials.undone == 1 and dials.told() == told
    assert np.array_equal(dials.pictures(), drawn(target, [Edit("layer1", (0,), "ablate")]))
    assert dials.redo() and dials.values == {"brown": 0.0, "red": 3.0}


def test_a_redo_that_cannot_be_drawn_is_refused(target, dials):
    told = dials.set("brown", 2).told()
    told["steps"][0]["value"] = 1e39
    board = Dials.replay(target, {**told, "done": 0, "pictures": Dials(target, None, 4, 7).told()["pictures"]})
    with pytest.raises(TargetError, match="finite"):
        board.redo()
    assert board.steps == () and board.undone == 1 and np.array_equal(board.pictures(), board.before)


def test_a_box_from_json(dials):
    box = json.loads("[5, 10, 15.5, 20]")
    assert dials.paint("red", box).paint("red", tuple(box)).steps[0] == dials.steps[1]
    for other in ([0, 0, 5], [0, 0, 5, 99], [0, 0, float("nan"), 5], []):
        with pytest.raises(ImagesError, match="A box must be"):
            dials.paint("red", other)


@pytest.mark.parametrize("value", [float("nan"), 1.5, -0.1, 0.0])
def test_masks_that_are_no_shares(dials, value):
    mask = np.zeros((20, 20), np.float32)
    mask[3, 4] = value
    with pytest.raises(ImagesError, match="must lie in"):
        dials.paint("red", mask)


def test_a_transparent_picture_paints_nothing(dials):
    half = Image.new("RGBA", (20, 20), (255, 255, 255, 0))
    half.paste((255, 255, 255, 255), (0, 0, 20, 10))
    mask = unpacked(dials.paint("red", half).steps[0].mask)
    assert (mask[:10] == 255).all() and (mask[10:] == 0).all()


@pytest.mark.parametrize(
    "broken",
    [
        *({"n": "x"}, {"n": 0}, {"seed": -1}, {"seed": None}, {"top": 0}, {"how": []}, {"done": "all"}),
        *({"generator": {"fingerprint": "1"}}, {"steps": None}, {"steps": [1]}),
    ],
)
def test_steps_that_are_none(target, dials, broken):
    with pytest.raises(DescriberError):
        Dials.replay(target, dials.told() | broken)


@pytest.mark.parametrize(
    "broken",
    [
        *({"thresholds": {}}, {"thresholds": {"layer1": []}}, {"thresholds": None}, {"kind": "cut"}),
        *({"units": {"layer1": ["x"]}}, {"units": {"layer1": [99]}}),
        *({"value": "much"}, {"mask": 5}, {"sample": "all"}),
    ],
)
def test_a_step_that_is_none(target, dials, broken):
    told = dials.paint("red", (0, 0, 5, 5)).told()
    told["steps"][0] |= broken
    with pytest.raises(DescriberError):
        Dials.replay(target, json.loads(json.dumps(told)))


def test_refusals(target, atlas, dials):
    for move, fault, told in (
        (lambda: dials.set("bwon", 0), AtlasError, "nearest descriptions"),
        (lambda: dials.set("brown", float("nan")), DescriberError, "number"),
        (lambda: dials.paint("brown", (0, 0, 21, 5)), ImagesError, "within 20x20"),
        (lambda: dials.paint("brown", np.zeros((20, 30), np.uint8)), ImagesError, "aspect"),
        (lambda: dials.paint("brown", sample=7), DescriberError, "0..6"),
        (lambda: Dials(target, atlas, n=65), ImagesError, "fewer"),
        (lambda: Dials(target, atlas, how="luck"), DescriberError, "words or meaning"),
        (lambda: Dials(replace(target, fingerprint="other"), atlas), AtlasError, "Describe this generator"),
    ):
        with pytest.raises(fault, match=told):
            move()
    assert dials.steps == ()


# The page


def test_the_page(dials):
    page = TestClient(make_dialboard(dials), base_url="http://127.0.0.1:8000")
    home = page.get("/")
    assert home.status_code == 200 and home.text.count('class="dial"') == min(len(dials.names()), SLIDERS)
    assert 'data-words="brown"' in home.text and "script-src 'self'" in home.headers["content-security-policy"]
    for name in ("dials.js", "dials.css", "site.css", "site.js", "icon.svg"):
        assert f"/assets/{name}" in home.text and page.get(f"/assets/{name}").status_code == 200
    assert page.get("/assets/dials.py").status_code == page.get("/assets/..%2Fdials.py").status_code == 404
    state = page.get("/api/state").json()
    assert (len(state["pictures"]), state["height"], state["width"], state["steps"]) == (7, 20, 20, [])
    turned = page.post("/api/set", json={"words": "brown", "value": 0.2}).json()
    assert turned["values"] == {"brown": 0.2} and turned["pictures"] != state["pictures"]
    painted = page.post("/api/paint", json={"words": "red", "level": 2, "box": [0, 0, 20, 10.5], "sample": 3}).json()
    assert [a == b for a, b in zip(painted["pictures"], turned["pictures"], strict=True)].count(False) == 1
    assert painted["steps"][1] == {"kind": "paint", "words": "red", "value": 2.0}
    assert page.post("/api/paint", json={"words": "green"}).json()["steps"][2]["value"] == 1
    page.post("/api/undo", json={})
    assert page.post("/api/undo", json={}).json() == turned | {"undone": 2}
    assert page.post("/api/redo").json() == painted | {"undone": 1}
    saved = page.get("/steps.json")
    assert np.array_equal(Dials.replay(dials.target, saved.json()).pictures(), dials.pictures())


def test_what_the_page_refuses(dials):
    page = TestClient(make_dialboard(dials), base_url="http://127.0.0.1:8000")
    for path, body, told in (
        ("set", {"words": "bwon", "value": 0}, "nearest descriptions"),
        ("set", {"words": "brown", "value": "much"}, "must have words and numbers"),
        ("set", {"words": "brown" * 99, "value": 1}, "must have words and numbers"),
        ("paint", {"words": "brown", "box": [0, 0, 99, 5]}, "within 20x20"),
        ("set", {"words": "brown", "value": 1e39}, "finite"),
    ):
        answer = page.post(f"/api/{path}", json=body)
        assert answer.status_code == 422 and told in answer.json()["error"]
    assert page.get("/api/state").json()["steps"] == []
    page.post("/api/set", json={"words": "brown", "value": 2})
    before = page.post("/api/undo", json={}).json()
    assert page.post("/api/set", json={"words": "brown", "value": 1e39}).status_code == 422
    assert page.get("/api/state").json() == before and (before["steps"], before["undone"]) == ([], 1)
    assert page.post("/api/redo").json()["values"] == {"brown": 2.0}
    assert page.post("/api/undo", headers={"origin": "http://elsewhere"}).status_code == 403
    assert page.get("/", headers={"host": "elsewhere"}).status_code == 421
