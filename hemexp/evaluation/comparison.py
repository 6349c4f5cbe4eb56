"""Comparison of the model with the baselines: corrected test on the same folds, DeLong's test on the test part."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import norm, rankdata

from hemexp.evaluation.metrics import CONFIDENCE, auroc_interval
from hemexp.files.result import BETTER, NOT_BETTER, NOT_EVALUATED, WORSE, Claim, ComparedModel, Difference, Score
from hemexp.metrics.table import METRICS
from hemexp.types import Array

if TYPE_CHECKING:  # predict.py compares too, and does not need Lightning, which takes seconds to import
    from hemexp.evaluation.cross_validation import CrossValidated

_GOOD_SIGN = {"auroc": 1, "brier": -1}  # the sign of a difference in favor of the model


def compare(
    validated: Mapping[str, "CrossValidated"], labels: Array, tested: Mapping[str, Array]
) -> list[ComparedModel]:
    """Return a row for each model: its scores, and the scores of the first model minus this model's.

    Args:
        validated: by name, the model of the run first; all on the same folds. Empty without cross-validation.
        labels: of the test part.
        tested: risks of the test part by name, the model of the run first.

    Shape:
        labels and each of `tested`: (N,).
    """
    model, *_ = tested
    rows = []
    for name, risks in tested.items():
        row = ComparedModel(model=name, is_model=name == model, test_auroc=_test_auroc(labels, risks))
        if validated:
            for metric in validated[name].metrics:
                if metric.source:
                    row.own_metrics[metric.name] = validated[name].score(metric.name)
                elif hasattr(row, metric.name):  # it has no accuracies
                    setattr(row, metric.name, validated[name].score(metric.name))
        if validated and name != model:
            for measure in _GOOD_SIGN:
                setattr(row, f"{measure}_difference", validated[model].difference(validated[name], measure))
        if name != model:
            row.test_auroc_difference = delong_test(labels, tested[model], risks)
        rows.append(row)
    for measure in ("auroc", "brier", "test_auroc"):
        differences = _get_differences(rows, measure).values()
        for difference, adjusted in zip(differences, holm([each.p for each in differences]), strict=True):
            difference.p_holm = adjusted
    return rows


def claim(rows: Sequence[ComparedModel]) -> Claim | None:
    """Return the relation of the model to the baselines by AUROC and by Brier score; None without cross-validation.

    ``better than baseline``: the interval of the corrected difference lies on the good side of zero against every
    baseline, the prevalence included. ``worse than baseline``: the interval lies on the bad side against one of them,
    and p stays below 0.05 after Holm's correction over all baselines.
    """
    baselines = [row for row in rows if not row.is_model]
    if not baselines or any(row.auroc_difference is None for row in baselines):
        return None
    relation, worse, worse_before_holm = {}, {}, {}
    for measure in _GOOD_SIGN:
        differences = _get_differences(baselines, measure)
        worse_before_holm[measure] = [name for name, side in _get_sides(differences, measure).items() if side < 0]
        worse[measure] = _find_worse(differences, measure)
        is_better = all(side > 0 for side in _get_sides(differences, measure).values())
        relation[measure] = f"{'better' if is_better else 'worse' if worse[measure] else 'not better'} than baseline"
    return Claim(**relation, worse_than=worse, worse_before_holm=worse_before_holm)


def conclude(rows: Sequence[ComparedModel]) -> str:
    """Return the conclusion of a run from the comparison with the baselines by cross-validation.

    Baselines whose difference could not be computed are left out.

    Returns:
        ``better_than_baselines``: for every baseline the whole interval of the AUROC difference is above zero, and for
        no baseline the whole interval of the Brier difference is above zero (a worse Brier score).
        ``worse_than_baseline``: the AUROC or the Brier score is worse than a baseline's after Holm's correction.
        ``not_evaluated``: there is no AUROC difference. ``not_better_than_baselines``: all other cases.
    """
    computed = {
        measure: {name: each for name, each in _get_differences(rows, measure).items() if each.value is not None}
        for measure in _GOOD_SIGN
    }
    if not computed["auroc"]:
        return NOT_EVALUATED
    if any(_find_worse(differences, measure) for measure, differences in computed.items()):
        return WORSE
    auroc_sides, brier_sides = (_get_sides(computed[measure], measure).values() for measure in ("auroc", "brier"))
    return BETTER if min(auroc_sides) > 0 and all(side >= 0 for side in brier_sides) else NOT_BETTER


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Return the p values after Holm's correction; a missing p value stays missing, but counts as a comparison.

    statsmodels has it too, but collects all garbage of the process at each call.
    """
    values = np.array([1.0 if p is None else p for p in p_values])
    order = np.argsort(values)
    adjusted = np.empty_like(values)
    adjusted[order] = np.minimum(np.maximum.accumulate(values[order] * np.arange(len(values), 0, -1)), 1)
    return [None if p is None else float(after) for p, after in zip(p_values, adjusted, strict=True)]


