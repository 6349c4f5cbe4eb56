"""Functions with derivatives on the tensors of M members at once.

A member's result is the same bits for every M, and fewer copies are made than with PyTorch's own functions.
"""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from hemexp.training.device import is_cpu

_VECTOR = 32  # elements that PyTorch computes together; for a remainder exp2 has other last bits
_CPU_BLOCK, _GPU_BLOCK = 500_000, 200_000_000  # elements of the tilted mean's work space: a CPU core's cache


def batch_product(a: Tensor, b: Tensor) -> Tensor:
    """Return the matrix product of each member; the bits do not depend on the number of members.

    BLAS uses other routines for a single product with a vector, so vectors are multiplied and summed here.

    Shape:
        a: (M, N, K), b: (M, K, P). Output: (M, N, P).
    """
    if _has_vector(a, b):
        return (a.unsqueeze(3) * b.unsqueeze(1)).sum(2)
    return torch.bmm(a, b)


def _has_vector(a: Tensor, b: Tensor) -> bool:
    return 1 in (*a.shape[1:], b.shape[2])


def _add_product(total: Tensor, a: Tensor, b: Tensor) -> None:
    """Add the matrix product of each member to `total` in place, without a copy if BLAS computes it."""
    if _has_vector(a, b):
        total += batch_product(a, b)
    else:
        total.baddbmm_(a, b)


class _TimesTransposed(torch.autograd.Function):
    """``bmm(a, b.transpose(1, 2))``. The gradient of b has the memory layout of b, so it need not be transposed.

    Shape:
        a: (M, N, K), b: (M, P, K). Output: (M, N, P).
    """

    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor) -> Tensor:
        ctx.save_for_backward(a, b)
        return batch_product(a, b.transpose(1, 2))

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, Tensor | None]:
        a, b = ctx.saved_tensors
        for_a, for_b = ctx.needs_input_grad
        return (
            batch_product(grads[0], b) if for_a else None,
            batch_product(grads[0].transpose(1, 2), a) if for_b else None,
        )


times_transposed: Callable[[Tensor, Tensor], Tensor] = _TimesTransposed.apply


class _PoolPairs(torch.autograd.Function):
    """``relu(max(x[:, :, 0], x[:, :, 1]))``. If both are equal, the first gets the gradient, as in MaxPool1d."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        first, second = x.unbind(2)
        out = torch.maximum(first, second).clamp_min_(0)
        ctx.save_for_backward(out, second - first)
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        out, difference = ctx.saved_tensors
        passed: Tensor = torch.ops.aten.threshold_backward(grads[0], out, 0)  # the gradient through ReLU
        grad = passed.new_empty(*passed.shape[:2], 2, passed.shape[2])
        torch.ops.aten.threshold_backward.grad_input(passed, difference, 0, grad_input=grad[:, :, 1])
        torch.sub(passed, grad[:, :, 1], out=grad[:, :, 0])
        return grad


_pool_pairs: Callable[[Tensor], Tensor] = _PoolPairs.apply


def max_pool_relu(x: Tensor) -> Tensor:
    """Return ReLU of the larger of each two positions: (M, L, N) to (M, ceil(L / 2), N)."""
    if x.shape[1] % 2:
        x = torch.cat([x, x[:, -1:]], dim=1)  # an odd last position is kept
    return _pool_pairs(x.view(len(x), -1, 2, x.shape[2]))


class _ShiftedProducts(torch.autograd.Function):
    """A convolution as one matrix product for each position in the kernel, without copying windows.

    Shape:
        x: (M, L + K - 1, B, C1), kernel: (M, K, C1, C2), bias: (M, C2). Output: (M, L, B, C2).
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
            grad_kernel[:, k] = batch_product(x[:, shifted].flatten(1, 2).transpose(1, 2), grad)
        return grad_x, grad_kernel, grad.sum(1)


shifted_products: Callable[[Tensor, Tensor, Tensor], Tensor] = _ShiftedProducts.apply


