"""One way to train: the best weights come back, a broken training ends like an unbroken one."""

import json

import pytest
import torch
from torch import nn

from describer.training.fit import fit


class Line(nn.Module):
    """One weight, drawn towards the target of its batch."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(5.0))

    def forward(self, target):
        """Squared distance to the target."""
        loss = (self.weight - target).square().mean()
        return {"loss": loss, "distance": (self.weight - target).abs().mean().detach()}


def lessons(indices):
    """A target of its own for every step."""
    return {"target": torch.tensor([float(indices[0] % 7)])}


def run(out, **changes):
    model = Line()
    log = fit(model, lessons, out, **({"steps": 12, "learning_rate": 0.1, "seed": 0, "every": 4} | changes))
    return float(model.weight.detach()), log


def test_the_same_seed_gives_the_same_weights(tmp_path):
    assert run(tmp_path / "a")[0] == run(tmp_path / "b")[0]


@pytest.mark.parametrize("in_order", [True, False])
def test_batches_come_in_order_or_shuffled(tmp_path, in_order):
    seen = []

    def noting(indices):
        seen.extend(indices)
        return lessons(indices)

    fit(Line(), noting, tmp_path, steps=13, learning_rate=0.1, seed=0, in_order=in_order)
    assert sorted(seen) == list(range(13)) and (seen == sorted(seen)) == in_order


def test_a_stopped_training_goes_on_as_if_unbroken(tmp_path):
    whole = run(tmp_path / "whole")[0]
    seen = []

    def breaking(indices):
        seen.append(indices[0])
        if len(seen) == 7:
            raise KeyboardInterrupt
        return lessons(indices)

    with pytest.raises(KeyboardInterrupt):
        fit(Line(), breaking, tmp_path / "broken", steps=12, learning_rate=0.1, seed=0, every=4)
    model = Line()
    fit(model, lessons, tmp_path / "broken", steps=12, learning_rate=0.1, seed=0, every=4)
    assert float(model.weight.detach()) == pytest.approx(whole, abs=1e-6)


def test_the_best_weights_are_the_ones_it_ends_with(tmp_path):
    """The published code keeps a reference to the live weights, so that 'restoring' the best is a no-op."""
    judged = []

    def judge(model):
        judged.append(float(model.weight.detach()))
        return {"bleu": {0: 1.0, 1: 9.0}.get(len(judged) - 1, 2.0)}

    weight, log = run(tmp_path, judge=judge, best="bleu", patience=2, steps=40)
    assert len(judged) == 4, "stops after two judgements that are not better"
    assert weight == judged[1] != judged[-1]
    assert log["best"] == 9.0
    assert log["steps"] == 16


def test_the_log_has_the_parts_of_the_loss(tmp_path):
    run(tmp_path)
    log = json.loads((tmp_path / "log.json").read_text())["log"]
    assert any("distance" in entry for entry in log)
