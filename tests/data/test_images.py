"""Image sets from folders, tables, the drawn world and generators: order, fingerprints, and bad input."""

import io
import pickle

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image
from torch import nn

from describer.data import folder as folder_module
from describer.data.images import load_images
from describer.data.latents import BLOCK, pixels
from describer.data.targets import Target
from describer.errors import ImagesError


def shade(level):
    return Image.new("RGB", (7, 5), (level, level, level))


def png(level):
    buffer = io.BytesIO()
    shade(level).save(buffer, "PNG")
    return buffer.getvalue()


def levels(images):
    return [images.image(i).getpixel((0, 0))[0] for i in range(len(images))]


@pytest.fixture
def photos(tmp_path):
    """b/2.PNG, b/10.png, a.jpeg and things that are no pictures."""
    root = tmp_path / "photos"
    (root / "b").mkdir(parents=True)
    shade(20).save(root / "b" / "2.PNG")
    shade(10).save(root / "b" / "10.png")
    shade(0).save(root / "a.jpeg")
    (root / "notes.txt").write_text("no picture")
    (root / ".hidden.png").write_bytes(b"no picture")
    return root


def test_folder_is_read_in_the_order_of_paths(photos):
    images = load_images(str(photos))
    assert [path.name for path in images.files] == ["a.jpeg", "10.png", "2.PNG"]
    assert levels(images) == [0, 10, 20] and images.source == str(photos)


