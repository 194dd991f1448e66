"""Classifiers of sentence pairs, each with its own way to encode text.

    target = load_text_target("hf:my/nli-model")               # any sequence classifier of the hub, or a local folder
    target = load_text_target("pairs:runs/nli")                # what `describer train training/recipes/nli.yaml` wrote
    target = load_text_target("my_net.py:load")                # a factory of yours
    found = read_units(target, pairs)                          # penultimate units of every pair, in eval mode
    found.values                                               # (pairs, units)

A factory returns (model, encode) or (model, encode, class_names); encode(premises, hypotheses) gives what the model
is called with: a mapping of named arguments, a tuple, or one tensor. The published code for NLI forgets eval(), so
that dropout and batch statistics are in its units; here the model is always in eval mode.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import torch
from jaxtyping import Float, Float32
from torch import Tensor, nn

from describer.data.sentences import SentencePairs
from describer.data.zoo import from_file, reason
from describer.errors import ActivationError, TargetError, WeightsError
from describer.hooks import observed

Encode = Callable[[Sequence[str], Sequence[str]], Any]
PROBE = (["Two men are running in a park ."], ["A dog sleeps ."])
"A pair with which a target is tried out."


@dataclass(frozen=True, eq=False)
class TextTarget:
    """A classifier of sentence pairs, ready to be read."""

    name: str
    "the source it was loaded from"
    model: nn.Module
    "in eval mode, none of its parameters asks for a gradient"
    encode: Encode
    "(premises, hypotheses) -> what the model is called with"
    class_names: tuple[str, ...]
    "in the order of the logits, in lower case"
    fingerprint: str
    "sha256 of the source's name, of every weight and of what the model says to a fixed pair"

    def logits(self, premises: Sequence[str], hypotheses: Sequence[str]) -> Float[Tensor, "pairs classes"]:
        """Logits of a batch, in eval mode, without gradients."""
        with observed(self.model, [], _ignore):
            return _called(self.model, self.encode(premises, hypotheses)).float()


@dataclass(frozen=True, eq=False)
class SentenceUnits:
    """What the units of one layer gave for every pair."""

    layer: str
    "dotted name of the module"
    values: Float32[Tensor, "pairs units"]
    "activations; of a layer with one vector a token, the largest over the tokens"
    logits: Float32[Tensor, "pairs classes"]
    "what the classifier said"


def load_text_target(source: str, device: str | torch.device = "cpu") -> TextTarget:
    """The classifier behind `source`; TargetError in one sentence for whatever goes wrong."""
    prefix, _, name = source.partition(":")
    names: list[str] | None
    if prefix == "hf" and name:
        model, encode, names = _from_hub(name)
    elif prefix == "pairs" and name:
        from describer.data.pairnet import load_pairnet

        try:
            model, encode, names = load_pairnet(name)
        except WeightsError as fault:
            raise TargetError(str(fault)) from fault
    elif ".py" in source:
        model, encode, names = _from_factory(source)
    else:
        wanted = "hf:NAME_OR_FOLDER, pairs:FOLDER or PATH.py:FACTORY"
        raise TargetError(f"A classifier of sentence pairs must be {wanted}. Got {source!r}. Add the prefix.")
    model = model.eval().requires_grad_(False).to(device)
    placed = _on(device, encode)
    logits = _tried(source, model, placed)
    if names and len(names) != logits.shape[1]:
        message = f"{source} must name each of its {logits.shape[1]} classes. Got {len(names)} names"
        raise TargetError(f"{message}. Correct class_names.")
    told = tuple(str(name).lower() for name in names or range(logits.shape[1]))
    return TextTarget(source, model, placed, told, _fingerprint(source, model, logits))


def read_units(
    target: TextTarget,
    pairs: SentencePairs,
    layer: str | None = None,
    batch_size: int = 128,
    progress: Callable[[int, int], None] | None = None,
) -> SentenceUnits:
    """Activations of a layer (default: the penultimate one) and logits for every pair, in the order of the pairs."""
    layer = layer or penultimate(target)
    if layer not in dict(target.model.named_modules()):
        raise TargetError(f"{target.name} must have the layer. Got {layer!r}. See its named_modules().")
    seen: list[Tensor] = []
    values, logits = [], []
    order = sorted(range(len(pairs)), key=lambda i: len(pairs.premises[i]) + len(pairs.hypotheses[i]))
    with observed(target.model, [layer], lambda _, output: seen.append(_vectors(layer, output).clone())):
        for start in range(0, len(order), batch_size):  # of like length, so that little is padding
            part = pairs.subset(order[start : start + batch_size])
            inputs = target.encode(part.premises, part.hypotheses)
            seen.clear()
            logits.append(_called(target.model, inputs).float().cpu())
            values.append(_pooled(layer, seen, inputs, len(part)).float().cpu())
            if progress:
                progress(min(start + batch_size, len(order)), len(order))
    back = torch.argsort(torch.tensor(order))
    found = SentenceUnits(layer, torch.cat(values)[back], torch.cat(logits)[back])
    if not torch.isfinite(found.values).all():
        raise ActivationError(f"Activations of {layer} must be finite. Got NaN or infinity. Look at the weights.")
    return found


def penultimate(target: TextTarget) -> str:
    """The layer whose output is what the last linear layer is given (the first that gives it, dropout aside)."""
    head, given = last_linear(target.model), []
    handle = target.model.get_submodule(head).register_forward_pre_hook(lambda _, inputs: given.append(inputs[0]))
    outputs: dict[str, Tensor] = {}

    def keep(name: str, output: Any) -> None:
        if isinstance(output, Tensor):
            outputs.setdefault(name, output.clone())  # what follows may work in place

    names = [name for name, module in target.model.named_modules() if name and module is not target.model]
    try:
        with observed(target.model, names, keep):
            _called(target.model, target.encode(*PROBE))
    finally:
        handle.remove()
    for name, output in outputs.items():
        if given and output.shape == given[0].shape and torch.equal(output, given[0]):
            return name
    raise TargetError(f"{target.name} must have a module that feeds {head}. Got none. Name the layer.")


def last_linear(model: nn.Module) -> str:
    """The last linear layer in the order of the modules: the classifier's head."""
    heads = [name for name, module in model.named_modules() if isinstance(module, nn.Linear)]
    if not heads:
        raise TargetError("A classifier must end in a linear layer. Got none. Name the layer to read.")
    return heads[-1]


