"""The formula of a fitted model, where it has one, for model.json."""

import math

import numpy as np
from scipy.special import logit

from hemexp.files.formula import LOGISTIC, POINTS, Formula
from hemexp.models.baselines import MAX_POINTS, RISKS, Brain, Prevalence
from hemexp.models.ensemble import FittedEnsemble
from hemexp.models.fitted_estimator import FittedEstimator
from hemexp.models.linear import Linear
from hemexp.models.predictor import Predictor


def build_formula(predictor: Predictor) -> Formula | None:
    """Return the formula of a logistic regression, the BRAIN score or the prevalence; None for any other model."""
    recalibration: list[float] = []
    if isinstance(predictor, FittedEnsemble):
        if len(predictor.members) != 1:  # the mean of several models
            return None
        recalibration, predictor = list(predictor.recalibration or ()), predictor.members[0]
    if not isinstance(predictor, FittedEstimator):
        return None
    statistics, estimator = predictor.preprocessing, predictor.estimator
    fill = statistics.fill.tolist()
    if isinstance(estimator, Brain):
        low, high = logit(RISKS).tolist()
        table = estimator.list_points()
        return Formula(
            kind=POINTS,
            intercept=low,
            slope=(high - low) / MAX_POINTS,
            fill=fill,
            limits=[list(limits) for limits, _ in table],
            points=[list(points) for _, points in table],
            recalibration=recalibration,
        )
    if isinstance(estimator, Linear):
        intercept, coefficients = estimator.intercept, estimator.coefficients.tolist()
    elif isinstance(estimator, Prevalence) and 0 < estimator.share < 1:
        intercept, coefficients = float(logit(estimator.share)), [0.0] * len(fill)
    else:
        return None
    return Formula(
        kind=LOGISTIC,
        intercept=intercept,
        coefficients=coefficients,
        fill=fill,
        mean=statistics.mean.tolist(),
        scale=[value if np.isfinite(value) else None for value in statistics.scale.tolist()],
        clip=statistics.clip if math.isfinite(statistics.clip) else None,
        recalibration=recalibration,
    )
