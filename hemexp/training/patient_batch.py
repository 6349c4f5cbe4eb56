"""Patients of all members of a group as padded tensors, ready for a training step."""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from hemexp.data.training_set import TrainingSet
from hemexp.models.input_layer import InputLayer

ROW_MULTIPLE = 16  # patients are padded to a multiple of this, with weight 0; see hemexp.training.batched_network


class PatientBatch(NamedTuple):
    """The patients of M members, padded to the same number.

    Attributes:
        inputs: (M, B, F), scaled.
        labels: (M, B), 1 or 0.
        real: (M, B), False for padding.
        num_real: (M,), number of patients without padding.
    """

    inputs: Tensor
    labels: Tensor
    real: Tensor
    num_real: Tensor

    def mean(self, values: Tensor) -> Tensor:
        """Return the mean over each member's patients: (..., M, B) to (..., M)."""
        return (values * self.real).sum(-1) / self.num_real


def build_batch(training_sets: list[TrainingSet], prefix: str, dtype: torch.dtype) -> PatientBatch:
    """Return the patients of one part of the training sets.

    Args:
        training_sets: one for each member.
        prefix: empty for the training patients, ``val_`` for the validation patients.
        dtype: of the inputs.
    """
    labels = [torch.from_numpy(getattr(training_set, f"{prefix}labels")) for training_set in training_sets]
    longest = max(len(outcomes) for outcomes in labels)
    longest += -longest % ROW_MULTIPLE
    scaled: dict[int, Tensor] = {}  # members may share a training set
    for training_set in training_sets:
        if id(training_set) not in scaled:
            raw = torch.from_numpy(getattr(training_set, f"{prefix}inputs")).to(dtype)
            scaled[id(training_set)] = F.pad(build_input_layer(training_set, dtype)(raw), (0, 0, 0, longest - len(raw)))
    real = torch.stack([torch.arange(longest) < len(outcomes) for outcomes in labels])
    return PatientBatch(
        torch.stack([scaled[id(training_set)] for training_set in training_sets]),
        torch.stack([F.pad(outcomes, (0, longest - len(outcomes))) for outcomes in labels]),
        real,
        real.sum(1),
    )


def build_input_layer(training_set: TrainingSet, dtype: torch.dtype) -> InputLayer:
    """Return the layer that fills gaps and scales with the statistics of the training part."""
    layer = InputLayer(len(training_set.features)).to(dtype)
    layer.set(training_set.preprocessing)
    return layer
