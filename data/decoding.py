"""Turns whatever an image file holds into an RGB picture of 8 bits, or says why it cannot.

    picture = decode(path_or_bytes)      # PIL, mode RGB; ImagesError for a file that is no picture

Transparent pictures come out over white, 16-bit ones scaled (not cut off), CMYK and palettes converted, pictures
turned as their EXIF note says, and sides above MAX_SIDE reduced while reading where the format allows.
"""

import io
import warnings
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from describer.errors import ImagesError

MAX_SIDE = 4096
"Pixels; larger pictures are reduced, since every network here sees a few hundred."
MAX_PIXELS = 178_956_970
"Half a gigabyte as RGB: what would unpack to more is refused as a decompression bomb."


def decode(source: Path | bytes) -> Image.Image:
    """The picture in a file or in bytes; ImagesError names the fault."""
    try:
        with warnings.catch_warnings(), _opened(source) as image:
            warnings.simplefilter("ignore")  # broken EXIF and the like: the picture itself is what counts
            image.draft("RGB", (MAX_SIDE, MAX_SIDE))
            if image.width * image.height > MAX_PIXELS:
                raise ValueError(f"{image.width} x {image.height} pixels")
            image.load()
            ImageOps.exif_transpose(image, in_place=True)
            factor = -(-max(image.size) // MAX_SIDE)
            return rgb(image) if factor == 1 else rgb(image).reduce(factor)
    except Exception as fault:  # PIL's readers raise nearly every class for a broken file
        name = "the bytes" if isinstance(source, bytes) else str(source)
        message = f"An image must be readable. Got {type(fault).__name__} for {name}: {fault}"
        raise ImagesError(f"{message}. Replace or remove it.") from fault


def rgb(image: Image.Image) -> Image.Image:
    """Any PIL picture as RGB with 8 bits a channel."""
    if image.mode == "RGB" and "transparency" not in image.info:
        return image
    if image.mode.startswith(("I", "F")):
        return _from_wide(image)
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        layer = image.convert("RGBA")
        paper = Image.new("RGBA", layer.size, "white")
        return Image.alpha_composite(paper, layer).convert("RGB")
    if image.mode == "LAB":
        from PIL import ImageCms

        lab, srgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
        converted = ImageCms.profileToProfile(image, lab, srgb, outputMode="RGB")
        assert converted is not None
        return converted
    return image.convert("RGB")


def _opened(source: Path | bytes) -> Image.Image:
    """Opens without PIL's own limit, which would refuse before a large JPEG can be reduced."""
    limit = Image.MAX_IMAGE_PIXELS
    Image.MAX_IMAGE_PIXELS = None
    try:
        return Image.open(io.BytesIO(source) if isinstance(source, bytes) else source)
    finally:
        Image.MAX_IMAGE_PIXELS = limit


def _from_wide(image: Image.Image) -> Image.Image:
    """Grey pictures of 16 or 32 bits or floats: their range is 0..1, 0..255, 0..65535 or what they reach."""
    values = np.asarray(image, dtype=np.float32)
    top = float(np.nanmax(values, initial=0.0))
    if image.mode.startswith("I;16"):
        full = 65535.0
    else:
        ranges = (1.0, 255.0, 65535.0) if image.mode == "F" else (255.0, 65535.0)
        full = next((end for end in ranges if top <= end), top)
    scaled = np.nan_to_num(values / full * 255).clip(0, 255)
    return Image.fromarray(scaled.round().astype(np.uint8)).convert("RGB")
