"""Thresholds of risk and Venn-Abers pairs of risks, both fixed on the training part."""

import warnings

import numpy as np
import pandas as pd

from hemexp.data.datamodule import ExpansionDataModule
from hemexp.evaluation.cross_validation import CrossValidated
from hemexp.evaluation.decision import choose_thresholds, score_thresholds
from hemexp.files.result import ThresholdScore, Uncertainty
from hemexp.types import Array

_NOTE = (
    "The range is a Venn-Abers pair: the out-of-fold risks of the training part "
    "calibrate the risk twice, as if the patient had no expansion, and as if the patient had expansion. One of the two "
    "is calibrated if new patients resemble the training patients and the models of the folds resemble the model of "
    "the run. The width shows how much one more patient would change the calibration. It is not a 95 % interval: a "
    "model without any information has narrow ranges. If the range contains Youden's threshold, calibrated in the same "
    "way, the model abstains."
)


def single_patients(
    data: ExpansionDataModule, labels: Array, risks: Array, within: CrossValidated
) -> tuple[list[ThresholdScore], Uncertainty, pd.DataFrame]:
    """Choose thresholds and calibrate risks on the training part, and apply them to the other patients.

    Args:
        data: after setup.
        labels: of all patients.
        risks: of all patients, from the model of the run.
        within: cross-validation of the model within the training part.

    Shape:
        labels, risks: (N,).

    Returns:
        The thresholds with their scores in the test part, the summary of the pairs, and the table of uncertainty.csv.
    """
    training_labels, out_of_fold = labels[within.indices], within.probabilities[:, within.indices]
    thresholds = choose_thresholds(training_labels, out_of_fold)
    test = data.split.indices("test")
    threshold = thresholds["youden"]
    # a single repeat, because the risks to be calibrated come from a single model, too
    low, high = venn_abers_interval(training_labels, out_of_fold[0], np.append(risks, threshold))
    calibrated = float(high[-1] / (1 - low[-1] + high[-1]))  # the threshold on the scale of the pairs
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
    uncertainty = Uncertainty(
        num_patients=len(tested),
        num_abstained=int(tested["abstains"].sum()),
        median_width=float((tested["high"] - tested["low"]).median()) if len(tested) else None,
        threshold=threshold,
        calibrated_threshold=calibrated,
        coverage_note=_NOTE,
    )
    return score_thresholds(thresholds, labels[test], risks[test]), uncertainty, table


def venn_abers_interval(
    calibration_labels: Array, calibration_probabilities: Array, probabilities: Array
) -> tuple[Array, Array]:
    """Return the two calibrated risks of each new patient: for the outcome 0 and for the outcome 1.

    One of the two is calibrated for any model, if the new patients and the calibration patients come from the same
    population. The gap between them is wide where there are few calibration patients with similar risks. Here the
    guarantee is approximate: the model that scores new patients is not one of the fold models that scored the
    calibration patients.

    Args:
        calibration_labels: 1 or 0.
        calibration_probabilities: out-of-fold risks of the same patients; repeats are averaged.
        probabilities: risks of the new patients.

    Shape:
        calibration_labels: (N,); calibration_probabilities: (N,) or (R, N); probabilities: (M,); both outputs: (M,),
        NaN without calibration patients.
    """
    if len(calibration_labels) == 0:
        return np.full(len(probabilities), np.nan), np.full(len(probabilities), np.nan)
    with np.errstate():  # the import of the library would turn off numpy's warnings everywhere
        from venn_abers import calc_p0p1, calc_probs

    scores = np.atleast_2d(calibration_probabilities).mean(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"), warnings.catch_warnings():
        # the library divides by zero between equal points and drops the result
        warnings.simplefilter("ignore", RuntimeWarning)
        below, above, distinct = calc_p0p1(_columns(scores), calibration_labels.astype(float))
        _, pair = calc_probs(below, above, distinct, _columns(probabilities))
    return np.asarray(pair[:, 0]), np.asarray(pair[:, 1])


def _columns(risks: Array) -> Array:
    """Return the probabilities of 0 and of 1 in two columns, as in scikit-learn: (N, 2)."""
    return np.stack([1 - risks, risks], axis=1)
