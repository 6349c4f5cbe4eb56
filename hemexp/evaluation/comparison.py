"""The model beside the baselines: on the same folds by the corrected test, on the one test part by DeLong's."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy.stats import norm, rankdata

from hemexp.evaluation.cross_validation import NOT_DEFINED, CrossValidated
from hemexp.evaluation.metrics import CONFIDENCE, MEASURES, Score, auroc, auroc_interval
from hemexp.types import Array

_BETTER = {"auroc": 1, "brier": -1}  # the sign of a good difference


def compare(
    validated: Mapping[str, CrossValidated], labels: Array, tested: Mapping[str, Array]
) -> list[dict[str, Any]]:
    """Return a row a model: its scores, and for all but the first what the first one's are better by.

    Args:
        validated: by name, the model first; all on the same folds. Empty where there was no cross-validation.
        labels: of the test part.
        tested: risks of the test part, by name, the model first.

    Shape:
        labels and each of `tested`: (N,).
    """
    names = list(tested)
    rows = []
    for name in names:
        row: dict[str, Any] = {"model": name, "is_model": name == names[0]}
        for measure in MEASURES:
            row[measure] = validated[name].score(measure) if validated else NOT_DEFINED
        for measure in _BETTER:
            apart = name != names[0] and bool(validated)
            difference = validated[names[0]].difference(validated[name], measure) if apart else None
            row[f"{measure}_difference"] = difference
        row["test_auroc"] = _test_auroc(labels, tested[name])
        test = None if name == names[0] else delong_test(labels, tested[names[0]], tested[name])
        row["test_auroc_difference"] = test
        rows.append(row)
    for key in ("auroc_difference", "brier_difference", "test_auroc_difference"):
        known = [row[key] for row in rows if row[key] is not None]
        for difference, adjusted in zip(known, holm([each["p"] for each in known]), strict=True):
            difference["p_holm"] = adjusted
    return rows


def claim(rows: list[dict[str, Any]]) -> dict[str, Any] | None:
    """Return what may be said of the model against the baselines, by measure.

    ``better than baseline`` needs the interval of the corrected difference to lie on the good side of zero against each
    baseline, the prevalence included; ``worse than baseline`` on the bad side against one of them, with a p that stays
    below 0.05 after Holm's correction for looking at them all. Without cross-validation nothing may be said.
    """
    others = [row for row in rows if not row["is_model"]]
    if not others or any(row["auroc_difference"] is None for row in others):
        return None
    said: dict[str, Any] = {"worse_than": {}, "worse_before_holm": {}}
    for measure, sign in _BETTER.items():
        differences = {row["model"]: row[f"{measure}_difference"] for row in others}
        better = all(_side(each, sign) > 0 for each in differences.values())
        bad = [name for name, each in differences.items() if _side(each, sign) < 0]
        adjusted = holm([each["p"] for each in differences.values()])
        holds = {name for name, p in zip(differences, adjusted, strict=True) if p is not None and p < 1 - CONFIDENCE}
        worse = [name for name in bad if name in holds]
        relation = "better than" if better else "worse than" if worse else "not better than"
        said[measure] = f"{relation} baseline"
        said["worse_than"][measure], said["worse_before_holm"][measure] = worse, bad
    return said


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Return p after Holm's correction for looking at all of them; None stays, and counts as a look."""
    from statsmodels.stats.multitest import multipletests

    if not p_values:
        return []
    adjusted = multipletests([1.0 if p is None else p for p in p_values], method="holm")[1]
    return [None if p is None else float(after) for p, after in zip(p_values, adjusted, strict=True)]


def _side(difference: Mapping[str, float | None], sign: int) -> int:
    """Return 1 where the whole interval is good, -1 where it is bad, 0 where it holds zero."""
    low, high = difference["low"], difference["high"]
    if low is None or high is None or low <= 0 <= high:
        return 0
    return sign if low > 0 else -sign


def _test_auroc(labels: Array, risks: Array) -> Mapping[str, float | None]:
    events = int(labels.sum())
    if not 0 < events < len(labels):
        return NOT_DEFINED
    value = float(auroc(labels, risks, np.ones((1, len(labels))))[0])
    if np.ptp(risks) == 0:  # one risk for everybody ranks nobody, whoever they are
        return {"value": value, "low": value, "high": value}
    low, high = auroc_interval(value, events, len(labels) - events)
    return {"value": value, "low": low, "high": high}


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
