"""Exemplars: masks against plain loops, subsets, and files that come back as they were."""

from dataclasses import replace

import pytest
import torch

from describer.errors import AtlasError
from describer.exemplars import Exemplars
from describer.upsample import upsample


def make(compat=None, units=5, k=3, h=7, w=2):
    generator = torch.Generator().manual_seed(1)
    return Exemplars(
        layer="0.features",
        unit_ids=torch.arange(units) * 11,
        images=torch.randint(0, 50, (units, k), generator=generator),
        activations=torch.randn(units, k, generator=generator),
        maps=torch.randn(units, k, h, w, generator=generator).half(),
        threshold=torch.randn(units, generator=generator),
        dead=torch.zeros(units, dtype=torch.bool),
        compat=compat,
    )


@pytest.mark.parametrize("compat", [None, "milan"])
def test_masks_against_plain_loops(compat):
    exemplars = make(compat)
    masks = exemplars.masks(13)
    assert masks.shape == (5, 3, 13, 13)
    for unit in range(5):
        for rank in range(3):
            fine = upsample(exemplars.maps[unit, rank], 13, "zeros" if compat else "border")
            for y in range(13):
                for x in range(13):
                    assert masks[unit, rank, y, x].item() == (fine[y, x].item() > exemplars.threshold[unit].item())


def test_masks_of_some_positions():
    exemplars = make()
    assert torch.equal(exemplars.masks(11, [4, 1]), exemplars.masks(11)[[4, 1]])
    assert exemplars.masks(11, []).shape == (0, 3, 11, 11)


def test_a_value_equal_to_the_threshold_is_outside():
    plain = make(units=1)
    level = Exemplars(
        "a", plain.unit_ids, plain.images, plain.activations, torch.ones(1, 3, 7, 2), torch.ones(1), plain.dead
    )
    assert not level.masks(14).any()


def test_missing_images_and_dead_units_have_empty_masks():
    exemplars = make("milan")
    exemplars.threshold.fill_(-100.0)
    assert exemplars.masks(5).all()
    exemplars.images[2, 1] = -1
    exemplars.dead[3] = True
    masks = exemplars.masks(5)
    assert not masks[2, 1].any() and masks[2, 0].all() and not masks[3].any() and masks[4].all()


def test_subset_keeps_the_order_asked_for():
    exemplars = make("milan")
    few = exemplars.subset([3, 0])
    assert len(few) == 2 and few.k == 3 and few.compat == "milan" and few.layer == exemplars.layer
    assert few.unit_ids.tolist() == [33, 0]
    assert torch.equal(few.maps, exemplars.maps[[3, 0]]) and torch.equal(few.threshold, exemplars.threshold[[3, 0]])


@pytest.mark.parametrize("compat", [None, "milan"])
def test_saved_exemplars_come_back(tmp_path, compat):
    exemplars = make(compat)
    exemplars.save(tmp_path / "layer.safetensors")
    again = Exemplars.load(tmp_path / "layer.safetensors")
    assert again.layer == "0.features" and again.compat == compat and again.maps.dtype == torch.float16
    for name in ("unit_ids", "images", "activations", "maps", "threshold", "dead"):
        assert torch.equal(getattr(again, name), getattr(exemplars, name))
    assert [file.name for file in tmp_path.iterdir()] == ["layer.safetensors"]


def test_other_files_are_refused_in_one_sentence(tmp_path):
    (tmp_path / "text.safetensors").write_text("not a tensor file")
    with pytest.raises(AtlasError, match="must hold exemplars"):
        Exemplars.load(tmp_path / "text.safetensors")
    from safetensors.torch import save_file

    save_file({"images": torch.zeros(2)}, tmp_path / "foreign.safetensors")
    with pytest.raises(AtlasError, match=r"must be of format describer-exemplars-1\. Got None"):
        Exemplars.load(tmp_path / "foreign.safetensors")
    with pytest.raises(AtlasError, match="must be written to"):
        make().save(tmp_path / "no" / "such.safetensors")


def test_levels_come_back_and_go_with_their_units(tmp_path):
    levels = torch.randn(5, 65, generator=torch.Generator().manual_seed(2)).sort(1).values
    exemplars = replace(make(), levels=levels)
    exemplars.save(tmp_path / "x.safetensors")
    again = Exemplars.load(tmp_path / "x.safetensors")
    assert torch.equal(again.levels, levels) and torch.equal(again.subset([3, 1]).levels, levels[[3, 1]])
    make().save(tmp_path / "old.safetensors")
    assert Exemplars.load(tmp_path / "old.safetensors").levels is None and make().subset([0]).levels is None
