"""Edits of units: what each does, by plain loops; any layout; regions; nothing stays; gradients, autocast."""

import json
import math
from collections import OrderedDict, namedtuple
from dataclasses import dataclass

import pytest
import torch
from torch import nn

from describer.area import laid
from describer.errors import TargetError
from describer.intervention import Edit, edited
from describer.layout import list_layers

BATCH, UNITS, SIDE = 3, 7, 11


def maps(seed=0, shape=(BATCH, UNITS, SIDE, SIDE)):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


class Last(nn.Module):
    """(batch, units, h, w) -> (batch, h, w, units) by a linear layer over the units."""

    def __init__(self):
        super().__init__()
        self.proj = nn.Linear(5, UNITS)

    def forward(self, x):
        return self.proj(x.permute(0, 2, 3, 1))


class Tokens(nn.Module):
    """One token in front, then the cells of patches of 4, row by row."""

    def __init__(self):
        super().__init__()
        self.cls_token = nn.Parameter(torch.ones(1, 1, UNITS))
        self.patches = nn.Conv2d(3, UNITS, 4, 4)
        self.block = nn.Linear(UNITS, UNITS)

    def forward(self, x):
        x = self.patches(x).flatten(2).transpose(1, 2)
        return self.block(torch.cat([self.cls_token.expand(len(x), -1, -1), x], 1))


@pytest.fixture
def net():
    torch.manual_seed(2)
    return nn.Sequential(nn.Conv2d(5, UNITS, 3, padding=1), nn.Tanh(), nn.Conv2d(UNITS, 2, 3, padding=1))


@pytest.fixture
def x():
    return maps(1, (BATCH, 5, SIDE, SIDE))


def slow(old, edit, share=None):
    """What an edit makes of maps, cell by cell, in float64."""
    old = old.detach().double()
    new, cells = old.clone(), old.tolist()
    for b in range(old.shape[0]):
        for place, unit in enumerate(edit.units):
            for i in range(old.shape[2]):
                for j in range(old.shape[3]):
                    was = cells[b][unit][i][j]
                    value = edit.value
                    if isinstance(value, torch.Tensor):
                        value = float(value[b, place, i, j] if value.ndim == 4 else value[place, i, j])
                    elif isinstance(value, tuple):
                        value = value[place]
                    becomes = {
                        "ablate": 0.0,
                        "set": value,
                        "replace": value,
                        "scale": was * value,
                        "raise": max(was, value),
                        "cap": min(was, value),
                    }[edit.kind]
                    s = 1.0 if share is None else float(share[b, i, j])
                    new[b, unit, i, j] = was * (1 - s) + becomes * s
    return new


EDITS = [
    Edit("1", (2, 5), "ablate"),
    Edit("1", (6, 0, 3), "set", (0.5, -0.25, 2.0)),
    Edit("1", (4,), "set", 3.0),
    Edit("1", (1, 2), "scale", 4.0),
    Edit("1", (1, 2), "scale", (-1.0, 0.5)),
    Edit("1", (3, 0), "raise", (0.1, 0.3)),
    Edit("1", (3, 0), "cap", -0.2),
    Edit("1", (5, 2), "replace", maps(3, (2, SIDE, SIDE))),
    Edit("1", (5, 2), "replace", maps(3, (BATCH, 2, SIDE, SIDE))),
]


@pytest.mark.parametrize("edit", EDITS, ids=lambda e: e.kind)
def test_each_edit_does_what_loops_do(net, x, edit):
    before = net[1](net[0](x))
    with edited(net[:2], [edit]) as model:
        after = model(x)
    torch.testing.assert_close(after.double(), slow(before, edit), atol=1e-6, rtol=0)
    others = [unit for unit in range(UNITS) if unit not in edit.units]
    assert torch.equal(after[:, others], before[:, others])


