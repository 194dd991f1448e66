"""A dissection against the slow way: one picture at a time, plain loops over pixels, no signatures."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image
from torch import nn

from describer.data.concepts import ConceptSet, load_concepts
from describer.data.targets import Target, load_target
from describer.errors import AtlasError, DescriberError, ImagesError
from describer.frame import InputFrame
from describer.search.dissect import DissectSettings, dissect
from describer.search.dissection import Dissection, open_dissections
from describer.search.examples import KINDS, find_examples
from describer.search.forms import Concept
from describer.search.sampled import SampledLabels
from describer.upsample import upsample
from tests.data.labelled import encoded

NET = """
from collections import OrderedDict
import torch
from torch import nn
from torchvision.transforms import v2

def load():
    torch.manual_seed(0)
    stem = nn.Conv2d(3, 5, 5, 3)
    body = nn.Sequential(nn.Conv2d(5, 7, 3, 2), nn.ReLU())
    nn.init.constant_(body[0].weight[3], 0.0)
    nn.init.constant_(body[0].bias[3:4], -1.0)
    model = nn.Sequential(OrderedDict([("stem", stem), ("act", nn.ReLU(inplace=True)), ("body", body)]))
    return model, v2.Compose([v2.Resize(47), v2.CenterCrop((41, 43)), v2.ToImage(), v2.ToDtype(torch.float32, True)])
"""
SETTINGS = DissectSettings(quantile=0.9, size=29, k=3, n_shifts=2, batch_size=4)
LAYERS = {"stem": 5, "body": 7}


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Target:
    path = tmp_path_factory.mktemp("net") / "net.py"
    path.write_text(NET)
    return load_target(f"{path}:load")


@pytest.fixture(scope="module")
def concepts(tmp_path_factory: pytest.TempPathFactory) -> ConceptSet:
    """Nine pictures under masks, words and colours; one cannot be read. Noisy, as equal activations would be ties."""
    root = tmp_path_factory.mktemp("concepts")
    chance = np.random.default_rng(0)
    (root / "clothing").mkdir()
    noise = [chance.integers(0, 256, (5, 4, 3)).repeat(13, 0).repeat(17, 1) // 2 for _ in range(9)]
    blocks = [(pixels + chance.integers(0, 120, pixels.shape)).astype(np.uint8) for pixels in noise]
    masks = [chance.choice((0, 1, 2, 5), (5, 4)).astype(np.uint8).repeat(13, 0).repeat(17, 1) for _ in range(5)]
    images = [encoded(pixels) for pixels in blocks[:5]]
    images[2] = {"bytes": b"broken", "path": "broken.png"}
    table = pa.table({"image": images, "mask": [encoded(mask) for mask in masks]})
    pq.write_table(table, root / "clothing" / "a.parquet")
    (root / "clothing" / "labels.json").write_text(json.dumps({"1": "hat", "2": "scarf", "5": "boots"}))
    (root / "textures").mkdir()
    words = {"image": [encoded(pixels) for pixels in blocks[5:]], "texture": ["woven", "lined", "banded", "woven"]}
    pq.write_table(pa.table(words), root / "textures" / "a.parquet")
    return load_concepts(f"{root / 'clothing'},{root / 'textures'},colors")


@pytest.fixture(scope="module")
def dissection(target: Target, concepts: ConceptSet, tmp_path_factory: pytest.TempPathFactory) -> Dissection:
    return dissect(target, concepts, list(LAYERS), tmp_path_factory.mktemp("dissections"), SETTINGS)


@pytest.fixture(scope="module")
def slow(target: Target, concepts: ConceptSet) -> dict[str, np.ndarray]:
    """Layer -> masks (units, pictures, height, width), from the definition."""
    maps: dict[str, list[torch.Tensor]] = {"stem": [], "body": []}
    assert target.preprocess is not None and isinstance(target.model, nn.Sequential)
    for index in range(len(concepts)):
        if index != 2:
            x = target.preprocess(concepts.images.image(index))[None]
            for name, module in target.model.named_children():
                x = module(x)
                if name in maps:
                    maps[name].append(x[0].clone())  # what follows the stem works in place
    found = {}
    for name, of_layer in maps.items():
        masks = np.zeros((LAYERS[name], len(of_layer), 28, 29), bool)
        for unit in range(LAYERS[name]):
            stream = np.sort(np.concatenate([x[unit].numpy().ravel() for x in of_layer]))
            level = stream[int(np.ceil(0.9 * len(stream))) - 1]
            for image, x in enumerate(of_layer):
                masks[unit, image] = upsample(x[unit], (28, 29)).numpy() > level
        found[name] = masks
    return found


def sampled(target: Target, concepts: ConceptSet) -> SampledLabels:
    return SampledLabels(concepts, InputFrame(target.preprocess), (28, 29), [0, 1, 3, 4, 5, 6, 7, 8])


def pixel_sets(labels: SampledLabels, image: int) -> np.ndarray:
    """Every pixel's names, as a frozenset."""
    maps, scalars = labels.labels(image)
    whole = [f"{c} {labels.names[c][n]}" for c, numbers in scalars.items() for n in numbers if n]
    sets = np.empty((28, 29), object)
    for y in range(28):
        for x in range(29):
            here = [(c, layer[y, x]) for c, layers in maps.items() for layer in layers if layer[y, x]]
            sets[y, x] = frozenset(whole + [f"{c} {labels.names[c][n]}" for c, n in here])
    return sets


