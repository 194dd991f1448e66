"""Every kind of picture comes out as RGB with 8 bits; what is no picture is told."""

import io

import numpy as np
import pytest
from PIL import Image

from describer.data import decoding
from describer.data.decoding import decode
from describer.errors import ImagesError


def encoded(image, kind="PNG", **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def pixel(content, place=(0, 0)):
    image = decode(content)
    assert image.mode == "RGB"
    return image.getpixel(place)


def test_plain_kinds():
    assert pixel(encoded(Image.new("RGB", (5, 3), (10, 20, 30)))) == (10, 20, 30)
    assert pixel(encoded(Image.new("L", (5, 3), 77))) == (77, 77, 77)
    assert pixel(encoded(Image.new("1", (5, 3), 1))) == (255, 255, 255)
    assert pixel(encoded(Image.new("CMYK", (5, 3), (0, 255, 255, 0)), "TIFF")) == (255, 0, 0)
    assert pixel(encoded(Image.new("HSV", (5, 3), (0, 0, 255)).convert("RGB"), "BMP")) == (255, 255, 255)


def test_transparency_lies_over_white():
    assert pixel(encoded(Image.new("RGBA", (5, 3), (10, 20, 30, 0)))) == (255, 255, 255)
    assert pixel(encoded(Image.new("RGBA", (5, 3), (0, 0, 0, 51)))) == (204, 204, 204)
    assert pixel(encoded(Image.new("LA", (5, 3), (0, 51)))) == (204, 204, 204)


def test_palettes_with_and_without_transparency():
    image = Image.new("P", (5, 3), 1)
    image.putpalette([0, 0, 0, 200, 100, 50])
    assert pixel(encoded(image)) == (200, 100, 50)
    assert pixel(encoded(image, transparency=1)) == (255, 255, 255)
    assert pixel(encoded(image, "GIF", transparency=1)) == (255, 255, 255)


def test_sixteen_bits_are_scaled_not_cut_off():
    values = np.array([[0, 256, 32768, 65535]], dtype=np.uint16)
    for kind in ("PNG", "TIFF"):
        content = encoded(Image.fromarray(values), kind)
        assert [pixel(content, (x, 0))[0] for x in range(4)] == [0, 1, 128, 255]


def test_wide_integers_and_floats():
    wide = Image.fromarray(np.array([[0, 400, 100_000]], dtype=np.int32))
    assert [pixel(encoded(wide, "TIFF"), (x, 0))[0] for x in range(3)] == [0, 1, 255]
    unit = Image.fromarray(np.array([[0.0, 0.5, np.nan, 1.0]], dtype=np.float32))
    assert [pixel(encoded(unit, "TIFF"), (x, 0))[0] for x in range(4)] == [0, 128, 0, 255]


def test_lab():
    grey = pixel(encoded(Image.new("LAB", (5, 3), (255, 128, 128)), "TIFF"))
    assert min(grey) > 250


def test_exif_turns_the_picture():
    image = Image.new("RGB", (8, 16), "black")
    image.paste("red", (0, 0, 8, 8))
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned 90 degrees clockwise
    turned = decode(encoded(image, "JPEG", exif=exif, quality=95))
    assert turned.size == (16, 8)
    assert turned.getpixel((12, 4))[0] > 200 and turned.getpixel((3, 4))[0] < 50


KINDS = [("JPEG", "RGB"), ("JPEG", "L"), *(("PNG", mode) for mode in ("RGB", "L", "P", "I;16"))]


@pytest.mark.parametrize(("kind", "mode"), KINDS)
def test_huge_pictures_are_reduced(kind, mode):
    image = decode(encoded(Image.new(mode, (9001, 11)), kind))
    assert image.mode == "RGB" and 3000 <= image.width <= decoding.MAX_SIDE


def test_decompression_bombs_are_refused_and_large_jpegs_are_not(monkeypatch):
    monkeypatch.setattr(decoding, "MAX_PIXELS", 300_000)
    monkeypatch.setattr(decoding, "MAX_SIDE", 300)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with pytest.raises(ImagesError, match="1000 x 1000 pixels"):
        decode(encoded(Image.new("RGB", (1000, 1000))))
    assert max(decode(encoded(Image.new("RGB", (1000, 1000)), "JPEG")).size) <= 300
    assert Image.MAX_IMAGE_PIXELS == 1000


@pytest.mark.parametrize("content", [b"", b"no picture", encoded(Image.new("RGB", (50, 50)), "JPEG")[:400]])
def test_what_is_no_picture_is_told_in_one_sentence(tmp_path, content):
    path = tmp_path / "broken.jpg"
    path.write_bytes(content)
    with pytest.raises(ImagesError, match=r"broken\.jpg"):
        decode(path)
    with pytest.raises(ImagesError, match="the bytes"):
        decode(content)


def test_a_file_that_is_not_there():
    from pathlib import Path

    with pytest.raises(ImagesError, match="FileNotFoundError"):
        decode(Path("/no/such/file.png"))


def test_the_picture_outlives_its_file(tmp_path):
    Image.new("RGB", (7, 5), (1, 2, 3)).save(tmp_path / "a.png")
    image = decode(tmp_path / "a.png")
    (tmp_path / "a.png").unlink()
    assert image.resize((2, 2)).getpixel((1, 1)) == (1, 2, 3)
