"""One pass over the images against plain loops, and every way in which it must stop or go on."""

import json
import os
import subprocess
import sys
from bisect import bisect_right
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import Dataset

from describer.errors import ActivationError, ImagesError, TargetError
from describer.exemplars import LEVELS, Exemplars
from describer.probe import ProbeSettings, probe
from describer.upsample import upsample

N, CHANNELS = 53, 7


class Net(nn.Module):
    """A convolution, channels last, tokens and a vector; dropout tells train from eval mode."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(3, CHANNELS, 3, padding=1)
        self.act = nn.ReLU(inplace=True)
        self.last = nn.Linear(CHANNELS, 5)
        self.drop = nn.Dropout(0.5)
        self.head = nn.Linear(5, 11)

    def forward(self, x):
        x = self.act(self.conv(x))
        x = self.drop(self.last(x.permute(0, 2, 3, 1)))
        return {"logits": self.head(x.mean((1, 2)))}


class Inputs(Dataset):
    """Random inputs; some cannot be read."""

    def __init__(self, n=N, missing=(), shape=(3, 9, 13), constant=False):
        self.n, self.missing, self.shape, self.constant = n, missing, shape, constant

    def __len__(self):
        return self.n

    def __getitem__(self, index):
        if index in self.missing:
            return index, None
        if self.constant:
            return index, torch.ones(self.shape)
        return index, torch.randn(self.shape, generator=torch.Generator().manual_seed(index))


def activations(model, inputs):
    """layer -> (images, units, h, w) and the images' indices, one image at a time."""
    model = model.eval()
    found = {"conv": [], "last": [], "head": []}
    images = [i for i in range(len(inputs)) if inputs[i][1] is not None]
    with torch.no_grad():
        for i in images:
            x = model.conv(inputs[i][1][None])
            found["conv"].append(x.clone())
            x = model.last(x.relu().permute(0, 2, 3, 1))
            found["last"].append(x.permute(0, 3, 1, 2))
            found["head"].append(model.head(x.mean((1, 2)))[:, :, None, None])
    return {layer: torch.cat(maps) for layer, maps in found.items()}, images


def assert_by_loops(found, maps, images, settings, size=11):
    """Exemplars are what the definition says: top k by spatial maximum, quantile of all places, masks above it."""
    for position, unit in enumerate(found.unit_ids.tolist()):
        peaks = {image: maps[j, unit].max().item() for j, image in enumerate(images)}
        order = sorted(images, key=lambda image: (-peaks[image], image))[: settings.k]
        assert found.images[position].tolist() == order
        assert found.activations[position].tolist() == pytest.approx([peaks[image] for image in order], abs=1e-5)
        values = sorted(maps[:, unit].flatten().tolist())
        shares = (bisect_right(values, value) / len(values) for value in values)
        level = next(value for value, share in zip(values, shares, strict=True) if share >= settings.quantile - 1e-9)
        assert found.threshold[position].item() == pytest.approx(level, abs=1e-5)
        for rank, image in enumerate(order):
            stored = found.maps[position, rank].float()
            assert torch.allclose(stored, maps[images.index(image), unit], atol=2e-3)
            fine = upsample(stored, size, "zeros" if settings.compat else "border")
            masks = found.masks(size, [position])[0, rank]
            assert masks.tolist() == [[x > found.threshold[position].item() for x in row] for row in fine.tolist()]


@pytest.mark.parametrize(
    ("k", "quantile", "batch_size", "compat"), [(1, 0.99, 1, None), (5, 0.9, 7, "milan"), (N, 0.5, 64, None)]
)
def test_against_plain_loops(k, quantile, batch_size, compat):
    model, inputs = Net(), Inputs()
    settings = ProbeSettings(k=k, quantile=quantile, batch_size=batch_size, compat=compat)
    result = probe(model, inputs, ["last", "conv", "head", "last"], settings)
    maps, images = activations(model, inputs)
    assert list(result.exemplars) == ["last", "conv", "head"] and result.n_images == N and result.skipped == []
    for layer, found in result.exemplars.items():
        assert found.layer == layer and found.compat == compat and found.maps.dtype == torch.float16
        assert not found.dead.any()
        assert_by_loops(found, maps[layer], images, settings)


