"""M networks of one shape computed together: the function of `hemexp.models.sacnn` for M members at once.

Parameters, outputs and gradients are the same as those of single networks. A batched matrix product replaces each
layer. No operation mixes members, so the bits of a member's weights do not depend on the other members. This also needs
an equal memory layout, hence the padding. Attention with an embedding that all inputs share is computed in closed form
(docs/attention.md).
"""

import math
from collections.abc import Sequence
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hemexp.models.sacnn import AttentionBranch, ConvolutionBranch, Inputs, ParallelNetwork
from hemexp.training.batched_functions import (
    batch_product,
    max_pool_relu,
    shifted_products,
    tilted_mean,
    times_transposed,
    unpack,
)

Weights = dict[str, Tensor]  # name to (M, *shape)

# of attention in one call; a GPU raises an error above: https://github.com/pytorch/pytorch/issues/142228
_MOST_ATTENTION = 65_535
_TENSOR_ALIGNMENT, _ROW_ALIGNMENT = 16, 64  # elements: tensors start on a cache line, and use the same vector code


class BatchedNetwork(nn.Module):
    """M networks of one shape; row m of `weights` is member m.

    Args:
        nets: of one shape, initialized or trained.
        collapse: compute attention in closed form; see `hemexp.config.SelfAttentionConfig.collapses`.

    Shape:
        Input of `prepare`: (M, B, F), scaled, B a multiple of 16. Output: (M, B, 2) logits.

    Raises:
        ValueError: attention has no closed form.
    """

    weights: nn.Parameter

    def __init__(self, nets: Sequence[ParallelNetwork], collapse: bool = True) -> None:
        super().__init__()
        first = nets[0]
        branches: dict[str, Any] = dict(first.branches.items())
        self.branches = {name: _build_branch(branch, collapse) for name, branch in branches.items()}
        self.hidden_dim = first.hidden.out_features
        self._columns = [branch.out_features for branch in branches.values()]  # of hidden.weight
        self._shapes = {name: piece.shape for name, piece in self._split_hidden(first.state_dict()).items()}
        sizes = [shape.numel() for shape in self._shapes.values()]
        ends = list(accumulate(size + -size % _TENSOR_ALIGNMENT for size in sizes))
        self._spans = [slice(start, start + size) for start, size in zip([0, *ends], sizes, strict=False)]
        self._row_size = ends[-1] + -ends[-1] % _ROW_ALIGNMENT
        self.weights = nn.Parameter(torch.stack([self.pack(net.state_dict()) for net in nets]))

    def _split_hidden(self, state: Weights) -> Weights:
        """Return a network's parameters with the hidden layer's weights split by branch."""
        columns = dict(zip(self.branches, torch.split(state["hidden.weight"], self._columns, dim=-1), strict=True))
        others = {name: value for name, value in state.items() if name != "hidden.weight"}
        return {**others, **{f"hidden.weight.{name}": part for name, part in columns.items()}}

    def pack(self, state: Weights) -> Tensor:
        """Return the state_dict of a single network as a row of weights (P,)."""
        pieces = self._split_hidden(state)
        row = pieces["output.weight"].new_zeros(self._row_size)
        for span, piece in zip(self._spans, pieces.values(), strict=True):
            row[span] = piece.flatten()
        return row

    def _unpack(self, rows: Tensor) -> Weights:
        pieces = unpack(rows, self._spans, list(self._shapes.values()))
        return dict(zip(self._shapes, pieces, strict=True))

    def get_state(self, row: Tensor) -> Weights:
        """Return a row of weights (P,) as the state_dict of a single network."""
        pieces = {name: piece[0].clone() for name, piece in self._unpack(row[None]).items()}
        joined = torch.cat([pieces.pop(f"hidden.weight.{name}") for name in self.branches], dim=1)
        return {**pieces, "hidden.weight": joined}

    def prepare(self, x: Tensor) -> Weights:
        """Return each branch's transformed inputs (M, B, F). They do not depend on weights, so many epochs use them."""
        return {name: branch.prepare(x) for name, branch in self.branches.items()}

    def forward(self, inputs: Weights, dropout: Tensor | None = None) -> Tensor:
        """Return the logits.

        Args:
            inputs: from `prepare`.
            dropout: (M, B, hidden_dim) factors of the hidden layer's outputs.
        """
        w = self._unpack(self.weights)
        hidden = w["hidden.bias"].unsqueeze(1)  # (M, 1, D)
        for name, branch in self.branches.items():
            weights = {key.removeprefix(f"branches.{name}."): value for key, value in w.items() if f".{name}." in key}
            hidden = hidden + branch(inputs[name], weights, w[f"hidden.weight.{name}"])  # (M, B, D)
        hidden = F.relu(hidden)
        if dropout is not None:
            hidden = hidden * dropout
        return _linear(hidden, w, "output")  # (M, B, 2)


