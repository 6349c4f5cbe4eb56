"""The loss of every member of a group, and their AUROC in the validation part."""

import torch
from torch import Tensor
from torch.nn import functional as F

from hemexp.training.patient_batch import PatientBatch


def cross_entropy(logits: Tensor, patients: PatientBatch) -> Tensor:
    """Return the mean cross entropy of each member, (M,)."""
    losses = F.cross_entropy(logits.flatten(0, 1), patients.labels.flatten(), reduction="none")
    return patients.mean(losses.view_as(patients.labels))


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
