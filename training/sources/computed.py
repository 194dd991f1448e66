"""Regions of any photographs that are what their words say by construction: colours, lines, edges, textures, light.

    corpus = read_computed("photos", folds=range(6), limit=1500)
    corpus.phrases["blue areas"], corpus.phrases["vertical stripes"], corpus.phrases["dark areas"]

Everything is measured on the picture at 128 x 128. Orientation comes from the structure tensor (Bigün & Granlund 1987);
along its normal, one polarity of the gradient is an edge, two are a line, many are stripes.
"""

from collections.abc import Collection, Iterator
from itertools import chain, islice
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, UInt8
from PIL import Image
from scipy import ndimage

from describer.errors import ImagesError
from describer.training.corpus import Corpus, CorpusBuilder, check_folds, coverage, image_array, split_of
from describer.training.sources.colours import COLOURS, colour_map
from describer.training.sources.parquet import Paths, decode, fold_of, read_rows

Mask = Bool[np.ndarray, "128 128"]
Plane = Float[np.ndarray, "128 128"]

SIDE = 128
"of the picture that is measured, pixels"
MIN_SHARE = 0.02
"least share of the picture that a region covers"
FINE = "fine textures"
DIRECTIONS = {"vertical": 0.0, "diagonal": 45.0, "horizontal": 90.0}
"angle of the gradient in degrees, modulo 180 (135 is diagonal too)"


def read_computed(
    paths: Paths, folds: Collection[int], *, limit: int | None = None, source: str = "computed"
) -> Corpus:
    """The regions of at most `limit` photographs of each path (Parquet with an `image` column, folders of pictures)."""
    builder, wanted = CorpusBuilder(source), check_folds(folds)
    entries = [Path(entry) for entry in ([paths] if isinstance(paths, str | Path) else paths)]
    for image in chain.from_iterable(islice(_photographs(entry, wanted), limit) for entry in entries):
        regions = computed_regions(image)
        if regions:
            place = builder.add_image(image)
            for mask, phrase in regions:
                builder.add_region(place, coverage(mask), [phrase], [phrase])
    return builder.corpus()


def _photographs(entry: Path, wanted: frozenset[int]) -> Iterator[Image.Image]:
    if entry.is_dir() and not any(entry.glob("*.parquet")):
        yield from _folder(entry, wanted)
    else:
        yield from (decode(row["image"]) for row in read_rows(entry, ["image"]) if fold_of(row["image"]) in wanted)


def _folder(folder: Path, wanted: frozenset[int]) -> Iterator[Image.Image]:
    endings = Image.registered_extensions()
    files = sorted(file for file in folder.rglob("*") if file.suffix.lower() in endings)
    if not files:
        raise ImagesError(f"{folder} must hold pictures or Parquet files. Got none. Do name another folder.")
    for file in files:
        if split_of(file.name) in wanted:
            with Image.open(file) as image:
                yield image.convert("RGB")


def computed_regions(image: Image.Image) -> list[tuple[Mask, str]]:
    """Every region found in one picture (mask at 128 x 128) with its phrase."""
    rgb = image_array(image, SIDE)
    light = _luminance(rgb)
    found = [*_colours(rgb), *_light(light), *_directed(light), *_textures(light)]
    return [(mask, phrase) for mask, phrase in found if mask.mean() >= MIN_SHARE]


def _luminance(rgb: UInt8[np.ndarray, "3 128 128"]) -> Plane:
    """Relative luma 0..1 (Rec. 601)."""
    return np.tensordot(np.array([0.299, 0.587, 0.114]), rgb / 255.0, axes=1)


def _colours(rgb: UInt8[np.ndarray, "3 128 128"]) -> list[tuple[Mask, str]]:
    """The pixels of each colour, without specks; black and white close together are a pattern."""
    names = colour_map(Image.fromarray(rgb.transpose(1, 2, 0)))
    found = []
    for index, colour in enumerate(COLOURS):
        mask = ndimage.binary_opening(names == index, iterations=1)
        if mask.mean() <= 0.7:
            found.append((mask, f"{colour} areas"))
    black, white = (ndimage.uniform_filter((names == COLOURS.index(c)).astype(float), 15) for c in ("black", "white"))
    mixed = (black > 0.2) & (white > 0.2) & (black + white > 0.7)
    return [*found, (_large(mixed), "black and white patterns")]


def _light(light: Plane) -> list[tuple[Mask, str]]:
    """Bright and dark areas, and small round spots brighter or darker than what is around them."""
    smooth, around = ndimage.gaussian_filter(light, 2), ndimage.uniform_filter(light, 25)
    return [
        (_large(smooth > 0.85), "bright areas"),
        (_large(smooth < 0.15), "dark areas"),
        (_spots(light - around > 0.25), "bright spots"),
        (_spots(around - light > 0.25), "dark spots"),
    ]


def _directed(light: Plane) -> list[tuple[Mask, str]]:
    """Edges, lines and stripes of three directions."""
    gx, gy, energy, coherence, angle = structure(light)
    found = []
    for word, degrees in DIRECTIONS.items():
        period = 90 if word == "diagonal" else 180
        away = np.abs((angle - degrees + period / 2) % period - period / 2)
        near = (energy > 0.03) & (coherence > 0.7) & (away < 15)
        normal = gx if word == "vertical" else gy if word == "horizontal" else np.where(angle < 90, gx + gy, gx - gy)
        kinds = _by_polarity(near, normal, word == "horizontal")
        found += [(mask, f"{word} {kind}") for kind, mask in kinds.items()]
    return found


