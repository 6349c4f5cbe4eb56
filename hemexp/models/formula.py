"""The formula of a fitted model, where it has one, for model.json."""

import math

from hemexp.files.formula import LOGISTIC, Formula
from hemexp.models.ensemble import FittedEnsemble
from hemexp.models.fitted_estimator import FittedEstimator
from hemexp.models.predictor import Predictor


def build_formula(predictor: Predictor) -> Formula | None:
    """Return the formula of a logistic regression, the BRAIN score or the prevalence; None for any other model."""
    recalibration: list[float] = []
    if isinstance(predictor, FittedEnsemble):
        if len(predictor.members) != 1:  # the mean of several models
            return None
        recalibration, predictor = list(predictor.recalibration or ()), predictor.members[0]
    terms = predictor.estimator.list_terms() if isinstance(predictor, FittedEstimator) else None
    if terms is None or not isinstance(predictor, FittedEstimator):
        return None
    statistics = predictor.preprocessing
    if terms["kind"] == LOGISTIC:
        terms |= {
            "mean": statistics.mean.tolist(),
            "scale": [value if math.isfinite(value) else None for value in statistics.scale.tolist()],
            "clip": statistics.clip if math.isfinite(statistics.clip) else None,
        }
    return Formula(fill=statistics.fill.tolist(), recalibration=recalibration, **terms)
