"""Sample size that a prediction model needs (Riley et al., BMJ 2020;368:m441; Statistics in Medicine 2019;38:1276)."""

import math
from collections.abc import Sequence

from scipy.optimize import brentq

from hemexp.config import ModelConfig
from hemexp.files.result import SampleSize

SHRINKAGE = 0.9  # smallest acceptable shrinkage factor
OPTIMISM = 0.05  # largest acceptable optimism, in Nagelkerke's R-squared
MARGIN = 0.05  # largest acceptable error of the overall risk
SHARE_EXPLAINED = 0.15  # of the largest possible R-squared, if nothing is known about the model (Riley et al. 2020)


def sample_size(num_patients: int, events: int, num_parameters: int) -> SampleSize | None:
    """Return the required and the present sample size; None where one outcome is missing.

    The model is assumed to explain 15 % of the largest Cox-Snell R-squared that is possible at this prevalence.

    Args:
        num_patients: patients in the training part.
        events: patients among them with expansion.
        num_parameters: candidate parameters without the intercept; 0 for a model that predicts the prevalence.
    """
    if not 0 < events < num_patients:
        return None
    prevalence = events / num_patients
    r_squared = SHARE_EXPLAINED * largest_r_squared(prevalence)
    criteria = required_sample_size(prevalence, num_parameters, r_squared)
    required = max(criteria.values())
    return SampleSize(
        num_patients=num_patients,
        events=events,
        num_parameters=num_parameters,
        events_per_parameter=events / num_parameters if num_parameters else None,
        required_patients=required,
        required_events=math.ceil(round(required * prevalence, 6)),
        expected_shrinkage=expected_shrinkage(num_patients, num_parameters, r_squared),
        criteria=criteria,
        adequate=num_patients >= required,
    )


def largest_r_squared(prevalence: float) -> float:
    """Return the Cox-Snell R-squared of a perfect model: ``1 - (m^m (1 - m)^(1 - m))^2`` at prevalence m."""
    return 1 - math.pow(prevalence, 2 * prevalence) * math.pow(1 - prevalence, 2 * (1 - prevalence))


def required_sample_size(prevalence: float, num_parameters: int, r_squared: float) -> dict[str, int]:
    """Return the number of patients required by each criterion.

    ``shrinkage``: the coefficients are too large by at most 10 %. ``optimism``: the apparent Nagelkerke R-squared
    exceeds the true one by at most 0.05. ``overall_risk``: the prevalence is estimated with an error of at most 0.05.
    R's pmsampsize computes the same three. The fourth criterion of the BMJ paper, on the mean error of a risk, is left
    out because it holds for at most 30 parameters.

    Args:
        prevalence: between 0 and 1.
        num_parameters: 0 or more.
        r_squared: expected Cox-Snell R-squared in new patients, above 0, below 0.9 and below the largest possible value.
    """
    bound = r_squared / (r_squared + OPTIMISM * largest_r_squared(prevalence))
    return {
        "shrinkage": _patients_for(SHRINKAGE, num_parameters, r_squared),
        "optimism": _patients_for(bound, num_parameters, r_squared),
        "overall_risk": math.ceil((1.96 / MARGIN) ** 2 * prevalence * (1 - prevalence)),
    }


def expected_shrinkage(num_patients: int, num_parameters: int, r_squared: float) -> float:
    """Return the expected shrinkage factor S of van Houwelingen for this number of patients.

    S solves ``n = p / ((S - 1) log(1 - R^2 / S))``, where ``R^2 / S`` is the apparent Cox-Snell R-squared. S lies
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
    """Return the number of inputs whose weights are fitted; 0 for the BRAIN score, which has published weights."""
    return 0 if model.name == "brain" else len(features)