class _Branch:
    """A branch of M members, with its part of the hidden layer; this one has the inputs only."""

    def prepare(self, x: Tensor) -> Tensor:
        """Return the transformed inputs, which do not depend on weights."""
        return x

    def __call__(self, inputs: Tensor, w: Weights, hidden: Tensor, /) -> Tensor:
        """Return the branch's contribution to the hidden layer, (M, B, D); `hidden` holds its columns, (M, D, ...)."""
        return times_transposed(inputs, hidden)


def _build_branch(branch: Any, collapse: bool) -> _Branch:
    if isinstance(branch, ConvolutionBranch):
        return _Convolution(branch)
    if isinstance(branch, Inputs):
        return _Branch()
    if collapse and not branch.collapses:
        raise ValueError("embedding=per_feature: attention has a closed form only if all inputs share one embedding")
    return _CollapsedAttention(branch) if collapse else _PlainAttention(branch)


class _Convolution(_Branch):
    """Two convolutions as matrix products. Positions come before patients, so shifting and pooling need no copies."""

    def __init__(self, branch: ConvolutionBranch) -> None:
        self.kernel_size = branch.conv1.kernel_size[0]
        self.channels = (branch.conv1.out_channels, branch.conv2.out_channels)

    def prepare(self, x: Tensor) -> Tensor:
        """Return the windows of the first convolution, each followed by a 1 for the bias: (M, F, B, K + 1)."""
        reach = self.kernel_size // 2
        rows = F.pad(x.transpose(1, 2), (0, 0, reach, reach))  # (M, F + K - 1, B)
        windows = rows.unfold(1, self.kernel_size, 1)  # (M, F, B, K)
        return torch.cat([windows, torch.ones_like(windows[..., :1])], dim=-1)

    def __call__(self, windows: Tensor, w: Weights, hidden: Tensor, /) -> Tensor:
        members, length, batch, _ = windows.shape
        reach = self.kernel_size // 2
        kernel = torch.cat([w["conv1.weight"].flatten(2), w["conv1.bias"].unsqueeze(2)], dim=2)  # (M, C1, K + 1)
        x = batch_product(windows.flatten(1, 2), kernel.transpose(1, 2))  # (M, F * B, C1)
        x = max_pool_relu(x.view(members, length, -1))  # (M, F/2, B * C1)
        x = F.pad(x, (0, 0, reach, reach)).view(members, -1, batch, self.channels[0])
        kernel = w["conv2.weight"].permute(0, 3, 2, 1).contiguous()  # (M, K, C1, C2)
        x = shifted_products(x, kernel, w["conv2.bias"])  # (M, F/2, B, C2)
        x = max_pool_relu(x.flatten(2)).view(members, -1, batch, self.channels[1])  # (M, F/4, B, C2)
        x = x.permute(0, 2, 3, 1).flatten(2)  # (M, B, C2 * F/4)
        return times_transposed(x, hidden)


