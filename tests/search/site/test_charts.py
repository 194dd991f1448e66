"""Charts and neighbours against counts one by one."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from describer.atlas import Atlas
from describer.search.site.charts import CELL, GAP, HEIGHT, N_BARS, SHADES, WIDTH, layer_map, peaks_chart
from describer.search.site.library import Library
from describer.search.site.neighbours import Neighbours
from describer.search.site.sheet import UnitSheet
from tests.describer.worlds import LAYERS
from tests.search.site.sites import write_atlas


@pytest.fixture(scope="module")
def atlas(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_atlas(tmp_path_factory.mktemp("charts") / "atlas")


@pytest.fixture(scope="module")
def sheet(atlas: Path) -> UnitSheet:
    return Library(atlas).sheet("stem", 3)


def bars(path: str) -> list[tuple[float, float]]:
    """(left, height) of every bar of a path."""
    return [(float(x), float(tall)) for x, tall in re.findall(rf"M([\d.]+) {HEIGHT}v-([\d.]+)h", path)]


def test_histogram_has_the_shares_of_the_images(sheet: UnitSheet) -> None:
    peaks = np.sort(np.random.default_rng(0).gamma(2.0, size=64 * 101 + 1))
    levels = np.quantile(peaks, np.linspace(0, 1, 65))
    chart = peaks_chart(replace(sheet, levels=tuple(levels.tolist()), threshold=3.0))
    assert chart is not None and not chart.of_exemplars
    counts = [0] * N_BARS
    for peak in peaks:
        counts[min(int((peak - peaks[0]) / (peaks[-1] - peaks[0]) * N_BARS), N_BARS - 1)] += 1
    tall = dict(bars(chart.bars))
    for bar in range(12):  # beyond, a quantile spans several bars
        wanted = (counts[bar] / max(counts)) ** 0.5
        assert tall[round(bar * WIDTH / N_BARS, 1)] / (HEIGHT - 4) == pytest.approx(wanted, abs=0.12)
    assert chart.threshold == pytest.approx((3.0 - peaks[0]) / (peaks[-1] - peaks[0]) * WIDTH)


def test_silent_images_are_one_bar(sheet: UnitSheet) -> None:
    levels = (0.0,) * 60 + (1.0, 2.0, 3.0, 4.0, 5.0)
    chart = peaks_chart(replace(sheet, levels=levels, threshold=9.0))
    assert chart is not None and chart.threshold is None
    heights = [tall for _, tall in bars(chart.bars)]
    assert heights[0] == HEIGHT - 4 and max(heights[1:]) < HEIGHT / 3


def test_without_levels_exemplars_are_bars(sheet: UnitSheet) -> None:
    chart = peaks_chart(replace(sheet, levels=()))
    assert chart is not None and chart.of_exemplars
    tall = [height for _, height in bars(chart.bars)]
    wanted = [max(each.activation / sheet.exemplars[0].activation * (HEIGHT - 4), 1) for each in sheet.exemplars]
    assert tall == pytest.approx(wanted, abs=0.06)
    assert peaks_chart(replace(sheet, levels=(), exemplars=())) is None
    assert peaks_chart(replace(sheet, levels=(0.0,) * 65, exemplars=())) is None


@pytest.mark.parametrize("n_units", [0, 1, 31, 67, 5003])
def test_layer_map_has_a_cell_a_unit(n_units: int) -> None:
    scores = [None if unit % 7 == 0 else unit / n_units for unit in range(n_units)]
    found = layer_map(scores)
    cells = [path.count("M") for path in found.paths]
    per_cell = -(-n_units // 1024) or 1
    assert len(cells) == SHADES + 1 and sum(cells) == -(-n_units // per_cell)
    if per_cell == 1:
        assert cells[0] == sum(score is None for score in scores)
        assert found.height in (0, -(-n_units // 32) * (CELL + GAP) - GAP)


def test_neighbours_share_the_most_images(atlas: Path) -> None:
    opened = Atlas.open(atlas)
    images = {
        (layer, unit): set(opened.exemplars(layer).images[unit].tolist()) - {-1}
        for layer, (n_units, _, _) in LAYERS.items()
        for unit in range(n_units)
    }
    found = Neighbours(opened)
    for home, own in images.items():
        likeness = {}
        for other, theirs in images.items():
            if other != home and own & theirs:
                likeness[other] = len(own & theirs) / len(own | theirs)
        wanted = sorted(likeness, key=lambda other: -likeness[other])[:5]
        near = found.of(*home, 5)
        assert [(each.layer, each.unit) for each in near] == wanted
        assert [each.likeness for each in near] == pytest.approx([likeness[other] for other in wanted])
    assert found.of("stem", 99, 5) == []
