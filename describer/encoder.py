"""Exemplar sets as features: each distinct image is encoded once, then pooled by every mask that uses it.

    encoder = ExemplarEncoder(EncoderSettings(backbone="own"))
    features = encoder.region_features(images, masks)       # (regions, features)
    memory = encoder(features[None], present)               # (sets, exemplars, width): what the decoder looks at

A region is the mean of every pyramid level under the mask (MILAN, Hernandez 2022, section 3: mask-weighted pyramid
features), beside the mean of the whole image as its context. The set transformer has no positions, so the order
of exemplars cannot matter (Set Transformer, Lee 2019). An empty mask gives zeros.
"""

from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from describer.backbone import PyramidBackbone
from describer.errors import TargetError


@dataclass(frozen=True)
class EncoderSettings:
    """How exemplars become features."""

    backbone: str = "own"
    "own, timm:NAME or hf:NAME_OR_FOLDER: what turns an image into a pyramid of maps"
    width: int = 256
    "numbers an exemplar is told in to the decoder"
    n_layers: int = 2
    "layers of the set transformer"
    n_heads: int = 4
    "attention heads"
    dropout: float = 0.1
    "dropout in training, fraction"
    own: dict = field(default_factory=dict)
    "arguments of PyramidBackbone when the backbone is own"


class LibraryBackbone(nn.Module):
    """A timm or Hugging Face model that answers with its feature maps, first to last."""

    model: Any
    mean: Tensor
    std: Tensor

    def __init__(self, source: str, pretrained: bool = False) -> None:
        super().__init__()
        kind, _, name = source.partition(":")
        if kind == "timm":
            import timm

            self.model = timm.create_model(name, features_only=True, pretrained=pretrained)
            self.levels = tuple(self.model.feature_info.channels())
            config = timm.data.resolve_data_config({}, model=self.model)
            self.size, mean, std = config["input_size"][-1], config["mean"], config["std"]
        elif kind == "hf":
            from transformers import AutoBackbone, AutoConfig

            self.model = (
                AutoBackbone.from_pretrained(name)
                if pretrained
                else AutoBackbone.from_config(AutoConfig.from_pretrained(name))
            )
            self.levels = tuple(self.model.channels)
            size = getattr(self.model.config, "image_size", 224)
            self.size, mean, std = size, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
        else:
            raise TargetError(f"backbone must be own, timm:NAME or hf:NAME. Got {source!r}. Name one of these.")
        self.register_buffer("mean", torch.tensor(mean)[:, None, None])
        self.register_buffer("std", torch.tensor(std)[:, None, None])

    def forward(self, images: Float[Tensor, "batch 3 h w"]) -> list[Tensor]:
        """Feature maps of the images (in 0..1), one (batch, channels, h, w) a level."""
        out = self.model((images - self.mean) / self.std)
        return list(out if isinstance(out, (list, tuple)) else out.feature_maps)


class ExemplarEncoder(nn.Module):
    """Backbone, mask pooling and set transformer; ``n_features`` numbers a region, ``settings.width`` an exemplar."""

    feature_mean: Tensor
    feature_std: Tensor
    main_input_name = "features"  # what transformers' generate asks an encoder for

    def __init__(self, settings: EncoderSettings, pretrained_backbone: bool = False) -> None:
        super().__init__()
        self.settings = settings
        own = settings.backbone == "own"
        self.backbone = (
            PyramidBackbone(**settings.own) if own else LibraryBackbone(settings.backbone, pretrained_backbone)
        )
        self.backbone.requires_grad_(False).eval()
        self.n_features = 2 * sum(self.backbone.levels) + 1
        self.register_buffer("feature_mean", torch.zeros(self.n_features))
        self.register_buffer("feature_std", torch.ones(self.n_features))
        self.project = nn.Sequential(
            nn.Linear(self.n_features, 2 * settings.width), nn.GELU(), nn.Linear(2 * settings.width, settings.width)
        )
        layer = nn.TransformerEncoderLayer(
            settings.width,
            settings.n_heads,
            2 * settings.width,
            settings.dropout,
            "gelu",
            batch_first=True,
            norm_first=True,
        )
        self.mix = nn.TransformerEncoder(
            layer, settings.n_layers, nn.LayerNorm(settings.width), enable_nested_tensor=False
        )

    def train(self, mode: bool = True) -> "ExemplarEncoder":
        """Training mode for everything but the backbone, which stays as it is."""
        super().train(mode)
        self.backbone.eval()
        return self

    def forward(
        self, features: Float[Tensor, "sets exemplars features"], present: Bool[Tensor, "sets exemplars"]
    ) -> Float[Tensor, "sets exemplars width"]:
        """One vector an exemplar, each informed of the others; absent exemplars are seen by none."""
        x = self.project((features - self.feature_mean) / self.feature_std)
        return self.mix(x, src_key_padding_mask=~present)

    @torch.no_grad()
    def maps(self, images: Float[Tensor, "images 3 h w"]) -> list[Tensor]:
        """The backbone's pyramid, one (images, channels, h, w) a level."""
        return [level.float() for level in self.backbone(images)]

    def region_features(
        self,
        maps: list[Tensor],
        masks: Float[Tensor, "regions side side"],
        image_of: Int[Tensor, " regions"],
    ) -> Float[Tensor, "regions features"]:
        """Features of regions, each a mask (0..1) on one of the encoded images; rows of one image must be adjacent."""
        counts = torch.bincount(image_of, minlength=len(maps[0]))
        under = [self._pool(level, masks, counts) for level in maps]
        context = [level.mean((2, 3))[image_of] for level in maps]
        area = masks.mean((1, 2)).clamp_min(1e-4).log()[:, None]
        empty = (masks.sum((1, 2)) == 0)[:, None]
        return torch.cat([*under, *context, area], 1).masked_fill(empty, 0.0)  # (regions, features)

    def _pool(self, level: Tensor, masks: Tensor, counts: Tensor) -> Tensor:
        weights = F.interpolate(masks[:, None], level.shape[-2:], mode="area").flatten(1)  # (regions, h * w)
        weights = weights / weights.sum(1, keepdim=True).clamp_min(1e-8)
        rows = zip(weights.split(counts.tolist()), level.flatten(2), strict=True)
        return torch.cat([weight @ image.T for weight, image in rows if len(weight)])  # (regions, channels)
