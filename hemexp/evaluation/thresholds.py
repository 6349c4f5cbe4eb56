"""Thresholds of risk, fixed on the training part and judged on the test part."""

from typing import Any

import numpy as np

from hemexp.evaluation.scores import Array, proportion

SENSITIVITY = 0.9  # a rule-out threshold should miss few


def choose_thresholds(labels: Array, probabilities: Array) -> dict[str, float]:
    """Return the threshold of each rule: ``fixed 0.5``, ``youden`` and ``sensitivity 0.9``.

    A patient is flagged at a risk of the threshold or more. Youden's threshold has the largest sensitivity plus
    specificity; the other is the highest at which 90 % of those with the outcome are flagged. Every repeat holds every
    patient, so the stacked repeats give the mean over repeats. Of ties the highest threshold wins. Where one outcome is
    missing only the fixed rule is left.

    Shape:
        labels: (N,); probabilities: (R, N), out-of-fold risks of the training part.
    """
    from sklearn.metrics import roc_curve

    chosen = {"fixed 0.5": 0.5}
    if 0 < labels.sum() < len(labels):
        stacked = np.tile(labels, len(probabilities))
        false_rate, true_rate, cut = roc_curve(stacked, probabilities.ravel(), drop_intermediate=False)
        false_rate, true_rate, cut = false_rate[1:], true_rate[1:], cut[1:]  # without infinity, which flags nobody
        gain = np.round(true_rate - false_rate, 12)  # ties stay ties
        chosen["youden"] = float(cut[np.argmax(gain)])
        chosen[f"sensitivity {SENSITIVITY}"] = float(cut[np.argmax(true_rate >= SENSITIVITY - 1e-12)])
    return chosen


def score_thresholds(thresholds: dict[str, float], labels: Array, probabilities: Array) -> list[dict[str, Any]]:
    """Return a row a rule: who is flagged, and sensitivity, specificity and predictive values with exact intervals.

    Shape:
        labels, probabilities: (N,), of patients who had no part in choosing the thresholds.
    """
    rows = []
    for rule, threshold in thresholds.items():
        flagged, event = probabilities >= threshold, labels == 1
        rows.append(
            {
                "rule": rule,
                "threshold": threshold,
                "flagged": int(flagged.sum()),
                "num_patients": len(labels),
                "sensitivity": proportion(flagged[event]),
                "specificity": proportion(~flagged[~event]),
                "ppv": proportion(event[flagged]),
                "npv": proportion(~event[~flagged]),
            }
        )
    return rows