@pytest.mark.parametrize("per_sample", [False, True])
def test_regions_mix_by_their_share(net, x, per_sample):
    where = torch.rand((BATCH, 22, 33) if per_sample else (22, 33), generator=torch.Generator().manual_seed(4))
    where[..., :10, :] = 0
    share = torch.stack([laid(w.double(), (SIDE, SIDE)) for w in where.expand(BATCH, 22, 33)])
    before = net[:2](x)
    for edit in EDITS:
        with edited(net[:2], [Edit(edit.layer, edit.units, edit.kind, edit.value, where)]) as model:
            after = model(x)
        torch.testing.assert_close(after.double(), slow(before, edit, share), atol=1e-6, rtol=0)
        assert torch.equal(after[:, :, :5], before[:, :, :5]) and not torch.equal(after, before)


def test_what_is_outside_is_not_touched_even_by_infinity(net, x):
    where = torch.zeros(SIDE, SIDE)
    where[0, 0] = 1
    with edited(net[:2], [Edit("1", (2,), "set", math.inf, where)]) as model:
        after = model(x)
    assert after[:, 2].isinf().sum() == BATCH and not after.isnan().any()


# Layouts


def test_channels_last(x):
    net, edit = Last(), Edit("proj", (6, 1), "scale", (3.0, -2.0))
    before = net(x)
    with edited(net, [edit]):
        after = net(x)
    wanted = slow(before.permute(0, 3, 1, 2), edit).permute(0, 2, 3, 1)
    torch.testing.assert_close(after.double(), wanted, atol=1e-6, rtol=0)


def test_tokens_keep_those_in_front():
    torch.manual_seed(0)
    net, pictures = Tokens(), maps(6, (BATCH, 3, 12, 20))
    where = torch.zeros(12, 20)
    where[4:8, 12:16] = 1  # row 1, column 3 of the grid 3x5
    before = net(pictures)
    with edited(net, [Edit("block", (2, 4), "set", 9.0, where)]):
        after = net(pictures)
    wanted = before.clone()
    wanted[:, 1 + 1 * 5 + 3, [2, 4]] = 9.0
    assert torch.equal(after, wanted)


def test_vectors():
    net, rows = nn.Sequential(nn.Linear(5, UNITS)), maps(7, (BATCH, 5))
    before = net(rows)
    with edited(net, [Edit("0", (3,), "ablate"), Edit("0", (5,), "set", 2.0, torch.ones(13, 17))]):
        after = net(rows)
    wanted = before.clone()
    wanted[:, 3], wanted[:, 5] = 0, 2
    assert torch.equal(after, wanted)


Pair = namedtuple("Pair", ["first", "second"])


@dataclass
class Both:
    index: int
    last: torch.Tensor


