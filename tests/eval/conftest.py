"""The painter and its atlas, once for all tests of control; what is of another network has fixtures of its own."""

import pytest

from describer.atlas import Atlas
from describer.data.images import load_images
from describer.data.targets import Target, load_target
from tests.eval.described import PAINTER, describe_colors


@pytest.fixture(scope="session")
def target() -> Target:
    return load_target(PAINTER)


@pytest.fixture(scope="session")
def atlas(target: Target, tmp_path_factory: pytest.TempPathFactory) -> Atlas:
    path = tmp_path_factory.mktemp("painter") / "atlas"
    return describe_colors(target, load_images("latents:97:5", target), path, 0.9)