class _PlainAttention(_Branch):
    """Attention by PyTorch's own function, which sees the patients of all members as one batch."""

    def __init__(self, branch: AttentionBranch) -> None:
        self.num_heads, self.shared = branch.num_heads, branch.collapses

    def __call__(self, x: Tensor, w: Weights, hidden: Tensor, /) -> Tensor:
        members, batch, length = x.shape
        scale, shift = w["embed.weight"], w["embed.bias"]  # (M, F, E), or (M, E, 1) and (M, E) if shared
        if self.shared:
            scale, shift = scale.transpose(1, 2), shift.unsqueeze(1)
        tokens = x.unsqueeze(-1) * scale.unsqueeze(1) + shift.unsqueeze(1)  # (M, B, F, E)
        tokens = tokens.flatten(1, 2)  # (M, B * F, E)
        q, k, v = (
            _linear(tokens, w, name).view(members * batch, length, self.num_heads, -1).transpose(1, 2)
            for name in ("query", "key", "value")
        )
        parts = zip(*(torch.split(tensor, _MOST_ATTENTION) for tensor in (q, k, v)), strict=True)
        mixed = torch.cat([F.scaled_dot_product_attention(*part) for part in parts])  # (M * B, H, F, E/H)
        attended = _linear(mixed.transpose(1, 2).reshape(members, batch * length, -1), w, "out")  # (M, B * F, E)
        return times_transposed(attended.view(members, batch, -1), hidden)


def _linear(x: Tensor, w: Weights, name: str) -> Tensor:
    return times_transposed(x, w[f"{name}.weight"]) + w[f"{name}.bias"].unsqueeze(1)


class _CollapsedAttention(_Branch):
    """Attention over tokens ``x_i a + b``: an affine function of the tilted mean of the inputs (docs/attention.md)."""

    def __init__(self, branch: AttentionBranch) -> None:
        self.num_heads, self.head_dim = branch.num_heads, branch.head_dim

    def prepare(self, x: Tensor) -> Tensor:
        """Return ones, the inputs, their squares and zeros: (M, B, 4, F)."""
        return torch.stack([torch.ones_like(x), x, x * x, torch.zeros_like(x)], dim=2)  # BLAS is faster on 4 than on 3

    def __call__(self, powers: Tensor, w: Weights, hidden: Tensor, /) -> Tensor:
        x = powers[:, :, 1]  # (M, B, F)
        (members, _, length), heads = x.shape, (self.num_heads, self.head_dim)
        embed = torch.cat([w["embed.weight"], w["embed.bias"].unsqueeze(2)], dim=2)  # (M, E, 2): a and b
        q, k, v = (batch_product(w[f"{name}.weight"], embed) for name in ("query", "key", "value"))  # (M, E, 2)
        q_b, v_b = q[:, :, 1] + w["query.bias"], v[:, :, 1] + w["value.bias"]
        k_a = k[:, :, 0] / math.sqrt(self.head_dim)
        alpha, beta = ((q * k_a).view(members, *heads).sum(2) for q in (q[:, :, 0], q_b))  # (M, H)
        t = x.unsqueeze(2) * alpha[:, None, :, None] + beta[:, None, :, None]  # (M, B, H, F)
        mean = tilted_mean(t, powers)  # (M, B, H, F)

        head_of = torch.eye(self.num_heads, dtype=x.dtype, device=x.device).repeat_interleave(self.head_dim, 0)
        values = torch.cat([v[:, :, :1] * head_of, v_b.unsqueeze(2)], dim=2)  # (M, E, H + 1)
        token = batch_product(w["out.weight"], values)  # its output: H parts for the heads' means, and a constant
        token = torch.cat([token[:, :, :-1], token[:, :, -1:] + w["out.bias"].unsqueeze(2)], dim=2)
        columns = hidden.reshape(members, -1, self.num_heads * self.head_dim)  # (M, D * F, E)
        folded = times_transposed(token.transpose(1, 2), columns)  # (M, H + 1, D * F)
        folded = folded.view(members, self.num_heads + 1, -1, length)
        constant = folded[:, -1].sum(2)  # (M, D)
        weights = folded[:, :-1].transpose(1, 2).flatten(2)  # (M, D, H * F)
        return times_transposed(mean.flatten(2), weights) + constant.unsqueeze(1)
