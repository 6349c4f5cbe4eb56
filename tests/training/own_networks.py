"""Networks, callbacks and classifiers of a user, for tests; this module is a plugin."""

from dataclasses import dataclass

import torch
from lightning.pytorch import Callback, LightningModule
from sklearn.linear_model import LogisticRegression
from torch import nn

import hemexp


@hemexp.register_network("own_norm")
@dataclass
class Norm:
    """Batch norm and dropout, with one logit."""

    hidden: int = 8
    dropout: float = 0.2

    def build(self, num_features: int) -> nn.Module:
        middle = nn.BatchNorm1d(self.hidden), nn.ReLU(), nn.Dropout(self.dropout)
        return nn.Sequential(nn.Linear(num_features, self.hidden), *middle, nn.Linear(self.hidden, 1))


@hemexp.register_estimator("own_ridge")
def own_ridge(num_features: int) -> LogisticRegression:
    return LogisticRegression(C=0.1)


class Linear(nn.Module):
    def __init__(self, num_features: int, outputs: int = 1) -> None:
        super().__init__()
        self.layer = nn.Linear(num_features, outputs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(x)


class Squeezed(Linear):
    """Returns (B,)."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(x)[:, 0]


class Mixing(Linear):
    """Centers the inputs over the batch."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(x - x.mean(0))


class Failing(Linear):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        raise IndexError("the shelf is empty")


class FailingLater(Linear):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.training:
            raise IndexError("the shelf is empty")
        return self.layer(x)


class Task(LightningModule):
    """A task of another project: its training_step would not be called."""

    def __init__(self, num_features: int) -> None:
        super().__init__()

    def training_step(self, batch: object) -> None: ...


class StopAfter(Callback):
    """Stops after some epochs, and keeps what it saw."""

    seen: list[tuple[int, int]]

    def __init__(self, epochs: int = 3) -> None:
        self.epochs = epochs

    def on_train_epoch_end(self, trainer, pl_module) -> None:
        assert "train/loss" in trainer.callback_metrics
        StopAfter.seen = [*getattr(StopAfter, "seen", []), (trainer.current_epoch, trainer.global_step)]
        trainer.should_stop = trainer.current_epoch + 1 >= self.epochs


class Plain(Linear):
    """Its second layer is not a part of the network."""

    def __init__(self, num_features: int) -> None:
        super().__init__(num_features, 4)
        self.hidden = [nn.Linear(4, 1)]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.hidden[0](self.layer(x))


class Masked(Linear):
    def __init__(self, num_features: int) -> None:
        super().__init__(num_features)
        self.register_buffer("mask", torch.tensor([-torch.inf]))


def wrong_shape(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    return logits[:3, 0]


def cross_entropy(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    return nn.functional.cross_entropy(logits, labels, reduction="none")


def build(num_features: int) -> str:
    return "not a network"
