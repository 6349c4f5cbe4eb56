"""Networks, callbacks and classifiers of a user, for tests; this module is a plugin."""

import random
from dataclasses import dataclass

import numpy as np
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


class Noisy(Linear):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        noise = np.random.random() + random.random() if self.training else 0.0  # noqa: NPY002 - as users' code may
        return super().forward(x) + noise


class Frozen(Linear):
    def __init__(self, num_features: int) -> None:
        super().__init__(num_features)
        self.requires_grad_(False)


class Sigmoid(Linear):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x).sigmoid()


class Softmax(nn.Module):
    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(num_features, 2), nn.Softmax(dim=1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layers(x)


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


class Leaving(Linear):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        raise SystemExit(0)


class LeavingLater(Linear):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if torch.is_grad_enabled() and x.requires_grad is False and len(x) > 4:
            raise SystemExit(0)
        return self.layer(x)


class Keeping(Callback):
    """Keeps what it saw in its state: arrays, a set of epochs or an own object."""

    def __init__(self, kind: str) -> None:
        self.kind, self.num_epochs, self.seen = kind, 0, []

    def on_train_epoch_end(self, trainer, pl_module) -> None:
        self.num_epochs += 1
        self.seen.append(
            {"array": np.zeros(2), "object": self, "function": lambda: 0, "tensor": torch.zeros(2)}[self.kind]
        )

    def state_dict(self) -> dict[str, object]:
        return {"seen": self.seen}


class Adding(Callback):
    """Adds an entry to the checkpoint."""

    def on_save_checkpoint(self, trainer, pl_module, checkpoint) -> None:
        checkpoint["mine"] = {"sizes": np.float64(1.0)}


class Broken(Callback):
    def on_train_batch_end(self, *_: object) -> None:
        raise KeyError("ink")


class Logging(Callback):
    """Logs by the module and by each logger."""

    seen: list[object]

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx) -> None:
        pl_module.log("number", float(batch_idx), on_step=True, on_epoch=False)
        pl_module.log("half", trainer.current_epoch / 2, on_step=False, on_epoch=True)

    def on_train_end(self, trainer, pl_module) -> None:
        Logging.seen = [logger.experiment for logger in trainer.loggers]


class TunedEntropy(nn.Module):
    """Cross entropy with a temperature that is trained, too."""

    def __init__(self, scale: float = 1.0) -> None:
        super().__init__()
        self.temperature = nn.Parameter(torch.tensor(scale))

    def forward(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        return nn.functional.cross_entropy(logits * self.temperature, labels, reduction="none")


def late(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    if len(labels) > 4:
        raise IndexError("more than four")
    return cross_entropy(logits, labels)


def batch_length(batch: tuple[torch.Tensor, torch.Tensor]) -> int:
    return len(batch[1])
