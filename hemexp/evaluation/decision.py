"""Net benefit: whether deciding by the risks does more good than treating everybody or nobody.

Vickers and Elkin, Medical Decision Making 2006;26:565-574. The library dcurves computes the same, but brings a package
for survival analysis that holds pandas under 3.
"""

import numpy as np
import pandas as pd

from hemexp.evaluation.scores import Array

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
