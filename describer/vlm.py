"""The method `vlm`: any image-text model says what a unit's exemplars share, and PMI against random exemplars decides.

    model = ImageTextModel("HuggingFaceTB/SmolVLM-256M-Instruct")
    describer = VlmDescriber(model, VlmSettings(weight=0.8))
    descriptions = describer.describe(exemplars, images)     # log p(d|E) - lambda log mean p(d|random E), nats

Candidates are generated from the exemplars, faded outside their masks, as one contact sheet or as several pictures.
Such a model has no p(d) of its own that fits these pictures; the mean of p(d|E) over sets that are drawn at random from
all exemplars of the layer is one, and takes off what it says of any sheet (after MILAN, Hernandez et al. 2022, eq. 3).
"""

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Bool, Float
from PIL import Image
from torch import Tensor

from describer.description import Candidate, Description, ImageSource
from describer.errors import DescriberError, WeightsError
from describer.exemplars import Exemplars

PROMPT = "What do the bright regions of these pictures have in common? Answer with a short phrase."
GREY = 128
FADE = 0.85
"How far a picture turns to grey outside the mask: 0 not at all, 1 wholly."
TOGETHER = 8
"Texts that are scored in one go."


@dataclass(frozen=True)
class VlmSettings:
    """How a model is asked and its answers are weighed."""

    prompt: str = PROMPT
    "what is asked beside the pictures"
    layout: Literal["sheet", "pictures"] = "sheet"
    "one contact sheet, or every exemplar as a picture of its own"
    n_exemplars: int = 9
    "the strongest exemplars that are shown"
    side: int = 160
    "pixels of one exemplar's side"
    weight: float = 0.8
    "lambda: how much of log mean p(d|random E) is taken off"
    n_random: int = 4
    "random sets of exemplars that stand for any unit"
    n_candidates: int = 6
    "width of the beam, all of whose texts are weighed"
    max_length: int = 16
    "longest generated text, tokens"
    n_best: int = 5
    "candidates kept a unit"
    seed: int = 0
    "of the random sets"

    def __post_init__(self) -> None:
        counts = (self.n_exemplars, self.side, self.n_random, self.n_candidates, self.max_length, self.n_best)
        if self.weight < 0 or min(counts) < 1:
            raise DescriberError(f"lambda must be 0 or more, all numbers of things 1 or more. Got {self}. Correct it.")


