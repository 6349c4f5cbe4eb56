"""Build a training set: imputed inputs, labels, and the validation patients."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hemexp.data.imputation import Preprocessing, fit_preprocessing
from hemexp.errors import UserError
from hemexp.types import Array


@dataclass(frozen=True, eq=False)
class Pool:
    """The patients of a fit before imputation and before the choice of validation patients, to divide them again.

    Attributes:
        raw: (P, F) inputs of the patients in table order, NaN where a value is missing.
        labels: (P,) 1 or 0.
        rows: (R,) indices of `raw`; a bootstrap sample repeats some.
    """

    raw: Array
    labels: Array
    rows: Array


@dataclass(frozen=True, eq=False)
class TrainingSet:
    """Training patients with filled inputs, and the validation patients.

    The loss of the validation patients decides which epoch's weights are the best. Test patients are in neither part.

    Attributes:
        inputs: (N, F) of the training patients in their own units, gaps filled.
        labels: (N,) 1 or 0.
        val_inputs: (V, F) of the validation patients, NaN where a value is missing; V may be 0.
        val_labels: (V,) 1 or 0.
        preprocessing: imputation and scaling, fitted to the training patients.
        features: names of the inputs, in order.
        label: the definition of the labels; the checkpoint of a fitted model holds it.
        pool: all patients of the fit; None where they cannot be divided again.
    """

    inputs: Array
    labels: Array
    val_inputs: Array
    val_labels: Array
    preprocessing: Preprocessing
    features: tuple[str, ...]
    label: dict[str, Any]
    pool: Pool | None = None


def build_training_set(
    raw: Array,
    labels: Array,
    train: Sequence[int] | Array,
    val: Sequence[int] | Array = (),
    *,
    clip: float = 10.0,
    features: tuple[str, ...] | None = None,
    label: dict[str, Any] | None = None,
) -> TrainingSet:
    """Fit imputation and scaling to the training patients, and return the training set.

    Runs, folds and bootstrap refits all use this function.

    Args:
        raw: inputs of all patients. Only the rows in `train` influence the preprocessing.
        labels: 1 or 0 for the patients in `train` and `val`.
        train: table indices of the training patients, in table order.
        val: table indices of the validation patients; see `TrainingSet`.
        clip: in standard deviations of the training part.
        features: names of the inputs; ``x0``, ``x1``, … without them.
        label: the definition of the labels.

    Shape:
        raw: (N, F), NaN marks a gap; labels: (N,).

    Raises:
        UserError: `train` is empty, or a patient of either part has no known outcome.

    Example:
        >>> import numpy as np
        >>> raw = np.array([[1.0, 5.0], [3.0, np.nan], [5.0, 9.0], [np.nan, 2.0]])
        >>> training_set = build_training_set(raw, labels=np.array([0, 1, 1, 0]), train=[0, 1, 2], val=[3])
        >>> training_set.inputs.tolist()
        [[1.0, 5.0], [3.0, 5.0], [5.0, 9.0]]
        >>> training_set.preprocessing.fill.tolist()
        [3.0, 7.0]
    """
    train, val = np.asarray(train, dtype=int), np.asarray(val, dtype=int)
    unknown = [row for row in (*train, *val) if labels[row] not in {0, 1}]
    if unknown or not len(train):
        problem = f"row {unknown[0]} has the label {labels[unknown[0]]}" if unknown else "train is empty"
        raise UserError(f"{problem}; rule: at least one training patient, each with a known outcome, 1 or 0")
    patients, rows = np.unique(np.concatenate([train, val]), return_inverse=True)
    preprocessing, inputs = fit_preprocessing(raw[train], clip)
    return TrainingSet(
        inputs,
        labels[train].astype(int),
        raw[val],
        labels[val].astype(int),
        preprocessing,
        tuple(features or (f"x{number}" for number in range(raw.shape[1]))),
        label or {},
        Pool(raw[patients], labels[patients].astype(int), rows),
    )
