"""The two towers of a listener: what a picture and what a text become, unit vectors in one space.

    grid = images.grid(pixels)                       # (images, cells, features): every level of the backbone
    images(grid)                                     # (images, dims), unit norm
    texts(vocabulary.encode(["red cars"]))           # (texts, dims), unit norm

The picture is read cell by cell, so that a small thing is not lost in a mean: several learnt queries attend to the
cells (after Lee 2019, pooling by attention), and the largest answer of every feature is kept beside them. The first
level is computed colour and edges, so that colours and textures can be told. A text is the mean of a transformer's
answers and of its bare words: what has one word is read as well as what has twenty.
"""

from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from describer.backbone import PyramidBackbone
from describer.vocabulary import PAD


class ImageTower(nn.Module):
    """Backbone, grid and pooling head; the backbone is as it was trained, and is not trained on here."""

    feature_mean: Tensor
    feature_std: Tensor

    def __init__(self, own: dict[str, Any], side: int, width: int, dims: int, n_queries: int, dropout: float) -> None:
        super().__init__()
        self.side = side
        self.backbone = PyramidBackbone(**own)
        self.backbone.requires_grad_(False).eval()
        self.n_features = sum(self.backbone.levels)
        self.register_buffer("feature_mean", torch.zeros(self.n_features))
        self.register_buffer("feature_std", torch.ones(self.n_features))
        self.cells = nn.Sequential(nn.Linear(self.n_features, width), nn.GELU(), nn.LayerNorm(width))
        self.queries = nn.Parameter(torch.randn(n_queries, width) * 0.02)
        self.head = nn.Sequential(
            nn.Dropout(dropout),
            nn.Linear((n_queries + 2) * width, 2 * width),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(2 * width, dims),
        )

    def train(self, mode: bool = True) -> "ImageTower":
        """Training mode for everything but the backbone, which stays as it is."""
        super().train(mode)
        self.backbone.eval()
        return self

    @torch.no_grad()
    def grid(self, images: Float[Tensor, "images 3 h w"]) -> Float[Tensor, "images cells features"]:
        """The backbone's levels on one grid of side x side cells, of images in 0..1; each cell the mean of its area."""
        cells = (self.side, self.side)
        levels = [F.interpolate(level.float(), cells, mode="area") for level in self.backbone(images)]
        return torch.cat(levels, 1).flatten(2).transpose(1, 2)  # (images, cells, features)

    def forward(
        self, grid: Float[Tensor, "images cells features"], inside: Float[Tensor, "images cells"] | None = None
    ) -> Float[Tensor, "images dims"]:
        """Unit vectors of pictures, or of the region of each that ``inside`` (coverage 0..1 a cell) tells."""
        x = self.cells((grid - self.feature_mean) / self.feature_std)  # (images, cells, width)
        weight = torch.ones_like(x[..., 0]) if inside is None else inside.clamp_min(1e-4)
        share = (weight / weight.sum(1, keepdim=True)).to(x.dtype)
        logits = x @ self.queries.T + weight.log()[..., None]
        attended = torch.softmax(logits, 1).transpose(1, 2) @ x  # (images, queries, width)
        mean = torch.einsum("ic,icw->iw", share, x)
        largest = (x + weight.log()[..., None]).amax(1)
        pooled = torch.cat([attended.flatten(1), mean, largest], 1)
        return F.normalize(self.head(pooled).float(), dim=-1)


class TextTower(nn.Module):
    """A small transformer over words (Vaswani 2017), normalised first, beside the mean of its bare words."""

    def __init__(
        self, n_tokens: int, width: int, dims: int, n_layers: int, n_heads: int, max_length: int, dropout: float
    ) -> None:
        super().__init__()
        self.words = nn.Embedding(n_tokens, width, padding_idx=PAD)
        self.places = nn.Embedding(max_length, width)
        self.drop = nn.Dropout(dropout)
        layer = nn.TransformerEncoderLayer(
            width, n_heads, 4 * width, dropout, "gelu", batch_first=True, norm_first=True
        )
        self.layers = nn.TransformerEncoder(layer, n_layers, enable_nested_tensor=False)
        self.head = nn.Sequential(nn.LayerNorm(2 * width), nn.Linear(2 * width, dims))

    def forward(self, tokens: Int[Tensor, "texts length"]) -> Float[Tensor, "texts dims"]:
        """Unit vectors of texts: token ids that start with BOS, end with EOS and are padded."""
        absent = tokens == PAD
        words = self.words(tokens)
        places = self.places(torch.arange(tokens.shape[1], device=tokens.device))
        x = self.layers(self.drop(words + places), src_key_padding_mask=absent)
        said = torch.cat([x, words], -1).masked_fill(absent[..., None], 0.0).sum(1)
        mean = said / (~absent).sum(1, keepdim=True).clamp_min(1)
        return F.normalize(self.head(mean).float(), dim=-1)
