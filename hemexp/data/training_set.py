"""A training set: imputed and scaled inputs, labels, and the validation patients."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hemexp.data.preprocessing import Preprocessing, fit_preprocessing
from hemexp.errors import UserError
from hemexp.types import Array


@dataclass(frozen=True, eq=False)
class TrainingSet:
    """A training part, ready to learn from, and the patients held out to watch the learning.

    Who is held out decides which epoch's weights are the best: never those on whom the network is tested afterwards.

    Attributes:
        inputs: (N, F) of the training patients in their own units, gaps filled.
        labels: (N,) 1 or 0.
        val_inputs: (V, F), gaps as NaN; V may be 0.
        val_labels: (V,).
        preprocessing: fitted on the training part; fills the gaps of everybody else, and scales.
        features: names of the inputs, in order.
        label: the definition that the labels follow, for whoever predicts with what was trained.
    """

    inputs: Array
    labels: Array
    val_inputs: Array
    val_labels: Array
    preprocessing: Preprocessing
    features: tuple[str, ...]
    label: dict[str, Any]


def build_training_set(
    raw: Array,
    labels: Array,
    train: Sequence[int],
    val: Sequence[int] = (),
    *,
    clip: float = 10.0,
    features: tuple[str, ...] | None = None,
    label: dict[str, Any] | None = None,
) -> TrainingSet:
    """Fit imputation and scaling on the training rows, and return the fold.

    Args:
        raw: all patients' inputs; nobody outside `train` shapes the preprocessing.
        labels: 1 or 0 for those in `train` and `val`.
        train: table positions, in table order.
        val: table positions of the patients held out; see `TrainingSet`.
        clip: in standard deviations of the training part.
        features: names of the inputs; numbers where there are none.
        label: the label's definition.

    Shape:
        raw: (N, F), NaN marks a gap; labels: (N,).

    Raises:
        UserError: nobody is in `train`, or a patient of either part has no known outcome.
    """
    train_rows, val_rows = np.asarray(train, dtype=int), np.asarray(val, dtype=int)
    unknown = [row for row in (*train_rows, *val_rows) if labels[row] not in {0, 1}]
    if unknown or not len(train_rows):
        what = f"row {unknown[0]} has the label {labels[unknown[0]]}" if unknown else "train is empty"
        raise UserError(f"{what}; rule: patients to learn from, each with a known outcome, 1 or 0")
    preprocessing, completed = fit_preprocessing(raw[train_rows], clip)
    names = features or tuple(f"x{number}" for number in range(raw.shape[1]))
    outcomes = (labels[rows].astype(int) for rows in (train_rows, val_rows))
    return TrainingSet(
        completed, next(outcomes), raw[val_rows], next(outcomes), preprocessing, tuple(names), label or {}
    )
