"""Calibration: whether the risks predicted are the risks observed (Van Calster et al., BMC Medicine 2019;17:230).

Each of cross-validation's repeats is judged alone and the results are averaged: a patient's mean risk over repeats
would be the risk of an ensemble, which nobody is offered.
"""

from typing import Any

import numpy as np
import pandas as pd
from scipy.special import expit, logit

from hemexp.evaluation.metrics import CONFIDENCE, Score, brier
from hemexp.types import Array

CLIP = 1e-6  # keeps the logit of a risk of 0 or 1 finite
_ITERATIONS = 40
_TOLERANCE = 1e-3  # on a logit; what is left after the last step is its square
_CELLS = 200_000  # weights in work at once: what a cache holds
_BUDGET = 20_000_000  # risks looked at in all resamples together ...
_FEWEST = 100  # ... but no fewer resamples than this; 100,000 patients get 200, in 20 repeats 100
_ALIKE = 1e-3  # logits: risks that differ by less are one risk
_UNDEFINED = 0.1  # share of resamples that may be left out of an interval


def calibration(
    labels: Array, probabilities: Array, folds: Array | None = None, num_resamples: int = 500
) -> dict[str, Any] | None:
    """Return calibration-in-the-large, slope and scaled Brier score, with percentile intervals over patients.

    The intercept ``a`` solves ``logit P(y = 1) = a + logit p`` (ideal 0; above 0, risks are too low), the slope ``b``
    solves ``logit P(y = 1) = a + b logit p`` (ideal 1; under 1, risks are too extreme), and the scaled Brier score is
    ``1 - Brier / (m (1 - m))``, where ``m`` is the share with the outcome (ideal 1; under 0, worse than answering m).
    A resample draws patients, with all their repeats. One in which a repeat has no solution (one outcome only, equal
    risks, or risks that separate the outcomes) is left out; if that happens to more than a tenth, there is no interval.

    Args:
        labels: 1 or 0.
        probabilities: out of fold.
        folds: that they come from. Where risks hardly differ within a fold there is no slope: what differs is the share
            of events that was left for training.
        num_resamples: at most.

    Shape:
        labels: (N,); probabilities, folds: (R, N).

    Returns:
        ``intercept``, ``slope``, ``scaled_brier``, ``mean_risk`` and ``observed``; None where one outcome is missing.
    """
    y = labels.astype(float)
    if not 0 < y.sum() < len(y):
        return None
    weights = resample(len(y), len(probabilities), num_resamples)
    measures = {"intercept": calibration_intercept, "slope": calibration_slope, "scaled_brier": scaled_brier}
    block: dict[str, Any] = {
        name: _score(np.mean([measure(y, p, weights) for p in probabilities], axis=0))
        for name, measure in measures.items()
    }
    if folds is not None and _spread_within(probabilities, folds) < _ALIKE:
        block["slope"] = {"value": None, "low": None, "high": None}
    return block | {"mean_risk": float(probabilities.mean()), "observed": float(y.mean())}


def _spread_within(probabilities: Array, folds: Array) -> float:
    """Return the largest standard deviation of the logits within a fold."""
    logits = logit(np.clip(probabilities, CLIP, 1 - CLIP))
    pairs = [(z, fold == number) for z, fold in zip(logits, folds, strict=True) for number in np.unique(fold)]
    return max(float(z[inside].std()) for z, inside in pairs)


