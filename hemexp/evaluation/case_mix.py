"""The case mix of new patients beside that of the training cohort (Debray et al., J Clin Epidemiol 2015;68:279-289).

A model folder travels, so it holds aggregates of its training cohort only, rounded to a tenth of the standard deviation
or less, with 100 known values or more to a hundredth.
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from scipy.special import logit

from hemexp.evaluation.calibration import CLIP
from hemexp.files.model_folder import ModelInput
from hemexp.files.result import CaseMix, LinearPredictor
from hemexp.types import Array

FEWEST_TESTED = 20  # patients of a test part whose logits are described
_FEWEST = 10  # known values: mean and SD of two would tell both
_FEWEST_FOR_PERCENTILES = 60  # known values: with fewer, the smallest value would decide the 2.5th percentile
_PRECISE = 100  # known values
_REACH = 1.96  # SDs from the mean that hold 95 % of a normal distribution
_SAME = 1e-9  # SD relative to the mean, below which all values count as equal


def describe_inputs(inputs: Sequence[ModelInput], raw: Array) -> list[ModelInput]:
    """Return the inputs with mean, standard deviation, share missing and range in the training patients, rounded.

    Shape:
        raw: (N, F), NaN where a value is missing.
    """
    return [replace(item, **_summarize(raw[:, number])) for number, item in enumerate(inputs)]


def _summarize(values: Array) -> dict[str, Any]:
    known = values[np.isfinite(values)]
    summary = {"missing": round(1 - len(known) / len(values), 2)}
    if len(known) < _FEWEST:
        return summary
    mean, sd = float(known.mean()), float(known.std(ddof=1))
    low, high = mean - _REACH * sd, mean + _REACH * sd
    if known.min() >= 0:
        low = max(low, 0.0)  # a volume of -11 mL is no limit
    if len(known) >= _FEWEST_FOR_PERCENTILES:
        low, high = (float(value) for value in np.quantile(known, [0.025, 0.975]))
    if sd <= _SAME * abs(mean):
        sd, digits = 0.0, 2 - math.floor(math.log10(abs(mean))) if mean else 0
    else:
        digits = (2 if len(known) >= _PRECISE else 1) - math.floor(math.log10(sd))
    return summary | {
        name: round(value, digits) for name, value in (("mean", mean), ("sd", sd), ("low", low), ("high", high))
    }


def describe_logits(risks: Array, part: str) -> LinearPredictor | None:
    """Return mean and standard deviation of the logits of risks; None for fewer than 10 patients.

    Args:
        risks: of patients of the training cohort.
        part: ``test`` or ``train``.
    """
    if len(risks) < _FEWEST:
        return None
    mean, sd = compute_logits(risks)
    return LinearPredictor(part=part, num_patients=len(risks), mean=round(mean or 0.0, 2), sd=round(sd or 0.0, 2))


def compute_logits(risks: Array) -> tuple[float | None, float | None]:
    """Return mean and standard deviation of the logits; None without patients, and without two of them."""
    logits = logit(np.clip(risks, CLIP, 1 - CLIP))
    mean = float(logits.mean()) if len(logits) else None
    return mean, float(logits.std(ddof=1)) if len(logits) > 1 else None


def compare_case_mix(inputs: Sequence[ModelInput], raw: Array) -> list[CaseMix]:
    """Return each input in new patients beside the training cohort; nothing without patients.

    Args:
        inputs: with the aggregates of the training cohort; an older model has none.
        raw: of the new patients.

    Shape:
        raw: (N, F), NaN where a value is missing.
    """
    return [_compare(item, raw[:, number]) for number, item in enumerate(inputs)] if len(raw) else []


def _compare(trained: ModelInput, values: Array) -> CaseMix:
    known = values[np.isfinite(values)]
    row = CaseMix(name=trained.name, missing=1 - len(known) / len(values))
    if not len(known):
        return row
    row.mean = float(known.mean())
    row.sd = float(known.std(ddof=1)) if len(known) > 1 else None
    if trained.low is not None and trained.high is not None:
        row.outside = float(((known < trained.low) | (known > trained.high)).mean())
    if trained.mean is not None and trained.sd is not None and row.sd is not None:
        spread = math.sqrt((trained.sd**2 + row.sd**2) / 2)
        row.difference = (row.mean - trained.mean) / spread if spread > _SAME * abs(row.mean) else None
    return row
