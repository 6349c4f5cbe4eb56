"""Comparison with the published BRAIN score, which is not fitted to these patients."""

from dataclasses import replace

import numpy as np
import pandas as pd

from hemexp.config import BaselineConfig
from hemexp.data.features import fixed_inputs, input_table
from hemexp.evaluation.comparison import compare
from hemexp.files.result import ComparedModel
from hemexp.models.baselines import list_missing_items
from hemexp.models.registry import build_estimator
from hemexp.types import Array

_BRAIN = BaselineConfig("brain")


def compare_with_brain(
    patients: pd.DataFrame, outcomes: Array, risks: Array, model: str
) -> tuple[list[ComparedModel], dict[str, int]]:
    """Compare a model with the one baseline that needs no fit, in the patients with its items known.

    Args:
        patients: their first scans.
        outcomes: 1 or 0.
        risks: of the model.
        model: its name.

    Shape:
        outcomes, risks: (N,), one for each row of `patients`.

    Returns:
        The rows of the comparison, and the items of the score that the cohort does not have.
    """
    names, empty = fixed_inputs(_BRAIN, patients)
    items = input_table(patients, names).to_numpy()
    known = np.isfinite(items).all(axis=1)
    if model == _BRAIN.name or empty or not known.any():
        return [], {}
    brain = build_estimator(0, **vars(_BRAIN))
    brain.features = tuple(names)
    rows = compare({}, outcomes[known], {model: risks[known], _BRAIN.name: brain.predict_proba(items[known])[:, 1]})
    return [replace(row, num_patients=int(known.sum())) for row in rows], list_missing_items(names)
