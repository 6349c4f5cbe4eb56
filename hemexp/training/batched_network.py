"""Many networks of one shape as one tensor program: what `hemexp.models.sacnn` says for one, for M members at once.

Same parameters, same function, same gradients, a batched matrix product where a single network has a layer. Members
never meet: every product, sum and maximum stays within one of them, so a member's weights are the same bits whoever it
is trained with. That takes equal memory layout too, hence the padding. Attention with one embedding shared by all
inputs is computed in closed form (docs/attention.md).
"""

import math
from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hemexp.models.sacnn import AttentionBranch, ConvolutionBranch, Inputs, ParallelNetwork

Weights = dict[str, Tensor]  # name to (M, *shape)

_PIECE, _ROW = 16, 64  # elements: every tensor begins on a cache line, so that all members meet the same vector code
_VECTORS = 32  # elements that PyTorch computes at a stretch; exp2 of a rest has other last bits
_BLOCK = {"cpu": 200_000, "other": 200_000_000}  # elements of the tilted mean's work space: a CPU core's cache


class BatchedNetwork(nn.Module):
    """M networks of one shape; row m of `weights` is member m.

    Args:
        nets: freshly initialized, or trained; all of one shape.
        collapse: compute attention in closed form, as `hemexp.config.SelfAttentionConfig.collapses` allows.

    Shape:
        Input of `prepare`: (M, B, F), scaled, B a multiple of 16; output (M, B, 2) logits.

    Raises:
        ValueError: attention does not collapse.
    """

    weights: nn.Parameter

    def __init__(self, nets: Sequence[ParallelNetwork], collapse: bool = True) -> None:
        super().__init__()
        first = nets[0]
        branches: dict[str, Any] = dict(first.branches.items())
        self.branches = {name: _stack_branch(branch, collapse) for name, branch in branches.items()}
        self.hidden_dim = first.hidden.out_features
        self._columns = [branch.out_features for branch in branches.values()]  # of hidden.weight
        self._shapes = {name: piece.shape for name, piece in self._pieces_of(first.state_dict()).items()}
        sizes = [shape.numel() for shape in self._shapes.values()]
        ends = list(accumulate(size + -size % _PIECE for size in sizes))
        self._spans = [slice(start, start + size) for start, size in zip([0, *ends], sizes, strict=False)]
        self._row = ends[-1] + -ends[-1] % _ROW
        self.weights = nn.Parameter(torch.stack([self._pack(net.state_dict()) for net in nets]))

    def _pieces_of(self, state: Weights) -> Weights:
        """Return a network's parameters with the hidden layer's weights cut up by branch."""
        columns = dict(zip(self.branches, torch.split(state["hidden.weight"], self._columns, dim=-1), strict=True))
        rest = {name: value for name, value in state.items() if name != "hidden.weight"}
        return {**rest, **{f"hidden.weight.{name}": part for name, part in columns.items()}}

    def _pack(self, state: Weights) -> Tensor:
        pieces = self._pieces_of(state)
        row = pieces["output.weight"].new_zeros(self._row)
        for span, piece in zip(self._spans, pieces.values(), strict=True):
            row[span] = piece.flatten()
        return row

    def _unpack(self, rows: Tensor) -> Weights:
        pieces = _unpacked(rows, self._spans, list(self._shapes.values()))
        return dict(zip(self._shapes, pieces, strict=True))

    def get_state(self, row: Tensor) -> Weights:
        """Return a row of weights (P,) as the state_dict of a single network."""
        pieces = {name: piece[0].clone() for name, piece in self._unpack(row[None]).items()}
        joined = torch.cat([pieces.pop(f"hidden.weight.{name}") for name in self.branches], dim=1)
        return {**pieces, "hidden.weight": joined}

    def prepare(self, x: Tensor) -> Weights:
        """Return what the branches make of the inputs (M, B, F) alone, once for many epochs."""
        return {name: branch.prepare(x) for name, branch in self.branches.items()}

    def forward(self, inputs: Weights, dropout: Tensor | None = None) -> Tensor:
        """Return the logits.

        Args:
            inputs: from `prepare`.
            dropout: (M, B, hidden_dim), what the hidden layer's outputs are multiplied by.
        """
        w = self._unpack(self.weights)
        hidden = w["hidden.bias"].unsqueeze(1)  # (M, 1, D)
        for name, branch in self.branches.items():
            own = {key.removeprefix(f"branches.{name}."): value for key, value in w.items() if f".{name}." in key}
            hidden = hidden + branch(inputs[name], own, w[f"hidden.weight.{name}"])  # (M, B, D)
        hidden = F.relu(hidden)
        if dropout is not None:
            hidden = hidden * dropout
        return _linear(hidden, w, "output")  # (M, B, 2)


