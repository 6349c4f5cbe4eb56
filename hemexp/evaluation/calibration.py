"""Calibration: the agreement of predicted risks with observed outcomes (Van Calster et al., BMC Medicine 2019;17:230).

Every repeat of the cross-validation is scored separately and the results are averaged. The mean risk of a patient over
repeats is not used: it would be the risk of an ensemble of models, and a run offers a single model.
"""

import numpy as np
import pandas as pd
from scipy.special import expit, logit

from hemexp.evaluation.metrics import CONFIDENCE
from hemexp.files.result import CalibratedRisk, Calibration, Score
from hemexp.metrics.functions import brier
from hemexp.types import Array

CLIP = 1e-6  # keeps the logit of a risk of 0 or 1 finite
_ITERATIONS = 40
_TOLERANCE = 1e-3  # largest change of a logit in the last step; Newton's method leaves an error of about its square
_CELLS = 200_000  # weights that are processed together; they fit into a processor's cache
_BUDGET = 20_000_000  # risks in all resamples together ...
_MIN_RESAMPLES = 100  # ... with at least this many resamples: 100,000 patients get 200, in 20 repeats 100
_MIN_SPREAD = 1e-3  # standard deviation of logits below which all risks of a fold count as equal
_SPAN = 2 / 3  # of the risks that count at a point of the curve
_MAX_UNDEFINED = 0.1  # share of resamples that may be left out of an interval


def calibration(
    labels: Array, probabilities: Array, fold_numbers: Array | None = None, num_resamples: int = 500
) -> Calibration | None:
    """Return calibration in the large, slope and scaled Brier score, with percentile intervals over patients.

    The intercept ``a`` solves ``logit P(y = 1) = a + logit p``: ideal 0; above 0 the risks are too low.
    The slope ``b`` solves ``logit P(y = 1) = a + b logit p``: ideal 1; below 1 the risks are too extreme.
    The scaled Brier score is ``1 - Brier / (m (1 - m))`` with the observed share ``m``: ideal 1; below 0 the risks are
    worse than the risk m for every patient.

    A bootstrap sample draws patients with all their repeats. A sample is left out if a repeat has no solution in it
    (one outcome only, equal risks, or risks that separate the outcomes). If more than 10 % of the samples are left out,
    there is no interval.

    Args:
        labels: 1 or 0.
        probabilities: out-of-fold risks.
        fold_numbers: the fold in which each patient was held out. If the risks within the folds are equal, there is no
            slope: risks then differ between folds only, because the share of events in training differs.
        num_resamples: maximum number of bootstrap samples.

    Shape:
        labels: (N,); probabilities, fold_numbers: (R, N).

    Returns:
        None where one outcome is missing.
    """
    y = labels.astype(float)
    if not 0 < y.sum() < len(y):
        return None
    weights = resample(len(y), len(probabilities), num_resamples)
    intercept, slope, brier_score = (
        _score(np.mean([measure(y, p, weights) for p in probabilities], axis=0))
        for measure in (calibration_intercept, calibration_slope, scaled_brier)
    )
    if fold_numbers is not None and _spread_within_folds(probabilities, fold_numbers) < _MIN_SPREAD:
        slope = Score()
    return Calibration(
        intercept=intercept,
        slope=slope,
        scaled_brier=brier_score,
        mean_risk=float(probabilities.mean()),
        observed=float(y.mean()),
    )


def calibrated_risk(labels: Array, probabilities: Array, fold_numbers: Array) -> CalibratedRisk | None:
    """Return the logistic recalibration of out-of-fold risks, with its covariance.

    Each repeat is fitted by itself, to Platt's targets (1999), which keep the slope finite. The repeats are pooled by
    Rubin's rules (Multiple Imputation for Nonresponse in Surveys, 1987): the mean of the estimates; the mean of their
    covariances, each with the patients as its sample size; and the covariance between repeats. A negative slope would
    reverse the ranking of the patients: it becomes 0, and the risk is the share of events. So it is where the risks
    within the folds are equal.

    Shape:
        labels: (N,); probabilities, fold_numbers: (R, N).

    Returns:
        None where one outcome is missing, or a repeat has no solution.
    """
    events, num_patients = int(labels.sum()), len(labels)
    if not 0 < events < num_patients:
        return None
    targets = np.where(labels == 1, (events + 1) / (events + 2), 1 / (num_patients - events + 2))
    share, weights = float(targets.mean()), np.ones((1, num_patients))
    fits, covariances = [], []
    for p in probabilities if _spread_within_folds(probabilities, fold_numbers) >= _MIN_SPREAD else ():
        z = logit(np.clip(p, CLIP, 1 - CLIP))
        fit = estimate_recalibration(targets, p, weights, with_slope=True)[0]
        risk = expit(fit[0] + fit[1] * z)
        curvature = risk * (1 - risk)
        information = np.array([[curvature.sum(), curvature @ z], [curvature @ z, curvature @ z**2]])
        if not np.isfinite(fit).all() or np.linalg.cond(information) > 1 / np.finfo(float).eps:
            return None
        fits.append(fit)
        covariances.append(np.linalg.inv(information))
    if fits:
        (intercept, slope), covariance = np.mean(fits, axis=0).tolist(), np.mean(covariances, axis=0)
        if len(fits) > 1:
            covariance = covariance + (1 + 1 / len(fits)) * np.cov(np.transpose(fits))
    else:
        slope, covariance = 0.0, np.diag([1 / (num_patients * share * (1 - share)), 0.0])
    if slope <= 0:
        intercept, slope = float(logit(share)), 0.0
    return CalibratedRisk(
        intercept=intercept,
        slope=slope,
        intercept_variance=float(covariance[0, 0]),
        slope_variance=float(covariance[1, 1]),
        covariance=float(covariance[0, 1]),
        num_patients=num_patients,
        events=events,
        num_repeats=len(probabilities),
    )


