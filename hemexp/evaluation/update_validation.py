"""Validate the update of a model for another hospital, by cross-validation of all its steps among the new patients.

In each fold the method is chosen and fitted without the held-out patients, so no patient is used twice.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from hemexp.config import TrainerConfig
from hemexp.errors import UserError
from hemexp.evaluation.calibration import calibrated_risk, calibration
from hemexp.evaluation.comparison import compare
from hemexp.evaluation.cross_validation import CrossValidated, score_risks
from hemexp.evaluation.folds import Fold, repeated_folds
from hemexp.evaluation.updating import NO_CHANGE, ClosedTest, closed_test, fit_update
from hemexp.files.result import CalibratedRisk, Calibration, ComparedModel, Difference, Score, UpdateValidation
from hemexp.formatting import interval_text
from hemexp.metrics.table import STANDARD, Metric
from hemexp.models.ensemble import recalibrate
from hemexp.training.fit import fit
from hemexp.training.member import Member
from hemexp.types import Array

SAME, BETTER, NOT_BETTER, WORSE, LOST = "same", "better", "not better", "worse", "lost"
_FEW = 100  # patients of either outcome, below which a validation is uncertain (Vergouwe et al. 2005)
_DONE = {
    "none": "The model stays as it is.",
    "intercept": "The update corrects the average risk. It does not make the ranking better.",
    "intercept_slope": "The update corrects the average risk, and risks that are too extreme or not extreme enough. It "
    "does not make the ranking better.",
    "refit": "The model was trained again on the new patients, with the settings of the run.",
}
_NO_RANKING = (
    "The original model does not rank these patients. The update gives each of them the same risk: the observed share."
)
_RANKING = {
    BETTER: "In cross-validation its ranking is better than that of the original model",
    NOT_BETTER: "It is not shown that its ranking is better than that of the original model",
    WORSE: "In cross-validation its ranking is worse than that of the original model",
}
_BESIDE_PREVALENCE = {
    BETTER: "The risks are more accurate than the same risk for every patient",
    NOT_BETTER: "It is not shown that the risks are more accurate than the same risk for every patient",
    WORSE: "The risks are less accurate than the same risk for every patient",
}
_RISKS = {
    BETTER: "In cross-validation the updated risks are more accurate than the original ones",
    NOT_BETTER: "It is not shown that the updated risks are more accurate than the original ones",
    WORSE: "In cross-validation the updated risks are less accurate than the original ones",
}


@dataclass(frozen=True, eq=False)
class UpdateProcedure:
    """The steps of an update, for all new patients or some of them.

    Attributes:
        labels: (N,) 1 or 0.
        raw: (N, F) inputs of the model, NaN where a value is missing.
        risks: (N,) of the original model.
        methods: to choose from by the closed test; a single one is used without a test.
        inputs: (N, F) of a logistic regression without penalty, for the closed test; None for other models.
        build_member: returns the member that learns from the patients at some indices, with a seed.
        trainer: of a refit.
    """

    labels: Array
    raw: Array
    risks: Array
    methods: tuple[str, ...]
    inputs: Array | None = None
    build_member: Callable[[Array, int], Member] | None = None
    trainer: TrainerConfig | None = None

    def choose(self, rows: Array) -> ClosedTest:
        """Return the method, and its recalibration, by the patients at these indices.

        Raises:
            UserError: the recalibration has no solution.
        """
        labels, risks = self.labels[rows], self.risks[rows]
        if len(self.methods) > 1:
            inputs = None if self.inputs is None else self.inputs[rows]
            return closed_test(labels, risks, inputs, methods=self.methods)
        (method,) = self.methods
        recalibration = NO_CHANGE if method == "refit" else fit_update(labels, risks, method)
        if recalibration is None:
            raise UserError(
                f"method={method}: has no solution: the risks of the model separate the outcomes of these patients, or "
                "are all the same; give method=intercept or method=none"
            )
        return ClosedTest(method, {}, recalibration)

    def update(self, choices: Sequence[ClosedTest], folds: Sequence[Fold]) -> list[Array]:
        """Return the updated risks of the held-out patients of each fold."""
        refitted = [fold for fold, choice in zip(folds, choices, strict=True) if choice.method == "refit"]
        members = [self._member(fold.train, fold.seed) for fold in refitted]
        results = iter(fit(members, self.trainer or TrainerConfig()))
        return [
            next(results).predictor().predict(self.raw[fold.test])
            if choice.method == "refit"
            else apply_update(self.risks[fold.test], choice)
            for fold, choice in zip(folds, choices, strict=True)
        ]

    def _member(self, rows: Array, seed: int) -> Member:
        if self.build_member is None:
            raise ValueError("a refit needs build_member")
        return self.build_member(rows, seed)


def apply_update(risks: Array, choice: ClosedTest) -> Array:
    """Return the recalibrated risks; the same ones where the update does not change them."""
    return risks if choice.recalibration == NO_CHANGE else recalibrate(risks, choice.recalibration)


def score_update(
    procedure: UpdateProcedure, folds: list[Fold], name: str, metrics: Sequence[Metric] = STANDARD
) -> tuple[list[ClosedTest], dict[str, CrossValidated]]:
    """Return the choice in each fold, and by name the scores of the updated model, the original one and the prevalence.

    Args:
        procedure: of the update.
        folds: at least one; the update is chosen and fitted without the held-out patients.
        name: of the model.
        metrics: to compute.
    """
    labels, choices = procedure.labels, [procedure.choose(fold.train) for fold in folds]
    risks = {
        f"{name} (updated)": procedure.update(choices, folds),
        f"{name} (original)": [procedure.risks[fold.test] for fold in folds],
        "prevalence": [np.full(len(fold.test), labels[fold.train].mean()) for fold in folds],
    }
    return choices, {each: score_risks(labels, folds, held_out, metrics) for each, held_out in risks.items()}


def validate_update(
    procedure: UpdateProcedure,
    choice: ClosedTest,
    name: str,
    num_folds: int,
    num_repeats: int,
    seed: int,
    groups: Array | None = None,
    metrics: Sequence[Metric] = STANDARD,
) -> tuple[UpdateValidation, dict[str, CrossValidated]]:
    """Cross-validate an update beside the original model and beside the same risk for every patient.

    Args:
        procedure: of the update.
        choice: by all new patients.
        name: of the model.
        num_folds: in each repeat; at most the number of persons of the rarer outcome.
        num_repeats: with different folds.
        seed: of the folds.
        groups: (N,) numbers that are equal for all ids of one person; None where each has one id.
        metrics: to compute.

    Returns:
        The validation, and the scores in all folds; see `score_update`.
    """
    labels = procedure.labels
    folds = repeated_folds(labels, range(len(labels)), num_folds, num_repeats, seed, groups)
    choices, validated = score_update(procedure, folds, name, metrics)
    none = labels[:0]  # no test part
    rows = compare(validated, none, dict.fromkeys(validated, none))
    ranking, accuracy, beside = _get_relations(choice, rows)
    before = calibration(labels, procedure.risks[None])
    validation = UpdateValidation(
        num_folds=num_folds,
        num_repeats=num_repeats,
        chosen=dict(Counter(each.method for each in choices)),
        comparison=rows,
        original_calibration=before,
        ranking=ranking,
        risks=accuracy,
        beside_prevalence=beside,
        conclusion=_describe(choice, rows, labels, ranking, accuracy, beside, before),
    )
    return validation, validated


def calibrate_update(
    method: str, labels: Array, risks: Array, by_folds: CalibratedRisk | None
) -> CalibratedRisk | None:
    """Return how to calibrate the risks of an updated model: by the new patients alone.

    A model that was trained again needs their out-of-fold risks. Any other model did not learn from them, apart from
    an intercept and a slope: estimating both again gives the recalibration its right uncertainty, also where the closed
    test kept the model for want of patients. The out-of-fold risks do not: each fold moves them against its outcomes.

    Args:
        method: of the update.
        labels: 1 or 0.
        risks: of the updated model.
        by_folds: `calibrated_risk` of the out-of-fold risks.

    Shape:
        labels, risks: (N,).
    """
    return by_folds if method == "refit" else calibrated_risk(labels, risks[None], np.zeros((1, len(labels))))


def _get_relations(choice: ClosedTest, rows: Sequence[ComparedModel]) -> tuple[str, str, str]:
    """Return ranking and risks compared with the original model, and the risks compared with the prevalence.

    The ranking is that of the original model unless the model was trained again: no other method can change it.
    """
    _, original, prevalence = rows
    ranking = LOST if choice.recalibration[1] == 0 else SAME
    if choice.method == "refit":
        ranking = _compare(original.auroc_difference, 1)
    risks = SAME if choice.method == "none" else _compare(original.brier_difference, -1)
    return ranking, risks, _compare(prevalence.brier_difference, -1)


def _compare(difference: Difference | None, good_sign: int) -> str:
    """Return on which side of zero the whole interval of a difference is."""
    if (
        difference is None
        or difference.low is None
        or difference.high is None
        or difference.low <= 0 <= difference.high
    ):
        return NOT_BETTER
    return BETTER if difference.low * good_sign > 0 else WORSE


def _describe(
    choice: ClosedTest, rows: Sequence[ComparedModel], labels: Array, ranking: str, risks: str, beside_prevalence: str,
    before: Calibration | None,
) -> list[str]:  # fmt: skip
    """Return in sentences what the update does, and what it does not."""
    _, original, prevalence = rows
    events, others = int(labels.sum()), int((1 - labels).sum())
    parts = [_NO_RANKING if ranking == LOST else _DONE[choice.method]]
    if choice.method == "none" and choice.p_values:
        parts.append(
            "The closed test does not show that its risks are wrong in these patients. It does not show that they are "
            "right either."
        )
        alone = before.intercept if before else Score()
        if alone.low is not None and alone.high is not None and not alone.low <= 0 <= alone.high:
            parts.append(
                f"Tested alone, the average risk is too {'low' if alone.low > 0 else 'high'} (calibration intercept "
                f"{interval_text(alone)}); method=intercept corrects it."
            )
    if ranking in _RANKING:
        parts.append(f"{_RANKING[ranking]} (AUROC difference {interval_text(original.auroc_difference, 3)}).")
    if risks in _RISKS:
        parts.append(f"{_RISKS[risks]} (Brier score difference {interval_text(original.brier_difference, 3)}).")
    difference = interval_text(prevalence.brier_difference, 3)
    parts.append(f"{_BESIDE_PREVALENCE[beside_prevalence]} (Brier score difference {difference}).")
    if min(events, others) < _FEW:
        parts.append(f"{events} patients with expansion and {others} without are few: the numbers can change much.")
    parts.append("Validate the updated model in other patients before it is used.")
    return parts
