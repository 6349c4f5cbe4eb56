"""Decision curves and thresholds of risk.

The net benefit (Vickers and Elkin, Medical Decision Making 2006;26:565-574) compares treatment by predicted risk with
treating all patients or none. The library dcurves gives the same numbers (see the tests), but it requires a survival
analysis package that needs pandas below 3.
"""

import numpy as np
import pandas as pd

from hemexp.evaluation.metrics import proportion
from hemexp.files.result import ThresholdScore
from hemexp.types import Array

THRESHOLDS = np.arange(1, 61) / 100
SENSITIVITY = 0.9  # of a rule-out threshold, which should miss few expansions


def decision_curve(labels: Array, strategies: dict[str, Array], thresholds: Array = THRESHOLDS) -> pd.DataFrame:
    """Return a table ``strategy, threshold, net_benefit`` with each strategy, ``treat all`` and ``treat none``.

    At threshold ``t``, patients with a risk of at least ``t`` are treated. The net benefit is the share of true
    positives minus ``t / (1 - t)`` times the share of false positives. It is averaged over the repeats.

    Args:
        labels: 1 or 0.
        strategies: probabilities by name.
        thresholds: in the open interval (0, 1).

    Shape:
        labels: (N,); the probabilities of each strategy: (R, N).
    """
    compared = strategies | {"treat all": np.ones((1, len(labels))), "treat none": np.zeros((1, len(labels)))}
    rows = [
        (name, float(t), float(np.mean((risks >= t) * np.where(labels == 1, 1, -t / (1 - t)))))
        for name, risks in compared.items()
        for t in thresholds
    ]
    return pd.DataFrame(rows, columns=["strategy", "threshold", "net_benefit"])


def choose_thresholds(labels: Array, probabilities: Array) -> dict[str, float]:
    """Return the threshold of each rule: ``fixed 0.5``, ``youden`` and ``sensitivity 0.9``.

    A patient is flagged if the risk is at least the threshold. ``youden`` maximizes sensitivity plus specificity;
    ``sensitivity 0.9`` is the highest threshold that flags at least 90 % of the patients with expansion. Sensitivity
    and specificity are means over repeats: the repeats are stacked, because each repeat holds every patient. The
    highest of equally good thresholds is taken. If one outcome is missing, only ``fixed 0.5`` is returned.

    Args:
        labels: 1 or 0, of the training part.
        probabilities: out-of-fold risks of the training part.

    Shape:
        labels: (N,); probabilities: (R, N).
    """
    from sklearn.metrics import roc_curve

    chosen = {"fixed 0.5": 0.5}
    if 0 < labels.sum() < len(labels):
        stacked = np.tile(labels, len(probabilities))
        false_rate, true_rate, cut = roc_curve(stacked, probabilities.ravel(), drop_intermediate=False)
        false_rate, true_rate, cut = false_rate[1:], true_rate[1:], cut[1:]  # without infinity, which flags no patient
        gain = np.round(true_rate - false_rate, 12)  # rounding differences must not break ties
        chosen["youden"] = float(cut[np.argmax(gain)])
        chosen[f"sensitivity {SENSITIVITY}"] = float(cut[np.argmax(true_rate >= SENSITIVITY - 1e-12)])
    return chosen


def score_thresholds(thresholds: dict[str, float], labels: Array, probabilities: Array) -> list[ThresholdScore]:
    """Return sensitivity, specificity and predictive values of each rule, with exact intervals.

    Args:
        thresholds: by rule.
        labels: 1 or 0, of patients who were not used to choose the thresholds.
        probabilities: of the same patients.

    Shape:
        labels, probabilities: (N,).
    """
    event = labels == 1
    rows = []
    for rule, threshold in thresholds.items():
        flagged = probabilities >= threshold
        rows.append(
            ThresholdScore(
                rule=rule,
                threshold=threshold,
                flagged=int(flagged.sum()),
                num_patients=len(labels),
                sensitivity=proportion(flagged[event]),
                specificity=proportion(~flagged[~event]),
                ppv=proportion(event[flagged]),
                npv=proportion(~event[~flagged]),
            )
        )
    return rows