@pytest.mark.parametrize("sample", [1024, 17, 1])
def test_levels_are_quantiles_of_the_peaks_of_evenly_spaced_images(sample, monkeypatch):
    monkeypatch.setattr("describer.tally.SAMPLE", sample)
    model, inputs = Net(), Inputs(missing=(7,))
    found = probe(model, inputs, ["conv"], ProbeSettings(k=2, batch_size=5), units=[2, 5]).exemplars["conv"]
    maps, images = activations(model, inputs)
    chosen = {round(i * (N - 1) / max(sample - 1, 1)) for i in range(min(sample, N))} if sample < N else set(range(N))
    rows = [j for j, image in enumerate(images) if image in chosen]
    assert found.levels.shape == (2, LEVELS + 1)
    for position, unit in enumerate((2, 5)):
        peaks = [maps["conv"][row, unit].max().item() for row in rows]
        wanted = np.quantile(peaks, [step / LEVELS for step in range(LEVELS + 1)])
        assert found.levels[position].tolist() == pytest.approx(wanted.tolist(), abs=1e-5)


def test_the_model_and_the_random_numbers_are_left_as_they_were():
    model = Net().train()
    model.drop.eval()
    state = torch.get_rng_state()
    probe(model, Inputs(), ["conv"], ProbeSettings(k=2))
    assert model.training and not model.drop.training and not model.conv._forward_hooks
    assert torch.equal(torch.get_rng_state(), state)
    assert all(p.requires_grad for p in model.parameters())


def test_results_are_plain_tensors():
    found = probe(Net(), Inputs(), ["conv"], ProbeSettings(k=2)).exemplars["conv"]
    found.threshold.add_(1)
    assert not any(t.is_inference() for t in (found.images, found.maps, found.dead, found.unit_ids, found.levels))


def test_unreadable_images_are_skipped_and_counted():
    model, inputs = Net(), Inputs(missing=(0, 1, 2, 3, 20, N - 1))
    settings = ProbeSettings(k=5, batch_size=4)  # the first batch holds none that can be read
    result = probe(model, inputs, ["conv"], settings)
    assert result.skipped == [0, 1, 2, 3, 20, N - 1] and result.n_images == N - 6
    maps, images = activations(model, inputs)
    assert_by_loops(result.exemplars["conv"], maps["conv"], images, settings)


@pytest.mark.parametrize("workers", [0, 2])
def test_batches_and_workers_change_nothing(workers):
    plain = probe(Net(), Inputs(), ["conv"], ProbeSettings(k=5, batch_size=8)).exemplars["conv"]
    other = probe(Net(), Inputs(), ["conv"], ProbeSettings(k=5, batch_size=8, workers=workers)).exemplars["conv"]
    assert same(plain, other)


def same(one, other):
    names = ("unit_ids", "images", "activations", "maps", "threshold", "dead")
    return all(torch.equal(getattr(one, name), getattr(other, name)) for name in names)


def test_some_units():
    whole = probe(Net(), Inputs(), ["conv", "head"], ProbeSettings(k=3))
    few = probe(Net(), Inputs(), ["conv", "head"], ProbeSettings(k=3), units=[9, 2, 5])
    assert few.exemplars["conv"].unit_ids.tolist() == [2, 5] and few.exemplars["head"].unit_ids.tolist() == [2, 5, 9]
    assert same(few.exemplars["head"], whole.exemplars["head"].subset([2, 5, 9]))
    named = probe(Net(), Inputs(), ["conv", "head"], ProbeSettings(k=3), units={"conv": [6]})
    assert same(named.exemplars["conv"], whole.exemplars["conv"].subset([6])) and len(named.exemplars["head"]) == 11
    for units in ([11, 12], {"conv": [1, 7]}, {"conv": []}):
        with pytest.raises(TargetError, match=r"Units of layer '\w+' must lie in 0\.\."):
            probe(Net(), Inputs(), ["conv", "head"], ProbeSettings(k=3), units=units)


def test_progress_is_told():
    told = []
    probe(
        Net(), Inputs(missing=(3,)), ["conv"], ProbeSettings(k=2, batch_size=20), progress=lambda *at: told.append(at)
    )
    assert told == [(20, N), (40, N), (N, N)]


def test_one_image():
    result = probe(Net(), Inputs(1), ["conv"], ProbeSettings(k=1))
    assert result.exemplars["conv"].images.tolist() == [[0]] * CHANNELS