class ImageTextModel:
    """A decoder-only image-text model of the hub or a folder with its processor; safetensors only."""

    def __init__(self, name: str, device: str = "cpu") -> None:
        from transformers import AutoModelForImageTextToText, AutoProcessor

        try:
            processor: Any = AutoProcessor.from_pretrained(name)
            model: Any = AutoModelForImageTextToText.from_pretrained(name, use_safetensors=True)
        except (OSError, ValueError, KeyError, ImportError, AttributeError) as fault:
            told = str(fault).strip().splitlines()[:1]
            message = f"an image-text model must be a hub name or a folder. Got {name!r}: {''.join(told)}"
            raise WeightsError(f"{message} Check the name.") from fault
        if model.config.is_encoder_decoder or not getattr(processor, "tokenizer", None):
            raise WeightsError(
                f"an image-text model must be decoder-only, with a tokenizer. Got {name!r}. Try another."
            )
        self.name, self.processor, self.model = name, processor, model.to(device).eval()

    @property
    def key(self) -> dict[str, str | int | float | bool | None]:
        """The weights' digest."""
        digest = hashlib.sha256()
        for name, tensor in sorted(self.model.state_dict().items()):
            digest.update(name.encode())
            digest.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().data)
        return {"model": digest.hexdigest()}

    def asked(self, pictures: Sequence[Image.Image], prompt: str) -> dict[str, Tensor]:
        """The inputs of one question about these pictures; by the model's chat template where it has one."""
        content = [*({"type": "image"} for _ in pictures), {"type": "text", "text": prompt}]
        if getattr(self.processor, "chat_template", None):
            text = self.processor.apply_chat_template(
                [{"role": "user", "content": content}], add_generation_prompt=True
            )
        else:
            token = getattr(self.processor, "image_token", "") or ""
            text = " ".join([*([token] * len(pictures) if token else []), prompt])
        found = self.processor(images=list(pictures), text=text, return_tensors="pt")
        return {name: value.to(self.model.device) for name, value in found.items() if isinstance(value, Tensor)}

    @torch.inference_mode()
    def answers(self, asked: Mapping[str, Tensor], n: int, max_length: int) -> list[str]:
        """Up to n distinct answers that a beam finds, best first: their first lines, without quotes and full stops."""
        length = asked["input_ids"].shape[1]
        ids = self.model.generate(
            **asked, num_beams=n, num_return_sequences=n, do_sample=False, max_new_tokens=max_length
        )
        if ids.shape[1] >= length and torch.equal(ids[0, :length], asked["input_ids"][0]):
            ids = ids[:, length:]
        texts = self.processor.tokenizer.batch_decode(ids, skip_special_tokens=True)
        return list(dict.fromkeys(text for text in map(phrase_of, texts) if text))

    @torch.inference_mode()
    def log_prob(self, asked: Mapping[str, Tensor], texts: Sequence[str]) -> Float[Tensor, " texts"]:
        """log p(text | question) in nats, every token up to and with the end of the text."""
        tokenizer = self.processor.tokenizer
        end = [] if tokenizer.eos_token_id is None else [tokenizer.eos_token_id]
        ids = [[*tokenizer(text, add_special_tokens=False)["input_ids"], *end] for text in texts]
        rows = [self._scored(asked, ids[start : start + TOGETHER]) for start in range(0, len(ids), TOGETHER)]
        return torch.cat(rows) if rows else torch.zeros(0)

    def _scored(self, asked: Mapping[str, Tensor], ids: list[list[int]]) -> Float[Tensor, " texts"]:
        """The question is repeated for every text; what is behind a shorter text is masked out."""
        longest, device = max(map(len, ids)), self.model.device
        told = torch.tensor([[*row, *[row[-1]] * (longest - len(row))] for row in ids], device=device)
        real = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in ids], device=device)
        prompt = asked["input_ids"]
        inputs = {name: torch.cat([value] * len(ids)) for name, value in asked.items()}
        for name, value in inputs.items():
            if name == "input_ids":
                inputs[name] = torch.cat((value, told), 1)
            elif name == "attention_mask":
                inputs[name] = torch.cat((value, real.to(value.dtype)), 1)
            elif name.endswith("token_type_ids"):  # 0 is text, whoever says it
                inputs[name] = torch.cat((value, torch.zeros_like(told, dtype=value.dtype)), 1)
        logits = self.model(**inputs).logits[:, prompt.shape[1] - 1 : -1].float()  # (texts, longest, vocabulary)
        each = logits.gather(-1, told[..., None])[..., 0] - logits.logsumexp(-1)
        return (each * real).sum(1).cpu()


