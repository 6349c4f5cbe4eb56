"""The paper's network and its two branches (paper, section 2.2 and figure 3)."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class ConvolutionBranch(nn.Module):
    """Two convolutions along the inputs, each with ReLU and max pooling (equations 1 to 3).

    Shape:
        Input: (B, F). Output: (B, `out_features`).
    """

    def __init__(self, num_features: int, kernel_size: int, channels: list[int]) -> None:
        super().__init__()
        self.conv1 = nn.Conv1d(1, channels[0], kernel_size, padding="same")
        self.conv2 = nn.Conv1d(channels[0], channels[1], kernel_size, padding="same")
        self.pool = nn.MaxPool1d(2, ceil_mode=True)  # an odd last position is kept
        self.out_features = channels[1] * -(-num_features // 4)

    def forward(self, x: Tensor) -> Tensor:
        """Return the flattened feature maps."""
        x = x.unsqueeze(1)  # (B, 1, F)
        x = self.pool(F.relu(self.conv1(x)))  # (B, C1, F/2)
        x = self.pool(F.relu(self.conv2(x)))  # (B, C2, F/4)
        return x.flatten(1)  # (B, C2 * F/4)


class FeatureEmbedding(nn.Module):
    """Token of each input with a separate vector and offset for each (Gorishniy et al. 2021, FT-Transformer).

    Shape:
        Input: (B, F, 1). Output: (B, F, E).
    """

    def __init__(self, num_features: int, embed_dim: int) -> None:
        super().__init__()
        self.weight, self.bias = (nn.Parameter(torch.empty(num_features, embed_dim)) for _ in range(2))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the weights, uniformly."""
        bound = self.weight.shape[1] ** -0.5
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -bound, bound)

    def forward(self, x: Tensor) -> Tensor:
        """Return the tokens."""
        return x * self.weight + self.bias


class AttentionBranch(nn.Module):
    """Multi-head scaled-dot-product self-attention; every input is a token (equations 5 to 8).

    A token is the input's value times a vector, plus an offset vector. The heads split `embed_dim`. If `embedding` is
    ``shared``, all inputs have the same two vectors, as in the paper; if ``per_feature``, each input has separate ones.

    Shape:
        Input: (B, F). Output: (B, `out_features`).
    """

    def __init__(self, num_features: int, num_heads: int, embed_dim: int, embedding: str = "shared") -> None:
        super().__init__()
        self.num_heads, self.head_dim = num_heads, embed_dim // num_heads
        self.collapses = embedding == "shared"
        self.embed = nn.Linear(1, embed_dim) if self.collapses else FeatureEmbedding(num_features, embed_dim)
        self.query = nn.Linear(embed_dim, embed_dim)
        self.key = nn.Linear(embed_dim, embed_dim)
        self.value = nn.Linear(embed_dim, embed_dim)
        self.out = nn.Linear(embed_dim, embed_dim)
        self.out_features = num_features * embed_dim

    def forward(self, x: Tensor) -> Tensor:
        """Return the flattened attended tokens."""
        tokens = self.embed(x.unsqueeze(-1))  # (B, F, E)
        q, k, v = (self._heads(project(tokens)) for project in (self.query, self.key, self.value))
        mixed = F.scaled_dot_product_attention(q, k, v)  # (B, H, F, E/H)
        attended: Tensor = self.out(mixed.transpose(1, 2).flatten(2))  # (B, F, E)
        return attended.flatten(1)  # (B, F * E)

    def attention(self, x: Tensor) -> Tensor:
        """Return the attention weights of each head: (B, F) to (B, H, F, F); each row sums to 1."""
        tokens = self.embed(x.unsqueeze(-1))  # (B, F, E)
        q, k = (self._heads(project(tokens)) for project in (self.query, self.key))
        return torch.softmax(q @ k.transpose(-1, -2) / self.head_dim**0.5, dim=-1)  # (B, H, F, F)

    def _heads(self, tokens: Tensor) -> Tensor:
        return tokens.view(*tokens.shape[:2], self.num_heads, self.head_dim).transpose(1, 2)  # (B, H, F, E/H)


class Inputs(nn.Module):
    """The inputs without a branch.

    Shape:
        Input: (B, F). Output: (B, F).
    """

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.out_features = num_features

    def forward(self, x: Tensor) -> Tensor:
        """Return the inputs."""
        return x


Branch = ConvolutionBranch | AttentionBranch | Inputs


class ParallelNetwork(nn.Module):
    """Branches on the same inputs, flattened and joined, then two fully connected layers (equation 4).

    Shape:
        Input: (B, F), scaled. Output: (B, 2), the logits of no expansion and expansion.
    """

    def __init__(self, branches: Mapping[str, Branch], hidden_dim: int, dropout: float) -> None:
        super().__init__()
        self.branches = nn.ModuleDict(dict(branches))
        self.hidden = nn.Linear(sum(branch.out_features for branch in branches.values()), hidden_dim)
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(hidden_dim, 2)

    def forward(self, x: Tensor) -> Tensor:
        """Return the two logits of each patient."""
        joined = torch.cat([branch(x) for branch in self.branches.values()], dim=1)  # (B, C2 * F/4 + F * E)
        logits: Tensor = self.output(self.dropout(F.relu(self.hidden(joined))))  # (B, 2)
        return logits


class SACNN(ParallelNetwork):
    """The paper's network: convolutions in parallel with self-attention; `sizes` are those of `AttentionBranch`."""

    def __init__(
        self,
        num_features: int,
        kernel_size: int,
        channels: list[int],
        hidden_dim: int,
        dropout: float = 0.0,
        **sizes: Any,
    ) -> None:
        conv = ConvolutionBranch(num_features, kernel_size, channels)
        attention = AttentionBranch(num_features, **sizes)
        super().__init__({"conv": conv, "attention": attention}, hidden_dim, dropout)


class CNN(ParallelNetwork):
    """Ablation: only the convolution branch; `sizes` are those of `ConvolutionBranch`."""

    def __init__(self, num_features: int, hidden_dim: int, dropout: float = 0.0, **sizes: Any) -> None:
        super().__init__({"conv": ConvolutionBranch(num_features, **sizes)}, hidden_dim, dropout)


class Attention(ParallelNetwork):
    """Ablation: only the attention branch; `sizes` are those of `AttentionBranch`."""

    def __init__(self, num_features: int, hidden_dim: int, dropout: float = 0.0, **sizes: Any) -> None:
        super().__init__({"attention": AttentionBranch(num_features, **sizes)}, hidden_dim, dropout)


class MLP(ParallelNetwork):
    """Ablation: neither branch."""

    def __init__(self, num_features: int, hidden_dim: int, dropout: float = 0.0) -> None:
        super().__init__({"inputs": Inputs(num_features)}, hidden_dim, dropout)