def overlaps(labels: SampledLabels, masks: np.ndarray, shift: int = 0) -> dict[str, list[int]]:
    """Concept -> pixels that it shares with every unit, pixel by pixel."""
    found: dict[str, list[int]] = {}
    for image in range(masks.shape[1]):
        sets = pixel_sets(labels, (image + shift) % masks.shape[1])
        for y in range(28):
            for x in range(29):
                for name in sets[y, x]:
                    row = found.setdefault(name, [0] * len(masks))
                    for unit in range(len(masks)):
                        row[unit] += int(masks[unit, image, y, x])
    return found


@pytest.mark.parametrize("layer", LAYERS)
def test_counts_are_those_of_plain_loops(
    dissection: Dissection, target: Target, concepts: ConceptSet, slow: dict[str, np.ndarray], layer: str
) -> None:
    labels, table, found = sampled(target, concepts), dissection.table, dissection.layer(layer)
    counts = found.counts.counts @ table.matrix.astype(np.int64)
    expected = overlaps(labels, slow[layer])
    for column, (category, name) in enumerate(zip(table.categories, table.names, strict=True)):
        told = expected.get(f"{category} {name}", [0] * LAYERS[layer])
        assert counts[:, [column]].toarray().ravel().tolist() == told, name
    assert found.counts.areas.tolist() == slow[layer].sum((1, 2, 3)).tolist()
    assert not (slow[layer].any((2, 3)).T & ~found.fires).any()  # a peak above may fall between the grid's cells
    assert dissection.kept == [0, 1, 3, 4, 5, 6, 7, 8] and table.n_pixels == 8 * 28 * 29
    assert int(dissection.images().counts.sum()) == table.n_pixels
    assert found.exemplars.dead.any() == (layer == "body") and not found.counts.areas[found.exemplars.dead].any()


def test_shifted_counts_are_those_of_other_pictures(
    dissection: Dissection, target: Target, concepts: ConceptSet, slow: dict[str, np.ndarray]
) -> None:
    from describer.search.chance import draw_shifts

    labels, found = sampled(target, concepts), dissection.layer("body")
    shifts = draw_shifts(8, 2, 0)
    assert len(found.shifted) == len(shifts)
    column = [dissection.table.names.index("gray")]
    for shift, counts in zip(shifts, found.shifted, strict=True):
        overlap = (counts.counts @ dissection.table.matrix.astype(np.int64))[:, column].toarray().ravel()
        assert overlap.tolist() == overlaps(labels, slow["body"], shift)["color gray"]