def structure(light: Plane) -> tuple[Plane, Plane, Plane, Plane, Plane]:
    """Gradient x and y (luma a pixel), root mean square gradient around, coherence 0..1, gradient angle 0..180."""
    gx, gy = (ndimage.gaussian_filter(light, 1, order=order) for order in ((0, 1), (1, 0)))
    xx, yy, xy = (ndimage.gaussian_filter(product, 3) for product in (gx * gx, gy * gy, gx * gy))
    root = np.hypot(xx - yy, 2 * xy)
    angle = np.rad2deg(0.5 * np.arctan2(2 * xy, xx - yy)) % 180
    return gx, gy, np.sqrt(xx + yy), root / (xx + yy + 1e-9), angle


def _by_polarity(near: Mask, normal: Plane, along_columns: bool) -> dict[str, Mask]:
    """The components of a directed region, split by how often the gradient turns round across them."""
    kinds = {kind: np.zeros_like(near) for kind in ("edges", "lines", "stripes")}
    parts, _ = ndimage.label(near)
    for part, place in enumerate(ndimage.find_objects(parts), start=1):
        inside = parts[place] == part
        if inside.sum() < 100:
            continue
        sign = np.where(inside & (np.abs(normal[place]) > 0.02), np.sign(normal[place]), 0)
        turns = turns_across(sign.T if along_columns else sign)
        kind = "edges" if turns < 1 else "lines" if turns < 4 else "stripes"
        kinds[kind][place] |= inside
    return kinds


def turns_across(sign: np.ndarray) -> float:
    """The median over rows of how often a sign (-1, 0 = none, 1) changes along the row, of rows that have signs."""
    turns = []
    for row in sign:
        signs = row[row != 0]
        if signs.size:
            turns.append(int((signs[1:] != signs[:-1]).sum()))
    return float(np.median(turns)) if turns else 0.0


def _textures(light: Plane) -> list[tuple[Mask, str]]:
    """Grids (two directions at once), fine textures (all directions), smooth surfaces, strong edges."""
    gx, gy, energy, coherence, _ = structure(light)
    strong = ndimage.binary_dilation(np.hypot(gx, gy) > 0.18, iterations=1)
    # finer than 2 pixels, against 2 to 6: fine, not merely busy
    blurred, wide = ndimage.gaussian_filter(light, 2), ndimage.gaussian_filter(light, 6)
    fine, coarse = (np.sqrt(ndimage.gaussian_filter(a * a, 4)) for a in (light - blurred, blurred - wide))
    textured = (ndimage.minimum_filter(fine, 9) > 0.04) & (fine > 1.4 * coarse)
    isotropic = ndimage.gaussian_filter(coherence, 3) < 0.5
    return [
        (_grids(gx, gy), "grids"),
        (_large(textured & isotropic, 0.03), FINE),
        (_large(ndimage.maximum_filter(energy, 9) < 0.008, 0.05), "smooth surfaces"),
        (strong, "high contrast edges"),
    ]


def _grids(gx: Plane, gy: Plane) -> Mask:
    """Parts with lines along x and along y, few gradients between, each direction turning round three times."""
    xx, yy, both = (ndimage.gaussian_filter(a, 6) for a in (gx * gx, gy * gy, np.abs(gx * gy)))
    level = np.sqrt(xx * yy)
    near = (np.minimum(xx, yy) > 0.4 * np.maximum(xx, yy)) & (level > 0.03**2) & (both < 0.35 * level)
    parts, _ = ndimage.label(near)
    kept = np.zeros_like(near)
    for part, place in enumerate(ndimage.find_objects(parts), start=1):
        inside = parts[place] == part
        sign_x, sign_y = (np.where(inside & (np.abs(g[place]) > 0.03), np.sign(g[place]), 0) for g in (gx, gy))
        if turns_across(sign_x) >= 3 and turns_across(sign_y.T) >= 3:
            kept[place] |= inside
    return kept


def _large(mask: Mask, share: float = MIN_SHARE) -> Mask:
    """The connected parts that cover at least `share` of the picture."""
    parts, n_parts = ndimage.label(mask)
    sizes = np.bincount(parts.ravel(), minlength=n_parts + 1)
    sizes[0] = 0
    return (sizes >= share * SIDE**2)[parts]


def _spots(mask: Mask) -> Mask:
    """The small, roundish connected parts, when there are at least four of them."""
    parts, _ = ndimage.label(mask)
    kept = np.zeros_like(mask)
    n_kept = 0
    for part, place in enumerate(ndimage.find_objects(parts), start=1):
        inside = parts[place] == part
        height, width = inside.shape
        if 9 <= inside.sum() <= 300 and max(height, width) < 1.7 * min(height, width) and inside.mean() > 0.55:
            kept[place] |= inside
            n_kept += 1
    return kept if n_kept >= 4 else np.zeros_like(mask)
