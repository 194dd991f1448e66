"""Loads a network's weights and cuts some of its units; needs torch and safetensors only.

    undo = patch(model)          # model: the same architecture
    undo()                       # the units are back

Copied beside model.safetensors and patch.json by `describer ablate --export`.
"""

import json
from pathlib import Path

from safetensors.torch import load_file
from torch import is_tensor


def patch(model, folder=None):
    """Load the weights, cut the units, and return a function that puts the units back."""
    folder = Path(folder or Path(__file__).parent)
    model.load_state_dict(load_file(folder / "model.safetensors"))
    cuts = json.loads((folder / "patch.json").read_text(encoding="utf-8"))["cuts"]
    handles = [model.get_submodule(cut["layer"]).register_forward_hook(_cutter(cut)) for cut in cuts]

    def undo():
        for handle in handles:
            handle.remove()

    return undo


def _cutter(cut):
    def hook(_module, _inputs, output):
        whole = output if is_tensor(output) else output[0]
        x = whole.clone()
        places = x[:, cut["first_token"] :] if cut["first_token"] else x  # tokens in front stand for no place
        places.movedim(cut["axis"], 0)[cut["units"]] = 0
        return x if is_tensor(output) else (x, *output[1:])

    return hook