class VlmDescriber:
    """An image-text model and how it is asked."""

    method = "vlm"

    def __init__(self, model: ImageTextModel, settings: VlmSettings | None = None) -> None:
        self.model, self.settings = model, settings or VlmSettings()

    @property
    def key(self) -> dict[str, str | int | float | bool | None]:
        """Weights, prompt and settings: all that changes the answer."""
        return {"name": self.model.name, **self.model.key, **asdict(self.settings)}

    def describe(
        self, exemplars: Exemplars, images: ImageSource, progress: Callable[[int], None] | None = None
    ) -> list[Description]:
        """One description a unit, in the order of `exemplars`; dead units get none."""
        shown = ((exemplars.images >= 0) & ~exemplars.dead[:, None])[:, : self.settings.n_exemplars]
        random = [self._asked(exemplars, images, places) for places in self._drawn(shown)]
        told = []
        for row, unit in enumerate(exemplars.unit_ids.tolist()):
            places = [(row, rank) for rank in shown[row].nonzero()[:, 0].tolist()]
            n_best = self._weighed(self._asked(exemplars, images, places), random) if places else []
            told.append(self._told(exemplars.layer, unit, n_best))
            if progress:
                progress(1)
        return told

    def _drawn(self, shown: Bool[Tensor, "units k"]) -> list[list[tuple[int, int]]]:
        """The places (row, rank) of the exemplars of every random set; none where there is no exemplar at all."""
        everything = shown.nonzero().tolist()
        rng = np.random.default_rng(self.settings.seed)
        n = min(self.settings.n_exemplars, len(everything))
        drawn = [rng.permutation(len(everything))[:n].tolist() for _ in range(self.settings.n_random) if n]
        return [[(everything[i][0], everything[i][1]) for i in own] for own in drawn]

    def _asked(self, exemplars: Exemplars, images: ImageSource, places: Sequence[tuple[int, int]]) -> dict[str, Tensor]:
        """The question about the exemplars at these places."""
        side = self.settings.side
        pictures = []
        for row, rank in places:
            mask = exemplars.subset([row]).masks(side)[0, rank].numpy()
            pictures.append(faded(images.image(int(exemplars.images[row, rank])), mask))
        return self.model.asked(
            [sheet(pictures)] if self.settings.layout == "sheet" else pictures, self.settings.prompt
        )

    def _weighed(self, asked: dict[str, Tensor], random: Sequence[dict[str, Tensor]]) -> list[Candidate]:
        """The model's own answers, best PMI first."""
        texts = self.model.answers(asked, self.settings.n_candidates, self.settings.max_length)
        if not texts:
            return []
        log_prob = self.model.log_prob(asked, texts)
        others = torch.stack([self.model.log_prob(other, texts) for other in random])  # (random sets, texts)
        log_prior = others.logsumexp(0) - math.log(len(others))
        pmi = log_prob - self.settings.weight * log_prior
        order = torch.sort(pmi, descending=True, stable=True).indices[: self.settings.n_best].tolist()
        return [Candidate(texts[i], float(log_prob[i]), float(log_prior[i]), float(pmi[i]), "beam") for i in order]

    def _told(self, layer: str, unit: int, n_best: list[Candidate]) -> Description:
        if not n_best:
            return Description(layer, unit, None, self.method)
        first = n_best[0]
        scores = {"log_prob": first.log_prob, "log_prior": first.log_prior, "pmi": first.pmi}
        return Description(layer, unit, first.text, self.method, scores, tuple(n_best))


def phrase_of(answer: str) -> str:
    """The first line of an answer without blanks, quotes and full stops around it."""
    lines = [line for line in answer.strip().splitlines() if line.strip()]
    return lines[0].strip(" \t.\"'`*") if lines else ""


def faded(picture: Image.Image, mask: Bool[np.ndarray, "side side"]) -> Image.Image:
    """The picture, as large as the mask, turned to grey where the mask is not."""
    pixels = np.asarray(picture.convert("RGB").resize(mask.shape[::-1], Image.Resampling.BICUBIC), np.float32)
    outside = pixels * (1 - FADE) + GREY * FADE
    return Image.fromarray(np.where(mask[..., None], pixels, outside).round().clip(0, 255).astype(np.uint8))


def sheet(pictures: Sequence[Image.Image], gap: int = 4) -> Image.Image:
    """Pictures of one size in rows, as square as can be, on white."""
    columns = math.ceil(math.sqrt(len(pictures)))
    rows, (width, height) = math.ceil(len(pictures) / columns), pictures[0].size
    whole = Image.new("RGB", (columns * (width + gap) - gap, rows * (height + gap) - gap), "white")
    for place, picture in enumerate(pictures):
        row, column = divmod(place, columns)
        whole.paste(picture, (column * (width + gap), row * (height + gap)))
    return whole
