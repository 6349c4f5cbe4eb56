"""Choose how to update a model for another hospital.

The closed test is that of Vergouwe et al. (Statistics in Medicine 2017;36:4529-4539).
"""

import warnings
from dataclasses import dataclass, field

import numpy as np
from scipy.special import expit, logit
from scipy.stats import chi2

from hemexp.evaluation.calibration import estimate_recalibration
from hemexp.metrics.functions import log_losses
from hemexp.models.ensemble import Recalibration, recalibrate
from hemexp.types import Array

METHODS = ("none", "intercept", "intercept_slope", "refit")  # each estimates what the one before it does, and more
ALPHA = 0.05
NO_CHANGE: Recalibration = (0.0, 1.0)
_SEPARATED = 20.0  # logits as large as this mean that the inputs separate the outcomes


@dataclass(frozen=True)
class ClosedTest:
    """The choice, and the p value of each test that led to it.

    Attributes:
        method: one of `METHODS`.
        p_values: by the method that was tested against the largest one, in order.
        recalibration: intercept and slope on the scale of the logit; (0, 1) leaves the risks as they are.
    """

    method: str
    p_values: dict[str, float] = field(default_factory=dict)
    recalibration: Recalibration = NO_CHANGE


def closed_test(labels: Array, risks: Array, inputs: Array | None = None, alpha: float = ALPHA) -> ClosedTest:
    """Choose the smallest update that does not fit significantly worse than the largest one.

    The largest update estimates all coefficients again where `inputs` are given, else the intercept and the slope. The
    original model is tested against it by likelihood ratio, then each larger update, until one is not rejected. All
    tests use the same level, because a test is done only where the one before it rejects.

    Args:
        labels: 1 or 0; both occur.
        risks: of the original model.
        inputs: of a logistic regression without penalty, gaps filled; None for other models.
        alpha: level of each test.

    Shape:
        labels, risks: (N,); inputs: (N, F).
    """
    fits = {method: fit_update(labels, risks, method) for method in METHODS[:3]}
    models = {m: (_deviance(labels, recalibrate(risks, fit)), n) for n, (m, fit) in enumerate(fits.items()) if fit}
    if inputs is not None and (refitted := _refit(labels, inputs)):
        models["refit"] = refitted
    largest, (smallest_deviance, most_parameters) = list(models.items())[-1]
    p_values: dict[str, float] = {}
    for method, (deviance, parameters) in models.items():
        if most_parameters > parameters:
            p_values[method] = float(chi2.sf(max(deviance - smallest_deviance, 0.0), most_parameters - parameters))
        if method == largest or p_values.get(method, 0.0) >= alpha:
            return ClosedTest(method, p_values, fits.get(method) or NO_CHANGE)
    raise AssertionError("the largest update is always a choice")


def fit_update(labels: Array, risks: Array, method: str) -> Recalibration | None:
    """Return intercept and slope of a recalibration by maximum likelihood; None where there is no solution.

    A negative slope would reverse the ranking of the patients. It becomes 0: every patient gets the observed share.

    Args:
        labels: 1 or 0.
        risks: of the original model.
        method: ``none``, ``intercept`` or ``intercept_slope``.

    Shape:
        labels, risks: (N,).
    """
    if method == "none":
        return NO_CHANGE
    weights = np.ones((1, len(labels)))
    intercept, slope = estimate_recalibration(labels, risks, weights, with_slope=method == "intercept_slope")[0]
    if not np.isfinite(intercept):
        return None
    return (float(intercept), float(slope)) if slope > 0 else (float(logit(labels.mean())), 0.0)


def _refit(labels: Array, inputs: Array) -> tuple[float, int] | None:
    """Return the deviance and the number of coefficients of a new logistic regression; None where it has no maximum."""
    from sklearn.linear_model import LogisticRegression

    design = np.column_stack([np.ones(len(labels)), inputs])
    rank = int(np.linalg.matrix_rank(design))
    if rank >= len(labels):
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a search that does not end, because the inputs separate the outcomes
        model = LogisticRegression(C=np.inf, solver="newton-cholesky", tol=1e-8, max_iter=200).fit(inputs, labels)
    logits = model.decision_function(inputs)
    return (_deviance(labels, expit(logits)), rank) if np.abs(logits).max() < _SEPARATED else None


def _deviance(labels: Array, risks: Array) -> float:
    return 2 * float(log_losses(labels, risks).sum())