class _Unpack(torch.autograd.Function):
    """Cuts rows (M, P) into tensors (M, *shape) that share their memory; its gradient is one tensor of rows."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, spans: list[slice], shapes: list[torch.Size]) -> tuple[Tensor, ...]:
        ctx.size, ctx.spans = rows.shape, spans
        ctx.set_materialize_grads(False)
        return tuple(rows[:, span].view(-1, *shape) for span, shape in zip(spans, shapes, strict=True))

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor, None, None]:
        (members, size), made = ctx.size, next(grad for grad in grads if grad is not None)
        pieces, end = [], 0
        for span, grad in zip(ctx.spans, grads, strict=True):
            pieces.append(made.new_zeros(members, span.start - end))  # what pads the tensor before
            pieces.append(made.new_zeros(members, span.stop - span.start) if grad is None else grad.flatten(1))
            end = span.stop
        pieces.append(made.new_zeros(members, size - end))
        return torch.cat([piece for piece in pieces if piece.shape[1]], dim=1), None, None


_unpacked: Callable[[Tensor, list[slice], list[torch.Size]], tuple[Tensor, ...]] = _Unpack.apply


class _Branch(Protocol):
    """A branch and its part of the hidden layer."""

    def prepare(self, x: Tensor) -> Tensor:
        """Return what depends on the inputs alone."""

    def __call__(self, inputs: Tensor, w: Weights, hidden: Tensor, /) -> Tensor:
        """Return what the branch adds to the hidden layer, (M, B, D); `hidden` are its columns, (M, D, ...)."""


def _stack_branch(branch: Any, collapse: bool) -> _Branch:
    if isinstance(branch, ConvolutionBranch):
        return _Convolution(branch)
    if isinstance(branch, Inputs):
        return _Inputs()
    if collapse and not branch.collapses:
        raise ValueError("attention collapses only where all inputs share one embedding")
    return _CollapsedAttention(branch) if collapse else _PlainAttention(branch)


class _Inputs:
    """The inputs themselves."""

    def prepare(self, x: Tensor) -> Tensor:
        """Return the inputs as they are."""
        return x

    def __call__(self, x: Tensor, w: Weights, hidden: Tensor) -> Tensor:
        return _times_transposed(x, hidden)


class _Convolution:
    """Two convolutions as matrix products; positions before patients, so that shifting and pooling copy nothing."""

    def __init__(self, branch: ConvolutionBranch) -> None:
        self.kernel_size = branch.conv1.kernel_size[0]
        self.channels = (branch.conv1.out_channels, branch.conv2.out_channels)

    def prepare(self, x: Tensor) -> Tensor:
        """Return the windows of the first convolution, a one behind each for the bias: (M, F, B, K + 1)."""
        reach = self.kernel_size // 2
        rows = F.pad(x.transpose(1, 2), (0, 0, reach, reach))  # (M, F + K - 1, B)
        windows = rows.unfold(1, self.kernel_size, 1)  # (M, F, B, K)
        return torch.cat([windows, torch.ones_like(windows[..., :1])], dim=-1)

    def __call__(self, windows: Tensor, w: Weights, hidden: Tensor) -> Tensor:
        members, length, batch, _ = windows.shape
        reach = self.kernel_size // 2
        kernel = torch.cat([w["conv1.weight"].flatten(2), w["conv1.bias"].unsqueeze(2)], dim=2)  # (M, C1, K + 1)
        x = _product(windows.flatten(1, 2), kernel.transpose(1, 2))  # (M, F * B, C1)
        x = _pool(x.view(members, length, -1))  # (M, F/2, B * C1)
        x = F.pad(x, (0, 0, reach, reach)).view(members, -1, batch, self.channels[0])
        kernel = w["conv2.weight"].permute(0, 3, 2, 1).contiguous()  # (M, K, C1, C2)
        x = _shifted_products(x, kernel, w["conv2.bias"])  # (M, F/2, B, C2)
        x = _pool(x.flatten(2)).view(members, -1, batch, self.channels[1])  # (M, F/4, B, C2)
        x = x.permute(0, 2, 3, 1).flatten(2)  # (M, B, C2 * F/4)
        return _times_transposed(x, hidden)


def _product(a: Tensor, b: Tensor) -> Tensor:
    """Return the matrix product of each member, in the same bits for one member as for many.

    BLAS has other routines for a single product with a vector; here vectors are multiplied and summed.

    Shape:
        (M, N, K) and (M, K, P) to (M, N, P).
    """
    if _has_vector(a, b):
        return (a.unsqueeze(3) * b.unsqueeze(1)).sum(2)
    return torch.bmm(a, b)


def _has_vector(a: Tensor, b: Tensor) -> bool:
    return 1 in (*a.shape[1:], b.shape[2])


def _add_product(total: Tensor, a: Tensor, b: Tensor) -> None:
    """Add the matrix product of each member to `total`, in place and without a copy where BLAS may."""
    if _has_vector(a, b):
        total += _product(a, b)
    else:
        total.baddbmm_(a, b)


class _TimesTransposed(torch.autograd.Function):
    """``bmm(a, b.transpose(1, 2))``; the gradient for b lies as b does, so that nobody has to turn it around.

    Shape:
        a: (M, N, K), b: (M, P, K); output (M, N, P).
    """

    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor) -> Tensor:
        ctx.save_for_backward(a, b)
        return _product(a, b.transpose(1, 2))

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, Tensor | None]:
        a, b = ctx.saved_tensors
        for_a, for_b = ctx.needs_input_grad
        return (
            _product(grads[0], b) if for_a else None,
            _product(grads[0].transpose(1, 2), a) if for_b else None,
        )


_times_transposed: Callable[[Tensor, Tensor], Tensor] = _TimesTransposed.apply


def _pool(x: Tensor) -> Tensor:
    """Return ReLU of the greater of each two positions: (M, L, N) to (M, ceil(L / 2), N)."""
    if x.shape[1] % 2:
        x = torch.cat([x, x[:, -1:]], dim=1)  # a last odd position is kept
    return _pooled_pairs(x.view(len(x), -1, 2, x.shape[2]))


class _PooledPairs(torch.autograd.Function):
    """``relu(max(x[:, :, 0], x[:, :, 1]))``; of equal ones the first gets the gradient, as in MaxPool1d."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        first, second = x.unbind(2)
        out = torch.maximum(first, second).clamp_min_(0)
        ctx.save_for_backward(out, second - first)
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        out, ahead = ctx.saved_tensors
        passed: Tensor = torch.ops.aten.threshold_backward(grads[0], out, 0)  # the gradient where ReLU let through
        grad = passed.new_empty(*passed.shape[:2], 2, passed.shape[2])
        torch.ops.aten.threshold_backward.grad_input(passed, ahead, 0, grad_input=grad[:, :, 1])
        torch.sub(passed, grad[:, :, 1], out=grad[:, :, 0])
        return grad


