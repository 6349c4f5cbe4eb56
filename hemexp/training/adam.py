"""Adam for the rows of one tensor, each with its own learning rate and L2 penalty."""

import math
from collections.abc import Sequence
from functools import partial
from itertools import groupby
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import adam

from hemexp.training.device import is_cpu

_BETAS, _EPS = (0.9, 0.999), 1e-8  # the defaults of torch.optim.Adam
_fused_adam: Any = partial(
    adam.adam, fused=True, amsgrad=False, maximize=False, beta1=_BETAS[0], beta2=_BETAS[1], eps=_EPS
)


class RowAdam(torch.optim.Optimizer):
    """Adam (Kingma and Ba 2015, algorithm 1) for M members; `weight_decay` is an L2 penalty as in torch.optim.Adam.

    On a CPU, one fused call of PyTorch for the members with equal settings keeps the weights in the cache. On a GPU,
    all members share ten calls, with a column of rates in 64 bits.

    Args:
        weights: (M, P); row m is member m. Members with equal settings are adjacent.
        rates: learning rate and weight decay of each member.
        running: (M,) whether the member still trains; the weights of the others stay as they are.
    """

    def __init__(self, weights: nn.Parameter, rates: Sequence[tuple[float, float]], running: Tensor) -> None:
        super().__init__([weights], {})
        self._weights, self._rates, self._running = weights, list(rates), running
        self._columns = torch.tensor(rates, dtype=torch.float64, device=weights.device).T.unsqueeze(2)  # (2, M, 1)
        averages = {name: torch.zeros_like(weights, requires_grad=False) for name in ("exp_avg", "exp_avg_sq")}
        self.state[weights] = {"step": 0, **averages}

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        """Change the weights of the members that still train, by their gradients; `closure` is not used."""
        state, gradient = self.state[self._weights], self._weights.grad
        assert gradient is not None
        state["step"] += 1
        if is_cpu(self._weights):
            self._step_fused(gradient, state)
        else:
            self._step_columns(gradient, state)

    def _step_fused(self, gradient: Tensor, state: dict[str, Any]) -> None:
        tensors = (self._weights, gradient, state["exp_avg"], state["exp_avg_sq"])
        start = 0
        for (rates, running), same in groupby(zip(self._rates, self._running.tolist(), strict=True)):
            rows = slice(start, start + len(list(same)))
            start = rows.stop
            if running:
                parts, earlier_steps = ([tensor[rows]] for tensor in tensors), torch.tensor(state["step"] - 1.0)
                _fused_adam(*parts, [], [earlier_steps], lr=rates[0], weight_decay=rates[1])

    def _step_columns(self, gradient: Tensor, state: dict[str, Any]) -> None:
        weights, mean, square, dtype = self._weights, state["exp_avg"], state["exp_avg_sq"], self._weights.dtype
        corrections = [1 - beta ** state["step"] for beta in _BETAS]
        lr, weight_decay = self._columns
        gradient = torch.addcmul(gradient, weights, weight_decay.to(dtype))
        mean.lerp_(gradient, 1 - _BETAS[0])
        square.mul_(_BETAS[1]).addcmul_(gradient, gradient, value=1 - _BETAS[1])
        scale = (lr / corrections[0] * self._running.unsqueeze(1)).to(dtype)  # (M, 1)
        weights.addcdiv_(mean * scale, (square.sqrt() / math.sqrt(corrections[1])).add_(_EPS), value=-1)