def _spread_within_folds(probabilities: Array, fold_numbers: Array) -> float:
    """Return the largest standard deviation of the logits within a fold."""
    logits = logit(np.clip(probabilities, CLIP, 1 - CLIP))
    return max(
        float(z[numbers == number].std())
        for z, numbers in zip(logits, fold_numbers, strict=True)
        for number in np.unique(numbers)
    )


def resample(num_patients: int, num_repeats: int, num_resamples: int) -> Array:
    """Return how often each patient is in each bootstrap sample; the first row, of ones, is the cohort itself.

    A large cohort gets fewer samples, but at least 100, to limit time and memory.

    Shape:
        output: (1 + samples, num_patients).
    """
    affordable = max(_MIN_RESAMPLES, _BUDGET // (num_patients * num_repeats))
    chances = np.full(num_patients, 1 / num_patients)
    counts = np.random.default_rng(0).multinomial(num_patients, chances, size=min(num_resamples, affordable))
    return np.vstack([np.ones(num_patients), counts])


def calibration_intercept(y: Array, p: Array, weights: Array) -> Array:
    """Return the intercept at slope 1 for each row of weights; shapes as in `functions.auroc`, NaN where undefined."""
    return estimate_recalibration(y, p, weights, with_slope=False)[:, 0]


def calibration_slope(y: Array, p: Array, weights: Array) -> Array:
    """Return the slope of logistic recalibration for each row of weights; shapes as in `functions.auroc`."""
    return estimate_recalibration(y, p, weights, with_slope=True)[:, 1]


def scaled_brier(y: Array, p: Array, weights: Array) -> Array:
    """Return 1 - Brier / Brier of the observed share for each row of weights; shapes as in `functions.auroc`."""
    share = weights @ y / weights.sum(1)
    spread = share * (1 - share)
    ratio = np.divide(brier(y, p, weights), spread, out=np.full(len(weights), np.nan), where=spread > 0)
    return np.asarray(1 - ratio)


def smoothed_curve(labels: Array, probabilities: Array) -> pd.DataFrame:
    """Return the observed share of events at each predicted risk, with a 95 % band: ``risk, observed, low, high``.

    The curve is lowess over the stacked repeats, with span 2/3 and without robustness steps, which suits outcomes of 0
    and 1 (as in ``val.prob`` of R's rms). It is computed at up to 101 quantiles of the risks. Where lowess cannot fit a
    line at a risk, because its neighbors all have the same risk, the mean outcome at this risk is used. The band holds
    the percentiles of `resampled_curves` at up to 26 of the quantiles; it is pointwise.

    Shape:
        labels: (N,); probabilities: (R, N).
    """
    from statsmodels.nonparametric.smoothers_lowess import lowess

    risk = probabilities.ravel()
    order = np.argsort(risk, kind="stable")
    risk, y = risk[order], np.tile(labels.astype(float), len(probabilities))[order]
    grid = np.unique(np.quantile(risk, np.linspace(0, 1, 101), method="nearest"))
    with np.errstate(invalid="ignore", divide="ignore"):
        observed = lowess(y, risk, frac=_SPAN, it=0, xvals=grid, is_sorted=True)
    for i in np.flatnonzero(~np.isfinite(observed)):
        observed[i] = y[risk == grid[i]].mean()
    points = grid[np.unique(np.linspace(0, len(grid) - 1, 26).round().astype(int))]
    weights = resample(probabilities.shape[1], len(probabilities), num_resamples=500)[1:]
    tail = (1 - CONFIDENCE) / 2
    band = np.nanquantile(resampled_curves(labels, probabilities, points, weights), [tail, 1 - tail], axis=0)
    low, high = (np.interp(grid, points, np.clip(edge, 0, 1)) for edge in band)
    return pd.DataFrame({"risk": grid, "observed": np.clip(observed, 0, 1), "low": low, "high": high})


@np.errstate(divide="ignore", invalid="ignore")
def resampled_curves(labels: Array, probabilities: Array, points: Array, weights: Array) -> Array:
    """Return the lowess curve of each row of weights, which count the patients of a bootstrap sample.

    The neighborhoods are those of the cohort itself, so that all curves are sums over the patients. A curve is NaN
    where its sample has no patient near the risk.

    Shape:
        labels: (N,); probabilities: (R, N); points: (G,), risks; weights: (B, N); output: (B, G).
    """
    y, curves = labels.astype(float), np.empty((len(weights), len(points)))
    neighbors = max(int(_SPAN * probabilities.size + 1e-10), 1)
    for i, point in enumerate(points):
        offset = probabilities - point
        distance = np.abs(offset)
        radius = np.partition(distance, neighbors - 1, axis=None)[neighbors - 1]
        kernel = np.where(distance < radius, (1 - (distance / radius) ** 3) ** 3, distance == 0)
        moments = [(kernel * offset**k).sum(0) for k in range(3)]
        s0, s1, s2 = (weights @ moment for moment in moments)
        t0, t1 = (weights @ (moment * y) for moment in moments[:2])
        determinant = s0 * s2 - s1**2
        line = (s2 * t0 - s1 * t1) / determinant
        curves[:, i] = np.where(determinant > 1e-12 * s0 * s2, line, t0 / s0)
    return curves


def estimate_recalibration(y: Array, p: Array, weights: Array, with_slope: bool) -> Array:
    """Return the intercept and the slope of the logistic regression of y on logit p for each row of weights.

    Without `with_slope` the slope is 1. Both are NaN where there is no solution.

    Shape:
        as in `functions.auroc`; output: (R, 2).
    """
    z = logit(np.clip(p, CLIP, 1 - CLIP))
    center = z.mean() if with_slope else 0.0  # for numerical stability where the risks are close together
    pooled = _newton(y, z - center, weights.sum(0, keepdims=True), np.array([0.0, 1.0]), with_slope)[0]
    start = pooled if np.isfinite(pooled).all() else np.array([0.0, 1.0])
    rows = max(1, _CELLS // len(y))
    fits = np.concatenate(
        [_newton(y, z - center, weights[i : i + rows], start, with_slope) for i in range(0, len(weights), rows)]
    )
    fits[:, 0] -= fits[:, 1] * center
    return fits


@np.errstate(divide="ignore", invalid="ignore")
def _newton(y: Array, z: Array, weights: Array, start: Array, with_slope: bool) -> Array:
    """Return the maximum-likelihood intercept and slope for each row of weights, NaN without a solution: (R, 2)."""
    fits = np.tile(start, (len(weights), 1))
    events, total = weights @ y, weights.sum(1)
    solvable = (events > 0) & (events < total) & (not with_slope or np.ptp(z) > 1e-9)
    fits[~solvable] = np.nan
    unfinished = np.flatnonzero(solvable)
    for _ in range(_ITERATIONS):
        if len(unfinished) == 0:
            break
        w = weights[unfinished]
        risk = expit(fits[unfinished, :1] + fits[unfinished, 1:] * z)
        residual, curvature = w * (y - risk), w * risk * (1 - risk)
        g0, h0 = residual.sum(1), curvature.sum(1)
        step = np.stack([g0 / h0, np.zeros(len(unfinished))], axis=1)
        if with_slope:
            g1, h1, h2 = residual @ z, curvature @ z, curvature @ z**2
            determinant = h0 * h2 - h1**2
            determinant[determinant <= 1e-12 * h0 * h2] = np.nan  # all weight at one risk
            step = np.stack([h2 * g0 - h1 * g1, h0 * g1 - h1 * g0], axis=1) / determinant[:, None]
        # The largest change of a logit. Newton's method, damped by log(1 + size) / size, cannot overshoot on a
        # logistic likelihood (self-concordance: Bach, Electronic Journal of Statistics 2010;4:384-414).
        size = np.maximum(np.abs(step @ [1, z.min()]), np.abs(step @ [1, z.max()]))
        fits[unfinished] += np.where(size > 0, np.log1p(size) / size, 1.0)[:, None] * step
        unfinished = unfinished[size > _TOLERANCE]  # also drops NaN
    fits[unfinished] = np.nan  # no convergence: the risks separate the outcomes
    return fits


def _score(values: Array) -> Score:
    """Return the first value as the score and the percentiles of the other values as its interval."""
    if not np.isfinite(values[0]):
        return Score()
    score, resampled = Score(value=float(values[0])), values[1:][np.isfinite(values[1:])]
    if len(resampled) >= (1 - _MAX_UNDEFINED) * (len(values) - 1) > 0:
        tail = (1 - CONFIDENCE) / 2
        score.low, score.high = (float(q) for q in np.quantile(resampled, [tail, 1 - tail]))
    return score
