"""Net benefit: whether deciding by the risks does more good than treating everybody or nobody.

Vickers and Elkin, Medical Decision Making 2006;26:565-574. The library dcurves computes the same, but brings a package
for survival analysis that holds pandas under 3.
"""

from typing import Any

import numpy as np
import pandas as pd

from hemexp.evaluation.metrics import proportion
from hemexp.types import Array

THRESHOLDS = np.arange(1, 61) / 100


def decision_curve(labels: Array, strategies: dict[str, Array], thresholds: Array = THRESHOLDS) -> pd.DataFrame:
    """Return ``strategy, threshold, net_benefit`` of each strategy, of ``treat all`` and of ``treat none``.

    At threshold ``t`` those with a risk of ``t`` or more are treated. The net benefit is the share of patients rightly
    treated less the share wrongly treated, weighed by the odds ``t / (1 - t)``; it is averaged over the repeats.

    Shape:
        labels: (N,); each strategy's probabilities: (R, N).

    Args:
        labels: 1 or 0.
        strategies: name to probabilities.
        thresholds: in the open interval (0, 1).
    """
    everybody, nobody = np.ones((1, len(labels))), np.zeros((1, len(labels)))
    compared = strategies | {"treat all": everybody, "treat none": nobody}
    rows = [
        (name, float(t), float(np.mean((risks >= t) * np.where(labels == 1, 1, -t / (1 - t)))))
        for name, risks in compared.items()
        for t in thresholds
    ]
    return pd.DataFrame(rows, columns=["strategy", "threshold", "net_benefit"])


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