@pytest.mark.parametrize(
    ("wrap", "unwrap"),
    [
        (lambda y: (y, y.sum()), lambda out: out[0]),
        (lambda y: [torch.arange(3), y], lambda out: out[1]),
        (lambda y: Pair(torch.arange(3), y), lambda out: out.second),
        (lambda y: OrderedDict(other=y * 2, last_hidden_state=y), lambda out: out["last_hidden_state"]),
        (lambda y: Both(3, y), lambda out: out.last),
        (lambda y: {"a": None, "b": (y,)}, lambda out: out["b"][0]),
    ],
)
def test_outputs_of_any_kind_keep_it(x, wrap, unwrap):
    class Wrapping(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(5, UNITS, 1)
            self.stage = Stage(wrap)

        def forward(self, pictures):
            return self.stage(self.conv(pictures))

    class Stage(nn.Module):
        def __init__(self, wrap):
            super().__init__()
            self.wrap = wrap

        def forward(self, y):
            return self.wrap(y)

    net = Wrapping()
    before = net(x)
    with edited(net, [Edit("stage", (1,), "ablate")]):
        after = net(x)
    assert type(after) is type(before)
    assert not unwrap(after)[:, 1].any() and torch.equal(unwrap(after)[:, 2:], unwrap(before)[:, 2:])
    assert unwrap(before)[:, 1].any()


# Order and composition


def test_edits_act_in_order_and_contexts_nest(net, x):
    raised, scaled = Edit("1", (2, 4), "raise", 0.5), Edit("1", (4, 2), "scale", (2.0, 3.0))
    before = net[:2](x)
    wanted = slow(slow(before, raised), scaled)
    other = slow(slow(before, scaled), raised)
    with edited(net, [raised, scaled]):
        together = net[:2](x)
    with edited(net, [raised]), edited(net, [scaled]):
        nested = net[:2](x)
    torch.testing.assert_close(together.double(), wanted, atol=1e-6, rtol=0)
    assert torch.equal(together, nested) and not torch.allclose(together.double(), other)


def test_several_layers(net, x):
    with edited(net, [Edit("0", tuple(range(UNITS)), "ablate"), Edit("2", (1,), "set", 5.0)]):
        out = net(x)
    assert torch.allclose(out[:, 0], net[2].bias[0].expand(BATCH, SIDE, SIDE)) and bool((out[:, 1] == 5).all())


# Nothing stays


def hooks(model):
    return [name for name, m in model.named_modules() if m._forward_hooks or m._forward_pre_hooks]


def test_nothing_stays(net, x):
    net.train()
    before, state = net(x), torch.get_rng_state()
    weights = {name: value.clone() for name, value in net.state_dict().items()}
    with edited(net, EDITS):
        assert hooks(net) == ["", "1"] and net.training
        net(x)
    assert hooks(net) == [] and torch.equal(net(x), before) and torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(value, weights[name]) for name, value in net.state_dict().items())


def test_nothing_stays_after_a_fault(net, x):
    with pytest.raises(ZeroDivisionError), edited(net, EDITS):
        raise ZeroDivisionError
    with pytest.raises(TargetError, match="must be below 7"), edited(net, [EDITS[0], Edit("1", (7,), "ablate")]):
        net(x)
    with pytest.raises(TargetError, match="Got 'conv'"), edited(net, [EDITS[0], Edit("conv", (7,), "ablate")]):
        pass
    assert hooks(net) == []


# Gradients, precision, wrappers


def test_gradients_flow_through(net, x):
    x = x.double().requires_grad_()
    net = net.double()
    where = maps(9, (SIDE, SIDE)).sigmoid()
    dial = torch.tensor([2.0, -1.0], dtype=torch.float64, requires_grad=True)
    edits = [Edit("1", (2, 4), "scale", dial, where), Edit("0", (1,), "ablate"), Edit("1", (0,), "cap", 0.1)]

    def output(inputs, dial):
        with edited(net, [Edit("1", (2, 4), "scale", dial, where), *edits[1:]]) as model:
            return model(inputs)

    assert torch.autograd.gradcheck(output, (x, dial), nondet_tol=0)
    gradient = torch.autograd.grad(output(x, dial).sum(), net[0].weight)[0]
    assert not gradient[1].any() and gradient[2].any()


def test_autocast(net, x):
    with (
        torch.autocast("cpu", torch.bfloat16),
        edited(net, [Edit("0", (2,), "set", (1.5,), torch.ones(3, 5))]) as model,
    ):
        out = model[:1](x)
        model(x)
    assert out.dtype == torch.bfloat16 and bool((out[:, 2] == 1.5).all())


@pytest.mark.parametrize("wrap", [nn.DataParallel, lambda m: torch.compile(m, backend="eager"), lambda m: m])
def test_wrapped_models(net, x, wrap):
    edit = Edit("1", (2, 4), "scale", 3.0)
    with edited(net, [edit]):
        wanted = net(x)
    model = wrap(net)
    before = model(x)
    with edited(model, [edit]):
        after = model(x)
    assert torch.equal(after, wanted) and not torch.equal(after, before) and torch.equal(model(x), before)


