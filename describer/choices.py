"""What the options of the verbs stand for: methods, devices, captioners; wrong ones are refused before heavy loads.

methods_of("caption,formula", "scenes:400:7")          # ["caption", "formula"]
device_of("auto")                                      # "cuda" where there is one
"""

from collections.abc import Sequence
from typing import Any

from describer.errors import DescriberError

GROUNDED = ("concept", "formula", "translation")
"Those that need labelled pictures; translation, labels of the probed ones."
METHODS = ("caption", *GROUNDED, "clip", "vlm")
"How units can be described."
SPEAKERS = ("caption", "clip", "vlm")
"Those that have a model of their own, which --describer names."
SENTENCES = (".jsonl", ".csv", ".tsv", ".tok", ".txt")
"Ends of files that hold pairs of sentences."


def given(**options: Any) -> dict[str, Any]:
    """The options that were given; the others keep the defaults of the API."""
    return {name: value for name, value in options.items() if value is not None}


def methods_of(method: str | None, concepts: str | None) -> list[str]:
    """The methods between the commas; for None caption, with concepts also concept and formula. DescriberError."""
    if method is None:
        return list(METHODS[:3] if concepts else METHODS[:1])
    chosen = list(dict.fromkeys(part.partition("@")[0].strip() for part in method.split(",")))
    unknown = [name for name in chosen if name not in METHODS]
    if unknown:
        raise DescriberError(f"method must be of {', '.join(METHODS)}. Got {unknown[0]!r}. Leave it out or correct it.")
    grounded = [name for name in chosen if name in GROUNDED]
    if grounded and concepts is None:
        message = f"The method {grounded[0]} must have labelled pictures. Got no --concepts"
        raise DescriberError(f"{message}. Add them, such as --concepts scenes:400:7.")
    if concepts is not None and not grounded:
        message = f"--concepts must go with one of {', '.join(GROUNDED)}. Got {method}"
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


def describers_of(methods: Sequence[str], method: str | None, named: str | None, ways: Any, device: str) -> list[Any]:
    """The describers among `methods` that look at exemplars; `method` is the option itself, as in clip@words.txt.

    `named` is what --describer says: one name where one of SPEAKERS is asked for, else caption=DIR,clip=NAME,vlm=NAME.
    """
    names = models_of([name for name in methods if name in SPEAKERS], named)
    made: list[Any] = []
    for name in methods:
        if name == "caption":
            made.append(captioner_of(names.get(name), ways, device))
        elif name == "clip":
            made.append(words_of(names.get(name), method or "", device))
        elif name == "vlm":
            from describer.vlm import ImageTextModel, VlmDescriber

            made.append(VlmDescriber(ImageTextModel(names[name], device)))
    return made


def models_of(speakers: Sequence[str], named: str | None) -> dict[str, str]:
    """The model of every method that --describer names one for; DescriberError where it is not clear which."""
    parts = [part.strip() for part in (named or "").split(",") if part.strip()]
    pairs = [part.partition("=")[::2] if part.partition("=")[0] in SPEAKERS else ("", part) for part in parts]
    if len(speakers) == 1 and len(pairs) == 1 and not pairs[0][0]:
        pairs = [(speakers[0], pairs[0][1])]
    for name, model in pairs:
        if name not in speakers or not model:
            wanted = ", ".join(f"{speaker}=NAME" for speaker in speakers) or "left out"
            raise DescriberError(f"--describer must be {wanted}. Got {named!r}. Say whose model it is.")
    if "vlm" in speakers and "vlm" not in dict(pairs):
        raise DescriberError("The method vlm must have a model. Got none. Add --describer NAME, or vlm=NAME.")
    return dict(pairs)


def words_of(listener: str | None, method: str, device: str) -> Any:
    """The describer `clip` with a listener (default: the carried one) and the words of clip@FILE, else our phrases."""
    from describer.captioner import CARRIED
    from describer.inventory import Inventory
    from describer.listener import load_listener
    from describer.wordlist import WordListDescriber, read_words

    files = [part.partition("@")[2].strip() for part in method.split(",") if part.strip().startswith("clip@")]
    words = read_words(files[0]) if files else Inventory.load(CARRIED).phrases
    return WordListDescriber(load_listener(listener, device), words)