class _Unpack(torch.autograd.Function):
    """Split rows (M, P) into tensors (M, *shape) that share their memory. The gradient is one tensor of rows."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, spans: list[slice], shapes: list[torch.Size]) -> tuple[Tensor, ...]:
        ctx.size, ctx.spans = rows.shape, spans
        ctx.set_materialize_grads(False)
        return tuple(rows[:, span].view(-1, *shape) for span, shape in zip(spans, shapes, strict=True))

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor, None, None]:
        (members, size), known = ctx.size, next(grad for grad in grads if grad is not None)
        ends = [0, *(span.stop for span in ctx.spans)]
        gaps = [span.start - end for span, end in zip([*ctx.spans, slice(size, size)], ends, strict=True)]
        missing = [span.stop - span.start for span, grad in zip(ctx.spans, grads, strict=True) if grad is None]
        zeros = known.new_zeros(members, max(*gaps, *missing))
        pieces = []
        for gap, span, grad in zip(gaps, ctx.spans, grads, strict=False):
            pieces += [zeros[:, :gap], zeros[:, : span.stop - span.start] if grad is None else grad.flatten(1)]
        return torch.cat([*pieces, zeros[:, : gaps[-1]]], dim=1), None, None


unpack: Callable[[Tensor, list[slice], list[torch.Size]], tuple[Tensor, ...]] = _Unpack.apply


class _TiltedMean(torch.autograd.Function):
    """``m(t) = Σ_j x_j exp(t x_j) / Σ_j exp(t x_j)`` for each t. Its derivative is the tilted variance.

    The exponentials are computed in blocks that fit a core's cache, and are not stored for the backward pass. The
    inputs get no gradient. The derivation is in docs/attention.md.

    Shape:
        t: (M, B, H, F), powers: (M, B, 4, F) of x. Output: (M, B, H, F).
    """

    @staticmethod
    def forward(ctx: Any, t: Tensor, powers: Tensor) -> Tensor:
        rows = powers.flatten(0, 1)  # (M * B, 4, F)
        t_log2 = t * math.log2(math.e)  # exp2 takes a third of the time of exp
        extremes = powers[:, :, 1].aminmax(dim=-1, keepdim=True)
        offsets = torch.minimum(*(t_log2 * -extreme.unsqueeze(3) for extreme in extremes))  # -max of t x_j
        columns = rows[:, 1].unsqueeze(2)  # (M * B, F, 1)
        exponents = (values.flatten(2).flatten(0, 1).unsqueeze(1) for values in (offsets, t_log2))  # (M * B, 1, H * F)
        sums = torch.empty(len(rows), rows.shape[1], t.shape[2] * t.shape[3], dtype=t.dtype, device=t.device)
        row_size = columns.shape[1] * sums.shape[2]
        block = max(1, (_CPU_BLOCK if is_cpu(t) else _GPU_BLOCK) // row_size)
        padding = _VECTOR * math.lcm(*range(1, torch.get_num_threads() + 1))
        work = torch.empty(min(block, len(rows)) * row_size + padding, dtype=t.dtype, device=t.device)
        blocks = (torch.split(tensor, block) for tensor in (*exponents, columns, rows, sums))
        for offset, slope, column, row, part in zip(*blocks, strict=True):
            size = len(part) * row_size
            tilt = work[:size].view(len(part), columns.shape[1], -1)  # (block, F, H * F)
            torch.addcmul(offset, column, slope, out=tilt)
            work[: size + -size % padding].exp2_()  # exp(t x_j), scaled so that the largest is 1
            torch.bmm(row, tilt, out=part)
        total, first, second, _ = sums.unbind(1)
        mean = first / total
        ctx.save_for_backward((second / total - mean * mean).view_as(t))
        return mean.view_as(t)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        (variance,) = ctx.saved_tensors
        return grads[0] * variance, None


tilted_mean: Callable[[Tensor, Tensor], Tensor] = _TiltedMean.apply