_pooled_pairs: Callable[[Tensor], Tensor] = _PooledPairs.apply


class _ShiftedProducts(torch.autograd.Function):
    """A convolution as one matrix product for each place in the kernel, without copying windows.

    Shape:
        x: (M, L + K - 1, B, C1), kernel: (M, K, C1, C2), bias: (M, C2); output (M, L, B, C2).
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, kernel: Tensor, bias: Tensor) -> Tensor:
        ctx.save_for_backward(x, kernel)
        length = x.shape[1] - kernel.shape[1] + 1
        out = bias.unsqueeze(1).repeat(1, length * x.shape[2], 1)  # (M, L * B, C2)
        for k in range(kernel.shape[1]):
            _add_product(out, x[:, k : k + length].flatten(1, 2), kernel[:, k])
        return out.view(len(x), length, x.shape[2], -1)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x, kernel = ctx.saved_tensors
        length = grads[0].shape[1]
        grad = grads[0].flatten(1, 2)  # (M, L * B, C2)
        grad_x, grad_kernel = torch.zeros_like(x), torch.empty_like(kernel)
        for k in range(kernel.shape[1]):
            shifted = slice(k, k + length)
            _add_product(grad_x[:, shifted].flatten(1, 2), grad, kernel[:, k].transpose(1, 2))
            grad_kernel[:, k] = _product(x[:, shifted].flatten(1, 2).transpose(1, 2), grad)
        return grad_x, grad_kernel, grad.sum(1)


_shifted_products: Callable[[Tensor, Tensor, Tensor], Tensor] = _ShiftedProducts.apply


class _PlainAttention:
    """Attention with every score computed, by PyTorch's own kernel: a member's patients are more patients to it."""

    def __init__(self, branch: AttentionBranch) -> None:
        self.num_heads, self.shared = branch.num_heads, branch.collapses

    def prepare(self, x: Tensor) -> Tensor:
        """Return the inputs as they are."""
        return x

    def __call__(self, x: Tensor, w: Weights, hidden: Tensor) -> Tensor:
        members, batch, length = x.shape
        scale, shift = w["embed.weight"], w["embed.bias"]  # (M, F, E), or (M, E, 1) and (M, E) where shared
        if self.shared:
            scale, shift = scale.transpose(1, 2), shift.unsqueeze(1)
        tokens = x.unsqueeze(-1) * scale.unsqueeze(1) + shift.unsqueeze(1)  # (M, B, F, E)
        tokens = tokens.flatten(1, 2)  # (M, B * F, E)
        q, k, v = (
            _linear(tokens, w, name).view(members * batch, length, self.num_heads, -1).transpose(1, 2)
            for name in ("query", "key", "value")
        )
        mixed = F.scaled_dot_product_attention(q, k, v)  # (M * B, H, F, E/H)
        attended = _linear(mixed.transpose(1, 2).reshape(members, batch * length, -1), w, "out")  # (M, B * F, E)
        return _times_transposed(attended.view(members, batch, -1), hidden)


def _linear(x: Tensor, w: Weights, name: str) -> Tensor:
    return _times_transposed(x, w[f"{name}.weight"]) + w[f"{name}.bias"].unsqueeze(1)


class _CollapsedAttention:
    """Attention over tokens ``x_i a + b``: an affine function of the tilted mean of the inputs (docs/attention.md)."""

    def __init__(self, branch: AttentionBranch) -> None:
        self.num_heads, self.head_dim = branch.num_heads, branch.head_dim

    def prepare(self, x: Tensor) -> Tensor:
        """Return ones, the inputs, their squares and zeros: (M, B, 4, F)."""
        return torch.stack([torch.ones_like(x), x, x * x, torch.zeros_like(x)], dim=2)  # BLAS is faster on 4 than on 3

    def __call__(self, powers: Tensor, w: Weights, hidden: Tensor) -> Tensor:
        x = powers[:, :, 1]  # (M, B, F)
        (members, _, length), heads = x.shape, (self.num_heads, self.head_dim)
        embed = torch.cat([w["embed.weight"], w["embed.bias"].unsqueeze(2)], dim=2)  # (M, E, 2): a and b
        q, k, v = (_product(w[f"{name}.weight"], embed) for name in ("query", "key", "value"))  # (M, E, 2)
        q_b, v_b = q[:, :, 1] + w["query.bias"], v[:, :, 1] + w["value.bias"]
        k_a = k[:, :, 0] / math.sqrt(self.head_dim)
        alpha, beta = ((q * k_a).view(members, *heads).sum(2) for q in (q[:, :, 0], q_b))  # (M, H)
        t = x.unsqueeze(2) * alpha[:, None, :, None] + beta[:, None, :, None]  # (M, B, H, F)
        mean = _tilted_mean(t, powers)  # (M, B, H, F)

        own_head = torch.eye(self.num_heads, dtype=x.dtype, device=x.device).repeat_interleave(self.head_dim, 0)
        values = torch.cat([v[:, :, :1] * own_head, v_b.unsqueeze(2)], dim=2)  # (M, E, H + 1)
        token = _product(w["out.weight"], values)  # a token's output: H parts times the heads' means, and the rest
        token = torch.cat([token[:, :, :-1], token[:, :, -1:] + w["out.bias"].unsqueeze(2)], dim=2)
        columns = hidden.reshape(members, -1, self.num_heads * self.head_dim)  # (M, D * F, E)
        folded = _times_transposed(token.transpose(1, 2), columns)  # (M, H + 1, D * F)
        folded = folded.view(members, self.num_heads + 1, -1, length)
        rest = folded[:, -1].sum(2)  # (M, D)
        weights = folded[:, :-1].transpose(1, 2).flatten(2)  # (M, D, H * F)
        return _times_transposed(mean.flatten(2), weights) + rest.unsqueeze(1)


class _TiltedMean(torch.autograd.Function):
    """``m(t) = Σ_j x_j exp(t x_j) / Σ_j exp(t x_j)`` for each t; its derivative is the tilted variance.

    Works through blocks that stay in a core's cache; no exponential is kept for the backward pass. The inputs get no
    gradient.

    Shape:
        t: (M, B, H, F), powers: (M, B, 4, F) of x; output as t.
    """

    @staticmethod
    def forward(ctx: Any, t: Tensor, powers: Tensor) -> Tensor:
        rows = powers.flatten(0, 1)  # (M * B, 4, F)
        t_log2 = t * math.log2(math.e)  # exp2 is three times as fast as exp
        ends = powers[:, :, 1].aminmax(dim=-1, keepdim=True)
        least = torch.minimum(*(t_log2 * -end.unsqueeze(3) for end in ends))  # minus the greatest t x_j
        columns = rows[:, 1].unsqueeze(2)  # (M * B, F, 1)
        exponents = (each.flatten(2).flatten(0, 1).unsqueeze(1) for each in (least, t_log2))  # (M * B, 1, H * F)
        sums = torch.empty(len(rows), rows.shape[1], t.shape[2] * t.shape[3], dtype=t.dtype, device=t.device)
        each_row = columns.shape[1] * sums.shape[2]
        block = max(1, _BLOCK["cpu" if t.device.type == "cpu" else "other"] // each_row)
        spare = _VECTORS * math.lcm(*range(1, torch.get_num_threads() + 1))
        work = torch.empty(min(block, len(rows)) * each_row + spare, dtype=t.dtype, device=t.device)
        blocks = (torch.split(each, block) for each in (*exponents, columns, rows, sums))
        for offset, slope, column, row, part in zip(*blocks, strict=True):
            size = len(part) * each_row
            tilt = work[:size].view(len(part), columns.shape[1], -1)  # (block, F, H * F)
            torch.addcmul(offset, column, slope, out=tilt)
            work[: size + -size % spare].exp2_()  # exp(t x_j), the greatest of them 1
            torch.bmm(row, tilt, out=part)
        total, first, second, _ = sums.unbind(1)
        mean = first / total
        ctx.save_for_backward((second / total - mean * mean).view_as(t))
        return mean.view_as(t)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        (variance,) = ctx.saved_tensors
        return grads[0] * variance, None


_tilted_mean: Callable[[Tensor, Tensor], Tensor] = _TiltedMean.apply
