"""Observing a model: it is told what modules give, and is left as it was whatever happens."""

import pytest
import torch
from torch import nn

from describer.hooks import observed


@pytest.fixture
def model():
    net = nn.Sequential(nn.Linear(3, 5), nn.Dropout(0.5), nn.Sequential(nn.Linear(5, 7))).train()
    net[2].eval()
    return net


def untouched(model):
    modes = [module.training for module in model.modules()]
    return modes == [True, True, True, False, False] and not any(module._forward_hooks for module in model.modules())


def test_outputs_in_eval_mode_without_gradients(model):
    seen = {}
    with observed(model, ["0", "2.0"], lambda name, output: seen.update({name: output})):
        assert not model.training
        model(torch.ones(2, 3))
    assert list(seen) == ["0", "2.0"] and torch.equal(seen["2.0"], model.eval()(torch.ones(2, 3)))
    assert not seen["0"].requires_grad


def test_everything_is_put_back(model):
    state = torch.get_rng_state()
    with observed(model, ["0"], lambda name, output: torch.rand(5)):
        model(torch.ones(2, 3))
        torch.rand(11)
    assert untouched(model) and torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("names", [["0"], ["0", "no.such.module"]])
def test_everything_is_put_back_after_a_fault(model, names):
    state = torch.get_rng_state()
    with pytest.raises((ZeroDivisionError, AttributeError)), observed(model, names, lambda name, output: None):
        torch.rand(3)
        raise ZeroDivisionError
    assert untouched(model) and torch.equal(torch.get_rng_state(), state)


def test_what_the_observer_raises_is_not_taken_for_a_fault_of_the_model(model):
    def see(name, output):
        raise KeyError(name)

    with pytest.raises(KeyError, match="0"), observed(model, ["0"], see):
        try:
            model(torch.ones(2, 3))
        except KeyError as fault:
            raise RuntimeError("the model") from fault
    assert untouched(model)
