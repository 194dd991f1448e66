"""Masks as people make them, empty regions, and edits of which the counts say nothing."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from describer.data.scenes.palette import COLOR_TERMS
from describer.errors import AtlasError, ConceptsError, ImagesError
from describer.eval.control.drawing import Samples
from describer.eval.control.edit import EditPlan, edit
from describer.eval.control.effects import FEW, LEAST, Effect, compare
from describer.eval.control.printing import effect_lines, print_edit
from describer.eval.control.quality import FAR, is_far
from describer.eval.control.region import read_mask, region_of, shares_of
from describer.eval.control.segmenter import Segmenter

PLAN = EditPlan(query="brown", top=1, samples=7, draws=1, seed=4)
WHITE = (255, 255, 255)


# Masks


def quarter_opaque() -> Image.Image:
    """All white, and transparent but for a corner, half so for another."""
    pixels = np.full((8, 8, 4), 255, np.uint8)
    pixels[..., 3] = 0
    pixels[:4, :4, 3], pixels[4:, 4:, 3] = 255, 51
    return Image.fromarray(pixels)


def test_what_is_transparent_is_not_edited(tmp_path):
    wanted = np.zeros((8, 8), np.float32)
    wanted[:4, :4], wanted[4:, 4:] = 1, 0.2
    picture = quarter_opaque()
    picture.save(tmp_path / "mask.png")
    assert np.allclose(read_mask(tmp_path / "mask.png").numpy(), wanted)
    assert np.allclose(shares_of(picture.convert("LA")), wanted)
    palette = Image.fromarray(np.array([[0, 1], [2, 1]], np.uint8), "P")
    palette.putpalette([255, 255, 255, 255, 255, 255, 0, 0, 0])
    palette.info["transparency"] = 1
    assert shares_of(palette).tolist() == [[1, 0], [0, 0]]


def test_grey_of_16_bits_is_scaled(tmp_path):
    levels = np.array([[0, 30_000], [65_535, 257]], np.uint16)
    Image.fromarray(levels).save(tmp_path / "mask.png")
    assert np.allclose(read_mask(tmp_path / "mask.png").numpy(), levels / 65_535, atol=1 / 500)
    assert np.array_equal(shares_of(Image.fromarray(np.array([[0, 51, 255]], np.uint8))), np.float32([[0, 0.2, 1]]))


def test_an_edit_under_a_transparent_mask_stays_there(target, atlas, tmp_path):
    mask = quarter_opaque()
    mask.crop((0, 0, 4, 8)).resize((20, 20), Image.Resampling.NEAREST).save(tmp_path / "mask.png")  # the upper half
    made = edit(target, atlas, replace(PLAN, where=str(tmp_path / "mask.png"), scale="insert"))
    changed = (made.before != made.after).any((0, 3))
    assert changed[:10].any() and not changed[10:].any()
    assert made.report["region"] == {"class": None, "share": 0.5}
    assert effect_lines(made.report)[0] == "edited where the mask is white: 50.0% of all pixels"


@pytest.mark.parametrize(
    ("picture", "told"),
    [
        (Image.new("L", (20, 20)), "must be white where the edit acts"),
        (Image.new("RGBA", (20, 20), (*WHITE, 0)), "must be white where the edit acts"),
        (Image.new("1", (20_000, 20_000), 1), "mask picture or class:NAME. Got .*400000000 pixels"),
    ],
)
def test_masks_that_are_refused(target, atlas, tmp_path, picture, told):
    picture.save(tmp_path / "mask.png")
    with pytest.raises(ImagesError, match=told):
        edit(target, atlas, replace(PLAN, where=str(tmp_path / "mask.png")))


def test_a_class_that_no_sample_shows(target, atlas):
    before, segmenter = Samples(target, 4, 7).draw(), Segmenter("colors")
    shown = {COLOR_TERMS[i] for i in np.unique(segmenter.labels(before)["color"])}
    absent = next(name for name in COLOR_TERMS if name and name not in shown)
    with pytest.raises(ConceptsError, match=f"must find {absent} in the samples. Got none in 7"):
        region_of(f"class:{absent}", before, segmenter)


def test_the_class_that_was_taken_is_told(target, atlas):
    report = edit(target, atlas, replace(PLAN, where="class:white walls")).report
    labels = Segmenter("colors").labels(Samples(target, 4, 7).draw())["color"]
    share = (labels == COLOR_TERMS.index("white")).mean()
    assert report["region"] == {"class": "white", "share": pytest.approx(share)}
    assert effect_lines(report)[0] == f"edited where white: {share:.1%} of all pixels"
    small = {**report, "region": {"class": "white", "share": LEAST / 2}}
    assert effect_lines(small)[0] == "edited where white: less than 0.1% of all pixels"
    assert edit(target, atlas, PLAN).report["region"] is None


# What is counted


def effect(before, after):
    nothing = np.zeros(len(before))
    return Effect(np.array(before), np.array(after), nothing, nothing)


@pytest.mark.parametrize(
    ("before", "is_told"),
    [([0.2] * FEW, True), ([0.2] * (FEW - 1) + [0.0] * 9, False), ([LEAST] * 9, True), ([0.9 * LEAST] * 9, False)],
)
def test_nothing_is_said_of_removing_next_to_nothing(before, is_told):
    told = compare(effect(before, [0.0] * len(before)), [effect(before, before)])
    for name, value in (("removed", 1), ("random_removed", 0), ("removed_beyond_random", 1)):
        assert set(told[name].values()) == {value if is_told else None}
    assert told["change"]["value"] == pytest.approx(-np.mean(before))


@pytest.mark.parametrize(("scale", "is_said"), [("0", True), ("0.5", True), ("1", False), ("4", False)])
def test_removed_is_said_of_what_is_meant_to_remove(target, atlas, scale, is_said, capsys):
    report = edit(target, atlas, replace(PLAN, scale=scale)).report
    report["effect"]["change"]["value"] = -0.1  # as where a segmenter misreads what is strengthened
    print_edit(report)
    assert ("\nremoved " in capsys.readouterr().out) is is_said
    nothing = {"value": None, "low": None, "high": None}
    report["effect"] |= {"removed": nothing}
    said = [line for line in effect_lines(report) if line.startswith("removed: next to nothing was there")]
    assert len(said) == is_said


# What the segmenter knows


def test_far_is_far_whatever_the_number_of_samples():
    for before in (0.1, 12.0):
        told = {"before": before, "spread": 20.0, "random": 0.0}
        assert is_far({**told, "after": before + 21 * FAR}) and not is_far({**told, "after": before + 19 * FAR})


@pytest.mark.parametrize(
    ("segmenter", "scale", "is_said"),
    [("carried:segmenter", "insert", True), ("carried:segmenter", "1.001", False), ("colors", "insert", False)],
)
def test_pictures_that_a_segmenter_has_not_seen_the_like_of(target, atlas, segmenter, scale, is_said):
    plan = EditPlan(units="layer1:0,layer1:1", segmenter=segmenter, scale=scale, samples=23, draws=1)
    report = edit(target, atlas, plan).report
    assert is_far(report["quality"]) is (scale == "insert") and report["random_units"] == 2
    assert report["quality"]["left_known"] is is_said
    assert ("its counts are not to be trusted" in effect_lines(report)[-1]) is is_said


def test_units_are_sought_before_anything_is_drawn(target, atlas):
    class Unable(torch.nn.Module):
        output_range = (0.0, 1.0)

        def forward(self, latents: torch.Tensor) -> torch.Tensor:
            raise RuntimeError("drawn")

    for options in (
        {"query": "bwon"},
        {"query": "bwon brown", "optimize": True},
        {"query": None, "units": "layer1:99"},
    ):
        with pytest.raises(AtlasError):
            edit(replace(target, model=Unable()), atlas, replace(PLAN, **options))
