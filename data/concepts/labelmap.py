"""Label maps as they lie in image files: ids in grey or palette pictures, or R + 256 G as in Broden.

ids = read_map(path_or_bytes)          # (height, width) int32; ImagesError for a file that is no label map
"""

import io
from pathlib import Path

import numpy as np
from jaxtyping import Int32
from PIL import Image

from describer.data.decoding import MAX_PIXELS
from describer.errors import ImagesError

GREY = ("1", "L", "P", "I", "I;16", "I;16B", "I;16L")


def read_map(source: Path | bytes) -> Int32[np.ndarray, "height width"]:
    """The ids of every pixel; a colour picture holds R + 256 G (Bau et al. 2017)."""
    name = "the bytes" if isinstance(source, bytes) else str(source)
    try:
        with Image.open(io.BytesIO(source) if isinstance(source, bytes) else source) as image:
            if image.width * image.height > MAX_PIXELS:
                raise ValueError(f"{image.width} x {image.height} pixels")
            if image.mode in GREY:
                return np.asarray(image).astype(np.int32)
            if image.mode == "RGB":
                pixels = np.asarray(image).astype(np.int32)
                return pixels[..., 0] + 256 * pixels[..., 1]
            raise ValueError(f"mode {image.mode}")
    except Exception as fault:  # PIL's readers raise nearly every class for a broken file
        message = f"A label map must be a picture of ids. Got {type(fault).__name__} for {name}: {fault}"
        raise ImagesError(f"{message}. Store it as PNG, one grey level an id.") from fault