def test_folder_follows_links_and_does_not_loop(photos, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    shade(30).save(elsewhere / "z.png")
    (photos / "link").symlink_to(elsewhere)
    (elsewhere / "back").symlink_to(photos)
    assert levels(load_images(str(photos))) == [0, 10, 20, 30]


def test_folder_fingerprint_is_names_sizes_and_bytes(photos, monkeypatch):
    first = load_images(str(photos)).fingerprint
    assert load_images(str(photos)).fingerprint == first
    content = (photos / "b" / "2.PNG").read_bytes()
    (photos / "b" / "2.PNG").write_bytes(content[:-1] + b"\0")
    changed = load_images(str(photos)).fingerprint
    assert changed != first
    (photos / "b" / "2.PNG").write_bytes(content)
    assert load_images(str(photos)).fingerprint == first
    (photos / "a.jpeg").rename(photos / "c.jpeg")
    assert load_images(str(photos)).fingerprint != first
    monkeypatch.setattr(folder_module, "WHOLE", 0)
    monkeypatch.setattr(folder_module, "END", 4)
    ends = load_images(str(photos)).fingerprint
    (photos / "b" / "2.PNG").write_bytes(content[:-1] + b"\0")
    assert load_images(str(photos)).fingerprint != ends


@pytest.mark.parametrize("source", ["/no/such/folder", "none.png", "nothing:at:all"])
def test_a_source_that_is_nothing(source):
    with pytest.raises(ImagesError, match="must be a folder, Parquet files or"):
        load_images(source)


def test_empty_and_unreadable_folders(tmp_path):
    with pytest.raises(ImagesError, match=r"at least one image\. Got none"):
        load_images(str(tmp_path))
    for i in range(3):
        (tmp_path / f"{i}.png").write_bytes(b"broken")
    with pytest.raises(ImagesError, match=r"must hold readable images\. Got 3 that are not"):
        load_images(str(tmp_path))


def test_a_folder_that_may_not_be_read(photos):
    with pytest.raises(ImagesError, match=r"must be readable\. Got .*denied"):
        folder_module._refuse(PermissionError(13, "Permission denied", str(photos)))


def test_inputs_carry_none_for_unreadable_pictures(photos):
    (photos / "b" / "3.png").write_bytes(b"broken")
    inputs = load_images(str(photos)).inputs(lambda image: torch.full((3, 2, 2), float(image.getpixel((0, 0))[0])))
    found = [inputs[i] for i in range(len(inputs))]
    assert [index for index, _ in found] == [0, 1, 2, 3]
    assert [None if x is None else x.mean().item() for _, x in found] == [0, 10, 20, None]


def test_inputs_carry_none_for_pictures_that_preprocess_does_not_take(photos):
    inputs = load_images(str(photos)).inputs(lambda image: torch.tensor(1 / image.getpixel((0, 0))[0]))
    assert [inputs[i][1] is None for i in range(3)] == [True, False, False]


def test_pictures_do_not_go_to_a_generator(photos):
    with pytest.raises(ImagesError, match="Use latents:N"):
        load_images(str(photos)).inputs(None)


def table(path, content, name="image", rows_a_group=2):
    pq.write_table(pa.table({"label": list(range(len(content))), name: content}), path, row_group_size=rows_a_group)


def test_parquet_files_patterns_and_lists(tmp_path):
    table(tmp_path / "b.parquet", [{"bytes": png(x), "path": f"{x}.png"} for x in (1, 2, 3, 4, 5)])
    table(tmp_path / "a.parquet", [{"bytes": png(x), "path": None} for x in (6, 7, 8)])
    one = load_images(f"{tmp_path}/b.parquet")
    assert levels(one) == [1, 2, 3, 4, 5]
    assert levels(load_images(f"{tmp_path}/*.parquet")) == [6, 7, 8, 1, 2, 3, 4, 5]
    assert levels(load_images(f"{tmp_path}/b.parquet,{tmp_path}/a.parquet")) == [1, 2, 3, 4, 5, 6, 7, 8]
    assert levels(load_images(str(tmp_path))) == [6, 7, 8, 1, 2, 3, 4, 5]
    assert levels(pickle.loads(pickle.dumps(one))) == [1, 2, 3, 4, 5]
    assert one.fingerprint == load_images(f"{tmp_path}/b.parquet").fingerprint
    assert one.fingerprint != load_images(f"{tmp_path}/a.parquet").fingerprint
    for outside in (-1, 5):
        with pytest.raises(IndexError):
            one.image(outside)


def test_parquet_columns_of_bytes_paths_and_other_names(tmp_path):
    table(tmp_path / "bytes.parquet", [png(1), png(2)], name="photo_of_it")
    assert levels(load_images(f"{tmp_path}/bytes.parquet")) == [1, 2]
    shade(9).save(tmp_path / "9.png")
    table(tmp_path / "paths.parquet", [{"bytes": None, "path": "9.png"}, {"bytes": b"", "path": None}])
    images = load_images(f"{tmp_path}/paths.parquet")
    assert images.image(0).getpixel((0, 0))[0] == 9
    with pytest.raises(ImagesError, match=r"Row 1 .* Got an empty cell"):
        images.image(1)


def test_parquet_as_written_by_datasets(tmp_path):
    features = datasets.Features({"mask": datasets.Image(), "image": datasets.Image()})
    rows = {"mask": [shade(100), shade(101)], "image": [shade(3), shade(4)]}
    datasets.disable_progress_bars()
    datasets.Dataset.from_dict(rows, features=features).to_parquet(tmp_path / "x.parquet")
    assert levels(load_images(f"{tmp_path}/x.parquet")) == [3, 4]


def test_bad_parquet(tmp_path):
    with pytest.raises(ImagesError, match="matches none"):
        load_images(f"{tmp_path}/*.parquet")
    pq.write_table(pa.table({"label": [1], "name": ["a"]}), tmp_path / "labels.parquet")
    with pytest.raises(ImagesError, match=r"must have an image column\. Got label, name"):
        load_images(f"{tmp_path}/labels.parquet")
    (tmp_path / "broken.parquet").write_bytes(b"broken")
    with pytest.raises(ImagesError, match="Parquet files must be readable"):
        load_images(f"{tmp_path}/broken.parquet")


def test_hub_dataset(tmp_path, monkeypatch):
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    datasets.disable_progress_bars()
    table(tmp_path / "test.parquet", [{"bytes": png(x), "path": f"{x}.png"} for x in (1, 2, 3)])
    images = load_images(f"hf:{tmp_path}:test")
    assert levels(images) == [1, 2, 3]
    assert images.fingerprint == load_images(f"hf:{tmp_path}:test").fingerprint
    with pytest.raises(ImagesError, match=r"must load\. Got"):
        load_images(f"hf:{tmp_path}:validation")
    with pytest.raises(ImagesError, match="must be hf:NAME:SPLIT"):
        load_images("hf:cifar10")


def test_drawn_world():
    images = load_images("scenes:3:7")
    assert len(images) == 3 and images.image(0).mode == "RGB"
    again, other = load_images("scenes:3:7"), load_images("scenes:3:8")
    assert images.fingerprint == again.fingerprint != other.fingerprint
    assert np.array_equal(np.asarray(images.image(2)), np.asarray(again.image(2)))
    assert not np.array_equal(np.asarray(images.image(2)), np.asarray(other.image(2)))


@pytest.mark.parametrize("source", ["scenes:0", "scenes:many", "latents:5:x", "latents:", "scenes:-3"])
def test_numbers_that_are_none(source):
    with pytest.raises(ImagesError, match=r"must be .*:N or"):
        load_images(source)


class BatchStatistics(nn.Module):
    """Draws a sample that depends on the others of its batch."""

    latent_shape = (3,)
    output_range = (-1.0, 1.0)

    def forward(self, z):
        return (z - z.mean(0)).reshape(-1, 3, 1, 1).expand(-1, 3, 2, 5).tanh()


def generator(model):
    return Target("gan.py:load", model.eval(), None, None, tuple(model.latent_shape), "f" * 64, True)


def test_latents_are_drawn_as_they_are_probed():
    target = generator(BatchStatistics())
    samples = load_images("latents:70:5", target)
    inputs = samples.inputs(None)
    latents = torch.stack([inputs[i][1] for i in range(70)])
    assert inputs[69][0] == 69 and len(inputs) == 70 and latents.shape == (70, 3)
    assert abs(latents.mean()) < 0.3 and 0.8 < latents.std() < 1.2
    for block in (slice(0, BLOCK), slice(BLOCK, 70)):
        drawn = target.model(latents[block])
        for i, x in zip(range(70)[block], drawn, strict=True):
            want = ((x + 1) / 2 * 255).round().byte().permute(1, 2, 0).numpy()
            assert np.array_equal(np.asarray(samples.image(i)), want)
    with pytest.raises(IndexError):
        samples.image(70)


def test_latents_depend_on_seed_and_index_alone():
    target = generator(BatchStatistics())
    few, many, other = (load_images(f"latents:{n}", target) for n in ("5:1", "9:1", "5:2"))
    assert torch.equal(few.latent(4), many.latent(4)) and not torch.equal(few.latent(4), other.latent(4))
    assert len({few.fingerprint, many.fingerprint, other.fingerprint}) == 3


def test_latents_need_a_generator():
    with pytest.raises(ImagesError, match="without one"):
        load_images("latents:5")
    classifier = Target("net", nn.Identity(), lambda image: image, None, (3, 5, 7), "", False)
    with pytest.raises(ImagesError, match=r"must go to a generator\. Got net"):
        load_images("latents:5", classifier)


def test_pixels_span_the_output_range():
    drawn = torch.tensor([0.0, 0.5, 1.0, 2.0]).reshape(1, 1, 1, 4)
    assert pixels(drawn, 0.0, 1.0)[0, 0, :, 2].tolist() == [0, 128, 255, 255]
    with pytest.raises(ImagesError, match=r"must draw \(batch, 3, height, width\). Got \(2, 7\)"):
        pixels(torch.zeros(2, 7), 0.0, 1.0)
