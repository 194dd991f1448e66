"""Pictures that readers send: bounded in bytes and pixels, decoded by trusted formats alone.

picture = read_picture(content)          # PIL, RGB, at most SIDE pixels a side; ImagesError otherwise
"""

import io
import warnings

from PIL import Image

from describer.data.decoding import decode
from describer.errors import ImagesError

MOST_BYTES = 10_000_000
"Of an upload; a phone's photograph has less."
MOST_PIXELS = 50_000_000
SIDE = 1024
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")
"What browsers send; the other readers of PIL are for old or odd files, and are kept away from strangers."


def read_picture(content: bytes) -> Image.Image:
    """The picture in the bytes; ImagesError where there is none, or one that is too large."""
    if len(content) > MOST_BYTES:
        raise ImagesError(f"A picture must have at most {MOST_BYTES // 1_000_000} MB. Got more. Send a smaller one.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(content), formats=FORMATS) as image:
                size = image.size
    except Exception:  # PIL's readers raise nearly every class for a broken file
        raise ImagesError("A picture must be a JPEG, PNG, WebP, GIF, BMP or TIFF. Got none. Send another.") from None
    if size[0] * size[1] > MOST_PIXELS:
        raise ImagesError(f"A picture must have at most {MOST_PIXELS:,} pixels. Got {size[0]} x {size[1]}. Shrink it.")
    try:
        picture = decode(content)
    except ImagesError:
        raise ImagesError("A picture must be whole. Got one that cannot be read to its end. Send another.") from None
    picture.thumbnail((SIDE, SIDE))
    return picture