def test_what_is_finished_is_not_done_again(
    dissection: Dissection, target: Target, concepts: ConceptSet, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def run_again(*_: object, **__: object) -> None:
        raise AssertionError

    one = dissect(target, concepts, ["body"], tmp_path, SETTINGS)
    two = dissect(target, concepts, ["stem", "body"], tmp_path, SETTINGS)
    assert one.folder == two.folder and two.layers == ["body", "stem"]
    for layer in LAYERS:
        mine, whole = two.layer(layer), dissection.layer(layer)
        assert (mine.counts.counts != whole.counts.counts).nnz == 0
        assert np.array_equal(mine.fires, whole.fires)
    monkeypatch.setattr(nn.Conv2d, "forward", run_again)
    assert dissect(target, concepts, ["stem", "body"], tmp_path, SETTINGS).folder == one.folder
    assert [found.folder for found in open_dissections(tmp_path)] == []


def test_other_settings_are_another_dissection(target: Target, tmp_path: Path) -> None:
    concepts = load_concepts("scenes:3:1")
    one = dissect(target, concepts, ["body"], tmp_path, SETTINGS)
    two = dissect(target, concepts, ["body"], tmp_path, DissectSettings(size=31, k=3, n_shifts=0))
    three = dissect(target, concepts, ["body"], tmp_path, SETTINGS, units=[2, 5])
    assert len({one.folder, two.folder, three.folder}) == 3
    few, whole = three.layer("body"), one.layer("body")
    assert few.exemplars.unit_ids.tolist() == [2, 5]
    assert (few.counts.counts != whole.counts.subset([2, 5]).counts).nnz == 0
    assert two.layer("body").shifted == ()


@pytest.mark.parametrize("name", ["gray", "woven", "hat"])
def test_examples_are_those_of_plain_loops(
    dissection: Dissection, target: Target, concepts: ConceptSet, slow: dict[str, np.ndarray], name: str
) -> None:
    labels, layer = sampled(target, concepts), dissection.layer("stem")
    rows = np.array([4, 1])
    found = find_examples(dissection, layer, rows, [Concept(name), None], labels)
    category = dict(zip(dissection.table.names, dissection.table.categories, strict=True))[name]
    expected: dict[str, list[tuple[int, int]]] = {kind: [] for kind in KINDS}
    strongest = layer.exemplars.images[4].tolist()
    for image in range(8):
        unit = slow["stem"][4, image]
        if labels.kept[image] in strongest:  # their maps are kept with less precision
            rank = strongest.index(labels.kept[image])
            unit = (upsample(layer.exemplars.maps[4, rank], (28, 29)) > layer.exemplars.threshold[4]).numpy()
        form = np.array([[f"{category} {name}" in here for here in row] for row in pixel_sets(labels, image)])
        inside, outside = int((unit & form).sum()), int((unit & ~form).sum())
        if labels.kept[image] in strongest:
            expected["agree"].append((inside if inside >= outside else 0, labels.kept[image]))
            expected["false_alarm"].append((outside if outside > inside else 0, labels.kept[image]))
        if not layer.fires[image, 4]:
            expected["miss"].append((int(form.sum()), labels.kept[image]))
    for kind in KINDS:
        best = sorted((-n, image) for n, image in expected[kind] if n)[:3]
        assert found.images[kind][0].tolist() == [image for _, image in best] + [-1] * (3 - len(best)), kind
        assert found.pixels[kind][0].tolist() == [-n for n, _ in best] + [0] * (3 - len(best))
        assert (found.images[kind][1] == -1).all()


def test_faults(target: Target, tmp_path: Path) -> None:
    with pytest.raises(ImagesError, match="size and k must be at least 1"):
        DissectSettings(size=0)
    with pytest.raises(AtlasError, match="must hold a dissection"):
        Dissection.open(tmp_path / "none")
    done = dissect(target, load_concepts("scenes:2:1"), ["body"], tmp_path, SETTINGS)
    with pytest.raises(AtlasError, match=r"must have the layer\. Got 'stem', not dissected"):
        done.layer("stem")
    (tmp_path / "photos").mkdir()
    Image.new("RGB", (19, 17)).save(tmp_path / "photos" / "0.png")
    rows = {"path": ["0.png"], "mask": [encoded(np.zeros((17, 19), np.uint8))]}
    pq.write_table(pa.table(rows), tmp_path / "m.parquet")
    (tmp_path / "labels.json").write_text('{"1": "hat"}')
    empty = load_concepts(f"{tmp_path / 'm.parquet'}@{tmp_path / 'photos'}")
    with pytest.raises(DescriberError, match=r"Concepts must occur in the pictures\. Got no labelled pixel in 1"):
        dissect(target, empty, ["body"], tmp_path, SETTINGS)