def test_k_above_the_number_of_images():
    with pytest.raises(ImagesError, match=r"Got k=15 and 7 image\(s\)"):
        probe(Net(), Inputs(7), ["conv"])
    with pytest.raises(ImagesError, match="Got k=5 and 4 of 7"):
        probe(Net(), Inputs(7, missing=(0, 3, 6)), ["conv"], ProbeSettings(k=5))
    with pytest.raises(ImagesError, match="Got k=5 and 0 of 7"):
        probe(Net(), Inputs(7, missing=range(7)), ["conv"], ProbeSettings(k=5))


@pytest.mark.parametrize("bad", [{"k": 0}, {"quantile": 1.0}, {"quantile": 0.0}, {"batch_size": 0}])
def test_settings_that_cannot_be(bad):
    with pytest.raises(ActivationError, match=f"{next(iter(bad))} must"):
        ProbeSettings(**bad)


def test_ties_are_in_the_order_of_the_images_and_constant_units_are_dead():
    found = probe(Net(), Inputs(constant=True, shape=(3, 1, 1)), ["conv"], ProbeSettings(k=5)).exemplars["conv"]
    assert found.images.tolist() == [[0, 1, 2, 3, 4]] * CHANNELS
    assert found.dead.all() and not found.masks(5).any()


class Planted(nn.Module):
    """Unit 0 never fires, 1 is constant, 2 fires at one place of one image, 3 dips once, 4 lives."""

    def __init__(self):
        super().__init__()
        self.inner = nn.Identity()

    def forward(self, x):
        maps = torch.zeros(len(x), 5, 2, 3)
        maps[:, 1] = -0.25
        number = x[:, 0, 0, 0]
        maps[:, 2, 1, 2] = (number == 40).float()
        maps[:, 3, 0, 1] = -(number == 0).float()
        maps[:, 4] = number[:, None, None]
        return self.inner(maps)


class Numbered(Inputs):
    def __getitem__(self, index):
        return index, torch.full((3, 2, 3), float(index))


def test_dead_units():
    found = probe(Planted(), Numbered(), ["inner"], ProbeSettings(k=2, batch_size=8)).exemplars["inner"]
    assert found.dead.tolist() == [True, True, False, False, False]
    assert found.images[:, 0].tolist() == [0, 0, 40, 0, N - 1]
    assert found.threshold[:4].tolist() == [0, -0.25, 0, 0]
    masks = found.masks(6)
    assert not masks[:2].any() and masks[2, 0].any() and not masks[2, 1].any()


@pytest.mark.parametrize("scale", [1e6, 1e-7])
def test_maps_beyond_half_precision(scale):
    class Scaled(Planted):
        def forward(self, x):
            return self.inner(x * scale)

    found = probe(Scaled(), Numbered(), ["inner"], ProbeSettings(k=2)).exemplars["inner"]
    assert found.maps.dtype == torch.float32
    assert found.maps[0, 0, 0, 0].item() == pytest.approx(scale * (N - 1))


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
def test_other_precisions(dtype):
    class Typed(Planted):
        def forward(self, x):
            return self.inner(torch.cat((x, -x), 1).to(dtype))

    settings = ProbeSettings(k=3, quantile=0.9, batch_size=8)
    found = probe(Typed(), Numbered(), ["inner"], settings).exemplars["inner"]
    plain = probe(Typed(), Numbered(), ["inner"], settings).exemplars["inner"]
    assert found.threshold.dtype == torch.float32 and same(found, plain)
    assert found.activations[0].tolist() == [52, 51, 50] and found.threshold.tolist() == [47] * 3 + [-5] * 3


class Faulty(Planted):
    def __init__(self, value):
        super().__init__()
        self.value = value

    def forward(self, x):
        maps = torch.ones(len(x), 5, 2, 3)
        maps[x[:, 0, 0, 0] == 33, 3, 1, 1] = self.value
        return self.inner(maps)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_activations_that_are_no_numbers_name_the_layer(value):
    model = Faulty(value).train()
    with pytest.raises(ActivationError, match=rf"Layer 'inner' must give finite .* Got {value} \(unit 3, image 33\)"):
        probe(model, Numbered(), ["inner"])
    assert model.training and not model.inner._forward_hooks


