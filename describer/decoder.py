"""The decoder: texts token by token, looking at the exemplars of their unit.

    logits = decoder(tokens, memory, present)      # (units, texts, length, vocabulary)

Every unit brings several texts at once. Texts attend to themselves, one by one; to the exemplars all texts of a unit
attend together, so that scoring a hundred candidates reads the exemplars once.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn


class Attention(nn.Module):
    """Multi-head attention from queries to a source (Vaswani 2017)."""

    def __init__(self, width: int, n_heads: int, dropout: float) -> None:
        super().__init__()
        self.n_heads, self.dropout = n_heads, dropout
        self.query, self.source = nn.Linear(width, width), nn.Linear(width, 2 * width)
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor, source: Tensor, mask: Tensor | None = None, causal: bool = False) -> Tensor:
        """Attends from x (batch, length, width) to source (batch, positions, width); mask is True where allowed."""

        def split(y: Tensor) -> Tensor:
            return y.unflatten(-1, (self.n_heads, -1)).transpose(1, 2)  # (batch, heads, length, head width)

        keys, values = self.source(source).chunk(2, -1)
        dropout = self.dropout if self.training else 0.0
        y = F.scaled_dot_product_attention(split(self.query(x)), split(keys), split(values), mask, dropout, causal)
        return self.out(y.transpose(1, 2).flatten(2))


class DecoderLayer(nn.Module):
    """Self-attention within a text, attention to the exemplars, feed-forward; normalised first."""

    def __init__(self, width: int, n_heads: int, dropout: float) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(3))
        self.itself, self.exemplars = (Attention(width, n_heads, dropout) for _ in range(2))
        self.feed = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(), nn.Dropout(dropout), nn.Linear(4 * width, width)
        )
        self.drop = nn.Dropout(dropout)

    def forward(self, x: Tensor, memory: Tensor, seen: Tensor) -> Tensor:
        """x (units, texts, length, width), memory (units, exemplars, width), seen (units, 1, 1, exemplars)."""
        shape = x.shape
        own = self.norms[0](x).flatten(0, 1)  # (units * texts, length, width)
        x = x + self.drop(self.itself(own, own, causal=True)).view(shape)
        x = x + self.drop(self.exemplars(self.norms[1](x).flatten(1, 2), memory, seen)).view(shape)
        return x + self.drop(self.feed(self.norms[2](x)))


class Decoder(nn.Module):
    """A stack of decoder layers over a shared word embedding."""

    def __init__(self, n_tokens: int, width: int, n_layers: int, n_heads: int, dropout: float, max_length: int) -> None:
        super().__init__()
        self.max_length = max_length
        self.words = nn.Embedding(n_tokens, width)
        self.places = nn.Embedding(max_length, width)
        self.layers = nn.ModuleList(DecoderLayer(width, n_heads, dropout) for _ in range(n_layers))
        self.norm = nn.LayerNorm(width)
        self.drop = nn.Dropout(dropout)

    def forward(
        self,
        tokens: Int[Tensor, "units texts length"],
        memory: Float[Tensor, "units exemplars width"],
        present: Bool[Tensor, "units exemplars"],
    ) -> Float[Tensor, "units texts length vocabulary"]:
        """Logits of the token after each token."""
        place = torch.arange(tokens.shape[-1], device=tokens.device)
        x = self.drop(self.words(tokens) * self.words.embedding_dim**0.5 + self.places(place))
        for layer in self.layers:
            x = layer(x, memory, present[:, None, None, :])
        return F.linear(self.norm(x), self.words.weight)
