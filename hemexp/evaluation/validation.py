"""The validation of a model in the patients of another cohort."""

import math
from collections.abc import Mapping

import numpy as np
import pandas as pd

from hemexp.evaluation.calibration import smoothed_curve
from hemexp.evaluation.case_mix import compare_case_mix, compute_logits
from hemexp.evaluation.decision import decision_curve
from hemexp.evaluation.validation_sample_size import required_validation_size, validation_sample_size
from hemexp.files.model_folder import ModelCard
from hemexp.files.result import (
    FOLLOW_UP_COUNTS,
    FOLLOW_UP_VALUES,
    LEAKAGE,
    NO_FOLLOW_UP,
    OUTCOME_INPUTS,
    Calibration,
    Score,
    Validation,
    ValidationSampleSize,
)
from hemexp.types import Array

FEWEST_FOR_CURVE = 20  # patients
_LIKELY_AUROC = 0.7  # where no AUROC of the model is known
_HIGHEST_AUROC = 0.95  # more is not to be expected in new patients
_OF_NEW_PATIENTS = (OUTCOME_INPUTS, FOLLOW_UP_VALUES, FOLLOW_UP_COUNTS, NO_FOLLOW_UP)


def validate(
    trained: ModelCard,
    outcomes: Array,
    risks: Array,
    described: Array,
    described_risks: Array,
    num_unlabelled: int,
    auroc: Score | None,
    calibration: Calibration | None,
) -> Validation:
    """Return what new patients say about a model; the answer in words is still empty.

    Args:
        trained: the model.
        outcomes: of the scored patients, 1 or 0.
        risks: of the scored patients.
        described: inputs of the scored patients, or without any of all new patients.
        described_risks: of the same patients.
        num_unlabelled: new patients without a known outcome.
        auroc: in the scored patients.
        calibration: in the scored patients; None where one outcome is missing.

    Shape:
        outcomes, risks: (N,); described: (M, F), NaN where a value is missing; described_risks: (M,).
    """
    size = _compute_size(trained, outcomes, described_risks, auroc)
    ranking, error = judge_ranking(auroc), judge_risks(calibration)
    mean, sd = compute_logits(described_risks)
    return Validation(
        answer="",
        ranking=ranking,
        risks=error,
        advice=_advise(ranking, error, size is not None and size.adequate),
        num_patients=len(described),
        num_unlabelled=num_unlabelled,
        sample_size=size,
        linear_predictor=trained.linear_predictor,
        linear_predictor_mean=mean,
        linear_predictor_sd=sd,
        case_mix=compare_case_mix(trained.inputs, described),
    )


def judge_ranking(auroc: Score | None) -> str:
    """Return ``better``, ``not_better`` or ``worse`` than chance, by the 95 % interval, or ``unknown``."""
    if auroc is None or auroc.low is None or auroc.high is None:
        return "unknown"
    return "better" if auroc.low > 0.5 else "worse" if auroc.high < 0.5 else "not_better"


def judge_risks(calibration: Calibration | None) -> str:
    """Return the error of the risks that their 95 % intervals show; that of the mean risk goes before the slope."""
    if calibration is None:
        return "unknown"
    errors = [
        name
        for score, ideal, below, above in (
            (calibration.intercept, 0, "too_high", "too_low"),
            (calibration.slope, 1, "too_extreme", "too_moderate"),
        )
        if score.low is not None and score.high is not None
        for name in (below if score.high < ideal else above if score.low > ideal else "",)
        if name
    ]
    if errors:
        return errors[0]
    return "unknown" if calibration.intercept.low is None else "no_clear_error"


def has_leak(verdict: str) -> bool:
    """Return whether a leak spoils the scores of new patients, too; others concern the scores of the run only."""
    return verdict.startswith(LEAKAGE) and verdict.removeprefix(f"{LEAKAGE}: ") in _OF_NEW_PATIENTS


def get_own_auroc(trained: ModelCard) -> Score | None:
    """Return the AUROC of a model in its own cohort, cross-validated if it is known; None after a leak."""
    scores = [trained.metrics.get(f"{stage}/auroc") for stage in ("cv", "test")]
    known = [score for score in scores if score is not None and score.value is not None]
    return known[0] if known and not trained.verdict.startswith(LEAKAGE) else None


def _advise(ranking: str, error: str, adequate: bool) -> str:
    if ranking == "unknown":
        return "unknown"
    if ranking != "better":
        return "do_not_use"
    if error != "no_clear_error":
        return "unknown" if error == "unknown" else "update"
    return "holds" if adequate else "more_patients"


def _compute_size(
    trained: ModelCard, outcomes: Array, risks: Array, auroc: Score | None
) -> ValidationSampleSize | None:
    """Return the sample size; without both outcomes, at the prevalence of the training part."""
    if not len(risks):
        return None
    prevalence = trained.events_train / trained.num_train
    own = get_own_auroc(trained) or auroc
    expected = min(max(own.value if own and own.value is not None else _LIKELY_AUROC, 0.5), _HIGHEST_AUROC)
    num_patients, events = len(outcomes), int(outcomes.sum())
    if size := validation_sample_size(num_patients, events, risks, expected, prevalence):
        return size
    if not 0 < prevalence < 1:
        return None
    criteria = required_validation_size(prevalence, risks, expected, prevalence)
    required = max(criteria.values())
    return ValidationSampleSize(
        num_patients=num_patients,
        events=events,
        required_patients=required,
        required_events=math.ceil(round(required * prevalence, 6)),
        criteria=criteria,
        adequate=False,
    )


def make_tables(outcomes: Array, risks: Array, name: str) -> Mapping[str, pd.DataFrame]:
    """Return the calibration curve with its band, and the decision curve; nothing where an outcome is missing.

    Args:
        outcomes: 1 or 0.
        risks: of the model.
        name: of the model, in the decision curve.

    Shape:
        outcomes, risks: (N,).
    """
    if not 0 < outcomes.sum() < len(outcomes):
        return {}
    tables = {"decision_curve": decision_curve(outcomes, {name: risks[None]})}
    if len(outcomes) >= FEWEST_FOR_CURVE and np.ptp(risks) > 0:
        tables["calibration_curve"] = smoothed_curve(outcomes, risks[None])
    return tables