def class_weights(target: TextTarget, found: SentenceUnits) -> Float[Tensor, "classes units"] | None:
    """The last linear layer's weights where it is the layer's only reader, else None."""
    try:
        fed = penultimate(target) == found.layer
    except TargetError:
        return None
    head = target.model.get_submodule(last_linear(target.model))
    assert isinstance(head, nn.Linear)
    weights = head.weight.detach().float().cpu()
    return weights if fed and weights.shape == (found.logits.shape[1], found.values.shape[1]) else None


def _from_hub(name: str) -> tuple[Any, Encode, list[str]]:
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(name)
        model = AutoModelForSequenceClassification.from_pretrained(name, dtype=torch.float32)
    except Exception as fault:
        message = f"hf:{name} must load as a text classifier with its tokenizer. Got {reason(fault)}"
        raise TargetError(f"{message}. Check the name, and that this machine has it or can download it.") from fault

    def encode(premises: Sequence[str], hypotheses: Sequence[str]) -> dict[str, Tensor]:
        both = tokenizer(list(premises), list(hypotheses), padding=True, truncation=True, return_tensors="pt")
        return dict(both)

    return model, encode, [model.config.id2label[i] for i in range(model.config.num_labels)]


def _from_factory(source: str) -> tuple[Any, Encode, list[str] | None]:
    gave = from_file(source)
    parts = gave if isinstance(gave, tuple) else (gave,)
    if not 2 <= len(parts) <= 3 or not isinstance(parts[0], nn.Module) or not callable(parts[1]):
        kinds = ", ".join(type(part).__name__ for part in parts)
        message = f"{source} must return (model, encode) or (model, encode, class_names). Got ({kinds})"
        raise TargetError(f"{message}. Change what it returns.")
    model, encode, names = (*parts, None)[:3]
    return model, encode, list(names) if names is not None else None


def _tried(source: str, model: nn.Module, encode: Encode) -> Tensor:
    try:
        with observed(model, [], _ignore):
            logits = _called(model, encode(*PROBE))
    except Exception as fault:
        message = f"{source} must take sentence pairs. Got {reason(fault)}"
        raise TargetError(f"{message}. Mend encode(premises, hypotheses).") from fault
    if logits.ndim != 2 or len(logits) != 1:
        message = f"{source} must answer with logits (pairs, classes). Got {tuple(logits.shape)} for one pair"
        raise TargetError(f"{message}. Change what the model returns.")
    return logits


def _called(model: nn.Module, inputs: Any) -> Tensor:
    if isinstance(inputs, Mapping):
        output = model(**inputs)
    elif isinstance(inputs, tuple):
        output = model(*inputs)
    else:
        output = model(inputs)
    return output if isinstance(output, Tensor) else output.logits


def _on(device: str | torch.device, encode: Encode) -> Encode:
    def moved(thing: Any) -> Any:
        if isinstance(thing, Mapping):
            return {name: moved(part) for name, part in thing.items()}
        if isinstance(thing, tuple):
            return tuple(moved(part) for part in thing)
        return thing.to(device) if isinstance(thing, Tensor) else thing

    return lambda premises, hypotheses: moved(encode(premises, hypotheses))


def _vectors(layer: str, output: Any) -> Tensor:
    first = output[0] if isinstance(output, tuple) and output else output
    if not isinstance(first, Tensor) or first.ndim not in (2, 3):
        got = tuple(first.shape) if isinstance(first, Tensor) else type(output).__name__
        message = f"{layer} must give (pairs, units) or (pairs, tokens, units). Got {got}"
        raise TargetError(f"{message}. Choose another layer.")
    return first


def _pooled(layer: str, seen: list[Tensor], inputs: Any, n_pairs: int) -> Tensor:
    """(pairs, units): the largest over the tokens that the attention mask has, where the layer gives tokens."""
    if len(seen) != 1 or len(seen[0]) != n_pairs:
        raise TargetError(f"{layer} must run once for a batch of pairs. Got {len(seen)} runs. Choose another layer.")
    values = seen[0]
    if values.ndim == 2:
        return values
    mask = inputs.get("attention_mask") if isinstance(inputs, Mapping) else None
    if mask is not None and mask.shape == values.shape[:2]:
        values = values.masked_fill(mask[:, :, None] == 0, -torch.inf)
    return values.amax(1)  # (pairs, units)


def _fingerprint(source: str, model: nn.Module, logits: Tensor) -> str:
    digest = sha256(source.encode())
    for name, value in sorted(model.state_dict().items()):
        digest.update(f"{name}{tuple(value.shape)}".encode())
        digest.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    digest.update(f"{[round(float(value), 3) for value in logits.flatten()]}".encode())
    return digest.hexdigest()


def _ignore(_name: str, _output: Any) -> None:
    """For a run of which nothing is kept."""
