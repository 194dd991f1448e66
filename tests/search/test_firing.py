"""Pictures as queries: activations and ranks against plain loops over the whole probe set."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image

from describer.atlas import Atlas
from describer.data.images import load_images
from describer.data.targets import Target, load_target
from describer.describe import describe
from describer.errors import AtlasError, ImagesError
from describer.probe import ProbeSettings
from describer.search.firing import firing, peak_ranks
from describer.search.index import Searcher
from tests.describer.captioners import small_captioner
from tests.describer.worlds import Namer, make_exemplars

N, K = 37, 5
NET = """
import torch
from torch import nn
from torchvision import transforms

def load():
    torch.manual_seed(0)
    net = nn.Sequential()
    net.add_module("stem", nn.Conv2d(3, 7, 5, stride=4))
    net.add_module("act", nn.ReLU(inplace=True))
    net.add_module("last", nn.Conv2d(7, 11, 3, stride=2))
    return net, transforms.Compose([transforms.Resize((41, 43)), transforms.ToTensor()]), None
"""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> tuple[Atlas, Target]:
    folder = tmp_path_factory.mktemp("firing")
    (folder / "net.py").write_text(NET)
    target = load_target(f"{folder / 'net.py'}:load")
    settings = ProbeSettings(k=K, quantile=0.9)
    images = load_images(f"scenes:{N}:3")
    return describe(target, images, folder / "atlas", [Namer()], layers=["stem", "last"], settings=settings), target


def peaks_of(target: Target, picture: Image.Image) -> dict[str, list[float]]:
    """layer -> the spatial maximum of every unit on a picture."""
    assert target.preprocess is not None
    with torch.no_grad():
        stem = target.model.stem(target.preprocess(picture)[None])  # type: ignore[operator]
        last = target.model.last(stem.relu())  # type: ignore[operator]
    return {"stem": stem.amax((0, 2, 3)).tolist(), "last": last.amax((0, 2, 3)).tolist()}


def test_ranks_are_places_among_the_probe_sets_images(world: tuple[Atlas, Target]) -> None:
    atlas, target = world
    images = load_images(f"scenes:{N}:3")
    seen = [peaks_of(target, images.image(index)) for index in range(N)]
    for picture in (load_images("scenes:1:99").image(0), images.image(4)):
        own = peaks_of(target, picture)
        found = firing(atlas, picture, target)
        assert [(f.layer, f.unit) for f in found] == [("stem", u) for u in range(7)] + [("last", u) for u in range(11)]
        for fired in found:
            peak = own[fired.layer][fired.unit]
            assert fired.activation == pytest.approx(peak, abs=1e-4) == float(fired.map.max())
            rank = 1 + sum(other[fired.layer][fired.unit] > peak + 1e-5 for other in seen)
            if rank <= K:
                assert fired.rank == rank  # exact among the exemplars
            else:
                assert fired.rank == pytest.approx(rank, abs=1.5)  # between two levels
            assert fired.n_images == N and fired.fires == (fired.activation > fired.threshold)


def test_units_that_fire_are_found_the_most_unusual_first(world: tuple[Atlas, Target]) -> None:
    atlas, target = world
    searcher = Searcher(atlas, small_captioner())
    searcher.targets[target.fingerprint] = target
    picture = load_images(f"scenes:{N}:3").image(4)
    fired = {f"{f.layer}:{f.unit}": f for f in firing(atlas, picture, target) if f.fires}
    hits = searcher.search(image=picture, k=99)
    assert {hit.id for hit in hits} == set(fired) and {hit.by for hit in hits} <= {"firing"}
    ranks = [hit.parts["rank"] for hit in hits]
    assert ranks == sorted(ranks) and [hit.score for hit in hits] == sorted((h.score for h in hits), reverse=True)
    assert list(searcher.targets) == [target.fingerprint]
    few = searcher.search(image=picture, k=99, layers=["last"])
    assert [hit.id for hit in few] == [hit.id for hit in hits if hit.layer == "last"]
    both = searcher.search("things", image=picture, k=3)
    assert len(both) == 3 and {hit.by for hit in both} == {"fused"}


def test_ranks_without_levels_end_at_the_exemplars() -> None:
    exemplars = replace(make_exemplars("stem"), activations=torch.tensor([[9.0, 7.0, 4.0, 2.0]]).repeat(5, 1))
    lowest = exemplars.activations[:, -1]
    assert peak_ranks(exemplars, lowest - 1, 23) == [None] * 5
    assert peak_ranks(exemplars, exemplars.activations[:, 0] + 1, 23) == [1.0] * 5
    assert peak_ranks(exemplars, exemplars.activations[:, 2], 23) == [3.0] * 5
    levels = torch.linspace(0, 1, 65).repeat(5, 1) * lowest[:, None]
    again = replace(exemplars, levels=levels)
    assert peak_ranks(again, torch.zeros(5) - 1, 23) == [24.0] * 5
    assert peak_ranks(again, lowest / 4, 23) == pytest.approx([1 + 0.75 * 23] * 5, abs=1e-3)


def test_a_python_file_that_an_atlas_names_is_not_run(world: tuple[Atlas, Target]) -> None:
    atlas, _ = world
    with pytest.raises(AtlasError, match="must be named by you"):
        firing(atlas, Image.new("RGB", (50, 50)))


def test_another_model_is_refused(world: tuple[Atlas, Target]) -> None:
    atlas, target = world
    with pytest.raises(AtlasError, match="with other weights or preprocessing"):
        firing(atlas, Image.new("RGB", (50, 50)), replace(target, fingerprint="another"))
    with pytest.raises(ImagesError, match="which does not"):
        firing(atlas, Image.new("RGB", (50, 50)), replace(target, preprocess=None))


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "I;16", "1"])
def test_pictures_of_any_kind_are_taken(mode: str, world: tuple[Atlas, Target], tmp_path: Path) -> None:
    atlas, target = world
    Image.new(mode, (61, 53)).save(tmp_path / "x.png")
    assert len(firing(atlas, tmp_path / "x.png", target)) == 18
