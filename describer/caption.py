"""The method ``caption``: says of every unit what a person would say of its exemplars, by PMI.

describer = CaptionDescriber(Captioner.carried(), DecodingSettings(weight=0.3))
descriptions = describer.describe(exemplars, images)     # one a unit, n-best with scores in nats
"""

import hashlib
from collections.abc import Callable
from dataclasses import asdict

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from describer.captioner import Captioner
from describer.decoding import DecodingSettings, describe_sets
from describer.description import Candidate, Description, ImageSource
from describer.exemplars import Exemplars
from describer.regions import EncodedImages, exemplar_features

ALONE_AT_A_TIME = 512
"Exemplars that are told one by one, of which this many at a time."


class CaptionDescriber:
    """A captioner with its way of decoding; keeps pictures encoded between the layers of one image source."""

    method = "caption"

    def __init__(self, captioner: Captioner, settings: DecodingSettings | None = None, batch_size: int = 64) -> None:
        self.captioner, self.settings, self.batch_size = captioner, settings or DecodingSettings(), batch_size
        self._encoded: EncodedImages | None = None

    @property
    def key(self) -> dict[str, str | int | float | bool | None]:
        """Weights, phrases and decoding: all that changes the answer."""
        digest = hashlib.sha256(self.captioner.vocabulary.model + "\n".join(self.captioner.inventory.phrases).encode())
        for name, tensor in sorted(self.captioner.state_dict().items()):
            digest.update(name.encode())
            digest.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().data)
        return {"captioner": digest.hexdigest(), **asdict(self.settings)}

    @torch.inference_mode()
    def describe(
        self, exemplars: Exemplars, images: ImageSource, progress: Callable[[int], None] | None = None
    ) -> list[Description]:
        """One description a unit, in the order of ``exemplars``, which are a layer's; dead units get none.

        Units are told apart from the others that are described with them (see DecodingSettings.contrast).

        ``progress`` is told how many units have been described since it was last told.
        """
        features, present = self._regions(exemplars, images)
        alive = present.any(1) & ~exemplars.dead.to(present.device)
        told = describe_sets(self.captioner, features[alive], present[alive], self.settings, self.batch_size, progress)
        if progress and not alive.all():
            progress(int((~alive).sum()))
        best = iter(told)
        units = zip(exemplars.unit_ids.tolist(), alive.tolist(), strict=True)
        return [self._told(exemplars.layer, unit, next(best) if living else []) for unit, living in units]

    @torch.inference_mode()
    def features(
        self, exemplars: Exemplars, images: ImageSource
    ) -> tuple[Float[Tensor, "units k features"], Bool[Tensor, "units k"]]:
        """What the encoder tells the decoder of every exemplar, seen alone, and which exemplars there are.

        That is nearer to words than the pyramid under the mask: it was trained to be told in them.
        """
        regions, present = self._regions(exemplars, images)
        told = torch.zeros(*present.shape, self.captioner.encoder.settings.width, device=regions.device)
        if present.any():
            alone = [region[:, None] for region in regions[present].split(ALONE_AT_A_TIME)]  # (some, 1, features)
            there = [torch.ones(len(region), 1, dtype=torch.bool, device=regions.device) for region in alone]
            seen = [self.captioner.encoder(*each)[:, 0] for each in zip(alone, there, strict=True)]
            told[present] = torch.cat(seen).to(told)
        return told, present

    def _regions(self, exemplars: Exemplars, images: ImageSource) -> tuple[Tensor, Tensor]:
        if self._encoded is None or self._encoded.images is not images:
            self._encoded = EncodedImages(self.captioner.encoder, images)
        return exemplar_features(self._encoded, exemplars)

    def _told(self, layer: str, unit: int, n_best: list[Candidate]) -> Description:
        if not n_best:
            return Description(layer, unit, None, self.method)
        first = n_best[0]
        scores = {"log_prob": first.log_prob, "log_prior": first.log_prior, "pmi": first.pmi}
        scores |= {} if first.evidence is None else {"evidence": first.evidence}
        return Description(layer, unit, first.text, self.method, scores, tuple(n_best))
