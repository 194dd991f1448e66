"""A network without some of its units, as a folder that anyone can read: weights, what is cut, and a one-file reader.

    export(target, edits, "patched")                       # model.safetensors, patch.json, reader.py

    import reader                                          # needs torch and safetensors, nothing of ours
    undo = reader.patch(model)                             # loads the weights, cuts the units
    undo()                                                 # cuts no more

The units are cut where the module gives them, as its weights cannot always be changed to that effect.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from torch import Tensor

from describer.data.targets import Target
from describer.describe import example_of
from describer.errors import AtlasError, TargetError
from describer.files import disk_faults, renamed, write_atomically
from describer.hooks import observed
from describer.intervention import Edit
from describer.layout import first_tensor, list_layers, run, unit_layout

READER = Path(__file__).with_name("reader.py")
NAMES = ("model.safetensors", "patch.json", "reader.py")
AXES = {"maps": 1, "vector": 1, "maps last": -1, "tokens": -1}
"kind of layout -> where the units lie in the module's output"


def export(target: Target, edits: Sequence[Edit], folder: str | Path) -> Path:
    """Write the folder and return it; TargetError for edits that are no ablations, AtlasError where it cannot be.

    A folder with files of these names that are no export is refused.
    """
    refuse_foreign(folder)
    if any(edit.kind != "ablate" or edit.where is not None for edit in edits):
        raise TargetError("What is exported must be ablations everywhere. Got another edit. Leave it out.")
    infos = {info.name: info for info in list_layers(target.model, example_of(target))}
    n_prefix = {edit.layer: _prefix(target, edit.layer) for edit in edits}
    cuts = [
        {"layer": e.layer, "units": list(e.units), "axis": AXES[infos[e.layer].kind], "first_token": n_prefix[e.layer]}
        for e in edits
    ]
    folder = Path(folder)
    with disk_faults(folder, "{advice}, then export again."):
        folder.mkdir(parents=True, exist_ok=True)
        state = {name: value.detach().cpu().clone().contiguous() for name, value in target.model.state_dict().items()}
        with renamed(folder / "model.safetensors") as part:
            save_file(state, part, {"format": "pt"})
        about = {"model": target.name, "fingerprint": target.fingerprint, "cuts": cuts}
        write_atomically(folder / "patch.json", json.dumps(about, indent=1).encode())
        write_atomically(folder / "reader.py", READER.read_bytes())
    return folder


def refuse_foreign(folder: str | Path) -> None:
    """AtlasError for a folder in which an export would take the place of files that are none."""
    folder = Path(folder)
    there = [name for name in NAMES if (folder / name).exists()]
    if there and not _is_export(folder):
        message = f"An export must be in a folder without {', '.join(NAMES)}, or with those of an earlier one"
        raise AtlasError(f"{message}. Got {folder} with another {there[0]}. Name another folder.")


def _is_export(folder: Path) -> bool:
    try:
        return "cuts" in json.loads((folder / "patch.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, TypeError):
        return False


def _prefix(target: Target, layer: str) -> int:
    """Tokens in front of a layer of tokens that stand for no place, else 0; TargetError for unusual outputs."""
    found: list[int] = []
    example = example_of(target)
    shape = tuple(example.shape[1:])

    def see(name: str, output: Any) -> None:
        if not isinstance(output, Tensor) and not (type(output) is tuple and output[0] is first_tensor(output)):
            message = f"{layer} must give a tensor or a tuple that begins with one, to be exported"
            raise TargetError(f"{message}. Got {type(output).__name__}. Cut a module inside it.")
        found.append(unit_layout(target.model, name, output, shape).prefix)

    with observed(target.model, [layer], see):
        run(target.model, example)
    return found[0]
