"""How many patients a prediction model wants (Riley et al., BMJ 2020;368:m441; Statistics in Medicine 2019;38:1276)."""

import math
from collections.abc import Sequence
from typing import Any

from scipy.optimize import brentq

from hemexp.config import ModelConfig

SHRINKAGE = 0.9  # the least that is acceptable
OPTIMISM = 0.05  # the most, in Nagelkerke's R-squared
MARGIN = 0.05  # the most by which the overall risk may be missed
SHARE_EXPLAINED = 0.15  # of the largest R-squared possible, where nothing is known of the model (Riley et al. 2020)


def sample_size(num_patients: int, events: int, num_parameters: int) -> dict[str, Any] | None:
    """Return what Riley's criteria ask for, beside the patients at hand; None where one outcome is missing.

    The model is assumed to caveat_notes 15 % of the largest Cox-Snell R-squared possible at this prevalence.

    Args:
        num_patients: of the training part.
        events: among them.
        num_parameters: candidate parameters, not counting the intercept; 0 for a model that answers the prevalence.
    """
    if not 0 < events < num_patients:
        return None
    prevalence = events / num_patients
    r_squared = SHARE_EXPLAINED * largest_r_squared(prevalence)
    criteria = required_sample_size(prevalence, num_parameters, r_squared)
    required = max(criteria.values())
    return {
        "num_patients": num_patients,
        "events": events,
        "num_parameters": num_parameters,
        "events_per_parameter": events / num_parameters if num_parameters else None,
        "required_patients": required,
        "required_events": math.ceil(round(required * prevalence, 6)),
        "expected_shrinkage": expected_shrinkage(num_patients, num_parameters, r_squared),
        "criteria": criteria,
        "adequate": num_patients >= required,
    }


def largest_r_squared(prevalence: float) -> float:
    """Return the Cox-Snell R-squared of a perfect model: ``1 - (m^m (1 - m)^(1 - m))^2`` at prevalence m."""
    return 1 - math.pow(prevalence, 2 * prevalence) * math.pow(1 - prevalence, 2 * (1 - prevalence))


def required_sample_size(prevalence: float, num_parameters: int, r_squared: float) -> dict[str, int]:
    """Return the patients that each criterion asks for.

    ``shrinkage``: coefficients need shrinking by 10 % at most; ``optimism``: the apparent Nagelkerke R-squared exceeds
    the true one by 0.05 at most; ``overall_risk``: the prevalence is estimated within 0.05. R's pmsampsize computes the
    same three; the fourth of the BMJ paper, on the mean error of a risk, is for at most 30 parameters.

    Args:
        prevalence: between 0 and 1.
        num_parameters: 0 or more.
        r_squared: expected Cox-Snell R-squared in new patients, above 0 and under 0.9 and the largest possible.
    """
    bound = r_squared / (r_squared + OPTIMISM * largest_r_squared(prevalence))
    return {
        "shrinkage": _patients_for(SHRINKAGE, num_parameters, r_squared),
        "optimism": _patients_for(bound, num_parameters, r_squared),
        "overall_risk": math.ceil((1.96 / MARGIN) ** 2 * prevalence * (1 - prevalence)),
    }


def expected_shrinkage(num_patients: int, num_parameters: int, r_squared: float) -> float:
    """Return van Houwelingen's shrinkage factor S expected of this many patients.

    S solves ``n = p / ((S - 1) log(1 - R^2 / S))``, where ``R^2 / S`` is the apparent Cox-Snell R-squared; it lies
    between R-squared and 1.
    """
    if num_parameters == 0:
        return 1.0

    def gap(shrinkage: float) -> float:
        return (shrinkage - 1) * math.log1p(-r_squared / shrinkage) - num_parameters / num_patients

    least = r_squared * (1 + 1e-15)
    return float(brentq(gap, least, 1)) if gap(least) > 0 else r_squared


def _patients_for(shrinkage: float, num_parameters: int, r_squared: float) -> int:
    return math.ceil(num_parameters / ((shrinkage - 1) * math.log1p(-r_squared / shrinkage)))


def num_fitted_inputs(model: ModelConfig, features: Sequence[str]) -> int:
    """Return how many inputs a model is fitted to; the BRAIN score's weights are published."""
    return 0 if model.name == "brain" else len(features)
