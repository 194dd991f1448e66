"""A captioner small enough to test: random weights, a real vocabulary and inventory."""

import torch

from describer.captioner import Captioner, CaptionerConfig
from describer.inventory import Inventory
from describer.phrasereader import PhraseReader
from describer.vocabulary import Vocabulary

PHRASES = ["dogs", "brown dogs", "striped objects", "red cars", "sky above water", "grass", "wheels of cars"]


def small_captioner(seed: int = 0, reads_phrases: bool = False, width: int = 32, n_heads: int = 4) -> Captioner:
    """Random weights of the seed, the phrases above as inventory, which it reads if that is asked for."""
    torch.manual_seed(seed)
    vocabulary = Vocabulary.train(PHRASES * 3, 50)
    own = {"channels": [8, 11, 13, 17], "semantic": 19}
    encoder = {"width": width, "n_layers": 1, "n_heads": n_heads, "own": own}
    config = CaptionerConfig(len(vocabulary), encoder, n_layers=2, n_heads=n_heads)
    captioner = Captioner(config)
    captioner.vocabulary, captioner.inventory = vocabulary, Inventory(PHRASES)
    for weight in captioner.decoder.parameters():
        weight.data.mul_(1.5)  # far from uniform, so that orders are not ties
    if reads_phrases:
        reader = PhraseReader(captioner.encoder.n_features, len(PHRASES), width=11)
        reader.layers[-1].weight.data.mul_(3)
        reader.log_prior.copy_(torch.randn(len(PHRASES)).log_softmax(0))
        captioner.take_reader(reader)
    return captioner.eval()


def random_features(captioner: Captioner, n_units: int = 5, k: int = 7) -> tuple[torch.Tensor, torch.Tensor]:
    """Features and presence of random sets; the third unit has three exemplars only."""
    generator = torch.Generator().manual_seed(1)
    features = torch.randn(n_units, k, captioner.encoder.n_features, generator=generator)
    present = torch.ones(n_units, k, dtype=torch.bool)
    present[2 % n_units, 3:] = False
    return features, present


def random_sets(captioner: Captioner, n_units: int = 5, k: int = 7) -> tuple[torch.Tensor, torch.Tensor]:
    """Memory and presence of the same sets."""
    features, present = random_features(captioner, n_units, k)
    with torch.inference_mode():
        return captioner.encode(features, present), present
