"""What the options of the verbs stand for: methods, devices, captioners; wrong ones are refused before heavy loads.

methods_of("caption,formula", "scenes:400:7")          # ["caption", "formula"]
device_of("auto")                                      # "cuda" where there is one
"""

from collections.abc import Sequence
from typing import Any

from describer.errors import DescriberError

METHODS = ("caption", "concept", "formula")
"How units can be described."
SENTENCES = (".jsonl", ".csv", ".tsv", ".tok", ".txt")
"Ends of files that hold pairs of sentences."
GROUNDED = METHODS[1:]
"Those that compare units with labelled pixels."


def given(**options: Any) -> dict[str, Any]:
    """The options that were given; the others keep the defaults of the API."""
    return {name: value for name, value in options.items() if value is not None}


def methods_of(method: str | None, concepts: str | None) -> list[str]:
    """The methods between the commas; all where concepts are given and no method, else caption. DescriberError."""
    if method is None:
        return list(METHODS if concepts else METHODS[:1])
    chosen = list(dict.fromkeys(part.strip() for part in method.split(",")))
    unknown = [name for name in chosen if name not in METHODS]
    if unknown:
        raise DescriberError(f"method must be of {', '.join(METHODS)}. Got {unknown[0]!r}. Leave it out or correct it.")
    grounded = [name for name in chosen if name in GROUNDED]
    if grounded and concepts is None:
        message = f"The method {grounded[0]} must have labelled pictures. Got no --concepts"
        raise DescriberError(f"{message}. Add them, such as --concepts scenes:400:7.")
    if concepts is not None and not grounded:
        message = f"--concepts must go with the method {' or '.join(GROUNDED)}. Got {method}"
        raise DescriberError(f"{message}. Leave one of them out.")
    return chosen


def reads_sentences(model: str, inputs: Sequence[str]) -> bool:
    """Whether pairs of sentences are meant and not pictures, by the names alone."""
    return model.startswith("pairs:") or all(name.endswith(SENTENCES) for part in inputs for name in part.split(","))


def device_of(name: str) -> str:
    """A device that is there; DescriberError for another."""
    import torch

    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError):
        raise DescriberError(f"device must be auto, cpu or a device of this machine. Got {name!r}. Try auto.") from None
    return name


def decoding_of(**options: Any) -> Any:  # DecodingSettings, whose module is heavy
    """How captions are decoded."""
    from describer.decoding import DecodingSettings

    return DecodingSettings(**given(**options))


def captioner_of(folder: str | None, ways: Any, device: str) -> Any:
    """The describer `caption` with the captioner in a folder or of the hub, or the carried one."""
    from transformers.utils import logging

    from describer.caption import CaptionDescriber
    from describer.captioner import Captioner

    logging.disable_progress_bar()
    loaded: Any = Captioner.carried() if folder is None else Captioner.from_pretrained(folder)
    return CaptionDescriber(loaded.to(device), ways)