def _get_differences(rows: Sequence[ComparedModel], measure: str) -> dict[str, Difference]:
    """Return the differences to the baselines by name, as far as they exist."""
    differences = {row.model: getattr(row, f"{measure}_difference") for row in rows if not row.is_model}
    return {name: difference for name, difference in differences.items() if difference is not None}


def _find_worse(differences: Mapping[str, Difference], measure: str) -> list[str]:
    """Return the baselines that the model is worse than after Holm's correction."""
    adjusted = holm([difference.p for difference in differences.values()])
    sides = _get_sides(differences, measure)
    return [
        name
        for (name, side), p in zip(sides.items(), adjusted, strict=True)
        if side < 0 and p is not None and p < 1 - CONFIDENCE
    ]


def _get_sides(differences: Mapping[str, Difference], measure: str) -> dict[str, int]:
    """Return 1 where the whole interval is in favor of the model, -1 where it is against it, 0 where it holds zero."""
    sides = dict.fromkeys(differences, 0)
    for name, difference in differences.items():
        if difference.low is not None and difference.high is not None and not difference.low <= 0 <= difference.high:
            sides[name] = _GOOD_SIGN[measure] if difference.low > 0 else -_GOOD_SIGN[measure]
    return sides


def _test_auroc(labels: Array, risks: Array) -> Score:
    value, events = METRICS["auroc"].compute(labels, risks), int(labels.sum())
    if np.isnan(value):
        return Score()
    if np.ptp(risks) == 0:  # equal risks have an AUROC of 0.5 in every sample of patients
        return Score(value=value, low=value, high=value)
    low, high = auroc_interval(value, events, len(labels) - events)
    return Score(value=value, low=low, high=high)


def delong_test(labels: Array, first: Array, second: Array) -> Difference:
    """Return the AUROC of the first risks minus the AUROC of the second, with DeLong's interval and two-sided p value.

    Computed from midranks (Sun and Xu, IEEE Signal Processing Letters 2014;21:1389-1393). Interval and p are None with
    fewer than two patients of either outcome, or where the difference has no variance (equal ranks, or both perfect).

    Shape:
        labels, first, second: (N,); labels 1 or 0.
    """
    event = labels == 1
    num_events, num_others = int(event.sum()), int((~event).sum())
    if num_events == 0 or num_others == 0:
        return Difference()
    risks = np.stack([first, second])
    ranks = rankdata(risks, axis=1)
    # the share of non-events below each event, and the share of events above each non-event
    below = (ranks[:, event] - rankdata(risks[:, event], axis=1)) / num_others
    above = 1 - (ranks[:, ~event] - rankdata(risks[:, ~event], axis=1)) / num_events
    value = float(below[0].mean() - below[1].mean())
    if num_events < 2 or num_others < 2:
        return Difference(value=value)
    variance = np.var(below[0] - below[1], ddof=1) / num_events + np.var(above[0] - above[1], ddof=1) / num_others
    deviation = float(np.sqrt(variance))
    if deviation <= 1e-12:  # zero, apart from rounding
        return Difference(value=value)
    reach = float(norm.ppf((1 + CONFIDENCE) / 2)) * deviation
    p = float(2 * norm.sf(abs(value) / deviation))
    return Difference(value=value, low=max(-1.0, value - reach), high=min(1.0, value + reach), p=p)
