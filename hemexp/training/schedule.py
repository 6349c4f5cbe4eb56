"""Learning rates by epoch: PyTorch's schedulers for one network, and the same rates for many networks."""

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import lr_scheduler

from hemexp.config import (
    CosineConfig,
    CustomSchedulerConfig,
    PlateauConfig,
    SchedulerConfig,
    StepConfig,
    WarmupCosineConfig,
)
from hemexp.training.member import Member
from hemexp.types import Array


def build_scheduler(
    config: SchedulerConfig, optimizer: torch.optim.Optimizer, max_epochs: int
) -> lr_scheduler.LRScheduler | lr_scheduler.ReduceLROnPlateau | None:
    """Return PyTorch's scheduler with the settings of ``scheduler=``, to step once an epoch; None for a constant rate.

    Args:
        config: its settings.
        optimizer: of `hemexp.training.optimizer.build_optimizer`.
        max_epochs: ``trainer.max_epochs``.
    """
    if isinstance(config, CustomSchedulerConfig):
        scheduler: lr_scheduler.LRScheduler = config.call(optimizer)
        return scheduler
    if isinstance(config, StepConfig):
        return lr_scheduler.StepLR(optimizer, config.every, config.factor)
    if isinstance(config, PlateauConfig):
        return lr_scheduler.ReduceLROnPlateau(
            optimizer, factor=config.factor, patience=config.patience, threshold=config.threshold,
            min_lr=config.min_lr, eps=0,
        )  # fmt: skip
    if not isinstance(config, CosineConfig | WarmupCosineConfig):
        return None
    rise = _count_rising(config, max_epochs)
    if rise == 0:
        return lr_scheduler.CosineAnnealingLR(optimizer, max_epochs, config.min_lr)
    parts: list[lr_scheduler.LRScheduler] = [
        lr_scheduler.LinearLR(optimizer, 1 / (rise + 1), total_iters=rise),
        lr_scheduler.CosineAnnealingLR(optimizer, max_epochs - rise, config.min_lr),
    ]
    return lr_scheduler.SequentialLR(optimizer, parts, [rise])


def plan_rates(config: SchedulerConfig, lr: float, max_epochs: int, epochs: Array) -> Array:
    """Return the learning rates that a schedule knows beforehand; for ``scheduler=plateau``, the first one.

    Args:
        config: of the schedule.
        lr: ``optimizer.lr``.
        max_epochs: ``trainer.max_epochs``.
        epochs: (E,) from 0.

    Shape:
        Output: (E,).
    """
    if isinstance(config, StepConfig):
        return np.asarray(lr * config.factor ** (epochs // config.every))
    if isinstance(config, CosineConfig | WarmupCosineConfig):
        rise = _count_rising(config, max_epochs)
        cosine = np.cos(np.pi * (epochs - rise) / (max_epochs - rise))
        falling = config.min_lr + (lr - config.min_lr) * (1 + cosine) / 2
        return np.where(epochs < rise, lr * (epochs + 1) / (rise + 1), falling)
    return np.full(len(epochs), lr)


def _count_rising(config: CosineConfig | WarmupCosineConfig, max_epochs: int) -> int:
    """Return the number of epochs in which the rate rises; at least one epoch remains for the cosine."""
    if isinstance(config, CosineConfig):
        return 0
    return min(max_epochs - 1, max(1, round(config.warmup * max_epochs)))


class Schedules(nn.Module):
    """The learning rates of M members, in 64 bits; none of the operations mixes members.

    Args:
        members: in the order of the rows.
        max_epochs: ``trainer.max_epochs``.
    """

    rules: Tensor  # (M, 4) of scheduler=plateau: factor, patience, threshold, min_lr
    state: Tensor  # (M, 3) of scheduler=plateau: rate, lowest loss, epochs since a lower loss
    follows_loss: Tensor  # (M,) whether the member has scheduler=plateau

    def __init__(self, members: Sequence[Member], max_epochs: int) -> None:
        super().__init__()
        self._schedules = [(member.scheduler, member.optimizer.lr) for member in members]
        self._max_epochs = max_epochs
        rules = [
            (config.factor, config.patience, config.threshold, config.min_lr)
            if isinstance(config, PlateauConfig)
            else (1.0, math.inf, 0.0, 0.0)
            for config, _ in self._schedules
        ]
        state = [(lr, math.inf, 0.0) for _, lr in self._schedules]
        self.register_buffer("rules", torch.tensor(rules, dtype=torch.float64), persistent=False)
        self.register_buffer("state", torch.tensor(state, dtype=torch.float64))
        self.register_buffer("follows_loss", self.rules[:, 1].isfinite(), persistent=False)

    def plan(self, epochs: range, members: Sequence[int]) -> Tensor:
        """Return the rates that do not depend on the loss, (E, M), of the members in the rows."""
        numbers, planned = np.arange(epochs.start, epochs.stop), dict[str, Array]()
        for schedule in self._schedules:
            key = repr(schedule)
            if key not in planned:
                planned[key] = plan_rates(*schedule, self._max_epochs, numbers)
        columns = [planned[repr(self._schedules[member])] for member in members]
        return torch.from_numpy(np.stack(columns, axis=1)).to(self.state.device)

    def get_rates(self, planned: Tensor) -> Tensor:
        """Return the rates of an epoch, (M,), from a row of `plan`."""
        return torch.where(self.follows_loss, self.state[:, 0], planned)

    def follow(self, loss: Tensor) -> None:
        """Lower the rates of members whose loss did not fall, as torch.optim.lr_scheduler.ReduceLROnPlateau does.

        Shape:
            loss: (M,), the monitored loss of the epoch.
        """
        rate, lowest, count = self.state.unbind(1)
        factor, patience, threshold, min_lr = self.rules.unbind(1)
        loss = loss.double()
        lower = loss < lowest * (1 - threshold)
        count = (count + 1).masked_fill(lower, 0)
        change = count > patience
        rate = torch.where(change, torch.maximum(rate * factor, min_lr), rate)
        lowest = torch.where(lower, loss, lowest)
        self.state.copy_(torch.stack([rate, lowest, count.masked_fill(change, 0)], dim=1))
