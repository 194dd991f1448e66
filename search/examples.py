"""Pictures in which a unit and its form agree, in which the form holds but the unit is silent, and false alarms.

    write_examples(dissection, layer, "formula", rows, forms, labels, pictures)
    examples = read_examples(dissection, "layer4", "formula")
    examples.images["agree"][3]                      # indices in the concept set, most pixels first, -1 = none
    contact_sheet(example_cards(dissection, "layer4", 483, "formula"))

agree: of the unit's strongest pictures, those with the most pixels in both masks, where these are at least half of the
unit's. false_alarm: of the others, those with the most pixels of the unit outside the form. miss: of all pictures in
which the unit is nowhere above its threshold, those with the most pixels of the form.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import numpy as np
import torch
from jaxtyping import Bool, Int64
from PIL import Image
from safetensors.torch import load_file, save_file

from describer.atlas import THUMBNAIL
from describer.description import ImageSource
from describer.errors import AtlasError
from describer.files import disk_faults, renamed
from describer.picture import FINE, UnitCard, contact_sheet
from describer.search.dissection import Dissection, LayerDissection, open_dissections
from describer.search.forms import Form
from describer.search.sampled import SampledLabels
from describer.search.signatures import SignatureTable
from describer.unittable import Row
from describer.upsample import upsample

KINDS = ("agree", "miss", "false_alarm")
TOLD = {
    "agree": "agree: the unit's mask where the words hold",
    "miss": "missed: the words hold there, the unit is silent",
    "false_alarm": "false alarm: the unit's mask, the words do not hold",
}
N_EXAMPLES = 3
"Pictures of each kind kept of a unit."
AT_ONCE = 64
"Units whose forms are laid over all pictures at a time."
SIDE = 56
"Cells of the longer side of the masks that are kept to be shown."


@dataclass(frozen=True, eq=False)
class Examples:
    """Example pictures of the units of one layer under one method."""

    unit_ids: Int64[np.ndarray, " units"]
    "the units"
    images: dict[str, Int64[np.ndarray, "units examples"]]
    "kind -> indices in the concept set, -1 where there is no further one"
    pixels: dict[str, Int64[np.ndarray, "units examples"]]
    "kind -> pixels that decided: of both masks, of the form alone, of the unit alone"
    masks: dict[str, Bool[np.ndarray, "units examples height width"]]
    "kind -> what is shown: the unit's mask, of misses the form's"


def find_examples(
    dissection: Dissection,
    layer: LayerDissection,
    rows: Int64[np.ndarray, " units"],
    forms: Sequence[Form | None],
    labels: SampledLabels,
) -> Examples:
    """The example pictures of these rows of a layer under their forms; a unit without a form has none."""
    table = dissection.table.with_source(labels)
    holds = np.stack([np.zeros(len(table), bool) if form is None else table.mask(form) for form in forms], 1)
    place = {index: position for position, index in enumerate(labels.kept)}
    found = _Kept(len(rows), labels)
    seen: dict[int, list[tuple[int, int]]] = {}
    for row, of_layer in enumerate(rows.tolist()):
        for rank, image in enumerate(layer.exemplars.images[of_layer].tolist()):
            if image >= 0 and forms[row] is not None and layer.fires[place[image], of_layer]:
                seen.setdefault(place[image], []).append((row, rank))
    for image, users in sorted(seen.items()):
        index, signatures = table.rows_of(image)
        for row, rank in users:
            form = holds[signatures, row][index]
            fine = upsample(layer.exemplars.maps[rows[row], rank], labels.size)
            unit = (fine > layer.exemplars.threshold[rows[row]]).numpy()
            inside, outside = int((unit & form).sum()), int((unit & ~form).sum())
            found.offer("agree", row, image, inside if inside >= outside else 0, unit)
            found.offer("false_alarm", row, image, outside if inside < outside else 0, unit)
    _find_misses(dissection, layer, rows, holds, found, table)
    return found.examples(layer.exemplars.unit_ids[torch.from_numpy(rows)].numpy())


def _find_misses(
    dissection: Dissection,
    layer: LayerDissection,
    rows: Int64[np.ndarray, " units"],
    holds: Bool[np.ndarray, "signatures units"],
    found: "_Kept",
    table: SignatureTable,
) -> None:
    """Of every unit the pictures with the most pixels of its form in which it is silent."""
    images, wanted = dissection.images(), dict[int, list[tuple[int, int]]]()
    for start in range(0, len(rows), AT_ONCE):
        part = slice(start, start + AT_ONCE)
        areas = np.asarray(images.counts @ holds[:, part].astype(np.int64))  # (images, units)
        areas[layer.fires[:, rows[part]]] = 0
        for column, row in enumerate(range(len(rows))[part]):
            for image in np.argsort(-areas[:, column], kind="stable")[:N_EXAMPLES].tolist():
                if areas[image, column]:
                    wanted.setdefault(image, []).append((row, int(areas[image, column])))
    for image, users in sorted(wanted.items()):
        index, signatures = table.rows_of(image)
        for row, area in users:
            found.offer("miss", row, image, area, holds[signatures, row][index])


class _Kept:
    """The best few pictures of every kind and unit so far."""

    def __init__(self, n_units: int, labels: SampledLabels) -> None:
        self.labels = labels
        self.step = -(-max(labels.size) // SIDE)
        self.best: dict[str, list[list[tuple[int, int, np.ndarray]]]] = {
            kind: [[] for _ in range(n_units)] for kind in KINDS
        }

    def offer(self, kind: str, row: int, image: int, pixels: int, mask: np.ndarray) -> None:
        """Takes a picture if it has pixels and is among the best."""
        kept = self.best[kind][row]
        if pixels and (len(kept) < N_EXAMPLES or pixels > kept[-1][0]):
            half = self.step // 2
            kept.append((pixels, image, mask[half :: self.step, half :: self.step]))
            kept.sort(key=lambda each: (-each[0], each[1]))
            del kept[N_EXAMPLES:]

    def examples(self, unit_ids: Int64[np.ndarray, " units"]) -> Examples:
        """All of it as arrays."""
        half = self.step // 2
        shape = np.zeros(self.labels.size, bool)[half :: self.step, half :: self.step].shape
        images = {kind: np.full((len(unit_ids), N_EXAMPLES), -1, np.int64) for kind in KINDS}
        pixels = {kind: np.zeros((len(unit_ids), N_EXAMPLES), np.int64) for kind in KINDS}
        masks = {kind: np.zeros((len(unit_ids), N_EXAMPLES, *shape), bool) for kind in KINDS}
        for kind in KINDS:
            for row, kept in enumerate(self.best[kind]):
                for rank, (n_pixels, image, mask) in enumerate(kept):
                    images[kind][row, rank] = self.labels.kept[image]
                    pixels[kind][row, rank] = n_pixels
                    masks[kind][row, rank] = mask
        return Examples(unit_ids, images, pixels, masks)


def write_examples(
    dissection: Dissection,
    layer: LayerDissection,
    method: str,
    rows: Int64[np.ndarray, " units"],
    forms: Sequence[Form | None],
    labels: SampledLabels,
    pictures: ImageSource,
) -> Examples:
    """Finds the examples and keeps them in the dissection, with a thumbnail of each picture."""
    found = find_examples(dissection, layer, rows, forms, labels)
    tensors = {"unit_ids": torch.from_numpy(found.unit_ids)}
    for kind in KINDS:
        tensors[f"{kind}.images"] = torch.from_numpy(found.images[kind])
        tensors[f"{kind}.pixels"] = torch.from_numpy(found.pixels[kind])
        tensors[f"{kind}.bits"] = torch.from_numpy(np.packbits(found.masks[kind], axis=-1))
    tensors["width"] = torch.tensor(found.masks["agree"].shape[-1])
    folder = dissection.folder / "thumbnails"
    with disk_faults(dissection.folder):
        folder.mkdir(exist_ok=True)
        for image in sorted({int(i) for kind in KINDS for i in found.images[kind].flatten() if i >= 0}):
            if not (folder / f"{image}.jpg").exists():
                small = pictures.image(image).convert("RGB").resize((THUMBNAIL, THUMBNAIL), Image.Resampling.LANCZOS)
                with renamed(folder / f"{image}.jpg", durable=False) as part:
                    small.save(part, "JPEG", quality=88)
        with renamed(_file(dissection, layer.exemplars.layer, method)) as part:
            save_file(tensors, part)
    return found


def read_examples(dissection: Dissection, layer: str, method: str) -> Examples | None:
    """The examples kept for a layer and method, None where there are none."""
    path = _file(dissection, layer, method)
    if not path.exists():
        return None
    found = {name: tensor.numpy() for name, tensor in load_file(path).items()}
    width = int(found["width"])
    masks = {k: np.unpackbits(found[f"{k}.bits"], axis=-1, count=width).astype(bool) for k in KINDS}
    images, pixels = ({k: found[f"{k}.{what}"] for k in KINDS} for what in ("images", "pixels"))
    return Examples(found["unit_ids"], images, pixels, masks)


def example_cards(dissection: Dissection, layer: str, unit: int, method: str) -> list[UnitCard]:
    """One card a kind with its pictures, to be drawn as a contact sheet; none where nothing is kept."""
    examples = read_examples(dissection, layer, method)
    if examples is None or unit not in examples.unit_ids:
        return []
    row = int(np.flatnonzero(examples.unit_ids == unit)[0])
    cards = []
    for kind in KINDS:
        there = np.flatnonzero(examples.images[kind][row] >= 0)
        images = tuple(_thumbnail(dissection, int(examples.images[kind][row, rank])) for rank in there)
        side = THUMBNAIL * FINE
        masks = np.zeros((len(there), side, side), bool)
        for number, rank in enumerate(there):
            mask = torch.from_numpy(examples.masks[kind][row, rank]).float()
            masks[number] = (upsample(mask, side) > 0.5).numpy()
        cards.append(UnitCard(method, TOLD[kind], (), (), images, masks))
    return cards


def with_examples(atlas: Path, row: Row) -> Row:
    """A row of an atlas with the indices of its example pictures by kind, where there are some."""
    for dissection in open_dissections(atlas):
        examples = read_examples(dissection, row["layer"], row["method"])
        if examples is not None and row["unit"] in examples.unit_ids:
            place = int(np.flatnonzero(examples.unit_ids == row["unit"])[0])
            told = {kind: [i for i in examples.images[kind][place].tolist() if i >= 0] for kind in KINDS}
            return row | {"examples": told}
    return row


def example_sheets(atlas: Path, layer: str, unit: int, rows: Sequence[Row]) -> list[Image.Image]:
    """A sheet of example pictures for the formula of a unit, else for its concept; `rows` of the atlas say both."""
    words = {row["method"]: row["formula"] for row in rows}
    for dissection in open_dissections(atlas):
        for method in ("formula", "concept"):
            shown = [card for card in example_cards(dissection, layer, unit, method) if card.images]
            if shown:
                told = f"labelled pictures, and where it is: {words.get(method)}"
                return [contact_sheet(shown, subtitle=told, n_exemplars=N_EXAMPLES)]
    return []


def _thumbnail(dissection: Dissection, image: int) -> Image.Image:
    path = dissection.folder / "thumbnails" / f"{image}.jpg"
    try:
        with Image.open(path) as picture:
            return picture.convert("RGB")
    except OSError as fault:
        raise AtlasError(f"{dissection.folder} must hold picture {image}. Got: {fault}. Describe anew.") from None


def _file(dissection: Dissection, layer: str, method: str) -> Path:
    return dissection.folder / f"{quote(layer, safe='')}.{method}-examples.safetensors"
