"""Whether two AUROCs of the same patients differ (DeLong et al., Biometrics 1988;44:837-845)."""

import numpy as np
from scipy.stats import norm, rankdata

from hemexp.evaluation.scores import CONFIDENCE, Array, Score


def delong_test(labels: Array, first: Array, second: Array) -> Score:
    """Return the AUROC of the first risks minus that of the second, with a 95 % interval and the two-sided ``p``.

    Computed from midranks (Sun and Xu, IEEE Signal Processing Letters 2014;21:1389-1393). Without two patients of each
    outcome, or where the difference has no variance (the same ranks, or both perfect), interval and p are None.

    Shape:
        labels, first, second: (N,); labels 1 or 0.
    """
    result: Score = {"value": None, "low": None, "high": None, "p": None}
    event = labels == 1
    m, n = int(event.sum()), int((~event).sum())
    if m == 0 or n == 0:
        return result
    risks = np.stack([first, second])
    ranks = rankdata(risks, axis=1)
    # each event's share of non-events below it, and each non-event's share of events above it
    above = (ranks[:, event] - rankdata(risks[:, event], axis=1)) / n
    below = 1 - (ranks[:, ~event] - rankdata(risks[:, ~event], axis=1)) / m
    difference = float(above[0].mean() - above[1].mean())
    result["value"] = difference
    if m > 1 and n > 1:
        deviation = float(np.sqrt(np.var(above[0] - above[1], ddof=1) / m + np.var(below[0] - below[1], ddof=1) / n))
        if deviation > 1e-12:  # else rounding only
            reach = float(norm.ppf((1 + CONFIDENCE) / 2)) * deviation
            result["low"], result["high"] = max(-1.0, difference - reach), min(1.0, difference + reach)
            result["p"] = float(2 * norm.sf(abs(difference) / deviation))
    return result
