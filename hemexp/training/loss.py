"""The loss of every member of a group, and their AUROC in the validation part."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hemexp.config import CustomLossConfig, FocalConfig, LabelSmoothingConfig, LossConfig


def patient_losses(config: LossConfig, logits: Tensor, labels: Tensor, class_weights: Tensor | None = None) -> Tensor:
    """Return the loss of each patient; for ``loss=weighted``, times the weight of the patient's class.

    The focal loss (Lin and others 2017, equation 4) is ``(1 - p) ** gamma`` times the cross entropy, with the
    probability p of the patient's own class. There are two classes, so ``log(1 - p)`` is minus the cross entropy of the
    other class.

    Args:
        config: of the loss.
        logits: of no expansion and of expansion.
        labels: 1 or 0.
        class_weights: for ``loss=weighted``, see `get_class_weights`.

    Shape:
        logits: (..., 2); labels: (...); class_weights: (2,), or (M, 2) with labels (M, B). Output: (...).
    """
    flat, classes = logits.flatten(0, -2), labels.flatten()
    smoothing = config.epsilon if isinstance(config, LabelSmoothingConfig) else 0.0
    losses = F.cross_entropy(flat, classes, reduction="none", label_smoothing=smoothing)
    if isinstance(config, FocalConfig):
        losses = losses * torch.exp(-config.gamma * F.cross_entropy(flat, 1 - classes, reduction="none"))
    losses = losses.view_as(labels)
    return losses * get_patient_weights(labels, class_weights) if config.name == "weighted" else losses


def mean_loss(
    config: LossConfig,
    logits: Tensor,
    labels: Tensor,
    class_weights: Tensor | None = None,
    real: Tensor | float = 1.0,
) -> Tensor:
    """Return the mean of `patient_losses` over the last dimension, as torch.nn.CrossEntropyLoss(weight=...) does.

    Args:
        config: of the loss.
        logits: of no expansion and of expansion.
        labels: 1 or 0.
        class_weights: for ``loss=weighted``; the mean is then weighted, too.
        real: False for padding.

    Shape:
        logits: (..., B, 2); labels, real: (..., B); class_weights: (2,) or (..., 2). Output: (...).
    """
    losses = patient_losses(config, logits, labels, class_weights)
    weights = get_patient_weights(labels, class_weights) if config.name == "weighted" else torch.ones_like(losses)
    return (losses * real).sum(-1) / (weights * real).sum(-1)


class CustomLoss(nn.Module):
    """The mean of a loss of another package; a network of its own is a part of the module."""

    def __init__(self, config: CustomLossConfig) -> None:
        super().__init__()
        self.config, self.function = config, config.build()

    def forward(self, logits: Tensor, labels: Tensor, class_weights: Tensor | None = None) -> Tensor:
        """Return the mean loss, (), of logits (B, 2) and labels (B,); the class weights are not used."""
        losses: Any = self.function(logits, labels)
        self.config.check_result(losses, labels)
        mean: Tensor = losses.mean()
        return mean


def build_loss(config: LossConfig) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    """Return the function of logits, labels and class weights that gives the mean loss of a batch."""
    return CustomLoss(config) if isinstance(config, CustomLossConfig) else partial(mean_loss, config)


def get_patient_weights(labels: Tensor, class_weights: Tensor | None) -> Tensor:
    """Return the weight of each patient's class."""
    if class_weights is None:
        raise ValueError("loss=weighted needs class_weights: see get_class_weights")
    return torch.where(labels.bool(), class_weights[..., 1:], class_weights[..., :1])


def get_class_weights(labels: Tensor) -> Tensor:
    """Return the weights by which both classes have the same total weight, ``N / (2 N_class)``, in 64 bits.

    Shape:
        labels: (N,), 1 or 0. Output: (2,), of 0 and of 1; the weight of a class without patients is ``N / 2``.
    """
    counts = torch.bincount(labels.long(), minlength=2).double()
    return len(labels) / (2 * counts.clamp(min=1))


def auroc(scores: Tensor, labels: Tensor, real: Tensor) -> Tensor:
    """Return the AUROC of each epoch and member. Ties count half; NaN if a class is missing.

    Args:
        scores: the higher, the more likely is expansion.
        labels: 1 or 0.
        real: False for padding.

    Shape:
        scores: (E, M, V); labels, real: (M, V). Output: (E, M).
    """
    scores = scores.masked_fill(~real, torch.inf)
    ordered = scores.sort(dim=2).values.contiguous()
    below, upto = (torch.searchsorted(ordered, scores.contiguous(), side=side) for side in ("left", "right"))
    ranks = (below + upto + 1).double() / 2
    positive, negative = real & (labels == 1), real & (labels == 0)
    counts = positive.sum(1), negative.sum(1)
    area = ((ranks * positive).sum(2) - counts[0] * (counts[0] + 1) / 2) / (counts[0] * counts[1])
    return area.masked_fill(scores.isnan().any(2), torch.nan).to(scores.dtype)
