"""How far a patient's risk is known: Venn-Abers intervals (Vovk et al., NeurIPS 2015; arXiv 1511.00213)."""

import warnings

import numpy as np

from hemexp.evaluation.scores import Array


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
