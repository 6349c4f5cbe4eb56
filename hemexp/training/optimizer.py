"""Optimizers: those of PyTorch for one network, and the same for many networks in the rows of one tensor."""

import math
from abc import abstractmethod
from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.optim import adam, sgd

from hemexp.config import AdamWConfig, CustomOptimizerConfig, OptimizerConfig, SGDConfig
from hemexp.training.device import is_cpu

_BETAS, _EPS = (0.9, 0.999), 1e-8  # the defaults of torch.optim.Adam
_TINY = 1e-6  # added to the norm by torch.nn.utils.clip_grad_norm_
_fused_adam: Any = adam.adam
_fused_sgd: Any = sgd.sgd


def build_optimizer(config: OptimizerConfig, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
    """Return PyTorch's optimizer with the settings of ``optimizer=``."""
    lr, decay = config.lr, config.weight_decay
    if isinstance(config, CustomOptimizerConfig):
        optimizer: torch.optim.Optimizer = config.build(parameters)
        return optimizer
    if isinstance(config, SGDConfig):
        return torch.optim.SGD(parameters, lr, config.momentum, weight_decay=decay, nesterov=config.nesterov)
    kind = torch.optim.AdamW if isinstance(config, AdamWConfig) else torch.optim.Adam
    return kind(parameters, lr, weight_decay=decay)


class RowOptimizer(torch.optim.Optimizer):
    """An optimizer for M members; none of its operations mixes members.

    On a CPU, one fused call of PyTorch for the members with equal settings keeps the weights in the cache. On a GPU,
    all members share ten calls, with columns of settings in 64 bits.

    Args:
        weights: (M, P); row m is member m. Members with equal settings are adjacent.
        configs: the settings of each member, all of the same optimizer.
        running: (M,) whether the member still trains; the weights of the others stay as they are.
    """

    SETTINGS: ClassVar[tuple[str, ...]] = ("lr", "weight_decay")  # the rate is the first
    AVERAGES: ClassVar[tuple[str, ...]] = ()  # of gradients, (M, P)

    def __init__(self, weights: nn.Parameter, configs: Sequence[OptimizerConfig], running: Tensor) -> None:
        super().__init__([weights], {})
        self._weights, self._running = weights, running
        self._settings = [tuple(float(getattr(config, name)) for name in self.SETTINGS) for config in configs]
        columns = torch.tensor(self._settings, dtype=torch.float64, device=weights.device)
        self._columns = columns.T.unsqueeze(2).contiguous()  # (settings, M, 1)
        averages = {name: torch.zeros_like(weights, requires_grad=False) for name in self.AVERAGES}
        self.state[weights] = {"step": 0, **averages}

    def set_rates(self, rates: Tensor) -> None:
        """Set the learning rate of each member, (M,), in 64 bits."""
        if is_cpu(rates):
            old = zip(rates.tolist(), self._settings, strict=True)
            self._settings = [(rate, *settings[1:]) for rate, settings in old]
        else:
            self._columns[0, :, 0] = rates

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        """Change the weights of the members that still train, by their gradients; `closure` is not used."""
        state, gradient = self.state[self._weights], self._weights.grad
        assert gradient is not None
        state["step"] += 1
        tensors = (self._weights, gradient, *(state[name] for name in self.AVERAGES))
        if not is_cpu(self._weights):
            self._step_columns(state["step"], *tensors)
            return
        start = 0
        for (settings, running), same in groupby(zip(self._settings, self._running.tolist(), strict=True)):
            rows = slice(start, start + len(list(same)))
            start = rows.stop
            if running:
                self._step_fused(state["step"], settings, *([tensor[rows]] for tensor in tensors))

    @abstractmethod
    def _step_fused(self, step: int, settings: tuple[float, ...], *rows: list[Tensor]) -> None:
        """Change the weights of members with equal settings by one call of PyTorch."""

    @abstractmethod
    def _step_columns(self, step: int, *tensors: Tensor) -> None:
        """Change the weights of all members that still train."""


class RowAdam(RowOptimizer):
    """Adam (Kingma and Ba 2015, algorithm 1); weight decay is an L2 penalty, as in torch.optim.Adam."""

    AVERAGES = ("exp_avg", "exp_avg_sq")
    DECOUPLED: ClassVar[bool] = False

    def _step_fused(self, step: int, settings: tuple[float, ...], *rows: list[Tensor]) -> None:
        _fused_adam(
            *rows, [], [torch.tensor(step - 1.0)], fused=True, amsgrad=False, maximize=False, beta1=_BETAS[0],
            beta2=_BETAS[1], eps=_EPS, lr=settings[0], weight_decay=settings[1],
            decoupled_weight_decay=self.DECOUPLED,
        )  # fmt: skip

    def _step_columns(self, step: int, *tensors: Tensor) -> None:
        weights, gradient, mean, square = tensors
        dtype, corrections = weights.dtype, [1 - beta**step for beta in _BETAS]
        lr, weight_decay = self._columns
        if self.DECOUPLED:
            weights.mul_((1 - lr * weight_decay * self._running.unsqueeze(1)).to(dtype))
        else:
            gradient = torch.addcmul(gradient, weights, weight_decay.to(dtype))
        mean.lerp_(gradient, 1 - _BETAS[0])
        square.mul_(_BETAS[1]).addcmul_(gradient, gradient, value=1 - _BETAS[1])
        scale = (lr / corrections[0] * self._running.unsqueeze(1)).to(dtype)  # (M, 1)
        weights.addcdiv_(mean * scale, (square.sqrt() / math.sqrt(corrections[1])).add_(_EPS), value=-1)


class RowAdamW(RowAdam):
    """Adam with decoupled weight decay (Loshchilov and Hutter 2019), as torch.optim.AdamW."""

    DECOUPLED = True


class RowSGD(RowOptimizer):
    """Stochastic gradient descent with momentum, as torch.optim.SGD. The members share `nesterov`."""

    SETTINGS = ("lr", "weight_decay", "momentum")
    AVERAGES = ("momentum_buffer",)  # zeros at first: the first step then is the gradient, as in PyTorch

    def __init__(self, weights: nn.Parameter, configs: Sequence[SGDConfig], running: Tensor) -> None:
        super().__init__(weights, configs, running)
        self._nesterov = configs[0].nesterov

    def _step_fused(self, step: int, settings: tuple[float, ...], *rows: list[Tensor]) -> None:
        lr, weight_decay, momentum = settings
        _fused_sgd(
            *rows, fused=True, lr=lr, weight_decay=weight_decay, momentum=momentum, dampening=0,
            nesterov=self._nesterov, maximize=False,
        )  # fmt: skip

    def _step_columns(self, step: int, *tensors: Tensor) -> None:
        weights, gradient, buffer = tensors
        lr, (weight_decay, momentum) = self._columns[0], self._columns[1:].to(weights.dtype)
        gradient = torch.addcmul(gradient, weights, weight_decay)
        buffer.mul_(momentum).add_(gradient)
        change = torch.addcmul(gradient, buffer, momentum) if self._nesterov else buffer
        weights.addcmul_(change, (lr * self._running.unsqueeze(1)).to(weights.dtype), value=-1)


def build_row_optimizer(weights: nn.Parameter, configs: Sequence[Any], running: Tensor) -> RowOptimizer:
    """Return the optimizer of M members; see `RowOptimizer`."""
    kinds: dict[str, type[RowOptimizer]] = {"adam": RowAdam, "adamw": RowAdamW, "sgd": RowSGD}
    return kinds[configs[0].name](weights, configs, running)


def clip_rows(gradient: Tensor, largest: float) -> None:
    """Scale the gradient of each member to a norm of at most `largest`, as torch.nn.utils.clip_grad_norm_ does.

    Shape:
        gradient: (M, P), changed in place.
    """
    norms = torch.linalg.vector_norm(gradient, dim=1, keepdim=True)
    gradient.mul_((largest / (norms + _TINY)).clamp(max=1))