def test_layers_that_cannot_be_probed():
    class Twice(Net):
        def forward(self, x):
            return self.act(self.act(self.conv(x)))

    for layers, model, said in (
        (["cnov"], Net(), "Got 'cnov'. The nearest: conv"),
        ([], Net(), "At least one layer"),
        (["act"], Twice(), "must run once in a forward pass. Got 2 runs"),
        (["head"], Twice(), "must run once in a forward pass. Got 0 runs"),
    ):
        with pytest.raises(TargetError, match=said.replace(".", r"\.")):
            probe(model, Inputs(), layers)


def test_inputs_that_do_not_fit():
    with pytest.raises(TargetError, match=r"must take inputs of shape \(16, 4, 9, 13\). Got RuntimeError"):
        probe(Net(), Inputs(shape=(4, 9, 13)), ["conv"])

    class Uneven(Inputs):
        def __getitem__(self, index):
            return index, torch.zeros(3, 9, 9 + index % 2)

    with pytest.raises(TargetError, match=r"tensors of one shape. Got \(3, 9, 10\) and \(3, 9, 9\)"):
        probe(Net(), Uneven(), ["conv"])
    with pytest.raises(TargetError, match=r"outputs of one shape, 7 units of 9x9 .* Got shape \(1, 7, 9, 10\)"):
        probe(Net(), Uneven(), ["conv"], ProbeSettings(k=2, batch_size=1))


class Drawing(nn.Module):
    """A generator whose samples depend on their batch mates."""

    latent_shape = (5,)

    def __init__(self):
        super().__init__()
        self.maps = nn.Unflatten(1, (5, 1, 1))

    def forward(self, z):
        return self.maps(z - z.mean(0))


def test_generators_are_probed_in_the_batches_in_which_they_draw():
    model, inputs = Drawing(), Inputs(150, shape=(5,))
    found = probe(model, inputs, ["maps"], ProbeSettings(k=3)).exemplars["maps"]
    z = torch.stack([inputs[i][1] for i in range(150)])
    drawn = torch.cat([model(part) for part in z.split(64)])[:, :, 0, 0]
    assert torch.allclose(found.activations, drawn.topk(3, 0).values.T) and found.images.shape == (5, 3)


SCRIPT = """
import json, os, sys
sys.path.insert(0, {tests!r})
from test_probe import Inputs, Net, ProbeSettings, probe
rank, out = os.environ["RANK"], {out!r}
settings = ProbeSettings(k=5, quantile=0.9, batch_size=4)
result = probe(Net(), Inputs(missing=(2, 30)), ["conv", "last"], settings)
for layer, found in result.exemplars.items():
    found.save(f"{{out}}/{{layer}}-{{rank}}.safetensors")
one_batch = probe(Net(), Inputs(), ["conv"], ProbeSettings(k=5, batch_size=64))
faults = []
for inputs in (Inputs(6, missing=(0, 1, 2)), Inputs(shape=(4, 9, 13))):
    try:
        probe(Net(), inputs, ["conv"], settings)
    except Exception as fault:
        faults.append(f"{{type(fault).__name__}}: {{fault}}")
told = [result.skipped, result.n_images, one_batch.n_images, *faults]
open(f"{{out}}/told-{{rank}}", "w").write(json.dumps(told))
"""


@pytest.mark.slow
def test_two_processes_find_what_one_finds_and_stop_together(tmp_path):
    script = tmp_path / "job.py"
    script.write_text(SCRIPT.format(tests=str(Path(__file__).parent), out=str(tmp_path)))
    command = [sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2"]
    command += ["--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", "0"]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore", "CUDA_VISIBLE_DEVICES": ""}
    root = str(Path(__file__).parents[2])
    done = subprocess.run(
        [*command, str(script)], env=environment, cwd=root, capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    settings = ProbeSettings(k=5, quantile=0.9, batch_size=4)
    plain = probe(Net(), Inputs(missing=(2, 30)), ["conv", "last"], settings)
    for rank in range(2):
        told = json.loads((tmp_path / f"told-{rank}").read_text())
        assert told[:3] == [[2, 30], N - 2, N]
        assert told[3].startswith("ImagesError: k must be at most the number of readable images")
        assert told[4].startswith("TargetError: The model must take inputs of shape")
        for layer, found in plain.exemplars.items():
            assert same(found, Exemplars.load(tmp_path / f"{layer}-{rank}.safetensors"))
