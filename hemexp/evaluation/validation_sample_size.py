"""Sample size that an external validation needs.

Riley et al., Statistics in Medicine 2021;40:4230-4251, and Archer et al., Statistics in Medicine 2021;40:133-146. R's
pmvalsampsize computes the same with simulated risks; here the risks are those of the patients.
"""

import math

import numpy as np
from scipy.optimize import brentq
from scipy.special import expit, logit

from hemexp.evaluation.calibration import CLIP
from hemexp.files.result import ValidationSampleSize
from hemexp.types import Array

_Z = 1.96
WIDTHS = {"observed_to_expected": 0.2, "slope": 0.2, "auroc": 0.1, "net_benefit": 0.2}  # of the 95 % intervals


def validation_sample_size(
    num_patients: int, events: int, risks: Array, auroc: float, threshold: float
) -> ValidationSampleSize | None:
    """Return the required and the present number of patients; None where one outcome is missing.

    Args:
        num_patients: patients with a known outcome.
        events: patients among them with expansion.
        risks: of the model in these patients; their distribution is expected in the validation.
        auroc: expected, such as the cross-validated one of the model.
        threshold: risk from which a patient is flagged, for the net benefit.
    """
    if not 0 < events < num_patients:
        return None
    criteria = required_validation_size(events / num_patients, risks, auroc, threshold)
    required = max(criteria.values())
    return ValidationSampleSize(
        num_patients=num_patients,
        events=events,
        required_patients=required,
        required_events=math.ceil(round(required * events / num_patients, 6)),
        criteria=criteria,
        adequate=num_patients >= required,
    )


def required_validation_size(
    prevalence: float, risks: Array, auroc: float, threshold: float, observed_to_expected_width: float | None = None
) -> dict[str, int]:
    """Return the number of patients that each criterion requires.

    Each criterion limits the width of a 95 % interval, by `WIDTHS`: of the ratio of observed to expected events, of the
    calibration slope, of the AUROC, and of the standardized net benefit at a threshold. The model is expected to be
    calibrated.

    Args:
        prevalence: expected share of events, between 0 and 1.
        risks: a sample of the risks that are expected.
        auroc: expected, above 0.5 and below 1.
        threshold: between 0 and 1.
        observed_to_expected_width: in place of the one in `WIDTHS`.
    """
    width = observed_to_expected_width or WIDTHS["observed_to_expected"]
    error = math.asinh(width / 2) / _Z  # exp(z e) - exp(-z e) is the width
    sizes = {
        "observed_to_expected": math.ceil((1 - prevalence) / (prevalence * error**2)),
        "slope": _size_for_slope(risks),
        "auroc": _size_for_auroc(prevalence, auroc),
        "net_benefit": _size_for_net_benefit(prevalence, risks, threshold),
    }
    return {name: size for name, size in sizes.items() if size is not None}


def _size_for_slope(risks: Array) -> int | None:
    """Return the size from the information of a recalibration with intercept 0 and slope 1; None for equal risks."""
    z = logit(np.clip(risks, CLIP, 1 - CLIP))
    curvature = expit(z) * expit(-z)
    i0, i1, i2 = curvature.mean(), (curvature * z).mean(), (curvature * z**2).mean()
    determinant = i0 * i2 - i1**2
    if determinant <= 1e-9 * i0 * i2:
        return None
    return math.ceil(i0 / ((WIDTHS["slope"] / (2 * _Z)) ** 2 * determinant))


def _size_for_auroc(prevalence: float, auroc: float) -> int:
    """Return the size by the standard error of Newcombe (Statistics in Medicine 2006;25:559-573), his method 4."""

    def width(size: float) -> float:
        pairs = (size / 2 - 1) * ((1 - auroc) / (2 - auroc) + auroc / (1 + auroc))
        variance = auroc * (1 - auroc) * (1 + pairs) / (size**2 * prevalence * (1 - prevalence))
        return 2 * _Z * math.sqrt(variance)

    return math.ceil(round(brentq(lambda size: width(size) - WIDTHS["auroc"], 2, 1e9), 6))


def _size_for_net_benefit(prevalence: float, risks: Array, threshold: float) -> int | None:
    """Return the size by the standard error of Marsh et al. (2020); None where all or no patients are flagged."""
    flagged = risks >= threshold
    sensitivity = float(risks[flagged].sum() / risks.sum())
    specificity = float((1 - risks[~flagged]).sum() / (1 - risks).sum())
    return size_for_net_benefit(prevalence, sensitivity, specificity, threshold) if 0 < flagged.mean() < 1 else None


def size_for_net_benefit(prevalence: float, sensitivity: float, specificity: float, threshold: float) -> int:
    """Return the size for the standardized net benefit; arguments are between 0 and 1."""
    weight = (1 - prevalence) / prevalence * threshold / (1 - threshold)
    variance = (
        sensitivity * (1 - sensitivity) / prevalence
        + weight**2 * specificity * (1 - specificity) / (1 - prevalence)
        + weight**2 * (1 - specificity) ** 2 / (prevalence * (1 - prevalence))
    )
    return math.ceil(variance / (WIDTHS["net_benefit"] / (2 * _Z)) ** 2)
