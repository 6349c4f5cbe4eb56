"""The task: a network, its loss and its optimizer. It knows no workbook; the loop around it is `hemexp.training`."""

from typing import Any

import numpy as np
import torch
from lightning.pytorch import LightningModule
from torch import Tensor
from torch.nn import functional as F
from torchmetrics import MetricCollection
from torchmetrics.classification import BinaryAccuracy, BinaryAUROC

from hemexp.nets import build_net
from hemexp.nets.inputs import InputLayer

Batch = tuple[Tensor, Tensor]  # raw inputs (B, F) and labels (B,)


class ExpansionTask(LightningModule):
    """Learns expansion from raw inputs by cross entropy and Adam (paper, section 3.2).

    Args:
        model: name, init and sizes of the network, as in ``conf/model``.
        optimizer: ``lr`` and ``weight_decay``.
        features: names of the inputs, in order.
        label: the definition that the training labels follow; kept for whoever predicts with the checkpoint.
        seed: of dropout.

    Shape:
        Input (B, F) raw, NaN marks a gap; output (B, 2) logits.
    """

    def __init__(
        self,
        model: dict[str, Any],
        optimizer: dict[str, float],
        features: list[str],
        label: dict[str, Any],
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.save_hyperparameters(logger=False)
        self.inputs = InputLayer(len(features))
        self.net = build_net(len(features), **model)
        self.val_scores = MetricCollection({"accuracy": BinaryAccuracy(), "auroc": BinaryAUROC()}, prefix="val/")
        self.example_input_array = torch.zeros(1, len(features))

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits of raw inputs."""
        logits: Tensor = self.net(self.inputs(x))
        return logits

    def on_train_epoch_start(self) -> None:
        """Seed dropout by epoch, so that a resumed run draws what an uninterrupted one draws."""
        entropy = np.random.SeedSequence([self.hparams["seed"], self.current_epoch])
        torch.manual_seed(int(entropy.generate_state(1, np.uint64)[0] >> 1))

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Return the batch's mean loss."""
        x, y = batch
        logits = self(x)
        loss = F.cross_entropy(logits, y)
        accuracy = (logits.detach().argmax(dim=1) == y).float().mean()
        self._log({"train/loss": loss, "train/accuracy": accuracy}, len(y))
        return loss

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Log loss, accuracy and AUROC of the validation part."""
        x, y = batch
        logits = self(x)
        self.val_scores.update(F.softmax(logits, dim=1)[:, 1], y)
        self._log({"val/loss": F.cross_entropy(logits, y)}, len(y))
        self._log(self.val_scores, len(y))

    def _log(self, scores: dict[str, Tensor] | MetricCollection, batch_size: int) -> None:
        self.log_dict(scores, on_step=False, on_epoch=True, batch_size=batch_size, logger=False)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Return Adam; its `weight_decay` is the L2 penalty of the original."""
        return torch.optim.Adam(self.net.parameters(), **self.hparams["optimizer"])


def predict_probabilities(task: ExpansionTask, raw: np.ndarray) -> np.ndarray:
    """Return the probability of expansion for each patient; nobody's depends on who else is asked about.

    Shape:
        raw: (N, F), NaN marks a gap. Output: (N,), float64.
    """
    task.eval()
    with torch.inference_mode():
        inputs = torch.tensor(raw, dtype=torch.float32, device=task.device)  # (N, F)
        batches = (inputs[start : start + 1024] for start in range(0, len(inputs), 1024))
        chunks = [F.softmax(task(batch).double(), dim=1)[:, 1].cpu() for batch in batches]
    return torch.cat(chunks).numpy() if chunks else np.zeros(0)
