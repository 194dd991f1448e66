"""The backbone's lessons against loops, and a teacher that is asked once for every view, whatever kills it."""

import io
import itertools
import json

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import save_file
from torch import nn

from describer.backbone import PyramidBackbone
from describer.training.backbone import (
    HEADS,
    BackboneRecipe,
    Lessons,
    Student,
    crop,
    filters_of,
    heads_of,
    load_heads,
    masked_mean,
    mirrored,
    rise,
)
from describer.training.corpus import Corpus
from describer.training.photographs import Photograph
from describer.training.precision import bfloat16_pays
from describer.training.teacher import Views, ViewSettings, cut_views, look

SETTINGS = ViewSettings(n_crops=2, size=32, grid=3, components=5)
CLASSES = 11


class Teacher(nn.Module):
    """RGB in 0..1 -> layers "low" (7, 56, 56) and "high" (13, 28, 28) -> 11 classes."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.low, self.high, self.head = nn.Conv2d(3, 7, 4, 4), nn.Conv2d(7, 13, 2, 2), nn.Linear(13, CLASSES)
        self.head.weight.data *= 20  # logits that differ
        self.batches = 0
        self.dies_at = -1

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        self.batches += 1
        if self.batches == self.dies_at:
            raise KeyboardInterrupt
        return self.head(torch.relu(self.high(torch.relu(self.low(images)))).mean((2, 3)))


def preprocess(picture: Image.Image) -> torch.Tensor:
    return torch.from_numpy(np.asarray(picture, np.float32).transpose(2, 0, 1) / 255)


def photographs(n: int = 5) -> list[Photograph]:
    dice = np.random.default_rng(0)
    found = []
    for index in range(n):
        file = io.BytesIO()
        small = Image.fromarray(dice.integers(0, 255, (5, 7, 3), dtype=np.uint8))
        small.resize((70, 50), Image.Resampling.BILINEAR).save(file, "PNG")
        found.append(Photograph(f"{index}.png", file.getvalue()))
    return found


@pytest.fixture
def teacher() -> Teacher:
    return Teacher().eval()


def seen_by(teacher: Teacher, folder, photos=None) -> Views:
    return look(photos or photographs(), teacher, preprocess, ["low", "high"], SETTINGS, folder, batch_size=4)


def test_views_are_what_the_teacher_says_of_each_alone(teacher, tmp_path):
    photos = photographs()
    views = seen_by(teacher, tmp_path, photos)
    assert views.images.shape == (15, 3, 32, 32) and views.targets["high"].shape == (15, 5, 3, 3)
    for row in range(15):
        view = cut_views(photos[row // 3], row // 3, SETTINGS)[row % 3]
        small = np.asarray(view.resize((32, 32), Image.Resampling.BICUBIC)).transpose(2, 0, 1)
        assert np.array_equal(views.images[row], small)
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=bfloat16_pays()):
            logits = teacher(preprocess(view.resize((224, 224), Image.Resampling.BICUBIC))[None])[0].float()
        np.testing.assert_allclose(views.logits[row], logits.numpy(), atol=5e-3)
    assert not np.array_equal(views.images[0], views.images[1])


def test_maps_are_kept_on_their_leading_components_half_way_to_white(teacher, tmp_path):
    photos = photographs(29)
    views = look(photos, teacher, preprocess, ["high"], ViewSettings(0, size=32, grid=7, components=3), tmp_path)
    with torch.no_grad():
        whole = torch.stack([preprocess(p.image().resize((224, 224), Image.Resampling.BICUBIC)) for p in photos])
        maps = F.adaptive_avg_pool2d(teacher.high(torch.relu(teacher.low(whole))), 7)
    places = maps.movedim(1, -1).flatten(0, 2)
    kept = torch.from_numpy(np.asarray(views.targets["high"], np.float32)).movedim(1, -1).flatten(0, 2)
    # what three numbers a place say of the thirteen maps is nearly what the best three can
    basis = torch.linalg.lstsq(torch.cat([kept, torch.ones(len(kept), 1)], 1), places).solution
    left = (places - torch.cat([kept, torch.ones(len(kept), 1)], 1) @ basis).square().sum()
    values = torch.linalg.eigvalsh(torch.cov(places.T)).flip(0)
    best = values[3:].sum() / values.sum()
    assert best <= left / len(places) / values.sum() < best + 0.03
    spread = kept.std(0)
    assert spread[0] > spread[1] > spread[2]  # not quite white: the square root of what it was
    assert float(spread[0] / spread[2]) == pytest.approx(float((values[0] / values[2]) ** 0.25), rel=0.2)


def test_a_killed_teacher_goes_on_after_the_last_batch(teacher, tmp_path):
    unbroken = seen_by(teacher, tmp_path / "unbroken")
    n_asked = teacher.batches
    broken = Teacher().eval()
    broken.dies_at = n_asked - 1  # the last batch but one
    with pytest.raises(KeyboardInterrupt):
        seen_by(broken, tmp_path / "broken")
    broken.batches, broken.dies_at = 0, -1
    found = seen_by(broken, tmp_path / "broken")
    assert broken.batches == 2
    assert np.array_equal(found.images, unbroken.images) and np.array_equal(found.logits, unbroken.logits)
    for layer in ("low", "high"):
        np.testing.assert_allclose(found.targets[layer], unbroken.targets[layer], atol=5e-3)
    seen_by(broken, tmp_path / "broken")
    assert broken.batches == 2  # all is there
    seen_by(broken, tmp_path / "broken", photographs(3))
    assert broken.batches > 2  # other photographs: anew
    assert json.loads((tmp_path / "broken" / "seen.json").read_text()) == {"views": 9}


# Lessons


def painted() -> Corpus:
    """Five pictures, dark on the left and light on the right, with two regions each: the whole and the right half."""
    images = np.zeros((5, 3, 160, 160), np.uint8)
    images[..., 80:] = (np.arange(5) * 40 + 30)[:, None, None, None]
    masks = np.full((10, 32, 32), 255, np.uint8)
    masks[1::2, :, :16] = 0
    phrases = {"pictures": np.arange(0, 10, 2), "right halves": np.arange(1, 10, 2), "rare things": np.array([3])}
    return Corpus(images, np.repeat(np.arange(5, dtype=np.int32), 2), masks, ((),) * 10, ("drawn",) * 10, phrases)


def small(tmp_path, **fields) -> BackboneRecipe:
    given = {"photographs": [], "teacher": "", "layers": ["low", "high"], "sources": [], "min_count": 2}
    given |= {"n_views": 7, "n_regions": 11, "channels": [8, 16, 24, 32], "semantic": 16, "steps": 3}
    return BackboneRecipe(out=str(tmp_path / "out"), **(given | fields))


@pytest.fixture
def views(teacher, tmp_path):
    return look(photographs(), teacher, preprocess, ["low", "high"], ViewSettings(1, grid=8, components=5), tmp_path)


def test_a_step_sees_the_same_whenever_it_is_drawn(views, tmp_path):
    lessons = Lessons(views, painted(), small(tmp_path))
    assert lessons.phrases == ["pictures", "right halves"]
    first, again, other = lessons([5]), lessons([5]), lessons([6])
    assert first["images"].shape == (18, 3, 160, 160) and first["targets"]["low"].shape == (7, 5, 8, 8)
    assert all(torch.equal(first[name], again[name]) for name in ("images", "logits", "masks", "said"))
    assert not torch.equal(first["images"], other["images"])
    # every region has one phrase, and its window keeps what the phrase is about
    assert first["said"].sum(1).tolist() == [1.0] * 11
    for picture, mask, said in zip(first["images"][7:], first["masks"], first["said"], strict=True):
        big = F.interpolate(mask[None, None], (160, 160), mode="bilinear")[0, 0]
        if said[1] and (big > 0.99).any():
            assert picture[:, big > 0.99].std() < 0.02  # all of one tone: nothing of the dark half is under the mask


def test_a_crop_cuts_pictures_and_masks_alike():
    dice = np.random.default_rng(1)
    images = torch.linspace(0, 1, 32)[None, None, :, None].expand(5, 3, 32, 32) + torch.linspace(0, 9, 32)
    masks = images[:, 0].clone()
    cut, windows = crop(images, masks, dice)
    torch.testing.assert_close(cut[:, 0], windows)
    assert (cut.flatten(1).amax(1) < images.max()).any() and cut.shape == images.shape


def test_mirrored_turns_the_named_rows_alone():
    x = torch.arange(30.0).view(5, 2, 3)
    turned = mirrored(x, torch.tensor([True, False, False, True, False]))
    for row in range(5):
        assert torch.equal(turned[row], x[row].flip(-1) if row in (0, 3) else x[row])


def test_the_mean_under_a_mask_by_loops():
    torch.manual_seed(0)
    level, masks = torch.randn(3, 5, 2, 2), torch.rand(3, 6, 6)
    masks[2] = 0
    found = masked_mean(level, masks)
    for n in range(3):
        cells = [[float(masks[n, 3 * i : 3 * i + 3, 3 * j : 3 * j + 3].mean()) for j in range(2)] for i in range(2)]
        total = sum(map(sum, cells))
        for c in range(5):
            wanted = sum(cells[i][j] * float(level[n, c, i, j]) for i in range(2) for j in range(2))
            assert float(found[n, c]) == pytest.approx(wanted / total if total else 0.0, abs=1e-5)


def test_the_four_losses_by_loops(views, tmp_path):
    recipe = small(tmp_path)
    lessons = Lessons(views, painted(), recipe)
    torch.manual_seed(0)
    student = Student(PyramidBackbone(recipe.channels, recipe.semantic), views, 2).eval()
    batch = lessons([0])
    with torch.no_grad():
        found = student(**batch)
        *_, top, semantic = student.backbone.learnt(batch["images"])
        maps = 0.0
        for layer, target in batch["targets"].items():
            guess = F.adaptive_avg_pool2d(student.maps[layer](semantic[:7]), 8)
            maps += sum(float((guess[n] - target[n]).square().mean()) for n in range(7)) / 7
        taught = unlike = named = 0.0
        spread = np.asarray(views.logits, np.float64).std(0, ddof=1)
        for n in range(7):
            whole = torch.cat([semantic[n].mean((1, 2)), top[n].mean((1, 2))])
            guess, wanted = student.logits(whole), batch["logits"][n]
            p, q = wanted.softmax(0), guess.softmax(0)
            unlike += sum(float((guess[c] - wanted[c]) / spread[c]) ** 2 for c in range(CLASSES)) / CLASSES / 7
            taught += float((p * (p / q).log()).sum()) / 7
        for n in range(11):
            parts = [masked_mean(level[7 + n : 8 + n], batch["masks"][n : n + 1])[0] for level in (semantic, top)]
            said = int(batch["said"][n].argmax())
            named -= float(student.phrases(torch.cat(parts)).log_softmax(0)[said]) / 11
    assert float(found["maps"]) == pytest.approx(maps, rel=1e-4)
    assert float(found["taught"]) == pytest.approx(taught, rel=1e-3)
    assert float(found["unlike"]) == pytest.approx(unlike, rel=1e-3)
    assert float(found["named"]) == pytest.approx(named, rel=1e-4)
    assert float(found["loss"]) == pytest.approx(maps + 2 * unlike + 0.3 * taught + 0.3 * named, rel=1e-3)


def test_the_first_steps_see_small_pictures(views, tmp_path):
    lessons = Lessons(views, painted(), small(tmp_path, small_steps=2))
    assert lessons([1])["images"].shape == (18, 3, 120, 120) and lessons([2])["images"].shape == (18, 3, 160, 160)
    student = Student(PyramidBackbone([8, 16, 24, 32], 16), views, 2)
    assert student(**lessons([1]))["loss"].isfinite()


def test_heads_learn_first_then_the_rate_rises_and_falls_to_zero():
    rates = [rise(step, 1000, still=0.1) for step in range(1001)]
    assert rates[:101] == [0.0] * 101 and rates[125] == pytest.approx(0.5) and rates[150] == pytest.approx(1.0)
    assert rates[1000] == pytest.approx(0.0, abs=1e-12) and rates[575] == pytest.approx(0.5)
    assert all(a >= b for a, b in itertools.pairwise(rates[150:]))


def test_heads_go_on_where_they_fit(views, tmp_path):
    torch.manual_seed(0)
    first, other = (Student(PyramidBackbone([8, 16, 24, 32], 16), views, n) for n in (2, 3))
    assert {name.split(".")[0] for name in heads_of(first)} == {"maps", "logits", "phrases"}
    save_file({k: v.contiguous() for k, v in heads_of(first).items()}, tmp_path / HEADS)
    before = {k: v.clone() for k, v in other.state_dict().items()}
    load_heads(other, tmp_path)
    after = other.state_dict()
    assert torch.equal(after["logits.weight"], first.logits.weight)
    assert all(torch.equal(after[k], before[k]) for k in after if k.startswith(("backbone.", "phrases.")))
    load_heads(other, tmp_path / "nothing")  # none: its own are kept


def test_filters_are_the_convolutions_of_the_backbone(views, tmp_path):
    student = Student(PyramidBackbone([8, 16, 24, 32], 16), views, 2)
    filters, others = filters_of(student)
    names = {id(weight): name for name, weight in student.named_parameters()}
    assert len(filters) + len(others) == len(names)
    assert all("conv" in names[id(w)] or "downsample" in names[id(w)] or "lateral" in names[id(w)] or
               "smooth" in names[id(w)] for w in filters)  # fmt: skip
    assert {"maps.low.weight", "logits.weight", "backbone.trunk.bn1.weight"} <= {names[id(w)] for w in others}