def resample(num_patients: int, num_repeats: int, num_resamples: int) -> Array:
    """Return how often each patient is in each bootstrap sample, below a row of ones, the cohort itself.

    A large cohort gets fewer samples than asked for, 100 at least, to bound time and memory.

    Shape:
        output: (1 + samples, num_patients).
    """
    affordable = max(_FEWEST, _BUDGET // (num_patients * num_repeats))
    chances = np.full(num_patients, 1 / num_patients)
    counts = np.random.default_rng(0).multinomial(num_patients, chances, size=min(num_resamples, affordable))
    return np.vstack([np.ones(num_patients), counts])


def calibration_intercept(y: Array, p: Array, weights: Array) -> Array:
    """Return the intercept at slope 1 for each row of weights; shapes as in `scores.auroc`, NaN where undefined."""
    return _recalibrate(y, p, weights, with_slope=False)[:, 0]


def calibration_slope(y: Array, p: Array, weights: Array) -> Array:
    """Return the slope of logistic recalibration for each row of weights; shapes as in `scores.auroc`."""
    return _recalibrate(y, p, weights, with_slope=True)[:, 1]


def scaled_brier(y: Array, p: Array, weights: Array) -> Array:
    """Return 1 - Brier / Brier of the observed share for each row of weights; shapes as in `scores.auroc`."""
    share = weights @ y / weights.sum(1)
    spread = share * (1 - share)
    ratio = np.divide(brier(y, p, weights), spread, out=np.full(len(weights), np.nan), where=spread > 0)
    return np.asarray(1 - ratio)


def smoothed_curve(labels: Array, probabilities: Array) -> pd.DataFrame:
    """Return the share observed along the risk predicted, by lowess over the stacked repeats.

    Span 2/3 without robustness steps, which suits outcomes of 0 and 1 (as ``val.prob`` of R's rms), at no more than 101
    quantiles of the risks. Where the risk alone is too crowded or too lonely for a line, the mean outcome at it.

    Shape:
        labels: (N,); probabilities: (R, N).
    """
    from statsmodels.nonparametric.smoothers_lowess import lowess

    risk = probabilities.ravel()
    order = np.argsort(risk, kind="stable")
    risk, y = risk[order], np.tile(labels.astype(float), len(probabilities))[order]
    grid = np.unique(np.quantile(risk, np.linspace(0, 1, 101), method="nearest"))
    with np.errstate(invalid="ignore", divide="ignore"):
        observed = lowess(y, risk, frac=2 / 3, it=0, xvals=grid, is_sorted=True)
    for i in np.flatnonzero(~np.isfinite(observed)):
        observed[i] = y[risk == grid[i]].mean()
    return pd.DataFrame({"risk": grid, "observed": np.clip(observed, 0, 1)})


def _recalibrate(y: Array, p: Array, weights: Array, with_slope: bool) -> Array:
    """Return intercept and slope (1 without ``with_slope``) of the logistic regression of y on logit p: (rows, 2)."""
    z = logit(np.clip(p, CLIP, 1 - CLIP))
    center = z.mean() if with_slope else 0.0  # well conditioned when all risks lie close together
    near = _newton(y, z - center, weights.sum(0, keepdims=True), np.array([0.0, 1.0]), with_slope)[0]
    start = near if np.isfinite(near).all() else np.array([0.0, 1.0])
    rows = max(1, _CELLS // len(y))
    parts = [_newton(y, z - center, weights[i : i + rows], start, with_slope) for i in range(0, len(weights), rows)]
    fits = np.concatenate(parts)
    fits[:, 0] -= fits[:, 1] * center
    return fits


@np.errstate(divide="ignore", invalid="ignore")
def _newton(y: Array, z: Array, weights: Array, start: Array, with_slope: bool) -> Array:
    fits = np.tile(start, (len(weights), 1))
    events, total = weights @ y, weights.sum(1)
    solvable = (events > 0) & (events < total) & (not with_slope or np.ptp(z) > 1e-9)
    fits[~solvable] = np.nan
    left = np.flatnonzero(solvable)
    for _ in range(_ITERATIONS):
        if len(left) == 0:
            break
        w = weights[left]
        risk = expit(fits[left, :1] + fits[left, 1:] * z)
        residual, curvature = w * (y - risk), w * risk * (1 - risk)
        g0, h0 = residual.sum(1), curvature.sum(1)
        step = np.stack([g0 / h0, np.zeros(len(left))], axis=1)
        if with_slope:
            g1, h1, h2 = residual @ z, curvature @ z, curvature @ z**2
            determinant = h0 * h2 - h1**2
            determinant[determinant <= 1e-12 * h0 * h2] = np.nan  # everybody at one risk
            step = np.stack([h2 * g0 - h1 * g1, h0 * g1 - h1 * g0], axis=1) / determinant[:, None]
        # The largest change of a logit. Damped by log(1 + size) / size, Newton's method cannot overshoot on a logistic
        # likelihood (self-concordance: Bach, Electronic Journal of Statistics 2010;4:384-414).
        size = np.maximum(np.abs(step @ [1, z.min()]), np.abs(step @ [1, z.max()]))
        fits[left] += np.where(size > 0, np.log1p(size) / size, 1.0)[:, None] * step
        left = left[size > _TOLERANCE]  # NaN leaves too
    fits[left] = np.nan  # still moving: the risks separate the outcomes
    return fits


def _score(values: Array) -> Score:
    """Return the first value with the percentiles of the others."""
    value, resampled = values[0], values[1:][np.isfinite(values[1:])]
    score: Score = {"value": float(value) if np.isfinite(value) else None, "low": None, "high": None}
    if score["value"] is not None and len(resampled) >= (1 - _UNDEFINED) * (len(values) - 1) > 0:
        tail = (1 - CONFIDENCE) / 2
        score["low"], score["high"] = (float(q) for q in np.quantile(resampled, [tail, 1 - tail]))
    return score
