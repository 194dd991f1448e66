"""GANs of torch.hub repositories, in a folder with a hubconf.py: tiny random ones of the three common shapes."""

import pytest
import torch

from describer.data.targets import load_target
from describer.data.zoo import runs_code
from describer.errors import TargetError
from describer.eval.control.drawing import Samples
from describer.intervention import Edit

HUBCONF = '''
import torch
from torch import nn

dependencies = ["torch"]


class Vectors(nn.Module):
    """Draws from vectors, in 0..1, and gives its maps too."""

    def __init__(self, z=5):
        super().__init__()
        self.latent_dim, self.first = z, nn.Linear(z, 3 * 49)
        self.last = nn.Conv2d(3, 3, 3, padding=1)

    def forward(self, z):
        maps = self.first(z).view(-1, 3, 7, 7)
        return z, [torch.sigmoid(self.last(maps)), maps]


class Places(nn.Sequential):
    """Draws from maps of one place, in -1..1."""

    def __init__(self, z):
        super().__init__(nn.ConvTranspose2d(z, 11, 5), nn.ReLU(), nn.ConvTranspose2d(11, 3, 3, 2), nn.Tanh())


class Config:
    noiseVectorDim, categoryVectorDim = 7, 2


class Trainer:
    """What trained two generators and holds them, no module itself."""

    def __init__(self, seed):
        torch.manual_seed(seed)
        self.config, self.netG = Config(), Places(9)
        torch.manual_seed(seed + 1)
        self.avgG = Places(9)


def vectors(pretrained=False, z=5):
    torch.manual_seed(0)
    return Vectors(z)


def trainer(pretrained=False, **options):
    assert pretrained and options == {"seed": 3, "useGPU": False, "name": "dogs"}, options
    return Trainer(options["seed"])


def lengthless(pretrained=False):
    return Places(4)


def nothing(pretrained=False):
    return {}


def labelled(pretrained=False):
    model = Vectors()
    model.forward = lambda z, labels: z
    return model


def pickled(pretrained=False):
    import pathlib

    torch.save({"generator": pathlib.Path()}, pathlib.Path(__file__).with_name("weights.pt"))
    return torch.load(pathlib.Path(__file__).with_name("weights.pt"))
'''


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hub")
    (folder / "hubconf.py").write_text(HUBCONF, encoding="utf-8")
    return folder


def test_a_generator_of_vectors_with_more_outputs(repository):
    target = load_target(f"torchhub:{repository}#vectors?z=13")
    assert target.is_generator and target.input_shape == (13,) and target.model.output_range == (0.0, 1.0)
    latents = torch.randn(2, 13)
    _, (pictures, _) = target.model.generator(latents)
    assert torch.equal(target.model(latents), pictures) and pictures.shape == (2, 3, 7, 7)


def test_a_trainer_that_holds_generators_gives_the_averaged_one(repository):
    target = load_target(f"torchhub:{repository}#trainer?seed=3&useGPU=false&name=dogs")
    assert target.input_shape == (9, 1, 1) and target.model.output_range == (-1.0, 1.0)
    torch.manual_seed(4)
    wanted = torch.nn.ConvTranspose2d(9, 11, 5).weight
    assert torch.equal(target.model.generator[0].weight, wanted)


def test_its_units_can_be_cut(repository):
    samples = Samples(load_target(f"torchhub:{repository}#vectors"), 0, 3)
    before, after = samples.draw(), samples.draw([Edit("generator.last", (0,), "ablate")])
    assert before.shape == (3, 7, 7, 3) and (before[..., 1:] == after[..., 1:]).all() and (before != after).any()


@pytest.mark.parametrize(
    ("entry", "told"),
    [
        ("", "must name an entry, as in REPOSITORY#ENTRY"),
        ("#boats", "boats"),
        ("#nothing", "nothing must give a generator, or hold one as avgG, .* Got dict"),
        ("#lengthless", "lengthless must tell the length of its latents as latent_dim"),
        ("#labelled", r"must draw from latents of length 5 alone. Got TypeError: .*labels"),
        ("#pickled", "plain tensors"),
    ],
)
def test_what_is_no_generator_is_one_sentence(repository, entry, told):
    with pytest.raises(TargetError, match=told) as fault:
        load_target(f"torchhub:{repository}{entry}")
    assert "\n" not in str(fault.value)


def test_a_repository_runs_code():
    assert runs_code("torchhub:owner/repository#entry") and runs_code("gan.py:load")
    assert not any(map(runs_code, ("carried:gan", "diffusers:owner/name", "hf:owner/name", "timm:resnet18")))
