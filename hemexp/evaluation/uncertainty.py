"""Thresholds of risk, and how well the training part knows the risk of each patient outside it."""

import warnings
from typing import Any

import numpy as np
import pandas as pd

from hemexp.data.datamodule import ExpansionDataModule
from hemexp.evaluation.cross_validation import CrossValidated
from hemexp.evaluation.decision import choose_thresholds, score_thresholds
from hemexp.types import Array

_NOTE = (
    "A Venn-Abers pair: the risk as the training part's out-of-fold risks calibrate it, had this patient no "
    "expansion, and had the patient one. If the model were that of the folds and patients to come like those "
    "seen, one of the two would be calibrated. The gap says how much one patient more would change; it is no "
    "95 % interval, and a model that knows nothing has narrow ones. Where the pair spans Youden's threshold, "
    "calibrated alike, the model abstains."
)


def single_patients(
    data: ExpansionDataModule, labels: Array, risks: Array, within: CrossValidated
) -> tuple[dict[str, Any], pd.DataFrame]:
    """Fix thresholds on the training part, try them on the test part, and pair each patient outside it with its bounds.

    Args:
        data: set up.
        labels: of all patients.
        risks: of all patients, from the run's model.
        within: the model on folds of the training part.

    Shape:
        labels, risks: (N,).

    Returns:
        The blocks ``thresholds`` and ``uncertainty`` of result.json, and the table of uncertainty.csv.
    """
    known, unseen = labels[within.indices], within.probabilities[:, within.indices]
    thresholds = choose_thresholds(known, unseen)
    test = data.split.indices("test")
    threshold = thresholds["youden"]
    # one repeat: the risks of others are of single networks too
    low, high = venn_abers_interval(known, unseen[0], np.append(risks, threshold))
    # the threshold, on the scale of the pairs
    calibrated = float(high[-1] / (1 - low[-1] + high[-1]))
    table = data.labels[["patient_id"]].assign(
        role=data.split.roles,
        label=data.labels["expansion"],
        probability=risks,
        low=low[:-1],
        high=high[:-1],
        abstains=(low[:-1] < calibrated) & (calibrated < high[:-1]),
    )
    table = table[table["role"] != "train"]
    tested = table[table["role"] == "test"]
    uncertainty = {
        "num_patients": len(tested),
        "num_abstained": int(tested["abstains"].sum()),
        "median_width": float((tested["high"] - tested["low"]).median()) if len(tested) else None,
        "threshold": threshold,
        "calibrated_threshold": calibrated,
        "coverage_note": _NOTE,
    }
    return {"thresholds": score_thresholds(thresholds, labels[test], risks[test]), "uncertainty": uncertainty}, table


def venn_abers_interval(
    calibration_labels: Array, calibration_probabilities: Array, probabilities: Array
) -> tuple[Array, Array]:
    """Return the two calibrated risks of each new patient: as if the outcome were 0, and as if it were 1.

    One of the two is calibrated, whatever the model, if the new patients and the calibration patients are alike; the
    gap between them narrows with the number of calibration patients and is wide where they say little. Here the model
    that scores new patients is not one of those that scored the calibration patients out of fold, so the guarantee
    holds only as far as these models agree.

    Shape:
        calibration_labels: (N,), 1 or 0; calibration_probabilities: (N,) or (R, N), averaged over repeats;
        probabilities: (M,); both outputs: (M,), NaN without any calibration patient.
    """
    if len(calibration_labels) == 0:
        return np.full(len(probabilities), np.nan), np.full(len(probabilities), np.nan)
    with np.errstate():  # the library turns off numpy's warnings for everybody when it is imported
        from venn_abers import calc_p0p1, calc_probs

    scores = (
        calibration_probabilities.mean(axis=0) if calibration_probabilities.ndim == 2 else calibration_probabilities
    )
    with np.errstate(divide="ignore", invalid="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # it takes the slope between equal points, and drops it
        below, above, distinct = calc_p0p1(_columns(scores), calibration_labels.astype(float))
        _, pair = calc_probs(below, above, distinct, _columns(probabilities))
    return np.asarray(pair[:, 0]), np.asarray(pair[:, 1])


def _columns(risks: Array) -> Array:
    """Return the probabilities of 0 and of 1, as scikit-learn lays them out: (N, 2)."""
    return np.stack([1 - risks, risks], axis=1)