def test_modules_compiled_in_place(net, x):
    before = net(x)
    net.compile(backend="eager")
    net(x)
    with edited(net, [Edit("1", (2,), "ablate")]):
        assert not torch.equal(net(x), before)
    assert torch.equal(net(x), before)


def test_inference_mode(net, x):
    with torch.inference_mode(), edited(net, EDITS):
        assert net(x).isfinite().all()


# JSON and refusals


@pytest.mark.parametrize("edit", [*EDITS, Edit("1", (2,), "set", (0.5,), torch.eye(5, 7))], ids=lambda e: e.kind)
def test_edits_come_back_from_json(net, x, edit):
    again = Edit.from_json(json.loads(json.dumps(edit.as_json())))
    with edited(net, [edit]):
        wanted = net(x)
    with edited(net, [again]):
        assert torch.equal(net(x), wanted)


@pytest.mark.parametrize(
    ("units", "kind", "value", "where", "told"),
    [
        ((), "ablate", 0.0, None, "units must be"),
        ((1, 1), "ablate", 0.0, None, "units must be"),
        ((-1,), "ablate", 0.0, None, "units must be"),
        ((1,), "replace", 0.0, None, "value must be maps"),
        ((1,), "set", torch.zeros(1, 2, 3), None, "value must be maps"),
        ((1, 2), "set", (1.0, 2.0, 3.0), None, "one a unit"),
        ((1, 2), "replace", torch.zeros(3, 2, 5), None, "one a unit"),
        ((1,), "ablate", 0.0, torch.zeros(2, 3, dtype=torch.bool), "where must be floats"),
        ((1,), "ablate", 0.0, torch.zeros(3), "where must be floats"),
        ((1,), "ablate", 0.0, torch.zeros(0, 3), "where must be floats"),
        ((1,), "ablate", 0.0, torch.full((2, 3), 7.0), "in 0..1. Got 7 to 7"),
        ((1,), "ablate", 0.0, torch.tensor([[0.5, -1.0]]), "in 0..1. Got -1 to 0.5"),
        ((1,), "ablate", 0.0, torch.tensor([[0.5, torch.nan]]), "in 0..1. Got nan"),
    ],
)
def test_edits_that_say_nothing_are_refused(units, kind, value, where, told):
    with pytest.raises(TargetError, match=told):
        Edit("1", units, kind, value, where)


@pytest.mark.parametrize(
    ("edit", "told"),
    [
        (Edit("1", (1,), "ablate", where=torch.ones(2, SIDE, SIDE)), "one mask a sample"),
        (Edit("1", (1,), "replace", torch.zeros(1, 5, 7)), "Lay them on"),
        (Edit("1", (1,), "replace", torch.zeros(2, 1, SIDE, SIDE)), "Lay them on"),
    ],
)
def test_what_does_not_fit_the_layer_is_refused(net, x, edit, told):
    with pytest.raises(TargetError, match=told), edited(net, [edit]):
        net(x)


def test_every_layer_that_can_be_probed_can_be_edited(net, x):
    for info in list_layers(net, x):
        with edited(net, [Edit(info.name, (info.units - 1,), "set", 2.0)]):
            assert net(x).shape == (BATCH, 2, SIDE, SIDE)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
def test_edits_on_cuda(net, x):
    region = torch.zeros(SIDE, SIDE)
    region[:, :5] = 1
    edits = [Edit("1", (2, 4), "scale", 3.0), Edit("1", (0,), "ablate", where=region)]
    with edited(net, edits):
        wanted = net(x)
    net, x = net.cuda(), x.cuda()
    before = net(x)
    with edited(net, edits):
        after = net(x)
        with torch.autocast("cuda", torch.bfloat16):
            rough = net(x)
    assert torch.allclose(after.cpu(), wanted, atol=1e-4) and torch.allclose(rough.float(), after, atol=0.1)
    assert torch.equal(net(x), before)
