"""Several meanings: planted units with one meaning or two, and what becomes of their modes."""

from pathlib import Path

import pytest
import torch

from describer.atlas import Atlas
from describer.data.scenes import SceneSet
from describer.describe import describe
from describer.description import Description
from describer.eval.plantednet import PlantedUnit, planted_network
from describer.exemplars import Exemplars
from describer.modes import ModeSettings, _apart, _merged, activation_mass
from describer.probe import ProbeSettings
from tests.describer.listeners import LabelNamer, LabelReader, stem

N_SCENES, SEED = 97, 7
ONE = ("part:wheel", "object:cloud")
TWO = (("object:person", "object:water"), ("part:window", "object:snow"))
UNITS = [*(PlantedUnit((key,), 0.05) for key in ONE), *(PlantedUnit(keys, 0.05) for keys in TWO)]


def few(maps: torch.Tensor) -> Exemplars:
    """Exemplars of one layer with these maps, images counted through."""
    units, k = maps.shape[:2]
    images = torch.arange(units * k).view(units, k)
    peaks = maps.flatten(2).amax(2)
    ids = torch.arange(units) + 5
    return Exemplars("a", ids, images, peaks, maps, torch.zeros(units), torch.zeros(units, dtype=torch.bool))


def test_mass_is_the_positive_peak() -> None:
    maps = torch.randn(2, 3, 5, 7, generator=torch.Generator().manual_seed(0))
    maps[1] = -maps[1].abs()
    exemplars = few(maps)
    exemplars.images[0, 2] = -1
    mass = activation_mass(exemplars)
    assert mass[0].tolist() == [*maps[0, :2].flatten(1).amax(1).tolist(), 0.0]
    assert mass[1].tolist() == [1.0, 1.0, 1.0]


def test_modes_become_units_of_their_own() -> None:
    wide = few(torch.arange(1.0, 2 * 5 * 3 * 2 + 1).view(2, 5, 3, 2))
    first, second = torch.tensor([True, False, True, False, False]), torch.tensor([False, True, False, False, False])
    apart = _apart(wide, [(0, first), (1, second)])
    assert apart.images.tolist() == [[0, 2], [6, -1]] and apart.unit_ids.tolist() == [0, 1]
    assert torch.equal(apart.maps[0, 1], wide.maps[0, 2]) and torch.equal(apart.maps[1, 0], wide.maps[1, 1])


def test_modes_that_share_a_word_are_one() -> None:
    texts = ("brown dogs", "cars", "a dog on grass", None, "Grass")
    told = [Description("a", 0, text, "caption", {"pmi": 1.0 + n}) for n, text in enumerate(texts)]
    merged = _merged(told, [0.3, 0.35, 0.2, 0.1, 0.05])
    assert [(meaning.text, meaning.pmi) for meaning in merged] == [("brown dogs", 1.0), ("cars", 2.0), ("Grass", 5.0)]
    assert [meaning.share for meaning in merged] == pytest.approx([0.5, 0.35, 0.05])


@pytest.fixture(scope="module")
def atlas(tmp_path_factory: pytest.TempPathFactory) -> Atlas:
    target, images = planted_network(N_SCENES, SEED, UNITS)
    namer = LabelNamer(LabelReader(SceneSet(N_SCENES, SEED)))
    path = tmp_path_factory.mktemp("modes") / "atlas"
    return describe(target, images, path, [namer], settings=ProbeSettings(k=7), modes=ModeSettings(wide=41))


def test_planted_units_with_two_meanings_have_both_told(atlas: Atlas) -> None:
    rows = atlas.units()
    assert [row["meanings"] for row in rows[: len(ONE)]] == [[]] * len(ONE)
    for row, keys in zip(rows[len(ONE) :], TWO, strict=True):
        said = {meaning["text"].replace("people", "person") for meaning in row["meanings"]}
        assert {stem(key.split(":")[1]) for key in keys} <= said, row["meanings"]
        shares = [meaning["share"] for meaning in row["meanings"]]
        assert shares == sorted(shares, reverse=True) and 0.5 < sum(shares) < 1 + 1e-6


def test_the_atlas_keeps_many_exemplars_beside_those_that_are_shown(atlas: Atlas) -> None:
    shown, wide = atlas.exemplars("planted"), atlas.wide("planted")
    assert (shown.k, wide.k) == (7, 41) and torch.equal(wide.first(7).images, shown.images)
    assert atlas.meta.options["modes_wide"] == 41 and atlas.meta.options["k"] == 7


def test_without_modes_there_is_one_description(tmp_path: Path) -> None:
    target, images = planted_network(20, SEED, UNITS[-1:])
    namer = LabelNamer(LabelReader(SceneSet(20, SEED)))
    rows = describe(target, images, tmp_path / "a", [namer], settings=ProbeSettings(k=3)).units()
    assert [row["meanings"] for row in rows] == [[]]
